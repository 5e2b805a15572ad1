"""Names of `keras.ops` that no graph can hold, each with its reason; some work on arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from kcompile.ops.dispatch import has_keras_tensor
from kcompile.ops.missing import missing
from kcompile.ops.structure import leaves
from kcompile.ops.tensor import SymbolicTensor
from kcompile.ops.trace import current_trace
from kcompile.ops.variable import Variable

_NO_COMPLEX = "there are no complex element types; transforms take pairs (real, imaginary)"

custom_gradient = missing("ops.custom_gradient", "gradients are those of the ops in the graph")
nextafter = missing("ops.nextafter", "it needs the bits of floats, which ONNX does not give")
polar = missing("ops.polar", _NO_COMPLEX)
view_as_complex = missing("ops.view_as_complex", _NO_COMPLEX)
view_as_real = missing("ops.view_as_real", _NO_COMPLEX)
view = missing(
    "ops.view",
    "ONNX has no op that reads the bits of one element type as another; use ops.cast for numbers",
)


def nonzero(x: Any) -> Any:
    """The indices of what is not 0, for each axis. int32. Of arrays only.

    Raises:
        NotImplementedError: x is symbolic, and a graph's shapes do not depend on values.
    """
    if _is_symbolic(x):
        raise NotImplementedError(
            "ops.nonzero: how many elements are not 0 depends on the values, and a graph's shapes "
            "do not; use ops.where(condition, a, b) or ops.count_nonzero"
        )
    return tuple(indices.astype(np.int32) for indices in np.nonzero(np.asarray(x)))


def unique(
    x: Any,
    sorted: bool = True,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    size: int | None = None,
    fill_value: Any = None,
) -> Any:
    """The different elements (or slices along axis), sorted. Of arrays only.

    Raises:
        NotImplementedError: x is symbolic, and a graph's shapes do not depend on values; or a size
            is given.
    """
    if _is_symbolic(x):
        raise NotImplementedError(
            "ops.unique: how many different elements there are depends on the values, and a "
            "graph's shapes do not; use ops.sort or ops.bincount"
        )
    if size is not None:
        raise NotImplementedError("ops.unique: a fixed size is not there yet")
    flags = (return_index, return_inverse, return_counts)
    found: Any = np.unique(np.asarray(x), *flags, axis=axis)  # type: ignore[call-overload]
    if not any(flags):
        return found
    return (found[0], *(indices.astype(np.int32) for indices in found[1:]))


def _is_symbolic(x: Any) -> bool:
    return any(isinstance(leaf, (SymbolicTensor, Variable)) for leaf in leaves(x)) and (
        current_trace() is not None or has_keras_tensor((x,), {})
    )
