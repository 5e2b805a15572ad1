"""Random small graphs keep their numbers through all passes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import pytest

from kcompile.ir import ops
from kcompile.ir.builder import Builder
from kcompile.ir.dims import symbol
from kcompile.ir.graph import Graph, Role, Value
from kcompile.ir.types import DType, TensorType
from kcompile.passes.eliminate_dead_values import eliminate_dead_values
from kcompile.passes.lay_out_channels_first import lay_out_channels_first
from kcompile.passes.pipelines import ONNX, run_pipeline
from kcompile.passes.push_transposes import num_transposes, push_transposes
from tests.passes.helpers import assert_same_numbers

T = TypeVar("T")
FLOAT = DType.FLOAT32
UNARY = (
    *(ops.Relu(), ops.Sigmoid(), ops.Tanh(), ops.Negative(), ops.Absolute(), ops.Softsign()),
    *(ops.Softmax(-1), ops.Softmax(1), ops.Softmax(2), ops.Clip(-1.0, 1.0), ops.LogSoftmax(3)),
)
BINARY = (ops.Add(), ops.Subtract(), ops.Multiply(), ops.Maximum(), ops.Minimum())
PERMUTATIONS = ((0, 3, 1, 2), (0, 2, 3, 1), (0, 2, 1, 3), (0, 1, 2, 3), (0, 3, 2, 1))
FORMATS = ("channels_last", "channels_first")


class Generator:
    """Grows a graph by random ops on random values of rank 4."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.builder = Builder("random")
        batch = symbol("batch")
        self.values = [
            self.builder.input(name, TensorType(FLOAT, (batch, *shape)))
            for name, shape in (("x", (4, 4, 2)), ("z", (2, 4, 4)))
        ]

    def pick(self, choices: Sequence[T]) -> T:
        return choices[int(self.random.integers(len(choices)))]

    def constant(self, *shape: int) -> Value:
        kinds = (self.random.normal(size=shape), np.zeros(shape), np.ones(shape))
        return self.builder.constant(kinds[self.random.choice(3, p=[0.7, 0.1, 0.2])].astype("f"))

    def grow(self) -> None:
        # Mostly the newest value, so that neighbours fuse.
        x = self.values[-1] if self.random.random() < 0.6 else self.pick(self.values)
        step = self.pick(
            (self.unary, self.binary, self.vector, self.transpose, self.conv, self.pool)
            + (self.batch_norm, self.concatenate, self.move, self.reduce, self.reshape, self.linear)
        )
        y = step(x)
        if y is not None:
            self.values.append(y)

    def emit(self, op: ops.Op, *operands: Value | None) -> Value:
        return self.builder.emit(op, *operands, source=f"layer_{len(self.values)}")[0]

    def unary(self, x: Value) -> Value:
        return self.emit(self.pick(UNARY), x)

    def binary(self, x: Value) -> Value:
        fitting = [value for value in self.values if value.type == x.type]
        return self.emit(self.pick(BINARY), x, self.pick(fitting))

    def vector(self, x: Value) -> Value:
        shape = [size if self.random.random() < 0.5 else 1 for size in x.type.shape[1:]]
        operands = [x, self.constant(*shape[int(self.random.integers(3)) :])]
        if self.random.random() < 0.5:
            operands.reverse()
        return self.emit(self.pick(BINARY), *operands)

    def transpose(self, x: Value) -> Value:
        return self.emit(ops.Transpose(self.pick(PERMUTATIONS)), x)

    def conv(self, x: Value) -> Value:
        data_format = self.pick(FORMATS)
        channels = int(x.type.shape[-1 if data_format == FORMATS[0] else 1])
        groups = self.pick((1, channels))
        op = ops.Conv((1, 1), "same", (1, 1), groups=groups, data_format=data_format)
        kernel = self.constant(self.pick((1, 2)), 1, channels // groups, 2 * groups)
        bias = self.constant(2 * groups) if self.random.random() < 0.5 else None
        return self.emit(op, x, kernel, bias)

    def pool(self, x: Value) -> Value:
        kind = self.pick((ops.MaxPool, ops.AveragePool))
        return self.emit(kind((2, 2), (1, 1), "same", self.pick(FORMATS)), x)

    def batch_norm(self, x: Value) -> Value:
        axis = self.pick((1, 2, 3, -1))
        channels = int(x.type.shape[axis])
        mean, beta = self.constant(channels), self.constant(channels)
        variance = self.builder.constant(self.random.uniform(0.5, 2, channels).astype("f"))
        gamma = self.constant(channels) if self.random.random() < 0.5 else None
        return self.emit(ops.BatchNorm(axis), x, mean, variance, gamma, beta)

    def concatenate(self, x: Value) -> Value | None:
        if max(map(int, x.type.shape[1:])) > 8:
            return None
        fitting = [value for value in self.values if value.type == x.type]
        return self.emit(ops.Concatenate(self.pick((1, 2, 3))), x, self.pick(fitting))

    def move(self, x: Value) -> Value:
        widths = tuple((int(self.random.integers(2)), 0) for _ in range(3))
        padded = self.emit(ops.Pad(((0, 0), *widths), 0.5), x)
        starts = tuple(before for before, _ in widths)
        return self.emit(ops.Slice((0, *starts), padded.type.shape, (1, 1, 1, 1)), padded)

    def reduce(self, x: Value) -> Value:
        axes = self.pick(((1,), (1, 2), (-1,), (2, 3)))
        return self.emit(ops.Add(), x, self.emit(ops.ReduceMean(axes, keepdims=True), x))

    def reshape(self, x: Value) -> Value:
        batch, a, b, c = x.type.shape
        flat = self.emit(ops.Reshape((batch, a * b * c)), x)
        return self.emit(ops.Reshape((batch, b, a, c)), flat)

    def linear(self, x: Value) -> Value:
        kernel = self.constant(int(x.type.shape[-1]), 2)
        y = self.emit(ops.Matmul(), x, kernel)
        return self.emit(ops.Add(), y, self.constant(2)) if self.random.random() < 0.5 else y

    def finish(self, num_steps: int) -> Graph:
        for _ in range(num_steps):
            self.grow()
        names = [("last", self.values[-1]), ("other", self.pick(self.values[2:]))]
        return self.builder.finish(names)


def arrays_of(graph: Graph, seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    shapes = [(entry.name, (3, *entry.type.shape[1:])) for entry in graph.inputs_with(Role.DATA)]
    return {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes}


@pytest.mark.parametrize("seed", range(60))
def test_numbers_stay_through_the_onnx_pipeline(seed: int) -> None:
    graph = Generator(seed).finish(14)
    arrays = arrays_of(graph, seed)
    arguments = {"weights": {}}
    result = run_pipeline(graph, ONNX, arguments=arguments).graph
    assert_same_numbers(graph, result, tolerance=1e-4, arrays=arrays)
    laid_out = lay_out_channels_first(eliminate_dead_values(graph))
    assert num_transposes(push_transposes(laid_out)) <= num_transposes(laid_out)
    assert run_pipeline(result, ONNX, arguments=arguments).graph == result
