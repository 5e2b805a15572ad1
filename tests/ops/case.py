"""One op on drawn operands: what `tests/ops/cases.py` is a table of."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from kcompile.ir.builder import Builder
from kcompile.ir.dims import Size, substitute, symbol
from kcompile.ir.graph import Graph
from kcompile.ir.op import Op
from kcompile.ir.types import DType, TensorType

Array = np.ndarray[Any, Any]
Draw = Callable[[np.random.Generator, tuple[int, ...]], Array]
ShapeEntry: TypeAlias = "Size | str"


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.standard_normal(shape)


def positive(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.uniform(0.1, 3.0, shape)


def unit(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """In [-0.9, 0.9]."""
    return rng.uniform(-0.9, 0.9, shape)


def probabilities(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.uniform(0.05, 0.95, shape)


def booleans(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.integers(0, 2, shape)


def integers(low: int, high: int) -> Draw:
    """In [low, high)."""
    return lambda rng, shape: rng.integers(low, high, shape)


def exactly(*values: float) -> Draw:
    """These values, in order."""
    return lambda rng, shape: np.asarray(values).reshape(shape)


def scattered(*values: float, among: Draw = normal) -> Draw:
    """`values` at random places among others; the last ones where there is little room."""

    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        array = np.asarray(among(rng, shape), np.float64)
        places = rng.permutation(array.size)
        for place, value in zip(places, values, strict=False):
            array.flat[place] = value
        return array

    return draw


special = scattered(np.nan, np.inf, -np.inf, 0.0, -0.0)


@dataclass(frozen=True)
class Operand:
    """Type of an operand and how to draw its values. Strings in the shape are symbols."""

    shape: tuple[Size, ...]
    dtype: DType = DType.FLOAT32
    draw: Draw = normal

    @property
    def type(self) -> TensorType:
        return TensorType(self.dtype, self.shape)


def operand(*shape: ShapeEntry, dtype: DType = DType.FLOAT32, draw: Draw | None = None) -> Operand:
    """An operand; numbers are normal and bools even unless `draw` says otherwise."""
    if draw is None:
        draw = normal if dtype.is_floating else booleans if dtype is DType.BOOL else integers(0, 9)
    sizes = tuple(symbol(size) if isinstance(size, str) else size for size in shape)
    return Operand(sizes, dtype, draw)


@dataclass(frozen=True)
class Case:
    """An op on drawn operands.

    Attributes:
        name: unique; starts with the op's name.
        op, operands: the single node; None is an optional operand that is left out.
        sizes: numbers for the symbols.
        extra_inputs: inputs that no node uses, which give symbols their numbers.
        is_smooth: whether the operands with floats have gradients that finite differences find.
    """

    name: str
    op: Op
    operands: tuple[Operand | None, ...]
    sizes: Mapping[str, int] = field(default_factory=dict)
    extra_inputs: tuple[Operand, ...] = ()
    is_smooth: bool = False

    @property
    def inputs(self) -> dict[str, Operand]:
        """The operands that are given, by input name, then the extra inputs."""
        names = self.op.operand_names()
        given = {}
        for position, entry in enumerate(self.operands):
            if entry is not None:
                name = names[min(position, len(names) - 1)]
                given[f"x{position}" if name.startswith("*") else name] = entry
        given.update((f"extra{i}", entry) for i, entry in enumerate(self.extra_inputs))
        return given

    @property
    def graph(self) -> Graph:
        """DATA inputs, one node, and its results as outputs `y0`, `y1`, ..."""
        builder = Builder(self.name)
        values = [builder.input(name, entry.type) for name, entry in self.inputs.items()]
        given = iter(values)
        operands = [None if entry is None else next(given) for entry in self.operands]
        results = builder.emit(self.op, *operands)
        return builder.finish((f"y{i}", value) for i, value in enumerate(results))

    def arrays(self, seed: int = 0) -> dict[str, Array]:
        """Values for the inputs; the same for the same seed."""
        rng = np.random.default_rng(seed)
        arrays = {}
        for name, entry in self.inputs.items():
            shape = tuple(int(substitute(size, self.sizes)) for size in entry.shape)
            arrays[name] = np.asarray(entry.draw(rng, shape)).astype(entry.dtype.numpy)
        return arrays

    def widened(self) -> Case:
        """This case with float64 for float32 operands."""
        return dataclasses.replace(
            self,
            operands=tuple(
                dataclasses.replace(entry, dtype=DType.FLOAT64)
                if entry is not None and entry.dtype is DType.FLOAT32
                else entry
                for entry in self.operands
            ),
        )


def smooth(name: str, op: Op, *operands: Operand | None, **sizes: int) -> Case:
    """A case for values and gradients. The name is put behind that of the op."""
    return Case(f"{op.name}-{name}", op, operands, sizes, is_smooth=True)


def values(name: str, op: Op, *operands: Operand | None, **sizes: int) -> Case:
    """A case for values alone. The name is put behind that of the op."""
    return Case(f"{op.name}-{name}", op, operands, sizes)
