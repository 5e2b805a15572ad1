"""Connectionist temporal classification (Graves et al., 2006): labels without their times."""

from __future__ import annotations

from typing import Any

from kcompile.ir import ops as ir
from kcompile.ir.errors import ShapeError
from kcompile.ops.arithmetic import logaddexp
from kcompile.ops.control import scan
from kcompile.ops.dispatch import public
from kcompile.ops.elementwise import (
    add,
    cast,
    equal,
    greater_equal,
    less,
    multiply,
    negative,
    where,
)
from kcompile.ops.indexing import get_item, take_along_axis
from kcompile.ops.linear import matmul
from kcompile.ops.nn import log_softmax
from kcompile.ops.promotion import to_float, to_tensor
from kcompile.ops.rearrangement import slice_axis
from kcompile.ops.reduction import argmax, max, sum
from kcompile.ops.shape import concatenate, expand_dims, transpose
from kcompile.ops.sorting import argsort
from kcompile.ops.tensor import TracedTensor
from kcompile.ops.trace import emit

#: Stands for the logarithm of 0, as in Keras: losses of labels that cannot be are of its size.
_IMPOSSIBLE = -1e5


def _within(lengths: Any, size: Any) -> Any:
    """`[N, size]`: whether each place is before the length `[N]`."""
    return less(emit(ir.Iota(size)), expand_dims(cast(lengths, "int32"), 1))


@public
def ctc_loss(
    target: Any, output: Any, target_length: Any, output_length: Any, mask_index: int = 0
) -> Any:
    """`-log p(target)` `[N]`, summed over all times at which the labels can be.

    Args:
        target: class numbers `[N, L]`.
        output: logits `[N, T, C]`.
        target_length, output_length: how many of L and T count, `[N]`.
        mask_index: the class that stands for no label.
    """
    labels, logits = cast(target, "int32"), to_float(output)
    if labels.type.rank != 2 or logits.type.rank != 3:
        raise ShapeError(f"ctc_loss: needs [N, L] and [N, T, C], got {labels.type}, {logits.type}")
    batch, num_labels = labels.type.shape
    _, time, num_classes = logits.type.shape
    num_ends = num_labels + 1
    if not isinstance(num_ends, int) or not isinstance(num_classes, int):
        raise ShapeError(f"ctc_loss: L and C are numbers, got {labels.type} and {logits.type}")
    log_p = log_softmax(logits, -1)
    one_hot = emit(ir.OneHot(num_classes, logits.type.dtype), labels)
    of_labels = transpose(matmul(log_p, transpose(one_hot, (0, 2, 1))), (1, 0, 2))
    of_blank = transpose(slice_axis(log_p, 2, mask_index, mask_index + 1), (1, 0, 2))
    counts = expand_dims(transpose(_within(output_length, time)), 2)

    # Between two equal labels there has to be a blank: elsewhere one may follow the other.
    later, earlier = (
        slice_axis(labels, 1, a, b) for a, b in ((1, num_labels), (0, num_labels - 1))
    )
    never = slice_axis(less(labels, labels), 1, 0, 1)
    repeats = concatenate([equal(later, earlier), never], 1)
    needs_blank, needs_none = where(repeats, _IMPOSSIBLE, 0.0), where(repeats, 0.0, _IMPOSSIBLE)

    def step(state: Any, x: Any) -> Any:
        """Log probabilities of having ended before label n, and of being in it."""
        before, inside = state
        label, blank, counts_here = x
        moved = _joined(before, add(inside, needs_blank))
        next_inside = add(logaddexp(_without_last(moved), inside), label)
        next_before = _joined(add(moved, blank), add(add(inside, blank), needs_none))
        kept = where(counts_here, next_before, before), where(counts_here, next_inside, inside)
        return kept, None

    dtype = logits.dtype
    nothing = emit(ir.BroadcastTo((batch, num_labels)), cast(_IMPOSSIBLE, dtype))
    start = concatenate([emit(ir.BroadcastTo((batch, 1)), cast(0.0, dtype)), nothing], 1)
    (before, inside), _ = scan(step, (start, nothing), (of_labels, of_blank, counts))
    ends = emit(ir.OneHot(num_ends, logits.type.dtype), cast(target_length, "int32"))
    return negative(sum(multiply(_joined(before, inside), ends), 1))


def _without_last(before: TracedTensor) -> Any:
    return slice_axis(before, 1, 0, before.type.shape[1] - 1)


def _joined(before: TracedTensor, arriving: Any) -> Any:
    """`before` `[N, L + 1]` with what comes from label n in place n + 1, in probabilities a sum."""
    first, rest = slice_axis(before, 1, 0, 1), slice_axis(before, 1, 1, before.type.shape[1])
    return concatenate([first, logaddexp(rest, arriving)], 1)


@public
def ctc_decode(
    inputs: Any,
    sequence_lengths: Any,
    strategy: str = "greedy",
    beam_width: int = 100,
    top_paths: int = 1,
    merge_repeated: bool = True,
    mask_index: int = 0,
) -> Any:
    """The most likely class at each time, without blanks: labels `[1, N, T]` and scores `[N, 1]`.

    Labels end with -1; the score is minus the sum of the greatest inputs `[N, T, C]`.

    Raises:
        NotImplementedError: the strategy is `beam_search`, which needs sets of paths.
    """
    if strategy == "beam_search":
        raise NotImplementedError("ops.ctc_decode: beam_search is not there; greedy is")
    if strategy != "greedy":
        raise ValueError(f"strategy is 'greedy' or 'beam_search', got {strategy!r}")
    scores = to_float(inputs)
    time = scores.type.shape[1]
    counts = _within(to_tensor(sequence_lengths), time)
    labels = where(counts, argmax(scores, -1), mask_index)
    total = negative(sum(where(counts, max(scores, -1), 0.0), 1, True))
    is_blank = equal(labels, mask_index)
    if merge_repeated:
        later, earlier = slice_axis(labels, 1, 1, time), slice_axis(labels, 1, 0, time - 1)
        first = slice_axis(less(labels, labels), 1, 0, 1)
        is_repeated = concatenate([first, equal(later, earlier)], 1)
        is_blank = greater_equal(add(cast(is_blank, "int32"), cast(is_repeated, "int32")), 1)
    # Sorting is stable, so labels keep their order and blanks come behind them.
    order = argsort(cast(is_blank, "int32"), -1)
    labels = take_along_axis(where(is_blank, -1, labels), order, -1)
    return get_item(labels, (None,)), total
