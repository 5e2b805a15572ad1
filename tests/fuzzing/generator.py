"""Random valid graphs: a pool of values grows by random rules (`rules.py`).

Each node is run as it is made. A result that is not finite, too large, or that rounding errors
alone move too far is not taken, so that what is left can be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from kcompile.ir.builder import Builder
from kcompile.ir.dims import Dim, Size, substitute, symbol
from kcompile.ir.errors import DataError, ShapeError
from kcompile.ir.graph import Graph, Role, Value
from kcompile.ir.op import Op, infer_types
from kcompile.ir.types import DType, TensorType
from tests.fuzzing.numbers import Array, Arrays, Tracked, track_given, track_node
from tests.ops.case import Draw, booleans, integers, normal

T = TypeVar("T")
Sizes = Mapping[str, int]

BATCH, TIME = symbol("batch"), symbol("time")
#: Numbers of the symbols: while a graph grows, and in its second run.
SIZES: tuple[Sizes, Sizes] = ({"batch": 3, "time": 5}, {"batch": 2, "time": 4})
MAX_ELEMENTS = 2000
MAX_RANK = 5
LARGEST = 1e3
INPUTS: tuple[tuple[Size, ...], ...] = (
    *((BATCH, 4, 4, 2), (BATCH, 2, 4, 4), (BATCH, 6, 5, 3), (BATCH, TIME, 3), (BATCH, TIME, 2, 4)),
    *((BATCH, 6), (BATCH, TIME), (TIME, 3), (5,), (3, 4), (2, 3, 4), (BATCH,), (), (BATCH, 4, 1)),
)


@dataclass(frozen=True)
class Program:
    """A graph and what it is run on: DATA arrays for each choice of sizes, and weights."""

    graph: Graph
    weights: Arrays
    runs: tuple[Arrays, ...]


class Generator:
    """The graph so far.

    Attributes:
        random: where all choices come from.
        builder: the nodes so far.
        pool: values to build on.
        tracked: what each value is, by name.
        dtype: the floating-point type of most values.
    """

    def __init__(self, seed: int | np.random.Generator, name: str = "fuzz") -> None:
        self.random = np.random.default_rng(seed)
        self.builder = Builder(name)
        self.pool: list[Value] = []
        self.tracked: dict[str, Tracked] = {}
        self.draws: dict[str, Draw] = {}
        self.weights: Arrays = {}
        self.is_closed = False
        kinds = (DType.FLOAT32, DType.FLOAT16, DType.FLOAT64, DType.BFLOAT16)
        self.dtype = kinds[int(self.random.choice(4, p=[0.88, 0.05, 0.04, 0.03]))]

    # Choices

    def pick(self, choices: Sequence[T]) -> T:
        return choices[int(self.random.integers(len(choices)))]

    def chance(self, probability: float) -> bool:
        return bool(self.random.random() < probability)

    def value(self, accepts: Callable[[TensorType], bool] = lambda type: True) -> Value | None:
        """A value of the pool that fits, mostly one of the newest, so that neighbours fuse."""
        fitting = [value for value in self.pool if accepts(value.type)]
        if not fitting:
            return None
        return fitting[-1] if self.chance(0.6) else self.pick(fitting)

    def floats(self, rank: int = 0) -> Value | None:
        """A value of floating-point numbers with at least so many axes."""
        return self.value(lambda type: type.dtype.is_floating and type.rank >= rank)

    # Making values

    def input(self, type: TensorType, draw: Draw | None = None) -> Value:
        """A new DATA input."""
        if draw is None:
            small = booleans if type.dtype is DType.BOOL else integers(0, 5)
            draw = normal if type.dtype.is_floating else small
        value = self.builder.input(f"x{len(self.draws)}", type)
        self.draws[value.name] = draw
        return self._know(value, draw(self.random, _numbers(type.shape, SIZES[0])))

    def constant(self, array: Any, dtype: DType | None = None) -> Value:
        dtype = self.dtype if dtype is None else dtype
        value = self.builder.constant(np.asarray(array).astype(dtype.numpy))
        return self._know(value, np.asarray(array))

    def weight(
        self, shape: Sequence[int], kind: str = "weight", dtype: DType | None = None
    ) -> Value:
        """A PARAM, or a constant, of that shape; a `variance` is positive."""
        shape, dtype = tuple(shape), self.dtype if dtype is None else dtype
        if kind == "variance":
            array = self.random.uniform(0.5, 2, shape)
        else:
            special = self.random.choice(4, p=[0.8, 0.05, 0.1, 0.05])
            array = (
                self.random.normal(size=shape),
                np.zeros(shape),
                np.ones(shape),
                -np.ones(shape),
            )[int(special)]
        if self.is_closed or self.chance(0.5):
            return self.constant(array, dtype)
        value = self.builder.input(
            f"{kind}{len(self.weights)}", TensorType(dtype, shape), Role.PARAM
        )
        self.weights[value.name] = array.astype(dtype.numpy)
        return self._know(value, array)

    def _know(self, value: Value, array: Array) -> Value:
        self.tracked[value.name] = track_given(np.asarray(array).astype(value.type.dtype.numpy))
        return value

    def emit(self, op: Op, *operands: Value | None, keep: bool = True) -> Value | None:
        """The first result of a new node, or None where the op or the numbers do not allow it."""
        results = self.emit_all(op, *operands, keep=keep)
        return results[0] if results else None

    def emit_all(self, op: Op, *operands: Value | None, keep: bool = True) -> tuple[Value, ...]:
        """All results of a new node; they go into the pool unless `keep` is false."""
        try:
            types = infer_types(op, tuple(None if v is None else v.type for v in operands))
            bound = op.bind(SIZES[0])
            tracked = [None if v is None else self.tracked[v.name] for v in operands]
            given = (None if x is None else TensorType.of(x.exact) for x in tracked)
            infer_types(bound, tuple(given))
        except (ShapeError, DataError):
            return ()
        if any(_is_large(type) or _is_empty(type) for type in types):
            return ()
        results = track_node(bound, tracked, self.random)
        if not all(r.is_finite and r.is_steady and _is_small(r) for r in results):
            return ()
        layer = f"layer_{len(self.builder.nodes)}"
        values = self.builder.emit(op, *operands, source=layer)
        for value, result in zip(values, results, strict=True):
            self.tracked[value.name] = result
            if keep and value not in self.pool:
                self.pool.append(value)
        return values

    def finish(self, num_outputs: int) -> Program | None:
        """The program with some of the newest values and some others as outputs."""
        made = [value for value in self.pool if value.name in self.builder_names]
        if not made:
            return None
        chosen = [made[-1], *(self.pick(made) for _ in range(num_outputs - 1))]
        outputs = [(f"y{i}", value) for i, value in enumerate(dict.fromkeys(chosen))]
        for name in sorted(_missing_symbols(self.builder)):
            self.input(TensorType(DType.FLOAT32, (symbol(name),)))
        graph = self.builder.finish(outputs)
        names = {entry.name for entry in graph.inputs}
        runs = tuple(
            {
                entry.name: self.tracked[entry.name].exact
                if sizes is SIZES[0]
                else np.asarray(
                    self.draws[entry.name](self.random, _numbers(entry.type.shape, sizes))
                ).astype(entry.type.dtype.numpy)
                for entry in graph.inputs_with(Role.DATA)
            }
            for sizes in SIZES
        )
        kept = {name: array for name, array in self.weights.items() if name in names}
        return Program(graph, kept, runs)

    @property
    def builder_names(self) -> set[str]:
        return {value.name for node in self.builder.nodes for value in node.outputs}


def _numbers(shape: Sequence[Size], sizes: Sizes) -> tuple[int, ...]:
    return tuple(int(substitute(size, sizes)) for size in shape)


def _missing_symbols(builder: Builder) -> set[str]:
    """Symbols that nodes use and no input determines."""
    entries = [size for entry in builder.inputs for size in entry.type.shape]
    known = {str(size) for size in entries if isinstance(size, Dim) and size.is_symbol}
    used = set[str]()
    for node in builder.nodes:
        used |= node.op.symbols.union(*(value.type.symbols for value in node.outputs))
    return used - known


def _is_large(type: TensorType) -> bool:
    return type.rank > MAX_RANK or int(np.prod(_numbers(type.shape, SIZES[0]))) > MAX_ELEMENTS


def _is_empty(type: TensorType) -> bool:
    """onnxruntime slides no windows over nothing."""
    return 0 in _numbers(type.shape, SIZES[0]) or 0 in _numbers(type.shape, SIZES[1])


def _is_small(result: Tracked) -> bool:
    return result.exact.dtype == object or result.largest <= LARGEST


def generate(seed: int, num_steps: int = 20) -> Program:
    """A random program; the same for the same seed."""
    from tests.fuzzing.rules import grow

    generator = Generator(seed)
    for _ in range(int(generator.random.integers(1, 4))):
        shape = generator.pick(INPUTS)
        generator.pool.append(generator.input(TensorType(generator.dtype, shape)))
    if generator.chance(0.2):
        dtype = generator.pick((DType.INT32, DType.BOOL, DType.INT64))
        generator.pool.append(generator.input(TensorType(dtype, (BATCH, TIME))))
    steps = int(generator.random.integers(2, num_steps + 1))
    for _ in range(steps):
        grow(generator)
    while (program := generator.finish(int(generator.random.integers(1, 5)))) is None:
        grow(generator)
    return program
