"""What the documents say, held against the code."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


def test_coverage_is_what_the_script_writes() -> None:
    written = runpy.run_path(str(ROOT / "docs" / "generate_coverage.py"))["coverage"]()
    hint = "run python docs/generate_coverage.py"
    assert (ROOT / "docs" / "coverage.md").read_text() == written, hint


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target
