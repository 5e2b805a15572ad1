"""Models from the files that are named on the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from kcompile.cli.running import say
from kcompile.formats.loading import read_spec
from kcompile.formats.reading import read_model
from kcompile.formats.spec import Spec
from kcompile.formats.training_config import compile_model
from kcompile.formats.weights import load_weights
from kcompile.ir.errors import FormatError
from kcompile.models import Model, Sequential
from kcompile.ops.seeds import set_global_seed

#: What stands beside NAME.json, the first one first.
SUFFIXES = (".weights.h5", ".h5", ".hdf5")


@dataclass(frozen=True)
class Source:
    """A file of a model, and what the command line says about reading it.

    Attributes:
        file: a `.keras`, `.h5`, `.hdf5` or `.json` file.
        weights: the file of its weights, if that is another one.
        seed: of the initial weights of a model that comes without any.
        activations: what names in the file stand for that no activation has.
        shapes: of its inputs, by name; with them a model is built that does not know its inputs.
    """

    file: Path
    weights: Path | None = None
    seed: int = 0
    activations: Mapping[str, str] | None = None
    shapes: Mapping[str, Sequence[int | None]] | None = None

    @property
    def files(self) -> list[Path]:
        """The files that are read."""
        return [self.file, *([] if self.weights is None else [self.weights])]


@dataclass(frozen=True)
class Loaded:
    """A model, and where it comes from.

    Attributes:
        model: with its weights.
        made_by: what wrote the file.
        weights: the file that the weights come from; None if they are random.
    """

    model: Model
    made_by: str
    weights: Path | None


def load(source: Source, with_training: bool = False) -> Loaded:
    """The model in a file, with the weights of that file or of one beside it.

    A model without weights gets initial ones from the seed, and a warning says so. Another one says
    so where how the model is trained is asked for, and not understood: it is left out then.

    Raises:
        FormatError: a file cannot be read, or does not hold what it should.
        SpecError: a layer does not take its arguments or inputs.
    """
    set_global_seed(source.seed)
    spec = read_spec(source.file, source.activations)
    model = read_model(spec.config, spec.place)
    _build(model, source)
    loaded = _filled(model, spec, source)
    if with_training:
        _compile(model, spec)
    return loaded


def _filled(model: Model, spec: Spec, source: Source) -> Loaded:
    weights = source.weights
    if weights is None and spec.fill is not None:
        spec.fill(model)
        return Loaded(model, spec.made_by, source.file)
    weights = weights or _weights_beside(source.file)
    if weights is not None:
        load_weights(model, weights, spec=spec)
        return Loaded(model, spec.made_by, weights)
    beside = source.file.with_suffix(SUFFIXES[0]).name
    say(
        f"there is no {beside} beside the model: its weights are random, from seed {source.seed}",
        label="warning:",
    )
    return Loaded(model, spec.made_by, None)


def _compile(model: Model, spec: Spec) -> None:
    """Give a model how it is trained, and the optimizer's state, if the file tells."""
    if spec.training is None:
        return
    place = spec.place / "compile_config"
    try:
        compile_model(model, spec.training, place)
    except FormatError as error:
        say(f"how the model is trained is left out: {error.message}", label="warning:")
        return
    if spec.fill_optimizer is not None:
        spec.fill_optimizer(model)


def _build(model: Model, source: Source) -> None:
    """Make the weights of a model that does not know its inputs from the shape given."""
    if model.built:
        return
    if not isinstance(model, Sequential) or not source.shapes or len(source.shapes) > 1:
        raise FormatError(
            "the model does not say what shape its input has",
            where=source.file.name,
            hint="Give it, such as --input-shape ?,28,28,1",
        )
    (shape,) = source.shapes.values()
    model.build(tuple(shape))


def _weights_beside(file: Path) -> Path | None:
    for suffix in SUFFIXES:
        path = file.with_suffix(suffix)
        if path != file and path.exists():
            return path
    return None


def require_no_replacement(output: Path, files: Sequence[Path]) -> None:
    """Check that an output is none of the files that are read.

    Raises:
        click.UsageError: it is.
    """
    if output.resolve() in {file.resolve() for file in files}:
        raise click.UsageError(f"the output {output} would replace what is read")
