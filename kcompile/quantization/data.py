"""Rows of data, some at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from kcompile.ir.errors import DataError
from kcompile.ir.graph import Graph, Role

Array = np.ndarray[Any, Any]
BATCH_SIZE = 32


class Rows:
    """Arrays by input name, all with the same number of rows.

    Args:
        graph: whose inputs they are.
        data: an array, a sequence of arrays in the order of the inputs, or arrays by name.
        what: for errors.

    Raises:
        DataError: an input is missing or unknown, or the arrays have no rows or not the same.
    """

    def __init__(self, graph: Graph, data: Any, what: str) -> None:
        inputs = graph.inputs_with(Role.DATA)
        names = [entry.name for entry in inputs]
        if not isinstance(data, Mapping):
            arrays = list(data) if isinstance(data, (list, tuple)) else [data]
            if len(arrays) != len(names):
                raise DataError(f"{len(arrays)} arrays for {len(names)} inputs", where=what)
            data = dict(zip(names, arrays, strict=True))
        if set(data) != set(names):
            raise DataError(
                f"it has arrays for {', '.join(sorted(data)) or 'nothing'}",
                where=what,
                hint=f"The inputs are {', '.join(names)}",
            )
        self.arrays: dict[str, Array] = {name: np.asarray(data[name]) for name in names}
        counts = {array.shape[:1] for array in self.arrays.values()}
        if len(counts) != 1 or counts <= {(), (0,)}:
            raise DataError("the arrays need the same number of rows, and some", where=what)
        ((self.num_rows,),) = counts
        sizes = {entry.type.shape[0] for entry in inputs if entry.type.rank}
        fixed = [size for size in sizes if isinstance(size, int)]
        self._is_fixed = bool(fixed)
        self._batch_size = fixed[0] if fixed else BATCH_SIZE
        if fixed and self.num_rows % self._batch_size:
            raise DataError(
                f"{self.num_rows} rows do not make batches of {fixed[0]}, which the model takes",
                where=what,
            )

    def batches(self) -> Iterator[dict[str, Array]]:
        """The rows in batches."""
        for start in range(0, self.num_rows, self._batch_size):
            yield {n: array[start : start + self._batch_size] for n, array in self.arrays.items()}

    def first(self, num_rows: int) -> dict[str, Array]:
        """The first rows, as many as the model takes if that is fixed."""
        batch = next(self.batches())
        count = self._batch_size if self._is_fixed else num_rows
        return {name: array[:count] for name, array in batch.items()}

    def head(self, graph: Graph, num_rows: int) -> Rows:
        """The first rows as rows of their own."""
        whole = max(1, num_rows // self._batch_size) * self._batch_size
        return Rows(graph, {name: array[:whole] for name, array in self.arrays.items()}, "data")
