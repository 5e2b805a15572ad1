"""A model to a file, in the format that the file's name tells."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kcompile.formats import keras_file
from kcompile.ir.errors import FormatError, SpecError

if TYPE_CHECKING:
    from kcompile.models import Model


def save_model(
    model: Model,
    filepath: Any,
    overwrite: bool = True,
    zipped: bool | None = None,
    *,
    include_optimizer: bool = True,
) -> None:
    """Write a model with its weights to a file, which appears whole or not at all.

    Args:
        filepath: ends in `.keras`, or in `.h5` or `.hdf5` for the old format.
        overwrite: whether to replace a file that is there.
        zipped: only True, or None for the same: no folder is written.
        include_optimizer: whether to write how the model is trained, and the optimizer's state.

    Raises:
        SpecError: the name tells no format, the model has no weights yet, or a part of it has no
            form in a file.
        FormatError: the file is there, and is not to be overwritten.
        NotImplementedError: `zipped` is False.
    """
    path = Path(filepath)
    if zipped is False:
        raise NotImplementedError("zipped=False: no folder is written, a .keras file is one file")
    if path.name.endswith(".weights.h5"):
        raise SpecError(
            f"'{path.name}' is the name of a file of weights alone",
            where="save",
            hint="Call save_weights, or name it .keras",
        )
    if path.suffix not in (".keras", ".h5", ".hdf5"):
        raise SpecError(
            f"'{path.name}' ends in none of .keras, .h5 and .hdf5",
            where="save",
            hint="The ending tells the format",
        )
    if path.exists() and not overwrite:
        raise FormatError("the file is there already", where=str(path), hint="Pass overwrite=True")
    if path.suffix == ".keras":
        keras_file.write(model, path, include_optimizer)
        return
    from kcompile.formats.legacy import h5_writer

    h5_writer.write(model, path, include_optimizer)
