"""Recurrent layers: LSTM, GRU and RNN of ONNX.

Of the layouts that ONNX has, onnxruntime computes x `[T, N, C]` alone. ONNX knows sequences of
different lengths and no other masks. A masked step changes nothing, so the steps that count are
moved to the front, in their order; they are a sequence with a length; and the results are moved
back. That is exact for every mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kcompile.ir.dims import Dim
from kcompile.ir.graph import Value
from kcompile.ir.op import Array
from kcompile.ir.ops import Gru, Lstm, SimpleRnn
from kcompile.ir.types import DType, TensorType
from kcompile.runtimes.onnx.emitter import Emitter
from kcompile.runtimes.onnx.kernels import compute_type
from kcompile.runtimes.onnx.table import lowers

#: ONNX's name, alpha and beta of each function of the gates.
_ACTIVATIONS: dict[str, tuple[str, float | None, float | None]] = {
    "elu": ("Elu", 1.0, None),
    "hard_sigmoid": ("HardSigmoid", 1 / 6, 0.5),
    "hard_sigmoid_keras2": ("HardSigmoid", 0.2, 0.5),
    "linear": ("Affine", 1.0, 0.0),
    "relu": ("Relu", None, None),
    "sigmoid": ("Sigmoid", None, None),
    "softplus": ("Softplus", None, None),
    "softsign": ("Softsign", None, None),
    "tanh": ("Tanh", None, None),
}
#: ONNX's gates i, o, f, c among ours, which are i, f, c, o.
_LSTM_ORDER = (0, 3, 1, 2)


@lowers(Lstm, Gru, SimpleRnn)
def _recurrent(
    emitter: Emitter, op: Lstm | Gru | SimpleRnn, *operands: Value | None
) -> tuple[Value, ...]:
    return lower_directions(emitter, [op], [operands])


def lower_directions(
    emitter: Emitter,
    directions: Sequence[Lstm | Gru | SimpleRnn],
    operands: Sequence[tuple[Value | None, ...]],
) -> tuple[Value, ...]:
    """The results of one op, or of a forward and a backward one side by side.

    Args:
        emitter: of the graph.
        directions: ops that differ in `reverse` alone; two of them are `zero_masked`.
        operands: those of each; x and the mask are the same.
    """
    op = directions[0]
    names = op.operand_names()
    given = [dict(zip(names, values, strict=False)) for values in operands]
    if any(of.get(name) is not None for of in given for name in names if "dropout" in name):
        raise emitter.refusal("ONNX has no dropout inside of a recurrent layer")
    gates = (op.recurrent_activation, op.activation)
    match op:
        case Lstm():
            layer = _Layer(emitter, directions, "LSTM", (*gates, op.activation), _LSTM_ORDER, {})
        case Gru():
            attributes = {"linear_before_reset": 1} if op.reset_after else {}
            layer = _Layer(emitter, directions, "GRU", gates, (0, 1, 2), attributes)
        case _:
            layer = _Layer(emitter, directions, "RNN", (op.activation,), (0,), {})
    weights = layer.packed(
        [
            layer.weights(*(of.get(name) for name in ("kernel", "recurrent_kernel", "bias")))
            for of in given
        ]
    )
    states = [[of.get(name) for of in given] for name in names if name.startswith("initial_")]
    return layer.lower(given[0]["x"], weights, states, given[0].get("mask"))


@dataclass(frozen=True)
class _Layer:
    """Recurrent ops on their way to one node of ONNX.

    Attributes:
        directions: one op, or a forward and a backward one.
        op_type: in ONNX.
        functions: names of the functions of its gates, in ONNX's order.
        order: our gates in ONNX's order.
        attributes: of the ONNX node, besides those that all have.
    """

    emitter: Emitter
    directions: Sequence[Lstm | Gru | SimpleRnn]
    op_type: str
    functions: tuple[str, ...]
    order: tuple[int, ...]
    attributes: dict[str, Any]

    @property
    def op(self) -> Lstm | Gru | SimpleRnn:
        """The first op."""
        return self.directions[0]

    @property
    def _num_directions(self) -> int:
        return len(self.directions)

    @property
    def _dtype(self) -> DType:
        """The element type that onnxruntime computes in.

        Raises:
            ExportError: there is none that gives the same.
        """
        dtype = self.emitter.result.dtype
        wide = compute_type(self.op_type, dtype)
        if wide is None:
            raise self.emitter.refusal(
                f"onnxruntime has no {self.op_type} for {dtype.keras_name}",
                hint="Cast to another type in the model, for example float32",
            )
        return wide

    def weights(self, kernel: Any, recurrent_kernel: Any, bias: Any) -> list[Value | None]:
        """W `[1, G * H, C]`, R `[1, G * H, H]` and B `[1, 2 * G * H]`, or None for no bias."""
        matrices = [self._matrix(kernel, "W"), self._matrix(recurrent_kernel, "R")]
        if bias is None:
            return [*matrices, None]
        array = self.emitter.literal(bias)
        width = bias.type.shape[-1]
        if not isinstance(width, int):
            raise self.emitter.refusal("the number of units must be known")
        if array is not None:
            both = np.stack([array, np.zeros_like(array)]) if array.ndim == 1 else array
            return [*matrices, self._constant(self._reordered(both).reshape(1, -1), "B")]
        value = self.emitter.cast(self._gathered(bias), self._dtype)
        one = TensorType(self._dtype, (1, 2 * width))
        if bias.type.rank == 2:
            shape = self.emitter.constant([1, 2 * width])
            return [*matrices, self.emitter.emit("Reshape", [value, shape], one)]
        zeros = self.emitter.filled(0.0, TensorType(self._dtype, (1, width)))
        row = self.emitter.unsqueeze(value, 0)
        return [*matrices, self.emitter.emit("Concat", [row, zeros], one, axis=1)]

    def packed(self, weights: list[list[Value | None]]) -> list[Value | None]:
        """W, R and B of all directions along their first axis."""
        return [self._beside(list(parts)) for parts in zip(*weights, strict=True)]

    def _beside(self, parts: list[Value | None]) -> Value | None:
        """Values `[1, ...]`, or None for none, as one `[D, ...]`."""
        values = [value for value in parts if value is not None]
        if len(values) < 2:
            return values[0] if values else None
        arrays = [self.emitter.literal(value) for value in values]
        known = [array for array in arrays if array is not None]
        if len(known) == len(values):
            wish = self.emitter.wishes[values[0].name].removeprefix(f"{self.op_type}:")
            return self._constant(np.concatenate(known), wish)
        type = values[0].type
        joined = type.with_shape((len(values), *type.shape[1:]))
        return self.emitter.emit("Concat", values, joined, axis=0)

    def _matrix(self, kernel: Value, wish: str) -> Value:
        array = self.emitter.literal(kernel)
        if array is not None:
            return self._constant(self._reordered(array).T[None], wish)
        value = self.emitter.transpose(self._gathered(kernel), (1, 0))
        return self.emitter.cast(self.emitter.unsqueeze(value, 0), self._dtype)

    def _constant(self, array: Array, wish: str) -> Value:
        return self.emitter.constant(array, self._dtype, f"{self.op_type}:{wish}")

    def _reordered(self, array: Array) -> Array:
        blocks = np.split(array, len(self.order), axis=-1)
        return np.concatenate([blocks[gate] for gate in self.order], axis=-1)

    def _gathered(self, value: Value) -> Value:
        """`_reordered`, for what is known at run time alone."""
        if self.order == tuple(range(len(self.order))):
            return value
        indices = self._reordered(np.arange(int(value.type.shape[-1])))
        operands = [value, self.emitter.constant(indices)]
        return self.emitter.emit("Gather", operands, value.type, axis=value.type.rank - 1)

    def lower(
        self,
        x: Value | None,
        weights: list[Value | None],
        states: list[list[Value | None]],
        mask: Value | None,
    ) -> tuple[Value, ...]:
        """The sequence and the final states; `states` are the initial ones of each direction."""
        assert x is not None, "a recurrent op has x"
        dtype = self._dtype
        x = self.emitter.cast(x, dtype)
        states = [[s and self.emitter.cast(s, dtype) for s in of] for of in states]
        if mask is None:
            steps = x if self.op.time_major else self.emitter.transpose(x, (1, 0, 2))
            results = self._run(steps, weights, states, None, self.op.time_major)
        else:
            results = self._run_masked(x, weights, states, mask)
        return tuple(self.emitter.cast(value, self.emitter.result.dtype) for value in results)

    def _run(
        self,
        steps: Value,
        weights: list[Value | None],
        states: list[list[Value | None]],
        lengths: Value | None,
        time_major: bool,
    ) -> tuple[Value, ...]:
        """Sequence and final states, from x `[T, N, C]` of sequences with those lengths.

        The sequence is `[T, N, D * H]` with `time_major`, or `[N, T, D * H]`.
        """
        emitter, count = self.emitter, self._num_directions
        time, batch, _ = steps.type.shape
        units = self._units
        sequence = TensorType(steps.type.dtype, (time, count, batch, units))
        final = TensorType(steps.type.dtype, (count, batch, units))
        initial = [
            self._beside([state and emitter.unsqueeze(state, 0) for state in of]) for of in states
        ]
        operands = [steps, *weights, lengths, *initial]
        while operands[-1] is None:
            operands.pop()
        results = emitter.emit_many(
            self.op_type, operands, (sequence, *[final] * len(states)), **self._attributes(units)
        )
        finals = tuple(self._joined(state) for state in results[1:])
        if count == 1:
            y = emitter.squeeze(results[0], 1)
            return (y if time_major else emitter.transpose(y, (1, 0, 2)), *finals)
        order = (0, 2, 1, 3) if time_major else (2, 0, 1, 3)
        return (self._flattened(emitter.transpose(results[0], order)), *finals)

    @property
    def _units(self) -> int:
        """H, which the results have once for each direction."""
        return int(self.emitter.result.shape[2]) // self._num_directions

    def _joined(self, state: Value) -> Value:
        """A final state `[D, N, H]` as `[N, D * H]`."""
        if self._num_directions == 1:
            return self.emitter.squeeze(state, 0)
        return self._flattened(self.emitter.transpose(state, (1, 0, 2)))

    def _flattened(self, x: Value) -> Value:
        """`[..., D, H]` as `[..., D * H]`."""
        *shape, count, units = x.type.shape
        kept = self.emitter.constant([*[0] * len(shape), count * units])
        return self.emitter.emit("Reshape", [x, kept], x.type.with_shape((*shape, count * units)))

    def _attributes(self, units: int) -> dict[str, Any]:
        functions = [_ACTIVATIONS[name] for name in self.functions * self._num_directions]
        attributes = {"hidden_size": units, **self.attributes}
        if self._num_directions == 2:
            attributes["direction"] = "bidirectional"
        elif self.op.reverse:
            attributes["direction"] = "reverse"
        attributes["activations"] = [name for name, _, _ in functions]
        alphas = [alpha for _, alpha, _ in functions if alpha is not None]
        betas = [beta for _, _, beta in functions if beta is not None]
        return attributes | {
            key: numbers
            for key, numbers in (("activation_alpha", alphas), ("activation_beta", betas))
            if numbers
        }

    def _run_masked(
        self,
        x: Value,
        weights: list[Value | None],
        states: list[list[Value | None]],
        mask: Value,
    ) -> tuple[Value, ...]:
        emitter = self.emitter
        swap = (1, 0, 2) if self.op.time_major else (0, 1, 2)
        x = emitter.transpose(x, swap)
        number = mask.type.with_dtype(DType.INT64)
        kept = emitter.cast(mask, DType.INT64)
        count = emitter.emit("CumSum", [kept, emitter.constant(1)], number)
        lengths = emitter.emit(
            "Gather",
            [count, emitter.constant([-1])],
            number.with_shape((number.shape[0], 1)),
            axis=1,
        )
        one = emitter.constant(1)
        # onnxruntime wants at least one step; where there is none, its results are not used.
        at_least_one = emitter.squeeze(emitter.elementwise("Max", lengths, one), 1)
        moved = _gather_steps(emitter, x, self._order(mask))
        steps, whole = emitter.transpose(moved, (1, 0, 2)), emitter.cast(at_least_one, DType.INT32)
        y, *final = self._run(steps, weights, states, whole, time_major=False)
        zero = emitter.scalar(0.0, x.type.dtype)
        any_kept = emitter.test("Greater", lengths, emitter.constant(0))
        before = [self._side_by_side(of) or zero for of in states]
        ends = [
            emitter.where(any_kept, end, state) for end, state in zip(final, before, strict=True)
        ]
        position = emitter.elementwise("Sub", count, kept if self.op.reverse else one)
        if self.op.reverse:
            exists = emitter.test("Less", position, lengths)
            last = emitter.elementwise("Sub", self._time(mask), one)
            position = emitter.elementwise("Min", position, last)
        else:
            exists = emitter.test("GreaterOrEqual", position, emitter.constant(0))
            position = emitter.elementwise("Max", position, emitter.constant(0))
        y = _gather_steps(emitter, y, position)
        if self.op.zero_masked:
            kept_or_not, otherwise = mask, zero
        else:
            kept_or_not, otherwise = exists, before[0]
            otherwise = zero if otherwise is zero else emitter.unsqueeze(otherwise, 1)
        y = emitter.where(emitter.unsqueeze(kept_or_not, 2), y, otherwise)
        return (emitter.transpose(y, swap), *ends)

    def _side_by_side(self, states: list[Value | None]) -> Value | None:
        """Initial states `[N, H]` as one `[N, D * H]`."""
        values = [state for state in states if state is not None]
        if len(values) < 2:
            return values[0] if values else None
        type = values[0].type
        joined = type.with_shape((type.shape[0], self._units * len(values)))
        return self.emitter.emit("Concat", values, joined, axis=1)

    def _time(self, mask: Value) -> Value:
        return self.emitter.size(mask.type.shape[1])

    def _order(self, mask: Value) -> Value:
        """The steps that count, then the others, each in their order: indices `[N, T]`."""
        emitter = self.emitter
        time = mask.type.shape[1]
        steps = self._steps(time)
        later = emitter.elementwise("Add", steps, self._time(mask))
        keys = emitter.where(mask, steps, later)
        types = (keys.type, keys.type)
        operands = [keys, self._time(mask)]
        return emitter.emit_many("TopK", operands, types, axis=1, largest=0, sorted=1)[1]

    def _steps(self, time: Any) -> Value:
        if not isinstance(time, Dim):
            return self.emitter.constant(np.arange(time))
        zero, one = self.emitter.constant(0), self.emitter.constant(1)
        limit = self.emitter.squeeze(self.emitter.size(time), 0)
        return self.emitter.emit("Range", [zero, limit, one], TensorType(DType.INT64, (time,)))


def _gather_steps(emitter: Emitter, x: Value, steps: Value) -> Value:
    """`y[n, t] = x[n, steps[n, t]]`."""
    return emitter.emit("GatherND", [x, emitter.unsqueeze(steps, 2)], x.type, batch_dims=1)
