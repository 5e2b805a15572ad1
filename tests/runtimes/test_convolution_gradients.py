"""Gradients of convolutions in the forms that training uses on the CPU.

A convolution is linear in x and in w. So for any other x', the product of dx and x' is that of dy
and the convolution of x': what `Op.reference` computes judges the gradients, in float64.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import pytest

from kcompile.ir import ops
from kcompile.ir.op import Op
from kcompile.ir.ops.convolution import OUTPUT_INPUT_SPATIAL, SPATIAL_INPUT_OUTPUT
from kcompile.ir.ops.transposed import INPUT_OUTPUT_SPATIAL, SPATIAL_OUTPUT_INPUT
from kcompile.ir.ops.windows import CHANNELS_FIRST, CHANNELS_LAST
from kcompile.runtimes.jax import convolution_gradients
from kcompile.runtimes.jax.table import LOWERINGS, Lowering, training_table

assert convolution_gradients  # it fills the table

Shape = tuple[int, ...]
Table = Mapping[type[Op], Lowering]


def _assert_gradients(
    op: Any, x_shape: Shape, w_shape: Shape, num_features: int, *, table: Table | None = None
) -> None:
    rng = np.random.default_rng(7)
    x, w, b = (rng.normal(size=shape) for shape in (x_shape, w_shape, (num_features,)))
    with jax.enable_x64(True):
        lowering = (table or training_table("cpu"))[type(op)]
        expected = op.reference(x, w, b)
        dy = rng.normal(size=expected.shape)

        @jax.jit
        def run(*operands: jax.Array) -> Any:
            y, gradients_of = jax.vjp(functools.partial(lowering, op), *operands)
            return y, *gradients_of(dy)

        y, dx, dw, db = map(np.asarray, run(x, w, b))
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)
    bias = op.reference(np.zeros_like(x), w, b)
    for _ in range(3):
        along_x, along_w, along_b = (rng.normal(size=array.shape) for array in (x, w, b))
        _assert_equal(np.sum(dx * along_x), np.sum(dy * (op.reference(along_x, w, b) - bias)))
        _assert_equal(np.sum(dw * along_w), np.sum(dy * (op.reference(x, along_w, b) - bias)))
        _assert_equal(np.sum(db * along_b), np.sum(dy * op.reference(0 * x, w, along_b)))


def _assert_equal(actual: Any, expected: Any) -> None:
    np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-9)


PADDINGS: list[Any] = ["same", ((0, 0), (0, 0)), ((1, 1), (2, 0)), ((0, 3), (4, 1))]
GEOMETRIES = list(
    itertools.product(
        [((7, 8), (3, 3)), ((5, 9), (1, 2)), ((6, 4), (2, 4))],
        [((1, 1), (1, 1)), ((2, 2), (1, 1)), ((3, 1), (1, 1)), ((1, 1), (2, 1)), ((2, 3), (3, 2))],
        PADDINGS,
    )
)


def _fits(size: Shape, window: Shape, dilation: Shape, padding: Any) -> bool:
    pads = [(0, 0)] * len(size) if isinstance(padding, str) else padding
    extents = [(k - 1) * d + 1 for k, d in zip(window, dilation, strict=True)]
    fit = (s + sum(p) >= e for s, p, e in zip(size, pads, extents, strict=True))
    return isinstance(padding, str) or all(fit)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_gradients_of_convolutions(groups: int) -> None:
    count = 0
    for (size, window), (strides, dilation), padding in GEOMETRIES[:: 1 if groups == 1 else 3]:
        if not _fits(size, window, dilation, padding):
            continue
        op = ops.Conv(strides, padding, dilation, groups, CHANNELS_LAST, SPATIAL_INPUT_OUTPUT)
        _assert_gradients(op, (2, *size, 4), (*window, 4 // groups, 8), 8)
        count += 1
    assert count >= 10


def test_gradients_of_convolutions_in_other_formats_and_ranks() -> None:
    first = ops.Conv((2, 1), "same", (1, 1), 2, CHANNELS_FIRST, OUTPUT_INPUT_SPATIAL)
    _assert_gradients(first, (2, 4, 7, 6), (6, 2, 3, 3), 6)
    line = ops.Conv((3,), ((2, 1),), (2,), 1, CHANNELS_LAST, SPATIAL_INPUT_OUTPUT)
    _assert_gradients(line, (2, 11, 3), (4, 3, 5), 5)
    volume = ops.Conv((1, 2, 1), "same", (1, 1, 1), 1, CHANNELS_LAST, SPATIAL_INPUT_OUTPUT)
    _assert_gradients(volume, (2, 3, 5, 4, 2), (2, 3, 1, 2, 3), 3)


@pytest.mark.parametrize("padding", PADDINGS[1:])
@pytest.mark.parametrize("extra", [(0, 0), (1, 0)])
def test_gradients_of_transposed_convolutions(padding: Any, extra: Shape) -> None:
    for (size, window), (strides, dilation), _ in GEOMETRIES[:: len(PADDINGS)]:
        sizes = (
            (n - 1) * s + (k - 1) * d + 1 - sum(p)
            for n, s, k, d, p in zip(size, strides, window, dilation, padding, strict=True)
        )
        if min(sizes) < 1 or extra[0] >= strides[0] > 1:
            continue
        op = ops.ConvTranspose(
            strides, padding, extra, dilation, CHANNELS_LAST, SPATIAL_OUTPUT_INPUT
        )
        _assert_gradients(op, (2, *size, 3), (*window, 4, 3), 4)


def test_gradients_of_transposed_convolutions_with_channels_first() -> None:
    op = ops.ConvTranspose(
        (2, 2), ((1, 0), (0, 1)), (0, 0), (1, 1), CHANNELS_FIRST, INPUT_OUTPUT_SPATIAL
    )
    _assert_gradients(op, (2, 3, 4, 5), (3, 4, 3, 3), 4)


@pytest.mark.parametrize("table", [LOWERINGS, training_table("cpu")], ids=["plain", "training"])
@pytest.mark.parametrize("strides", [(1, 1), (2, 1)])
def test_padding_beyond_the_reach_of_the_kernel(table: Table, strides: Shape) -> None:
    """XLA's CPU backend computes wrong numbers for the negative paddings that JAX makes of it."""
    padding = ((1, 1), (2, 0))
    op = ops.Conv(strides, padding, (1, 1), 1, CHANNELS_LAST, SPATIAL_INPUT_OUTPUT)
    _assert_gradients(op, (2, 7, 8, 4), (1, 2, 4, 8), 8, table=table)
    transposed = ops.ConvTranspose(
        strides, padding, (0, 0), (1, 1), CHANNELS_LAST, SPATIAL_OUTPUT_INPUT
    )
    _assert_gradients(transposed, (2, 7, 8, 4), (1, 2, 8, 4), 8, table=table)
