"""Names of `keras.ops` that no graph can hold, each with its reason."""

from __future__ import annotations

from typing import Any, NoReturn

from kcompile.ops.dispatch import public


@public
def nonzero(x: Any) -> NoReturn:
    """Refused: how many places there are depends on values."""
    raise NotImplementedError(
        "ops.nonzero: how many elements are not 0 depends on the values, and a graph's shapes do "
        "not; use ops.where(condition, a, b) or ops.count_nonzero"
    )


@public
def unique(
    x: Any,
    sorted: bool = True,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    size: int | None = None,
    fill_value: Any = None,
) -> NoReturn:
    """Refused: how many different elements there are depends on values."""
    raise NotImplementedError(
        "ops.unique: how many different elements there are depends on the values, and a graph's "
        "shapes do not; use ops.sort or ops.bincount"
    )


@public
def view(x: Any, dtype: str | None = None) -> NoReturn:
    """Refused: ONNX has no op that reads the bits of one type as another."""
    raise NotImplementedError(
        "ops.view: ONNX has no op that reads the bits of one element type as another; use ops.cast "
        "for the numbers"
    )


@public
def nextafter(x1: Any, x2: Any) -> NoReturn:
    """Refused: it needs the bits of floats."""
    raise NotImplementedError(
        "ops.nextafter: it needs the bits of floats, which ONNX does not give"
    )


@public
def gcd(x1: Any, x2: Any) -> NoReturn:
    """Refused for now: it needs a loop."""
    raise NotImplementedError("ops.gcd: it needs a loop, and loops are not there yet")


@public
def lcm(x1: Any, x2: Any) -> NoReturn:
    """Refused for now: it needs a loop."""
    raise NotImplementedError("ops.lcm: it needs a loop, and loops are not there yet")
