"""What gives training, evaluation and prediction their next steps."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from kcompile.ir.errors import DataError
from kcompile.training.blocks import RESPONSE_SECONDS, BlockLength, Feeder
from kcompile.training.streams import Stream

T = TypeVar("T")

#: A block of a stream has at most so many steps and bytes.
STREAM_STEPS = 64
STREAM_BYTES = 2**24


@dataclass(frozen=True)
class Block:
    """The steps of one dispatch.

    Attributes:
        program: that runs them.
        data: arrays by name of the graph's input.
        indices: rows of each step, int32 `[num_steps, batch]`; `[batch]` for one step, which runs
            outside a loop.
        begin, end: which of the steps.
        length: is told how long they took; None if nobody asks.
    """

    program: Any
    data: Mapping[str, Any]
    indices: Any
    begin: int = 0
    end: int = 1
    length: BlockLength | None = None

    @property
    def num_steps(self) -> int:
        return self.end - self.begin


class ArraySource:
    """Steps on arrays.

    Args:
        program: that runs them.
        feeder: gives the rows.
        length: says how many steps go into one block.
        num_batches: of a pass; all by default.
    """

    can_restart = True

    def __init__(
        self, program: Any, feeder: Feeder, length: BlockLength, num_batches: int | None = None
    ) -> None:
        self.program = program
        self._feeder = feeder
        self._length = length
        total = feeder.batching.num_batches
        self.num_batches = total if num_batches is None else min(num_batches, total)
        self._position = 0

    @property
    def is_done(self) -> bool:
        """Whether the pass has ended."""
        return self._position >= self.num_batches

    def start_pass(self, number: int) -> None:
        """Begin with the first batch of a pass."""
        self._position = 0
        self._feeder.start_pass(number)

    def end_pass(self) -> None:
        """Called after the last batch of a pass."""

    def next(self, limit: int | None) -> Block | None:
        """At most `limit` steps; None after the last."""
        left = self.num_batches - self._position
        limit = left if limit is None else min(left, limit)
        if limit < 1:
            return None
        begin = self._position
        num_full = min(limit, self._feeder.batching.num_full - begin)
        if num_full < 1 or not self.program.loops_well:
            self._position += 1
            return Block(self.program, *self._feeder.one(begin))
        self._position += self._length.next(min(num_full, self._feeder.max_steps))
        rows = self._feeder.many(begin, self._position)
        return Block(self.program, *rows, self._length)

    def set_seed(self, seed: int) -> None:
        """Let the passes that are not begun have the orders of another seed."""
        self._feeder.set_seed(seed)

    def has_more(self) -> bool:
        """Whether the pass has another batch."""
        return not self.is_done

    def close(self) -> None:
        """Nothing runs in the background."""


@dataclass(frozen=True)
class Batch:
    """A batch of a stream.

    Attributes:
        key: what the program depends on.
        arrays: by name of the graph's input.
    """

    key: Any
    arrays: dict[str, np.ndarray[Any, Any]]

    @property
    def num_rows(self) -> int:
        return len(next(iter(self.arrays.values())))

    def fits(self, other: Batch) -> bool:
        """Whether one block can have both."""
        return self.key == other.key and all(
            array.shape == other.arrays[name].shape and array.dtype == other.arrays[name].dtype
            for name, array in self.arrays.items()
        )


class Reader(Generic[T]):
    """The batches of a stream's passes, each prepared; the next can be looked at before.

    Args:
        stream: gives batches.
        prepare: checks one and makes arrays of it.
        first_pass: number of the pass that is begun.
    """

    def __init__(self, stream: Stream, prepare: Callable[[Any], T], first_pass: int) -> None:
        self.stream = stream
        self.is_done = False
        self._prepare = prepare
        self._pass = first_pass
        self._batches = stream.start(first_pass)
        self._held: list[T] = []
        self._num_read = 0

    def start_pass(self, number: int) -> None:
        """Begin a pass; what can be read only once goes on."""
        is_begun = number == self._pass and not self._num_read
        self._pass = number
        if is_begun or not self.stream.can_restart:
            return
        self._batches = self.stream.start(number)
        self._held.clear()
        self._num_read = 0
        self.is_done = False

    def set_seed(self, seed: int) -> None:
        """Let passes have the orders of another seed, this one too if no batch was taken."""
        self.stream.set_seed(seed)
        if not self._num_read:
            self._pass = -1

    def peek(self) -> T | None:
        """The next batch, which stays the next; None after the last."""
        if not self._held and not self.is_done:
            try:
                self._held.append(self._prepare(next(self._batches)))
            except StopIteration:
                self.is_done = True
        return self._held[0] if self._held else None

    def take(self) -> T | None:
        """The next batch; None after the last."""
        batch = self.peek()
        if batch is not None:
            self._held.clear()
            self._num_read += 1
            self.is_done = self._num_read == self.stream.num_batches
        return batch


class Ahead(Generic[T]):
    """Calls a function in another thread, one call ahead of who wants the results.

    Args:
        fetch: takes the largest number of steps; gives a result and the number of its steps.
    """

    def __init__(self, fetch: Callable[[int], tuple[T | None, int]]) -> None:
        self._fetch = fetch
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="data")
        self._pending: Future[tuple[T | None, int]] | None = None

    def next(self, wanted: int, left: int | None) -> T | None:
        """The next result, of about `wanted` steps; None when there is none.

        Args:
            left: the steps that will be wanted at most, these included; None for no limit.
        """
        pending = self._pending or self._submit(wanted, left)
        self._pending = None
        result, count = pending.result()
        if left is not None:
            left -= count
        if count and left != 0:
            self._pending = self._submit(wanted, left)
        return result

    def _submit(self, wanted: int, left: int | None) -> Future[tuple[T | None, int]]:
        return self._executor.submit(self._fetch, wanted if left is None else min(wanted, left))

    def settle(self) -> None:
        """Wait for the call that was begun, and drop its result."""
        if self._pending is not None:
            self._pending.result()
            self._pending = None

    def close(self) -> None:
        """End the thread."""
        self._executor.shutdown(wait=True, cancel_futures=True)


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
        self._ahead = Ahead(self._fetch)

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

    def end_pass(self) -> None:
        """Called after the last batch of a pass."""
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
        self._reader.stream.close()


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
        if not self.program.loops_well:
            return 1
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
        return (first.key, to_device(arrays), indices, len(group)), len(group)

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


def to_device(arrays: Mapping[str, Any]) -> dict[str, Any]:
    from kcompile.runtimes.jax import training as xla

    return xla.to_device(arrays)
