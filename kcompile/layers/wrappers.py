"""Layers around layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import kcompile.ops as ops
from kcompile.ir.dims import Dim
from kcompile.ir.errors import ShapeError, SpecError
from kcompile.layers.base import Layer
from kcompile.layers.nesting import build_inner, layer_of
from kcompile.layers.recurrent import RNN
from kcompile.ops.structure import map_leaves
from kcompile.ops.trace import require_trace

MERGE_MODES = ("concat", "sum", "ave", "mul", None)


class Wrapper(Layer):
    """A layer around another one."""

    def __init__(self, layer: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(layer, Layer):
            raise SpecError(f"wraps a layer, got {layer!r}", where=f"layer '{self.name}'")
        self.layer = layer

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Any:
        return super().from_config({**config, "layer": layer_of(config["layer"])})


class TimeDistributed(Wrapper):
    """A layer applied to each step of x `[N, T, ...]` by itself.

    Steps and samples make one batch, so the layer runs once.
    """

    supports_masking = True

    def __init__(self, layer: Any, **kwargs: Any) -> None:
        super().__init__(layer, **kwargs)
        if self.layer.activity_regularizer is not None:
            raise NotImplementedError(
                f"layer '{self.name}': an activity_regularizer of the inner layer is not there yet"
            )

    def build(self, input_shape: Any) -> None:
        build_inner(self.layer, (input_shape[0], *input_shape[2:]))

    def call(self, inputs: Any, training: bool = False, mask: Any = None) -> Any:
        if inputs.type.rank < 3:
            raise ShapeError(f"needs an input [N, T, ...] of rank 3 or more, got {inputs.type}")
        if training and self.layer.non_trainable_weights:
            return self._step_by_step(inputs, mask)
        batch, time = inputs.type.shape[:2]

        def merged(x: Any) -> Any:
            return ops.reshape(x, (batch * time, *x.type.shape[2:]))

        def split(y: Any) -> Any:
            return ops.reshape(y, (batch, time, *y.type.shape[1:]))

        keywords = {} if mask is None else self._mask_argument(merged(mask))
        return map_leaves(split, self.layer(merged(inputs), **keywords))

    def _mask_argument(self, mask: Any) -> dict[str, Any]:
        return {"mask": mask} if "mask" in self.layer._call_names else {}

    def _step_by_step(self, inputs: Any, mask: Any) -> Any:
        """For layers that gather statistics, which they do at each step."""
        time = inputs.type.shape[1]
        if isinstance(time, Dim):
            raise NotImplementedError(
                f"layer '{self.name}': training a layer with statistics at each step needs a fixed"
                " number of steps so far"
            )
        outputs = [
            self.layer(inputs[:, t], **({} if mask is None else self._mask_argument(mask[:, t])))
            for t in range(time)
        ]
        return ops.stack(outputs, 1)


class Bidirectional(Layer):
    """A recurrent layer forwards and another one backwards over x `[N, T, ...]`.

    Args: as in Keras. Both layers are made anew from the config of `layer`.
        zero_output_for_mask: False if masked steps of a sequence have the output of the step
            before, as in Keras 2 of some versions; Keras 3 has no such choice.
    """

    supports_masking = True

    def __init__(
        self,
        layer: Any,
        merge_mode: str | None = "concat",
        *,
        backward_layer: Any = None,
        zero_output_for_mask: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        where = f"layer '{self.name}'"
        for given in (layer, backward_layer):
            if given is not None and not isinstance(given, RNN):
                raise SpecError(f"wraps recurrent layers of ours, got {given!r}", where=where)
        if merge_mode not in MERGE_MODES:
            raise SpecError(f"merge_mode is one of {MERGE_MODES}, not {merge_mode!r}", where=where)
        self.merge_mode = merge_mode
        self.forward_layer = _copy(layer, "forward_")
        if backward_layer is None:
            backward_layer = _copy(layer, "backward_", go_backwards=True)
        self.backward_layer = backward_layer
        self._check(where)
        self.zero_output_for_mask = zero_output_for_mask
        for direction in (self.forward_layer, self.backward_layer):
            direction.zero_output_for_mask = zero_output_for_mask and direction.return_sequences

    @property
    def return_sequences(self) -> bool:
        return bool(self.forward_layer.return_sequences)

    @property
    def return_state(self) -> bool:
        return bool(self.forward_layer.return_state)

    def _check(self, where: str) -> None:
        forward, backward = self.forward_layer, self.backward_layer
        if forward.go_backwards == backward.go_backwards:
            raise SpecError("go_backwards must differ between the two layers", where=where)
        for name in ("stateful", "return_sequences", "return_state"):
            if getattr(forward, name) != getattr(backward, name):
                raise SpecError(f"{name} must be the same in both layers", where=where)

    def build(self, sequences_shape: Any) -> None:
        for direction in (self.forward_layer, self.backward_layer):
            build_inner(direction, sequences_shape)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        mask = previous_mask[0] if isinstance(previous_mask, (list, tuple)) else previous_mask
        mask = mask if self.return_sequences else None
        return (mask, mask) if self.merge_mode is None else mask

    def call(
        self,
        sequences: Any,
        initial_state: Sequence[Any] | None = None,
        mask: Any = None,
        training: bool = False,
    ) -> Any:
        half = 0 if initial_state is None else len(initial_state) // 2
        forward_state = None if initial_state is None else initial_state[:half]
        backward_state = None if initial_state is None else initial_state[half:]
        y, states = self._run(self.forward_layer, sequences, forward_state, mask, training)
        back, more = self._run(self.backward_layer, sequences, backward_state, mask, training)
        merged = self._merge(y, back)
        if not self.return_state:
            return merged
        outputs = merged if isinstance(merged, tuple) else (merged,)
        return (*outputs, *states, *more)

    def _run(self, layer: RNN, x: Any, state: Any, mask: Any, training: bool) -> tuple[Any, Any]:
        """Outputs, each at the step that it belongs to, or the last one; and the states."""
        with require_trace().builder.scope(layer.name):
            y, last, states = layer.unfold(x, state, mask, training)
            result = y if self.return_sequences else last
            layer.regularize_activity([result, *(states if self.return_state else [])])
        return result, states

    def _merge(self, y: Any, back: Any) -> Any:
        match self.merge_mode:
            case "concat":
                return ops.concatenate([y, back], -1)
            case "sum":
                return y + back
            case "ave":
                return (y + back) / 2
            case "mul":
                return y * back
        return y, back

    @property
    def layer(self) -> RNN:
        """What the config calls `layer`: the one that runs forwards."""
        return self.forward_layer

    def get_config(self) -> dict[str, Any]:
        """As `Layer.get_config`; what Keras 3 does not know only where it is another than there."""
        config = super().get_config()
        if self.zero_output_for_mask:
            del config["zero_output_for_mask"]
        return config

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Any:
        nested = {key: layer_of(config.get(key)) for key in ("layer", "backward_layer")}
        return super().from_config({**config, **nested})


def _copy(layer: RNN, prefix: str, **changes: Any) -> Any:
    """A new layer from the config of `layer`, with `prefix` before its name."""
    name = f"{prefix}{layer.name.removeprefix(prefix)}"
    return type(layer).from_config({**layer.get_config(), **changes, "name": name})
