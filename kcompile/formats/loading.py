"""The front door: a model from a file, whatever its format, which the content tells."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kcompile.formats import archive, training_config
from kcompile.formats.json_text import MAX_CHARACTERS, parse_json
from kcompile.formats.legacy.era import parse_era
from kcompile.formats.legacy.upgrade import upgrade
from kcompile.formats.place import Place, require_dict
from kcompile.formats.reading import read_model, require_modules
from kcompile.formats.spec import Spec
from kcompile.ir.errors import FormatError

if TYPE_CHECKING:
    from kcompile.models import Model

_HDF5 = b"\x89HDF\r\n\x1a\n"
#: Where an HDF5 file may begin: HDF5 File Format Specification 3.0, section II.A.
_HDF5_OFFSETS = (0, *(512 << doubling for doubling in range(8)))
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_FORMATS = "It may be a .keras, .h5 or .hdf5 file of a whole model, or its architecture as JSON"


def load_model(
    filepath: Any,
    custom_objects: Mapping[str, Any] | None = None,
    compile: bool = True,
    safe_mode: bool = True,
    *,
    activations: Mapping[str, str] | None = None,
    isolate: bool = False,
) -> Model:
    """The model in a file of any version of Keras, with its weights.

    Nothing that the file names is imported, called or opened.

    Args:
        filepath: a `.keras` file, a `.h5` or `.hdf5` file of a whole model, an architecture as
            JSON, or the `model.json` of TF.js.
        custom_objects: the user's classes and functions, by the names that the file has for them.
        compile: whether to compile the model as the file says, and to let training go on where it
            stopped.
        safe_mode: without effect: code in a file is never run.
        activations: what names in the file stand for that no activation has:
            `{"<lambda>": "relu"}`.
        isolate: whether a process of its own takes a `.keras` or HDF5 file apart, with limits of
            time and memory, so that not even a crash of the HDF5 library reaches the caller.

    Raises:
        FormatError: the file cannot be read, is damaged, names unknown classes, or holds what a
            file may not hold.
        SpecError: a layer does not take its arguments or inputs.
    """
    path = Path(filepath)
    with contextlib.ExitStack() as stack:
        if isolate and (archive.is_archive(path) or _is_hdf5(path)):
            from kcompile.formats.isolation import isolated_copy

            path = stack.enter_context(isolated_copy(path))
        return make_model(read_spec(path, activations), custom_objects, compile)


def make_model(
    spec: Spec, custom_objects: Mapping[str, Any] | None = None, compile: bool = False
) -> Model:
    """The model that a spec describes, with the weights of its file if this has any.

    Raises:
        FormatError, SpecError: as from `load_model`.
    """
    model = read_model(spec.config, spec.place, custom_objects)
    if spec.fill is not None:
        spec.fill(model)
    if compile and spec.training is not None:
        place = spec.place / "compile_config"
        training_config.compile_model(model, spec.training, place, custom_objects)
        if spec.fill_optimizer is not None:
            spec.fill_optimizer(model)
    return model


def read_spec(path: str | Path, activations: Mapping[str, str] | None = None) -> Spec:
    """What a file says of a model.

    Args:
        path: of the file.
        activations: what names stand for that no activation has.

    Raises:
        FormatError: the file is of no known format, or malformed.
    """
    path = Path(path)
    start = _start_of(path)
    is_zip = start.startswith(b"PK")
    if _is_hdf5(path) and (is_zip or zipfile.is_zipfile(path)):
        raise FormatError("it is a zip archive and an HDF5 file in one", where=path.name)
    if is_zip:
        from kcompile.formats import keras_file

        return keras_file.read(path, activations)
    if _is_hdf5(path):
        from kcompile.formats.legacy import h5_file

        return h5_file.read(path, activations)
    if start.removeprefix(_BYTE_ORDER_MARK).lstrip()[:1] == b"{":
        return _read_json(path, activations)
    raise FormatError("it is not a file of a model", where=path.name, hint=_FORMATS)


def _start_of(path: Path) -> bytes:
    """The first bytes of a file.

    Raises:
        FormatError: it cannot be read, or is a folder.
    """
    try:
        with path.open("rb") as file:
            return file.read(64)
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror}", where=str(path)) from error


def _is_hdf5(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        for offset in _HDF5_OFFSETS:
            file.seek(offset)
            if file.read(len(_HDF5)) == _HDF5:
                return True
    return False


def _read_json(path: Path, activations: Mapping[str, str] | None) -> Spec:
    place = Place(path.name)
    if path.stat().st_size > 4 * MAX_CHARACTERS:
        raise place.error(f"it has {path.stat().st_size} bytes")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise place.error("it is not text in UTF-8") from error
    entry = require_dict(parse_json(text, place), place)
    if "modelTopology" in entry or "weightsManifest" in entry:
        from kcompile.formats import tfjs

        return tfjs.read(path, activations)
    return read_architecture(entry, place, activations)


def read_architecture(
    entry: dict[str, Any], place: Place, activations: Mapping[str, str] | None = None
) -> Spec:
    """The spec of an architecture without weights, of any era.

    Raises:
        FormatError: it is malformed, or holds what a file may not hold.
    """
    entry = dict(entry)
    version, backend = entry.pop("keras_version", None), entry.pop("backend", None)
    for key, value in (("keras_version", version), ("backend", backend)):
        if value is not None and not isinstance(value, str):
            raise (place / key).error("needs a string")
    if version is None and "module" in entry:
        version = "3.0.0"  # Keras 3 writes modules, and no version
        require_modules(entry, place)
    era = parse_era(version, backend, place)
    training = entry.pop("compile_config", None) or None
    upgraded = upgrade(entry, era, place, activations)
    return Spec(
        config=upgraded.config,
        place=place,
        made_by=str(era),
        training=training,
        origins=upgraded.origins,
        renamed=upgraded.renamed,
    )
