"""What all metrics share: variables that gather numbers over batches."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from kcompile import initializers
from kcompile.ir.errors import SpecError
from kcompile.ir.types import DType
from kcompile.losses.base import computation_dtype
from kcompile.losses.calling import one_graph
from kcompile.ops import scopes
from kcompile.ops.limits import check_numbers
from kcompile.ops.naming import automatic_name
from kcompile.ops.structure import leaves
from kcompile.ops.trace import current_trace, unused_name
from kcompile.ops.variable import Variable


class Metric:
    """A number that is gathered over batches.

    A subclass makes variables with `add_variable`, changes them in `update_state` and computes the
    number from them in `result`. Both are written with `kcompile.ops`; traced, they become part of
    the training program.

    Args:
        dtype: element type to compute in; float32 by default.
        name: its key in logs; made from the class's name by default.
    """

    def __init__(self, dtype: Any = None, name: str | None = None) -> None:
        self.name = name or automatic_name(type(self).__name__)
        self.dtype = computation_dtype(dtype, f"metric '{self.name}'")
        self._variables: list[Variable] = []

    def add_variable(
        self,
        shape: Sequence[int],
        initializer: Any = "zeros",
        dtype: Any = None,
        aggregation: str = "sum",
        name: str | None = None,
    ) -> Variable:
        """A new variable of the metric.

        Args:
            shape: sizes, all numbers.
            initializer: name, config or instance.
            dtype: element type; float32 by default.
            aggregation: accepted as in Keras; there is one replica here.
            name: unique in the metric; numbered where it is not.
        """
        del aggregation
        sizes = tuple(int(size) for size in shape)
        check_numbers(*sizes)
        element = DType.FLOAT32 if dtype is None else DType.of(dtype)
        initial = initializers.get(initializer)
        assert initial is not None
        taken = {variable.name for variable in self._variables}
        variable = Variable(
            lambda: initial(sizes, element.keras_name),
            sizes,
            element,
            unused_name(name or "variable", taken),
            trainable=False,
        )
        variable.path = f"{self.name}/{variable.name}"
        self._variables.append(variable)
        return variable

    def add_weight(
        self,
        shape: Sequence[int] = (),
        initializer: Any = "zeros",
        dtype: Any = None,
        name: str | None = None,
    ) -> Variable:
        """`add_variable`, under its older name."""
        return self.add_variable(shape, initializer, dtype, name=name)

    @property
    def variables(self) -> list[Variable]:
        """Own variables, then those of the metrics kept in attributes."""
        inner = [leaf for value in vars(self).values() for leaf in leaves(value)]
        metrics = dict.fromkeys(leaf for leaf in inner if isinstance(leaf, Metric))
        return [*self._variables, *(v for metric in metrics for v in metric.variables)]

    def build(self, y_true_shape: Sequence[int | None], y_pred_shape: Sequence[int | None]) -> None:
        """Make the variables that depend on shapes; nothing where none does."""

    def update_state(self, *args: Any, **kwargs: Any) -> None:
        """Take in a batch."""
        raise NotImplementedError(f"{type(self).__name__} has no update_state")

    def result(self) -> Any:
        """The number for what has been taken in."""
        raise NotImplementedError(f"{type(self).__name__} has no result")

    def reset_state(self) -> None:
        """Forget what has been taken in."""
        for variable in self.variables:
            variable.assign(np.zeros(variable.shape, variable.type.dtype.numpy))

    def stateless_update_state(
        self, metric_variables: Sequence[Any], *args: Any, **kwargs: Any
    ) -> list[Any]:
        """`update_state` as a pure function: from values of `variables` to their next values."""
        with scopes.stateless(self._values(metric_variables)) as values:
            self.update_state(*args, **kwargs)
        return [values[variable] for variable in self.variables]

    def stateless_result(self, metric_variables: Sequence[Any]) -> Any:
        """`result` as a pure function of the values of `variables`."""
        with scopes.stateless(self._values(metric_variables)):
            return self.result()

    def stateless_reset_state(self) -> list[Any]:
        """The values of `variables` before the first batch."""
        with scopes.stateless({variable: variable.array for variable in self.variables}) as values:
            self.reset_state()
        return [values[variable] for variable in self.variables]

    def _values(self, given: Sequence[Any]) -> dict[Any, Any]:
        variables = self.variables
        if len(given) != len(variables):
            raise SpecError(
                f"has {len(variables)} variables, got {len(given)} values",
                where=f"metric '{self.name}'",
            )
        return dict(zip(variables, given, strict=True))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Take in a batch and return the number."""
        self.update_state(*args, **kwargs)
        return self.result()

    def get_config(self) -> dict[str, Any]:
        """The arguments that make the same metric, as JSON values."""
        return {"name": self.name, "dtype": self.dtype}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Any:
        """The metric that `get_config` describes."""
        return cls(**config)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


def updates(method: Callable[..., None]) -> Callable[..., None]:
    """Make an `update_state` run on arrays as one graph."""

    @one_graph
    def update(self: Metric, *args: Any, **kwargs: Any) -> list[Any]:
        method(self, *args, **kwargs)
        return [variable.value for variable in self.variables]

    @functools.wraps(method)
    def run(self: Metric, *args: Any, **kwargs: Any) -> None:
        if current_trace() is not None:
            method(self, *args, **kwargs)
        else:
            update(self, *args, **kwargs)

    return run
