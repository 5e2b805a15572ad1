"""The mutants fit the passes; whether each is caught takes minutes (`make mutants`)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutation.mutants import Mutant, read_mutants

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("mutant", read_mutants(), ids=lambda m: f"{Path(m.file).stem}: {m.what}")
def test_the_edit_fits_once_and_is_python(mutant: Mutant) -> None:
    source = (ROOT / mutant.file).read_text()
    assert source.count(mutant.old) == 1
    compile(source.replace(mutant.old, mutant.new), mutant.file, "exec")
