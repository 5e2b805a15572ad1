"""Embeddings: a vector for each number."""

from __future__ import annotations

from typing import Any

import numpy as np

import kcompile.ops as ops
from kcompile import constraints, initializers, regularizers
from kcompile.ir import ops as ir
from kcompile.ir.errors import SpecError
from kcompile.layers.base import Layer
from kcompile.layers.masks import with_mask
from kcompile.ops.trace import emit


class Embedding(Layer):
    """`y = embeddings[x]`: x `[...]` of integers in [0, input_dim), y `[..., output_dim]`.

    Args: as in Keras.
    """

    inert_config = {"quantization_config": (None,), "lora_rank": (None,), "lora_alpha": (None,)}

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        **kwargs: Any,
    ) -> None:
        kwargs.pop("input_length", None)
        weights = kwargs.pop("weights", None)
        super().__init__(**kwargs)
        for name, size in (("input_dim", input_dim), ("output_dim", output_dim)):
            if type(size) is not int or size < 1:
                raise SpecError(
                    f"{name} must be a positive integer, got {size!r}", where=f"layer '{self.name}'"
                )
        self.input_dim = input_dim
        self.output_dim = output_dim
        self.embeddings_initializer = initializers.get(embeddings_initializer)
        self.embeddings_regularizer = regularizers.get(embeddings_regularizer)
        self.embeddings_constraint = constraints.get(embeddings_constraint)
        self.mask_zero = mask_zero
        self.supports_masking = mask_zero
        self.autocast = False
        if weights is not None:
            self.build(None)
            self.built = True
            is_list = isinstance(weights, list) and len(weights) == 1
            self.set_weights(weights if is_list else [np.asarray(weights)])

    def build(self, input_shape: Any) -> None:
        self.embeddings = self.add_weight(
            (self.input_dim, self.output_dim),
            self.embeddings_initializer,
            regularizer=self.embeddings_regularizer,
            constraint=self.embeddings_constraint,
            name="embeddings",
        )

    def call(self, inputs: Any) -> Any:
        indices = inputs if inputs.dtype in ("int32", "int64") else ops.cast(inputs, "int32")
        return ops.cast(emit(ir.Gather(0), self.embeddings, indices), self.compute_dtype)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        return ops.not_equal(inputs, 0) if self.mask_zero else None

    def get_config(self) -> dict[str, Any]:
        # Keras writes this key of an Embedding also where there is no regularizer.
        return {"activity_regularizer": None, **super().get_config()}


class ReversibleEmbedding(Embedding):
    """`Embedding`, and with `reverse` the logits of x `[..., output_dim]` for each number.

    Args:
        tie_weights: whether the logits are `x @ embeddings.T`, or come from weights of their own.
        reverse_dtype: element type to compute logits in.
        logit_soft_cap: c that makes them `c * tanh(logits / c)`.
        others: as in `Embedding`.
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        tie_weights: bool = True,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        reverse_dtype: str | None = None,
        logit_soft_cap: float | None = None,
        **kwargs: Any,
    ) -> None:
        # Given weights are set as the layer is built, which needs to know.
        self.tie_weights = tie_weights
        super().__init__(
            input_dim,
            output_dim,
            embeddings_initializer,
            embeddings_regularizer,
            embeddings_constraint,
            mask_zero,
            **kwargs,
        )
        self.reverse_dtype = reverse_dtype
        self.logit_soft_cap = logit_soft_cap
        # `call` masks embeddings; logits have no mask.
        self.supports_masking = False

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        if not self.tie_weights:
            self.reverse_embeddings = self.add_weight(
                (self.output_dim, self.input_dim),
                self.embeddings_initializer,
                name="reverse_embeddings",
            )

    def call(self, inputs: Any, reverse: bool = False) -> Any:
        if not reverse:
            return with_mask(super().call(inputs), self.compute_mask(inputs))
        own = not self.tie_weights
        kernel = self.reverse_embeddings.value if own else ops.transpose(self.embeddings)
        if self.reverse_dtype is not None:
            inputs = ops.cast(inputs, self.reverse_dtype)
            kernel = ops.cast(kernel, self.reverse_dtype)
        logits = ops.matmul(inputs, kernel)
        if self.logit_soft_cap is None:
            return logits
        return ops.tanh(logits / self.logit_soft_cap) * self.logit_soft_cap
