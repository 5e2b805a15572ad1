"""How many steps go into one dispatch, and the rows that they take."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kcompile.training.data import Batching

#: Progress, callbacks and Ctrl-C wait at most for about this long.
RESPONSE_SECONDS = 0.2
#: Data of at most this many bytes lie on the device as a whole; larger ones go there in blocks.
RESIDENT_BYTES = 2**30
#: Bytes of one block of larger data.
BLOCK_BYTES = 2**26
_GROWTH = 8


class BlockLength:
    """The number of steps in the next dispatch, from the time that steps took so far.

    Args:
        fixed: the number, where something other than time decides: 1 when a callback looks at
            every batch; None to go by time.
    """

    def __init__(self, fixed: int | None = None) -> None:
        self.fixed = fixed
        self._seconds: float | None = None
        self._last = 0

    def next(self, limit: int) -> int:
        """At most `limit` steps, which take about `RESPONSE_SECONDS`.

        The first dispatch compiles and the second is measured, so both are of one step. Then the
        number grows by a factor that a bad measurement cannot make large.
        """
        if self.fixed is not None:
            return min(self.fixed, limit)
        if self._seconds is None:
            return 1
        wanted = int(RESPONSE_SECONDS / max(self._seconds, 1e-7))
        return max(1, min(wanted, self._last * _GROWTH, limit))

    def measured(self, num_steps: int, seconds: float) -> None:
        """Note that a dispatch of so many steps took so long, compiling included in the first."""
        if self._last:
            self._seconds = seconds / num_steps
        # A block that the data's end cut short does not make the next one small.
        self._last = max(self._last, num_steps)


@dataclass(frozen=True)
class Layout:
    """What rows go to the device at a time, and so the shapes that programs are compiled for.

    Attributes:
        batching: how the rows are cut.
        num_bytes: of all rows.
        resident_bytes: data of up to so many bytes are kept on the device.
    """

    batching: Batching
    num_bytes: int
    resident_bytes: int

    @staticmethod
    def of(
        arrays: Mapping[str, Any], batching: Batching, resident_bytes: int | None = None
    ) -> Layout:
        """The layout of arrays; `RESIDENT_BYTES` by default."""
        limit = RESIDENT_BYTES if resident_bytes is None else resident_bytes
        return Layout(batching, sum(array.nbytes for array in arrays.values()), limit)

    @property
    def is_resident(self) -> bool:
        """Whether all rows are kept on the device."""
        return self.num_bytes <= self.resident_bytes

    @property
    def max_steps(self) -> int:
        """The most steps that one block can have."""
        num_full = max(1, self.batching.num_full)
        if self.is_resident:
            return num_full
        num_rows = max(1, self.batching.num_rows)
        batch_bytes = max(1, self.num_bytes * self.batching.batch_size // num_rows)
        return min(num_full, max(1, BLOCK_BYTES // batch_bytes))

    def many(self) -> tuple[int, tuple[int, ...]]:
        """Of a block of full batches: the number of rows, and the shape of the indices."""
        size = self.batching.batch_size
        if self.is_resident:
            return self.batching.num_rows, (self.batching.num_full, size)
        return self.max_steps * size, (self.max_steps, size)

    def one(self, number: int) -> tuple[int, tuple[int, ...]]:
        """The same of a batch outside a loop."""
        size = self.batching.batch_size
        num_rows = min(size, self.batching.num_rows - number * size)
        return self.batching.num_rows if self.is_resident else num_rows, (num_rows,)


class Feeder:
    """Gives programs the rows of a data set.

    Args:
        arrays: all rows, by name of the graph's input.
        batching: how they are cut.
        resident_bytes: data of up to so many bytes are kept on the device; `RESIDENT_BYTES` by
            default.
    """

    def __init__(
        self, arrays: Mapping[str, Any], batching: Batching, resident_bytes: int | None = None
    ) -> None:
        from kcompile.runtimes.jax import training as xla

        self.batching = batching
        layout = Layout.of(arrays, batching, resident_bytes)
        self.is_resident = layout.is_resident
        self.arrays = xla.to_device(arrays) if self.is_resident else dict(arrays)
        #: The most steps that one block can have.
        self.max_steps = layout.max_steps
        self._order = np.empty(0, np.int32)
        self._pass: int | None = None

    def set_seed(self, seed: int) -> None:
        """Let the next passes have the orders of another seed."""
        self.batching = dataclasses.replace(self.batching, seed=seed)
        self._pass = None

    def start_pass(self, number: int) -> None:
        """Put the rows in the order of that pass over the data."""
        if number != self._pass and (self.batching.shuffle or self._pass is None):
            self._order = self.batching.order(number)
        self._pass = number

    def many(self, begin: int, end: int) -> tuple[Mapping[str, Any], Any, int, int]:
        """For full batches from `begin` to `end`: data, indices, and where they are in these."""
        size = self.batching.batch_size
        if self.is_resident:
            rows = self._order[: self.batching.num_full * size]
            return self.arrays, rows.reshape(-1, size), begin, end
        rows = self._order[begin * size : end * size]
        padded = np.zeros(self.max_steps * size, np.int32)  # one shape for all blocks
        padded[: len(rows)] = rows
        data = {name: array[padded] for name, array in self.arrays.items()}
        indices = np.arange(len(padded), dtype=np.int32).reshape(-1, size)
        return data, indices, 0, end - begin

    def one(self, number: int) -> tuple[Mapping[str, Any], Any]:
        """For one batch, the last partial one included: data and indices."""
        size = self.batching.batch_size
        rows = self._order[number * size : (number + 1) * size]
        if self.is_resident:
            return self.arrays, rows
        data = {name: array[rows] for name, array in self.arrays.items()}
        return data, np.arange(len(rows), dtype=np.int32)
