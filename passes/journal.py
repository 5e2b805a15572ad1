"""What a pass did and what it declined to do, for logs and `--explain`."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Refusal:
    """A rewrite that was possible by form but not allowed.

    Attributes:
        rule: name of the rule.
        node: name of the first result of the node that it would have replaced.
        reason: why not.
    """

    rule: str
    node: str
    reason: str


@dataclass
class Journal:
    """Rewrites by rule, and refusals without repetition."""

    changes: Counter[str] = field(default_factory=Counter)
    refusals: dict[Refusal, None] = field(default_factory=dict)


_CURRENT: ContextVar[Journal | None] = ContextVar("journal", default=None)


@contextlib.contextmanager
def recording() -> Iterator[Journal]:
    """A journal of what passes record inside."""
    journal = Journal()
    token = _CURRENT.set(journal)
    try:
        yield journal
    finally:
        _CURRENT.reset(token)


def record_change(rule: str, count: int = 1) -> None:
    """Note that `rule` rewrote `count` places; without a journal nothing happens."""
    journal = _CURRENT.get()
    if journal is not None:
        journal.changes[rule] += count


def record_refusal(refusal: Refusal) -> None:
    """Note a refusal; without a journal nothing happens."""
    journal = _CURRENT.get()
    if journal is not None:
        journal.refusals[refusal] = None
