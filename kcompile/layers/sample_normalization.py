"""Layers that normalize each sample by itself, the same in training and at inference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import kcompile.ops as ops
from kcompile import constraints, initializers, regularizers
from kcompile.ir.errors import ShapeError, SpecError
from kcompile.ir.op import normalize_axis
from kcompile.layers.base import Layer
from kcompile.layers.core import check_channels


def _checked_axis(name: str, axis: Any) -> int | list[int]:
    """An axis, or a list of them.

    Raises:
        SpecError: it is neither.
    """
    if isinstance(axis, (list, tuple)):
        return list(axis)
    if not isinstance(axis, int):
        raise SpecError(f"axis is an int or a list of them, not {axis!r}", where=f"layer '{name}'")
    return axis


def _listed(axis: int | list[int]) -> list[int]:
    return axis if isinstance(axis, list) else [axis]


def _sizes(name: str, input_shape: Any, axis: int | list[int]) -> tuple[list[int], tuple[int, ...]]:
    """The axes in order, as given, and the sizes of weights along them, in that order.

    As in Keras, negative axes come first.
    """
    axes = sorted(_listed(axis))
    for entry in axes:
        normalize_axis(entry, len(input_shape))
    return axes, tuple(check_channels(name, input_shape[entry], entry) for entry in axes)


class _Affine(Layer):
    """A normalization with a factor gamma and a term beta."""

    supports_masking = True

    def __init__(
        self,
        *,
        center: bool,
        scale: bool,
        beta_initializer: Any,
        gamma_initializer: Any,
        beta_regularizer: Any,
        gamma_regularizer: Any,
        beta_constraint: Any,
        gamma_constraint: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.center = center
        self.scale = scale
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        self.beta_constraint = constraints.get(beta_constraint)
        self.gamma_constraint = constraints.get(gamma_constraint)
        self.gamma: Any = None
        self.beta: Any = None
        self.autocast = False

    def _add_weights(self, shape: tuple[int, ...], with_gamma: bool, with_beta: bool) -> None:
        if with_gamma:
            self.gamma = self.add_weight(
                shape,
                self.gamma_initializer,
                regularizer=self.gamma_regularizer,
                constraint=self.gamma_constraint,
                name="gamma",
                autocast=False,
            )
        if with_beta:
            self.beta = self.add_weight(
                shape,
                self.beta_initializer,
                regularizer=self.beta_regularizer,
                constraint=self.beta_constraint,
                name="beta",
                autocast=False,
            )


class LayerNormalization(_Affine):
    """`y = (x - mean) / sqrt(variance + epsilon) * gamma + beta`, with statistics along axis.

    gamma and beta have the sizes of x along axis (Ba et al., 2016).
    """

    def __init__(
        self,
        axis: int | Sequence[int] = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        rms_scaling: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            center=center,
            scale=scale,
            beta_initializer=beta_initializer,
            gamma_initializer=gamma_initializer,
            beta_regularizer=beta_regularizer,
            gamma_regularizer=gamma_regularizer,
            beta_constraint=beta_constraint,
            gamma_constraint=gamma_constraint,
            **kwargs,
        )
        self.axis = _checked_axis(self.name, axis)
        self.epsilon = epsilon
        self.rms_scaling = rms_scaling

    def build(self, input_shape: Any) -> None:
        self.axis, shape = _sizes(self.name, input_shape, self.axis)
        with_gamma = self.scale or self.rms_scaling
        self._add_weights(shape, with_gamma, self.center and not self.rms_scaling)

    def call(self, inputs: Any) -> Any:
        axes = sorted(normalize_axis(entry, inputs.ndim) for entry in _listed(self.axis))
        sizes = tuple(inputs.type.shape[entry] for entry in axes)
        gamma, beta = (
            weight if weight is None or weight.shape == sizes else ops.reshape(weight, sizes)
            for weight in (self.gamma, self.beta)
        )
        y = ops.layer_normalization(
            inputs, gamma, beta, axes, self.epsilon, rms_scaling=self.rms_scaling
        )
        return ops.cast(y, self.compute_dtype)


class RMSNormalization(Layer):
    """`y = x / sqrt(mean(x^2) + epsilon) * scale`, with the mean along axis.

    scale has the sizes of x along axis (Zhang and Sennrich, 2019).
    """

    def __init__(
        self, axis: int | Sequence[int] = -1, epsilon: float = 1e-6, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.axis = _checked_axis(self.name, axis)
        self.epsilon = epsilon

    def build(self, input_shape: Any) -> None:
        self.axis, shape = _sizes(self.name, input_shape, self.axis)
        self.scale = self.add_weight(shape, "ones", name="scale")

    def call(self, inputs: Any) -> Any:
        return ops.rms_normalization(inputs, self.scale, self.axis, self.epsilon)


class GroupNormalization(_Affine):
    """`y = (x - mean) / sqrt(variance + epsilon) * gamma + beta`, statistics of groups of channels.

    The channels along axis are divided into `groups` (-1: each is one). Statistics are over the
    channels of a group and all axes but the first; gamma and beta are `[C]` (Wu and He, 2018).
    """

    def __init__(
        self,
        groups: int = 32,
        axis: int = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            center=center,
            scale=scale,
            beta_initializer=beta_initializer,
            gamma_initializer=gamma_initializer,
            beta_regularizer=beta_regularizer,
            gamma_regularizer=gamma_regularizer,
            beta_constraint=beta_constraint,
            gamma_constraint=gamma_constraint,
            **kwargs,
        )
        if not isinstance(groups, int) or (groups < 1 and groups != -1):
            raise SpecError(
                f"groups must be a positive integer or -1, got {groups!r}",
                where=f"layer '{self.name}'",
            )
        self.groups = groups
        self.axis = axis
        self.epsilon = epsilon

    def build(self, input_shape: Any) -> None:
        axis = normalize_axis(self.axis, len(input_shape))
        channels = check_channels(self.name, input_shape[axis], axis)
        self.groups = channels if self.groups == -1 else self.groups
        if channels % self.groups:
            raise ShapeError(
                f"{channels} channels do not divide into {self.groups} groups",
                where=f"layer '{self.name}'",
            )
        self._add_weights((channels,), self.scale, self.center)

    def call(self, inputs: Any) -> Any:
        y = ops.group_normalization(
            inputs, self.groups, self.axis, self.beta, self.gamma, self.epsilon
        )
        return ops.cast(y, self.compute_dtype)


class UnitNormalization(Layer):
    """`y = x / sqrt(sum(x^2))`, with the sum along axis."""

    supports_masking = True

    def __init__(self, axis: int | Sequence[int] = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = _checked_axis(self.name, axis)

    def call(self, inputs: Any) -> Any:
        return ops.normalize(inputs, self.axis, 2, 1e-12)
