"""Symbolic sizes: integer polynomials over named symbols, kept in one canonical form.

A size is an `int` or a `Dim`. A `Dim` is a sum of monomials with integer coefficients; a monomial
is a product of atoms; an atom is a symbol (`batch`), a quotient or an extremum of sizes. Symbols
stand for positive integers. Arithmetic that ends in a constant returns an `int`, so a `Dim` has a
symbol in it, and two sizes are equal when their canonical forms are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from kcompile.ir.errors import ShapeError

SYMBOL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


@dataclass(frozen=True)
class FloorDiv:
    """`numerator // denominator`, rounding towards minus infinity."""

    numerator: Size
    denominator: Size

    def __str__(self) -> str:
        return f"{_operand(self.numerator)}//{_operand(self.denominator)}"

    def evaluate(self, env: Mapping[str, Size]) -> Size:
        return floor_div(substitute(self.numerator, env), substitute(self.denominator, env))

    @property
    def operands(self) -> tuple[Size, ...]:
        return (self.numerator, self.denominator)


@dataclass(frozen=True)
class Extremum:
    """`max(a, b, ...)` or `min(a, b, ...)`; operands are sorted and different."""

    kind: str
    operands: tuple[Size, ...]

    def __str__(self) -> str:
        return f"{self.kind}({', '.join(map(str, self.operands))})"

    def evaluate(self, env: Mapping[str, Size]) -> Size:
        combine = maximum if self.kind == "max" else minimum
        return combine(*(substitute(operand, env) for operand in self.operands))


Atom: TypeAlias = str | FloorDiv | Extremum
Monomial = tuple[tuple[Atom, int], ...]  # ((atom, power), ...) sorted by text; () is the constant
Term = tuple[Monomial, int]


def _operand(size: Size) -> str:
    text = str(size)
    return text if text.isidentifier() or text.isdigit() else f"({text})"


@dataclass(frozen=True, eq=False)
class Dim:
    """A size with at least one symbol in it. Made by `symbol` and by arithmetic."""

    terms: tuple[Term, ...]

    @cached_property
    def _text(self) -> str:
        parts = []
        for monomial, coefficient in self.terms:
            factors = [
                text
                for atom, power in monomial
                for text in [_atom_text(atom, len(monomial) > 1 or power > 1 or coefficient != 1)]
                * power
            ]
            if abs(coefficient) != 1 or not factors:
                factors.insert(0, str(abs(coefficient)))
            parts.append(("-" if coefficient < 0 else "+") + "*".join(factors))
        text = "".join(parts)
        return text[1:] if text.startswith("+") else text

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"Dim({self._text})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dim) and self._text == other._text

    @cached_property
    def _hash(self) -> int:
        return hash(self._text)

    def __hash__(self) -> int:
        return self._hash

    def __add__(self, other: Size) -> Size:
        return _from_terms([*self.terms, *_terms(other)])

    __radd__ = __add__

    def __neg__(self) -> Size:
        return self * -1

    def __sub__(self, other: Size) -> Size:
        return self + other * -1

    def __rsub__(self, other: Size) -> Size:
        return self * -1 + other

    def __mul__(self, other: Size) -> Size:
        return _from_terms(
            (_multiply(left, right), a * b) for left, a in self.terms for right, b in _terms(other)
        )

    __rmul__ = __mul__

    def __floordiv__(self, other: Size) -> Size:
        return floor_div(self, other)

    def __rfloordiv__(self, other: Size) -> Size:
        return floor_div(other, self)

    def __bool__(self) -> bool:
        return True

    def __int__(self) -> int:
        raise ShapeError(
            f"the size {self} is symbolic and has no number here",
            hint="Give the model a fixed size for this axis, or specialise the symbol",
        )

    __index__ = __int__

    @property
    def is_symbol(self) -> bool:
        """Whether this is one bare symbol."""
        return SYMBOL.match(self._text) is not None


Size: TypeAlias = int | Dim


def _atom_text(atom: Atom, in_product: bool) -> str:
    return f"({atom})" if in_product and isinstance(atom, FloorDiv) else str(atom)


def _terms(size: Size) -> tuple[Term, ...]:
    if isinstance(size, Dim):
        return size.terms
    return (((), int(size)),) if size else ()


def _multiply(left: Monomial, right: Monomial) -> Monomial:
    powers: dict[Atom, int] = dict(left)
    for atom, power in right:
        powers[atom] = powers.get(atom, 0) + power
    return tuple(sorted(powers.items(), key=lambda item: str(item[0])))


def _order(term: Term) -> tuple[int, str]:
    """Monomials of higher degree first, the constant last; ties by text."""
    return -sum(power for _, power in term[0]), str([(str(a), p) for a, p in term[0]])


def _from_terms(terms: Iterable[Term]) -> Size:
    sums: dict[Monomial, int] = {}
    for monomial, coefficient in terms:
        sums[monomial] = sums.get(monomial, 0) + coefficient
    kept = [(monomial, coefficient) for monomial, coefficient in sums.items() if coefficient]
    if not kept:
        return 0
    if len(kept) == 1 and kept[0][0] == ():
        return kept[0][1]
    return Dim(tuple(sorted(kept, key=_order)))


def symbol(name: str) -> Dim:
    """The size named `name` (a letter or underscore, then letters, digits, underscores)."""
    if not SYMBOL.match(name) or name in ("max", "min"):
        raise ShapeError(f"{name!r} is not a name for a symbolic size")
    return Dim(((((name, 1),), 1),))


def floor_div(numerator: Size, denominator: Size) -> Size:
    """`numerator // denominator`; terms that divide exactly are taken out of the quotient."""
    if isinstance(numerator, int) and isinstance(denominator, int):
        return numerator // denominator
    if numerator == denominator:
        return 1
    if isinstance(denominator, Dim):
        exact = divide_exactly(numerator, denominator)
        return _atom(FloorDiv(numerator, denominator)) if exact is None else exact
    if denominator <= 0:
        raise ShapeError(f"cannot divide the size {numerator} by {denominator}")
    if denominator == 1:
        return numerator
    whole = [(m, c // denominator) for m, c in _terms(numerator)]
    remainder = _from_terms((m, c % denominator) for m, c in _terms(numerator))
    if isinstance(remainder, int):
        return _from_terms([*whole, ((), remainder // denominator)])
    nested = _nested_quotient(remainder, denominator)
    return _from_terms([*whole, *_terms(nested)])


def _nested_quotient(size: Dim, denominator: int) -> Size:
    """`(x // a) // b` is `x // (a * b)` for positive a and b."""
    if len(size.terms) == 1:
        monomial, coefficient = size.terms[0]
        if coefficient == 1 and len(monomial) == 1 and monomial[0][1] == 1:
            inner = monomial[0][0]
            if isinstance(inner, FloorDiv) and isinstance(inner.denominator, int):
                return floor_div(inner.numerator, inner.denominator * denominator)
    return _atom(FloorDiv(size, denominator))


def ceil_div(numerator: Size, denominator: int) -> Size:
    """`numerator / denominator`, rounded up."""
    return floor_div(numerator + (denominator - 1), denominator)


def _atom(atom: Atom) -> Dim:
    return Dim(((((atom, 1),), 1),))


def maximum(*sizes: Size) -> Size:
    """The largest of `sizes`."""
    return _extremum("max", sizes)


def minimum(*sizes: Size) -> Size:
    """The smallest of `sizes`."""
    return _extremum("min", sizes)


def _extremum(kind: str, sizes: tuple[Size, ...]) -> Size:
    pick = max if kind == "max" else min
    numbers = [size for size in sizes if isinstance(size, int)]
    symbolic = sorted({size for size in sizes if isinstance(size, Dim)}, key=str)
    operands: tuple[Size, ...] = (*symbolic, *([pick(numbers)] if numbers else []))
    return operands[0] if len(operands) == 1 else _atom(Extremum(kind, operands))


def product(sizes: Iterable[Size]) -> Size:
    """The product of `sizes`; 1 when there are none."""
    result: Size = 1
    for size in sizes:
        result = result * size
    return result


def divide_exactly(numerator: Size, denominator: Size) -> Size | None:
    """`numerator / denominator` where one monomial divides a polynomial exactly, else None."""
    divisor = _terms(denominator)
    if len(divisor) != 1:
        return 1 if numerator == denominator else None
    monomial, coefficient = divisor[0]
    quotient: list[Term] = []
    for powers, factor in _terms(numerator):
        left = dict(powers)
        for atom, power in monomial:
            left[atom] = left.get(atom, 0) - power
        if factor % coefficient or any(power < 0 for power in left.values()):
            return None
        kept = tuple((atom, power) for atom, power in left.items() if power)
        quotient.append((kept, factor // coefficient))
    return _from_terms(quotient)


def symbols_of(size: Size) -> frozenset[str]:
    """Names of the symbols in `size`."""
    if isinstance(size, int):
        return frozenset()
    found: set[str] = set()
    for monomial, _ in size.terms:
        for atom, _power in monomial:
            if isinstance(atom, str):
                found.add(atom)
            else:
                found.update(*(symbols_of(operand) for operand in atom.operands))
    return frozenset(found)


def substitute(size: Size, env: Mapping[str, Size]) -> Size:
    """`size` with the symbols in `env` replaced by their sizes; an `int` once all are."""
    if isinstance(size, int):
        return size
    total: Size = 0
    for monomial, coefficient in size.terms:
        value: Size = coefficient
        for atom, power in monomial:
            if isinstance(atom, str):
                factor = env.get(atom, None)
                factor = symbol(atom) if factor is None else factor
            else:
                factor = atom.evaluate(env)
            for _ in range(power):
                value = value * factor
        total = total + value
    return total
