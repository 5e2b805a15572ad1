"""Which passes run for a target, in which order, and why; decided here and nowhere else."""

from __future__ import annotations

import functools
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kcompile.ir.errors import PassError, SpecError
from kcompile.ir.graph import Graph, Role
from kcompile.passes.bind_weights import bind_weights
from kcompile.passes.decompose_batch_norm import decompose_batch_norm
from kcompile.passes.eliminate_common_subexpressions import eliminate_common_subexpressions
from kcompile.passes.eliminate_identities import eliminate_identities
from kcompile.passes.fold_batch_norm import fold_batch_norm
from kcompile.passes.fold_constants import fold_constants
from kcompile.passes.fold_pad import fold_pad
from kcompile.passes.fuse_activations import fuse_activations
from kcompile.passes.fuse_bias import fuse_bias
from kcompile.passes.fuse_softmax_crossentropy import fuse_softmax_crossentropy
from kcompile.passes.journal import Refusal, recording
from kcompile.passes.lay_out_channels_first import lay_out_channels_first
from kcompile.passes.lay_out_time_first import lay_out_time_first
from kcompile.passes.merge_heads import merge_heads
from kcompile.passes.merge_reshapes import merge_reshapes
from kcompile.passes.merge_scales import merge_scales
from kcompile.passes.merge_transposes import merge_transposes
from kcompile.passes.pack_directions import pack_directions
from kcompile.passes.permute_products import permute_products
from kcompile.passes.push_transposes import push_transposes
from kcompile.passes.specialize import specialize
from kcompile.passes.to_inference import is_for_inference, to_inference


@dataclass(frozen=True)
class Step:
    """A pass at its place in a pipeline.

    Attributes:
        run: the pass.
        reason: why it is there.
        argument: name of the second argument of the pass, to be found among the `arguments` of
            `run_pipeline`; the step is left out where they do not have it.
        keeps_numbers: whether the graph that is given to the pass computes the same after it.
    """

    run: Callable[..., Graph]
    reason: str
    argument: str | None = None
    keeps_numbers: Callable[[Graph], bool] = lambda graph: True

    @property
    def name(self) -> str:
        """The pass's name."""
        function = self.run.func if isinstance(self.run, functools.partial) else self.run
        return getattr(function, "__name__", type(function).__name__)


Pipeline = tuple[Step, ...]
#: Raises where the graph after a pass does not compute what the graph before it does.
Check = Callable[[Graph, Graph], None]

TO_INFERENCE = Step(
    to_inference, "frozen statistics, no dropout, no updates", keeps_numbers=is_for_inference
)

#: The training step: XLA simplifies by itself, except where gradients and overflow are concerned.
TRAINING: Pipeline = (Step(fuse_softmax_crossentropy, "the loss of logits does not overflow"),)

#: `predict` by XLA, which folds and fuses by itself. Weights stay arguments: they change.
INFERENCE: Pipeline = (
    TO_INFERENCE,
    Step(eliminate_common_subexpressions, "a shared layer on one input is computed once"),
)

#: A file for onnxruntime.
ONNX: Pipeline = (
    TO_INFERENCE,
    Step(specialize, "before anything that looks at sizes", argument="sizes"),
    Step(bind_weights, "after to_inference, which finds statistics by their updates", "weights"),
    Step(fold_constants, "so that the rules below see numbers"),
    Step(eliminate_identities, "so that nothing stands between the neighbours that fuse"),
    Step(merge_scales, "onnxruntime breaks some chains of them; one is less to do"),
    Step(merge_reshapes, "as above"),
    Step(merge_transposes, "as above"),
    Step(fuse_activations, "max(x, 0) is one op, and layout needs to look at fewer"),
    Step(fuse_bias, "before batch normalization, which folds into the bias as well"),
    Step(fold_batch_norm, "before layout: what is folded needs no layout"),
    Step(fold_pad, "zeros around are padding of what follows, and need no layout"),
    Step(merge_heads, "after fuse_bias, which leaves the split of heads last"),
    Step(fold_constants, "the arithmetic on weights that folding made: layout has less to look at"),
    Step(pack_directions, "before layout: onnx runs both directions as one node"),
    Step(lay_out_time_first, "onnxruntime has recurrent layers of sequences [T, N, C] alone"),
    Step(lay_out_channels_first, "onnx has no channels_last convolutions"),
    Step(push_transposes, "leaves one transpose at each edge"),
    Step(decompose_batch_norm, "onnx normalizes axis 1; where that would cost a transpose"),
    Step(permute_products, "the transpose before a flatten goes into the weights behind it"),
    Step(fold_constants, "the weights that layout transposed"),
    Step(merge_transposes, "transposes of single elements become reshapes"),
    Step(merge_reshapes, "which merge with the ones beside them"),
    Step(eliminate_identities, "what became trivial on the way"),
    Step(eliminate_common_subexpressions, "equal constants are stored once"),
)


