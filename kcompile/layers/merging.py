"""Layers that merge several tensors into one."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import kcompile.ops as ops
from kcompile.ir.errors import SpecError
from kcompile.layers.base import Layer


class _Merge(Layer):
    """A function of two or more tensors, which broadcast."""

    least = 2
    supports_masking = True

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """A step counts if it does in any input; if one has no mask, there is none."""
        masks = list(previous_mask or ())
        if not masks or any(mask is None for mask in masks):
            return None
        result = masks[0]
        for mask in masks[1:]:
            result = ops.logical_or(result, mask)
        return result

    def call(self, inputs: Sequence[Any]) -> Any:
        if not isinstance(inputs, (list, tuple)) or len(inputs) < self.least:
            raise SpecError(
                f"needs a list of at least {self.least} tensors", where=f"layer '{self.name}'"
            )
        return self.merge(self._with_equal_ranks(list(inputs)))

    def _with_equal_ranks(self, tensors: list[Any]) -> list[Any]:
        """Tensors of lower rank with axes of size 1 after the batch."""
        rank = max(tensor.type.rank for tensor in tensors)
        return [
            ops.expand_dims(tensor, tuple(range(1, 1 + rank - tensor.type.rank)))
            if 0 < tensor.type.rank < rank
            else tensor
            for tensor in tensors
        ]

    def merge(self, tensors: list[Any]) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no merge")


class _Fold(_Merge):
    """A function of two tensors, applied from the left."""

    function: ClassVar[Callable[..., Any]]

    def merge(self, tensors: list[Any]) -> Any:
        result = tensors[0]
        for tensor in tensors[1:]:
            result = type(self).function(result, tensor)
        return result


class Add(_Fold):
    """`y = a + b + ...`."""

    function = staticmethod(ops.add)


def _feature_mask(x: Any) -> Any:
    """The mask of x `[N, T, C]` as `[N, T, 1]`; None if there is none."""
    return None if x.mask is None else ops.expand_dims(x.mask, -1)


class Multiply(_Fold):
    """`y = a * b * ...`; a masked step of an input counts as 1, and one masked in all is 0."""

    function = staticmethod(ops.multiply)

    def merge(self, tensors: list[Any]) -> Any:
        masks = [_feature_mask(x) for x in tensors]
        factors = [
            x if mask is None else ops.where(mask, x, ops.ones_like(x))
            for x, mask in zip(tensors, masks, strict=True)
        ]
        result = super().merge(factors)
        if any(mask is None for mask in masks):
            return result
        kept = functools.reduce(ops.logical_or, masks)
        return ops.where(kept, result, ops.zeros_like(result))


class _Extreme(_Fold):
    """The greatest or smallest of the inputs that count: a masked step of one is the other's."""

    def merge(self, tensors: list[Any]) -> Any:
        result = tensors[0]
        result_mask = _feature_mask(result)
        for tensor in tensors[1:]:
            mask = _feature_mask(tensor)
            if mask is not None:
                tensor = ops.where(mask, tensor, result)
            if result_mask is not None:
                result = ops.where(result_mask, result, tensor)
            is_masked = mask is not None and result_mask is not None
            result_mask = ops.logical_or(result_mask, mask) if is_masked else None
            result = type(self).function(result, tensor)
        return result


class Maximum(_Extreme):
    """`y = max(a, b, ...)`; a masked step of an input does not take part."""

    function = staticmethod(ops.maximum)


class Minimum(_Extreme):
    """`y = min(a, b, ...)`; a masked step of an input does not take part."""

    function = staticmethod(ops.minimum)


class Average(_Fold):
    """`y = (a + b + ...) / n`."""

    function = staticmethod(ops.add)

    def merge(self, tensors: list[Any]) -> Any:
        return super().merge(tensors) / len(tensors)


class Subtract(_Merge):
    """`y = a - b`, of exactly two tensors."""

    def merge(self, tensors: list[Any]) -> Any:
        if len(tensors) != 2:
            raise SpecError(f"takes 2 tensors, got {len(tensors)}", where=f"layer '{self.name}'")
        return ops.subtract(*tensors)


class Concatenate(_Merge):
    """The tensors one after the other along axis."""

    least = 1

    def __init__(self, axis: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = axis

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """The masks one after the other; an input without one counts as a whole."""
        masks = list(previous_mask or ())
        if all(mask is None for mask in masks):
            return None
        shaped = []
        for tensor, mask in zip(inputs, masks, strict=True):
            if mask is None:
                mask = ops.ones_like(tensor, "bool")
            elif mask.type.rank < tensor.type.rank:
                mask = ops.broadcast_to(ops.expand_dims(mask, -1), tensor.type.shape)
            shaped.append(mask)
        return ops.any(ops.concatenate(shaped, self.axis), axis=-1)

    def _with_equal_ranks(self, tensors: list[Any]) -> list[Any]:
        return tensors

    def merge(self, tensors: list[Any]) -> Any:
        return ops.concatenate(tensors, self.axis)


def add(inputs: Sequence[Any], **kwargs: Any) -> Any:
    """`a + b + ...`."""
    return Add(**kwargs)(inputs)


def subtract(inputs: Sequence[Any], **kwargs: Any) -> Any:
    """`a - b`."""
    return Subtract(**kwargs)(inputs)


def multiply(inputs: Sequence[Any], **kwargs: Any) -> Any:
    """`a * b * ...`."""
    return Multiply(**kwargs)(inputs)


def average(inputs: Sequence[Any], **kwargs: Any) -> Any:
    """`(a + b + ...) / n`."""
    return Average(**kwargs)(inputs)


def maximum(inputs: Sequence[Any], **kwargs: Any) -> Any:
    """`max(a, b, ...)`."""
    return Maximum(**kwargs)(inputs)


def minimum(inputs: Sequence[Any], **kwargs: Any) -> Any:
    """`min(a, b, ...)`."""
    return Minimum(**kwargs)(inputs)


def concatenate(inputs: Sequence[Any], axis: int = -1, **kwargs: Any) -> Any:
    """The tensors one after the other along axis."""
    return Concatenate(axis, **kwargs)(inputs)
