"""JAX functions for `Lambda`, by name, each with the shape of its input without the batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

Function = Callable[[Any], Any]

KERNEL = np.random.default_rng(0).normal(size=(3, 3, 2, 4)).astype("f")
TABLE = np.random.default_rng(1).normal(size=(5, 3)).astype("f")


def layer_norm(x: Any) -> Any:
    mean, variance = jnp.mean(x, -1, keepdims=True), jnp.var(x, -1, keepdims=True)
    return (x - mean) / jnp.sqrt(variance + 1e-5) * 1.5 + 0.25


def attention(x: Any) -> Any:
    scores = jnp.einsum("btd,bsd->bts", x, x) / np.sqrt(x.shape[-1])
    causal = jnp.tril(jnp.ones((x.shape[1], x.shape[1]), bool))
    weights = jax.nn.softmax(jnp.where(causal, scores, -1e9), axis=-1)
    return jnp.einsum("bts,bsd->btd", weights, x)


def power_iteration(x: Any) -> Any:
    return lax.fori_loop(0, 4, lambda _, y: y / jnp.linalg.norm(y, axis=-1, keepdims=True) + x, x)


def running(x: Any) -> Any:
    def step(carry: Any, row: Any) -> tuple[Any, Any]:
        after = jnp.tanh(carry * 0.5 + row)
        return after, after

    return lax.scan(step, jnp.zeros(x.shape[1:]), x, reverse=True)[1]


def branches(x: Any) -> Any:
    return lax.cond(jnp.sum(x) > 0, lambda y: y * 2, lambda y: jnp.sin(y), x)


@jax.custom_jvp
def clipped_square(x: Any) -> Any:
    return x * x


@clipped_square.defjvp
def _clipped_square_jvp(primals: Any, tangents: Any) -> tuple[Any, Any]:
    (x,), (t,) = primals, tangents
    return x * x, jnp.clip(2 * x, -1, 1) * t


@jax.custom_vjp
def reversed_gradient(x: Any) -> Any:
    return jnp.sin(x)


reversed_gradient.defvjp(lambda x: (jnp.sin(x), x), lambda x, g: (-g * jnp.cos(x),))

FUNCTIONS: dict[str, tuple[Function, tuple[int | None, ...]]] = {
    "strided": (lambda x: jnp.tanh(x[:, ::2]) * x[:, 1::2], (6,)),
    "layer-norm": (layer_norm, (4,)),
    "attention": (attention, (None, 4)),
    "gelu": (lambda x: jax.nn.gelu(x), (3,)),
    "exact-gelu": (lambda x: jax.nn.gelu(x, approximate=False), (3,)),
    "relu": (jax.nn.relu, (3,)),
    "silu": (jax.nn.silu, (3,)),
    "softplus": (jax.nn.softplus, (3,)),
    "elu-selu": (lambda x: jax.nn.elu(x) + jax.nn.selu(x), (3,)),
    "log-softmax": (lambda x: jax.nn.log_softmax(x), (3,)),
    "logsumexp": (lambda x: jax.nn.logsumexp(x, 1, keepdims=True), (3,)),
    "standardize": (lambda x: jax.nn.standardize(x, 0), (3,)),
    "glu": (lambda x: jax.nn.glu(x), (6,)),
    "custom-jvp": (lambda x: clipped_square(x) + 1, (3,)),
    "custom-vjp": (lambda x: reversed_gradient(x) * x, (3,)),
    "checkpoint": (jax.checkpoint(lambda x: jnp.sin(jnp.cos(x))), (3,)),
    "arithmetic": (lambda x: x**3 - x**-2 + jnp.abs(x) ** 0.5 / (1 + jnp.exp(-x)), (3,)),
    "rounding": (lambda x: jnp.round(x) + jnp.floor(x) * jnp.ceil(x) + jnp.sign(x), (3,)),
    "remainder": (lambda x: jnp.mod(x, 0.7) + jnp.fmod(x, 0.7) + x // 0.3, (3,)),
    "clips": (lambda x: jnp.clip(x, -0.5, 0.5) + lax.clamp(-0.3, x, 0.2) + jnp.minimum(x, 0), (3,)),
    "transcendental": (
        lambda x: jnp.exp2(x) + jnp.log1p(jnp.square(x)) + jnp.expm1(x) + lax.rsqrt(x * x + 1),
        (3,),
    ),
    "trigonometric": (
        lambda x: jnp.arctan2(x, 1 + x * x) + jnp.sinh(x) + jnp.arctan(x) + lax.erf(x),
        (3,),
    ),
    "comparison": (lambda x: jnp.where((x > 0) & ~(x > 1) | (x < -1), x, 2 * x), (3,)),
    "reductions": (
        lambda x: jnp.max(x, 1) + jnp.min(x, -1) * jnp.prod(x, 1) + jnp.any(x > 1, 1),
        (4,),
    ),
    "mean-of-batch": (lambda x: x - jnp.mean(x, 0), (3,)),
    "outer": (lambda x: jax.vmap(lambda row: jnp.outer(row, row))(x), (3,)),
    "matmul": (lambda x: x @ jnp.asarray(TABLE), (2, 5)),
    "batched-matmul": (lambda x: jnp.matmul(x, jnp.swapaxes(x, 1, 2)), (2, 5)),
    "one-hot": (lambda x: jax.nn.one_hot(jnp.argmax(x, -1), 4) * x, (4,)),
    "embedding": (lambda x: jnp.asarray(TABLE)[jnp.argmin(x, -1)] * x, (3,)),
    "take": (lambda x: jnp.take(x, jnp.array([2, 0, 2]), axis=1), (3, 2)),
    "index": (lambda x: x[:, jnp.array([[1, 0], [0, 1]])] + x[:, :1, None], (2, 3)),
    "index-one": (lambda x: x[:, 1] + x[:, -1, :] + x[:, 0:1][:, 0], (3, 2)),
    "index-last": (lambda x: x[..., 0] * x[:, 1:, 1].sum(), (3, 2)),
    "take-along-axis": (
        lambda x: jnp.take_along_axis(x, jnp.argsort(x, axis=1), axis=1) * 2,
        (4,),
    ),
    "sort": (lambda x: jnp.sort(x, axis=-1)[:, ::-1], (4,)),
    "top-k": (lambda x: lax.top_k(x, 2)[0], (4,)),
    "cumulative": (lambda x: jnp.cumsum(x, 1) + lax.cumsum(x, 0, reverse=True), (4,)),
    "arrange": (
        lambda x: jnp.roll(jnp.flip(x, 1), 1, 1) + jnp.pad(x, ((0, 0), (1, 1)))[:, 2:],
        (4,),
    ),
    "split": (lambda x: jnp.concatenate(jnp.split(x, 2, 1)[::-1], 1) * jnp.tile(x, (1, 1)), (4,)),
    "repeat": (lambda x: jnp.repeat(x, 2, axis=1) + jnp.tile(x, (1, 2)), (3,)),
    "reshape": (lambda x: jnp.reshape(x, (-1, 6)).T[:3].T, (2, 3)),
    "merged-axes": (
        lambda x: x.reshape((x.shape[0] * x.shape[1], 2)).sum(1, keepdims=True),
        (3, 2),
    ),
    "positions": (lambda x: x + jnp.arange(x.shape[1])[None, :, None] / x.shape[1], (None, 2)),
    "dynamic-slice": (
        lambda x: lax.dynamic_slice_in_dim(x, jnp.argmax(jnp.sum(x, 0)), 2, axis=1),
        (4,),
    ),
    "convolution": (
        lambda x: lax.conv_general_dilated(
            x, jnp.asarray(KERNEL), (2, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        ),
        (5, 6, 2),
    ),
    "convolution-channels-first": (
        lambda x: lax.conv_general_dilated(
            x, jnp.transpose(KERNEL, (3, 2, 0, 1)), (1, 1), "VALID", rhs_dilation=(2, 1)
        ),
        (2, 6, 5),
    ),
    "max-pool": (
        lambda x: lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 1, 1), "VALID"),
        (4, 5, 2),
    ),
    "loop": (power_iteration, (3,)),
    "scan": (running, (3,)),
    "branches": (branches, (3,)),
    "stop-gradient": (lambda x: x * lax.stop_gradient(x), (3,)),
    "nan-to-num": (lambda x: jnp.nan_to_num(jnp.log(x)), (3,)),
    "noise": (lambda x: x + jax.random.normal(jax.random.key(0), (3,)), (3,)),
    "hypot": (lambda x: jnp.hypot(x, 2 * x) + jnp.logaddexp(x, 1.0), (3,)),
}
#: Functions with a primitive that the IR does not hold, and its name.
OPAQUE: dict[str, tuple[Function, str]] = {
    "update": (lambda x: x.at[:, 0].set(0.0), "scatter"),
    "cumulative-maximum": (lambda x: lax.cummax(x, 1) * 2, "cummax"),
    "inner-custom": (lambda x: jax.nn.relu(lax.cummax(x, 1)), "cummax"),
}
