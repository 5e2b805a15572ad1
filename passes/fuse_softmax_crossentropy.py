"""Cross-entropies on logits."""

from __future__ import annotations

import dataclasses

from kcompile.ir.graph import Graph, Value
from kcompile.ir.op import normalize_axis
from kcompile.ir.ops import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    Sigmoid,
    Softmax,
    SparseCategoricalCrossentropy,
)
from kcompile.passes.pattern import ANY, Match, P, Refused, apply_rules, rule

_CATEGORICAL = (CategoricalCrossentropy, SparseCategoricalCrossentropy)


# The probabilities may have other uses (outputs, metrics): the loss just does without them.
@rule(
    P(
        _CATEGORICAL,
        ANY("labels"),
        P(Softmax, ANY("logits"), name="softmax", shared=True),
        name="loss",
        where=lambda op: not op.from_logits,
    )
)
def crossentropy_of_softmax(match: Match) -> Value:
    """`crossentropy(labels, softmax(x)) = crossentropy_from_logits(labels, x)`.

    Equal but for the clipping of probabilities to [epsilon, 1 - epsilon], which logits do without.
    """
    loss = match.node("loss").op
    assert isinstance(loss, _CATEGORICAL)
    logits = match.value("logits")
    axes = (match.op("softmax", Softmax).axis, loss.axis)
    softmax_axis, loss_axis = (normalize_axis(axis, logits.type.rank) for axis in axes)
    if softmax_axis != loss_axis:
        raise Refused(f"the softmax is along axis {softmax_axis}, the loss along {loss_axis}")
    return match.emit(dataclasses.replace(loss, from_logits=True), match.value("labels"), logits)


@rule(
    P(
        BinaryCrossentropy,
        ANY("labels"),
        P(Sigmoid, ANY("logits"), shared=True),
        name="loss",
        where=lambda op: not op.from_logits,
    )
)
def crossentropy_of_sigmoid(match: Match) -> Value:
    """`binary_crossentropy(labels, sigmoid(x)) = binary_crossentropy_from_logits(labels, x)`.

    Equal but for the clipping of probabilities to [epsilon, 1 - epsilon], which logits do without.
    """
    loss = dataclasses.replace(match.op("loss", BinaryCrossentropy), from_logits=True)
    return match.emit(loss, match.value("labels"), match.value("logits"))


RULES = (crossentropy_of_softmax, crossentropy_of_sigmoid)


def fuse_softmax_crossentropy(graph: Graph) -> Graph:
    """`graph` with cross-entropies of softmax and sigmoid computed from their logits."""
    return apply_rules(graph, RULES)
