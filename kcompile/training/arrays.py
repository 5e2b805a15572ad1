"""What a user gives for the inputs and outputs of a model, as arrays of their names and types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from kcompile.ir.errors import DataError, ShapeError
from kcompile.ir.text import text_array
from kcompile.ir.types import DimMismatchError, DType, TensorType, bind_symbols, format_shape


def as_array(value: Any, where: str) -> np.ndarray[Any, Any]:
    """`value` as an array of numbers or bools of at most 32 bits.

    Raises:
        DataError: it holds strings or objects, or is no array.
    """
    if hasattr(value, "detach"):  # a tensor of torch, which may keep gradients or lie elsewhere
        value = value.detach().cpu()
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise DataError(
            f"it is not an array: {error}", where=where, hint="Rows must have equal lengths"
        ) from None
    if array.dtype.kind not in "biuf" and array.dtype.name != "bfloat16":
        raise DataError(
            f"needs numbers, got elements of type {array.dtype}",
            where=where,
            hint="Turn them into an array of numbers first",
        )
    if array.ndim == 0:
        raise DataError(f"needs an array with rows, got the number {value!r}", where=where)
    return array


def assign_names(
    value: Any, names: Sequence[str], what: str, where: str, optional: Iterable[str] = ()
) -> dict[str, Any]:
    """One entry of `value` for each name: a dict by name, a list in order, or the only one.

    Args:
        value: what the user gave.
        names: of the inputs or outputs.
        what: 'input' or 'output', for messages.
        where: which argument, for messages.
        optional: names that a dict may leave out.

    Raises:
        DataError: one is missing, unknown or too many.
    """
    if isinstance(value, Mapping):
        unknown = [name for name in value if name not in names]
        missing = [name for name in names if name not in value and name not in set(optional)]
        if unknown or missing:
            problem = (
                f"there is no {what} '{unknown[0]}'"
                if unknown
                else f"{what} '{missing[0]}' is missing"
            )
            raise DataError(problem, where=where, hint=f"The {what}s are {', '.join(names)}")
        return {name: value[name] for name in names if name in value}
    if len(names) == 1:
        return {names[0]: only(value)}
    if isinstance(value, (list, tuple)) and len(value) == len(names):
        return dict(zip(names, value, strict=True))
    got = f"{len(value)}" if isinstance(value, (list, tuple)) else f"one {type(value).__name__}"
    raise DataError(
        f"needs {len(names)} arrays, got {got}",
        where=where,
        hint=f"Give a list or a dict for the {what}s {', '.join(names)}",
    )


def fit_to_input(
    name: str, value: Any, type: TensorType, env: dict[str, int], where: str
) -> np.ndarray[Any, Any]:
    """The array for an input: rank adjusted by an axis of size 1, small enough to be kept.

    Args:
        env: gets the numbers that symbolic sizes have, the batch's left out.

    Raises:
        ShapeError: rank or sizes differ from the input's.
        DataError: it holds no numbers, or numbers that the input's integer type does not have.
    """
    place = f"{where} '{name}'"
    is_text = type.dtype is DType.STRING
    array = _adjust_rank(_as_texts(value, place) if is_text else as_array(value, place), type)
    row = type.with_shape(type.shape[1:])
    if array.ndim != type.rank:
        raise _shape_error(place, type, array)
    try:
        bind_symbols(row, array.shape[1:], env)
    except DimMismatchError:
        raise _shape_error(place, type, array) from None
    if is_text:
        return array
    if type.dtype.is_floating:
        return _narrow(array, type.dtype)
    return _exact(array, type.dtype, place)


def as_values(value: Any, where: str) -> np.ndarray[Any, Any]:
    """As `as_array`, or an array of strings if `value` is one.

    Raises:
        DataError: it holds neither numbers nor strings, or is no array.
    """
    is_text = isinstance(value, np.ndarray) and value.dtype.kind in "OSU"
    return _as_texts(value, where) if is_text else as_array(value, where)


def _as_texts(value: Any, where: str) -> np.ndarray[Any, Any]:
    try:
        return text_array(value)
    except DataError as error:
        raise error.located(where) from None


def fit_to_target(value: Any, where: str) -> np.ndarray[Any, Any]:
    """The array for a target: floats as float32, integers and bools as int32.

    Raises:
        DataError: it holds something else than numbers, or integers beyond 32 bits.
    """
    array = as_array(value, where)
    dtype = DType.INT32 if array.dtype.kind in "biu" else DType.FLOAT32
    narrow = array.astype(dtype.numpy, copy=False)
    if dtype is DType.INT32 and not np.array_equal(narrow, array):
        raise DataError("integers beyond 32 bits", where=where, hint="Give them as floats")
    return narrow


def only(value: Any) -> Any:
    """The array in a list of one array; anything else as it is."""
    if isinstance(value, (list, tuple)) and len(value) == 1 and hasattr(value[0], "shape"):
        return value[0] if np.ndim(value[0]) > 1 else value
    return value


def _adjust_rank(array: np.ndarray[Any, Any], type: TensorType) -> np.ndarray[Any, Any]:
    """As Keras: an axis of size 1 at the end is added or taken off."""
    if array.ndim == type.rank - 1 and type.shape[-1] == 1:
        return array[..., np.newaxis]
    if array.ndim == type.rank + 1 and array.shape[-1] == 1:
        return array[..., 0]
    return array


def _narrow(array: np.ndarray[Any, Any], wanted: DType) -> np.ndarray[Any, Any]:
    """For a floating type: at most 32 bits; small integers are cast on the device, by batch."""
    if array.dtype.itemsize <= 2 and array.dtype.kind in "biu":
        return array
    return array.astype(wanted.numpy, copy=False)


def _exact(array: np.ndarray[Any, Any], wanted: DType, place: str) -> np.ndarray[Any, Any]:
    """The same numbers in an integer type or bool.

    Raises:
        DataError: the type does not have one of them.
    """
    with np.errstate(invalid="ignore"):  # the comparison finds what cannot be cast
        cast = array.astype(wanted.numpy, copy=False)
    different = cast != array
    if different.any():
        place_of_first = tuple(np.argwhere(different)[0])
        raise DataError(
            f"needs {wanted.keras_name}, got {array[place_of_first]} in row {place_of_first[0]}",
            where=place,
            hint="Give numbers that this type has, or make the input take another",
        )
    return cast


def _shape_error(place: str, type: TensorType, array: np.ndarray[Any, Any]) -> ShapeError:
    return ShapeError(
        f"needs {type}, got shape {format_shape(array.shape)}",
        where=place,
        hint="The first axis counts the rows",
    )
