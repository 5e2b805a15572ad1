"""Arrays as what gives training and evaluation their next steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kcompile.training.blocks import BlockLength, Feeder


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

    def continue_pass(self) -> None:
        """Called before an epoch that goes on with the pass of the last one."""

    def end_epoch(self) -> None:
        """Called after the last batch of an epoch."""

    def next(self, limit: int | None) -> Block | None:
        """At most `limit` steps; None after the last."""
        left = self.num_batches - self._position
        limit = left if limit is None else min(left, limit)
        if limit < 1:
            return None
        begin = self._position
        num_full = min(limit, self._feeder.batching.num_full - begin)
        if num_full < 1:
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
