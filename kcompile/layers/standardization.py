"""Features brought to mean 0 and variance 1."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

import kcompile.ops as ops
from kcompile.ir.errors import ShapeError, SpecError
from kcompile.ir.op import normalize_axis
from kcompile.layers.base import Layer
from kcompile.layers.core import check_channels
from kcompile.ops.limits import check_numbers

_EPSILON = 1e-7


class Normalization(Layer):
    """`y = (x - mean) / max(sqrt(variance), 1e-7)`; with `invert` what takes that back.

    There is a mean and a variance for each index along axis (None: one for all). They are given,
    or `adapt` finds them in data.
    """

    supports_masking = True

    def __init__(
        self,
        axis: int | Sequence[int] | None = -1,
        mean: Any = None,
        variance: Any = None,
        invert: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        where = f"layer '{self.name}'"
        listed = () if axis is None else (axis,) if isinstance(axis, int) else axis
        self.axis = tuple(listed)
        self.invert = invert
        if (mean is None) != (variance is None):
            raise SpecError("needs both mean and variance, or none of them", where=where)
        if np.shape(mean) != np.shape(variance):
            raise SpecError(
                f"mean {np.shape(mean)} and variance {np.shape(variance)} need one shape",
                where=where,
            )
        if mean is not None and np.ndim(mean) > len(self.axis):
            raise SpecError(
                f"mean has {np.ndim(mean)} axes, and only {len(self.axis)} are kept", where=where
            )
        self.mean = None if mean is None else np.asarray(mean).tolist()
        self.variance = None if variance is None else np.asarray(variance).tolist()

    def build(self, input_shape: Any) -> None:
        rank = len(input_shape)
        kept = sorted(normalize_axis(axis, rank) for axis in self.axis)
        for axis in kept:
            check_channels(self.name, input_shape[axis], axis)
        self._kept_shape = tuple(input_shape[axis] for axis in kept)
        self._reduced = tuple(axis for axis in range(rank) if axis not in kept)
        self._broadcast_shape = tuple(
            input_shape[axis] if axis in kept else 1 for axis in range(rank)
        )
        if self.mean is None:
            self.adapt_mean = self.add_weight(
                self._kept_shape, "zeros", trainable=False, name="mean"
            )
            self.adapt_variance = self.add_weight(
                self._kept_shape, "ones", trainable=False, name="variance"
            )
            # Nothing reads it; Keras's files have it.
            self.count = self.add_weight((), "zeros", "int32", trainable=False, name="count")

    def adapt(self, data: Any) -> None:
        """Set mean and variance to those of the data.

        Args:
            data: an array, or an iterable of batches, which are arrays.

        Raises:
            SpecError: mean and variance are given, or there is no batch.
            ShapeError: the data does not fit what the layer was built for.
        """
        where = f"layer '{self.name}'"
        if self.mean is not None:
            raise SpecError("has a mean and a variance and cannot adapt", where=where)
        batches: Iterable[Any] = [data] if hasattr(data, "shape") else data
        count, mean, variance = 0, np.zeros(()), np.zeros(())
        for batch in batches:
            array = np.asarray(batch[0] if isinstance(batch, tuple) else batch)
            array = array if array.dtype == np.float64 else array.astype(np.float32)
            if not self.built:
                self.build(
                    (None, *array.shape[1:]) if -array.ndim not in self.axis else array.shape
                )
                self.built = True
            self._check(array)
            number = int(np.prod([array.shape[axis] for axis in self._reduced], dtype=np.int64))
            count += number
            weight = number / count
            new = np.mean(array, axis=self._reduced, dtype=np.float64)
            spread = np.var(array, axis=self._reduced, dtype=np.float64)
            total = mean * (1 - weight) + new * weight
            variance = (variance + (mean - total) ** 2) * (1 - weight) + (
                spread + (new - total) ** 2
            ) * weight
            mean = total
        if not count:
            raise SpecError("adapt needs at least one batch that is not empty", where=where)
        self.adapt_mean.assign(np.asarray(mean, self.adapt_mean.type.dtype.numpy))
        self.adapt_variance.assign(np.asarray(variance, self.adapt_variance.type.dtype.numpy))

    def _check(self, array: np.ndarray[Any, Any]) -> None:
        fits = array.ndim == len(self._broadcast_shape) and all(
            axis in self._reduced or size == self._broadcast_shape[axis]
            for axis, size in enumerate(array.shape)
        )
        if not fits:
            raise ShapeError(
                f"was built for {self._broadcast_shape} (1: any size), got data {array.shape}",
                where=f"layer '{self.name}'",
            )

    def call(self, inputs: Any) -> Any:
        inputs = ops.cast(inputs, self.compute_dtype)
        mean, variance = self._statistics()
        deviation = ops.maximum(ops.sqrt(variance), _EPSILON)
        if self.invert:
            return ops.add(mean, ops.multiply(inputs, deviation))
        return ops.true_divide(ops.subtract(inputs, mean), deviation)

    def _statistics(self) -> list[Any]:
        """Mean and variance, with axes of size 1 where they are reduced."""
        if self.mean is None:
            given = [self.adapt_mean.value, self.adapt_variance.value]
            return [ops.reshape(entry, self._broadcast_shape) for entry in given]
        check_numbers(*self._kept_shape)
        constants = []
        for entry in (self.mean, self.variance):
            kept = np.broadcast_to(np.asarray(entry, np.float64), self._kept_shape)
            shaped = kept.reshape(self._broadcast_shape)
            constants.append(ops.convert_to_tensor(shaped, self.compute_dtype))
        return constants
