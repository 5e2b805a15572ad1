"""Arrays for fit, evaluate and predict: by the names of inputs and outputs, checked, in batches."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np

from kcompile.ir.errors import DataError, ShapeError
from kcompile.ir.text import text_array
from kcompile.ir.types import DimMismatchError, DType, TensorType, bind_symbols, format_shape
from kcompile.ops import seeds

DEFAULT_BATCH_SIZE = 32


@dataclass(frozen=True)
class DataSet:
    """Arrays with the same number of rows.

    Attributes:
        x: one array for each input of the model, in its order.
        y: one for each output that has a target; by output name.
        sample_weight: weights by output name.
    """

    x: dict[str, np.ndarray[Any, Any]]
    y: dict[str, np.ndarray[Any, Any]]
    sample_weight: dict[str, np.ndarray[Any, Any]]

    @property
    def num_rows(self) -> int:
        return len(next(iter(self.x.values())))

    def _labelled(self) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
        for what, arrays in (("x", self.x), ("y", self.y), ("sample_weight", self.sample_weight)):
            for name, array in arrays.items():
                yield f"{what} '{name}'", array

    def require_rows(self, what: str) -> None:
        """Check that there are rows, as many in each array.

        Raises:
            DataError: there are none, or the arrays differ.
        """
        sizes = {label: len(array) for label, array in self._labelled()}
        if len(set(sizes.values())) > 1:
            listed = ", ".join(f"{label} has {size}" for label, size in sizes.items())
            raise DataError(f"the numbers of rows differ: {listed}", where=what)
        if self.num_rows == 0:
            raise DataError("there are no rows", where=what, hint="Give at least one row")

    def require_finite(self, what: str) -> None:
        """Check that no number is NaN or infinite.

        Raises:
            DataError: one is; names the array and the row.
        """
        for label, array in self._labelled():
            # The sum shows NaN and infinity without a second array; only then look for the row.
            if array.dtype.kind != "f" or np.isfinite(_sum(array)):
                continue
            bad = ~np.isfinite(array.reshape(len(array), -1)).all(axis=1)
            if bad.any():
                row = int(np.argmax(bad))
                raise DataError(
                    f"{label} has NaN or infinity in row {row}"
                    f" ({int(bad.sum())} of {len(array)} rows)",
                    where=what,
                    hint="Remove or replace these rows",
                )

    def rows(self, selection: slice) -> DataSet:
        """Some of the rows, as views."""
        parts = (self.x, self.y, self.sample_weight)
        return DataSet(*({name: a[selection] for name, a in part.items()} for part in parts))


def split_row(num_rows: int, fraction: float) -> int:
    """The first of the last `fraction` of so many rows.

    Raises:
        DataError: there would be none before it, or none from it on.
    """
    if not 0 < fraction < 1:
        raise DataError(f"validation_split must be between 0 and 1, got {fraction}", where="fit")
    split = math.floor(num_rows * (1.0 - fraction))
    if split in (0, num_rows):
        raise DataError(
            f"validation_split={fraction} of {num_rows} rows leaves none to"
            f" {'train' if split == 0 else 'validate'} on",
            where="fit",
            hint="Give more rows or another fraction",
        )
    return split


def split_validation(data: DataSet, fraction: float) -> tuple[DataSet, DataSet]:
    """The rows to train on, and the last `fraction` of the rows, to validate on.

    Raises:
        DataError: one of the two would be empty.
    """
    split = split_row(data.num_rows, fraction)
    return data.rows(slice(0, split)), data.rows(slice(split, None))


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


def class_weights(
    target: np.ndarray[Any, Any], weight: Mapping[int, float]
) -> np.ndarray[Any, Any]:
    """The weight of each row's class, float32 `[rows]`; 1 for classes that have none.

    Classes are the numbers in `target`, or the places of the largest in its last axis.

    Raises:
        DataError: a class is no integer, or there is not one for each row.
    """
    require_classes(weight, target.shape[-1] if target.ndim > 1 else 1)
    classes = target
    if classes.ndim > 1:
        classes = classes[..., 0] if classes.shape[-1] == 1 else np.argmax(classes, axis=-1)
    if classes.ndim > 1:
        raise DataError(
            f"class_weight needs one class for each row, got targets {target.shape}", where="fit"
        )
    if (fractions := _fractions(classes)).any():
        row = int(np.argmax(fractions))
        raise DataError(
            f"class_weight needs labels that are integers, got {classes[row]} in row {row}",
            where="fit",
        )
    result = np.ones(len(classes), np.float32)
    for number, value in weight.items():
        result[classes == number] = value
    return result


def require_classes(weight: Mapping[int, float], num_classes: int | None) -> None:
    """Check that the keys of `class_weight` are classes; any integer from 0 on without a number.

    Raises:
        DataError: one is not.
    """
    known = math.inf if num_classes in (None, 1) else num_classes
    for number in weight:
        if isinstance(number, bool) or not isinstance(number, Integral) or not 0 <= number < known:
            raise DataError(
                f"class_weight is for the class {number!r}, which is no integer in [0, {known})",
                where="fit",
                hint="Its keys are class numbers, which count from 0",
            )


def require_probabilities(labels: np.ndarray[Any, Any], where: str) -> None:
    """Check that labels are in [0, 1].

    Raises:
        DataError: one is not; names the row.
    """
    bad = (labels < 0) | (labels > 1)
    if bad.any():
        first = tuple(np.argwhere(bad)[0])
        raise DataError(
            f"the label {labels[first]} in row {first[0]} is not in [0, 1]",
            where=where,
            hint="Binary cross-entropy takes 0, 1 and what is between",
        )


def require_labels_in_range(
    labels: np.ndarray[Any, Any], num_classes: int | None, ignored: int | None, where: str
) -> None:
    """Check that class numbers are integers in [0, num_classes); None for any number of classes.

    Raises:
        DataError: one is not; names the row.
    """
    known = math.inf if num_classes is None else num_classes
    bad = (labels < 0) | (labels >= known) | _fractions(labels)
    if ignored is not None:
        bad &= labels != ignored
    if not bad.any():
        return
    row = np.argwhere(bad)[0]
    raise DataError(
        f"the label {labels[tuple(row)]} in row {row[0]} is not a class in [0, {known})",
        where=where,
        hint="Labels count from 0; give the output as many units as there are classes",
    )


@dataclass(frozen=True)
class Batching:
    """How rows are cut into batches.

    Attributes:
        num_rows: of the data.
        batch_size: of all batches but the last, which may be smaller.
        shuffle: True for all rows anew in every pass, "batch" for the rows inside each batch.
        seed: of the shuffling.
    """

    num_rows: int
    batch_size: int
    shuffle: bool | str = False
    seed: int = 0

    @staticmethod
    def of(
        num_rows: int,
        batch_size: int | None,
        steps: int | None,
        shuffle: bool | str = False,
        seed: int = 0,
    ) -> Batching:
        """As in Keras: without a batch size, 32, or what makes `steps` batches of the rows."""
        if batch_size is None:
            batch_size = math.ceil(num_rows / steps) if steps else DEFAULT_BATCH_SIZE
        # A batch that is larger than the data is one partial batch of all rows.
        return Batching(num_rows, min(int(batch_size), num_rows), shuffle, seed)

    @property
    def num_full(self) -> int:
        return self.num_rows // self.batch_size

    @property
    def num_batches(self) -> int:
        return math.ceil(self.num_rows / self.batch_size)

    def order(self, number: int) -> np.ndarray[Any, Any]:
        """The rows of one pass over the data in their order, int32 `[num_rows]`."""
        rows = np.arange(self.num_rows, dtype=np.int32)
        if not self.shuffle:
            return rows
        stream = seeds.stream(self.seed, "shuffle", number)
        if self.shuffle != "batch":
            return stream.permutation(rows)
        parts = range(0, self.num_rows, self.batch_size)
        return np.concatenate([stream.permutation(rows[i : i + self.batch_size]) for i in parts])


def _fractions(numbers: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.asarray(numbers != np.floor(numbers))


def _sum(array: np.ndarray[Any, Any]) -> Any:
    with np.errstate(over="ignore", invalid="ignore"):
        return np.sum(array)


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
