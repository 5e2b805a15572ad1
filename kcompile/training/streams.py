"""Data that come in batches: generators, data sets and loaders of any library, HDF5 files."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from kcompile.ir.errors import DataError
from kcompile.ops import seeds
from kcompile.ops.batches import pack_x_y_sample_weight
from kcompile.ops.structure import leaves, map_leaves
from kcompile.training.data import Batching
from kcompile.utils.py_dataset import in_order

#: Bytes of the rows that are read at once from data that do not fit in memory.
READ_BYTES = 2**24


class Stream:
    """Batches in one pass after another.

    Attributes:
        num_batches: of a pass; None if that is not known before its end.
        can_restart: whether there is a pass after the first.
    """

    num_batches: int | None = None
    can_restart = True

    def start(self, number: int) -> Iterator[Any]:
        """The batches of one pass, each `x`, `(x, y)` or `(x, y, sample_weight)`."""
        raise NotImplementedError

    def go_on(self) -> None:
        """Called before an epoch that goes on with the pass of the last one."""

    def end(self) -> None:
        """Called after the last batch of an epoch."""

    def set_seed(self, seed: int) -> None:
        """Let the next passes have the orders of another seed, where the order is ours."""

    def close(self) -> None:
        """Called when no more batches are wanted."""


class IterableStream(Stream):
    """The batches of a generator, or of a data set of another library.

    tf.data, torch's DataLoader and Grain need no import: what they have in common is enough.
    """

    def __init__(self, iterable: Iterable[Any]) -> None:
        self._iterable = iterable
        self.can_restart = not hasattr(iterable, "__next__")
        self.num_batches = _length(iterable)

    def start(self, number: int) -> Iterator[Any]:
        return iter(self._iterable)


class DatasetStream(Stream):
    """The batches of a PyDataset, ours or Keras's.

    Args:
        dataset: has `__getitem__`, and `__len__` if it ends.
        shuffle: whether batches come in another order in every pass.
        seed: of that order.
    """

    def __init__(self, dataset: Any, shuffle: bool, seed: int) -> None:
        self._dataset = dataset
        self._shuffle = shuffle
        self._seed = seed
        self._running: Any = None
        self.num_batches = _length(dataset)

    def start(self, number: int) -> Iterator[Any]:
        self.close()
        self._dataset.on_epoch_begin()
        self.num_batches = _length(self._dataset)  # it may have changed in on_epoch_end
        self._running = in_order(self._dataset, self._indices(number))
        return iter(self._running)

    def set_seed(self, seed: int) -> None:
        self._seed = seed

    def _indices(self, number: int) -> Any:
        if self.num_batches is None:
            return itertools.count()
        if not self._shuffle:
            return range(self.num_batches)
        stream = seeds.stream(self._seed, "shuffle", number)
        return stream.permutation(self.num_batches).tolist()

    def go_on(self) -> None:
        self._dataset.on_epoch_begin()

    def end(self) -> None:
        self._dataset.on_epoch_end()

    def close(self) -> None:
        if self._running is not None:
            self._running.close()
            self._running = None


class RowStream(Stream):
    """Batches of rows of arrays or HDF5 datasets, of which a block at a time is read.

    Args:
        x, y, sample_weight: arrays, or structures of them, with the same number of rows.
        batching: how rows are cut into batches.
        begin: the row that counts as the first.
    """

    def __init__(self, x: Any, y: Any, sample_weight: Any, batching: Batching, begin: int = 0):
        self._parts = (x, y, sample_weight)
        self._begin = begin
        self.batching = batching
        self.num_batches = batching.num_batches
        arrays = [leaf for leaf in leaves(self._parts) if leaf is not None]
        row_bytes = sum(_row_bytes(array) for array in arrays)
        batch_bytes = max(1, row_bytes * batching.batch_size)
        self._rows_at_once = max(1, READ_BYTES // batch_bytes) * batching.batch_size

    def set_seed(self, seed: int) -> None:
        self.batching = dataclasses.replace(self.batching, seed=seed)

    def start(self, number: int) -> Iterator[Any]:
        order = self.batching.order(number)
        for first in range(0, len(order), self._rows_at_once):
            rows = order[first : first + self._rows_at_once] + self._begin
            block = map_leaves(functools.partial(_read, rows=rows), self._parts)
            for begin in range(0, len(rows), self.batching.batch_size):
                cut = slice(begin, begin + self.batching.batch_size)
                yield pack_x_y_sample_weight(*map_leaves(functools.partial(_cut, rows=cut), block))


def is_stream(x: Any) -> bool:
    """Whether x gives batches, and is no array nor a structure of arrays."""
    if isinstance(x, (list, tuple, Mapping, str, bytes)) or hasattr(x, "__array__"):
        return False
    return is_dataset(x) or hasattr(x, "__iter__")


def is_dataset(x: Any) -> bool:
    """Whether x is a PyDataset, ours or Keras's."""
    return all(hasattr(x, name) for name in ("__getitem__", "on_epoch_begin", "on_epoch_end"))


def has_file_rows(*structures: Any) -> bool:
    """Whether an HDF5 dataset is among the arrays: its rows are read when they are needed."""
    return any(_is_hdf5(leaf) for leaf in leaves(structures))


def count_rows(*structures: Any) -> int:
    """The number of rows that all arrays have.

    Raises:
        DataError: they differ, or there are none.
    """
    counts = {len(leaf) for leaf in leaves(structures) if leaf is not None}
    if len(counts) != 1 or counts == {0}:
        raise DataError(
            f"the arrays need the same number of rows, at least one; they have {sorted(counts)}"
        )
    return counts.pop()


def make_stream(
    x: Any, y: Any, sample_weight: Any, shuffle: bool | str, seed: int, where: str
) -> Stream:
    """The stream of an `x` for which `is_stream` holds.

    Raises:
        DataError: targets or weights are given beside it.
    """
    for name, value in (("y", y), ("sample_weight", sample_weight)):
        if value is not None:
            raise DataError(
                f"{name} is given, and x is a {type(x).__name__}, which gives whole batches",
                where=where,
                hint="Let it give (x, y) or (x, y, sample_weight)",
            )
    return DatasetStream(x, shuffle is True, seed) if is_dataset(x) else IterableStream(x)


def _is_hdf5(leaf: Any) -> bool:
    return type(leaf).__module__.startswith("h5py") and hasattr(leaf, "shape")


def _length(data: Any) -> int | None:
    """The number of batches, where the data know it.

    Grain's is the number of elements, and sys.maxsize where they repeat.
    """
    if not hasattr(data, "__len__") or type(data).__module__.startswith("grain"):
        return None
    try:
        return len(data)
    except (TypeError, NotImplementedError):  # what data sets raise that do not know or never end
        return None


def _row_bytes(array: Any) -> int:
    if not hasattr(array, "dtype"):
        return 8
    return int(np.prod(array.shape[1:])) * int(array.dtype.itemsize)


def _cut(array: Any, rows: slice) -> Any:
    return None if array is None else array[rows]


def _read(array: Any, rows: np.ndarray[Any, Any]) -> Any:
    """Some rows of an array; HDF5 wants their numbers in increasing order."""
    if array is None:
        return None
    if rows[-1] - rows[0] == len(rows) - 1 and (np.diff(rows) == 1).all():
        return array[int(rows[0]) : int(rows[-1]) + 1]
    if not _is_hdf5(array):
        return np.asarray(array)[rows]
    places = np.argsort(rows, kind="stable")
    read = array[rows[places]]
    result = np.empty_like(read)
    result[places] = read
    return result
