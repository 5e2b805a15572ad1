"""Attention of several heads, each with projections of its own."""

from __future__ import annotations

import math
import string
from collections.abc import Sequence
from typing import Any

import kcompile.ops as ops
from kcompile import constraints, initializers, regularizers
from kcompile.ir.errors import ShapeError, SpecError
from kcompile.layers.activation import Softmax
from kcompile.layers.attention import causal_mask, window_mask
from kcompile.layers.base import Layer
from kcompile.layers.core import Dropout
from kcompile.layers.einsum import EinsumDense


class _MultiHead(Layer):
    """Masks, projections and the core of attention, which the two layers share."""

    supports_masking = True

    def __init__(
        self,
        *,
        dropout: float,
        use_bias: bool,
        sliding_window: int | None,
        flash_attention: bool | None,
        kernel_initializer: Any,
        bias_initializer: Any,
        kernel_regularizer: Any,
        bias_regularizer: Any,
        kernel_constraint: Any,
        bias_constraint: Any,
        use_gate: bool,
        seed: int | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.dropout = dropout
        self.use_bias = use_bias
        self.use_gate = use_gate
        self.sliding_window = sliding_window
        self.seed = seed
        #: Says nothing: the numbers are the same, and the runtime decides how they are computed.
        self.flash_attention = flash_attention
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        if sliding_window is not None:
            self._require_positive("sliding_window", sliding_window)

    def _require_positive(self, name: str, value: Any) -> None:
        if not isinstance(value, int) or value < 1:
            raise SpecError(
                f"{name} must be a positive integer, got {value!r}", where=f"layer '{self.name}'"
            )

    def _dense(
        self,
        name: str,
        rank: int,
        num_summed: int,
        sizes: Sequence[int],
        activation: Any = None,
    ) -> EinsumDense:
        """Sums over the last axes of an input of that rank, which become axes of those sizes."""
        letters = iter(string.ascii_lowercase)
        free = "".join(next(letters) for _ in range(rank - num_summed))
        summed = "".join(next(letters) for _ in range(num_summed))
        new = "".join(next(letters) for _ in sizes)
        return EinsumDense(
            f"{free}{summed},{summed}{new}->{free}{new}",
            (*[None] * (len(free) - 1), *sizes),
            activation,
            new if self.use_bias else None,
            self.kernel_initializer,
            self.bias_initializer,
            self.kernel_regularizer,
            self.bias_regularizer,
            self.kernel_constraint,
            self.bias_constraint,
            activity_regularizer=self.activity_regularizer,
            dtype=self.dtype_policy,
            name=name,
        )

    def _make_core(self, axis: int | list[int]) -> None:
        self._softmax = Softmax(axis, dtype=self.dtype_policy, name="softmax")
        self._dropout_layer = Dropout(self.dropout, seed=self.seed, dtype=self.dtype_policy)
        for layer in (self._softmax, self._dropout_layer):
            layer.built = True

    def _seen(
        self,
        query: Any,
        value: Any,
        query_mask: Any,
        value_mask: Any,
        key_mask: Any,
        attention_mask: Any,
        use_causal_mask: bool,
    ) -> Any:
        """Which query sees which key: all masks at once, `[N, T, S]`; None if there are none."""
        parts = [] if attention_mask is None else [ops.cast(attention_mask, "bool")]
        for mask, axis in ((query_mask, -1), (value_mask, -2), (key_mask, -2)):
            if mask is not None:
                parts.append(ops.expand_dims(ops.cast(mask, "bool"), axis))
        lengths = query.type.shape[1], value.type.shape[1]
        if use_causal_mask:
            parts.append(causal_mask(*lengths))
        if self.sliding_window is not None:
            parts.append(window_mask(*lengths, self.sliding_window))
        seen = None
        for part in parts:
            seen = part if seen is None else ops.logical_and(seen, part)
        return seen

    def _attend(
        self,
        query: Any,
        key: Any,
        value: Any,
        seen: Any,
        is_causal: bool,
        axes: tuple[int, ...],
        wants_scores: bool,
        training: bool,
    ) -> tuple[Any, Any]:
        """Results and, if wanted, the weights, of projected `[N, ..., H, D]`.

        Queries that see no key have equal weights here without dropout and without wanted scores,
        and none with either, as in Keras.
        """
        rank, depth = query.ndim, query.shape[-1]
        scale = 1.0 / math.sqrt(depth)
        if rank == 4 and not wants_scores and not self.dropout:
            mask = None if seen is None else _spread(seen, 4, -3)
            y = ops.dot_product_attention(query, key, value, None, mask, scale, is_causal)
            return y, None
        if is_causal:
            seen = causal_mask(query.type.shape[1], value.type.shape[1])
        into_scores, into_result, scores_rank = attention_equations(rank, axes)
        scores = ops.einsum(into_scores, key, ops.multiply(query, scale))
        mask = None if seen is None else _spread(seen, scores_rank, -2 * len(axes) - 1)
        weights = self._softmax(scores, mask=mask)
        kept = self._dropout_layer(weights, training=training) if self.dropout else weights
        return ops.einsum(into_result, kept, value), weights

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["flash_attention"]
        return {"activity_regularizer": None, **config}


def _spread(mask: Any, rank: int, axis: int) -> Any:
    """A mask with axes of size 1 put in at `axis`, up to a rank."""
    while mask.ndim < rank:
        mask = ops.expand_dims(mask, axis)
    return mask


def attention_equations(rank: int, axes: tuple[int, ...]) -> tuple[str, str, int]:
    """Equations from keys and queries to scores, from scores and values to results; scores' rank.

    Operands have that rank, their last two axes being heads and depth, and attend along `axes`.
    Scores have the other axes, those of the queries, and those of the keys.
    """
    letters = string.ascii_lowercase
    target = letters[:rank]
    new = iter(letters[rank:])
    source = "".join(next(new) if axis in axes else target[axis] for axis in range(rank))
    others = [target[axis] for axis in range(rank - 1) if axis not in axes]
    scores = "".join([*others, *(target[axis] for axis in axes), *(source[axis] for axis in axes)])
    return f"{source},{target}->{scores}", f"{scores},{source}->{target}", len(scores)


class MultiHeadAttention(_MultiHead):
    """Attention of `num_heads` heads on projections of queries, keys and values.

    Queries are `[N, T, A]`, values `[N, S, B]` and keys `[N, S, C]`; the result is `[N, T, A]`, or
    has the sizes `output_shape` in the place of A (Vaswani et al., 2017).

    Args: as in Keras. `flash_attention` says nothing: the numbers are the same.

    Call arguments:
        query_mask, value_mask, key_mask: bools `[N, T]`, `[N, S]`, `[N, S]`.
        attention_mask: bools `[N, T, S]`, or `[N, H, T, S]`: what a query may see.
        return_attention_scores: whether to return the weights `[N, H, T, S]` as well.
        use_causal_mask: whether a query sees only the keys up to its own place.
    """

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        value_dim: int | None = None,
        dropout: float = 0.0,
        use_bias: bool = True,
        output_shape: int | Sequence[int] | None = None,
        attention_axes: int | Sequence[int] | None = None,
        sliding_window: int | None = None,
        flash_attention: bool | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        use_gate: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            dropout=dropout,
            use_bias=use_bias,
            sliding_window=sliding_window,
            flash_attention=flash_attention,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            activity_regularizer=activity_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
            use_gate=use_gate,
            seed=seed,
            **kwargs,
        )
        self._require_positive("num_heads", num_heads)
        self._require_positive("key_dim", key_dim)
        if value_dim is not None:
            self._require_positive("value_dim", value_dim)
        self.num_heads = num_heads
        self.key_dim = key_dim
        self.value_dim = value_dim or key_dim
        self.output_shape = (output_shape,) if isinstance(output_shape, int) else output_shape
        self.attention_axes = _tuple(attention_axes)

    def regularize_activity(self, outputs: Any) -> None:
        """The projections have the penalty, as in Keras, not the layer itself."""

    def build(  # type: ignore[override]
        self, query_shape: Any, value_shape: Any, key_shape: Any = None
    ) -> None:
        key_shape = value_shape if key_shape is None else key_shape
        if value_shape[1:-1] != key_shape[1:-1]:
            raise ShapeError(
                f"values {value_shape} and keys {key_shape} differ before the last size"
            )
        rank = len(query_shape)
        heads = (self.num_heads, self.key_dim)
        self.query_dense = self._dense("query", rank, 1, heads)
        self.key_dense = self._dense("key", len(key_shape), 1, heads)
        value_heads = (self.num_heads, self.value_dim)
        if self.use_gate:
            self._gate_dense = self._dense("gate", rank, 1, value_heads, "sigmoid")
        self.value_dense = self._dense("value", len(value_shape), 1, value_heads)
        axes = range(1, rank - 1) if self.attention_axes is None else self.attention_axes
        self.attention_axes = tuple(axis % rank for axis in axes)
        self._make_core([-1 - index for index in reversed(range(len(self.attention_axes)))])
        result = self.output_shape or (query_shape[-1],)
        self.output_dense = self._dense("attention_output", rank + 1, 2, tuple(result))

    def call(
        self,
        query: Any,
        value: Any,
        key: Any = None,
        query_mask: Any = None,
        value_mask: Any = None,
        key_mask: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        training: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        key = value if key is None else key
        masks = (query_mask, value_mask, key_mask, attention_mask)
        is_causal = _is_only_causal(use_causal_mask, masks, self.sliding_window)
        seen = self._seen(query, value, *masks, use_causal_mask and not is_causal)
        gate = self._gate_dense(query) if self.use_gate else None
        y, weights = self._attend(
            self.query_dense(query),
            self.key_dense(key),
            self.value_dense(value),
            seen,
            is_causal,
            self.attention_axes or (),
            return_attention_scores,
            training,
        )
        result = self.output_dense(y if gate is None else ops.multiply(y, gate))
        return (result, weights) if return_attention_scores else result


class GroupedQueryAttention(_MultiHead):
    """Attention in which groups of query heads share one head of keys and values.

    Queries are `[N, T, A]`, values and keys `[N, S, B]`; the result is `[N, T, A]` (Ainslie et al.,
    2023).

    Args: as in Keras. `flash_attention` says nothing: the numbers are the same.

    Call arguments: as of `MultiHeadAttention`.
    """

    def __init__(
        self,
        head_dim: int,
        num_query_heads: int,
        num_key_value_heads: int,
        dropout: float = 0.0,
        use_bias: bool = True,
        sliding_window: int | None = None,
        flash_attention: bool | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        use_gate: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            dropout=dropout,
            use_bias=use_bias,
            sliding_window=sliding_window,
            flash_attention=flash_attention,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            activity_regularizer=activity_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
            use_gate=use_gate,
            seed=seed,
            **kwargs,
        )
        for name, number in (
            ("head_dim", head_dim),
            ("num_query_heads", num_query_heads),
            ("num_key_value_heads", num_key_value_heads),
        ):
            self._require_positive(name, number)
        if num_query_heads % num_key_value_heads:
            raise SpecError(
                f"{num_query_heads} query heads do not divide into {num_key_value_heads} groups",
                where=f"layer '{self.name}'",
            )
        self.head_dim = head_dim
        self.num_query_heads = num_query_heads
        self.num_key_value_heads = num_key_value_heads

    def build(  # type: ignore[override]
        self, query_shape: Any, value_shape: Any, key_shape: Any = None
    ) -> None:
        heads = (self.num_query_heads, self.head_dim)
        shared = (self.num_key_value_heads, self.head_dim)
        self._query_dense = self._dense("query", 3, 1, heads)
        self._key_dense = self._dense("key", 3, 1, shared)
        if self.use_gate:
            self._gate_dense = self._dense("gate", 3, 1, heads, "sigmoid")
        self._value_dense = self._dense("value", 3, 1, shared)
        self._make_core(-1)
        self._output_dense = self._dense("attention_output", 4, 2, (query_shape[-1],))

    def call(
        self,
        query: Any,
        value: Any,
        key: Any = None,
        query_mask: Any = None,
        value_mask: Any = None,
        key_mask: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        training: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        key = value if key is None else key
        masks = (query_mask, value_mask, key_mask, attention_mask)
        is_causal = _is_only_causal(use_causal_mask, masks, self.sliding_window)
        seen = self._seen(query, value, *masks, use_causal_mask and not is_causal)
        gate = self._gate_dense(query) if self.use_gate else None
        y, weights = self._attend(
            self._query_dense(query),
            self._repeated(self._key_dense(key)),
            self._repeated(self._value_dense(value)),
            seen,
            is_causal,
            (1,),
            return_attention_scores,
            training,
        )
        result = self._output_dense(y if gate is None else ops.multiply(y, gate))
        return (result, weights) if return_attention_scores else result

    def _repeated(self, x: Any) -> Any:
        """`[N, S, H, D]` with each head once for every query head of its group."""
        batch, length, heads, depth = x.type.shape
        repeats = self.num_query_heads // self.num_key_value_heads
        if repeats == 1:
            return x
        each = ops.broadcast_to(ops.expand_dims(x, 3), (batch, length, heads, repeats, depth))
        return ops.reshape(each, (batch, length, self.num_query_heads, depth))


def _tuple(axes: int | Sequence[int] | None) -> tuple[int, ...] | None:
    if axes is None:
        return None
    return (axes,) if isinstance(axes, int) else tuple(axes)


def _is_only_causal(
    use_causal_mask: bool, masks: tuple[Any, ...], sliding_window: int | None
) -> bool:
    """Whether the causal mask is all that there is."""
    return use_causal_mask and sliding_window is None and all(mask is None for mask in masks)
