"""Losses that look at a whole batch, or at whole sequences."""

from __future__ import annotations

from typing import Any

import kcompile.ops as ops
from kcompile.ir import ops as ir
from kcompile.losses.base import FunctionLoss
from kcompile.losses.calling import one_graph_function
from kcompile.ops.trace import emit


@one_graph_function
def circle(
    y_true: Any,
    y_pred: Any,
    ref_labels: Any = None,
    ref_embeddings: Any = None,
    remove_diagonal: bool = True,
    gamma: float = 80,
    margin: float = 0.4,
) -> Any:
    """Circle loss `[N]` (Sun et al., 2020): embeddings of one class near, of others far.

    Args:
        y_true: class numbers, `[N]` or `[N, 1]`.
        y_pred: embeddings `[N, D]` of length 1.
        ref_labels, ref_embeddings: what to compare them with; themselves by default.
        remove_diagonal: whether row i is not compared with reference i.
        gamma: scale of similarities.
        margin: how far a distance may be from its best.
    """
    y_pred, labels = ops.convert_to_tensor(y_pred), ops.ravel(ops.cast(y_true, "int32"))
    others = y_pred if ref_embeddings is None else ops.convert_to_tensor(ref_embeddings)
    keys = labels if ref_labels is None else ops.ravel(ops.cast(ref_labels, "int32"))
    distance = ops.maximum(1 - ops.matmul(y_pred, ops.transpose(others)), 0.0)
    same = ops.equal(ops.expand_dims(labels, 1), keys)
    other = ops.logical_not(same)
    if remove_diagonal:
        rows, columns = (emit(ir.Iota(x.type.shape[0])) for x in (labels, keys))
        same = ops.logical_and(same, ops.not_equal(ops.expand_dims(rows, 1), columns))
    near = -gamma * ops.maximum(margin + distance, 0.0) * (margin - distance)
    far = gamma * ops.maximum(1 + margin - distance, 0.0) * (1 - margin - distance)
    nothing = float("-inf")
    pulls = ops.logsumexp(ops.where(same, near, nothing), 1)
    pushes = ops.logsumexp(ops.where(other, far, nothing), 1)
    return ops.softplus(pulls + pushes)


@one_graph_function
def ctc(y_true: Any, y_pred: Any) -> Any:
    """`-log p(labels)` `[N]`, whenever they occur (Graves et al., 2006).

    Args:
        y_true: class numbers `[N, L]`; 0 stands for no label and fills rows up.
        y_pred: logits `[N, T, C]`.
    """
    y_true, y_pred = ops.cast(y_true, "int32"), ops.convert_to_tensor(y_pred)
    batch, time = y_pred.type.shape[:2]
    num_labels = ops.count_nonzero(y_true, -1)
    num_steps = emit(ir.BroadcastTo((batch,)), emit(ir.DimSize(time)))
    return ops.ctc_loss(y_true, y_pred, num_labels, num_steps)


class Circle(FunctionLoss):
    """Embeddings of one class near each other, of other classes far (Sun et al., 2020)."""

    function = staticmethod(circle)
    default_name = "circle"
    labels_are_classes = True

    def __init__(
        self,
        gamma: float = 80.0,
        margin: float = 0.4,
        remove_diagonal: bool = True,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(reduction, name, dtype)
        self.gamma = gamma
        self.margin = margin
        self.remove_diagonal = remove_diagonal

    def mask(self, y_true: Any, y_pred: Any, losses: Any) -> Any:
        # Rows without another of their class have no loss, and the mean is over the others.
        return ops.greater(losses, 0)


class CTC(FunctionLoss):
    """Labels whose times are not known (Graves et al., 2006)."""

    function = staticmethod(ctc)
    default_name = "ctc"
    labels_are_classes = True
