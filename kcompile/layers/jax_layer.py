"""Models that are written in JAX, as layers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np

import kcompile.ops as ops
from kcompile.ir import ops as ir
from kcompile.ir.errors import SpecError
from kcompile.ir.types import DType
from kcompile.layers.base import Layer
from kcompile.ops import seeds
from kcompile.ops.door import service
from kcompile.ops.tensor import TracedTensor
from kcompile.ops.trace import emit, require_trace, unused_name
from kcompile.ops.variable import Variable

_CALL_ARGUMENTS = ("params", "state", "rng", "inputs", "training")
_INIT_ARGUMENTS = ("rng", "inputs", "training")


class JaxLayer(Layer):
    """`outputs = call_fn(params, state, rng, inputs, training)`, a pure JAX function.

    What holds for the function of a `Lambda` holds for it: its jaxpr is taken over into the graph,
    and what has no form there trains and is not exported.

    Args:
        call_fn: takes those of the arguments that it has parameters for, by position in their
            order; gives the outputs, and the next state if it takes one. `rng` is a key `u32[2]`
            in training and None otherwise.
        init_fn: takes `rng`, `inputs` and `training` likewise; gives the params, and the state if
            `call_fn` takes one.
        params: a pytree of the weights that are trained, in place of those of `init_fn`.
        state: a pytree of the weights that are not.
        seed: of the keys.
    """

    def __init__(
        self,
        call_fn: Callable[..., Any],
        init_fn: Callable[..., Any] | None = None,
        params: Any = None,
        state: Any = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.call_fn = call_fn
        self.init_fn = init_fn
        self.seed = seed
        self._taken = self._names_of(call_fn, "call_fn", _CALL_ARGUMENTS)
        self._needs_weights = "params" in self._taken or "state" in self._taken
        if init_fn is not None:
            self._given = self._names_of(init_fn, "init_fn", _INIT_ARGUMENTS)
        elif params is None and state is None and self._needs_weights:
            raise self._error("needs init_fn, params or state, as call_fn takes params or a state")
        self._has_weights = params is not None or state is not None
        if self._has_weights:
            self._make_weights(params, state)

    def _names_of(
        self, function: Callable[..., Any], what: str, known: Sequence[str]
    ) -> tuple[str, ...]:
        """Names of the parameters.

        Raises:
            SpecError: `inputs` is missing, or one is none of `known`.
        """
        names = tuple(inspect.signature(function).parameters)
        unknown = [name for name in names if name not in known]
        if unknown:
            raise self._error(f"{what} takes some of {', '.join(known)}, not {unknown[0]!r}")
        if "inputs" not in names:
            raise self._error(f"{what} must take 'inputs'")
        return names

    def _error(self, message: str) -> SpecError:
        return SpecError(message, where=f"layer '{self.name}'")

    def build(self, input_shape: Any) -> None:
        if self._has_weights or not self._needs_weights:
            return
        assert self.init_fn is not None  # checked when the layer was made
        values = {
            "rng": np.random.default_rng(seeds.next_seed()).integers(0, 2**32, 2, np.uint32),
            "inputs": _placeholders(input_shape),
            "training": True,
        }
        made = self.init_fn(*(values[name] for name in self._given))
        params, state = made if "state" in self._taken else (made, None)
        self._make_weights(params, state)

    def _make_weights(self, params: Any, state: Any) -> None:
        self.tracked_params, self._pack_params = self._weights_of(params, True)
        self.tracked_state, self._pack_state = self._weights_of(state, False)
        self._has_weights = True

    def _weights_of(self, tree: Any, trainable: bool) -> tuple[list[Any], Callable[..., Any]]:
        """The leaves, with a weight for each array or number; and what makes a pytree of them."""
        flat, pack = service("flatten_jax_tree")(tree)
        weights: list[Any] = []
        for leaf in flat:
            taken = [w for w in (*weights, *self._own_variables) if isinstance(w, Variable)]
            weights.append(self._weight_of(leaf, trainable, {w.name for w in taken}))
        return weights, pack

    def _weight_of(self, leaf: Any, trainable: bool, taken: set[str]) -> Any:
        if not isinstance(leaf, (bool, int, float)) and not hasattr(leaf, "dtype"):
            return leaf
        array = np.asarray(leaf)
        element = DType.of(array.dtype)
        return self.add_weight(
            array.shape,
            lambda shape, dtype: array.astype(dtype),
            dtype=None if element.is_floating else element.keras_name,
            trainable=trainable,
            name=unused_name("variable", taken),
        )

    def call(self, inputs: Any, training: bool = False) -> Any:
        tensors = {"inputs": inputs}
        if "params" in self._taken:
            tensors["params"] = [_value(leaf) for leaf in self.tracked_params]
        if "state" in self._taken:
            tensors["state"] = [_value(leaf) for leaf in self.tracked_state]
        if "rng" in self._taken:
            tensors["rng"] = self._key() if training else None
        static = {"training": training} if "training" in self._taken else {}
        traced = service("trace_jax_function")(self._compute, (tensors,), {}, static)
        if "state" not in self._taken:
            return traced
        outputs, state = traced
        if len(state) != len(self.tracked_state):
            raise self._error(
                f"call_fn returns a state of {len(state)} tensors; it has {len(self.tracked_state)}"
            )
        for variable, value in zip(self.tracked_state, state, strict=True):
            variable.assign(value)
        return outputs

    def _key(self) -> Any:
        """A key `u32[2]` of 24 random bits in each word."""
        trace = require_trace()
        op = ir.RandomUniform((2,), trace.stream(self.seed), trace.mode.forced)
        return ops.cast(emit(op, TracedTensor(trace, trace.rng())) * 2.0**24, "uint32")

    def _compute(self, tensors: dict[str, Any], **static: Any) -> Any:
        """What `call_fn` returns; the state as a list."""
        given = {**tensors, **static}
        if "params" in given:
            given["params"] = self._pack_params(given["params"])
        if "state" in given:
            given["state"] = self._pack_state(given["state"])
        results = self.call_fn(*(given[name] for name in self._taken))
        if "state" not in given:
            return results
        outputs, state = results
        return outputs, service("flatten_jax_tree")(state)[0]

    @property
    def params(self) -> Any:
        """The pytree of the weights that are trained; None before they are made."""
        return self._pack_params(self.tracked_params) if self._has_weights else None

    @property
    def state(self) -> Any:
        """The pytree of the weights that are not trained; None before they are made."""
        return self._pack_state(self.tracked_state) if self._has_weights else None

    def get_config(self) -> NoReturn:
        raise SpecError(
            "its functions are Python code, which a config does not hold",
            where=f"layer '{self.name}'",
            hint="Make the model in code and load its weights",
        )


def _value(leaf: Any) -> Any:
    return leaf.value if isinstance(leaf, Variable) else leaf


def _placeholders(shape: Any) -> Any:
    """Arrays of ones for a shape, or a structure of shapes."""
    if isinstance(shape, dict):
        return {key: _placeholders(entry) for key, entry in shape.items()}
    if all(size is None or isinstance(size, int) for size in shape):
        return service("jax_placeholder")(shape)
    return type(shape)(_placeholders(entry) for entry in shape)
