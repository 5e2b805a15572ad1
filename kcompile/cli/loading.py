"""Models from the files that are named on the command line."""

from __future__ import annotations

from pathlib import Path

from kcompile.cli.running import escaped, say
from kcompile.formats.architecture import load_architecture
from kcompile.formats.weights import SUFFIX, load_weights
from kcompile.models import Model
from kcompile.ops.seeds import set_global_seed


def load(spec: Path, weights: Path | None, seed: int) -> tuple[Model, Path | None]:
    """The model of an architecture JSON, and the file that its weights came from.

    Without `weights` and without `NAME.weights.h5` beside `NAME.json` the weights are initial ones
    from the seed, and a warning says so.
    """
    set_global_seed(seed)
    model = load_architecture(spec)
    beside = spec.with_suffix(SUFFIX)
    if weights is None and beside.exists():
        weights = beside
    if weights is None:
        say(
            f"[bold yellow]warning:[/] there is no {escaped(beside.name)} beside the model: its"
            f" weights are random, from seed {seed}"
        )
    else:
        load_weights(model, weights)
    return model, weights