@dataclass(frozen=True)
class Insertion:
    """A pass of the user's and its place.

    Attributes:
        run: the pass, a function from graph to graph.
        before, after: name of the step beside which it runs; one of the two.
    """

    run: Callable[[Graph], Graph]
    before: str | None = None
    after: str | None = None


@dataclass(frozen=True)
class LogEntry:
    """What one pass did.

    Attributes:
        name: the step's name, with `:2` if it is the second of that name.
        reason: why it is there.
        num_nodes_before, num_nodes_after: the graph's sizes.
        changes: rewrites by rule, sorted.
        refusals: rewrites that were not allowed.
        seconds: how long it took; not part of equality.
    """

    name: str
    reason: str
    num_nodes_before: int
    num_nodes_after: int
    changes: tuple[tuple[str, int], ...]
    refusals: tuple[Refusal, ...]
    seconds: float = field(compare=False)


@dataclass(frozen=True)
class PipelineResult:
    """The graph after the last pass, and what each pass did."""

    graph: Graph
    log: tuple[LogEntry, ...]


def run_pipeline(
    graph: Graph,
    pipeline: Pipeline,
    *,
    arguments: Mapping[str, Any] | None = None,
    extra: Sequence[Insertion] = (),
    stop_after: str | None = None,
    check: Check | None = None,
) -> PipelineResult:
    """`graph` after the passes of `pipeline`.

    Args:
        graph: what to start from.
        pipeline: the steps.
        arguments: what the steps with an `argument` get (`weights`, `sizes`); each is let go when
            the last of them has run.
        extra: passes of the user's.
        stop_after: name of the last step to run.
        check: is given the graph before and after each pass, the user's included.

    Raises:
        PassError: a pass failed, or the check of what it did.
        SpecError: there is no step of a name that was given.
    """
    arguments = dict(arguments or {})
    steps = [s for s in pipeline if s.argument is None or arguments.get(s.argument) is not None]
    named = _insert(list(zip(step_names(steps), steps, strict=True)), extra)
    if stop_after is not None:
        named = named[: _position(stop_after, named) + 1]
    log: list[LogEntry] = []
    for index, (name, step) in enumerate(named):
        given: tuple[Any, ...] = ()
        if step.argument is not None:
            is_last = step.argument not in {later.argument for _, later in named[index + 1 :]}
            given = (arguments.pop(step.argument) if is_last else arguments[step.argument],)
        before, start = graph, time.perf_counter()
        with recording() as journal:
            graph = _run(name, step, graph, given, tuple(entry.name for entry in log), check)
        log.append(
            LogEntry(
                name,
                step.reason,
                len(before.nodes),
                len(graph.nodes),
                tuple(sorted(journal.changes.items())),
                tuple(journal.refusals),
                time.perf_counter() - start,
            )
        )
    return PipelineResult(graph, tuple(log))


def step_names(steps: Sequence[Step]) -> list[str]:
    """A name for each step: its pass's, with `:2` for the second of that name, and so on."""
    seen: Counter[str] = Counter()
    names = []
    for step in steps:
        seen[step.name] += 1
        count = seen[step.name]
        names.append(step.name if count == 1 else f"{step.name}:{count}")
    return names


_Named = list[tuple[str, Step]]


def _position(name: str, named: _Named) -> int:
    names = [entry for entry, _ in named]
    if name not in names:
        raise SpecError(f"no pass is named '{name}'", hint=f"The passes are: {', '.join(names)}")
    return names.index(name)


def _insert(named: _Named, extra: Sequence[Insertion]) -> _Named:
    result = list(named)
    for insertion in extra:
        if (insertion.before is None) == (insertion.after is None):
            raise SpecError("an inserted pass needs either 'before' or 'after'")
        step = Step(insertion.run, "inserted")
        offset = 0 if insertion.before is not None else 1
        beside = insertion.before or insertion.after or ""
        result.insert(_position(beside, result) + offset, (step.name, step))
    return result


def _run(
    name: str,
    step: Step,
    graph: Graph,
    given: tuple[Any, ...],
    passes_before: tuple[str, ...],
    check: Check | None,
) -> Graph:
    try:
        result = step.run(graph, *given)
        _check_interface(graph, result)
        if check is not None and step.keeps_numbers(graph):
            check(graph, result)
    except Exception as error:  # whatever a pass raises, it is told with its name and its graph
        raise PassError(
            str(error) or type(error).__name__,
            pass_name=name,
            passes_before=passes_before,
            graph=graph,
        ) from error
    return result


def _check_interface(before: Graph, after: object) -> None:
    """A pass keeps the names of DATA inputs and of outputs: they are the calling convention."""
    if not isinstance(after, Graph):
        raise SpecError(f"it returned {type(after).__name__}", hint="A pass returns a Graph")
    for what, old, new in (
        ("data inputs", _data_names(before), _data_names(after)),
        ("outputs", [o.name for o in before.outputs], [o.name for o in after.outputs]),
    ):
        if old != new:
            raise SpecError(f"it changed the {what} from {old} to {new}")


def _data_names(graph: Graph) -> list[str]:
    return [entry.name for entry in graph.inputs_with(Role.DATA)]
