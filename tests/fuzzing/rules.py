"""The rules by which a random graph grows. A rule that does not fit leaves the graph as it is.

Families of ops that matter to the passes have rules of their own; all other ops come from the cases
of `tests/ops/cases.py`, whose operands are taken from the graph where the types allow it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from kcompile.ir import ops
from kcompile.ir.dims import Dim, symbol
from kcompile.ir.errors import ShapeError
from kcompile.ir.graph import Value
from kcompile.ir.op import Op
from kcompile.ir.types import DType, TensorType
from tests.fuzzing.generator import SIZES, Generator
from tests.ops.case import Case, Draw, Operand, booleans, normal, positive, probabilities, unit
from tests.ops.cases import CASES

Rule = Callable[[Generator], object]

#: Ops that no random graph has, and why.
EXCEPTIONS: dict[type[Op], str] = {ops.ForeignCall: "Python code, which no text form can hold"}

#: Draws that fit any size.
_FREE_DRAWS = (normal, positive, unit, probabilities, booleans)
_TRAINING = (ops.BatchNormTraining, ops.Dropout, ops.RandomUniform)

FORMATS = ("channels_last", "channels_first")
UNARY: tuple[Op, ...] = (
    *(ops.Relu(), ops.Sigmoid(), ops.Tanh(), ops.Negative(), ops.Absolute(), ops.Softsign()),
    *(ops.Clip(-1.0, 1.0), ops.Clip(0.0, 6.0), ops.Elu(0.5), ops.LeakyRelu(), ops.Gelu()),
    *(ops.Gelu(True), ops.HardSigmoid(), ops.HardSwish(), ops.Softplus(), ops.Erf(), ops.Exp()),
    *(ops.Expm1(), ops.Sin(), ops.Cos(), ops.Atan(), ops.Asinh(), ops.Floor(), ops.Ceil()),
    *(ops.Round(), ops.Sign(), ops.Sqrt(), ops.Log(), ops.Log1p(), ops.Rsqrt(), ops.StopGradient()),
)
BINARY: tuple[Op, ...] = (
    *(ops.Add(), ops.Add(), ops.Subtract(), ops.Multiply(), ops.Multiply(), ops.Maximum()),
    *(ops.Minimum(), ops.Divide(), ops.Power(), ops.Remainder(), ops.FloorDivide(), ops.Atan2()),
)
COMPARISONS = (
    *(ops.Less(), ops.LessEqual(), ops.Greater(), ops.GreaterEqual(), ops.Equal(), ops.NotEqual()),
)
REDUCTIONS = (ops.ReduceSum, ops.ReduceMean, ops.ReduceMax, ops.ReduceMin, ops.ReduceProd)


def unary(g: Generator) -> None:
    if (x := g.floats()) is None:
        return
    op = g.pick(UNARY)
    if isinstance(op, ops.Sqrt | ops.Log | ops.Log1p | ops.Rsqrt) and g.chance(0.7):
        inside = g.emit(ops.Absolute(), x, keep=False)
        x = inside and g.emit(ops.Add(), inside, g.constant(0.5), keep=False) or x
    g.emit(op, x)


def binary(g: Generator) -> None:
    """Of two values whose shapes broadcast, or of one with itself."""
    if (a := g.floats()) is None:
        return
    b = g.value(lambda type: type.dtype is a.type.dtype)
    g.emit(g.pick(BINARY), *((a, b) if g.chance(0.5) else (b, a)))


def with_vector(g: Generator) -> None:
    """Of a value and a constant or weight that broadcasts to it."""
    if (x := g.floats()) is None or not _static_tail(x):
        return
    tail = _static_tail(x)
    tail = tail[int(g.random.integers(len(tail))) :]
    shape = tuple(size if g.chance(0.6) else 1 for size in tail)
    operands = [x, g.weight(shape if g.chance(0.9) else (), dtype=x.type.dtype)]
    if g.chance(0.4):
        operands.reverse()
    g.emit(g.pick(BINARY), *operands)


def _static_tail(x: Value) -> tuple[int, ...]:
    """The fixed sizes at the end of a shape."""
    tail: list[int] = []
    for size in reversed(x.type.shape):
        if isinstance(size, Dim):
            break
        tail.insert(0, size)
    return tuple(tail)


def compare_and_choose(g: Generator) -> None:
    if (a := g.floats()) is None:
        return
    b = g.value(lambda type: type == a.type)
    condition = g.emit(g.pick(COMPARISONS), a, b if g.chance(0.7) else g.constant(0, a.type.dtype))
    if condition is not None and g.chance(0.3):
        condition = g.emit(ops.LogicalNot(), condition)
    if condition is not None:
        g.emit(ops.Where(), condition, a, g.value(lambda type: type == a.type))


def cast(g: Generator) -> None:
    kinds = (DType.FLOAT32, DType.FLOAT16, DType.FLOAT64, DType.INT32, DType.INT64, DType.BOOL)
    x = g.value(lambda type: type.dtype is not DType.STRING)
    if x is not None:
        y = g.emit(ops.Cast(g.pick(kinds)), x)
        if y is not None and g.chance(0.6):
            g.emit(ops.Cast(g.dtype), y)


def transpose(g: Generator) -> None:
    if (x := g.value(lambda type: type.rank >= 2)) is None:
        return
    order = [*range(x.type.rank)]
    channels = ([0, *order[2:], 1], [0, order[-1], *order[1:-1]])
    permutation = g.pick(channels) if g.chance(0.6) else g.random.permutation(order).tolist()
    g.emit(ops.Transpose(tuple(permutation)), x)


def reshape(g: Generator) -> None:
    """Two axes become one, one becomes two, or an axis of size 1 comes or goes."""
    if (x := g.value(lambda type: type.rank >= 1)) is None:
        return
    shape, axis = list(x.type.shape), int(g.random.integers(x.type.rank))
    size, kind = shape[axis], int(g.random.integers(4))
    if kind == 0 and axis + 1 < len(shape):
        shape[axis : axis + 2] = [size * shape[axis + 1]]
    elif kind == 1 and isinstance(size, int):
        factors = [n for n in range(1, size + 1) if size % n == 0] or [1]
        factor = g.pick(factors)
        shape[axis : axis + 1] = [factor, size // factor if factor else size]
    elif kind == 2:
        shape = [n for n in shape if n != 1]
    else:
        shape.insert(axis, 1)
    g.emit(ops.Reshape(tuple(shape)), x)


def flatten_and_back(g: Generator) -> None:
    if (x := g.value(lambda type: type.rank >= 3)) is None:
        return
    first, *rest = x.type.shape
    total = ops.Reshape((first, np.prod([1, *rest], dtype=object)))
    flat = g.emit(total, x)
    if flat is not None and g.chance(0.5):
        g.emit(ops.Reshape((first, *g.random.permutation(np.array(rest, object)).tolist())), flat)


def move(g: Generator) -> None:
    """Pad and slice, in either order, sometimes undoing each other."""
    if (x := g.value(lambda type: type.rank >= 1 and type.dtype.is_floating)) is None:
        return
    widths = tuple((int(g.random.integers(3)), int(g.random.integers(2))) for _ in x.type.shape)
    if g.chance(0.7):
        widths = ((0, 0), *widths[1:])
    y = g.emit(ops.Pad(widths, g.pick((0.0, 0.5, -1.0))), x) if g.chance(0.6) else x
    if y is None or g.chance(0.4):
        return
    strides = tuple(g.pick((1, 1, 2)) for _ in y.type.shape)
    starts = tuple(before if y is not x else g.pick((0, 1)) for before, _ in widths)
    limits = tuple(
        size - after if y is not x else size
        for (_, after), size in zip(widths, y.type.shape, strict=True)
    )
    g.emit(ops.Slice(starts, limits, strides), y)


def join(g: Generator) -> None:
    if (x := g.value(lambda type: type.rank >= 1)) is None:
        return
    axis = int(g.random.integers(-1, x.type.rank))
    others = [g.value(lambda type: type == x.type) for _ in range(int(g.random.integers(1, 3)))]
    g.emit(ops.Concatenate(axis), x, *others)


def rearrange(g: Generator) -> None:
    if (x := g.value(lambda type: type.rank >= 1 and type.dtype.is_floating)) is None:
        return
    rank, axis = x.type.rank, int(g.random.integers(-1, x.type.rank))
    size = x.type.shape[axis]
    repeats = tuple(g.pick((1, 1, 2)) for _ in range(rank))
    if size == 0:
        return
    below = SIZES[1].get(str(size), 1) if isinstance(size, Dim) else size
    count = g.random.integers(0, below, 3)
    kind = int(g.random.integers(9))
    match kind:
        case 0:
            g.emit(ops.Reverse((axis,)), x)
        case 1:
            g.emit(ops.Tile(repeats), x)
        case 2:
            g.emit(ops.Gather(axis), x, g.constant(count, g.pick((DType.INT32, DType.INT64))))
        case 3:
            g.emit(ops.CumSum(axis, g.chance(0.3), g.chance(0.3)), x)
        case 4:
            g.emit(ops.Trilu(int(g.random.integers(-1, 2)), g.chance(0.5)), x)
        case 5:
            g.emit_all(ops.TopK(g.pick((1, 2)), axis, g.chance(0.5)), x)
        case 6:
            g.emit(ops.BroadcastTo((2, *x.type.shape)), x)
        case 7:
            index = g.emit(g.pick((ops.Argmax, ops.Argmin))(axis, g.chance(0.5)), x)
            if index is not None:
                g.emit(ops.OneHot(4, g.dtype), index)
        case 8:
            g.emit(ops.Cast(g.dtype), g.emit(ops.DimSize(x.type.shape[0]), keep=False))


def reduce(g: Generator) -> None:
    if (x := g.floats(1)) is None:
        return
    count = int(g.random.integers(0, x.type.rank + 1))
    axes = tuple(sorted(g.random.permutation(x.type.rank)[:count].tolist()))
    keep = g.chance(0.6)
    y = g.emit(g.pick(REDUCTIONS)(axes, keep), x)
    if y is not None and keep and g.chance(0.5):
        g.emit(g.pick(BINARY), x, y)  # squeeze-and-excite, normalizations written out


def along_axis(g: Generator) -> None:
    if (x := g.floats(1)) is not None:
        op = g.pick((ops.Softmax, ops.LogSoftmax))
        g.emit(op(int(g.random.integers(-1, x.type.rank))), x)


def convolve(g: Generator) -> None:
    """Plain, grouped and depthwise, transposed; with a bias inside, beside, or none."""
    if (x := g.value(lambda type: type.dtype.is_floating and 3 <= type.rank <= 5)) is None:
        return
    data_format = g.pick(FORMATS)
    channels = x.type.shape[-1 if data_format == FORMATS[0] else 1]
    if not isinstance(channels, int) or channels < 1:
        return
    spatial, filters = x.type.rank - 2, g.pick((1, 2, 4))
    window = tuple(g.pick((1, 1, 2, 3)) for _ in range(spatial))
    strides = tuple(g.pick((1, 1, 2)) for _ in range(spatial))
    dilation = tuple(g.pick((1, 1, 1, 2)) for _ in range(spatial))
    pads = tuple((g.pick((0, 1)), g.pick((0, 1))) for _ in range(spatial))
    dtype = x.type.dtype
    if g.chance(0.2):
        w = g.weight((*window, filters, channels), dtype=dtype)
        bias = g.weight((filters,), dtype=dtype) if g.chance(0.5) else None
        none = ((0, 0),) * spatial
        op: Op = ops.ConvTranspose(strides, none, (0,) * spatial, dilation, data_format)
    else:
        groups = g.pick((1, 1, channels, *(n for n in (2,) if channels % 2 == 0)))
        shape = (*window, channels // groups, filters * groups)
        formats = ("spatial_input_output", "output_input_spatial")
        kernel_format = formats[int(g.chance(0.3))]
        if kernel_format == formats[1]:
            shape = (shape[-1], shape[-2], *window)
        w = g.weight(shape, dtype=dtype)
        bias = g.weight((filters * groups,), dtype=dtype) if g.chance(0.4) else None
        padding = "same" if g.chance(0.5) else pads
        op = ops.Conv(strides, padding, dilation, groups, data_format, kernel_format)
    y = g.emit(op, x, w, bias)
    if y is not None and g.chance(0.4):
        axis = -1 if data_format == FORMATS[0] else 1
        vector = g.weight((int(y.type.shape[axis]),), dtype=dtype)
        shape = (-1,) if axis == -1 else (int(y.type.shape[1]), *(1,) * spatial)
        aligned = vector if axis == -1 else g.emit(ops.Reshape(shape), vector, keep=False)
        g.emit(g.pick((ops.Add(), ops.Multiply())), y, aligned)


def pool(g: Generator) -> None:
    if (x := g.value(lambda type: type.dtype.is_floating and 3 <= type.rank <= 5)) is None:
        return
    spatial = x.type.rank - 2
    window = tuple(g.pick((2, 3)) for _ in range(spatial))
    strides = tuple(g.pick((1, 2)) for _ in range(spatial))
    padding = "same" if g.chance(0.5) else tuple((g.pick((0, 1)), 0) for _ in range(spatial))
    g.emit(g.pick((ops.MaxPool, ops.AveragePool))(window, strides, padding, g.pick(FORMATS)), x)


def normalize(g: Generator) -> None:
    if (x := g.floats(2)) is None:
        return
    axis = int(g.random.integers(1, x.type.rank)) - (x.type.rank if g.chance(0.5) else 0)
    size, dtype = x.type.shape[axis], x.type.dtype
    if not isinstance(size, int):
        return
    epsilon = g.pick((1e-3, 1e-2, 0.1))
    gamma, beta = (g.weight((size,), dtype=dtype) if g.chance(0.7) else None for _ in range(2))
    match int(g.random.integers(5)):
        case 0 | 1:
            mean, variance = (g.weight((size,), kind, dtype) for kind in ("mean", "variance"))
            g.emit(ops.BatchNorm(axis, epsilon), x, mean, variance, gamma, beta)
        case 2:
            g.emit(ops.LayerNorm((axis,), epsilon), x, gamma, beta)
        case 3:
            g.emit(ops.RmsNorm((axis,), epsilon), x, gamma)
        case 4:
            groups = g.pick([n for n in range(1, size + 1) if size % n == 0] or [1])
            g.emit(ops.GroupNorm(groups, axis, epsilon), x, gamma, beta)


def multiply_matrices(g: Generator) -> None:
    if (x := g.floats(2)) is None or not isinstance(x.type.shape[-1], int):
        return
    features, units = x.type.shape[-1], g.pick((1, 2, 4))
    if g.chance(0.2):
        other = g.emit(
            ops.Transpose((*range(x.type.rank - 2), x.type.rank - 1, x.type.rank - 2)), x
        )
        if other is not None:
            g.emit(ops.Matmul(), x, other)
        return
    w = g.weight((features, units), dtype=x.type.dtype)
    if g.chance(0.5):
        y = g.emit(ops.Matmul(), x, w)
        if y is not None and g.chance(0.6):
            g.emit(ops.Add(), y, g.weight((units,), dtype=x.type.dtype))
    else:
        bias = g.weight((units,), dtype=x.type.dtype) if g.chance(0.6) else None
        g.emit(ops.Linear(), x, w, bias)


def attend(g: Generator) -> None:
    """Attention of a sequence to itself, its heads split from products or from the sequence."""
    if (x := g.value(lambda type: type.dtype.is_floating and type.rank == 3)) is None:
        return
    batch, time, features = x.type.shape
    if not isinstance(features, int):
        return
    heads, size = g.pick((1, 2)), g.pick((1, 2, 3))
    split = []
    for _ in range(3):
        w = g.weight((features, heads * size), dtype=x.type.dtype)
        y = g.emit(ops.Matmul(), x, w, keep=False)
        if y is not None and g.chance(0.6):
            bias = g.weight((heads * size,), dtype=x.type.dtype)
            y = g.emit(ops.Add(), y, bias, keep=False)
        split.append(y and g.emit(ops.Reshape((batch, time, heads, size)), y, keep=False))
    if all(split):
        y = g.emit(ops.Attention(g.pick((0.5, 1.0)), g.chance(0.3)), *split)
        if y is not None:
            g.emit(ops.Reshape((batch, time, heads * size)), y)


def residual(g: Generator) -> None:
    """`layer_norm(x + f(x))`."""
    if (x := g.floats(2)) is None or not isinstance(x.type.shape[-1], int):
        return
    y = g.emit(g.pick(UNARY), x, keep=False)
    total = y and g.emit(ops.Add(), x, y)
    if total:
        gamma, beta = (g.weight(x.type.shape[-1:], dtype=x.type.dtype) for _ in range(2))
        g.emit(ops.LayerNorm((-1,), 1e-2), total, gamma, beta)


def scale(g: Generator) -> None:
    """By a number, once or twice, before a product."""
    if (x := g.floats()) is None:
        return
    for _ in range(int(g.random.integers(1, 3))):
        number = g.constant(g.pick((0.5, 2.0, 3.0)), x.type.dtype)
        x = g.emit(g.pick((ops.Multiply(), ops.Divide())), x, number) or x
        if g.chance(0.5):
            multiply_matrices(g)


def _body(g: Generator, types: list[TensorType], arrays: list[np.ndarray]) -> Generator:
    """A generator of a sub-graph: closed, with an input for each operand."""
    inner = Generator(g.random, "body")
    inner.is_closed, inner.dtype = True, g.dtype
    for type, array in zip(types, arrays, strict=True):
        value = inner.input(type)
        inner.pool.append(inner._know(value, array))
    return inner


_INSIDE: tuple[Rule, ...] = (unary, binary, with_vector, transpose, along_axis, reduce, reshape)


def _result(inner: Generator, type: TensorType) -> Value:
    """A value of that type that the body makes from its inputs."""
    for _ in range(int(inner.random.integers(1, 4))):
        inner.pick(_INSIDE)(inner)
    fitting = [value for value in inner.pool if value.type == type]
    return fitting[-1]


def branch(g: Generator) -> None:
    if (x := g.floats(1)) is None or not x.type.symbols <= _bare(x.type):
        return
    total = g.emit(ops.ReduceSum(tuple(range(x.type.rank))), x, keep=False)
    zero = g.constant(0, x.type.dtype)
    predicate = total and g.emit(ops.Greater(), total, zero, keep=False)
    if predicate is None:
        return
    bodies = []
    for _ in range(2):
        inner = _body(g, [x.type], [g.tracked[x.name].exact])
        bodies.append(inner.builder.finish([("y", _result(inner, x.type))]))
    g.emit(ops.If(*bodies), predicate, x)


def loop(g: Generator) -> None:
    """A scan over the first axis, whose carry has the type of an element."""
    if (x := g.floats(1)) is None:
        return
    element = x.type.with_shape(x.type.shape[1:])
    array = g.tracked[x.name].exact
    if not element.is_static or not len(array):
        return
    carry = g.constant(np.zeros(element.static_shape), element.dtype)
    inner = _body(g, [element, element], [array[0], array[-1]])
    state, row = inner.pool
    added = inner.emit(ops.Add(), state, row)
    bounded = added and inner.emit(ops.Tanh(), added)
    if bounded is None:
        return
    y = _result(inner, element)
    body = inner.builder.finish([("carry", bounded), ("y", y)])
    g.emit_all(ops.Scan(body, 1, 1, g.chance(0.3)), carry, x)


def _bare(type: TensorType) -> frozenset[str]:
    return frozenset(str(n) for n in type.shape if isinstance(n, Dim) and n.is_symbol)


def from_case(g: Generator) -> None:
    """A case of `tests/ops/cases.py`, on values of the graph where they have the types."""
    case = g.pick(_CASES_BY_OP[g.pick(_CASE_OPS)])
    op, operands = _renamed(case)
    values: list[Value | None] = []
    kinds = {entry.dtype for entry in operands if entry is not None}
    # NumPy, which onnxruntime needs for strings, has no bfloat16.
    if {DType.STRING, DType.BFLOAT16} <= kinds.union(value.type.dtype for value in g.pool):
        return
    for entry in operands:
        if entry is None:
            values.append(None)
            continue
        draw = _finite(entry.draw)
        known = g.value(lambda type, entry=entry: type == entry.type)
        if known is not None and entry.draw is normal and g.chance(0.8):
            values.append(known)
        elif entry.type.is_static and entry.dtype is not DType.STRING and g.chance(0.4):
            values.append(g.constant(draw(g.random, entry.type.static_shape), entry.dtype))
        else:
            values.append(g.input(entry.type, draw))
    g.emit_all(op, *values)


def _finite(draw: Draw) -> Draw:
    """What is drawn, with numbers in place of NaN and infinities."""

    def finite(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        array = np.asarray(draw(rng, shape))
        return np.nan_to_num(array, posinf=1, neginf=-1) if array.dtype.kind == "f" else array

    return finite


def _renamed(case: Case) -> tuple[Op, tuple[Operand | None, ...]]:
    """The case with our symbols in place of its own, or with numbers where those must stay."""
    given = [entry for entry in case.operands if entry is not None]
    names = sorted(case.sizes)
    free = all(entry.draw in _FREE_DRAWS for entry in given)
    kinds = ("batch", "time")
    env: dict[str, Dim | int] = {
        name: symbol(kinds[i]) if free and i < 2 else case.sizes[name]
        for i, name in enumerate(names)
    }
    try:
        op = case.op.bind(env)
    except ShapeError:
        env = dict(case.sizes)
        op = case.op.bind(env)
    if isinstance(op, _TRAINING):
        op = dataclasses.replace(op, forced=True)
    operands = tuple(
        entry and dataclasses.replace(entry, shape=entry.type.substitute(env).shape)
        for entry in case.operands
    )
    return op, operands


_CASES_BY_OP: dict[type[Op], list[Case]] = {}
for _case in CASES:
    if type(_case.op) not in EXCEPTIONS:
        _CASES_BY_OP.setdefault(type(_case.op), []).append(_case)
_CASE_OPS = list(_CASES_BY_OP)
#: Ops that some rule makes.
COVERED = frozenset(_CASES_BY_OP)

#: Rules by how often they are tried.
RULES: tuple[Rule, ...] = (
    *(unary, unary, unary, binary, binary, with_vector, with_vector, with_vector),
    *(transpose, transpose, transpose, reshape, reshape, flatten_and_back, move, move, join),
    *(rearrange, rearrange, reduce, along_axis, compare_and_choose, cast),
    *(convolve, convolve, convolve, pool, normalize, normalize, normalize),
    *(multiply_matrices, multiply_matrices, attend, residual, scale, branch, loop),
    *(from_case, from_case, from_case, from_case),
)


def grow(g: Generator) -> None:
    """One random rule."""
    g.pick(RULES)(g)
