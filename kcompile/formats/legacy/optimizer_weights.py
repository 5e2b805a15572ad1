"""The optimizer's state in legacy HDF5 files: the arrays that its own Keras listed."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from kcompile.formats import training_config
from kcompile.formats.hdf5 import Contents, read_checked
from kcompile.formats.hdf5_attributes import read_names
from kcompile.formats.legacy.era import Era
from kcompile.ir.errors import FormatError
from kcompile.ir.types import format_shape

if TYPE_CHECKING:
    import h5py

    from kcompile.models import Model

GROUP = "optimizer_weights"
#: Number of updates and learning rate: all that Keras 3 has for an optimizer not used yet.
_NUM_UNUSED = 2
_HINT = "Pass compile=False to read the model alone"


def fill_optimizer(model: Model, contents: Contents, era: Era) -> None:
    """Give the optimizer of a compiled model its state, if the file has one for it.

    Keras 2 listed the arrays of most optimizers otherwise than Keras 3, which then starts anew,
    as this does.

    Raises:
        FormatError: the file is malformed; or it is of Keras 3, and its arrays are others than
            those of the optimizer.
    """
    if GROUP not in contents.groups:
        return
    layout = training_config.optimizer_layout(model)
    names = read_names(contents, GROUP, "weight_names") or []
    if layout is None or (era.major >= 3 and len(names) <= _NUM_UNUSED < len(layout)):
        return
    place = f"{contents.where}: {GROUP}"
    datasets = [_dataset(contents, name) for name in names]
    wanted = [slot.type.static_shape for slot in layout]
    if [dataset.shape for dataset in datasets] != wanted:
        message = f"the file has {len(names)} arrays for the optimizer, which are not those of ours"
        if era.major >= 3:
            raise FormatError(message, where=place, hint=_HINT)
        warnings.warn(f"{place}: {message}; its state is that of a new one", stacklevel=2)
        return
    arrays = []
    for name, dataset, slot in zip(names, datasets, layout, strict=True):
        array = read_checked(dataset, f"{place}/{name}")
        arrays.append(_cast(array, slot.type.dtype.numpy, f"{place}/{name}"))
    training_config.restore_optimizer(model, arrays)


def _dataset(contents: Contents, name: str) -> h5py.Dataset:
    path = f"{GROUP}/{name}"
    if path not in contents.datasets:
        raise FormatError("there is no such array, which 'weight_names' names", where=path)
    return contents.datasets[path]


def _cast(array: np.ndarray[Any, Any], dtype: Any, where: str) -> np.ndarray[Any, Any]:
    cast = array.astype(dtype)
    if not np.array_equal(cast, array):
        raise FormatError(
            f"needs {np.dtype(dtype)}, got {array.dtype} of {format_shape(array.shape)}",
            where=where,
            hint=_HINT,
        )
    return cast


def named_arrays(model: Model) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays of a compiled model's optimizer by the names that Keras 3 gives them."""
    layout = training_config.optimizer_layout(model) or []
    arrays = training_config.optimizer_arrays(model)
    prefix = model.optimizer.name
    return {
        f"{prefix}/{slot.name.replace('/', '_')}": array
        for slot, array in zip(layout, arrays, strict=True)
    }
