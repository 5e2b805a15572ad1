"""Attention."""

from __future__ import annotations

import math
from typing import Any

from kcompile.ir import ops as ir
from kcompile.ir.errors import ShapeError
from kcompile.ir.types import DType
from kcompile.ops.dispatch import public
from kcompile.ops.elementwise import cast
from kcompile.ops.promotion import to_common_type, to_float
from kcompile.ops.trace import emit, require_trace


@public
def dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    bias: Any = None,
    mask: Any = None,
    scale: float | None = None,
    is_causal: bool = False,
    flash_attention: bool | None = None,
    attn_logits_soft_cap: float | None = None,
) -> Any:
    """`softmax(scale * query key^T + bias) value` for each head.

    Args:
        query: `[N, T, H, D]`.
        key: `[N, S, H, D]`.
        value: `[N, S, H, E]`; the result is `[N, T, H, E]`.
        bias: added to the scores; broadcasts to `[N, H, T, S]`.
        mask: where false, a key does not count; broadcasts to `[N, H, T, S]`.
        scale: `1 / sqrt(D)` by default.
        is_causal: whether a key counts only for the queries from its place on.
        flash_attention: says nothing here: the result is the same, and the runtime decides.
        attn_logits_soft_cap: not there.
    """
    if attn_logits_soft_cap is not None:
        raise NotImplementedError("ops.dot_product_attention: attn_logits_soft_cap is not there")
    q, k, v = to_common_type(to_float(query), key, value)
    depth = q.type.shape[-1]
    if scale is None and not isinstance(depth, int):
        raise ShapeError("needs a scale where the last size of the query is symbolic")
    factor = 1.0 / math.sqrt(int(depth)) if scale is None else float(scale)
    added = None if bias is None else require_trace().convert(bias, q.type.dtype)
    chosen = None if mask is None else cast(mask, DType.BOOL.keras_name)
    return emit(ir.Attention(factor, is_causal), q, k, v, added, chosen)
