"""Normalization layers."""

from __future__ import annotations

from typing import Any

import kcompile.ops as ops
from kcompile import constraints, initializers, regularizers
from kcompile.ir.errors import ShapeError
from kcompile.ir.op import normalize_axis
from kcompile.layers.base import Layer
from kcompile.layers.core import check_channels
from kcompile.ops.promotion import FLOATX, promote


class BatchNormalization(Layer):
    """`y = (x - mean) / sqrt(variance + epsilon) * gamma + beta` (Ioffe and Szegedy, 2015).

    In training the statistics are the batch's, over all axes but `axis`; the moving ones follow:
    `moving = moving * momentum + batch * (1 - momentum)`. At inference, and when the layer is not
    trainable, they are the moving ones.
    """

    supports_masking = True
    inert_config = {
        "synchronized": (False,),
        "renorm": (False,),
        "renorm_clipping": (None,),
        "renorm_momentum": (0.99,),
    }

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 0.001,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.axis = axis
        self.momentum = momentum
        self.epsilon = epsilon
        self.center = center
        self.scale = scale
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.moving_mean_initializer = initializers.get(moving_mean_initializer)
        self.moving_variance_initializer = initializers.get(moving_variance_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        self.beta_constraint = constraints.get(beta_constraint)
        self.gamma_constraint = constraints.get(gamma_constraint)

    def build(self, input_shape: Any) -> None:
        axis = normalize_axis(self.axis, len(input_shape))
        channels = check_channels(self.name, input_shape[axis], axis)
        self.gamma = self.beta = None
        if self.scale:
            self.gamma = self.add_weight(
                (channels,),
                self.gamma_initializer,
                regularizer=self.gamma_regularizer,
                constraint=self.gamma_constraint,
                name="gamma",
                autocast=False,
            )
        if self.center:
            self.beta = self.add_weight(
                (channels,),
                self.beta_initializer,
                regularizer=self.beta_regularizer,
                constraint=self.beta_constraint,
                name="beta",
                autocast=False,
            )
        self.moving_mean, self.moving_variance = (
            self.add_weight((channels,), initializer, trainable=False, autocast=False, name=name)
            for name, initializer in (
                ("moving_mean", self.moving_mean_initializer),
                ("moving_variance", self.moving_variance_initializer),
            )
        )

    def call(self, inputs: Any, training: bool = False, mask: Any = None) -> Any:
        # 16 bits overflow in sums of squares, so statistics and their use are in 32.
        wide = ops.cast(inputs, promote(inputs.type.dtype, FLOATX).keras_name)
        weights: list[Any] = [self.moving_mean, self.moving_variance, self.beta, self.gamma]
        read: list[Any] = [
            None if weight is None else ops.cast(weight, wide.dtype) for weight in weights
        ]
        mean, variance, beta, gamma = read
        if not (training and self.trainable):
            y = ops.batch_normalization(wide, mean, variance, self.axis, beta, gamma, self.epsilon)
            return ops.cast(y, self.compute_dtype)
        if mask is None:
            y, *batch = ops.batch_normalization_training(wide, self.axis, beta, gamma, self.epsilon)
        else:
            batch = self._masked_moments(wide, mask)
            y = ops.batch_normalization(
                wide, batch[0], batch[1], self.axis, beta, gamma, self.epsilon
            )
        moving = (self.moving_mean, mean), (self.moving_variance, variance)
        for (variable, old), new in zip(moving, batch, strict=True):
            variable.assign(old * self.momentum + new * (1.0 - self.momentum))
        return ops.cast(y, self.compute_dtype)

    def _masked_moments(self, x: Any, mask: Any) -> list[Any]:
        """Mean and variance of what the mask `[N, ...]` keeps of x `[N, ..., C]`.

        Raises:
            ShapeError: the mask's rank is not one less than that of x.
        """
        if mask.ndim != x.ndim - 1:
            raise ShapeError(
                f"the mask has one axis less than the input, got {mask.type} and {x.type}",
                where=f"layer '{self.name}'",
            )
        channels = normalize_axis(self.axis, x.ndim)
        axes = [axis for axis in range(x.ndim) if axis != channels]
        shape = [1] * x.ndim
        shape[channels] = x.shape[channels]
        kept = ops.broadcast_to(ops.expand_dims(mask, -1), ops.shape(x))
        count = ops.sum(ops.cast(kept, x.dtype), axes) + 1e-7
        mean = ops.sum(ops.where(kept, x, 0.0), axes) / count
        deviation = ops.where(kept, x - ops.reshape(mean, shape), 0.0)
        return [mean, ops.sum(ops.square(deviation), axes) / count]
