"""Vocabularies, texts and hashes against Keras.

Keras computes these layers with TensorFlow, which is no dependency here. So `recorded/strings.json`
holds what keras 3.15.1 on tensorflow 2.21 gave (`layer(x)` after `adapt`, `get_vocabulary()`,
`get_config()`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kcompile
from kcompile import layers
from kcompile.formats.architecture import from_json
from kcompile.ir.errors import DataError, ExportError, FormatError, SpecError
from tests.ops.tolerances import assert_same

RECORDED = json.loads((Path(__file__).parent / "recorded" / "strings.json").read_text())
CASES: list[dict[str, Any]] = RECORDED["cases"]
CONFIGS: list[dict[str, Any]] = RECORDED["configs"]
#: One of each kind: the whole way through three runtimes takes time.
QUICK = {
    (case["cls"], case["kwargs"].get("output_mode"), "adapt" in case): number
    for number, case in enumerate(CASES)
}.values()
ADAPTED = [case for case in CASES if "adapt" in case]


def name_of(case: dict[str, Any]) -> str:
    return f"{case['cls']}-{json.dumps(case['kwargs'])}"


def make(case: dict[str, Any]) -> Any:
    """The layer, adapted as it was in Keras."""
    layer = getattr(layers, case["cls"])(**case["kwargs"])
    if "adapt" in case:
        data = case["adapt"]
        is_stream = isinstance(data, dict)
        layer.adapt(map(np.array, data["batches"]) if is_stream else np.array(data))
    return layer


def arrays(case: dict[str, Any]) -> list[np.ndarray[Any, Any]]:
    given = case["x"] if case["cls"] == "HashedCrossing" else [case["x"]]
    found = [np.array(x) for x in given]
    return [x.astype(np.int32) if x.dtype == np.int64 else x for x in found]


def expected(case: dict[str, Any]) -> np.ndarray[Any, Any]:
    y = np.array(case["y"])
    kinds = {"i": np.int32, "f": np.float32, "U": object}
    is_vector = case["kwargs"].get("output_mode", "int") != "int"
    return y.astype(np.float32 if is_vector else kinds[y.dtype.kind])


def test_the_classes() -> None:
    assert {case["cls"] for case in CASES} == {
        "HashedCrossing",
        "Hashing",
        "IntegerLookup",
        "StringLookup",
        "TextVectorization",
    }


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_equals_keras(case: dict[str, Any]) -> None:
    layer = make(case)
    inputs = arrays(case)
    assert_same(layer(inputs if case["cls"] == "HashedCrossing" else inputs[0]), expected(case))
    if "vocabulary" in case:
        assert layer.get_vocabulary() == case["vocabulary"]
        assert layer.vocabulary_size() == len(case["vocabulary"])


def is_exported(case: dict[str, Any]) -> bool:
    """ONNX has no hash, and cannot split a string into characters."""
    kwargs = case["kwargs"]
    hashes = kwargs.get("num_oov_indices", 1) > 1 and not kwargs.get("invert")
    if case["cls"] == "IntegerLookup":
        hashes = hashes and kwargs.get("oov_method") == "farmhash"
    return not (hashes or "Hash" in case["cls"] or kwargs.get("split") == "character")


def check_model(case: dict[str, Any]) -> None:
    """In a model: reference, XLA, onnxruntime."""
    given = arrays(case)
    if given[0].ndim == 0 or (given[0].ndim == 1 and expected(case).ndim < 2 and _reduces(case)):
        pytest.fail("not a model for batches")
    inputs = [
        kcompile.Input(x.shape[1:], dtype="string" if x.dtype.kind == "U" else x.dtype)
        for x in given
    ]
    layer = make(case)
    model = kcompile.Model(inputs, layer(inputs if len(inputs) > 1 else inputs[0]))
    for target in ("reference", "xla", "onnx"):
        if target == "onnx" and not is_exported(case):
            with pytest.raises(ExportError, match=layer.name):
                kcompile.compile(model)
            continue
        executable = kcompile.compile(model, target)
        (actual,) = executable.run(
            [x.astype(object) if x.dtype.kind == "U" else x for x in given]
        ).values()
        assert_same(actual, expected(case), target)
        (first,) = executable.run(
            [x[:1].astype(object) if x.dtype.kind == "U" else x[:1] for x in given]
        ).values()
        assert_same(first, expected(case)[:1], target)


def _reduces(case: dict[str, Any]) -> bool:
    """Whether a vector of inputs is one sample, so that there is no batch."""
    modes = ("multi_hot", "count", "tf_idf")
    return case["cls"] != "TextVectorization" and case["kwargs"].get("output_mode") in modes


MODELS = [
    pytest.param(case, id=name_of(case), marks=() if number in QUICK else pytest.mark.slow)
    for number, case in enumerate(CASES)
    if np.ndim(case["x"]) > 1 or not _reduces(case)
]


@pytest.mark.parametrize("case", MODELS)
def test_model(case: dict[str, Any]) -> None:
    check_model(case)


@pytest.mark.parametrize("case", CONFIGS, ids=name_of)
def test_config_is_keras_s(case: dict[str, Any]) -> None:
    cls = getattr(layers, case["cls"])
    config = json.loads(json.dumps(cls(**case["kwargs"]).get_config()))
    assert config == case["config"]
    assert json.loads(json.dumps(cls.from_config(config).get_config())) == config


@pytest.mark.parametrize("case", ADAPTED, ids=name_of)
def test_config_keeps_what_adapt_found(case: dict[str, Any]) -> None:
    layer = make(case)
    config = json.loads(json.dumps(layer.get_config()))
    copy = type(layer).from_config(config)
    assert copy.get_vocabulary() == layer.get_vocabulary()
    assert_same(copy(arrays(case)[0]), expected(case))
    with pytest.raises(SpecError, match="vocabulary was given"):
        copy.adapt(np.array(["a"]))


def test_assets_keep_the_vocabulary(tmp_path: Path) -> None:
    layer = layers.TextVectorization(output_sequence_length=2)
    layer.adapt(["a b", "b"])
    layer.save_assets(tmp_path)
    other = layers.TextVectorization(output_sequence_length=2)
    other.load_assets(tmp_path)
    assert other.get_vocabulary() == layer.get_vocabulary() == ["", "[UNK]", "b", "a"]


def test_only_line_feeds_separate_tokens_in_files(tmp_path: Path) -> None:
    tokens = ["a\x85b", "c\x0bd", "e\u2028f", "g\rh", "i\r", ""]
    layer = layers.StringLookup()
    layer.set_vocabulary(tokens)
    layer.save_assets(tmp_path)
    other = layers.StringLookup()
    other.load_assets(tmp_path)
    assert other.get_vocabulary() == ["[UNK]", *tokens]
    path = tmp_path / "words.txt"
    path.write_bytes("\n".join([*tokens[:3], "last\n"]).encode())
    assert layers.StringLookup(vocabulary=path).get_vocabulary()[1:] == [*tokens[:3], "last"]
    layer.set_vocabulary(["a\nb"])
    with pytest.raises(FormatError, match="line break"):
        layer.save_assets(tmp_path)


def test_a_vocabulary_file_is_read_for_its_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_bytes(b"b\r\na\r\n")
    assert layers.StringLookup(vocabulary=str(path)).get_vocabulary() == ["[UNK]", "b", "a"]
    path.write_bytes(b"b\na\n")
    layer = layers.StringLookup(vocabulary=str(path))
    assert layer.get_vocabulary() == ["[UNK]", "b", "a"]
    config = layer.get_config()
    assert config["vocabulary"] == ["b", "a"]
    for cls in (layers.StringLookup, layers.IntegerLookup, layers.TextVectorization):
        with pytest.raises(FormatError, match="names a file"):
            cls.from_config({"name": "x", "vocabulary": str(path)})
    model = kcompile.Sequential([kcompile.Input((1,), dtype="string"), layer])
    text = model.to_json()
    assert from_json(text).layers[-1].get_vocabulary() == ["[UNK]", "b", "a"]
    with pytest.raises(FormatError, match="names a file"):
        from_json(text.replace('["b", "a"]', json.dumps(str(path))))


def test_another_vocabulary_size_than_the_vocabulary_is_refused() -> None:
    with pytest.raises(FormatError, match="says vocabulary_size=9"):
        layers.StringLookup.from_config({"vocabulary": ["a"], "vocabulary_size": 9})


def test_an_unknown_token_without_an_index_is_an_error_everywhere() -> None:
    layer = layers.StringLookup(vocabulary=["a", "b"], num_oov_indices=0)
    with pytest.raises(DataError, match="'c' is not in the vocabulary"):
        layer(["a", "c"])
    model = kcompile.Sequential([kcompile.Input((2,), dtype="string"), layer])
    for target in ("reference", "xla", "onnx"):
        executable = kcompile.compile(model, target)
        with pytest.raises(DataError):
            executable.run(np.array([["a", "c"]]))


@pytest.mark.parametrize(
    ("make_layer", "error", "message"),
    [
        (lambda: layers.TextVectorization(), NotImplementedError, "output_sequence_length"),
        (lambda: layers.TextVectorization(standardize=len), NotImplementedError, "function"),
        (lambda: layers.TextVectorization(split=len), NotImplementedError, "function"),
        (lambda: layers.TextVectorization(ragged=True), NotImplementedError, "ragged"),
        (lambda: layers.TextVectorization(standardize="upper"), SpecError, "'upper'"),
        (lambda: layers.TextVectorization(split="comma"), SpecError, "'comma'"),
        (lambda: layers.TextVectorization(output_mode="one_hot"), NotImplementedError, "one_hot"),
        (
            lambda: layers.TextVectorization(output_mode="count", output_sequence_length=3),
            SpecError,
            "output_sequence_length",
        ),
        (lambda: layers.StringLookup(sparse=True), NotImplementedError, "sparse"),
        (lambda: layers.StringLookup(vocabulary=["a", "a"]), SpecError, "'a' is in .* twice"),
        (lambda: layers.StringLookup(vocabulary=[]), SpecError, "empty"),
        (lambda: layers.StringLookup(vocabulary=[1]), DataError, "needs strings, got 1"),
        (lambda: layers.IntegerLookup(vocabulary=[1.5]), SpecError, "integers of 64 bits"),
        (lambda: layers.StringLookup(["a"], max_tokens=1), TypeError, "multiple values"),
        (lambda: layers.StringLookup(3, vocabulary=["a", "b", "c"]), SpecError, "max_tokens=3"),
        (lambda: layers.StringLookup(vocabulary=["b", ""], mask_token=""), SpecError, "special"),
        (lambda: layers.StringLookup(output_mode="half"), SpecError, "'half'"),
        (lambda: layers.StringLookup(invert=True, output_mode="count"), SpecError, "invert"),
        (lambda: layers.StringLookup(idf_weights=[1.0]), SpecError, "tf_idf"),
        (lambda: layers.StringLookup(encoding="latin1"), NotImplementedError, "latin1"),
        (lambda: layers.StringLookup()(["a"]), SpecError, "no vocabulary yet"),
        (lambda: layers.StringLookup(vocabulary=["a"])(np.ones(2)), SpecError, "needs string"),
        (lambda: layers.IntegerLookup(vocabulary=[1])(np.ones(2)), SpecError, "needs int64"),
        (lambda: layers.Hashing(0), SpecError, "num_bins"),
        (lambda: layers.Hashing(2, salt=[1, 2, 3]), SpecError, "salt"),
        (lambda: layers.HashedCrossing(3)(np.ones(2, np.int32)), SpecError, "at least two"),
    ],
)
def test_refusals(make_layer: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make_layer()


def test_index_to_string_behind_a_model() -> None:
    """The host takes over where the device ends."""
    x = kcompile.Input((3,), name="x")
    best = kcompile.ops.argmax(layers.Dense(3)(x), axis=-1)
    label = layers.StringLookup(vocabulary=["cat", "dog"], invert=True)(best)
    model = kcompile.Model(x, [label, best])
    model.set_weights([np.eye(3, dtype=np.float32), np.zeros(3, np.float32)])
    data = np.eye(3, dtype=np.float32)[[2, 0, 1]]
    for target in ("reference", "xla", "onnx"):
        labels, numbers = kcompile.compile(model, target).run(data).values()
        assert labels.tolist() == ["dog", "[UNK]", "cat"]
        assert numbers.tolist() == [2, 0, 1]
    with pytest.raises(ExportError, match="on the host from results of the device"):
        model.predict(data, verbose=0)
