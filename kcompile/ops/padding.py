"""Elements around a tensor."""

from __future__ import annotations

from typing import Any

import numpy as np

from kcompile.ir import ops as ir
from kcompile.ir.errors import ShapeError
from kcompile.ir.types import DType
from kcompile.ops.dispatch import public
from kcompile.ops.elementwise import cast
from kcompile.ops.limits import check_numbers
from kcompile.ops.promotion import to_tensor
from kcompile.ops.rearrangement import flip, slice_axis
from kcompile.ops.shape import concatenate
from kcompile.ops.tensor import TracedTensor
from kcompile.ops.trace import emit

_MODES = ("constant", "reflect", "symmetric", "edge", "wrap")


@public
def pad(x: Any, pad_width: Any, mode: str = "constant", constant_values: Any = None) -> Any:
    """x with elements put around it; `pad_width` and the modes as in NumPy."""
    tensor = to_tensor(x)
    if mode not in _MODES:
        raise NotImplementedError(f"ops.pad: mode {mode!r} is none of {', '.join(_MODES)}")
    if mode != "constant" and constant_values is not None:
        raise ValueError(f"constant_values belong to the mode 'constant', not to {mode!r}")
    widths = np.broadcast_to(np.asarray(pad_width, int), (tensor.type.rank, 2))
    pairs = tuple((int(before), int(after)) for before, after in widths)
    if any(width < 0 for pair in pairs for width in pair):
        raise ShapeError(f"the widths {pad_width} must not be negative")
    if mode != "constant":
        for axis, (before, after) in enumerate(pairs):
            if before or after:
                tensor = _pad_axis(tensor, axis, before, after, mode)
        return tensor
    if tensor.type.dtype is DType.BOOL:
        return cast(
            emit(ir.Pad(pairs, float(bool(constant_values))), cast(tensor, "uint8")), "bool"
        )
    return emit(ir.Pad(pairs, float(constant_values or 0.0)), tensor)


def _pad_axis(x: TracedTensor, axis: int, before: int, after: int, mode: str) -> Any:
    size = x.type.shape[axis]
    if isinstance(size, int):
        check_numbers(before + size + after)
        places = np.pad(np.arange(size, dtype=np.int32), (before, after), mode)  # type: ignore[call-overload]
        return emit(ir.Gather(axis), x, places)
    ends: dict[str, tuple[Any, Any]] = {
        "edge": ((0, 1), (size - 1, size)),
        "reflect": ((1, before + 1), (size - after - 1, size - 1)),
        "symmetric": ((0, before), (size - after, size)),
        "wrap": ((size - before, size), (0, after)),
    }
    parts: list[Any] = [x]
    for width, limits, place in ((before, ends[mode][0], 0), (after, ends[mode][1], len(parts))):
        if not width:
            continue
        part = slice_axis(x, axis, *limits)
        if mode == "edge":
            shape = tuple(width if i == axis else n for i, n in enumerate(x.type.shape))
            part = emit(ir.BroadcastTo(shape), part)
        elif mode != "wrap":
            part = flip(part, axis)
        parts.insert(place if place == 0 else len(parts), part)
    return concatenate(parts, axis)
