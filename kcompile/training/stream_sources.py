"""Streams as what gives training, evaluation and prediction their next steps."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import numpy as np

from kcompile.ir.errors import DataError
from kcompile.training.blocks import RESPONSE_SECONDS, BlockLength
from kcompile.training.reading import Ahead, Batch, Reader
from kcompile.training.sources import Block

T = TypeVar("T")

#: A block of a stream has at most so many steps and bytes.
STREAM_STEPS = 64
STREAM_BYTES = 2**24


class StreamSource(Generic[T]):
    """What sources have in common whose batches are prepared in another thread.

    Args:
        reader: of the batches.
        num_batches: of a pass; all by default.
    """

    def __init__(self, reader: Reader[T], num_batches: int | None) -> None:
        self._reader = reader
        self._limit = num_batches
        self._num_steps = 0
        self._ahead = Ahead(self._fetch, reader.stream.close)

    def _fetch(self, most: int) -> tuple[Any, int]:
        """Something of at most so many steps, and their number; None and 0 after the last."""
        raise NotImplementedError

    @property
    def can_restart(self) -> bool:
        return self._reader.stream.can_restart

    @property
    def num_batches(self) -> int | None:
        """Batches of a pass, where that is known."""
        known = self._reader.stream.num_batches
        return min((n for n in (known, self._limit) if n is not None), default=None)

    @property
    def is_done(self) -> bool:
        """Whether the pass has ended."""
        return self._reader.is_done

    def start_pass(self, number: int) -> None:
        """Begin another pass; what can be read only once goes on."""
        self._ahead.settle()
        self._num_steps = 0
        self._reader.start_pass(number)

    def continue_pass(self) -> None:
        """Called before an epoch that goes on with the pass of the last one."""
        self._reader.stream.go_on()

    def end_epoch(self) -> None:
        """Called after the last batch of an epoch."""
        self._reader.stream.end()

    def set_seed(self, seed: int) -> None:
        """Let the passes that are not begun have the orders of another seed."""
        self._reader.set_seed(seed)

    def first(self) -> T:
        """The next batch, which stays the next.

        Raises:
            DataError: there is none.
        """
        batch = self._reader.peek()
        if batch is None:
            raise DataError("there are no batches", hint="A generator can be used only once")
        return batch

    def has_more(self) -> bool:
        """Whether the pass has another batch, which is read to find out."""
        return self._reader.peek() is not None

    def _advance(self, wanted: int, limit: int | None) -> Any:
        """What `_fetch` gives next; None after the last step of the pass, or of `limit`."""
        left = None if self._limit is None else self._limit - self._num_steps
        left = min((n for n in (left, limit) if n is not None), default=None)
        return None if left == 0 else self._ahead.next(wanted, left)

    def close(self) -> None:
        """End the thread and the stream's workers."""
        self._ahead.close()


class BlockSource(StreamSource[Batch]):
    """Blocks of the batches of a stream.

    Batches of the first one's shape are stacked. Others, such as the last of a pass, run one by
    one.

    Args:
        reader: of the batches.
        program_of: the program for a key of `Batch`.
        length_of: the block length of a program for batches of so many rows.
        num_batches: of a pass; all by default.
    """

    def __init__(
        self,
        reader: Reader[Batch],
        program_of: Callable[[Any], Any],
        length_of: Callable[[Any, int], BlockLength],
        num_batches: int | None = None,
    ) -> None:
        super().__init__(reader, num_batches)
        self._program_of = functools.cache(program_of)
        self._standard = self.first()
        self.program = self._program_of(self._standard.key)
        self._length = length_of(self.program, self._standard.num_rows)
        self._capacity = self._most_steps()

    def _most_steps(self) -> int:
        num_bytes = sum(array.nbytes for array in self._standard.arrays.values())
        bounds = (
            STREAM_STEPS,
            STREAM_BYTES // max(1, num_bytes),
            self._length.fixed,
            self.num_batches,
        )
        return max(1, min(bound for bound in bounds if bound is not None))

    def next(self, limit: int | None) -> Block | None:
        """At most `limit` steps; None after the last."""
        fetched = self._advance(self._length.next(self._capacity), limit)
        if fetched is None:
            return None
        key, data, indices, count = fetched
        self._num_steps += count
        program = self._program_of(key)
        if indices.ndim == 1:
            return Block(program, data, indices)
        return Block(program, data, indices, 0, count, self._length)

    def _fetch(self, most: int) -> tuple[Any, int]:
        """The next batches that fit into one block, as one set of arrays on the device."""
        from kcompile.runtimes.jax import training as xla

        first = self._reader.take()
        if first is None:
            return None, 0
        group = [first]
        if self._capacity > 1 and first.fits(self._standard):
            deadline = time.perf_counter() + RESPONSE_SECONDS
            while len(group) < most and self._is_next_like(first):
                if self._length.fixed is None and time.perf_counter() > deadline:
                    break
                group.append(self._reader.take() or first)
            arrays, indices = self._stacked(group)
        else:
            arrays, indices = first.arrays, np.arange(first.num_rows, dtype=np.int32)
        return (first.key, xla.to_device(arrays), indices, len(group)), len(group)

    def _is_next_like(self, first: Batch) -> bool:
        batch = self._reader.peek()
        return batch is not None and batch.fits(first)

    def _stacked(self, group: list[Batch]) -> tuple[dict[str, Any], np.ndarray[Any, Any]]:
        """The batches as one; of one shape however many they are. What is left is not read."""
        rows = group[0].num_rows
        arrays: dict[str, Any] = {}
        for name, first in group[0].arrays.items():
            array = np.zeros((self._capacity * rows, *first.shape[1:]), first.dtype)
            np.concatenate([b.arrays[name] for b in group], out=array[: len(group) * rows])
            arrays[name] = array
        return arrays, np.arange(self._capacity * rows, dtype=np.int32).reshape(-1, rows)


class StepSource(StreamSource[T]):
    """The prepared batches of a stream, one by one."""

    def next(self, limit: int | None) -> T | None:
        """The next batch; None after the last."""
        batch: T | None = self._advance(1, limit)
        self._num_steps += batch is not None
        return batch

    def _fetch(self, most: int) -> tuple[T | None, int]:
        batch = self._reader.take()
        return batch, int(batch is not None)
