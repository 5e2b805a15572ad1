"""Holds an exported model against the graph that it was made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from kcompile.ir.errors import DataError, VerifyError
from kcompile.ir.graph import Graph
from kcompile.ir.op import Array
from kcompile.ir.types import DType
from kcompile.runtimes.onnx.check import check_model
from kcompile.runtimes.onnxruntime.expectation import TOLERANCES, Expectation, expect
from kcompile.runtimes.onnxruntime.session import OnnxRuntimeExecutable, Optimization

_LEVELS: tuple[Optimization, ...] = ("off", "all")
#: For files of more bytes: "all" takes three times the memory of what convolutions have as weights.
_LEVELS_OF_LARGE: tuple[Optimization, ...] = ("off", "extended")
LARGE_BYTES = 2**26
#: Outputs below this are differences of larger numbers, or saturate; it is small enough for the
#: probabilities of a thousand classes, 1e-3 each, to be held against themselves.
SMALLEST_SCALE = 1e-2


@dataclass(frozen=True)
class Comparison:
    """One output of one run, against the same output of the graph.

    Attributes:
        output: the output's name.
        sizes: numbers of the symbolic sizes.
        seed: of the inputs.
        optimization: "off", "extended" or "all", of onnxruntime.
        absolute: the largest difference.
        relative: the same in relation to the output's largest element.
        tolerance: what `absolute` may be.
    """

    output: str
    sizes: tuple[tuple[str, int], ...]
    seed: int
    optimization: str
    absolute: float
    relative: float
    tolerance: float


@dataclass(frozen=True)
class VerificationReport:
    """What was run and the differences found, all of them within their tolerances."""

    comparisons: tuple[Comparison, ...]
    runtime: str
    tolerances: tuple[tuple[str, float], ...]

    @property
    def max_absolute(self) -> float:
        return max((entry.absolute for entry in self.comparisons), default=0.0)

    @property
    def max_relative(self) -> float:
        return max((entry.relative for entry in self.comparisons), default=0.0)

    def as_metadata(self) -> dict[str, str]:
        """The report as `metadata_props` of the model."""
        sizes = dict.fromkeys(_format_sizes(entry.sizes) for entry in self.comparisons)
        levels = dict.fromkeys(entry.optimization for entry in self.comparisons)
        seeds = dict.fromkeys(str(entry.seed) for entry in self.comparisons)
        tolerances = ", ".join(f"{dtype} {number:g}" for dtype, number in self.tolerances)
        return {
            "kcompile.verification.max_absolute_difference": f"{self.max_absolute:.3g}",
            "kcompile.verification.max_relative_difference": f"{self.max_relative:.3g}",
            "kcompile.verification.optimization_levels": ", ".join(levels),
            "kcompile.verification.runtime": self.runtime,
            "kcompile.verification.seeds": ", ".join(seeds),
            "kcompile.verification.sizes": "; ".join(sizes),
            "kcompile.verification.status": "passed",
            "kcompile.verification.tolerances": tolerances or "exact",
        }


def verify_model(graph: Graph, model: Any, **options: Any) -> VerificationReport:
    """Check `model` by the ONNX checker, and by running it beside `graph`.

    Args:
        graph: what the model was exported from.
        model: the `onnx.ModelProto`.
        options: of `expect`.

    Raises:
        VerifyError: the model is invalid, onnxruntime refuses it, or an output differs in element
            type, shape, in where it is NaN or infinite, or by more than its tolerance.
        DataError: the inputs drawn don't fit the graph; give `sizes` or `draw`.
    """
    check_model(model)
    return verify_file(expect(graph, **options), model.SerializeToString(deterministic=True))


def verify_file(expectation: Expectation, model: bytes | Path) -> VerificationReport:
    """Run a model and hold its outputs against what is expected.

    Args:
        expectation: of the graph that the model was exported from.
        model: the contents of a file, or its path.

    Raises:
        VerifyError: onnxruntime refuses it, or an output differs, as from `verify_model`.
    """
    comparisons: list[Comparison] = []
    size = len(model) if isinstance(model, bytes) else model.stat().st_size
    levels = _LEVELS_OF_LARGE if size > LARGE_BYTES else _LEVELS
    for level in levels:  # one after the other: each session has the weights once more
        comparisons += _compare_level(expectation, model, level)
    dtypes = expectation.dtypes | {expectation.narrowest}
    return VerificationReport(
        tuple(comparisons),
        f"onnxruntime {onnxruntime.__version__}",
        tuple((dtype.keras_name, limit) for dtype, limit in TOLERANCES.items() if dtype in dtypes),
    )


def _compare_level(
    expectation: Expectation, model: bytes | Path, level: Optimization
) -> list[Comparison]:
    session = _session(model, level, expectation)
    comparisons = []
    for run in expectation.runs:
        sizes = tuple(sorted(run.sizes.items()))
        place = f"onnxruntime, optimizations {level}, {_format_sizes(tuple(run.sizes.items()))}"
        actual = _run(session, run.inputs, f"{place}, seed {run.seed}")
        for name, value in run.outputs.items():
            where = f"output '{name}' ({place}, seed {run.seed})"
            differences = compare(actual[name], value, where, expectation.narrowest)
            comparisons.append(Comparison(name, sizes, run.seed, level, *differences))
    return comparisons


def _session(
    model: bytes | Path, level: Optimization, expectation: Expectation
) -> OnnxRuntimeExecutable:
    # One thread: with more, the order of sums, and with it the differences, is up to chance.
    session = OnnxRuntimeExecutable(model, optimization=level, threads=1)
    found = [info.name for info in session.outputs]
    if found != list(expectation.outputs):
        raise VerifyError(
            f"the model returns {', '.join(found)}, the graph {', '.join(expectation.outputs)}",
            where=f"graph '{expectation.name}'",
        )
    return session


def _run(
    session: OnnxRuntimeExecutable, arrays: Mapping[str, Array], place: str
) -> dict[str, Array]:
    try:
        return session.run(arrays)
    except DataError as error:
        raise VerifyError(
            f"the model refuses what the graph takes: {error}", where=place
        ) from error


def compare(
    actual: Array, expected: Array, where: str, narrowest: DType = DType.FLOAT64
) -> tuple[float, float, float]:
    """The largest difference, the same relative to the largest element, and the tolerance.

    The tolerance is that of the element type, or of the narrowest type that it was computed from.

    Raises:
        VerifyError: `actual` is not `expected` within the tolerance.
    """
    if actual.dtype != expected.dtype or actual.shape != expected.shape:
        raise VerifyError(
            f"the model gives {actual.dtype}{list(actual.shape)}, the graph"
            f" {expected.dtype}{list(expected.shape)}",
            where=where,
        )
    dtype = DType.of(expected.dtype)
    if not dtype.is_floating:
        if not np.array_equal(actual, expected):
            count = int(np.sum(actual != expected))
            raise VerifyError(f"{count} of {expected.size} elements differ", where=where)
        return 0.0, 0.0, 0.0
    wide, wanted = actual.astype(np.float64), expected.astype(np.float64)
    finite = np.isfinite(wanted)
    if not np.array_equal(wide[~finite], wanted[~finite], equal_nan=True) or not np.all(
        np.isfinite(wide[finite])
    ):
        raise VerifyError("NaN and infinities are not where the graph has them", where=where)
    largest = float(np.max(np.abs(wanted[finite]), initial=0.0))
    absolute = float(np.max(np.abs(wide[finite] - wanted[finite]), initial=0.0))
    limit = max(TOLERANCES[dtype], TOLERANCES[narrowest])
    tolerance = limit * max(SMALLEST_SCALE, largest)
    if absolute > tolerance:
        raise VerifyError(
            f"it differs by {absolute:.3g}, and may by {tolerance:.3g}"
            f" (largest element {largest:.3g})",
            where=where,
        )
    return absolute, absolute / largest if largest else absolute, tolerance


def _format_sizes(sizes: tuple[tuple[str, int], ...]) -> str:
    return ", ".join(f"{name} = {number}" for name, number in sizes) or "fixed sizes"
