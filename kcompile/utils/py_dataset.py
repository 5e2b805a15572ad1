"""Batches made by Python code, by several workers if need be."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

from kcompile.ir.errors import DataError, SpecError


class PyDataset:
    """Base of data sets whose batches are computed when they are needed.

    A subclass has `__getitem__(index)`, which returns a batch as `(x, y)` or
    `(x, y, sample_weight)`, and `__len__`, the number of batches. Without `__len__` it has no end.

    Args:
        workers: threads or processes that make batches; 1 makes them one after the other.
        use_multiprocessing: whether they are processes. The data set has to be picklable then.
        max_queue_size: batches that are made ahead.

    Raises:
        SpecError: a number is below 1.
    """

    def __init__(
        self, workers: int = 1, use_multiprocessing: bool = False, max_queue_size: int = 10
    ) -> None:
        for name, value in (("workers", workers), ("max_queue_size", max_queue_size)):
            if value < 1:
                raise SpecError(f"{name} must be at least 1, got {value}", where="PyDataset")
        self.workers = workers
        self.use_multiprocessing = use_multiprocessing
        self.max_queue_size = max_queue_size

    @property
    def num_batches(self) -> int | None:
        """The number of batches; None without an end."""
        return len(self) if hasattr(self, "__len__") else None

    def __getitem__(self, index: int) -> Any:
        """The batch at `index`."""
        raise NotImplementedError(f"{type(self).__name__} has no __getitem__")

    def on_epoch_begin(self) -> None:
        """Called before the first batch of a pass over the data is made."""

    def on_epoch_end(self) -> None:
        """Called after a pass over the data."""


def in_order(dataset: Any, indices: Iterator[int] | Sequence[int]) -> Iterator[Any]:
    """The batches at `indices`, in their order, made by the workers of the data set.

    When the iterator is closed or a worker fails, the workers end.

    Raises:
        DataError: a worker fails; names the batch.
    """
    workers = getattr(dataset, "workers", 1)
    if workers <= 1 and not getattr(dataset, "use_multiprocessing", False):
        for index in indices:
            with _naming(dataset, index):
                batch = dataset[index]
            yield batch
        return
    waiting: deque[tuple[int, Future[Any]]] = deque()
    executor = _executor(dataset, workers)
    try:
        for index in indices:
            waiting.append((index, executor.submit(_batch, _shared(dataset), index)))
            if len(waiting) >= dataset.max_queue_size:
                yield _result(dataset, *waiting.popleft())
        while waiting:
            yield _result(dataset, *waiting.popleft())
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _executor(dataset: Any, workers: int) -> Executor:
    if not dataset.use_multiprocessing:
        return ThreadPoolExecutor(workers, thread_name_prefix="PyDataset")
    # Not fork: this process has threads of its own, and locks that they hold.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, context, initializer=_receive, initargs=(dataset,))


#: The data set of a worker process.
_received: list[Any] = []


def _receive(dataset: Any) -> None:
    _received[:] = [dataset]


def _shared(dataset: Any) -> Any:
    """What goes to a worker with every index: processes have the data set already."""
    return None if dataset.use_multiprocessing else dataset


def _batch(dataset: Any, index: int) -> Any:
    return (_received[0] if dataset is None else dataset)[index]


def _result(dataset: Any, index: int, future: Future[Any]) -> Any:
    with _naming(dataset, index):
        return future.result()


@contextlib.contextmanager
def _naming(dataset: Any, index: int) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise DataError(
            f"making batch {index} failed: {type(error).__name__}: {error}",
            where=type(dataset).__name__,
        ) from error
