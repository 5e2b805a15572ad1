"""Training and evaluation steps as XLA programs.

A program runs many steps in one dispatch: the data lie on the device, each step gathers its rows
by index, and the state is donated, so that it is updated in place. The number of steps of a
dispatch is an argument, not part of the program: nothing is recompiled when it changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from kcompile.ir.graph import Graph, Role
from kcompile.runtimes.jax import compile_cache
from kcompile.runtimes.jax.compiler_options import training_options, values_to_keep
from kcompile.runtimes.jax.debugging import find_non_finite
from kcompile.runtimes.jax.lowering import lower
from kcompile.runtimes.jax.optimizer_wrappers import loss_scale, num_skipped
from kcompile.runtimes.jax.optimizers import BoundedTransformation, apply_updates, are_bounded
from kcompile.runtimes.jax.rematerialization import Policy, plan
from kcompile.runtimes.jax.table import LOWERINGS, training_table
from kcompile.runtimes.jax.table_updates import Tables

Array: TypeAlias = jax.Array
Arrays: TypeAlias = dict[str, Array]

LOSS = "loss"
#: The name of what the optimizer computes, in compiled programs.
UPDATE_SCOPE = "optimizer"
# Places in the array of numbers that a program takes.
_SEED, _STEP, _BEGIN, _END, _FRESH = range(5)


class State(NamedTuple):
    """What steps change. It is donated to the program that runs them.

    Attributes:
        params: the weights that are trained, by name.
        states: statistics and metrics, by name.
        slots: the optimizer's own state; None in evaluation.
    """

    params: Arrays
    states: Arrays
    slots: Any


class Batches(NamedTuple):
    """What each step takes.

    Attributes:
        indices: row numbers, int32 `[num_steps, batch]`; `[batch]` for `run_one`.
        rates: learning rates, float32 `[num_steps]`; a scalar for `run_one`.
    """

    indices: Any
    rates: Any


class Logs(NamedTuple):
    """What a program reports.

    Attributes:
        scalars: float32: the number of finite steps, then the results that are numbers.
        arrays: the results that are not, by name.
    """

    scalars: Any
    arrays: Arrays


class Program:
    """Steps of one graph, compiled for each set of shapes.

    Args:
        graph: computes the output `loss` and updates the states.
        results: computes the logs from the states.
        initial: values of the states that start anew in every epoch: the metrics'.
        transformation: the optimizer, for training; None evaluates.
        constraints: computes updated weights, by name, from those that the optimizer gives.
        remat: what is computed again for gradients, instead of kept.
    """

    def __init__(
        self,
        graph: Graph,
        results: Graph,
        initial: Mapping[str, Any],
        transformation: Any = None,
        constraints: Graph | None = None,
        remat: Policy = None,
    ) -> None:
        self.graph = graph  # before lookups are taken out
        self.transformation = transformation
        updated = {update.state.name for update in graph.updates}
        params, states = names_of(graph, Role.PARAM), names_of(graph, Role.STATE)
        trains = transformation is not None
        self.param_names = params if trains else []
        self.state_names = [name for name in states if name in updated]
        self.frozen_names = [name for name in states if name not in updated]
        self.frozen_names += [] if trains else params
        self.initial = to_device(initial)
        self._data_types = {e.name: e.type.dtype.numpy for e in graph.inputs_with(Role.DATA)}
        self._rng_names = names_of(graph, Role.RNG)
        table = training_table(jax.default_backend()) if trains else LOWERINGS
        self._constraint_names = [] if constraints is None else names_of(constraints, Role.PARAM)
        self._tables = Tables(graph, transformation, self._constraint_names)
        graph = self._tables.graph
        kept = values_to_keep(graph) if trains else ()
        segments = plan(graph, remat) if trains else ()
        self._function, self._results = lower(graph, table, kept, segments), lower(results)
        self._constraints = None if constraints is None else lower(constraints)
        self._result_names = [entry.name for entry in results.inputs]
        self._scalar_names = [o.name for o in results.outputs if o.value.type.rank == 0]
        types = [entry.type.dtype for entry in graph.inputs if entry.name in self.param_names]
        self._gradients_tell = isinstance(transformation, BoundedTransformation) and all(
            dtype.numpy.itemsize >= 4 for dtype in types
        )
        self._step = self._training_step if trains else self._evaluation_step
        options = training_options(graph, bool(segments)) if trains else None
        compile_cache.start()
        self.loop = jax.jit(self._run_loop, donate_argnums=0, compiler_options=options)
        self._single = jax.jit(self._run_single, donate_argnums=0, compiler_options=options)

    def run_many(
        self,
        state: State,
        frozen: Arrays,
        data: Mapping[str, Any],
        batches: Batches,
        begin: int,
        end: int,
        *,
        key: tuple[int, int],
        fresh: bool,
    ) -> tuple[State, dict[str, Any], int]:
        """The steps from `begin` to `end` of `batches`.

        Args:
            state: donated; it must not be used again.
            frozen: weights that do not change.
            data: all rows, by name of the graph's input.
            batches: what each step takes.
            begin, end: which of the batches; their number may differ from call to call.
            key: seed and number of the first of these steps, for random ops.
            fresh: whether metrics start anew.

        Returns:
            The state after the steps, the logs, and the number of steps before the first that was
            not finite. Logs and number have waited for the device.
        """
        numbers = words(*key, begin, end, fresh)
        return self._reported(self.loop(state, frozen, self.initial, data, batches, numbers))

    def run_one(
        self,
        state: State,
        frozen: Arrays,
        data: Mapping[str, Any],
        batch: Batches,
        *,
        key: tuple[int, int],
        fresh: bool,
    ) -> tuple[State, dict[str, Any], int]:
        """The same for one step, without a loop."""
        numbers = words(*key, 0, 1, fresh)
        return self._reported(self._single(state, frozen, self.initial, data, batch, numbers))

    def lowered(
        self, weights: Mapping[str, Any], data: Mapping[str, Any], indices: tuple[int, ...]
    ) -> list[Any]:
        """What is to be compiled before `run_many`, or `run_one`, takes data of such types.

        Args:
            weights, data: arrays or types, by name.
            indices: their shape: `[num_steps, batch]`, or `[batch]` for `run_one`.

        Returns:
            Objects whose `compile()` compiles; for training also what makes the optimizer's state.
        """
        types = {**types_of(weights), **types_of(self.initial)}
        params = {name: types[name] for name in self.param_names}
        made, slots = [], None
        if self.transformation is not None:
            start = jax.jit(self.transformation.init)
            made, slots = [start.lower(params)], jax.eval_shape(start, params)
        state = State(params, {name: types[name] for name in self.state_names}, slots)
        frozen = {name: types[name] for name in self.frozen_names}
        batches = Batches(
            jax.ShapeDtypeStruct(indices, np.int32),
            jax.ShapeDtypeStruct(indices[:-1], np.float32),
        )
        run = self.loop if len(indices) == 2 else self._single
        numbers = words(*range(_FRESH + 1))
        return [*made, run.lower(state, frozen, self.initial, types_of(data), batches, numbers)]

    def non_finite_cause(
        self,
        state: State,
        frozen: Arrays,
        data: Mapping[str, Any],
        indices: Any,
        key: tuple[int, int],
    ) -> str:
        """What made a step not finite, which begins with that state; see `find_non_finite`."""
        rows = self._gather(to_device(data), indices)
        given = {**state.params, **state.states, **frozen, **rows}
        given |= self._random(jnp.asarray(words(*key)))
        return find_non_finite(self.graph, LOSS, given, self.param_names)

    def _reported(self, result: tuple[State, Logs]) -> tuple[State, dict[str, Any], int]:
        state, logs = result
        num_steps, *scalars = np.asarray(logs.scalars).tolist()
        named = dict(zip(self._scalar_names, scalars, strict=True))
        if logs.arrays:
            named |= jax.device_get(logs.arrays)
        return state, named, int(num_steps)

    def _run_single(
        self,
        state: State,
        frozen: Arrays,
        initial: Arrays,
        data: Arrays,
        batch: Batches,
        numbers: Array,
    ) -> tuple[State, Logs]:
        state = _restarted(state, initial, numbers[_FRESH] > 0)
        rows = self._gather(data, batch.indices)
        state, good = self._step(state, frozen, rows, batch.rates, numbers[:2], jnp.bool_(True))
        return state, self._logs(state, good.astype(jnp.float32))

    def _run_loop(
        self,
        state: State,
        frozen: Arrays,
        initial: Arrays,
        data: Arrays,
        batches: Batches,
        numbers: Array,
    ) -> tuple[State, Logs]:
        begin, end = (numbers[i].astype(jnp.int32) for i in (_BEGIN, _END))
        skipped_before = num_skipped(state.slots)

        def body(number: Array, carry: tuple[State, Array, Array]) -> tuple[State, Array, Array]:
            state, good, num_steps = carry
            rows = self._gather(data, batches.indices[number])
            step = numbers[_STEP] + (number - begin).astype(jnp.uint32)
            key = jnp.stack([numbers[_SEED], step])
            # A skipped step leaves its learning rate to the next one.
            rate = batches.rates[number - (num_skipped(state.slots) - skipped_before)]
            state, good = self._step(state, frozen, rows, rate, key, good)
            return state, good, num_steps + good.astype(jnp.float32)

        carry = (_restarted(state, initial, numbers[_FRESH] > 0), jnp.bool_(True), jnp.float32(0))
        state, _, num_steps = lax.fori_loop(begin, end, body, carry)
        return state, self._logs(state, num_steps)

    def _gather(self, data: Arrays, indices: Array) -> Arrays:
        """The rows, in the types that the graph takes."""
        return {
            name: jnp.take(array, indices, axis=0, mode="clip").astype(self._data_types[name])
            for name, array in data.items()
        }

    def _evaluate(
        self, params: Arrays, states: Arrays, frozen: Arrays, rows: Arrays, key: Array
    ) -> tuple[Array, Arrays]:
        arrays = {**params, **states, **frozen, **rows, **self._random(key)}
        outputs, updates = self._function(arrays)
        return outputs[LOSS], {**states, **updates}

    def _random(self, key: Array) -> Arrays:
        return dict.fromkeys(self._rng_names, key)

    def _evaluation_step(
        self, state: State, frozen: Arrays, rows: Arrays, rate: Array, key: Array, good: Array
    ) -> tuple[State, Array]:
        loss, states = self._evaluate(state.params, state.states, frozen, rows, key)
        return state._replace(states=states), good & jnp.isfinite(loss)

    def _training_step(
        self, state: State, frozen: Arrays, rows: Arrays, rate: Array, key: Array, good: Array
    ) -> tuple[State, Array]:
        """The state after one step, or the same state when the step is not finite.

        A step is finite if its loss and the updated weights are: a finite loss can have a gradient
        of NaN. Where the gradients tell, nothing waits for the weights. `good` says whether the
        steps so far were; once one was not, nothing changes.
        """

        scale = loss_scale(state.slots)
        tables = self._tables
        dense, slots = tables.rest(state.params), tables.rest_of_slots(state.slots)
        given = {**state.params, **state.states, **frozen, **rows, **self._random(key)}
        indices = tables.indices(given)

        def loss_of(params: Arrays, looked_up: Arrays) -> tuple[Array, tuple[Array, Arrays]]:
            weights = {**params, **looked_up}
            loss, states = self._evaluate(weights, state.states, frozen, rows, key)
            return loss if scale is None else loss * scale, (loss, states)

        take_gradients = jax.value_and_grad(loss_of, (0, 1), has_aux=True)
        taken = take_gradients(dense, tables.rows(state.params, indices))
        (_, (loss, states)), (gradients, row_gradients) = taken
        with jax.named_scope(UPDATE_SCOPE):
            updates, new_slots = self.transformation.update(
                gradients, slots, dense, learning_rate=rate
            )
            params = apply_updates(dense, updates)
        good = good & jnp.isfinite(loss)
        if self._gradients_tell:
            good = good & are_bounded((gradients, row_gradients), rate)
        else:
            good = good & _all_finite(params)
        after = State({**params, **self._constrained(params)}, states, new_slots)
        before = State(dense, state.states, slots)
        new = jax.tree.map(lambda after, before: jnp.where(good, after, before), after, before)
        if tables.names:
            by_table = tables.gradients(indices, row_gradients)
            new = _joined(new, *tables.updated(state.params, state.slots, by_table, rate, good))
        return new, good

    def _constrained(self, params: Arrays) -> Arrays:
        """The weights with a constraint, after it."""
        if self._constraints is None:
            return {}
        constrained, _ = self._constraints({name: params[name] for name in self._constraint_names})
        return constrained

    def _logs(self, state: State, num_steps: Array) -> Logs:
        results, _ = self._results({name: state.states[name] for name in self._result_names})
        scalars = [results.pop(name).astype(jnp.float32) for name in self._scalar_names]
        return Logs(jnp.stack([num_steps, *scalars]), results)


def to_device(arrays: Mapping[str, Any]) -> Arrays:
    """The arrays on the device."""
    return {name: jax.device_put(array) for name, array in arrays.items()}


def copied(arrays: Mapping[str, Any]) -> Arrays:
    """Copies on the device, which nobody else holds and which may be donated."""
    return {name: jax.device_put(array, may_alias=False) for name, array in arrays.items()}


def initialize(transformation: Any, params: Arrays) -> Any:
    """The optimizer's state before the first update."""
    return jax.jit(transformation.init)(params)


