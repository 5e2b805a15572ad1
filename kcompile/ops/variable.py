"""Variables: arrays that a model owns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kcompile.ir.errors import SpecError
from kcompile.ir.types import DType, TensorType
from kcompile.ops.scopes import stateless_values
from kcompile.ops.tensor import TensorOperators


class Variable(TensorOperators):
    """An array with a name, made when it is first read.

    Args:
        make: gives the initial value, a NumPy array of that shape and dtype.
        shape: sizes, all numbers.
        dtype: element type.
        name: last part of the path, such as `kernel`.
        trainable: whether gradients are taken and optimizers change it.
        make_from_stream: gives an initial value from a `numpy.random.Generator`; what
            `model.init(seed)` calls.
    """

    def __init__(
        self,
        make: Callable[[], Any],
        shape: tuple[int, ...],
        dtype: str | DType,
        name: str,
        trainable: bool = True,
        make_from_stream: Callable[[np.random.Generator], Any] | None = None,
    ) -> None:
        self.type = TensorType(DType.of(dtype), tuple(shape))
        self.name = name
        self.path = name
        self.trainable = trainable
        #: Whether it is trained when its layer is not frozen.
        self.is_trainable_when_unfrozen = trainable
        #: Whether layers read it in the type that they compute in.
        self.autocast = True
        self.regularizer: Any = None
        self.constraint: Any = None
        self._make = make
        self.make_from_stream = make_from_stream
        self._value: Any = None
        self._lent_read: Callable[[], Any] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.type.static_shape

    @property
    def dtype(self) -> str:
        """The element type; inside a layer's call the one that reading gives."""
        from kcompile.ops.trace import current_trace

        trace = current_trace()
        element = self.type.dtype if trace is None else trace.dtype_of(self)
        return element.keras_name

    @property
    def ndim(self) -> int:
        return self.type.rank

    @property
    def value(self) -> Any:
        """The array: NumPy's, or the runtime's that last computed it. Traced inside a trace."""
        from kcompile.ops.trace import current_trace

        trace = current_trace()
        if trace is not None:
            return trace.read(self)
        return self.array

    @property
    def array(self) -> Any:
        """The array, also inside a trace."""
        values = stateless_values()
        if values is not None and self in values:
            return values[self]
        if self._value is None and self._lent_read is not None:
            return self._lent_read()
        if self._value is None:
            self._value = self._checked(self._make())
        return self._value

    def lend(self, read: Callable[[], Any]) -> None:
        """Let a running program hold the value: until `give_back`, reading calls `read`."""
        self._lent_read, self._value = read, None

    def take_assigned(self) -> Any:
        """What was assigned to a lent variable and not taken yet; None if nothing was."""
        assigned, self._value = self._value, None
        return assigned

    def give_back(self, value: Any) -> None:
        """End lending, with the value that the program ended with."""
        self._lent_read, self._value = None, self._checked(value)

    def numpy(self) -> np.ndarray[Any, Any]:
        """The array as NumPy's."""
        return np.asarray(self.array)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        self._refuse_in_trace()
        return np.array(self.array, dtype=dtype, copy=copy)

    @property
    def __jax_array__(self) -> Any:
        """Asked for by JAX alone, which outside of a trace takes the NumPy array."""
        self._refuse_in_trace()
        raise AttributeError("__jax_array__")

    def _refuse_in_trace(self) -> None:
        from kcompile.ops.trace import current_trace

        if current_trace() is not None:
            raise SpecError(
                "its numbers would become constants of the graph",
                where=f"weight '{self.path}'",
                hint="Use kcompile.ops, or give the weight to the JAX function as an argument",
            )

    def assign(self, value: Any) -> Any:
        """Set the value; inside a trace, make it the next value of this state.

        Raises:
            SpecError: shape or element type differ.
        """
        from kcompile.ops.trace import current_trace

        trace = current_trace()
        if trace is not None:
            return trace.assign(self, value)
        if not hasattr(value, "dtype"):
            value = np.asarray(value, self.type.dtype.numpy)
        if DType.of(value.dtype) is not self.type.dtype:
            value = value.astype(self.type.dtype.numpy)
        value = self._checked(value)
        values = stateless_values()
        if values is not None and self in values:
            values[self] = value
        else:
            self._value = value
        return value

    def assign_add(self, value: Any) -> Any:
        return self.assign(self.value + value)

    def assign_sub(self, value: Any) -> Any:
        return self.assign(self.value - value)

    def _checked(self, array: Any) -> Any:
        if tuple(array.shape) != self.shape or DType.of(array.dtype) is not self.type.dtype:
            raise SpecError(
                f"needs {self.type}, got {DType.of(array.dtype)}{list(array.shape)}",
                where=f"weight '{self.path}'",
                hint="Give values of exactly this shape",
            )
        return array

    def __repr__(self) -> str:
        return f"<Variable {self.path} : {self.type}>"

    __hash__ = object.__hash__
