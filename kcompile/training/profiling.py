"""`model.profile()`: the time of a step by layer, and a trace."""

from __future__ import annotations

import io
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kcompile.ir.errors import DataError
from kcompile.training import arguments, programs, streams
from kcompile.training.engine import Engine
from kcompile.training.given import Given
from kcompile.training.preparation import prepare_inputs

#: The most layers that the text lists.
MAX_ROWS = 40


@dataclass(frozen=True)
class LayerTime:
    """Seconds of a step in one layer: the program that was compiled, fused as it is.

    Attributes:
        layer: its path; `optimizer` is the update, `(no layer)` loss, metrics and loops.
        forward, backward: seconds of one step.
    """

    layer: str
    forward: float
    backward: float

    @property
    def total(self) -> float:
        return self.forward + self.backward


@dataclass(frozen=True)
class Profile:
    """Where the time of a step goes.

    Attributes:
        rows: by layer, the longest first. On the CPU, where libraries go on after their event, time
            in which nothing else does is that of the library call started last.
        step: seconds of a step from end to end.
        trace: a file that https://ui.perfetto.dev opens.
    """

    rows: tuple[LayerTime, ...]
    step: float
    trace: Path

    def __str__(self) -> str:
        from rich.console import Console
        from rich.table import Table

        table = Table("layer", "forward ms", "backward ms", "share", box=None, pad_edge=False)
        for column in table.columns[1:]:
            column.justify = "right"
        whole = sum(row.total for row in self.rows) or 1.0
        for row in self.rows[:MAX_ROWS]:
            times = (f"{1e3 * seconds:.3f}" for seconds in (row.forward, row.backward))
            table.add_row(row.layer, *times, f"{row.total / whole:.1%}")
        text = io.StringIO()
        console = Console(file=text, width=100, color_system=None)
        console.print(table, highlight=False)
        if len(self.rows) > MAX_ROWS:
            console.print(f"and {len(self.rows) - MAX_ROWS} layers more", highlight=False)
        text.write(f"{1e3 * self.step:.3f} ms a step; trace: {self.trace}\n")
        return text.getvalue().rstrip()


def profile(
    engine: Engine,
    x: Any,
    y: Any = None,
    batch_size: int | None = None,
    *,
    sample_weight: Any = None,
    steps: int = 5,
    folder: Any = None,
    verbose: bool = True,
) -> Profile:
    """Run some steps and say where their time went. Weights and all else stay as they are.

    Args:
        x, y, sample_weight: arrays; without y the forward pass of `predict` is looked at.
        batch_size: rows of a step; all rows by default.
        steps: how many are averaged, besides one run before that counts for nothing.
        folder: where the trace goes; a new temporary folder by default.
        verbose: whether the table is printed.

    Raises:
        DataError: the data do not fit, or are no arrays.
        TrainingError: the model has not been compiled, with y; or JAX wrote no usable trace.
        NotImplementedError: the model has its own `train_step` or `predict_step`.
    """
    arguments.require_counts("profile", batch_size=batch_size, steps=steps)
    given = Given("profile", x, y, sample_weight, None, batch_size)
    if streams.is_stream(x) or streams.has_file_rows(*given.parts):
        raise DataError("needs arrays in memory", where="profile", hint="Give one batch of them")
    method = "predict_step" if y is None else "train_step"
    if programs.overrides(engine.model, method):
        raise NotImplementedError(f"profile of a model with its own {method} is not there")
    place = Path(tempfile.mkdtemp(prefix="kcompile-profile-") if folder is None else folder)
    run = _trace_prediction if y is None else _trace_training
    found = run(engine, given, steps, place)
    rows = tuple(LayerTime(layer or "(no layer)", *times) for layer, *times in found.shares)
    result = Profile(rows, found.step, found.path)
    if verbose:
        print(result)
    return result


def _trace_training(engine: Engine, given: Given, steps: int, folder: Path) -> Any:
    from kcompile.runtimes.jax import training as xla
    from kcompile.runtimes.jax.profiling import trace_steps

    engine.require_compiled("profile")
    data, sizes = engine.prepare(given)
    data.require_rows("profile")
    program = engine.program(programs.signature(data, sizes, training=True))
    weights = {name: v.array for name, v in engine.model.named_weights().items()}
    params = xla.copied({name: weights[name] for name in program.param_names})
    values = {**weights, **program.initial}
    state = xla.State(
        params,
        xla.copied({name: values[name] for name in program.state_names}),
        xla.initialize(program.transformation, params),
    )
    size = min(given.batch_size or data.num_rows, data.num_rows)
    rows = np.arange(steps * size, dtype=np.int32) % data.num_rows
    rate = engine.optimizer.learning_rate_at(0)
    batches = xla.Batches(rows.reshape(steps, size), np.full(steps, rate, np.float32))
    frozen = xla.to_device({name: weights[name] for name in program.frozen_names})
    arrays = xla.to_device(programs.graph_arrays(data))
    return trace_steps(program, state, frozen, arrays, batches, folder)


def _trace_prediction(engine: Engine, given: Given, steps: int, folder: Path) -> Any:
    from kcompile.runtimes.jax import training as xla
    from kcompile.runtimes.jax.profiling import trace_prediction

    inputs, sizes = prepare_inputs(engine.model, given.x, "profile")
    inputs.require_rows("profile")
    engine.cache.follow_model()
    predictor = engine.cache.predictor(sizes)
    weights = {name: v.array for name, v in engine.model.named_weights().items()}
    used = xla.to_device({name: weights[name] for name in predictor.weight_names})
    rows = {name: array[: given.batch_size] for name, array in inputs.x.items()}
    args = (used, xla.to_device(rows), xla.words(0, 0))
    return trace_prediction(predictor.function, args, predictor.graph, steps, folder)
