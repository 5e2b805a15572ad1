"""Sizes of the IR as JAX's symbolic dimensions, and back, by the text that both have."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

import jax
from jax import export

from kcompile.ir.dims import Extremum, FloorDiv, Size, floor_div, maximum, minimum, symbol
from kcompile.ir.errors import ShapeError
from kcompile.ir.types import DType, TensorType


def jax_shapes(types: Sequence[TensorType]) -> list[jax.ShapeDtypeStruct]:
    """The types as JAX's, whose symbolic dimensions are of one scope."""
    scope = export.SymbolicScope()
    structs = []
    for type in types:
        shape: tuple[Any, ...] = type.shape
        if not type.is_static:
            shape = tuple(export.symbolic_shape(",".join(map(_text, shape)), scope=scope))
        structs.append(jax.ShapeDtypeStruct(shape, type.dtype.numpy))
    return structs


def _text(size: Size) -> str:
    """A size in the syntax of `jax.export.symbolic_shape`."""
    if isinstance(size, int):
        return str(size)
    terms = []
    for monomial, coefficient in size.terms:
        factors = [str(coefficient)]
        for atom, power in monomial:
            factors += [_atom_text(atom)] * power
        terms.append("*".join(factors))
    return " + ".join(terms)


def _atom_text(atom: str | FloorDiv | Extremum) -> str:
    if isinstance(atom, str):
        return atom
    name = "floordiv" if isinstance(atom, FloorDiv) else atom.kind
    return f"{name}({', '.join(map(_text, atom.operands))})"


def type_of(aval: Any) -> TensorType:
    """The type of an abstract value of JAX."""
    return TensorType(DType.of(aval.dtype), tuple(map(size_of, aval.shape)))


def size_of(dimension: Any) -> Size:
    """A size of JAX as one of the IR.

    Raises:
        ShapeError: it is no expression that sizes have.
    """
    if not export.is_symbolic_dim(dimension):
        return int(dimension)
    return _evaluated(ast.parse(str(dimension).replace("^", "**"), mode="eval").body)


def _evaluated(node: ast.expr) -> Size:
    match node:
        case ast.Constant(value=int() as number):
            return number
        case ast.Name(id=name):
            return symbol(name)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return _evaluated(operand) * -1
        case ast.BinOp(left=left, op=op, right=right):
            return _combined(op, _evaluated(left), _evaluated(right))
        case ast.Call(func=ast.Name(id=name), args=args):
            return _called(name, [_evaluated(argument) for argument in args])
    raise ShapeError(f"the size {ast.unparse(node)} has no form here")


def _combined(op: ast.operator, left: Size, right: Size) -> Size:
    match op:
        case ast.Add():
            return left + right
        case ast.Sub():
            return left - right
        case ast.Mult():
            return left * right
        case ast.Pow() if isinstance(right, int):
            result: Size = 1
            for _ in range(right):
                result = result * left
            return result
    raise ShapeError(f"a size with {type(op).__name__} has no form here")


def _called(name: str, args: list[Size]) -> Size:
    match name, args:
        case "floordiv", [numerator, denominator]:
            return floor_div(numerator, denominator)
        case "mod", [numerator, denominator]:
            return numerator - floor_div(numerator, denominator) * denominator
        case "max", _:
            return maximum(*args)
        case "min", _:
            return minimum(*args)
    raise ShapeError(f"a size with {name} has no form here")
