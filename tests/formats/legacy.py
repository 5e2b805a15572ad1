"""What tests of legacy HDF5 files share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras

from kcompile.formats.legacy import h5_file
from kcompile.formats.reading import read_model


def loaded(path: Path) -> Any:
    """The model in a legacy file, not compiled."""
    spec = h5_file.read(path)
    model = read_model(spec.config, spec.place)
    assert spec.fill is not None
    spec.fill(model)
    return model


def saved_by_keras(model: Any, path: Path) -> Path:
    keras.src.legacy.saving.legacy_h5_format.save_model_to_hdf5(model, str(path))
    return path
