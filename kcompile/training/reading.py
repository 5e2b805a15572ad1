"""Batches of streams, read and prepared ahead of who takes them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from kcompile.training.streams import Stream

T = TypeVar("T")

#: How long the end of a run waits for data that nobody wants any more.
CLOSING_SECONDS = 1.0


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
        finish: is called once when no more results are wanted.
    """

    def __init__(
        self, fetch: Callable[[int], tuple[T | None, int]], finish: Callable[[], None]
    ) -> None:
        self._fetch = fetch
        self._finish = finish
        self._wanted: queue.SimpleQueue[tuple[int, Future[tuple[T | None, int]]] | None]
        self._wanted = queue.SimpleQueue()
        self._pending: Future[tuple[T | None, int]] | None = None
        # A daemon: a generator that waits for ever does not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="data", daemon=True)

    def _run(self) -> None:
        while (request := self._wanted.get()) is not None:
            wanted, future = request
            try:
                future.set_result(self._fetch(wanted))
            except BaseException as error:  # whoever waits for the result gets it
                future.set_exception(error)

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
        if not self._thread.ident:
            self._thread.start()
        future: Future[tuple[T | None, int]] = Future()
        self._wanted.put((wanted if left is None else min(wanted, left), future))
        return future

    def settle(self) -> None:
        """Wait for the call that was begun, and drop its result."""
        if self._pending is not None:
            self._pending.result()
            self._pending = None

    def close(self) -> None:
        """End the thread; a call that does not return is left to itself, and nothing is closed."""
        if self._thread.ident:
            self._wanted.put(None)
            self._thread.join(CLOSING_SECONDS)
        if not self._thread.is_alive():
            self._finish()
