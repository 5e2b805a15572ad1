"""What differs between two models."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from kcompile.formats.place import shorten
from kcompile.formats.writing import model_config
from kcompile.models import Model
from kcompile.ops.variable import Variable

_ABSENT = "nothing"


@dataclass(frozen=True)
class Difference:
    """One thing that two models do not have in common.

    Attributes:
        place: the layer and the key in its config, or the weight.
        what: `config`, `layer`, `order`, `weight` or `values`.
        left, right: of the first model and of the second one.
    """

    place: str
    what: str
    left: str
    right: str


def compare_models(a: Model, b: Model, tolerance: float | None = 0.0) -> list[Difference]:
    """The differences between two models, in layers, connections and weights.

    The names of the models themselves are no difference.

    Args:
        a, b: the models.
        tolerance: how far weights may be apart, in relation to the largest element of both; None
            if weights are not to be compared.
    """
    left, right = model_config(a), model_config(b)
    for config in (left, right):
        config["config"] = {**config["config"], "name": ""}
        # Follows from the layers; a file has it or has it not.
        config.pop("build_config", None)
    differences = list(_compare(left, right, "model"))
    if tolerance is not None:
        differences += _compare_weights(a.named_weights(), b.named_weights(), tolerance)
    return differences


def _compare(a: Any, b: Any, place: str) -> Iterator[Difference]:
    """The differences between two configs; layers are found by their names."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in [*a, *(key for key in b if key not in a)]:
            below = f"{place}.{key}"
            if key not in a or key not in b:
                yield _difference(below, "config", a.get(key, _ABSENT), b.get(key, _ABSENT))
            else:
                yield from _compare(a[key], b[key], below)
    elif _are_layers(a) and _are_layers(b):
        yield from _compare_layers(_by_name(a), _by_name(b), place)
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for index, (left, right) in enumerate(zip(a, b, strict=True)):
            yield from _compare(left, right, f"{place}[{index}]")
    elif a != b or isinstance(a, bool) != isinstance(b, bool):
        yield _difference(place, "config", a, b)


def _compare_layers(a: dict[str, Any], b: dict[str, Any], place: str) -> Iterator[Difference]:
    for name in [*a, *(name for name in b if name not in a)]:
        below = f"{place.removesuffix('.config.layers')}/{name}".removeprefix("model/")
        if name not in a or name not in b:
            classes = [side[name]["class_name"] if name in side else _ABSENT for side in (a, b)]
            yield Difference(below, "layer", *classes)
        else:
            yield from _compare(a[name], b[name], below)
    if set(a) == set(b) and list(a) != list(b):
        yield _difference(place, "order", list(a), list(b))


def _are_layers(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(entry, dict)
        and isinstance(entry.get("config"), dict)
        and "name" in entry["config"]
        for entry in value
    )


def _by_name(layers: list[Any]) -> dict[str, Any]:
    return {entry["config"]["name"]: entry for entry in layers}


def _difference(place: str, what: str, left: Any, right: Any) -> Difference:
    return Difference(place, what, shorten(left), shorten(right))


def _compare_weights(
    a: dict[str, Variable], b: dict[str, Variable], tolerance: float
) -> Iterator[Difference]:
    for name in [*a, *(name for name in b if name not in a)]:
        types = [str(side[name].type) if name in side else _ABSENT for side in (a, b)]
        if types[0] != types[1]:
            yield Difference(name, "weight", *types)
            continue
        left, right = a[name].numpy(), b[name].numpy()
        if np.array_equal(left, right, equal_nan=left.dtype.kind == "f"):
            continue
        left, right = left.astype(np.float64), right.astype(np.float64)
        with np.errstate(invalid="ignore"):  # of two infinities
            distance = float(np.max(np.abs(left - right)))
        scale = float(max(np.max(np.abs(left)), np.max(np.abs(right))))
        # NaN and infinities are a difference, whatever the tolerance.
        if not (np.isfinite(distance) and distance <= tolerance * scale):
            count = int(np.sum(left != right))
            yield Difference(
                name,
                "values",
                f"{count} of {left.size} differ",
                f"by at most {distance:.3g}, largest {scale:.3g}",
            )
