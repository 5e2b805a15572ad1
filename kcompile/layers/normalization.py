"""Normalization layers."""

from __future__ import annotations

from typing import Any

import kcompile.ops as ops
from kcompile import constraints, initializers, regularizers
from kcompile.ir.op import normalize_axis
from kcompile.layers.base import Layer
from kcompile.layers.core import check_channels


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
            )
        if self.center:
            self.beta = self.add_weight(
                (channels,),
                self.beta_initializer,
                regularizer=self.beta_regularizer,
                constraint=self.beta_constraint,
                name="beta",
            )
        self.moving_mean = self.add_weight(
            (channels,), self.moving_mean_initializer, trainable=False, name="moving_mean"
        )
        self.moving_variance = self.add_weight(
            (channels,), self.moving_variance_initializer, trainable=False, name="moving_variance"
        )

    def call(self, inputs: Any, training: bool = False, mask: Any = None) -> Any:
        if training and self.trainable and mask is not None:
            raise NotImplementedError(
                f"layer '{self.name}': batch statistics of masked data are not there yet"
            )
        if not (training and self.trainable):
            return ops.batch_normalization(
                inputs,
                self.moving_mean.value,
                self.moving_variance.value,
                self.axis,
                self.beta,
                self.gamma,
                self.epsilon,
            )
        y, mean, variance = ops.batch_normalization_training(
            inputs, self.axis, self.beta, self.gamma, self.epsilon
        )
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving.value * self.momentum + batch * (1.0 - self.momentum))
        return y
