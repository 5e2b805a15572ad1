"""Rows of arrays, and how they are cut into batches."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from kcompile.ir.errors import DataError
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


def _sum(array: np.ndarray[Any, Any]) -> Any:
    with np.errstate(over="ignore", invalid="ignore"):
        return np.sum(array)
