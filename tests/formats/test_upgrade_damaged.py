"""Damaged configs of every era: refused with the file's name, or understood."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from typing import Any

import h5py
import pytest

from kcompile.formats.legacy.era import Era
from kcompile.formats.legacy.upgrade import upgrade
from kcompile.formats.place import Place
from kcompile.ir.errors import FormatError

FOLDER = Path(__file__).parents[1] / "data" / "legacy"
FILES = (
    ("keras_1.2.2_images", Era(1, 2, 2, "theano")),
    ("keras_1.2.2_merged", Era(1, 2, 2, "theano")),
    ("keras_1.2.2_recurrent", Era(1, 2, 2)),
    ("tf_keras_2.15_cells", Era(2, 15)),
    ("tf_keras_2.15_functions", Era(2, 15)),
    ("tf_keras_2.15_graphs", Era(2, 15)),
)
VALUES = (None, True, -1, 2**70, 0.5, "", "x", "../x", [], [[]], [None], {}, {"class_name": []})


def places_in(value: Any) -> list[tuple[Any, Any]]:
    """Every object or list in a value with each of its keys."""
    found: list[tuple[Any, Any]] = []
    stack = [value]
    while stack:
        entry = stack.pop()
        inner = entry.items() if isinstance(entry, dict) else enumerate(entry)
        for key, below in inner:
            found.append((entry, key))
            if isinstance(below, (dict, list)):
                stack.append(below)
    return found


def damage(config: Any, rng: random.Random) -> None:
    """Remove a value, or put another in its place."""
    holder, key = rng.choice(places_in(config))
    if rng.random() < 0.25:
        del holder[key]
    else:
        holder[key] = rng.choice(VALUES)


@pytest.mark.parametrize(("name", "era"), FILES, ids=[name for name, _ in FILES])
def test_damaged_configs(name: str, era: Era) -> None:
    with h5py.File(FOLDER / f"{name}.h5", "r") as file:
        text = file.attrs["model_config"]
    whole = json.loads(text)
    rng = random.Random(name)
    outcomes = set()
    for _ in range(150):
        config = copy.deepcopy(whole)
        damage(config, rng)
        try:
            upgrade(config, era, Place("old.h5"))
            outcomes.add("understood")
        except FormatError as error:
            assert "old.h5" in str(error)
            outcomes.add("refused")
    assert outcomes == {"understood", "refused"}
