"""The layer that made a training step NaN or infinite."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import kcompile as K
from kcompile import ops
from kcompile.ir.errors import NonFiniteLossError

X = np.random.default_rng(1).normal(size=(12, 3)).astype(np.float32)
Y = np.ones((12, 1), np.float32)


def _message(layers: list[Any], *, x: Any = X, y: Any = Y, **options: Any) -> str:
    """The error of training layers, of which one is not finite."""
    K.utils.set_random_seed(2)
    model = K.Sequential([K.Input(x.shape[1:]), *layers], name="broken")
    optimizer = options.pop("optimizer", "sgd")
    model.compile(optimizer=optimizer, loss="mse", debug_nans=options.pop("debug_nans", True))
    with pytest.raises(NonFiniteLossError) as raised:
        model.fit(x, y, batch_size=4, epochs=3, shuffle=False, verbose=0, **options)
    return str(raised.value)


class Log(K.layers.Layer):
    def call(self, x: Any) -> Any:
        return ops.log(x)


class Root(K.layers.Layer):
    """Finite at 0, with an infinite gradient there."""

    def call(self, x: Any) -> Any:
        return ops.sqrt(ops.maximum(x, 0.0))


class Masked(K.layers.Layer):
    """Infinities that a mask leaves out."""

    def call(self, x: Any) -> Any:
        return ops.where(ops.isfinite(x / ops.zeros_like(x)), 0.0, x)


def _dense(name: str) -> Any:
    return K.layers.Dense(1, name=name)


def test_the_layer_whose_result_is_not_finite() -> None:
    message = _message([Masked(name="masked"), _dense("one"), Log(name="logarithm"), _dense("two")])
    assert "epoch 1, step" in message
    assert "NaN is made by layer 'logarithm' (op Log" in message


def test_the_layer_whose_gradient_is_not_finite() -> None:
    zeros = K.layers.Dense(1, kernel_initializer="zeros", name="zeros")
    message = _message([zeros, Root(name="root"), _dense("two")])
    assert "epoch 1, step 1" in message
    assert "gradient of layer 'root'" in message


def test_the_step_in_the_middle_of_a_block() -> None:
    """A row that overflows in the loss is the last batch's."""
    y = Y.copy()
    y[-1] = 3e38
    message = _message([_dense("one")], y=y)
    assert "epoch 1, step 3" in message
    assert "an infinity is made by the loss" in message.lower()


def test_an_optimizer_that_divides_by_zero() -> None:
    import optax

    def update(gradients: Any, state: Any, params: Any = None) -> Any:
        return {name: gradient / 0.0 for name, gradient in gradients.items()}, state

    optimizer = optax.GradientTransformation(lambda params: (), update)
    message = _message([_dense("one")], optimizer=optimizer)
    assert "the optimizer's update of a weight is not" in message


def test_batch_statistics_and_random_numbers_are_those_of_the_step() -> None:
    layers = [
        K.layers.BatchNormalization(name="norm"),
        K.layers.Dropout(0.5, seed=3, name="drop"),
        Log(name="logarithm"),
        _dense("two"),
    ]
    assert "layer 'logarithm'" in _message(layers)


def test_without_it_the_error_says_how_to_know() -> None:
    message = _message([Log(name="logarithm"), _dense("two")], debug_nans=False)
    assert "debug_nans=True" in message
    assert "layer 'logarithm'" not in message


def test_steps_of_ones_own_are_refused() -> None:
    class Own(K.Model):
        def __init__(self) -> None:
            super().__init__(name="own")
            self.head = _dense("head")

        def call(self, x: Any) -> Any:
            return self.head(x)

        def train_step(self, state: Any, data: Any) -> Any:
            return super().train_step(state, data)

    model = Own()
    model.compile("sgd", "mse", debug_nans=True)
    with pytest.raises(NotImplementedError, match="debug_nans"):
        model.fit(X, Y, verbose=0)
