"""Holds an exported model against the graph that it was made from."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime

from kcompile.ir.errors import DataError, VerifyError
from kcompile.ir.graph import Graph
from kcompile.ir.op import Array
from kcompile.ir.types import DType
from kcompile.runtimes import reference
from kcompile.runtimes.onnx.check import check_model
from kcompile.runtimes.onnxruntime.samples import Sizes, choose_sizes, draw_inputs
from kcompile.runtimes.onnxruntime.session import OnnxRuntimeExecutable

Compute = Callable[[Graph, Mapping[str, Any]], tuple[Mapping[str, Any], Mapping[str, Any]]]
Draw = Callable[[Graph, Sizes, int], Mapping[str, Array]]

#: The difference that an output may have, in relation to `max(SMALLEST_SCALE, largest element)`.
#:
#: Rounding errors of a sum grow with its terms and not with its value, so an element is not held
#: against itself but against the largest one. float32's 1e-5 is about 80 units in the last place:
#: ResNets stay below a tenth of it, while one wrong weight or a forgotten epsilon is far above.
#: Integers and bools are equal or wrong.
TOLERANCES: dict[DType, float] = {
    DType.FLOAT64: 1e-12,
    DType.FLOAT32: 1e-5,
    DType.FLOAT16: 5e-3,
    DType.BFLOAT16: 3e-2,
}
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
        optimization: "off" or "all", of onnxruntime.
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
        seeds = dict.fromkeys(str(entry.seed) for entry in self.comparisons)
        tolerances = ", ".join(f"{dtype} {number:g}" for dtype, number in self.tolerances)
        return {
            "kcompile.verification.max_absolute_difference": f"{self.max_absolute:.3g}",
            "kcompile.verification.max_relative_difference": f"{self.max_relative:.3g}",
            "kcompile.verification.optimization_levels": "off, all",
            "kcompile.verification.runtime": self.runtime,
            "kcompile.verification.seeds": ", ".join(seeds),
            "kcompile.verification.sizes": "; ".join(sizes),
            "kcompile.verification.status": "passed",
            "kcompile.verification.tolerances": tolerances or "exact",
        }


def verify_model(
    graph: Graph,
    model: Any,
    *,
    seeds: Sequence[int] = (0,),
    sizes: Sequence[Mapping[str, int]] | None = None,
    compute: Compute = reference.run,
    draw: Draw = draw_inputs,
) -> VerificationReport:
    """Check `model` by the ONNX checker, and by running it beside `graph`.

    Args:
        graph: what the model was exported from.
        model: the `onnx.ModelProto`.
        seeds: of the inputs.
        sizes: numbers for the symbolic sizes of each run; by default batch 1 and 3, with two
            small numbers for every other size.
        compute: runs the graph: `(outputs, states)` by name.
        draw: makes the inputs of one run from graph, sizes and seed.

    Raises:
        VerifyError: the model is invalid, onnxruntime refuses it, or an output differs in element
            type, shape, in where it is NaN or infinite, or by more than its tolerance.
        DataError: the inputs drawn don't fit the graph; give `sizes` or `draw`.
    """
    check_model(model)
    content = model.SerializeToString(deterministic=True)
    # One thread: with more, the order of sums, and with it the differences, is up to chance.
    sessions = {level: _session(content, level, graph) for level in ("off", "all")}
    grid = choose_sizes(graph) if sizes is None else [dict(entry) for entry in sizes]
    narrowest = _narrowest(graph)
    comparisons = []
    for env, seed in itertools.product(grid, seeds):
        arrays = draw(graph, env, seed)
        expected, _ = compute(graph, arrays)
        for level, session in sessions.items():
            place = f"onnxruntime, optimizations {level}, {_format_sizes(tuple(env.items()))}"
            actual = _run(session, arrays, f"{place}, seed {seed}")
            for name, value in expected.items():
                where = f"output '{name}' ({place}, seed {seed})"
                differences = compare(actual[name], np.asarray(value), where, narrowest)
                comparisons.append(
                    Comparison(name, tuple(sorted(env.items())), seed, level, *differences)
                )
    dtypes = {output.value.type.dtype for output in graph.outputs} | {narrowest}
    return VerificationReport(
        tuple(comparisons),
        f"onnxruntime {onnxruntime.__version__}",
        tuple((dtype.keras_name, limit) for dtype, limit in TOLERANCES.items() if dtype in dtypes),
    )


def _session(content: bytes, level: Any, graph: Graph) -> OnnxRuntimeExecutable:
    session = OnnxRuntimeExecutable(content, optimization=level, threads=1)
    names = [output.name for output in graph.outputs]
    if [info.name for info in session.outputs] != names:
        listed = ", ".join(info.name for info in session.outputs)
        raise VerifyError(
            f"the model returns {listed}, the graph {', '.join(names)}",
            where=f"graph '{graph.name}'",
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


def _narrowest(graph: Graph) -> DType:
    """The floating-point type of the graph's values that rounds most; all outputs may have it."""
    values = [value for node in graph.nodes for value in node.outputs]
    dtypes = {value.type.dtype for value in values} & TOLERANCES.keys()
    return max(dtypes, key=TOLERANCES.__getitem__, default=DType.FLOAT64)


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
