"""Legacy HDF5 files: whole models, and weights alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kcompile.formats.hdf5 import Contents, open_contents
from kcompile.formats.hdf5_attributes import has_attribute, read_text
from kcompile.formats.json_text import parse_json
from kcompile.formats.legacy.era import Era, parse_era
from kcompile.formats.legacy.layer_weights import (
    WEIGHTS,
    Matching,
    Values,
    match_by_name,
    match_layers,
    read_layers,
    read_weights,
)
from kcompile.formats.legacy.optimizer_weights import GROUP as OPTIMIZER
from kcompile.formats.legacy.optimizer_weights import fill_optimizer
from kcompile.formats.legacy.training import upgrade_training
from kcompile.formats.legacy.upgrade import Upgraded, upgrade
from kcompile.formats.place import Place
from kcompile.formats.spec import Spec
from kcompile.models import Model


def read(path: str | Path, activations: Mapping[str, str] | None = None) -> Spec:
    """What a legacy file says of a model.

    Args:
        path: of the file.
        activations: what names stand for that no activation has, such as `<lambda>`.

    Raises:
        FormatError: the file is malformed, or holds what is not understood.
    """
    path = Path(path)
    place = Place(path.name, "model_config")
    with open_contents(path, within=()) as contents:
        text = read_text(contents, "", "model_config")
        if text is None:
            raise place.error(
                "there is none: the file holds weights alone",
                hint="Make the model in code, or from its JSON, and call load_weights",
            )
        era = _read_era(contents)
        has_weights = WEIGHTS in contents.groups
        training = read_text(contents, "", "training_config")
    upgraded = upgrade(parse_json(text, place), era, place, activations)
    return Spec(
        config=upgraded.config,
        place=place,
        made_by=str(era),
        fill=_filler(path, era, upgraded) if has_weights else None,
        training=None if training is None else _read_training(training, path.name),
        fill_optimizer=_optimizer_filler(path, era),
    )


def _read_training(text: str, file: str) -> dict[str, Any]:
    place = Place(file, "training_config")
    return upgrade_training(parse_json(text, place), place)


def _read_era(contents: Contents) -> Era:
    """What wrote a file: the root tells, or the group of the weights."""
    place = Place(contents.where)
    for group in ("", WEIGHTS):
        if group in contents.groups:
            version = read_text(contents, group, "keras_version")
            if version is not None:
                return parse_era(version, read_text(contents, group, "backend"), place)
    return parse_era(None, None, place)


def _filler(path: Path, era: Era, upgraded: Upgraded) -> Callable[[Model], None]:
    def fill(model: Model) -> None:
        with open_contents(path, within=(WEIGHTS,)) as contents:
            saved = read_layers(contents, WEIGHTS)
            where = f"{contents.where}: {WEIGHTS}"
            matched = match_layers(model, saved, era, where, upgraded.renamed)
            values = _read_all(matched, era, upgraded.origins)
        _assign(values)

    return fill


def _optimizer_filler(path: Path, era: Era) -> Callable[[Model], None]:
    def fill(model: Model) -> None:
        with open_contents(path, within=(OPTIMIZER,)) as contents:
            fill_optimizer(model, contents, era)

    return fill


def _read_all(
    matched: list[Matching], era: Era, origins: Mapping[tuple[str, ...], str], **options: bool
) -> Values:
    values: Values = {}
    for matching in matched:
        values |= read_weights(matching, era, origins, **options)
    return values


def _assign(values: Values) -> None:
    for variable, array in values.items():
        variable.assign(array)


def weights_group(contents: Contents) -> str | None:
    """The group of the weights in a file of this form; None for another file."""
    for group in ("", WEIGHTS):
        if group in contents.groups:
            names = ("layer_names", "layer_names0")
            if any(has_attribute(contents, group, name) for name in names):
                return group
    return None


def load_weights(
    model: Model,
    contents: Contents,
    *,
    by_name: bool = False,
    skip_mismatch: bool = False,
    origins: Mapping[tuple[str, ...], str] | None = None,
    renamed: Mapping[tuple[str, ...], str] | None = None,
) -> None:
    """Read the weights of a model from a legacy file, as Keras does.

    Args:
        model: whose weights are made.
        contents: of the file.
        by_name: whether only layers with the same name get weights, and others stay as they are.
        skip_mismatch: whether to warn of weights that do not fit, and leave them as they are.
        origins, renamed: of the layers in the file of the model's architecture, as `upgrade` gives
            them.

    Raises:
        FormatError: the file is malformed; or layers or weights do not fit.
    """
    group = weights_group(contents)
    assert group is not None
    era = _read_era(contents)
    saved = read_layers(contents, group)
    where = contents.where
    if by_name:
        matched = match_by_name(model, saved)
    else:
        matched = match_layers(model, saved, era, where, renamed or {})
    skip_numbers = skip_mismatch and by_name
    _assign(
        _read_all(matched, era, origins or {}, skip_shapes=skip_mismatch, skip_numbers=skip_numbers)
    )
