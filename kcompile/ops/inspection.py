"""What is known of a tensor without its numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from kcompile.ops.tensor import SymbolicTensor
from kcompile.ops.variable import Variable


def ndim(x: Any) -> int:
    """The number of axes of x."""
    return len(x.shape) if hasattr(x, "shape") else np.ndim(x)


def size(x: Any) -> Any:
    """The number of elements of x: a number, or a symbolic size."""
    return x.type.size if isinstance(x, SymbolicTensor) else int(np.size(x))


def is_tensor(x: Any) -> bool:
    """Whether x is a tensor: symbolic, or an array of a runtime."""
    return (
        isinstance(x, (SymbolicTensor, Variable))
        or hasattr(x, "__jax_array__")
        or (type(x).__module__.partition(".")[0] in ("jax", "jaxlib"))
    )


def dtype(x: Any) -> str:
    """The element type's name."""
    return str(x.dtype)


def convert_to_numpy(x: Any) -> Any:
    """x as a NumPy array; a symbolic tensor has no numbers and is refused."""
    return np.asarray(x)