def on_host(arrays: Any) -> Any:
    """The arrays as NumPy's; waits until they are computed."""
    return jax.device_get(arrays)


def types_of(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Shapes and element types in the place of arrays."""
    return {n: jax.ShapeDtypeStruct(array.shape, array.dtype) for n, array in arrays.items()}


def _restarted(state: State, initial: Arrays, fresh: Array) -> State:
    """The state with metrics at their start, if `fresh`."""
    states = {
        name: jnp.where(fresh, initial[name], array) if name in initial else array
        for name, array in state.states.items()
    }
    return state._replace(states=states)


def _joined(state: State, tables: Arrays, slots: Mapping[str, Arrays]) -> State:
    """The state with tables and their slots, which are kept apart in a step."""
    kinds = {kind: {**arrays, **slots[kind]} for kind, arrays in state.slots.slots.items()}
    whole = state.slots._replace(slots=kinds)
    return State({**state.params, **tables}, state.states, whole)


def _all_finite(arrays: Arrays) -> Array:
    finite = [jnp.isfinite(array).all() for array in arrays.values()]
    return jnp.stack(finite).all() if finite else jnp.bool_(True)


def words(*numbers: int) -> np.ndarray[Any, Any]:
    """The numbers as one array: each argument of a dispatch costs time."""
    return np.array([number % 2**32 for number in numbers], np.uint32)


def names_of(graph: Graph, role: Role) -> list[str]:
    """Names of the graph's inputs of that role."""
    return [entry.name for entry in graph.inputs_with(role)]
