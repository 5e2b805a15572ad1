"""Permutations of axes: axis k of `transpose(x, p)` is axis `p[k]` of x."""

from __future__ import annotations

from collections.abc import Sequence

from kcompile.ir.dims import Size

Permutation = tuple[int, ...]


def compose(inner: Permutation, outer: Permutation) -> Permutation:
    """The permutation p with `transpose(transpose(x, inner), outer) = transpose(x, p)`."""
    return tuple(inner[axis] for axis in outer)


def inverse(permutation: Permutation) -> Permutation:
    """The permutation p with `transpose(transpose(x, permutation), p) = x`."""
    return tuple(permutation.index(axis) for axis in range(len(permutation)))


def is_identity(permutation: Permutation) -> bool:
    return permutation == tuple(range(len(permutation)))


def moves_only_ones(permutation: Permutation, shape: Sequence[Size]) -> bool:
    """Whether a transpose of that shape leaves the row-major order of the elements as it is."""
    long = [axis for axis in permutation if shape[axis] != 1]
    return long == sorted(long)


def to_channels_first(rank: int) -> Permutation:
    """`[N, S..., C]` to `[N, C, S...]`."""
    return (0, rank - 1, *range(1, rank - 1))


def to_channels_last(rank: int) -> Permutation:
    """`[N, C, S...]` to `[N, S..., C]`."""
    return (0, *range(2, rank), 1)
