"""What a subclass of Model may override to train in a way of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from kcompile.layers.stateless import stateless_values
from kcompile.ops import scopes
from kcompile.ops.door import service
from kcompile.ops.variable import Variable


class OwnSteps:
    """Loss, metrics and steps of a model.

    `train_step`, `test_step` and `predict_step` are pure functions in the form of Keras's JAX
    backend. The state is a tuple of lists of arrays: the values of `trainable_variables`,
    `non_trainable_variables`, `optimizer_variables` and `metrics_variables` to train; without the
    third to test; the first two to predict. A step that is overridden is compiled by `jax.jit` and
    runs batch by batch; the others are parts of one program that runs many batches.
    """

    name: str
    trainer: Any
    trainable_variables: Any
    non_trainable_variables: Any
    _added_losses: tuple[Any, ...] = ()

    def train_step(self, state: Any, data: Any) -> Any:
        """One update: `(logs, state)`. Data is `x`, `(x, y)` or `(x, y, sample_weight)`."""
        return service("train_step")(self, state, data)

    def test_step(self, state: Any, data: Any) -> Any:
        """Loss and metrics of one batch more: `(logs, state)`."""
        return service("test_step")(self, state, data)

    def predict_step(self, state: Any, data: Any) -> Any:
        """The outputs for one batch: `(outputs, non_trainable_variables)`."""
        trainable, non_trainable = state
        x = data[0] if isinstance(data, (tuple, list)) else data
        return self.stateless_call(trainable, non_trainable, x, training=False)  # type: ignore[attr-defined]

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """The loss to minimize: that of `compile`, with `add_loss` and regularizers.

        An override is written with `kcompile.ops` and becomes a part of the training program.
        """
        return self.trainer.compute_loss(y, y_pred, sample_weight, self._added_losses)

    def compute_metrics(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None
    ) -> dict[str, Any]:
        """Update the metrics of `compile`; returns the results of all."""
        return dict(self.trainer.compute_metrics(y, y_pred, sample_weight))

    def stateless_compute_loss(
        self,
        trainable_variables: Sequence[Any],
        non_trainable_variables: Sequence[Any],
        metrics_variables: Sequence[Any],
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> tuple[Any, tuple[list[Any], list[Any], list[Any]]]:
        """`compute_loss` as a pure function: the loss, and the values of the three lists."""
        groups = (
            self.trainable_variables,
            self.non_trainable_variables,
            self.metrics_variables,
        )
        given = (trainable_variables, non_trainable_variables, metrics_variables)
        where = f"model '{self.name}': stateless_compute_loss"
        values: dict[Any, Any] = {}
        for variables, arrays in zip(groups, given, strict=True):
            values |= stateless_values(variables, arrays, where)
        with scopes.stateless(values) as after:
            loss = self.compute_loss(x, y, y_pred, sample_weight, training=training)
        first, second, third = ([after[v] for v in variables] for variables in groups)
        return loss, (first, second, third)

    @contextlib.contextmanager
    def added_losses(self, losses: Sequence[Any]) -> Iterator[None]:
        """Inside, `compute_loss` adds these in the place of `add_loss` and regularizers."""
        before, self._added_losses = self._added_losses, tuple(losses)
        try:
            yield
        finally:
            self._added_losses = before

    @property
    def metrics(self) -> list[Any]:
        """The metrics, the loss's mean first, and those that the model keeps in attributes."""
        return list(self.trainer.metrics)

    @property
    def metrics_names(self) -> list[str]:
        """The names of the metrics in logs, in the order of what `evaluate` returns."""
        return list(self.trainer.metrics_names)

    @property
    def metrics_variables(self) -> list[Variable]:
        """The variables of all metrics."""
        return [variable for metric in self.metrics for variable in metric.variables]

    def reset_metrics(self) -> None:
        """Let all metrics forget what they have taken in."""
        for metric in self.metrics:
            metric.reset_state()

    def get_metrics_result(self) -> dict[str, Any]:
        """The results of all metrics by name."""
        results: dict[str, Any] = {}
        for metric in self.metrics:
            result = metric.result()
            results |= result if isinstance(result, dict) else {metric.name: result}
        return results
