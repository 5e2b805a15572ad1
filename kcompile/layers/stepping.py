"""A step of a recurrent layer over a sequence: as a loop, or written out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import kcompile.ops as ops
from kcompile.ops.limits import count_steps
from kcompile.ops.structure import leaves, map_leaves, pack_like

#: `output, states = step(x, states)`.
Step = Callable[[Any, Any], tuple[Any, Any]]


def run_steps(
    step: Step,
    x: Any,
    states: Any,
    mask: Any = None,
    reverse: bool = False,
    zero_masked: bool = False,
    unroll: bool = False,
) -> tuple[Any, Any]:
    """The outputs `[N, T, ...]`, each at its step, and the final states.

    Args:
        step: one step.
        x: the sequences `[N, T, ...]`.
        states: a structure of tensors: the states before the first step.
        mask: `[N, T]`, false for steps that leave the states as they are; None for none.
        reverse: whether to begin at the end.
        zero_masked: whether the outputs of masked steps are 0. Otherwise they are the first state
            before the step, or with `unroll` the output before, which is 0 at first: as in Keras.
        unroll: whether steps are written out one by one. T is a number then.
    """
    time_major = ops.moveaxis(x, 1, 0)
    kept = None if mask is None else ops.moveaxis(mask, 1, 0)
    run = _unrolled if unroll else _scanned
    y, final = run(step, time_major, states, kept, reverse, zero_masked)
    return ops.moveaxis(y, 0, 1), final


def _scanned(
    step: Step, x: Any, states: Any, mask: Any, reverse: bool, zero_masked: bool
) -> tuple[Any, Any]:
    def body(before: Any, given: tuple[Any, Any]) -> tuple[Any, Any]:
        now, kept = given
        output, after = step(now, before)
        if kept is not None:
            masked = ops.zeros_like(output) if zero_masked else next(leaves(before))
            output, after = _select(kept, output, masked), _kept(kept, after, before)
        return after, output

    final, y = ops.scan(body, states, (x, mask), reverse=reverse)
    return y, final


def _unrolled(
    step: Step, x: Any, states: Any, mask: Any, reverse: bool, zero_masked: bool
) -> tuple[Any, Any]:
    time = x.type.shape[0]
    count_steps(time)
    outputs: list[Any] = [None] * time
    previous = None
    for t in reversed(range(time)) if reverse else range(time):
        output, after = step(x[t], states)
        if mask is not None:
            masked = ops.zeros_like(output) if zero_masked or previous is None else previous
            output, after = _select(mask[t], output, masked), _kept(mask[t], after, states)
        outputs[t], states, previous = output, after, output
    return ops.stack(outputs, 0), states


def _kept(kept: Any, after: Any, before: Any) -> Any:
    """The states after a step where it counts, else those before it."""
    pairs = zip(leaves(after), leaves(before), strict=True)
    return pack_like(after, [_select(kept, new, old) for new, old in pairs])


def _select(kept: Any, a: Any, b: Any) -> Any:
    """a `[N, ...]` for the samples that `kept` `[N]` has, else b."""
    return ops.where(ops.reshape(kept, (-1, *(1,) * (a.type.rank - 1))), a, b)


def as_list(states: Any) -> list[Any]:
    """States as a list, which a single one is the only entry of."""
    return list(states) if isinstance(states, (list, tuple)) else [states]


def tensors_as(dtype: str, states: Any) -> Any:
    """The same structure with tensors of that element type."""
    return map_leaves(lambda state: ops.convert_to_tensor(state, dtype), states)
