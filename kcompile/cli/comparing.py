"""`kcompile diff`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from kcompile.cli.loading import Source, load
from kcompile.cli.running import EXIT_DIFFERENT, print_json, progress, say, show
from kcompile.formats.comparing import compare_models
from kcompile.models import Model


def diff_files(
    a: Path, b: Path, activations: Mapping[str, str], tolerance: float, as_json: bool
) -> int:
    """Compare the models in two files; the exit code."""

    def read(file: Path) -> tuple[Model, bool]:
        loaded = load(Source(file, activations=activations))
        return loaded.model, loaded.weights is not None

    with progress() as stage:
        stage(f"reading {a.name}")
        left, left_weights = read(a)
        stage(f"reading {b.name}")
        right, right_weights = read(b)
        stage("comparing")
        weights = left_weights and right_weights
        differences = compare_models(left, right, tolerance if weights else None)
    if as_json:
        listed = [dataclasses.asdict(entry) for entry in differences]
        print_json({"equal": not differences, "weights": weights, "differences": listed})
    else:
        for entry in differences:
            show(f"{entry.place}: {entry.what}: {entry.left} | {entry.right}")
        if not weights:
            say("a file has no weights: they are not compared", label="warning:")
    return EXIT_DIFFERENT if differences else 0
