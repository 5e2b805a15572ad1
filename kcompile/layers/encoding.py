"""Indices of categories as vectors: one-hot, multi-hot, counts."""

from __future__ import annotations

from typing import Any

import kcompile.ops as ops
from kcompile.ir.errors import SpecError
from kcompile.layers.base import Layer

MODES = ("one_hot", "multi_hot", "count")
_OLD_NAMES = {"binary": "multi_hot", "tf-idf": "tf_idf"}


def check_mode(output_mode: str, modes: tuple[str, ...], where: str) -> str:
    """The output mode, under the name that it has now.

    Raises:
        SpecError: it is none of `modes`.
    """
    mode = _OLD_NAMES.get(output_mode, output_mode)
    if mode not in modes:
        raise SpecError(
            f"output_mode={output_mode!r} is not known",
            where=where,
            hint=f"Use one of {', '.join(modes)}",
        )
    return mode


def refuse_sparse(sparse: bool, where: str) -> bool:
    """False; sparse tensors are not there.

    Raises:
        NotImplementedError: `sparse` is set.
    """
    if sparse:
        raise NotImplementedError(f"{where}: sparse=True is not there: tensors are dense")
    return False


def encode(
    indices: Any, output_mode: str, depth: int, dtype: str, count_weights: Any = None
) -> Any:
    """Vectors of `depth` for indices; one outside of [0, depth) counts for nothing.

    `one_hot`: `[..., 1]` to `[..., depth]`, other `[...]` to `[..., depth]`. `multi_hot` and
    `count`: the samples are along axis 1, `[N, K, ...]` to `[N, ..., depth]`, or along axis 0 of
    `[K]`.
    """
    if indices.ndim == 0:
        indices = ops.expand_dims(indices, 0)
    if output_mode == "one_hot":
        if indices.ndim > 1 and indices.shape[-1] == 1:
            indices = ops.squeeze(indices, -1)
        return ops.one_hot(indices, depth, dtype=dtype)
    hot = ops.one_hot(indices, depth, dtype=dtype)
    axis = 1 if indices.ndim > 1 else 0
    if output_mode == "multi_hot":
        return ops.max(hot, axis=axis)
    if count_weights is not None:
        hot = ops.multiply(hot, ops.expand_dims(ops.cast(count_weights, dtype), -1))
    return ops.sum(hot, axis=axis)


class CategoryEncoding(Layer):
    """Integers in [0, num_tokens) as vectors, one-hot, multi-hot or as counts; see `encode`."""

    def __init__(
        self,
        num_tokens: int | None = None,
        output_mode: str = "multi_hot",
        sparse: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        where = f"layer '{self.name}'"
        if num_tokens is None or num_tokens < 1:
            raise SpecError(f"num_tokens must be at least 1, got {num_tokens}", where=where)
        self.num_tokens = num_tokens
        self.output_mode = check_mode(output_mode, MODES, where)
        self.sparse = refuse_sparse(sparse, where)

    def call(self, inputs: Any, count_weights: Any = None) -> Any:
        if count_weights is not None and self.output_mode != "count":
            raise SpecError("count_weights is for output_mode='count'")
        indices = ops.cast(inputs, "int32") if _is_float(inputs) else inputs
        return encode(indices, self.output_mode, self.num_tokens, self.compute_dtype, count_weights)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["sparse"]
        return config


def _is_float(x: Any) -> bool:
    return bool(x.type.dtype.is_floating)
