"""What symbolic tensors and element types are."""

from __future__ import annotations

from typing import Any

from kcompile.ir.errors import SpecError
from kcompile.ir.types import DType
from kcompile.layers.core import InputLayer
from kcompile.ops.tensor import KerasTensor


def is_keras_tensor(x: Any) -> bool:
    """Whether x is a tensor between the layers of a functional model."""
    return isinstance(x, KerasTensor)


def standardize_dtype(dtype: Any) -> str:
    """The name of an element type, such as `float32`, which is also that of None."""
    return "float32" if dtype is None else DType.of(dtype).keras_name


def get_source_inputs(tensor: Any) -> list[KerasTensor]:
    """The inputs that a tensor is computed from, each once.

    Raises:
        SpecError: it is no KerasTensor.
    """
    if not isinstance(tensor, KerasTensor):
        raise SpecError(f"needs a tensor made by Input and layers, got {tensor!r}")
    found: dict[KerasTensor, None] = {}
    seen = set()
    pending = [tensor.node]
    while pending:
        node = pending.pop()
        if node in seen:
            continue
        seen.add(node)
        if isinstance(node.operation, InputLayer):
            found[node.outputs] = None
        pending += reversed(node.parents)
    return list(found)
