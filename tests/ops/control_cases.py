"""Cases of loops and branches."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kcompile.ir import ops
from kcompile.ir.builder import Builder
from kcompile.ir.graph import Graph, Value
from kcompile.ir.op import Op
from kcompile.ir.types import DType
from tests.ops.case import Case, Operand, exactly, operand

F16, I32, I64, BOOL, U8 = DType.FLOAT16, DType.INT32, DType.INT64, DType.BOOL, DType.UINT8


class Body:
    """Makes a sub-graph: `Body(operands)(lambda emit, *values: results)`."""

    def __init__(self, *operands: Operand) -> None:
        self.builder = Builder("body")
        self.inputs = [self.builder.input(f"x{i}", x.type) for i, x in enumerate(operands)]

    def __call__(self, function: Callable[..., tuple[Value, ...]]) -> Graph:
        results = function(self._emit, *self.inputs)
        return self.builder.finish((f"y{i}", value) for i, value in enumerate(results))

    def _emit(self, op: Op, *operands: Value | np.ndarray) -> Value:
        values = (
            value if isinstance(value, Value) else self.builder.constant(value)
            for value in operands
        )
        return self.builder.emit(op, *values)[0]


def _recurrent(reverse: bool, dtype: DType = DType.FLOAT32) -> Op:
    """`h' = tanh(h w + x)`, `y = 2 h'`; h' is returned as y once more."""
    state, w = operand("batch", 3, dtype=dtype), operand(3, 3, dtype=dtype)
    two = np.asarray(2, dtype.numpy)

    def step(emit: Callable[..., Value], h: Value, x: Value, w: Value) -> tuple[Value, ...]:
        after = emit(ops.Tanh(), emit(ops.Add(), emit(ops.Matmul(), h, w), x))
        return after, emit(ops.Multiply(), after, two), after

    return ops.Scan(Body(state, state, w)(step), 1, 1, reverse)


def _sums(shape: tuple[int, ...] = (), dtype: DType = I32) -> Op:
    """Carried: the sum so far and the element before; returned: their product."""
    x = operand(*shape, dtype=dtype)

    def step(emit: Callable[..., Value], total: Value, last: Value, x: Value) -> tuple[Value, ...]:
        return emit(ops.Add(), total, x), x, emit(ops.Multiply(), total, last)

    return ops.Scan(Body(x, x, x)(step), 2, 1)


def _nested() -> Op:
    """A scan of rows by scans of their elements, with an outer constant used inside."""
    row, scalar = operand("width"), operand()

    def inner(emit: Callable[..., Value], c: Value, x: Value, w: Value) -> tuple[Value, ...]:
        after = emit(ops.Add(), emit(ops.Multiply(), c, w), x)
        return after, after

    def outer(emit: Callable[..., Value], row: Value, w: Value) -> tuple[Value, ...]:
        zero = np.float32(0)
        op = ops.Scan(Body(scalar, scalar, scalar)(inner), 1, 1)
        return (emit(ops.Negative(), emit(op, zero, row, w)), row)

    return ops.Scan(Body(row, scalar)(outer), 0, 1)


def _doubled() -> Op:
    """`x = 2 x` and `n = n + 1` while the sum of x is below a limit."""
    x, n, limit = operand("batch"), operand(dtype=I64), operand()

    def condition(emit: Callable[..., Value], x: Value, n: Value, limit: Value) -> tuple[Value]:
        return (emit(ops.Less(), emit(ops.ReduceSum((0,)), x), limit),)

    def step(emit: Callable[..., Value], x: Value, n: Value, limit: Value) -> tuple[Value, ...]:
        return emit(ops.Add(), x, x), emit(ops.Add(), n, np.int64(1))

    given = (x, n, limit)
    return ops.While(Body(*given)(condition), Body(*given)(step))


def _branches() -> Op:
    """`(x + y, x)` or `(x y, y)`."""
    x = operand("batch", 2)

    def then(emit: Callable[..., Value], x: Value, y: Value) -> tuple[Value, ...]:
        return emit(ops.Add(), x, y), x

    def otherwise(emit: Callable[..., Value], x: Value, y: Value) -> tuple[Value, ...]:
        return emit(ops.Multiply(), x, y), y

    return ops.If(Body(x, x)(then), Body(x, x)(otherwise))


def _constants() -> Op:
    """Branches without operands."""

    def numbers(*values: float) -> Graph:
        return Body()(lambda emit: (emit(ops.Negative(), np.float32(values)),))

    return ops.If(numbers(1, 2), numbers(3, 4))


def _predicate(value: bool) -> Operand:
    return operand(dtype=BOOL, draw=exactly(value))


_STATE = operand("batch", 3)
_RECURRENCE = (_STATE, operand("time", "batch", 3), operand(3, 3))
_HALVES = tuple(
    operand(*shape, dtype=F16) for shape in (("batch", 3), ("time", "batch", 3), (3, 3))
)
_PAIR = (operand("batch", 2), operand("batch", 2))
_POSITIVE = operand("batch", draw=lambda rng, shape: rng.uniform(0.5, 1, shape))
_ZERO = operand(dtype=I64, draw=exactly(0))


def _numbers(*shape: int, dtype: DType = I32) -> tuple[Operand, ...]:
    return (
        operand(*shape[1:], dtype=dtype),
        operand(*shape[1:], dtype=dtype),
        operand(*shape, dtype=dtype),
    )


CASES = [
    Case("scan-recurrent", _recurrent(False), _RECURRENCE, {"batch": 2, "time": 5}),
    Case("scan-reverse", _recurrent(True), _RECURRENCE, {"batch": 3, "time": 4}),
    Case("scan-one-step", _recurrent(True), _RECURRENCE, {"batch": 1, "time": 1}),
    Case("scan-float16", _recurrent(False, F16), _HALVES, {"batch": 2, "time": 3}),
    Case("scan-two-carries", _sums(), _numbers(6)),
    Case("scan-matrices", _sums((2, 1)), _numbers(3, 2, 1)),
    Case("scan-no-steps", _sums((2,)), _numbers(0, 2)),
    Case("scan-bytes", _sums((2,), U8), _numbers(3, 2, dtype=U8)),
    Case(
        "scan-nested", _nested(), (operand("height", "width"), operand()), {"height": 3, "width": 4}
    ),
    Case("while-doubled", _doubled(), (_POSITIVE, _ZERO, operand(draw=exactly(50))), {"batch": 3}),
    Case("while-no-step", _doubled(), (_POSITIVE, _ZERO, operand(draw=exactly(0))), {"batch": 2}),
    Case("if-then", _branches(), (_predicate(True), *_PAIR), {"batch": 3}),
    Case("if-otherwise", _branches(), (_predicate(False), *_PAIR), {"batch": 1}),
    Case("if-no-operands", _constants(), (_predicate(False),)),
]
