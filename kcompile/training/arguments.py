"""Checks of the numbers and flags that `compile`, `fit`, `evaluate` and `predict` take."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

from kcompile.ir.errors import SpecError


def require_counts(where: str, least: int = 1, **counts: Any) -> None:
    """Check that each of the arguments is None or an integer of at least `least`.

    Raises:
        SpecError: one is not.
    """
    for name, value in counts.items():
        if value is not None and not _is_count(value, least):
            raise SpecError(
                f"{name} must be an integer of at least {least}, got {value!r}", where=where
            )


def require_fit_arguments(
    epochs: Any, initial_epoch: Any, shuffle: Any, validation_freq: Any, **optional: Any
) -> None:
    """Check the arguments of `fit`; `optional` are counts that may be None.

    Raises:
        SpecError: one is of the wrong type or out of range.
    """
    for name, value in (("epochs", epochs), ("initial_epoch", initial_epoch)):
        if not _is_count(value, 0):
            raise SpecError(f"{name} must be an integer of at least 0, got {value!r}", where="fit")
    require_counts("fit", **optional)
    if not (isinstance(shuffle, bool) or shuffle == "batch"):
        raise SpecError(f"shuffle must be True, False or 'batch', got {shuffle!r}", where="fit")
    listed = isinstance(validation_freq, Sequence) and not isinstance(validation_freq, str)
    if not all(_is_count(epoch, 1) for epoch in (validation_freq if listed else [validation_freq])):
        raise SpecError(
            "validation_freq must be an integer of at least 1, or a list of epochs that count from"
            f" 1, got {validation_freq!r}",
            where="fit",
        )


def _is_count(value: Any, least: int) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least


def require_remat(remat: Any, has_own_step: bool) -> None:
    """Check the argument `remat` of `compile`.

    Raises:
        SpecError: it is neither a truth value nor names.
        NotImplementedError: the model has its own `train_step`.
    """
    if isinstance(remat, bool) and not remat:
        return
    names = isinstance(remat, Sequence) and not isinstance(remat, str)
    if remat is not True and not (names and all(isinstance(name, str) for name in remat)):
        raise SpecError(
            f"remat is True, False or a list of names of layers, not {remat!r}", where="compile"
        )
    if has_own_step:
        raise NotImplementedError("remat for a model with its own train_step is not there")
