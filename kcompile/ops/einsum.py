"""Sums of products over labelled axes: `einsum` and its relatives.

There is no op for them: an equation becomes transposes, reshapes, and a product of matrices, or a
product of elements where nothing is summed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kcompile.ir import ops as ir
from kcompile.ir.dims import Size, product
from kcompile.ir.errors import ShapeError
from kcompile.ir.op import normalize_axis
from kcompile.ir.types import require_same_size
from kcompile.ops.dispatch import public
from kcompile.ops.elementwise import cast, multiply, not_equal
from kcompile.ops.linear import product_operands
from kcompile.ops.promotion import to_common_type
from kcompile.ops.tensor import TracedTensor
from kcompile.ops.trace import emit

#: A label for each axis: a letter of the equation, or `...0` for the last axis of an ellipsis,
#: `...1` for the one before, and so on.
Labels = tuple[str, ...]
_ELLIPSIS = "..."


@public
def einsum(subscripts: str, *operands: Any) -> Any:
    """The sum of products that an equation such as `bij,bjk->bik` describes.

    `...` stands for any axes, which broadcast. Without `->`, the result has the axes of `...` and
    those that appear once, in alphabetical order.
    """
    tensors, is_bool = product_operands(*operands)
    labels, result = parse_equation(subscripts, [tensor.type.rank for tensor in tensors])
    terms = [_diagonal(*term) for term in zip(tensors, labels, strict=True)]
    left, left_labels = terms[0]
    for index, (right, right_labels) in enumerate(terms[1:], 1):
        later = {label for _, other in terms[index + 1 :] for label in other}
        left, left_labels = _contract(
            left, left_labels, right, right_labels, kept={*result, *later}, wish=result
        )
    left, left_labels = _sum_out(left, left_labels, set(result))
    product = _arrange(left, left_labels, result)
    return not_equal(product, 0) if is_bool else product


def parse_equation(subscripts: str, ranks: Sequence[int]) -> tuple[list[Labels], Labels]:
    """The labels of each operand and of the result.

    Raises:
        ShapeError: the equation is malformed, or does not fit the ranks.
    """
    text = subscripts.replace(" ", "")
    left, arrow, right = text.partition("->")
    parts = left.split(",")
    if len(parts) != len(ranks):
        raise ShapeError(f"einsum '{subscripts}' takes {len(parts)} operands, got {len(ranks)}")
    labels = [_expand(part, rank, subscripts) for part, rank in zip(parts, ranks, strict=True)]
    flat = [label for term in labels for label in term]
    dots = sorted({label for label in flat if label.startswith(_ELLIPSIS)}, key=_dot, reverse=True)
    if not arrow:
        once = sorted(label for label in set(flat) - set(dots) if flat.count(label) == 1)
        return labels, (*dots, *once)
    result: list[str] = []
    for piece in _pieces(right, subscripts):
        result += dots if piece == _ELLIPSIS else [piece]
    if len(set(result)) < len(result) or not set(result) <= set(flat):
        raise ShapeError(f"einsum '{subscripts}': the result needs axes of the operands, each once")
    if not set(dots) <= set(result):
        raise ShapeError(f"einsum '{subscripts}': the result has no '...'")
    return labels, tuple(result)


def _dot(label: str) -> int:
    return int(label.removeprefix(_ELLIPSIS))


def _pieces(part: str, subscripts: str) -> list[str]:
    """The letters of an operand, and `...` as one."""
    before, dots, after = part.partition(_ELLIPSIS)
    pieces = [*before, *([_ELLIPSIS] if dots else []), *after]
    if any(piece != _ELLIPSIS and not piece.isalpha() for piece in pieces):
        raise ShapeError(f"einsum '{subscripts}' is not an equation of letters and '...'")
    return pieces


def _expand(part: str, rank: int, subscripts: str) -> Labels:
    pieces = _pieces(part, subscripts)
    num_dots = rank - len(pieces) + 1 if _ELLIPSIS in pieces else 0
    if num_dots < 0 or (_ELLIPSIS not in pieces and len(pieces) != rank):
        raise ShapeError(f"einsum '{subscripts}': '{part}' does not fit an operand of rank {rank}")
    labels: list[str] = []
    for piece in pieces:
        if piece == _ELLIPSIS:
            labels += [f"{_ELLIPSIS}{index}" for index in reversed(range(num_dots))]
        else:
            labels.append(piece)
    return tuple(labels)


def _diagonal(x: TracedTensor, labels: Labels) -> tuple[TracedTensor, Labels]:
    """x with one axis for each label: of several axes with the same one, the diagonal."""
    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            first = labels.index(label)
            second = labels.index(label, first + 1)
            size = x.type.shape[first]
            require_same_size(size, x.type.shape[second], f"axes '{label}' need the same size")
            index = emit(ir.Iota(size))
            row = emit(ir.Reshape(_ones_but(x.type.rank, first, size)), index)
            column = emit(ir.Reshape(_ones_but(x.type.rank, second, size)), index)
            zero = emit(ir.Cast(x.type.dtype), 0)
            on_diagonal = emit(ir.Where(), emit(ir.Equal(), row, column), x, zero)
            x = emit(ir.ReduceSum((second,)), on_diagonal)
            labels = (*labels[:second], *labels[second + 1 :])
    return x, labels


def _ones_but(rank: int, axis: int, size: Size) -> tuple[Size, ...]:
    return tuple(size if other == axis else 1 for other in range(rank))


def _sum_out(x: TracedTensor, labels: Labels, kept: set[str]) -> tuple[TracedTensor, Labels]:
    """x summed over the axes whose labels are not kept."""
    axes = tuple(axis for axis, label in enumerate(labels) if label not in kept)
    if not axes:
        return x, labels
    return emit(ir.ReduceSum(axes), x), tuple(label for label in labels if label in kept)


def _without_ones(x: TracedTensor, labels: Labels, other: dict[str, Size]) -> Any:
    """x without the axes of size 1 that broadcast to an axis of the other operand."""
    gone = {
        axis
        for axis, label in enumerate(labels)
        if label.startswith(_ELLIPSIS) and x.type.shape[axis] == 1 and other.get(label, 1) != 1
    }
    if not gone:
        return x, labels
    shape = tuple(size for axis, size in enumerate(x.type.shape) if axis not in gone)
    kept = tuple(label for axis, label in enumerate(labels) if axis not in gone)
    return emit(ir.Reshape(shape), x), kept


def _contract(
    a: TracedTensor,
    a_labels: Labels,
    b: TracedTensor,
    b_labels: Labels,
    kept: set[str],
    wish: Labels,
) -> tuple[TracedTensor, Labels]:
    """The product of two operands, summed over the labels that are not kept."""
    a_sizes = dict(zip(a_labels, a.type.shape, strict=True))
    b_sizes = dict(zip(b_labels, b.type.shape, strict=True))
    a, a_labels = _without_ones(a, a_labels, b_sizes)
    b, b_labels = _without_ones(b, b_labels, a_sizes)
    for label in a_labels:
        if label in b_labels:
            rule = f"axes '{label}' need the same size"
            require_same_size(a_sizes[label], b_sizes[label], rule)
    a, a_labels = _sum_out(a, a_labels, {*b_labels, *kept})
    b, b_labels = _sum_out(b, b_labels, {*a_labels, *kept})
    summed = tuple(label for label in a_labels if label in b_labels and label not in kept)
    if not summed:
        return _multiply(a, a_labels, b, b_labels, wish)
    # The operand whose own axes come last in the result is the right one of the product.
    own = [label for label in wish if (label in a_labels) != (label in b_labels)]
    if own and own[-1] in a_labels:
        a, a_labels, b, b_labels = b, b_labels, a, a_labels
        summed = tuple(label for label in a_labels if label in summed)
    return _matmul(a, a_labels, b, b_labels, summed)


def _multiply(
    a: TracedTensor, a_labels: Labels, b: TracedTensor, b_labels: Labels, wish: Labels
) -> tuple[TracedTensor, Labels]:
    both = {*a_labels, *b_labels}
    labels = tuple(label for label in wish if label in both)
    labels += tuple(label for label in dict.fromkeys((*a_labels, *b_labels)) if label not in labels)
    return emit(ir.Multiply(), _arrange(a, a_labels, labels), _arrange(b, b_labels, labels)), labels


def _matmul(
    a: TracedTensor, a_labels: Labels, b: TracedTensor, b_labels: Labels, summed: Labels
) -> tuple[TracedTensor, Labels]:
    """The sum over `summed` as a product of matrices, for each index of the other common labels."""
    batch = tuple(label for label in a_labels if label in b_labels and label not in summed)
    rows = tuple(label for label in a_labels if label not in b_labels)
    columns = tuple(label for label in b_labels if label not in a_labels)
    sizes = dict(zip((*a_labels, *b_labels), (*a.type.shape, *b.type.shape), strict=True))

    def merged(labels: Labels) -> Size:
        return product(sizes[label] for label in labels)

    leading = tuple(sizes[label] for label in batch)
    # Without a batch, rows may stay several axes, and no size is merged.
    row_shape = (merged(rows),) if batch or not rows else tuple(sizes[label] for label in rows)
    left = _arrange(a, a_labels, (*batch, *rows, *summed))
    left = _reshape(left, (*leading, *row_shape, merged(summed)))
    right = _arrange(b, b_labels, (*batch, *summed, *columns))
    right = _reshape(right, (*leading, merged(summed), merged(columns)))
    labels = (*batch, *rows, *columns)
    y = emit(ir.Matmul(), left, right)
    return _reshape(y, tuple(sizes[label] for label in labels)), labels


def _reshape(x: TracedTensor, shape: tuple[Size, ...]) -> TracedTensor:
    return x if shape == x.type.shape else emit(ir.Reshape(shape), x)


def _arrange(x: TracedTensor, labels: Labels, wish: Labels) -> TracedTensor:
    """x with its axes in the order of `wish`, and size 1 for what it has no axis for."""
    order = tuple(labels.index(label) for label in wish if label in labels)
    if order != tuple(range(len(order))):
        x = emit(ir.Transpose(order), x)
    present = iter(x.type.shape)
    return _reshape(x, tuple(next(present) if label in labels else 1 for label in wish))


def _letters(count: int, start: int = 0) -> str:
    return "".join(chr(ord("a") + start + index) for index in range(count))


def _sum_of_products(a: Any, b: Any, a_axes: Sequence[int], b_axes: Sequence[int]) -> Any:
    """The sum of products along pairs of axes; what is left of a's, then of b's."""
    a, b = to_common_type(a, b)
    left = [normalize_axis(axis, a.type.rank) for axis in a_axes]
    right = [normalize_axis(axis, b.type.rank) for axis in b_axes]
    if len(left) != len(right):
        raise ShapeError(f"needs as many axes of one as of the other, got {left} and {right}")
    a_letters = list(_letters(a.type.rank))
    b_letters = list(_letters(b.type.rank, a.type.rank))
    for one, other in zip(left, right, strict=True):
        b_letters[other] = a_letters[one]
    result = [
        letter
        for letter in (*a_letters, *b_letters)
        if (letter in a_letters) ^ (letter in b_letters)
    ]
    product = einsum(f"{''.join(a_letters)},{''.join(b_letters)}->{''.join(result)}", a, b)
    return cast(product, a.type.dtype.keras_name)  # unlike matmul and einsum, these keep 8 bits


@public
def tensordot(x1: Any, x2: Any, axes: Any = 2) -> Any:
    """The sum of products along axes: a number of them, or those of x1 and those of x2."""
    if isinstance(axes, int):
        rank = to_common_type(x1, x2)[0].type.rank
        return _sum_of_products(x1, x2, range(rank - axes, rank), range(axes))
    left, right = ((entry,) if isinstance(entry, int) else tuple(entry) for entry in axes)
    return _sum_of_products(x1, x2, left, right)


@public
def dot(x1: Any, x2: Any) -> Any:
    """The sum of products along the last axis of x1 and the last but one of x2, or its only one."""
    a, b = to_common_type(x1, x2)
    if a.type.rank == 0 or b.type.rank == 0:
        return multiply(a, b)
    return _sum_of_products(a, b, (-1,), (-2,) if b.type.rank > 1 else (-1,))


@public
def inner(x1: Any, x2: Any) -> Any:
    """The sum of products along the last axes of both."""
    a, b = to_common_type(x1, x2)
    if a.type.rank == 0 or b.type.rank == 0:
        return multiply(a, b)
    return _sum_of_products(a, b, (-1,), (-1,))


@public
def outer(x1: Any, x2: Any) -> Any:
    """The products of all elements of x1 with all of x2, as a matrix."""
    a, b = to_common_type(x1, x2)
    column = emit(ir.Reshape((a.type.size, 1)), a)
    return multiply(column, emit(ir.Reshape((1, b.type.size)), b))


@public
def vdot(x1: Any, x2: Any) -> Any:
    """The sum of the products of the elements of x1 and x2, both flattened."""
    a, b = (emit(ir.Reshape((x.type.size,)), x) for x in to_common_type(x1, x2))
    return _sum_of_products(a, b, (0,), (0,))
