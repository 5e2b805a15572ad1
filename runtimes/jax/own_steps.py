"""Training steps that a model defines itself, as functions of lists of arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kcompile.ops.scopes import random_keys
from kcompile.runtimes.jax import compile_cache
from kcompile.runtimes.jax import optimizer_wrappers as wrappers
from kcompile.runtimes.jax.optimizers import apply_updates


class OwnStep:
    """A step `(state, data) -> results` under `jax.jit`; the state is donated where it is new.

    Args:
        function: the model's method.
        donates: whether the state that is given may be overwritten.
    """

    def __init__(self, function: Callable[[Any, Any], Any], donates: bool) -> None:
        self._function = function
        compile_cache.start()
        self._run = jax.jit(self._call, donate_argnums=(0,) if donates else ())

    def __call__(self, state: Any, data: Any, seed: int, step: int) -> Any:
        """The results, still on the device.

        Args:
            seed, step: of the random numbers.
        """
        return self._run(state, data, np.array([seed % 2**32, step % 2**32], np.uint32))

    def _call(self, state: Any, data: Any, key: Any) -> Any:
        with random_keys(key):
            return self._function(state, data)


class PureOptimizer:
    """An optimizer's transformation on lists of arrays.

    Args:
        optimizer: a `kcompile.training.optimizers.Optimizer`.
        names: of the weights, by variable, in order.
    """

    def __init__(self, optimizer: Any, names: Mapping[Any, str]) -> None:
        self._optimizer = optimizer
        self._names = list(names.values())
        self._transformation = optimizer.transformation(names)
        self._structure: Any = None

    def initial(self, weights: Mapping[str, Any]) -> dict[str, Any]:
        """The slots before the first update, by name."""
        slots = jax.jit(self._transformation.init)({n: jnp.asarray(w) for n, w in weights.items()})
        paths, self._structure = jax.tree_util.tree_flatten_with_path(slots)
        return {_place(path): array for path, array in paths}

    def update(
        self, slots: Sequence[Any], gradients: list[Any], weights: list[Any], rate: Any
    ) -> tuple[list[Any], list[Any]]:
        """The next weights and slots; gradients count in the element types of the weights."""
        params = dict(zip(self._names, weights, strict=True))
        given = zip(self._names, gradients, weights, strict=True)
        updates, state = self._transformation.update(
            {name: jnp.asarray(gradient, weight.dtype) for name, gradient, weight in given},
            self._state(slots),
            params,
            learning_rate=rate,
        )
        new = apply_updates(params, updates)
        return [new[name] for name in self._names], jax.tree.leaves(state)

    def loss_scale(self, slots: Sequence[Any]) -> Any:
        """What the loss is to be multiplied by; None for nothing."""
        return wrappers.loss_scale(self._state(slots))

    def num_skipped(self, slots: Sequence[Any]) -> Any:
        """The updates so far that were skipped for gradients that were not finite."""
        return wrappers.num_skipped(self._state(slots))

    def averages(self, slots: Sequence[Any]) -> list[Any] | None:
        """Copies of the moving averages of the weights; None if there are none."""
        found = wrappers.averages(self._state(slots))
        return None if found is None else [jnp.array(found[name]) for name in self._names]

    def _state(self, slots: Sequence[Any]) -> Any:
        return jax.tree.unflatten(self._structure, slots)

    def scheduled_rate(self, iteration: Any) -> Any:
        """The learning rate of an update, by a call back to Python: schedules run there."""

        def rate(step: Any) -> Any:
            return np.float32(self._optimizer.learning_rates(int(step), 1)[0])

        return jax.pure_callback(rate, jax.ShapeDtypeStruct((), jnp.float32), iteration)


def tree_arrays(tree: Any, prefix: str = "") -> dict[str, np.ndarray[Any, Any]]:
    """Copies of a tree's arrays on the host, by their places."""
    paths, _ = jax.tree_util.tree_flatten_with_path(jax.device_get(tree))
    return {prefix + _place(path): np.array(leaf) for path, leaf in paths}


def tree_like(tree: Any, arrays: Mapping[str, Any], prefix: str = "") -> Any:
    """A tree like another with arrays from `tree_arrays`."""
    paths, structure = jax.tree_util.tree_flatten_with_path(tree)
    found = [jax.device_put(arrays[prefix + _place(path)], may_alias=False) for path, _ in paths]
    return jax.tree.unflatten(structure, found)


def _place(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


def train_step(model: Any, state: Any, data: Any) -> Any:
    """The step that `Model.train_step` makes where it is not overridden."""
    from kcompile.ops.batches import unpack_x_y_sample_weight
    from kcompile.ops.scopes import stateless

    trainable, non_trainable, optimizer_variables, metrics = state
    x, y, sample_weight = unpack_x_y_sample_weight(data)

    # A wrong number of values is refused by `stateless_apply`.
    slots = dict(zip(model.optimizer.variables, optimizer_variables, strict=False))

    def loss_of(trainable: Any) -> Any:
        state = trainable, non_trainable, metrics
        loss, aux = _loss(model, state, x, y, sample_weight, True)
        with stateless(slots):
            return model.optimizer.scale_loss(loss), (loss, *aux)

    value_and_grad = jax.value_and_grad(loss_of, has_aux=True)
    (_, (loss, y_pred, non_trainable, metrics)), gradients = value_and_grad(trainable)
    trainable, optimizer_variables = model.optimizer.stateless_apply(
        optimizer_variables, gradients, trainable
    )
    logs, metrics = _measured(model, metrics, loss, x, y, y_pred, sample_weight)
    return logs, (trainable, non_trainable, optimizer_variables, metrics)


def test_step(model: Any, state: Any, data: Any) -> Any:
    """The step that `Model.test_step` makes where it is not overridden."""
    from kcompile.ops.batches import unpack_x_y_sample_weight

    trainable = state[0]
    x, y, sample_weight = unpack_x_y_sample_weight(data)
    loss, aux = _loss(model, state, x, y, sample_weight, False)
    y_pred, non_trainable, metrics = aux
    logs, metrics = _measured(model, metrics, loss, x, y, y_pred, sample_weight)
    return logs, (trainable, non_trainable, metrics)


def _loss(model: Any, state: Any, x: Any, y: Any, sample_weight: Any, training: bool) -> Any:
    trainable, non_trainable, metrics = state
    y_pred, non_trainable, losses = model.stateless_call(
        trainable, non_trainable, x, training=training, return_losses=True
    )
    with model.added_losses(losses):
        loss, (_, non_trainable, metrics) = model.stateless_compute_loss(
            trainable, non_trainable, metrics, x, y, y_pred, sample_weight, training
        )
    return loss, (y_pred, non_trainable, metrics)


def _measured(
    model: Any, values: Any, loss: Any, x: Any, y: Any, y_pred: Any, sample_weight: Any
) -> tuple[dict[str, Any], list[Any]]:
    """Logs, and the metrics' next values."""
    from kcompile.ops.scopes import stateless

    rows = jax.tree.leaves(x)[0].shape[0]
    variables = model.metrics_variables
    with stateless(dict(zip(variables, values, strict=True))) as after:
        model.trainer.loss_tracker.update_state(loss, sample_weight=jnp.float32(rows))
        logs = model.compute_metrics(x, y, y_pred, sample_weight)
    return logs, [after[variable] for variable in variables]
