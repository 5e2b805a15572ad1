"""Data as they are given to `fit`, `evaluate` and `predict`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from kcompile.ir.errors import DataError
from kcompile.training.data import Batching, DataSet
from kcompile.training.streams import is_stream


@dataclasses.dataclass(frozen=True)
class Given:
    """Data as a user gave them, and how they are to be cut.

    Attributes:
        where: what is said of them in messages.
        x, y, sample_weight, class_weight, batch_size, steps, shuffle: as in `fit`.
        rows: the first row of data in files, and the number of rows; None for all.
    """

    where: str
    x: Any
    y: Any = None
    sample_weight: Any = None
    class_weight: Mapping[int, float] | None = None
    batch_size: int | None = None
    steps: int | None = None
    shuffle: bool | str = False
    rows: tuple[int, int] | None = None

    @property
    def parts(self) -> tuple[Any, Any, Any]:
        return self.x, self.y, self.sample_weight

    def with_parts(self, x: Any, y: Any, sample_weight: Any) -> Given:
        """The same with other data."""
        return dataclasses.replace(self, x=x, y=y, sample_weight=sample_weight)

    def with_data(self, data: DataSet) -> Given:
        """The same with other arrays."""
        return self.with_parts(data.x, data.y or None, data.sample_weight or None)

    def batching(self, num_rows: int, seed: int) -> Batching:
        """The batches of that many rows."""
        return Batching.of(num_rows, self.batch_size, self.steps, self.shuffle, seed)


def given_for_validation(given: Any, batch_size: int | None, steps: int | None) -> Given:
    """What the argument `validation_data` of `fit` stands for.

    Raises:
        DataError: it is no data set, and has not two or three parts.
    """
    where = "fit: validation data"
    if is_stream(given):
        return Given(where, given, batch_size=batch_size, steps=steps)
    if not isinstance(given, (list, tuple)) or len(given) not in (2, 3):
        raise DataError(
            "needs (x, y), (x, y, sample_weight) or a data set", where="fit: validation_data"
        )
    x, y, weight = (*given, None)[:3]
    return Given(where, x, y, weight, None, batch_size, steps)
