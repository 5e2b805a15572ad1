"""Data sets from sequences: padded ones, windows of a time series, and two parts of a whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcompile.ir.errors import DataError
from kcompile.ops.structure import leaves, map_leaves
from kcompile.utils.py_dataset import PyDataset


def pad_sequences(
    sequences: Sequence[Any],
    maxlen: int | None = None,
    dtype: Any = "int32",
    padding: str = "pre",
    truncating: str = "pre",
    value: Any = 0.0,
) -> NDArray[Any]:
    """Sequences of any length as one array `[N, maxlen, ...]`.

    Args:
        maxlen: length of all; that of the longest by default.
        padding, truncating: pre or post: the end at which elements are added or taken away.
        value: what is added.

    Raises:
        DataError: an entry is no sequence, or its elements have another shape than others'.
    """
    for name, end in (("padding", padding), ("truncating", truncating)):
        if end not in ("pre", "post"):
            raise DataError(f"pad_sequences: {name} is 'pre' or 'post', not {end!r}")
    for index, sequence in enumerate(sequences):
        if not hasattr(sequence, "__len__"):
            raise DataError(f"pad_sequences: entry {index} is no sequence: {sequence!r}")
    of_text = np.issubdtype(dtype, np.str_) or np.issubdtype(dtype, np.bytes_)
    if isinstance(value, str) and dtype is not object and not of_text:
        raise DataError(
            f"pad_sequences: the value {value!r} does not fit the dtype {dtype}",
            hint="Use dtype=object for strings of any length",
        )
    if maxlen is None:
        maxlen = max((len(sequence) for sequence in sequences), default=0)
    filled = [sequence for sequence in sequences if len(sequence)]
    shape = np.asarray(filled[0]).shape[1:] if filled else ()
    padded = np.full((len(sequences), maxlen, *shape), value, dtype=dtype)
    for index, sequence in enumerate(sequences):
        kept = sequence[-maxlen:] if truncating == "pre" else sequence[:maxlen]
        if not len(kept) or not maxlen:
            continue
        array = np.asarray(kept, dtype=dtype)
        if array.shape[1:] != shape:
            raise DataError(
                f"pad_sequences: elements of entry {index} have the shape {array.shape[1:]},"
                f" those of others {shape}"
            )
        place = slice(-len(array), None) if padding == "pre" else slice(len(array))
        padded[index, place] = array
    return padded


class _Windows(PyDataset):
    """Windows of a series, in batches `[N, T, ...]`."""

    def __init__(
        self,
        data: Any,
        targets: Any,
        starts: NDArray[np.int64],
        offsets: NDArray[np.int64],
        batch_size: int | None,
        random: np.random.Generator | None,
    ) -> None:
        super().__init__()
        self._data, self._targets = data, targets
        self._starts, self._offsets = starts, offsets
        self._batch_size = batch_size
        self._random = random

    def __len__(self) -> int:
        return (
            len(self._starts) if not self._batch_size else -(-len(self._starts) // self._batch_size)
        )

    def __getitem__(self, index: int) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(index)
        if self._batch_size is None:
            starts = self._starts[index]
        else:
            starts = self._starts[index * self._batch_size : (index + 1) * self._batch_size]
        windows = self._data[starts[..., None] + self._offsets]
        return windows if self._targets is None else (windows, self._targets[starts])

    def on_epoch_end(self) -> None:
        if self._random is not None:
            self._random.shuffle(self._starts)


def timeseries_dataset_from_array(
    data: Any,
    targets: Any,
    sequence_length: int,
    sequence_stride: int = 1,
    sampling_rate: int = 1,
    batch_size: int | None = 128,
    shuffle: bool = False,
    seed: int | None = None,
    start_index: int | None = None,
    end_index: int | None = None,
    format: str | None = None,
) -> PyDataset:
    """Windows of a series in batches `[N, T, ...]`, as a `PyDataset` of NumPy arrays.

    Args:
        targets: that at index i belongs to the window that begins there; None for none.
        sequence_length: T, the number of steps of a window.
        sequence_stride: steps from one window's beginning to the next one's.
        sampling_rate: steps between elements of a window.
        batch_size: windows in a batch; None for windows alone.
        shuffle: whether windows come in another order at each pass.
        start_index, end_index: the part of the series to use, without the end.
        format: None or "grain"; both give the same.

    Raises:
        DataError: an argument is out of range.
    """
    if format not in (None, "grain"):
        raise DataError(f"format {format!r} is not there: batches are NumPy arrays")
    length = len(data)
    start, end = start_index or 0, length if end_index is None else end_index
    counts = {
        "sequence_length": sequence_length,
        "sequence_stride": sequence_stride,
        "sampling_rate": sampling_rate,
    }
    for name, count in counts.items():
        if not 1 <= count <= max(length, 1):
            raise DataError(f"{name} must be from 1 to {length}, got {count}")
    if not 0 <= start < end <= length:
        raise DataError(f"needs 0 <= start_index < end_index <= {length}, got {start} and {end}")
    if batch_size is not None and batch_size < 1:
        raise DataError(f"batch_size must be at least 1, got {batch_size}")
    total = end - start - (sequence_length - 1) * sampling_rate
    if targets is not None:
        total = min(total, len(targets))
    starts = np.arange(0, max(total, 0), sequence_stride)
    random = np.random.default_rng(seed) if shuffle else None
    if random is not None:
        random.shuffle(starts)
    offsets = np.arange(sequence_length) * sampling_rate
    part = np.asarray(data[start:end])
    wanted = None if targets is None else np.asarray(targets[start:end])
    return _Windows(part, wanted, starts, offsets, batch_size, random)


def split_dataset(
    dataset: Any,
    left_size: float | None = None,
    right_size: float | None = None,
    shuffle: bool = False,
    seed: int | None = None,
    preferred_backend: str | None = None,
) -> tuple[Any, Any]:
    """Two parts of an array, or of a tuple, list or dict of arrays of one length.

    Keras returns tf.data data sets; these are of the form of `dataset`.

    Args:
        left_size, right_size: how many samples, or their share in (0, 1); one may be missing.
        shuffle: whether samples are mixed first.
        preferred_backend: accepted as in Keras.

    Raises:
        DataError: arrays differ in length, or sizes do not fit.
    """
    arrays = [np.asarray(leaf) for leaf in leaves(dataset)]
    lengths = {len(array) for array in arrays if array.ndim}
    if len(lengths) != 1 or any(not array.ndim for array in arrays):
        raise DataError(
            f"split_dataset needs arrays of one length, got lengths {sorted(lengths)}",
            hint="Give an array, or a tuple, list or dict of arrays",
        )
    (total,) = lengths
    left, right = (_count(size, total) for size in (left_size, right_size))
    if left is None and right is None:
        raise DataError("split_dataset needs left_size or right_size")
    left = total - right if left is None and right is not None else left
    right = total - left if right is None and left is not None else right
    assert left is not None and right is not None
    if left < 1 or right < 1 or left + right > total:
        raise DataError(f"{total} samples have no parts of {left} and {right}")
    order = np.arange(total)
    if shuffle:
        np.random.default_rng(seed).shuffle(order)
    parts = order[:left], order[left : left + right]
    first, second = (_samples(dataset, part) for part in parts)
    return first, second


def _samples(dataset: Any, indices: NDArray[np.int64]) -> Any:
    return map_leaves(lambda leaf: np.asarray(leaf)[indices], dataset)


def _count(size: float | None, total: int) -> int | None:
    """A number of samples from a number or a share."""
    if size is None or isinstance(size, (int, np.integer)):
        return None if size is None else int(size)
    if not 0 < size < 1:
        raise DataError(f"a share of samples is in (0, 1), got {size}")
    return round(size * total)
