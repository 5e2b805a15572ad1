"""`.keras` files: Keras loads ours, we load Keras's, and both compute the same."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import kcompile
from kcompile.formats import to_json
from kcompile.formats.loading import read_spec
from kcompile.ir.errors import FormatError, SpecError
from kcompile.models import load_model
from tests.conformance import checks
from tests.conformance.case import Case
from tests.conformance.tables import CASES
from tests.formats.models import (
    MODELS,
    assert_same_outputs,
    cnn,
    frozen,
    nested,
    randomize,
    shared_across_models,
)

NAME = "m.keras"
QUICK = ("frozen", "nested")


def parameters(choose: Callable[[Case], bool]) -> Any:
    """The cases; those that are not chosen are slow."""
    return pytest.mark.parametrize(
        "case",
        [
            pytest.param(case, id=str(case), marks=() if choose(case) else pytest.mark.slow)
            for case in CASES
        ],
    )


def assert_same_weights(found: Any, wanted: Any) -> None:
    for one, other in zip(found.weights, wanted.weights, strict=True):
        assert one.name == other.name
        np.testing.assert_array_equal(one.numpy(), other.numpy(), one.path)


#: Layers whose weights stand in the file in a way of their own.
SPECIAL = ("Bidirectional", "Normalization", "SpectralNormalization", "TimeDistributed")


@parameters(lambda case: case.is_first and case.layer in SPECIAL)
def test_every_layer_goes_both_ways(case: Case, tmp_path: Path) -> None:
    """Weights and configs; that these give the same numbers is shown by the conformance suite."""
    kcompile.utils.clear_session()
    ours, theirs = checks.pair(case)
    theirs.save(tmp_path / "theirs.keras")
    again = load_model(tmp_path / "theirs.keras")
    assert_same_weights(again, theirs)
    ours.save(tmp_path / "ours.keras")
    assert to_json(load_model(tmp_path / "ours.keras")) == to_json(ours)
    loaded = keras.models.load_model(tmp_path / "ours.keras")
    assert_same_weights(loaded, theirs)
    if case.make is None:
        assert checks.as_json(loaded.get_config()) == checks.as_json(theirs.get_config())


@parameters(lambda case: False)
def test_every_layer_computes_the_same_afterwards(case: Case, tmp_path: Path) -> None:
    ours, theirs = checks.pair(case)
    inputs = case.arrays(ours, 3)
    expected = theirs(checks.packed(inputs))
    theirs.save(tmp_path / "theirs.keras")
    checks.all_close(checks.by_reference(load_model(tmp_path / "theirs.keras"), inputs), expected)
    ours.save(tmp_path / "ours.keras")
    loaded = keras.models.load_model(tmp_path / "ours.keras")
    checks.all_close(loaded(checks.packed(inputs)), expected)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(make, id=name, marks=() if name in QUICK else pytest.mark.slow)
        for name, make in MODELS.items()
    ],
)
def test_models_go_both_ways(make: Callable[[Any], Any], tmp_path: Path) -> None:
    ours, theirs = make(kcompile), make(keras)
    randomize(theirs)
    theirs.save(tmp_path / "theirs.keras")
    again = load_model(tmp_path / "theirs.keras")
    assert_same_outputs(again, theirs)
    assert again.name == theirs.name
    assert [w.trainable for w in again.weights] == [w.trainable for w in theirs.weights]
    randomize(ours)
    ours.save(tmp_path / "ours.keras")
    assert_same_outputs(ours, keras.models.load_model(tmp_path / "ours.keras"))


def test_the_archive_is_as_keras_writes_it(tmp_path: Path) -> None:
    ours, theirs = cnn(kcompile), cnn(keras)
    for model, name in ((ours, "ours.keras"), (theirs, "theirs.keras")):
        model.compile("adam", "mse")
        model.save(tmp_path / name)
    with (
        zipfile.ZipFile(tmp_path / "ours.keras") as mine,
        zipfile.ZipFile(tmp_path / "theirs.keras") as other,
    ):
        assert mine.namelist() == other.namelist()
        metadata = [json.loads(file.read("metadata.json")) for file in (mine, other)]
        configs = [json.loads(file.read("config.json")) for file in (mine, other)]
    assert metadata[0]["keras_version"] == metadata[1]["keras_version"] == keras.__version__
    assert list(metadata[0]) == list(metadata[1])
    assert set(configs[1]) - set(configs[0]) == {"build_config"}


def test_what_wrote_the_file_is_told(tmp_path: Path) -> None:
    cnn(keras).save(tmp_path / NAME)
    spec = read_spec(tmp_path / NAME)
    assert spec.made_by.startswith(f"Keras {keras.__version__}")
    assert spec.training is None


@pytest.mark.parametrize("make", [frozen, nested])
def test_saving_what_was_loaded_changes_nothing(make: Callable[[Any], Any], tmp_path: Path) -> None:
    make(kcompile).save(tmp_path / NAME)
    load_model(tmp_path / NAME).save(tmp_path / "again.keras")
    texts = []
    for name in (NAME, "again.keras"):
        with zipfile.ZipFile(tmp_path / name) as archive:
            texts.append(archive.read("config.json"))
    assert texts[0] == texts[1]


def rewritten(path: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    """The same archive after a change of its members."""
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    change(members)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def text_model(vocabulary: list[str] | None) -> Any:
    layers = kcompile.layers
    lookup = layers.StringLookup(vocabulary=vocabulary, name="lookup")
    if vocabulary is None:
        lookup.adapt(["a", "b", "b"])
    return kcompile.Sequential(
        [kcompile.Input((1,), dtype="string", name="x"), lookup], name="texts"
    )


def test_vocabularies_are_written_and_read(tmp_path: Path) -> None:
    words = np.array([["b"], ["a"], ["?"]], object)
    model = text_model(None)
    model.save(tmp_path / NAME)
    np.testing.assert_array_equal(load_model(tmp_path / NAME)(words), model(words))


def without_vocabulary(path: Path, name: str, text: bytes) -> None:
    """Move the vocabulary from the config into a file of the archive, where Keras has it."""

    def change(members: dict[str, bytes]) -> None:
        config = json.loads(members["config.json"])
        config["config"]["layers"][1]["config"]["vocabulary"] = None
        members["config.json"] = json.dumps(config).encode()
        members[name] = text

    rewritten(path, change)


def test_a_vocabulary_among_the_assets(tmp_path: Path) -> None:
    words = np.array([["b"], ["a"], ["?"]], object)
    model = text_model(["b", "a"])
    model.save(tmp_path / NAME)
    asset = "assets/layers/string_lookup/vocabulary.txt"
    without_vocabulary(tmp_path / NAME, asset, b"[UNK]\nb\na")
    np.testing.assert_array_equal(load_model(tmp_path / NAME)(words), model(words))


REFUSED: dict[str, tuple[Callable[[dict[str, bytes]], Any], str]] = {
    "no config": (lambda m: m.pop("config.json"), r"m\.keras: the archive has no config\.json"),
    "no weights": (lambda m: m.pop("model.weights.h5"), r"the archive has no model\.weights\.h5"),
    "no metadata": (lambda m: m.pop("metadata.json"), r"the archive has no metadata\.json"),
    "unknown member": (
        lambda m: m.update({"payload.py": b"1"}),
        r"m\.keras: the member 'payload\.py' is not one of a \.keras file",
    ),
    "asset of no layer": (
        lambda m: m.update({"assets/layers/x/vocabulary.txt": b"1"}),
        r"no layer has a place for assets/layers/x/vocabulary\.txt",
    ),
    "keys twice": (
        lambda m: m.update({"config.json": b'{"class_name": 1, "class_name": 2}'}),
        r"m\.keras/config\.json: the key 'class_name' stands twice",
    ),
    "not a version": (
        lambda m: m.update({"metadata.json": b'{"keras_version": "os"}'}),
        r"metadata\.json.*keras_version: is no version: 'os'",
    ),
    "version no text": (
        lambda m: m.update({"metadata.json": b'{"keras_version": 3}'}),
        r"keras_version: needs a version, got 3",
    ),
    "weights no HDF5": (
        lambda m: m.update({"model.weights.h5": b"hello"}),
        r"m\.keras/model\.weights\.h5: it is not HDF5",
    ),
    "weights cut off": (
        lambda m: m.update({"model.weights.h5": m["model.weights.h5"][:3000]}),
        r"m\.keras/model\.weights\.h5: it is not HDF5",
    ),
}


@pytest.mark.parametrize(("change", "message"), REFUSED.values(), ids=REFUSED)
def test_refusals(change: Callable[[dict[str, bytes]], Any], message: str, tmp_path: Path) -> None:
    cnn(kcompile).save(tmp_path / NAME)
    rewritten(tmp_path / NAME, change)
    with pytest.raises(FormatError, match=message):
        load_model(tmp_path / NAME)


def test_names_and_overwriting(tmp_path: Path) -> None:
    model = cnn(kcompile)
    model.save(tmp_path / NAME)
    with pytest.raises(FormatError, match="the file is there already"):
        model.save(tmp_path / NAME, overwrite=False)
    with pytest.raises(SpecError, match=r"'m\.onnx' ends in none of \.keras, \.h5 and \.hdf5"):
        model.save(tmp_path / "m.onnx")
    with pytest.raises(SpecError, match=r"'m\.weights\.h5' is the name of a file of weights"):
        model.save(tmp_path / "m.weights.h5")
    with pytest.raises(NotImplementedError, match="no folder is written"):
        model.save(tmp_path / NAME, zipped=False)


def test_a_failing_save_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = cnn(kcompile)
    model.save(tmp_path / NAME)
    old = (tmp_path / NAME).read_bytes()

    def fail(self: Any) -> Any:
        raise OSError("no space left")

    monkeypatch.setattr(type(model.weights[-1]), "numpy", fail)
    with pytest.raises(OSError, match="no space left"):
        model.save(tmp_path / NAME)
    assert (tmp_path / NAME).read_bytes() == old
    assert list(tmp_path.iterdir()) == [tmp_path / NAME]


def test_what_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "m.h5"
    with pytest.raises(FormatError, match=r"m\.h5: cannot be read: No such file"):
        load_model(path)
    path.write_bytes(b"GIF89a")
    with pytest.raises(FormatError, match=r"m\.h5: it is not a file of a model"):
        load_model(path)
    with pytest.raises(FormatError, match=r"cannot be read: Is a directory"):
        load_model(tmp_path)


def test_an_architecture_alone(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    path.write_text(cnn(keras).to_json(), encoding="utf-8")
    assert load_model(path).name == "cnn"


def test_a_model_that_does_not_know_its_inputs(tmp_path: Path) -> None:
    theirs = keras.Sequential([keras.layers.Dense(3, name="d")], name="m")
    with pytest.warns(UserWarning, match="not yet been built"):
        theirs.save(tmp_path / NAME)
    again = load_model(tmp_path / NAME)
    assert not again.built
    assert again(np.ones((2, 4), "float32")).shape == (2, 3)


def test_the_weights_alone(tmp_path: Path) -> None:
    theirs = cnn(keras)
    randomize(theirs)
    theirs.save(tmp_path / NAME)
    ours = cnn(kcompile)
    ours.load_weights(tmp_path / NAME)
    assert_same_outputs(ours, theirs)


def test_a_layer_of_two_models_is_refused(tmp_path: Path) -> None:
    """Keras writes its weights once, and does not find them for its second copy either."""
    shared_across_models(keras).save(tmp_path / NAME)
    with pytest.raises(FormatError, match="the file lacks: layers/dense/vars/0"):
        load_model(tmp_path / NAME)


def test_neither_jax_nor_keras_is_imported(tmp_path: Path) -> None:
    model = cnn(kcompile)
    model.compile("adam", "mse")
    model.save(tmp_path / NAME)
    code = (
        "import sys; from kcompile.models import load_model;"
        f"load_model({str(tmp_path / NAME)!r});"
        "print([name for name in ('jax', 'keras', 'tensorflow', 'onnx') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
