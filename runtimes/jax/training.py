"""Training and evaluation steps as XLA programs.

A program runs many steps in one dispatch: the data lie on the device, each step gathers its rows by
index, and the state is donated, so that it is updated in place. The number of steps of a dispatch is
an argument, not part of the program: nothing is recompiled when it changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from kcompile.ir.graph import Graph, Role
from kcompile.ir.ops import Conv
from kcompile.runtimes.jax.lowering import lower
from kcompile.runtimes.jax.optimizers import apply_updates

Array: TypeAlias = jax.Array
Arrays: TypeAlias = dict[str, Array]

LOSS = "loss"
_COUNT = np.int32


class State(NamedTuple):
    """What steps change. It is donated to the program that runs them.

    Attributes:
        params: the weights that are trained, by name.
        states: statistics and metrics, by name.
        slots: the optimizer's own state; None in evaluation.
        num_steps: steps with a finite loss since the last reset, an int32 scalar.
    """

    params: Arrays
    states: Arrays
    slots: Any
    num_steps: Array


class Batches(NamedTuple):
    """Which rows each step takes, and what else differs from step to step.

    Attributes:
        indices: row numbers, int32 `[num_steps, batch]`.
        rates: learning rates, float32 `[num_steps]`.
        seed: first word of the random key; the second is the step's number.
        first_step: number of the first step in all training, uint32.
    """

    indices: Any
    rates: Any
    seed: np.uint32
    first_step: np.uint32


class Program:
    """Steps of one graph, compiled for each set of shapes.

    Args:
        graph: computes the output `loss` and updates the states.
        results: computes the logs from the states.
        initial: values of the states that start anew in every epoch: the metrics'.
        transformation: the optimizer, for training; None evaluates.
    """

    def __init__(
        self,
        graph: Graph,
        results: Graph,
        initial: Mapping[str, Any],
        transformation: Any = None,
    ) -> None:
        self.graph = graph
        self.transformation = transformation
        updated = {update.state.name for update in graph.updates}
        params, states = _names(graph, Role.PARAM), _names(graph, Role.STATE)
        trains = transformation is not None
        self.param_names = params if trains else []
        self.state_names = [name for name in states if name in updated]
        self.frozen_names = [name for name in states if name not in updated]
        self.frozen_names += [] if trains else params
        #: Convolution gradients in a loop are 10 to 75 times slower than outside on XLA's CPU backend.
        self.loops_well = not (trains and _on_cpu() and _has_convolution(graph))
        self._initial = to_device(initial)
        self._data_types = {e.name: e.type.dtype.numpy for e in graph.inputs_with(Role.DATA)}
        self._rng_names = _names(graph, Role.RNG)
        self._function, self._results = lower(graph), lower(results)
        self._result_names = [entry.name for entry in results.inputs]
        self._step = self._training_step if trains else self._evaluation_step
        self._loop = jax.jit(self._run_loop, donate_argnums=0)
        self._single = jax.jit(self._run_single, donate_argnums=0)

    def run_many(
        self,
        state: State,
        frozen: Arrays,
        data: Mapping[str, Any],
        batches: Batches,
        begin: int,
        end: int,
        *,
        fresh: bool,
    ) -> tuple[State, Arrays]:
        """The steps from `begin` to `end` of `batches`: the state after them, and the logs.

        Args:
            state: donated; it must not be used again.
            frozen: weights that do not change.
            data: all rows, by name of the graph's input.
            batches: what each step takes.
            begin, end: which of the batches; their number may differ from call to call.
            fresh: whether metrics and the count of steps start anew.
        """
        return self._loop(  # type: ignore[no-any-return]
            state, frozen, self._initial, np.bool_(fresh), data, batches, _COUNT(begin), _COUNT(end)
        )

    def run_one(
        self,
        state: State,
        frozen: Arrays,
        data: Mapping[str, Any],
        batch: Batches,
        *,
        fresh: bool,
    ) -> tuple[State, Arrays]:
        """The same for one step, without a loop; `batch` has no axis of steps."""
        return self._single(state, frozen, self._initial, np.bool_(fresh), data, batch)  # type: ignore[no-any-return]

    def _run_single(
        self,
        state: State,
        frozen: Arrays,
        initial: Arrays,
        fresh: Array,
        data: Arrays,
        batch: Batches,
    ) -> tuple[State, Arrays]:
        rows = self._gather(data, batch.indices)
        state = _restarted(state, initial, fresh)
        state = self._step(state, frozen, rows, batch.rates, _key(batch, 0))
        return state, self._logs(state)

    def _run_loop(
        self,
        state: State,
        frozen: Arrays,
        initial: Arrays,
        fresh: Array,
        data: Arrays,
        batches: Batches,
        begin: Array,
        end: Array,
    ) -> tuple[State, Arrays]:
        def body(number: Array, state: State) -> State:
            rows = self._gather(data, batches.indices[number])
            return self._step(state, frozen, rows, batches.rates[number], _key(batches, number))

        state = lax.fori_loop(begin, end, body, _restarted(state, initial, fresh))
        return state, self._logs(state)

    def _gather(self, data: Arrays, indices: Array) -> Arrays:
        """The rows, in the types that the graph takes."""
        return {
            name: jnp.take(array, indices, axis=0, mode="clip").astype(self._data_types[name])
            for name, array in data.items()
        }

    def _evaluate(
        self, params: Arrays, states: Arrays, frozen: Arrays, rows: Arrays, key: Array
    ) -> tuple[Array, Arrays]:
        rng = dict.fromkeys(self._rng_names, key)
        outputs, updates = self._function({**params, **states, **frozen, **rows, **rng})
        return outputs[LOSS], {**states, **updates}

    def _evaluation_step(
        self, state: State, frozen: Arrays, rows: Arrays, rate: Array, key: Array
    ) -> State:
        _, states = self._evaluate(state.params, state.states, frozen, rows, key)
        return state._replace(states=states, num_steps=state.num_steps + 1)

    def _training_step(
        self, state: State, frozen: Arrays, rows: Arrays, rate: Array, key: Array
    ) -> State:
        """The state after one step, or the same state when the loss is not finite.

        Once it was not, `num_steps` lags behind, and later steps change nothing either.
        """

        def loss_of(params: Arrays) -> tuple[Array, Arrays]:
            return self._evaluate(params, state.states, frozen, rows, key)

        (loss, states), gradients = jax.value_and_grad(loss_of, has_aux=True)(state.params)
        updates, slots = self.transformation.update(
            gradients, state.slots, state.params, learning_rate=rate
        )
        params = apply_updates(state.params, updates)
        good = jnp.isfinite(loss)
        new = State(params, states, slots, state.num_steps + 1)
        return jax.tree.map(lambda after, before: jnp.where(good, after, before), new, state)  # type: ignore[no-any-return]

    def _logs(self, state: State) -> Arrays:
        logs, _ = self._results({name: state.states[name] for name in self._result_names})
        return {**logs, NUM_STEPS: state.num_steps}


#: Key of the logs under which the number of finite steps is.
NUM_STEPS = "/num_steps"


class Predictor:
    """The outputs of an inference graph for batches of rows."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.weight_names = [e.name for e in graph.inputs_with(Role.PARAM, Role.STATE)]
        self._rng_names = _names(graph, Role.RNG)
        self._data_types = {e.name: e.type.dtype.numpy for e in graph.inputs_with(Role.DATA)}
        self._function = jax.jit(self._run)

    def run(
        self, weights: Arrays, rows: Mapping[str, Any], seed: np.uint32, number: int
    ) -> list[Array]:
        """The outputs in order, still on the device."""
        return self._function(weights, dict(rows), np.array([seed, number], np.uint32))  # type: ignore[no-any-return]

    def _run(self, weights: Arrays, rows: Arrays, key: Array) -> list[Array]:
        rows = {name: array.astype(self._data_types[name]) for name, array in rows.items()}
        outputs, _ = lower(self.graph)({**weights, **rows, **dict.fromkeys(self._rng_names, key)})
        return [outputs[output.name] for output in self.graph.outputs]


