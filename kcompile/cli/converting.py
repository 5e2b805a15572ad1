"""`kcompile convert`."""

from __future__ import annotations

from pathlib import Path

from kcompile.cli.loading import Source, load, require_no_replacement
from kcompile.cli.running import print_json, progress, say
from kcompile.formats.architecture import to_json
from kcompile.formats.saving import save_model
from kcompile.formats.weights import SUFFIX, save_weights
from kcompile.ir.errors import SpecError
from kcompile.models import Model
from kcompile.utils.atomic import require_folder, write_bytes

_ENDINGS = (".keras", ".h5", ".hdf5", ".json")


def convert_file(source: Source, output: Path, as_json: bool) -> None:
    """Write the model in a file in the format that the output's name tells."""
    require_folder(output)
    require_no_replacement(output, source.files)
    if not output.name.endswith(_ENDINGS):
        raise SpecError(
            f"'{output.name}' ends in none of {', '.join((*_ENDINGS, SUFFIX))}",
            where="command line",
            hint="The ending tells the format",
        )
    with progress() as stage:
        stage("reading")
        loaded = load(source, with_training=output.suffix != ".json")
        stage("writing")
        _write(loaded.model, output)
    if as_json:
        weights = None if loaded.weights is None else str(loaded.weights)
        parameters = loaded.model.count_params()
        report = {"made_by": loaded.made_by, "weights": weights, "parameters": parameters}
        print_json({"output": str(output), **report})
        return
    say(f"{output}: {loaded.model.count_params():,} parameters, from a file of {loaded.made_by}")


def _write(model: Model, output: Path) -> None:
    if output.name.endswith(SUFFIX):
        save_weights(model, output)
    elif output.suffix == ".json":
        write_bytes(output, to_json(model).encode())
    else:
        save_model(model, output)
