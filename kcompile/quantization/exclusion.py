"""Which layers keep floats so that the loss stays within a bound."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from kcompile.ir.errors import ExportError

Built = TypeVar("Built")
Judged = TypeVar("Judged", contravariant=True)


class Judge(Protocol[Judged]):
    """Compares what was built with floats."""

    def noise(self, built: Judged) -> float:
        """The ratio of signal to noise, in decibels."""

    def losses(self, built: Judged) -> dict[str, Any]:
        """`loss`, and what it comes from."""


@dataclass(frozen=True)
class Choice(Generic[Built]):
    """What was chosen.

    Attributes:
        built: with those layers in floats.
        excluded: the layers, besides those that the user excluded.
        losses: of the judge.
        sensitivity: the ratio of signal to noise where a layer alone is quantized, in decibels,
            the worst first; None if that was not measured.
    """

    built: Built
    excluded: tuple[str, ...]
    losses: dict[str, Any]
    sensitivity: dict[str, float] | None


def choose_exclusions(
    build: Callable[[Collection[str]], Built],
    judge: Judge[Built],
    layers: Sequence[str],
    exclude: Collection[str],
    max_loss: float | None,
    sensitivity: bool = False,
) -> Choice[Built]:
    """Exclude as few layers as it takes, the most sensitive first.

    Args:
        build: quantizes all layers but some.
        judge: measures it.
        layers: that are quantized.
        exclude: the layers that the user excluded.
        max_loss: the bound; None excludes nothing more.
        sensitivity: whether to measure each layer in any case.

    Raises:
        ExportError: the loss is greater even with a single layer quantized.
    """

    def attempt(count: int, ranked: Sequence[str]) -> Choice[Built]:
        worst = tuple(ranked[:count])
        built = build([*exclude, *worst])
        return Choice(built, worst, judge.losses(built), noises)

    noises: dict[str, float] | None = None
    if sensitivity:
        noises = measure_layers(build, judge, layers, exclude)
    best = attempt(0, layers)
    if max_loss is None or best.losses["loss"] <= max_loss:
        return best
    if noises is None:
        noises = measure_layers(build, judge, layers, exclude)
    ranked = list(noises)
    low, high, step = 0, len(ranked), 1  # with `low` excluded the loss is too great
    found: Choice[Built] | None = None
    while high - low > 1:
        count = min(low + step, high - 1) if found is None else (low + high) // 2
        choice = attempt(count, ranked)
        if choice.losses["loss"] <= max_loss:
            found, high = choice, count
        else:
            low, step = count, 2 * step
    if found is None:
        raise ExportError(
            f"the loss is {best.losses['loss']:.4g} and may be {max_loss:.4g}; it is greater with"
            " any layer quantized",
            hint="Try another calibration, more data, or a greater max_loss",
        )
    return found


def measure_layers(
    build: Callable[[Collection[str]], Built],
    judge: Judge[Built],
    layers: Sequence[str],
    exclude: Collection[str],
) -> dict[str, float]:
    """The ratio of signal to noise with each layer quantized alone, the worst first."""
    noises = {
        layer: judge.noise(build([*exclude, *(other for other in layers if other != layer)]))
        for layer in layers
    }
    return dict(sorted(noises.items(), key=lambda entry: entry[1]))
