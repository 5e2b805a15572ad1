"""Layers as pure functions of arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kcompile.ir.errors import SpecError
from kcompile.layers.tracking import WeightTree
from kcompile.ops import scopes
from kcompile.ops.variable import Variable


class StatelessCalls(WeightTree):
    """The call of a layer without side effects.

    Attributes:
        losses: what the layer adds to the loss.
    """

    losses: Any
    _call_losses: list[Any]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The outputs."""
        raise NotImplementedError

    def stateless_call(
        self,
        trainable_variables: Sequence[Any],
        non_trainable_variables: Sequence[Any],
        *args: Any,
        return_losses: bool = False,
        **kwargs: Any,
    ) -> Any:
        """The call as a pure function of arrays, which JAX may trace.

        Args:
            trainable_variables, non_trainable_variables: values in the order of the properties of
                these names.
            return_losses: whether to return what `add_loss` added and regularizers as well.

        Returns:
            The outputs and the new values of `non_trainable_variables`; then the losses.

        Raises:
            SpecError: there are more or fewer values than variables.
        """
        where = f"layer '{self.name}': stateless_call"
        values = {
            **stateless_values(self.trainable_variables, trainable_variables, where),
            **stateless_values(self.non_trainable_variables, non_trainable_variables, where),
        }
        before = self._call_losses
        try:
            with scopes.stateless(values) as after:
                outputs = self(*args, **kwargs)
                losses = self.losses if return_losses else []
        finally:
            self._call_losses = before
        states = [after[variable] for variable in self.non_trainable_variables]
        return (outputs, states, losses) if return_losses else (outputs, states)


def stateless_values(
    variables: Sequence[Variable], values: Sequence[Any], where: str
) -> dict[Any, Any]:
    """The values by variable.

    Raises:
        SpecError: there are more or fewer values than variables.
    """
    if len(values) != len(variables):
        raise SpecError(
            f"needs {len(variables)} values, got {len(values)}",
            where=where,
            hint="Build the layer first" if not variables else None,
        )
    return dict(zip(variables, values, strict=True))
