"""Options that several commands have."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from kcompile.cli.parsing import FILE, InputShape, Pair

if TYPE_CHECKING:
    from kcompile.cli.loading import Source
    from kcompile.models import Model
    from kcompile.passes.interface import Interface

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Reading:
    """How a model is read.

    Attributes:
        weights: the file of its weights, if that is another one.
        seed: of the initial weights of a model that comes without any.
        activations: what names in the file stand for that no activation has.
    """

    weights: Path | None
    seed: int
    activations: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Ends:
    """What the command line says about inputs and outputs.

    Attributes:
        batch: the number of rows, if it is fixed.
        shapes: of inputs; the name is empty for the only one.
        channels_first: inputs that are given channels first.
        names: old and new ones.
    """

    batch: int | None = None
    shapes: tuple[tuple[str, tuple[int | None, ...]], ...] = ()
    channels_first: tuple[str, ...] = ()
    names: tuple[tuple[str, str], ...] = ()

    def interface(self, model: Model) -> Interface:
        """The same for a model.

        Raises:
            click.UsageError: a shape has no name, and the model has several inputs.
        """
        from kcompile.passes.interface import Interface

        shapes = dict(self.shapes)
        if "" in shapes:
            if len(model.input_names) > 1:
                listed = ", ".join(model.input_names)
                raise click.UsageError(f"say which input the shape is of: {listed}")
            shapes[model.input_names[0]] = shapes.pop("")
        sizes = {} if self.batch is None else {"batch": self.batch}
        names = [name for text in self.channels_first for name in text.split(",")]
        return Interface(sizes, shapes, names, dict(self.names))


def source_of(file: Path, reading: Reading, ends: Ends | None = None) -> Source:
    """A file of a model with all that is said about reading it."""
    from kcompile.cli.loading import Source

    shapes = dict(ends.shapes) if ends is not None else None
    return Source(file, reading.weights, reading.seed, dict(reading.activations), shapes)


def reading_options(function: F) -> F:
    """Add `--weights`, `--activation` and `--seed`; the command gets a `reading`."""

    @click.option(
        "--weights",
        type=FILE,
        help="The weights, if FILE has none: .weights.h5 or .h5. By default NAME.weights.h5,"
        " NAME.h5 or NAME.hdf5 beside NAME.json.",
    )
    @click.option(
        "--activation",
        "activations",
        type=Pair(),
        multiple=True,
        help="What a name in the file stands for, such as '<lambda>=relu'.",
    )
    @click.option(
        "--seed",
        type=click.IntRange(min=0),
        default=0,
        show_default=True,
        help="Seed of the initial weights that a model without a weights file gets.",
    )
    @functools.wraps(function)
    def run(
        *, weights: Path | None, activations: tuple[tuple[str, str], ...], seed: int, **options: Any
    ) -> Any:
        return function(reading=Reading(weights, seed, activations), **options)

    return run  # type: ignore[return-value]


def interface_options(function: F) -> F:
    """Add the options about inputs and outputs; the command gets the `ends`."""

    @click.option("--batch", type=click.IntRange(min=1), help="A fixed number of rows.")
    @click.option(
        "--input-shape",
        "shapes",
        type=InputShape(),
        multiple=True,
        help="The shape of an input, batch included, such as x:1,224,224,3; ? leaves a size open."
        " Needed where the file does not tell it.",
    )
    @click.option(
        "--inputs-as-nchw",
        "channels_first",
        multiple=True,
        metavar="NAME[,NAME]",
        help="Inputs that the ONNX file takes channels first, where the model has them last.",
    )
    @click.option(
        "--rename",
        "names",
        type=Pair(),
        multiple=True,
        help="Another name for an input or output.",
    )
    @functools.wraps(function)
    def run(
        *, batch: int | None, shapes: Any, channels_first: Any, names: Any, **options: Any
    ) -> Any:
        for values, what in ((shapes, "--input-shape"), (names, "--rename")):
            keys = [key for key, _ in values]
            if len(set(keys)) < len(keys):
                raise click.UsageError(f"{what} is given twice for one name")
        return function(ends=Ends(batch, shapes, channels_first, names), **options)

    return run  # type: ignore[return-value]


def quantization_options(function: F) -> F:
    """Add what `kcompile.quantize` takes; the command gets it as the dict `quantization`."""
    names = (
        *("mode", "weight_bits", "calibration", "exclude", "max_loss", "evaluation"),
        *("equalize", "reduce_range", "sensitivity", "verify"),
    )

    @click.option(
        "--mode",
        type=click.Choice(["static", "dynamic", "weights", "float16", "bfloat16"]),
        default="static",
        show_default=True,
        help="What is quantized: static (activations and weights; convolutions too), dynamic"
        " (ranges found at run time; transformers), or the weights in the file alone.",
    )
    @click.option(
        "--weight-bits",
        type=click.Choice(["8", "4"]),
        default="8",
        callback=lambda context, parameter, value: int(value),
        help="4 is for matrices, with --mode weights.",
    )
    @click.option(
        "--calibration",
        type=click.Choice(["minmax", "percentile", "entropy", "mse"]),
        default="minmax",
        show_default=True,
        help="How ranges are found from the data.",
    )
    @click.option("--exclude", multiple=True, metavar="LAYER", help="A layer that keeps floats.")
    @click.option(
        "--max-loss",
        type=click.FloatRange(min=0),
        help="Let layers keep floats until no more is lost: of the accuracy with --evaluation,"
        " otherwise as the relative error of the outputs.",
    )
    @click.option(
        "--evaluation",
        type=FILE,
        metavar="FILE.npz",
        help="Inputs by name, and their classes as 'labels', that were not trained on.",
    )
    @click.option("--equalize", is_flag=True, help="Even out the weights of neighbours first.")
    @click.option(
        "--reduce-range/--no-reduce-range",
        default=None,
        help="Weights of 7 bits, for processors without VNNI; by default if this one has none.",
    )
    @click.option("--sensitivity", is_flag=True, help="Quantize each layer alone and measure it.")
    @click.option(
        "--verify/--no-verify",
        default=True,
        help="Whether files are run and held against their graphs before one is kept.",
    )
    @functools.wraps(function)
    def run(**options: Any) -> Any:
        return function(quantization={name: options.pop(name) for name in names}, **options)

    return run  # type: ignore[return-value]
