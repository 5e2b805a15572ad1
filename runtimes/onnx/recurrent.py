"""Recurrent layers: LSTM, GRU and RNN of ONNX.

Of the layouts that ONNX has, onnxruntime computes x `[T, N, C]` alone. ONNX knows sequences of
different lengths and no other masks. A masked step changes nothing, so the steps that count are
moved to the front, in their order; they are a sequence with a length; and the results are moved
back. That is exact for every mask.
"""

from __future__ import annotations

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


@lowers(Lstm)
def _lstm(
    emitter: Emitter,
    op: Lstm,
    x: Value,
    kernel: Value,
    recurrent_kernel: Value,
    bias: Value | None = None,
    initial_h: Value | None = None,
    initial_c: Value | None = None,
    mask: Value | None = None,
    *dropout: Value | None,
) -> tuple[Value, ...]:
    functions = (op.recurrent_activation, op.activation, op.activation)
    layer = _Layer(emitter, op, "LSTM", functions, _LSTM_ORDER, {})
    weights = layer.weights(kernel, recurrent_kernel, bias)
    return layer.lower(x, weights, (initial_h, initial_c), mask, dropout)


@lowers(Gru)
def _gru(
    emitter: Emitter,
    op: Gru,
    x: Value,
    kernel: Value,
    recurrent_kernel: Value,
    bias: Value | None = None,
    initial_h: Value | None = None,
    mask: Value | None = None,
    *dropout: Value | None,
) -> tuple[Value, ...]:
    functions = (op.recurrent_activation, op.activation)
    attributes = {"linear_before_reset": 1} if op.reset_after else {}
    layer = _Layer(emitter, op, "GRU", functions, (0, 1, 2), attributes)
    weights = layer.weights(kernel, recurrent_kernel, bias)
    return layer.lower(x, weights, (initial_h,), mask, dropout)


@lowers(SimpleRnn)
def _simple_rnn(
    emitter: Emitter,
    op: SimpleRnn,
    x: Value,
    kernel: Value,
    recurrent_kernel: Value,
    bias: Value | None = None,
    initial_h: Value | None = None,
    mask: Value | None = None,
    *dropout: Value | None,
) -> tuple[Value, ...]:
    layer = _Layer(emitter, op, "RNN", (op.activation,), (0,), {})
    weights = layer.weights(kernel, recurrent_kernel, bias)
    return layer.lower(x, weights, (initial_h,), mask, dropout)


@dataclass(frozen=True)
class _Layer:
    """One recurrent op on its way to ONNX.

    Attributes:
        op_type: in ONNX.
        functions: names of the functions of its gates, in ONNX's order.
        order: our gates in ONNX's order.
        attributes: of the ONNX node, besides those that all have.
    """

    emitter: Emitter
    op: Lstm | Gru | SimpleRnn
    op_type: str
    functions: tuple[str, ...]
    order: tuple[int, ...]
    attributes: dict[str, Any]

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

    def weights(self, kernel: Value, recurrent_kernel: Value, bias: Value | None) -> list[Any]:
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
        x: Value,
        weights: list[Any],
        states: tuple[Value | None, ...],
        mask: Value | None,
        dropout: tuple[Value | None, ...],
    ) -> tuple[Value, ...]:
        """The sequence and the final states."""
        if any(factors is not None for factors in dropout):
            raise self.emitter.refusal("ONNX has no dropout inside of a recurrent layer")
        dtype = self._dtype
        x = self.emitter.cast(x, dtype)
        states = tuple(s if s is None else self.emitter.cast(s, dtype) for s in states)
        if mask is None:
            results = self._run(x, weights, states, None)
        else:
            results = self._run_masked(x, weights, states, mask)
        return tuple(self.emitter.cast(value, self.emitter.result.dtype) for value in results)

    def _run(
        self,
        x: Value,
        weights: list[Any],
        states: tuple[Value | None, ...],
        lengths: Value | None,
    ) -> tuple[Value, ...]:
        """The sequence `[N, T, H]` and final states of sequences with those lengths."""
        emitter = self.emitter
        batch, time, _ = x.type.shape
        units = self.emitter.result.shape[2]
        sequence = TensorType(x.type.dtype, (time, 1, batch, units))
        final = TensorType(x.type.dtype, (1, batch, units))
        initial = [None if state is None else emitter.unsqueeze(state, 0) for state in states]
        operands = [emitter.transpose(x, (1, 0, 2)), *weights, lengths, *initial]
        while operands[-1] is None:
            operands.pop()
        results = emitter.emit_many(
            self.op_type, operands, (sequence, *[final] * len(states)), **self._attributes(units)
        )
        y = emitter.transpose(emitter.squeeze(results[0], 1), (1, 0, 2))
        return (y, *(emitter.squeeze(state, 0) for state in results[1:]))

    def _attributes(self, units: Any) -> dict[str, Any]:
        functions = [_ACTIVATIONS[name] for name in self.functions]
        attributes = {"hidden_size": int(units), **self.attributes}
        if self.op.reverse:
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
        self, x: Value, weights: list[Any], states: tuple[Value | None, ...], mask: Value
    ) -> tuple[Value, ...]:
        emitter = self.emitter
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
        y, *final = self._run(moved, weights, states, emitter.cast(at_least_one, DType.INT32))
        zero = emitter.scalar(0.0, x.type.dtype)
        any_kept = emitter.test("Greater", lengths, emitter.constant(0))
        ends = [
            emitter.where(any_kept, end, zero if state is None else state)
            for end, state in zip(final, states, strict=True)
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
            return (emitter.where(emitter.unsqueeze(mask, 2), y, zero), *ends)
        before = zero if states[0] is None else emitter.unsqueeze(states[0], 1)
        return (emitter.where(emitter.unsqueeze(exists, 2), y, before), *ends)

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
