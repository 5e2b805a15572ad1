"""Attention without weights for queries, keys and values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import kcompile.ops as ops
from kcompile.ir import ops as ir
from kcompile.ir.errors import SpecError
from kcompile.layers.base import Layer
from kcompile.layers.core import check_channels
from kcompile.ops.trace import emit


def causal_mask(num_queries: Any, num_keys: Any) -> Any:
    """Bools `[1, T, S]`: whether the key is not behind the query."""
    rows, columns = _places(num_queries, num_keys)
    return ops.greater_equal(rows, columns)


def window_mask(num_queries: Any, num_keys: Any, width: int) -> Any:
    """Bools `[1, T, S]`: whether key and query are less than `width` apart."""
    rows, columns = _places(num_queries, num_keys)
    return ops.less(ops.absolute(ops.subtract(rows, columns)), width)


def _places(num_queries: Any, num_keys: Any) -> tuple[Any, Any]:
    """The indices of the queries `[1, T, 1]` and of the keys `[1, 1, S]`."""
    rows = ops.reshape(emit(ir.Iota(num_queries)), (1, num_queries, 1))
    return rows, ops.reshape(emit(ir.Iota(num_keys)), (1, 1, num_keys))


class Attention(Layer):
    """`y = softmax(scores) value`, scores from products of queries and keys (Luong et al., 2015).

    Called on `[query, value]` or `[query, value, key]`: `[N, T, D]`, `[N, S, E]` and `[N, S, D]`.

    Args:
        use_scale: whether scores are multiplied with a weight.
        score_mode: `dot`, or `concat` for `w * sum(tanh(query + key))`.
        dropout: part of the weights that is dropped in training.
        seed: of the dropout.

    Call arguments:
        mask: `[query_mask, value_mask]` of bools `[N, T]` and `[N, S]`; either may be None. Masked
            values do not count, and the result is 0 for masked queries.
        return_attention_scores: whether to return the softmax `[N, T, S]` as well.
        use_causal_mask: whether a query sees only the keys up to its own place.
    """

    supports_masking = True

    def __init__(
        self,
        use_scale: bool = False,
        score_mode: str = "dot",
        dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if score_mode not in ("dot", "concat"):
            raise SpecError(
                f"score_mode is 'dot' or 'concat', not {score_mode!r}", where=f"layer '{self.name}'"
            )
        self.use_scale = use_scale
        self.score_mode = score_mode
        self.dropout = dropout
        self.seed = seed
        self.scale: Any = None
        self.concat_score_weight: Any = None

    def build(self, input_shape: Any) -> None:
        if self.use_scale:
            self.scale = self.add_weight((), "ones", name="scale")
        if self.score_mode == "concat":
            self.concat_score_weight = self.add_weight((), "ones", name="concat_score_weight")

    def scores(self, query: Any, key: Any) -> Any:
        """`[N, T, S]` from `[N, T, D]` and `[N, S, D]`."""
        if self.score_mode == "dot":
            scores = ops.einsum("...td,...sd->...ts", query, key)
            return scores if self.scale is None else ops.multiply(scores, self.scale)
        pairs = ops.add(ops.expand_dims(query, -2), ops.expand_dims(key, -3))
        pairs = pairs if self.scale is None else ops.multiply(self.scale, pairs)
        return ops.multiply(self.concat_score_weight, ops.sum(ops.tanh(pairs), -1))

    def call(
        self,
        inputs: Sequence[Any],
        mask: Any = None,
        training: bool = False,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        query, value, key = self._inputs(inputs)
        query_mask, value_mask = (mask[0], mask[1]) if mask else (None, None)
        scores = self.scores(query, key)
        seen = None if value_mask is None else ops.expand_dims(ops.cast(value_mask, "bool"), -2)
        if use_causal_mask:
            causal = causal_mask(*scores.type.shape[-2:])
            seen = causal if seen is None else ops.logical_and(seen, causal)
        if seen is not None:
            excluded = 65504.0 if scores.dtype == "float16" else 1e9
            scores = ops.where(seen, scores, ops.subtract(scores, excluded))
        weights = ops.softmax(scores)
        if training and self.dropout > 0:
            weights = ops.dropout(weights, self.dropout, None, self.seed)
        result = ops.matmul(weights, value)
        if query_mask is not None:
            result = ops.where(ops.expand_dims(query_mask, -1), result, 0)
        return (result, weights) if return_attention_scores else result

    def _inputs(self, inputs: Any) -> tuple[Any, Any, Any]:
        if not isinstance(inputs, (list, tuple)) or len(inputs) not in (2, 3):
            raise SpecError(
                "needs [query, value] or [query, value, key]", where=f"layer '{self.name}'"
            )
        return inputs[0], inputs[1], inputs[-1]

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """That of the queries."""
        return previous_mask[0] if previous_mask else None


class AdditiveAttention(Attention):
    """`y = softmax(scores) value`, `scores = sum(scale * tanh(query + key))`.

    Called as `Attention`; scale is a weight `[D]`, and 1 without `use_scale` (Bahdanau et al.,
    2015).
    """

    def __init__(self, use_scale: bool = True, dropout: float = 0.0, **kwargs: Any) -> None:
        super().__init__(use_scale, dropout=dropout, **kwargs)

    def build(self, input_shape: Any) -> None:
        if self.use_scale:
            size = check_channels(self.name, input_shape[0][-1], -1)
            self.scale = self.add_weight((size,), "glorot_uniform", name="scale")

    def scores(self, query: Any, key: Any) -> Any:
        pairs = ops.tanh(ops.add(ops.expand_dims(query, -2), ops.expand_dims(key, -3)))
        return ops.sum(pairs if self.scale is None else ops.multiply(self.scale, pairs), -1)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["score_mode"]
        return config
