"""What quantization costs, measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from kcompile.ir.errors import DataError, SpecError

Array = np.ndarray[Any, Any]
Outputs = Mapping[str, Array]
#: A number for outputs and labels; more is better.
Metric = Callable[[Any, Array], float]


def signal_to_noise(actual: Array, wanted: Array) -> float:
    """The ratio of signal to quantization noise, in decibels."""
    wide, noise = wanted.astype(np.float64), actual.astype(np.float64) - wanted
    power, error = float(np.sum(wide**2)), float(np.sum(noise**2))
    if error == 0:
        return float("inf")
    return 10 * float(np.log10(power / error)) if power else float("-inf")


def relative_error(actual: Outputs, wanted: Outputs) -> float:
    """The root mean square of the error in relation to that of the output; of the worst one."""
    ratios = [signal_to_noise(actual[name], array) for name, array in wanted.items()]
    return float(np.max([10 ** (-ratio / 20) for ratio in ratios], initial=0.0))


def accuracy(outputs: Array, labels: Array) -> float:
    """The share of rows whose class is the label.

    Args:
        outputs: `[N, classes]`, or `[N, 1]` with a probability.
        labels: `[N]` or `[N, 1]` with integers, or `[N, classes]`.

    Raises:
        DataError: the shapes do not fit.
    """
    labels = np.asarray(labels)
    fits = labels.shape == outputs.shape or labels.size == len(outputs) == len(labels)
    if outputs.ndim != 2 or not fits:
        raise DataError(f"accuracy of outputs {outputs.shape} for labels {labels.shape}")
    if outputs.shape[1] == 1:
        return float(np.mean((outputs[:, 0] > 0.5) == (labels.reshape(-1) > 0.5)))
    if labels.shape == outputs.shape:
        labels = np.argmax(labels, axis=1)
    return float(np.mean(np.argmax(outputs, axis=1) == labels.reshape(-1)))


METRICS: dict[str, Metric] = {"accuracy": accuracy}


def metric_of(metric: str | Metric | None) -> Metric:
    """A metric by its name; accuracy by default.

    Raises:
        SpecError: there is none of that name.
    """
    if metric is None:
        return accuracy
    if callable(metric):
        return metric
    if metric not in METRICS:
        raise SpecError(f"{metric!r} is no metric", hint=f"Use {', '.join(METRICS)} or a function")
    return METRICS[metric]
