"""Symbolic sizes as int64 nodes."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from typing import TYPE_CHECKING

from kcompile.ir.dims import Atom, Dim, Extremum, FloorDiv, Monomial, Size
from kcompile.ir.graph import Value
from kcompile.ir.types import DType, TensorType

if TYPE_CHECKING:
    from kcompile.runtimes.onnx.emitter import Emitter

SIZE = TensorType(DType.INT64, (1,))


def lower(emitter: Emitter, size: Dim) -> Value:
    """A vector int64 with the number that `size` has at run time, from the shapes of the inputs."""
    if len(size.terms) == 1 and size == _alone(atom := size.terms[0][0][0][0]):
        return _atom(emitter, atom)
    (first, coefficient), *rest = sorted(size.terms, key=lambda term: term[1] < 0)
    total = _product(emitter, first, coefficient)
    for monomial, coefficient in rest:
        op_type = "Sub" if coefficient < 0 else "Add"
        total = emitter.emit(op_type, [total, _product(emitter, monomial, abs(coefficient))], SIZE)
    return total


def _alone(atom: Atom) -> Dim:
    """`atom` as a size; the emitter lowers equal sizes once."""
    return Dim(((((atom, 1),), 1),))


def _product(emitter: Emitter, monomial: Monomial, coefficient: int) -> Value:
    factors = [emitter.size(_alone(atom)) for atom, power in monomial for _ in range(power)]
    if coefficient != 1 or not factors:
        factors.append(emitter.size(coefficient))
    return _chain(emitter, "Mul", factors)


def _chain(emitter: Emitter, op_type: str, values: Iterable[Value]) -> Value:
    first, *rest = values
    for value in rest:
        first = emitter.emit(op_type, [first, value], SIZE)
    return first


def _atom(emitter: Emitter, atom: Atom) -> Value:
    if isinstance(atom, str):
        return _symbol(emitter, atom)
    operands = [emitter.size(operand) for operand in atom.operands]
    if isinstance(atom, Extremum):
        return _chain(emitter, "Max" if atom.kind == "max" else "Min", operands)
    numerator, denominator = operands
    if least(atom.numerator) < 0:  # ONNX's Div rounds towards zero; Mod has the divisor's sign
        remainder = emitter.emit("Mod", operands, SIZE)
        numerator = emitter.emit("Sub", [numerator, remainder], SIZE)
    return emitter.emit("Div", [numerator, denominator], SIZE)


def _symbol(emitter: Emitter, symbol: str) -> Value:
    for entry in emitter.graph.inputs:
        for axis, size in enumerate(entry.type.shape):
            if str(size) == symbol:
                x = emitter.values[entry.name]
                return emitter.emit("Shape", [x], SIZE, start=axis, end=axis + 1)
    raise emitter.refusal(f"no input determines the symbol {symbol}")


def least(size: Size) -> float:
    """A lower bound of `size`, symbols being at least 1; minus infinity if none is found."""
    if isinstance(size, int):
        return size
    return sum(_least_term(monomial, coefficient) for monomial, coefficient in size.terms)


def _least_term(monomial: Monomial, coefficient: int) -> float:
    if not monomial:
        return coefficient
    bounds = [_least_atom(atom) for atom, power in monomial for _ in range(power)]
    if coefficient < 0 or min(bounds) < 0:
        return -float("inf")
    return coefficient * prod(bounds)


def _least_atom(atom: Atom) -> float:
    if isinstance(atom, str):
        return 1
    if isinstance(atom, FloorDiv):
        return 0 if least(atom.numerator) >= 0 else -float("inf")
    bounds = map(least, atom.operands)
    return max(bounds) if atom.kind == "max" else min(bounds)
