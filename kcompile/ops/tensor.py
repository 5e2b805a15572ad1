"""Tensors that stand for values: in a graph being traced, or in a functional model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kcompile.ir.dims import Dim
from kcompile.ir.errors import JaxCodeError
from kcompile.ir.graph import Value
from kcompile.ir.types import TensorType

if TYPE_CHECKING:
    from kcompile.ops.node import CallNode
    from kcompile.ops.trace import Trace


def _binary(name: str, reflected: bool = False) -> Any:
    def method(self: Any, other: Any) -> Any:
        import kcompile.ops as ops

        operands = (other, self) if reflected else (self, other)
        return getattr(ops, name)(*operands)

    return method


def _unary(name: str) -> Any:
    def method(self: Any) -> Any:
        import kcompile.ops as ops

        return getattr(ops, name)(self)

    return method


class TensorOperators:
    """Python's operators, as the ops of the same meaning."""

    # NumPy arrays leave `array + tensor` to the tensor.
    __array_priority__ = 100

    __add__, __radd__ = _binary("add"), _binary("add", True)
    __sub__, __rsub__ = _binary("subtract"), _binary("subtract", True)
    __mul__, __rmul__ = _binary("multiply"), _binary("multiply", True)
    __truediv__, __rtruediv__ = _binary("true_divide"), _binary("true_divide", True)
    __mod__, __rmod__ = _binary("mod"), _binary("mod", True)
    __pow__, __rpow__ = _binary("power"), _binary("power", True)
    __matmul__, __rmatmul__ = _binary("matmul"), _binary("matmul", True)
    __lt__, __le__ = _binary("less"), _binary("less_equal")
    __gt__, __ge__ = _binary("greater"), _binary("greater_equal")
    __and__, __or__ = _binary("logical_and"), _binary("logical_or")
    __neg__, __abs__, __invert__ = _unary("negative"), _unary("absolute"), _unary("logical_not")
    __getitem__ = _binary("get_item")


class SymbolicTensor(TensorOperators):
    """A tensor with a type and no numbers yet."""

    type: TensorType

    @property
    def shape(self) -> tuple[int | None, ...]:
        """The shape as in Keras: None for a size that is not a number yet."""
        return tuple(None if isinstance(size, Dim) else size for size in self.type.shape)

    @property
    def dtype(self) -> str:
        """The element type's name: `float32`."""
        return self.type.dtype.keras_name

    @property
    def ndim(self) -> int:
        return self.type.rank

    def __len__(self) -> int:
        size = self.type.shape[0] if self.type.shape else None
        if not isinstance(size, int):
            raise TypeError(f"a tensor of type {self.type} has no length")
        return size

    def __iter__(self) -> Any:
        return (self[index] for index in range(len(self)))

    def __bool__(self) -> bool:
        raise TypeError(
            "a symbolic tensor has no truth value: the graph is made before there are numbers. "
            "Use kcompile.ops.where"
        )

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(
            "a symbolic tensor has no numbers, so NumPy cannot take it. Use the function of the "
            "same name in kcompile.ops"
        )

    @property
    def __jax_array__(self) -> Any:
        """Asked for by JAX alone, when it is given an object that is no array."""
        raise JaxCodeError(
            "a symbolic tensor has no numbers, so JAX cannot take it",
            hint="Use kcompile.ops, or put the JAX function into layers.Lambda",
        )


class TracedTensor(SymbolicTensor):
    """A value of the graph that is being traced."""

    def __init__(self, trace: Trace, value: Value) -> None:
        self.trace = trace
        self.value = value
        #: Which steps count, if a layer said so; results of ops have none.
        self.mask: TracedTensor | None = None

    @property
    def type(self) -> TensorType:  # type: ignore[override]
        return self.value.type

    def __repr__(self) -> str:
        return f"<TracedTensor {self.value}>"


class KerasTensor(SymbolicTensor):
    """A tensor between the layers of a functional model.

    Attributes:
        type: element type and shape.
        node: the call that it is a result of.
        index: its position among the call's results.
        name: for messages and input names.
    """

    def __init__(self, type: TensorType, node: CallNode, index: int, name: str) -> None:
        self.type = type
        self.node = node
        self.index = index
        self.name = name

    def __repr__(self) -> str:
        return f"<KerasTensor {self.name} : {self.type}>"

    __hash__ = object.__hash__
