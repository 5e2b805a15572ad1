"""Calls recorded between the tensors of a functional model."""

from __future__ import annotations

from typing import Any, Protocol

from kcompile.ops.structure import leaves
from kcompile.ops.tensor import KerasTensor


class Operation(Protocol):
    """What a functional model can call: a layer, or a function of `kcompile.ops`."""

    name: str

    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...


class CallNode:
    """One call of an operation on tensors of a functional model.

    Attributes:
        operation: what was called.
        args, kwargs: the arguments, KerasTensors among them.
        outputs: the results as a structure of KerasTensors.
        inputs: the KerasTensors in the arguments, in order.
        index: the number of earlier calls of the same operation.
    """

    def __init__(
        self, operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any], index: int
    ) -> None:
        self.operation = operation
        self.args = args
        self.kwargs = kwargs
        self.index = index
        self.inputs = [leaf for leaf in leaves((args, kwargs)) if isinstance(leaf, KerasTensor)]
        self.outputs: Any = None

    @property
    def parents(self) -> list[CallNode]:
        """The calls that made the inputs."""
        return [tensor.node for tensor in self.inputs]
