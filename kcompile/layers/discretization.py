"""Numbers to the bins that they are in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

import kcompile.ops as ops
from kcompile.ir.errors import SpecError
from kcompile.layers.base import Layer
from kcompile.layers.encoding import MODES, check_mode, encode, refuse_sparse

Summary = np.ndarray[Any, Any]  # values and their weights, `[2, n]`


class Discretization(Layer):
    """`y = how many boundaries are <= x`, as an integer or encoded.

    The boundaries are given, or `adapt` finds such that `num_bins` bins have about as many values
    each, within `epsilon` of all.
    """

    def __init__(
        self,
        bin_boundaries: Sequence[float] | None = None,
        num_bins: int | None = None,
        epsilon: float = 0.01,
        output_mode: str = "int",
        sparse: bool = False,
        dtype: Any = None,
        name: str | None = None,
    ) -> None:
        super().__init__(dtype=dtype, name=name)
        where = f"layer '{self.name}'"
        if (bin_boundaries is None) == (num_bins is None):
            raise SpecError("needs bin_boundaries or num_bins, one of them", where=where)
        if num_bins is not None and num_bins < 1:
            raise SpecError(f"num_bins must be at least 1, got {num_bins}", where=where)
        self.bin_boundaries = None if bin_boundaries is None else _ascending(bin_boundaries, where)
        self.num_bins = num_bins
        self.epsilon = epsilon
        self.output_mode = check_mode(output_mode, ("int", *MODES), where)
        self.sparse = refuse_sparse(sparse, where)
        self._summary = np.zeros((2, 0), np.float32)

    def adapt(self, data: Any, steps: int | None = None) -> None:
        """Find boundaries for the data.

        Args:
            data: an array, or an iterable of batches, which are arrays.
            steps: how many batches to take; all by default.

        Raises:
            SpecError: the boundaries are given, or there is no data.
        """
        if self.num_bins is None:
            raise SpecError("has boundaries and cannot adapt", where=f"layer '{self.name}'")
        self.reset_state()
        batches: Iterable[Any] = [data] if hasattr(data, "shape") else data
        for number, batch in enumerate(batches):
            if number == steps:
                break
            self.update_state(batch)
        self.finalize_state()

    def reset_state(self) -> None:
        """Forget the data seen."""
        self._summary = np.zeros((2, 0), np.float32)

    def update_state(self, data: Any) -> None:
        """Take a batch into account."""
        values = np.sort(np.asarray(data).astype(np.float32), axis=None)
        joined = np.concatenate([_summarize(values, self.epsilon), self._summary], axis=1)
        ordered = joined[:, np.argsort(joined[0])]
        self._summary = _compress(ordered, self.epsilon)

    def finalize_state(self) -> None:
        """Make boundaries of the data seen."""
        if self.num_bins is None:
            return
        if not self._summary.size:
            raise SpecError("there was no data to adapt to", where=f"layer '{self.name}'")
        self.bin_boundaries = _compress(self._summary, 1.0 / self.num_bins)[0, :-1].tolist()

    def call(self, inputs: Any) -> Any:
        if self.bin_boundaries is None:
            raise SpecError("has no boundaries yet", hint="Call adapt, or give bin_boundaries")
        indices = ops.digitize(inputs, np.asarray(self.bin_boundaries, np.float32))
        if self.output_mode == "int":
            return indices
        depth = len(self.bin_boundaries) + 1
        return encode(indices, self.output_mode, depth, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["trainable"]
        return {**config, "dtype": self.dtype}

    @classmethod
    def from_config(cls, config: Any) -> Any:
        """As in Keras: both boundaries and num_bins mean that the layer has been adapted."""
        boundaries = config.get("bin_boundaries")
        if boundaries is None or config.get("num_bins") is None:
            return super().from_config(config)
        layer = super().from_config({**config, "bin_boundaries": None})
        layer.bin_boundaries = _ascending(boundaries, f"layer '{layer.name}'")
        return layer


def _ascending(boundaries: Sequence[float], where: str) -> list[float]:
    listed = [float(number) for number in boundaries]
    if any(not low <= high for low, high in zip(listed, listed[1:], strict=False)):
        raise SpecError(f"the boundaries must ascend, got {listed}", where=where)
    return listed


def _summarize(values: np.ndarray[Any, Any], epsilon: float) -> Summary:
    """Every so many of the sorted values, with their weights, about 1 / epsilon of them."""
    step = max(values.size / (1.0 / epsilon), 1)
    kept = values[int(step - 1) :: int(step)]
    return np.stack([kept, np.full_like(kept, step)])


def _compress(summary: Summary, epsilon: float) -> Summary:
    """At most 1 / epsilon values, found between those there at equal parts of the weight."""
    if summary.shape[1] * epsilon < 1:
        return summary
    parts = epsilon + np.arange(0.0, 1.0, epsilon)
    totals = summary[1].cumsum()
    shares = totals / totals[-1]
    values = np.interp(parts, shares, summary[0])
    weights = np.diff(np.interp(parts, shares, totals), prepend=0)
    return np.stack([values, weights]).astype(np.float32)
