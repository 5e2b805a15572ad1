"""Holds an exported model against the graph that it was made from."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from kcompile.ir.errors import DataError, VerifyError
from kcompile.ir.graph import Graph
from kcompile.ir.op import Array
from kcompile.ir.types import DType
from kcompile.runtimes import reference
from kcompile.runtimes.onnx.check import check_model
from kcompile.runtimes.onnxruntime.expectation import (
    TOLERANCES,
    Expectation,
    expect,
    rounding,
)
from kcompile.runtimes.onnxruntime.session import OnnxRuntimeExecutable, Optimization

_LEVELS: tuple[Optimization, ...] = ("off", "all")
#: For files of more bytes: "all" takes three times the memory of what convolutions have as weights.
_LEVELS_OF_LARGE: tuple[Optimization, ...] = ("off", "extended")
LARGE_BYTES = 2**26
#: Outputs below this are differences of larger numbers, or saturate; it is small enough for the
#: probabilities of a thousand classes, 1e-3 each, to be held against themselves.
SMALLEST_SCALE = 1e-2
#: Seeds of the random rounding that shows how far it carries.
_LOOKS = (1, 2)
#: What an output may differ by, in units of how far rounding carries in it ...
ROUNDING_MARGIN = 8
#: ... but no more than this, in relation to `max(SMALLEST_SCALE, largest element)`.
LARGEST_TOLERANCE = 1e-2


@dataclass(frozen=True)
class Comparison:
    """One output of one run, against the same output of the graph.

    Attributes:
        output: the output's name.
        sizes: numbers of the symbolic sizes.
        seed: of the inputs.
        optimization: "off", "extended" or "all", of onnxruntime.
        absolute: the largest difference.
        relative: the same in relation to the largest element of the sample, or of the output.
        tolerance: what `absolute` may be.
        is_wide: whether that is more than the element type's, as the graph magnifies rounding.
    """

    output: str
    sizes: tuple[tuple[str, int], ...]
    seed: int
    optimization: str
    absolute: float
    relative: float
    tolerance: float
    is_wide: bool = False


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
        if wide := [entry.tolerance for entry in self.comparisons if entry.is_wide]:
            tolerances += f", {max(wide):.2g} where rounding is magnified"
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
    judge = _Judge(expectation)
    for level in levels:  # one after the other: each session has the weights once more
        comparisons += _compare_level(judge, expectation, model, level)
    dtypes = expectation.dtypes | {expectation.narrowest}
    return VerificationReport(
        tuple(comparisons),
        f"onnxruntime {onnxruntime.__version__}",
        tuple((dtype.keras_name, limit) for dtype, limit in TOLERANCES.items() if dtype in dtypes),
    )


#: The largest difference, the same relative to the largest element, and the tolerance.
Found = tuple[float, float, float]


class _Judge:
    """Compares what a model computes with what is expected of it.

    Where they differ by more than the type's tolerance the graph is run once more, to see whether
    it magnifies rounding so much.
    """

    def __init__(self, expectation: Expectation) -> None:
        self._expectation = expectation
        self._graph = functools.cache(expectation.again)
        self._carried = functools.cache(self._carries)
        self._alone = functools.cache(self._run_alone)

    def compare(
        self, index: int, actual: Mapping[str, Array], level: Optimization, place: str
    ) -> Iterator[Comparison]:
        """The outputs of the run of that index."""
        run = self._expectation.runs[index]
        sizes = tuple(sorted(run.sizes.items()))
        for name, array in actual.items():
            where = f"output '{name}' ({place}, seed {run.seed})"
            wide = False
            try:
                found = self._hold(name, array, run.outputs, where)
            except VerifyError:
                found = self._look_closely(index, name, array, where)
                wide = True
            yield Comparison(name, sizes, run.seed, level, *found, is_wide=wide)

    def _look_closely(self, index: int, name: str, actual: Array, where: str) -> Found:
        """Holds an output with what rounding carries; twice, as each look is one at random."""
        run = self._expectation.runs[index]
        whole = index + run.is_part  # a part stands before the batch that it is from
        first, second = _LOOKS
        try:
            return self._hold(name, actual, run.outputs, where, self._carried(whole, first))
        except VerifyError:
            outputs = self._alone(index) if run.is_part else run.outputs
            return self._hold(name, actual, outputs, where, self._carried(whole, second))

    def _hold(
        self,
        name: str,
        actual: Array,
        outputs: Mapping[str, Array],
        where: str,
        carried: Mapping[str, Array] | None = None,
    ) -> Found:
        narrowest, batched = self._expectation.narrowest, name in self._expectation.batched
        rounded = None if carried is None else carried.get(name)
        if rounded is not None and batched:
            rounded = rounded[: len(outputs[name])]
        return compare(actual, outputs[name], where, narrowest, batched=batched, carried=rounded)

    def _carries(self, index: int, look: int) -> dict[str, Array]:
        """How far rounding carries in each output of a run, in so many looks."""
        carried = rounding(self._graph(), self._expectation.runs[index], seed=look)
        if look == _LOOKS[0]:
            return carried
        before = self._carried(index, look - 1)
        return {name: np.maximum(array, before[name]) for name, array in carried.items()}

    def _run_alone(self, index: int) -> dict[str, Array]:
        """What the first sample of a batch gives when it is computed alone."""
        return reference.run(self._graph(), self._expectation.runs[index].inputs)[0]


def _compare_level(
    judge: _Judge, expectation: Expectation, model: bytes | Path, level: Optimization
) -> Iterator[Comparison]:
    session = _session(model, level, expectation)
    for index, run in enumerate(expectation.runs):
        place = f"onnxruntime, optimizations {level}, {_format_sizes(tuple(run.sizes.items()))}"
        actual = _run(session, run.inputs, f"{place}, seed {run.seed}")
        yield from judge.compare(index, actual, level, place)


def _session(
    model: bytes | Path, level: Optimization, expectation: Expectation
) -> OnnxRuntimeExecutable:
    # One thread: with more, the order of sums, and with it the differences, is up to chance.
    session = OnnxRuntimeExecutable(model, optimization=level, threads=1, arena=False)
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
    actual: Array,
    expected: Array,
    where: str,
    narrowest: DType = DType.FLOAT64,
    *,
    batched: bool = False,
    carried: Array | None = None,
) -> tuple[float, float, float]:
    """The largest difference, the same relative to the largest element, and the tolerance.

    The tolerance is that of the element type, or of the narrowest type that it was computed from.

    Args:
        actual, expected: to be compared.
        where: for errors.
        narrowest: the type that it was computed from.
        batched: whether each sample, along the first axis, is held against its own elements.
        carried: how far rounding carries in each element, if that is known.

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
    rows = len(expected) if batched else 1
    largest = _largest(wanted, finite, rows)
    scale = np.maximum(SMALLEST_SCALE, largest)
    tolerance = max(TOLERANCES[dtype], TOLERANCES[narrowest]) * scale
    if carried is not None:
        carries = ROUNDING_MARGIN * _largest(carried, finite, rows)
        tolerance = np.maximum(tolerance, np.minimum(carries, LARGEST_TOLERANCE * scale))
    with np.errstate(invalid="ignore"):
        absolute = _largest(wide - wanted, finite, rows)
    worst = int(np.argmax(absolute / tolerance))
    return _within(float(absolute[worst]), float(largest[worst]), float(tolerance[worst]), where)


def _largest(numbers: Array, finite: Array, rows: int) -> Array:
    """The greatest magnitude in each row, among what is finite."""
    magnitudes = np.where(finite, np.abs(numbers), 0.0)
    return np.max(magnitudes.reshape(rows, -1), axis=1, initial=0.0)


def _within(
    absolute: float, largest: float, tolerance: float, where: str
) -> tuple[float, float, float]:
    if not absolute <= tolerance:
        raise VerifyError(
            f"it differs by {absolute:.3g}, and may by {tolerance:.3g}"
            f" (largest element {largest:.3g})",
            where=where,
        )
    return absolute, absolute / largest if largest else absolute, tolerance


def _format_sizes(sizes: tuple[tuple[str, int], ...]) -> str:
    return ", ".join(f"{name} = {number}" for name, number in sizes) or "fixed sizes"
