"""What stands in for the values of variables and random keys while pure functions run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any

_values: ContextVar[dict[Any, Any] | None] = ContextVar("values", default=None)
_keys: ContextVar[Iterator[Any] | None] = ContextVar("keys", default=None)
_losses: ContextVar[list[Any] | None] = ContextVar("losses", default=None)


@contextlib.contextmanager
def stateless(values: Mapping[Any, Any]) -> Iterator[dict[Any, Any]]:
    """Inside, variables have these values, and what is assigned changes only the dict given."""
    inside = {**(_values.get() or {}), **values}
    token = _values.set(inside)
    try:
        yield inside
    finally:
        _values.reset(token)


def stateless_values() -> dict[Any, Any] | None:
    """Values by variable inside `stateless`; None outside."""
    return _values.get()


@contextlib.contextmanager
def random_keys(first: Any) -> Iterator[None]:
    """Inside, each eager call has a random key that follows from `first`, uint32 `[2]`."""
    token = _keys.set(_following(first))
    try:
        yield
    finally:
        _keys.reset(token)


def next_key() -> Any:
    """The next key inside `random_keys`; None outside."""
    keys = _keys.get()
    return None if keys is None else next(keys)


def _following(key: Any) -> Iterator[Any]:
    import numpy as np

    while True:
        yield key
        # The first word is a seed: odd steps of this size reach every seed before they repeat.
        key = key + np.array([0x9E3779B9, 0], np.uint32)


@contextlib.contextmanager
def gathered_losses() -> Iterator[list[Any]]:
    """The list that gets what `add_loss` adds in eager calls inside."""
    losses: list[Any] = []
    token = _losses.set(losses)
    try:
        yield losses
    finally:
        _losses.reset(token)


def loss_list() -> list[Any] | None:
    """The list of the innermost `gathered_losses`; None outside."""
    return _losses.get()
