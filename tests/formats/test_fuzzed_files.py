"""Good files with values and bytes changed at random: read, or refused by a typed error."""

from __future__ import annotations

import copy
import json
import random
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import kcompile
from kcompile.formats import load_model, to_json
from kcompile.formats.architecture import from_json
from kcompile.ir.errors import KCompileError
from tests.formats.models import MODELS

#: What stands in the place of a value of a config.
VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 2**31, 2**63, -(2**63), 0.5, -1e300, "", "x", "../x", "\ud800"),
    *([], {}, [[]], [None], [-1, 2**40], ["x", 0, 0], {"class_name": "x", "config": {}}),
    *({"class_name": "__lambda__", "config": {"code": "x"}}, {"class_name": "__numpy__"}),
]


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every list or dict in a structure with each of its keys."""
    if isinstance(value, (dict, list)):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from places(value[key])


def mutated(config: Any, rng: random.Random) -> Any:
    """The config with a value replaced, taken out, or put to another place."""
    config = copy.deepcopy(config)
    every = list(places(config))
    holder, key = rng.choice(every)
    other, other_key = rng.choice(every)
    match rng.randrange(5):
        case 0 | 1 | 2:
            holder[key] = copy.deepcopy(rng.choice(VALUES))
        case 3:
            del holder[key]
        case _:
            holder[key] = copy.deepcopy(other[other_key])
    return config


def recurrent(k: Any) -> Any:
    layers = k.layers
    x = k.Input((5, 3), name="x")
    y = layers.Bidirectional(layers.LSTM(2, return_sequences=True), name="both")(x)
    y = layers.TimeDistributed(layers.Dense(2, activation="relu"), name="each")(y)
    y = layers.MultiHeadAttention(2, 3, name="attention")(y, y)
    return k.Model(x, layers.GlobalAveragePooling1D(name="mean")(y), name="recurrent")


MADE: dict[str, Callable[[Any], Any]] = {**MODELS, "recurrent": recurrent}


def read_or_refuse(read: Callable[[], Any]) -> None:
    try:
        read()
    except KCompileError as error:
        assert error.where


@pytest.mark.parametrize(
    "number", [60, pytest.param(4000, marks=pytest.mark.slow)], ids=["few", "many"]
)
@pytest.mark.parametrize("name", MADE)
def test_changed_configs(name: str, number: int) -> None:
    config = json.loads(to_json(MADE[name](kcompile)))
    rng = random.Random(f"{name} {number}")
    for _ in range(number):
        changed = mutated(config, rng)
        read_or_refuse(lambda changed=changed: from_json(changed))


@pytest.mark.parametrize(
    "number", [100, pytest.param(5000, marks=pytest.mark.slow)], ids=["few", "many"]
)
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_changed_bytes(method: int, number: int, tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    model = kcompile.Sequential(
        [kcompile.Input((4,), name="x"), kcompile.layers.Dense(3, name="d")], name="m"
    )
    model.compile("sgd", "mse")
    model.save(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    content = path.read_bytes()
    rng = random.Random(f"{method} {number}")
    for _ in range(number):
        changed = bytearray(content)
        for _ in range(rng.randrange(1, 4)):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        if not rng.randrange(10):
            changed = changed[: rng.randrange(len(changed))]
        path.write_bytes(changed)
        read_or_refuse(lambda: load_model(path))
