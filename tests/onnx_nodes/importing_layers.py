"""Importers of nodes that are layers: windows, normalizations, attention, recurrence."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kcompile.ir import ops
from kcompile.ir.ops.convolution import OUTPUT_INPUT_SPATIAL
from kcompile.ir.ops.transposed import INPUT_OUTPUT_SPATIAL
from kcompile.ir.ops.windows import CHANNELS_FIRST
from tests.onnx_nodes.collecting import Array, NodeTest
from tests.onnx_nodes.importing import imports, require, run


def _padding(rank: int, pads: list[int] | None, auto_pad: bytes) -> Any:
    """Our padding of the spatial axes."""
    require(auto_pad != b"SAME_LOWER", "the odd element of padding in front")
    if auto_pad == b"SAME_UPPER":
        return "same"
    numbers = pads or [0] * (2 * rank)
    return tuple(zip(numbers[:rank], numbers[rank:], strict=True))


@imports("Conv")
def _conv(
    test: NodeTest,
    x: Array,
    w: Array,
    b: Array | None = None,
    pads: list[int] | None = None,
    strides: list[int] | None = None,
    dilations: list[int] | None = None,
    group: int = 1,
    auto_pad: bytes = b"NOTSET",
    kernel_shape: Any = None,
) -> Array:
    rank = x.ndim - 2
    padding, ones = _padding(rank, pads, auto_pad), [1] * rank
    op = ops.Conv(
        tuple(strides or ones),
        padding,
        tuple(dilations or ones),
        group,
        CHANNELS_FIRST,
        OUTPUT_INPUT_SPATIAL,
    )
    return run(op, x, w, b)


@imports("ConvTranspose")
def _conv_transpose(
    test: NodeTest,
    x: Array,
    w: Array,
    b: Array | None = None,
    pads: list[int] | None = None,
    strides: list[int] | None = None,
    dilations: list[int] | None = None,
    output_padding: list[int] | None = None,
    group: int = 1,
    auto_pad: bytes = b"NOTSET",
    output_shape: list[int] | None = None,
    kernel_shape: Any = None,
) -> Array:
    require(group == 1, "groups")
    require(output_shape is None and auto_pad == b"NOTSET", "padding by the result's shape")
    rank = x.ndim - 2
    ones, zeros = (1,) * rank, (0,) * rank
    op = ops.ConvTranspose(
        tuple(strides or ones),
        _padding(rank, pads, auto_pad),
        tuple(output_padding or zeros),
        tuple(dilations or ones),
        CHANNELS_FIRST,
        INPUT_OUTPUT_SPATIAL,
    )
    return run(op, x, w, b)


@imports("AveragePool", "MaxPool")
def _pool(
    test: NodeTest,
    x: Array,
    kernel_shape: list[int],
    strides: list[int] | None = None,
    pads: list[int] | None = None,
    auto_pad: bytes = b"NOTSET",
    ceil_mode: int = 0,
    count_include_pad: int = 0,
    dilations: list[int] | None = None,
    storage_order: int = 0,
) -> Array:
    rank = x.ndim - 2
    require(not ceil_mode, "windows beyond the end")
    require(not count_include_pad or not any(pads or ()), "means over the padding")
    require(not dilations or set(dilations) == {1}, "windows with gaps")
    require(len(test.outputs) == 1, "places of the greatest elements")
    kind = ops.MaxPool if test.op_type == "MaxPool" else ops.AveragePool
    padding = _padding(rank, pads, auto_pad)
    return run(kind(tuple(kernel_shape), tuple(strides or [1] * rank), padding, CHANNELS_FIRST), x)


@imports("BatchNormalization")
def _batch_norm(
    test: NodeTest,
    x: Array,
    scale: Array,
    bias: Array,
    mean: Array,
    variance: Array,
    epsilon: float = 1e-5,
    training_mode: int = 0,
    momentum: float = 0.9,
) -> Any:
    if not training_mode:
        return run(ops.BatchNorm(1, epsilon), x, mean, variance, scale, bias)
    y, *batch = run(ops.BatchNormTraining(1, epsilon), x, scale, bias)
    old, new = np.float32(momentum), np.float32(1 - momentum)
    moved = (a * old + b * new for a, b in zip((mean, variance), batch, strict=True))
    return (y, *moved)


@imports("LayerNormalization", "RMSNormalization")
def _layer_norm(
    test: NodeTest,
    x: Array,
    scale: Array,
    bias: Array | None = None,
    axis: int = -1,
    epsilon: float = 1e-5,
    **_: Any,
) -> Array:
    axes = tuple(range(axis % x.ndim, x.ndim))
    if test.op_type == "RMSNormalization":
        return run(ops.RmsNorm(axes, epsilon), x, scale)
    return run(ops.LayerNorm(axes, epsilon), x, scale, bias)


@imports("GroupNormalization")
def _group_norm(
    test: NodeTest,
    x: Array,
    scale: Array,
    bias: Array,
    num_groups: int,
    epsilon: float = 1e-5,
) -> Array:
    require(scale.shape == (x.shape[1],), "a scale per group, of opset 18")
    return run(ops.GroupNorm(num_groups, 1, epsilon), x, scale, bias)


@imports("Attention")
def _attention(
    test: NodeTest,
    q: Array,
    k: Array,
    v: Array,
    mask: Array | None = None,
    *past: Array | None,
    scale: float | None = None,
    is_causal: int = 0,
    softcap: float = 0.0,
    q_num_heads: int = 0,
    kv_num_heads: int = 0,
    **others: Any,
) -> Array:
    require(not any(x is not None for x in past), "keys from before")
    require(not softcap and not others, "softcap, and scores as a result")
    require(sum(x is not None for x in test.outputs) == 1, "scores and keys as results")
    if q.ndim == 3:
        q = run(ops.Reshape((*q.shape[:2], q_num_heads, -(-q.shape[2] // q_num_heads))), q)
        k, v = (
            run(ops.Reshape((*x.shape[:2], kv_num_heads, x.shape[2] // kv_num_heads)), x)
            for x in (k, v)
        )
    else:
        q, k, v = (run(ops.Transpose((0, 2, 1, 3)), x) for x in (q, k, v))
    require(q.shape[2] == k.shape[2], "fewer heads of keys than of queries")
    require(_has_keys(mask, bool(is_causal), q.shape[1], k.shape[1]), "a query without any key")
    bias, kept = (mask, None) if mask is None or mask.dtype != np.bool_ else (None, mask)
    require(mask is None or mask.shape[-1] == k.shape[1], "a mask of fewer keys")
    op = ops.Attention(1 / math.sqrt(q.shape[3]) if scale is None else scale, bool(is_causal))
    y = run(op, q, k, v, bias, kept)
    if np.ndim(test.inputs[0]) == 3:
        return run(ops.Reshape((*y.shape[:2], y.shape[2] * y.shape[3])), y)
    return run(ops.Transpose((0, 2, 1, 3)), y)


def _has_keys(mask: Array | None, is_causal: bool, queries: int, keys: int) -> bool:
    """Whether each query may see a key; ONNX makes others 0, ours see all."""
    kept = np.tri(queries, keys) > 0 if is_causal else np.ones((queries, keys), bool)
    if mask is not None:
        kept = kept & (mask if mask.dtype == np.bool_ else mask > -np.inf)
    return bool(np.all(np.any(kept, axis=-1)))


#: Our order of the gates in ONNX's.
_GATES = {"LSTM": (0, 2, 3, 1), "GRU": (0, 1, 2), "RNN": (0,)}


@imports("LSTM", "GRU", "RNN")
def _recurrent(
    test: NodeTest,
    x: Array,
    w: Array,
    r: Array,
    b: Array | None = None,
    lengths: Array | None = None,
    h: Array | None = None,
    c: Array | None = None,
    peepholes: Array | None = None,
    hidden_size: int = 0,
    direction: bytes = b"forward",
    layout: int = 0,
    linear_before_reset: int = 0,
    **others: Any,
) -> tuple[Array | None, ...]:
    require(not others, "other activations, and clipping")
    require(peepholes is None, "peepholes")
    batch_first = x if layout else x.swapaxes(0, 1)
    steps = np.arange(batch_first.shape[1])
    mask = None if lengths is None else steps < lengths[:, None]
    results = []
    for d in range(w.shape[0]):
        reverse = direction == b"reverse" or d == 1
        states = [s if s is None else (s[:, d] if layout else s[d]) for s in (h, c)]
        op, operands = _direction(test.op_type, w[d], r[d], b, d, linear_before_reset, reverse)
        given = states if test.op_type == "LSTM" else states[:1]
        results.append(run(op, batch_first, *operands, *given, mask))
    sequence = np.stack([result[0] for result in results], axis=2)  # [N, T, D, H]
    finals = [np.stack(s, axis=1) for s in zip(*(result[1:] for result in results), strict=True)]
    if not layout:
        sequence = sequence.transpose(1, 2, 0, 3)
        finals = [s.swapaxes(0, 1) for s in finals]
    return (sequence, *finals)


def _direction(
    kind: str, w: Array, r: Array, b: Array | None, d: int, linear: int, reverse: bool
) -> tuple[Any, list[Array | None]]:
    """Our op of one direction, and its weights."""
    order = _GATES[kind]

    def ordered(x: Array) -> Array:
        return np.concatenate([np.split(x, len(order))[gate] for gate in order])

    halves = None if b is None else [ordered(half) for half in np.split(b[d], 2)]
    bias = None if halves is None else halves[0] + halves[1]
    # Steps that are masked give 0 in ONNX.
    options = {"reverse": reverse, "zero_masked": True}
    if kind == "GRU":
        op: Any = ops.Gru(**options, reset_after=bool(linear))
        bias = np.stack(halves) if linear and halves is not None else bias
    else:
        op = (ops.Lstm if kind == "LSTM" else ops.SimpleRnn)(**options)
    return op, [ordered(w).T, ordered(r).T, bias]


@imports("StringNormalizer")
def _lower(test: NodeTest, x: Array, case_change_action: bytes = b"NONE", **others: Any) -> Array:
    require(case_change_action == b"LOWER" and not others, "upper case, and words left out")
    return run(ops.AsciiLower(), x)


@imports("StringSplit")
def _split(
    test: NodeTest, x: Array, delimiter: bytes = b"", maxsplit: int = 0
) -> tuple[Array, Array]:
    require(not delimiter and not maxsplit, "delimiters other than whitespace")
    most = max((len(text.split()) for text in x.ravel()), default=0)
    require(most, "no token at all")
    tokens = run(ops.SplitString(most), x)
    return tokens, np.sum(tokens != "", axis=-1, dtype=np.int64)
