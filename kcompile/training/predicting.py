"""Outputs for data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kcompile.ir.errors import DataError
from kcompile.ops.structure import leaves, pack_like


class Prediction:
    """The outputs for the batches of a source.

    Args:
        source: gives prepared batches.
        run_batch: the outputs for one, as NumPy arrays in the order of the model's outputs.
        structure_of: the structure of the outputs, once there are some.
    """

    def __init__(
        self,
        source: Any,
        run_batch: Callable[[Any], list[Any]],
        structure_of: Callable[[], Any],
    ) -> None:
        self.source = source
        self._run_batch = run_batch
        self._structure_of = structure_of

    def run(self, callbacks: Any) -> Any:
        """The outputs for all rows, in the structure of the model's outputs.

        Raises:
            DataError: there are no data.
        """
        parts: list[list[Any]] = []
        callbacks.on_predict_begin()
        self.source.start_pass(0)
        while (batch := self.source.next(None)) is not None:
            callbacks.on_predict_batch_begin(len(parts))
            parts.append(self._run_batch(batch))
            callbacks.on_predict_batch_end(len(parts) - 1, {"outputs": parts[-1]})
        if not parts:
            raise DataError("there are no batches left", where="predict")
        self.source.end_pass()
        callbacks.on_predict_end()
        flat = [np.concatenate(columns) for columns in zip(*parts, strict=True)]
        return pack_like(self._structure_of(), flat)


def batch_outputs(outputs: Any) -> list[np.ndarray[Any, Any]]:
    """The outputs of a model's own `predict_step`, as NumPy arrays."""
    return [np.asarray(leaf) for leaf in leaves(outputs)]