def to_device(arrays: Mapping[str, Any]) -> Arrays:
    """The arrays on the device."""
    return {name: jnp.asarray(array) for name, array in arrays.items()}


def copied(arrays: Mapping[str, Any]) -> Arrays:
    """Copies on the device, which nobody else holds and which may be donated."""
    return {name: jnp.array(array, copy=True) for name, array in arrays.items()}


def copied_tree(tree: Any) -> Any:
    """The same for any structure of arrays."""
    return jax.tree.map(lambda array: jnp.array(array, copy=True), tree)


def on_host(arrays: Any) -> Any:
    """The arrays as NumPy's; waits until they are computed."""
    return jax.device_get(arrays)


def start(params: Arrays, states: Arrays, slots: Any) -> State:
    """A state before its first step."""
    return State(params, states, slots, jnp.zeros((), _COUNT))


def _restarted(state: State, initial: Arrays, fresh: Array) -> State:
    """The state with metrics and the count of steps at their start, if `fresh`."""
    states = {
        name: jnp.where(fresh, initial[name], array) if name in initial else array
        for name, array in state.states.items()
    }
    zero = jnp.zeros_like(state.num_steps)
    return state._replace(states=states, num_steps=jnp.where(fresh, zero, state.num_steps))


def _key(batches: Batches, number: Any) -> Array:
    step = jnp.asarray(batches.first_step, jnp.uint32) + jnp.asarray(number, jnp.uint32)
    return jnp.stack([jnp.asarray(batches.seed, jnp.uint32), step])


def _names(graph: Graph, role: Role) -> list[str]:
    return [entry.name for entry in graph.inputs_with(role)]


def _on_cpu() -> bool:
    return jax.default_backend() == "cpu"


def _has_convolution(graph: Graph) -> bool:
    return any(isinstance(node.op, Conv) for node in graph.nodes)
