"""Layers-models of TF.js: `model.json`, and the shards of weights beside it.

The form is that of tfjs-layers 4: https://js.tensorflow.org/api/latest/#LayersModel.save, and of
tensorflowjs_converter. Weights go by their names, as they do there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kcompile.formats.json_text import MAX_CHARACTERS, parse_json
from kcompile.formats.legacy.era import Era, parse_era
from kcompile.formats.legacy.upgrade import upgrade
from kcompile.formats.place import Place, require_dict, require_keys, require_known_keys, shorten
from kcompile.formats.spec import Spec
from kcompile.formats.tfjs_weights import Manifest, fill_model, read_manifest
from kcompile.models import Model

#: Of `model.json`. The last ones tell nothing about what is computed.
_KEYS = ("format", "modelTopology", "weightsManifest") + (
    *("generatedBy", "convertedBy", "trainingConfig", "userDefinedMetadata", "signature"),
)
_TOPOLOGY = ("model_config", "class_name", "config", "keras_version", "backend", "training_config")
#: What tfjs-layers says that it is of, whose layers are those of this version of Keras.
_TFJS = "tfjs-layers"
_TFJS_ERA = Era(2, 2, 4)


def read(path: str | Path, activations: Mapping[str, str] | None = None) -> Spec:
    """What the `model.json` of a layers-model says of it.

    Args:
        path: of the file. The shards are read when the model is filled.
        activations: what names stand for that no activation has, such as `<lambda>`.

    Raises:
        FormatError: the file is malformed, names a shard elsewhere, is of a graph-model, or holds
            what is not understood.
    """
    path = Path(path)
    place = Place(path.name)
    entry = require_dict(parse_json(_read_text(path, place), place), place)
    topology = _read_topology(entry, place)
    at = place / "modelTopology"
    era = _read_era(topology, at)
    if "model_config" in topology:
        config, at = topology["model_config"], at / "model_config"
    else:
        config = {key: topology[key] for key in ("class_name", "config") if key in topology}
    upgraded = upgrade(config, era, at, activations)
    fill = None
    if "weightsManifest" in entry:
        manifest = read_manifest(entry["weightsManifest"], path.parent, place / "weightsManifest")
        fill = _filler(manifest, era, upgraded.origins, upgraded.renamed)
    return Spec(upgraded.config, at, f"TF.js ({era})", fill)


def _read_text(path: Path, place: Place) -> str:
    try:
        if path.stat().st_size > 4 * MAX_CHARACTERS:
            raise place.error(f"it has {path.stat().st_size} bytes")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise place.error(f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise place.error("it is not text in UTF-8") from error


def _read_topology(entry: dict[str, Any], place: Place) -> dict[str, Any]:
    kind = entry.get("format", "layers-model")
    topology = entry.get("modelTopology")
    if kind == "graph-model" or (isinstance(topology, dict) and "node" in topology):
        raise (place / "format").error(
            "a graph-model of TF.js holds ops of TensorFlow and no layers",
            hint="Convert the Keras model with --output_format=tfjs_layers_model",
        )
    if kind not in ("layers-model", None):
        raise (place / "format").error(f"needs 'layers-model', got {shorten(kind)}")
    require_known_keys(entry, _KEYS, place)
    require_keys(entry, ("modelTopology",), place)
    topology = require_dict(topology, place / "modelTopology")
    require_known_keys(topology, _TOPOLOGY, place / "modelTopology")
    return topology


def _read_era(topology: dict[str, Any], place: Place) -> Era:
    version, backend = topology.get("keras_version"), topology.get("backend")
    for key, value in (("keras_version", version), ("backend", backend)):
        if value is not None and not isinstance(value, str):
            raise (place / key).error(f"needs a string, got {shorten(value)}")
    if version is None or version.startswith(_TFJS):
        return _TFJS_ERA
    return parse_era(version, backend, place)


def _filler(
    manifest: Manifest,
    era: Era,
    origins: Mapping[tuple[str, ...], str],
    renamed: Mapping[tuple[str, ...], str],
) -> Callable[[Model], None]:
    def fill(model: Model) -> None:
        fill_model(model, manifest, era, origins, renamed)

    return fill
