"""Architecture JSON: Keras reads ours, we read Keras's, and everything else is refused."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import kcompile
from kcompile.formats import from_json, load_architecture, to_json
from kcompile.ir.errors import FormatError, KCompileError, ShapeError, SpecError
from tests.formats.models import (
    MODELS,
    assert_same_outputs,
    cnn,
    nested,
    outputs_of,
    randomize,
    shared,
    shared_across_models,
)

Config = dict[str, Any]


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_keras_reads_ours(make: Callable[[Any], Any], tmp_path: Path) -> None:
    ours = make(kcompile)
    randomize(ours)
    theirs = keras.models.model_from_json(to_json(ours))
    ours.save_weights(tmp_path / "m.weights.h5")
    theirs.load_weights(tmp_path / "m.weights.h5")
    assert_same_outputs(ours, theirs)
    assert [w.trainable for w in ours.weights] == [w.trainable for w in theirs.weights]


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_we_read_keras(make: Callable[[Any], Any], tmp_path: Path) -> None:
    theirs = make(keras)
    randomize(theirs)
    ours = from_json(theirs.to_json())
    theirs.save_weights(tmp_path / "m.weights.h5")
    ours.load_weights(tmp_path / "m.weights.h5")
    assert_same_outputs(ours, theirs)
    assert ours.name == theirs.name
    assert [layer.name for layer in ours.layers] == [layer.name for layer in theirs.layers]


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_reading_and_writing_again_changes_nothing(make: Callable[[Any], Any]) -> None:
    text = to_json(make(kcompile))
    assert to_json(from_json(text)) == text


def test_the_form_is_keras() -> None:
    """What Keras writes for the same model, without what follows from the inputs."""
    keras.utils.clear_session()

    def without_follow_ups(value: Any) -> Any:
        if isinstance(value, dict):
            dropped = ("build_config", "compile_config", "registered_name")
            return {k: without_follow_ups(v) for k, v in value.items() if k not in dropped}
        if isinstance(value, list):
            return [without_follow_ups(entry) for entry in value]
        return value

    theirs = without_follow_ups(json.loads(nested(keras).to_json()))
    ours = without_follow_ups(json.loads(to_json(nested(kcompile))))
    for config in (ours, theirs):
        assert config["class_name"] == "Functional"
        assert config["module"] == "keras.src.models.functional"
    names = ("input_layers", "output_layers", "name", "trainable")
    assert {n: ours["config"][n] for n in names} == {n: theirs["config"][n] for n in names}
    for mine, other in zip(ours["config"]["layers"], theirs["config"]["layers"], strict=True):
        assert mine["module"] == other["module"] and mine["class_name"] == other["class_name"]
        assert mine["name"] == other["name"]
        assert [node["args"] for node in mine["inbound_nodes"]] == [
            node["args"] for node in other["inbound_nodes"]
        ]


FUNCTIONS: dict[str, Callable[[Any, Any], Any]] = {
    "absolute": lambda o, x: o.absolute(x),
    "abs": lambda o, x: abs(x),
    "argmax": lambda o, x: o.argmax(x, axis=1),
    "cast": lambda o, x: o.cast(x, "int32"),
    "clip": lambda o, x: o.clip(x, -0.5, 0.5),
    "elu": lambda o, x: o.elu(x, 0.5),
    "erf": lambda o, x: o.erf(x),
    "expand_dims": lambda o, x: o.expand_dims(x, 1),
    "gelu": lambda o, x: o.gelu(x, approximate=False),
    "get_item": lambda o, x: x[:, ..., 1:3],
    "get_one": lambda o, x: x[:, 0],
    "leaky_relu": lambda o, x: o.leaky_relu(x, 0.1),
    "log_softmax": lambda o, x: o.log_softmax(x, axis=1),
    "logsumexp": lambda o, x: o.logsumexp(x, axis=1),
    "matmul": lambda o, x: o.matmul(x, o.transpose(x, (0, 2, 1))),
    "max": lambda o, x: o.max(x, axis=(1, 2)),
    "modulo": lambda o, x: x % 2.0,
    "negative": lambda o, x: -x,
    "one_hot": lambda o, x: o.one_hot(o.argmax(x, axis=-1), 6),
    "pad": lambda o, x: o.pad(x, ((0, 0), (1, 0), (0, 2))),
    "power": lambda o, x: x**2.0,
    "reshape": lambda o, x: o.reshape(x, (-1, 24)),
    "round": lambda o, x: o.round(x, 1),
    "silu": lambda o, x: o.silu(x),
    "squeeze": lambda o, x: o.squeeze(x[:, 0:1], axis=1),
    "stack": lambda o, x: o.stack([x, x], axis=1),
    "std": lambda o, x: o.std(x, axis=1),
    "sum": lambda o, x: o.sum(x, axis=1, keepdims=True),
    "take": lambda o, x: o.take(x, np.array([1, 0], "int32"), axis=1),
    "where": lambda o, x: o.where(x > 0.0, x, 0.25),
}


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_functions_between_layers(function: Callable[[Any, Any], Any]) -> None:
    def make(k: Any) -> Any:
        x = k.Input((4, 6), name="x")
        return k.Model(x, function(k.ops, x), name="m")

    ours, theirs = make(kcompile), make(keras)
    assert_same_outputs(from_json(theirs.to_json()), theirs)
    assert_same_outputs(ours, keras.models.model_from_json(to_json(ours)))


@pytest.mark.parametrize("name", ["average_pool", "max_pool"])
def test_pooling_between_layers(name: str) -> None:
    """Keras 3.15 itself cannot run these once they have been in a file."""

    def make(k: Any) -> Any:
        x = k.Input((4, 6), name="x")
        return k.Model(x, getattr(k.ops, name)(x, (2,), (2,), padding="same"), name="m")

    ours, theirs = make(kcompile), make(keras)
    assert_same_outputs(from_json(theirs.to_json()), theirs)
    assert_same_outputs(from_json(to_json(ours)), theirs)


def test_a_sequential_without_input() -> None:
    def make(k: Any) -> Any:
        return k.Sequential([k.layers.Dense(3, name="d"), k.layers.ReLU(name="r")], name="s")

    ours = from_json(make(keras).to_json())
    assert [layer.name for layer in ours.layers] == ["d", "r"] and not ours.built
    theirs = keras.models.model_from_json(to_json(make(kcompile)))
    theirs.build((None, 2))
    ours = from_json(theirs.to_json())
    assert ours.output_shape == (None, 3)


def test_training_true_at_a_call_is_kept() -> None:
    x = kcompile.Input((400,), name="x")
    dropout = kcompile.layers.Dropout(0.5, name="d")
    model = from_json(to_json(kcompile.Model(x, dropout(x, training=True))))
    ones = np.ones((1, 400), "float32")
    assert 0 < (outputs_of(model, [ones])[0] == 0).sum() < 400


def test_a_config_for_keras_training_is_not_needed() -> None:
    theirs = cnn(keras)
    theirs.compile("adam", "mse")
    assert json.loads(theirs.to_json())["compile_config"]
    assert from_json(theirs.to_json()).output_shape == theirs.output_shape


def test_load_architecture(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    path.write_text(to_json(cnn(kcompile), indent=2))
    assert load_architecture(path).name == "cnn"
    with pytest.raises(FormatError, match=r"none\.json: cannot be read: No such file"):
        load_architecture(tmp_path / "none.json")
    path.write_bytes(b"\x89HDF\r\n")
    with pytest.raises(FormatError, match=r"m\.json: it is not text in UTF-8"):
        load_architecture(path)


def relu(x: Any) -> Any:
    return kcompile.ops.relu(x)


def functional(function: Callable[[Any], Any]) -> Any:
    x = kcompile.Input((4,), name="x")
    return kcompile.Model(x, function(x), name="m")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: functional(kcompile.layers.Dense(2, activation=relu, name="d")),
            "layer 'd': activation: the function has the name of the activation 'relu'",
        ),
        (
            lambda: functional(
                kcompile.layers.Dense(
                    2, kernel_initializer=lambda shape, dtype, rng=None: None, name="d"
                )
            ),
            "layer 'd': kernel_initializer: ",
        ),
        (lambda: functional(kcompile.ops.mish), "a file cannot hold ops.mish between layers"),
    ],
)
def test_what_a_file_cannot_hold(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(SpecError, match=re.escape(message)):
        to_json(make())


# Refusals


def layer(config: Config, name: str) -> Config:
    return next(e for e in config["config"]["layers"] if e["config"]["name"] == name)


def history(config: Config, name: str, node: int = 0) -> list[Any]:
    arg = layer(config, name)["inbound_nodes"][node]["args"][0]
    return (arg[0] if isinstance(arg, list) else arg)["config"]["keras_history"]  # type: ignore[no-any-return]


def set_at(value: Any, *keys: Any) -> Callable[[Config], None]:
    def change(config: Config) -> None:
        target: Any = config
        for key in keys[:-1]:
            target = target[key]
        target[keys[-1]] = value

    return change


def drop(*keys: Any) -> Callable[[Config], None]:
    def change(config: Config) -> None:
        target: Any = config
        for key in keys[:-1]:
            target = target[key]
        del target[keys[-1]]

    return change


def two_unknown(config: Config) -> None:
    config["config"]["layers"][1]["class_name"] = "TCN"
    config["config"]["layers"][6] |= {"module": "evil.package", "registered_name": "evil>Dense"}


CNN = ("config", "layers")
CASES_CNN: dict[str, tuple[Callable[[Config], None], str]] = {
    "unknown classes, all at once": (
        two_unknown,
        r"m\.json: these classes are not known: keras\.layers\.TCN \(layers\[1\]\),"
        r" evil\.package\.Flatten \(layers\[6\]\)",
    ),
    "registered by someone": (
        set_at("evil>Conv2D", *CNN, 1, "registered_name"),
        r"this class is not known: keras\.layers\.Conv2D",
    ),
    "unread key": (
        set_at(1, *CNN, 1, "config", "foo"),
        r"m\.json: config\.layers\[1\]\.config\.foo: this key is not understood",
    ),
    "unread key of an object": (
        set_at(1, *CNN, 1, "config", "kernel_initializer", "config", "foo"),
        r"config\.layers\[1\]\.config\.kernel_initializer\.config\.foo: this key",
    ),
    "unread key of a regularizer": (
        set_at(1, *CNN, 1, "config", "kernel_regularizer", "config", "foo"),
        r"config\.layers\[1\]\.config\.kernel_regularizer\.config\.foo: this key",
    ),
    "class of an object that is a list": (
        set_at([], *CNN, 1, "config", "kernel_regularizer", "class_name"),
        r"layers\[1\]\.config\.kernel_regularizer: .* needs a string under 'class_name'",
    ),
    "module of an object": (
        set_at("os", *CNN, 1, "config", "kernel_initializer", "module"),
        r"this class is not known: os\.GlorotUniform \(layers\[1\]\)",
    ),
    "unread key of a layer's object": (set_at(1, *CNN, 1, "foo"), r"layers\[1\]\.foo: this key"),
    "unread key of the model": (set_at(1, "config", "foo"), r"m\.json: config\.foo: this key"),
    "unread key of the object": (set_at(1, "foo"), r"m\.json: foo: this key"),
    "wrong type": (
        set_at("3", *CNN, 8, "config", "units"),
        r"config\.layers\[8\]\.config\.units: needs int, got '3'",
    ),
    "wrong type in a list": (
        set_at([3, "x"], *CNN, 1, "config", "kernel_size"),
        r"layers\[1\]\.config\.kernel_size: needs int \| Sequence\[int\], got \[3, 'x'\]",
    ),
    "value that the layer refuses": (
        set_at("diagonal", *CNN, 1, "config", "padding"),
        r"layer 'conv2d\w*' \(m\.json: layers\[1\]\): padding is 'valid' or 'same'",
    ),
    "value that Python refuses": (
        set_at(0, *CNN, 1, "config", "groups"),
        r"m\.json: config\.layers\[1\]: a value is not understood",
    ),
    "activation that is a path": (
        set_at("os.system", *CNN, 8, "config", "activation"),
        r"layers\[8\]\)?: 'os\.system' is not an activation",
    ),
    "activation that is a function of a module": (
        set_at(
            {"module": "os", "class_name": "function", "config": "system"},
            *CNN,
            8,
            "config",
            "activation",
        ),
        r"not known: the function os\.system \(layers\[8\]\)",
    ),
    "name that is a path": (
        set_at("../../x", *CNN, 1, "config", "name"),
        r"'../../x' is a path, not a name",
    ),
    "no name": (set_at(None, *CNN, 1, "config", "name"), r"config\.name: needs a name, got None"),
    "name with a line break": (set_at("a\nb", *CNN, 1, "config", "name"), r"needs a name"),
    "missing module": (drop(*CNN, 1, "module"), r"layers\[1\]: the key 'module' is missing"),
    "class that is a list": (set_at([], *CNN, 1, "class_name"), r"needs a string, got \[\]"),
    "layers that are no list": (set_at({}, "config", "layers"), r"config\.layers: needs a list"),
    "layer that is no object": (set_at(3, *CNN, 1), r"layers\[1\]: needs an object, got 3"),
    "a layer alone": (
        lambda c: c.update(c["config"]["layers"][1]),
        r"'Conv2D' is a layer, not a model",
    ),
    "negative size": (
        set_at([None, -3, 8, 2], *CNN, 0, "config", "batch_shape"),
        r"layers\[0\].*negative size",
    ),
    "quantized": (
        set_at("int8_from_float32", *CNN, 1, "config", "dtype"),
        r"layers\[1\].*'int8_from_float32' is not there yet",
    ),
    "sparse input": (
        set_at(True, *CNN, 0, "config", "sparse"),
        r"layers\[0\].*sparse=True is not there yet",
    ),
}


@pytest.mark.parametrize(("change", "message"), CASES_CNN.values(), ids=CASES_CNN)
def test_sequential_refusals(change: Callable[[Config], None], message: str) -> None:
    config = json.loads(to_json(cnn(kcompile)))
    change(config)
    with pytest.raises(KCompileError, match=message) as caught:
        from_json(json.dumps(config), where="m.json")
    assert isinstance(caught.value, (FormatError, SpecError))


def test_two_layers_of_one_name() -> None:
    config = json.loads(to_json(cnn(kcompile)))
    layers = config["config"]["layers"]
    layers[2]["config"]["name"] = layers[1]["config"]["name"]
    with pytest.raises(FormatError, match=r"config\.layers\[2\]: two layers are named 'conv2d"):
        from_json(config)


def test_a_shape_that_does_not_fit_names_layer_and_place() -> None:
    config = json.loads(to_json(nested(kcompile)))
    layer(config, "inner")["config"]["layers"][0]["config"]["batch_shape"] = [None, 5]
    place = r"m\.json: config\.layers\[\d\]"
    with pytest.raises(ShapeError, match=f"{place}.*model 'inner': input .* needs"):
        from_json(config, where="m.json")


def cycle(config: Config) -> None:
    history(config, "between")[:] = ["joined", 0, 0]


CASES_FUNCTIONAL: dict[str, tuple[Callable[[Config], None], str]] = {
    "cycle": (cycle, r"the calls of .*between.* form a cycle"),
    "no such layer": (
        lambda c: history(c, "between").__setitem__(0, "ghost"),
        r"inbound_nodes\[0\]: there is no layer 'ghost'",
    ),
    "no such call": (
        lambda c: history(c, "between").__setitem__(1, 7),
        r"'x' has 1 calls, and call 7 is used",
    ),
    "negative call": (
        lambda c: history(c, "between").__setitem__(1, -1),
        r"'x' has 1 calls, and call -1 is used",
    ),
    "no such result": (
        lambda c: history(c, "between").__setitem__(2, 4),
        r"'x' has 1 results, and result 4 is used",
    ),
    "missing input": (
        set_at([], "config", "input_layers"),
        r"config\.input_layers: needs \[layer, call, result\], got \[\]",
    ),
    "input that is a layer": (
        set_at(["between", 0, 0], "config", "input_layers"),
        r"config\.input_layers: 'between' is not an InputLayer",
    ),
    "unknown output": (
        set_at(["ghost", 0, 0], "config", "output_layers"),
        r"config\.output_layers: there is no layer 'ghost'",
    ),
    "unused layer": (
        set_at(["inner", 0, 0], "config", "output_layers"),
        r"no output depends on the layer",
    ),
    "name and config differ": (
        lambda c: layer(c, "between").__setitem__("name", "other"),
        r"\.name: is 'other', and in the config 'between'",
    ),
    "layer that is never called": (
        lambda c: layer(c, "between").__setitem__("inbound_nodes", []),
        r"inbound_nodes: the layer is never called",
    ),
    "call without tensors": (
        lambda c: layer(c, "between").__setitem__("inbound_nodes", [{"args": [3.0], "kwargs": {}}]),
        r"inbound_nodes\[0\]: the call takes no tensor",
    ),
    "old form of a call": (
        lambda c: layer(c, "between").__setitem__("inbound_nodes", [[["x", 0, 0, {}]]]),
        r"inbound_nodes\[0\]: needs an object",
    ),
    "other shape than recorded": (
        lambda c: layer(c, "between")["inbound_nodes"][0]["args"][0]["config"].__setitem__(
            "shape", [None, 7]
        ),
        r"layer 'x'.*the result has shape \[None, 6\]; the file says \[None, 7\]",
    ),
    "object in a call": (
        lambda c: layer(c, "between")["inbound_nodes"][0]["kwargs"].__setitem__(
            "f", {"class_name": "function", "config": {}}
        ),
        r"kwargs\.f: cannot be an argument: 'function'",
    ),
    "unknown argument of a call": (
        lambda c: layer(c, "between")["inbound_nodes"][0]["kwargs"].__setitem__("f", 1),
        r"inbound_nodes\[0\]: a value is not understood",
    ),
}


@pytest.mark.parametrize(("change", "message"), CASES_FUNCTIONAL.values(), ids=CASES_FUNCTIONAL)
def test_functional_refusals(change: Callable[[Config], None], message: str) -> None:
    config = json.loads(to_json(nested(kcompile)))
    change(config)
    with pytest.raises(KCompileError, match=message):
        from_json(config, where="m.json")


def test_weights_that_would_be_too_large_are_not_made() -> None:
    x = kcompile.Input((16,), name="x")
    config = json.loads(to_json(kcompile.Model(x, kcompile.layers.Dense(5, name="d")(x))))
    layer(config, "d")["config"]["units"] = 2**36
    message = r"'d/kernel' f32\[16,68719476736\] the model needs \d+ bytes; at most 17179869184"
    with pytest.raises(FormatError, match=message):
        from_json(config)


def test_a_layer_that_two_models_share_is_refused() -> None:
    """Keras writes it twice, and reads two layers with weights of their own."""
    with pytest.raises(SpecError, match="layer 'tied'.*is in 'inner' and in 'outer'"):
        to_json(shared_across_models(kcompile))


def test_missing_one_of_two_inputs() -> None:
    config = json.loads(to_json(shared(kcompile)))
    config["config"]["input_layers"] = [["a", 0, 0]]
    with pytest.raises(FormatError, match=r"config\.input_layers: the input 'b' is missing"):
        from_json(config)
    config["config"]["input_layers"] = [["a", 0, 0], ["a", 0, 0], ["b", 0, 0]]
    with pytest.raises(FormatError, match="an input stands there twice"):
        from_json(config)


def test_unknown_classes_inside_models_are_found_too() -> None:
    config = json.loads(to_json(nested(kcompile)))
    layer(config, "inner")["config"]["layers"][1]["class_name"] = "Odd"
    layer(config, "between")["class_name"] = "Strange"
    with pytest.raises(
        FormatError, match=r"keras\.layers\.Strange \(layers\[\d\]\), keras\.layers\.Odd \("
    ):
        from_json(config)


def test_a_function_with_a_wrong_attribute() -> None:
    config = json.loads(to_json(shared(kcompile)))
    softmax = next(e for e in config["config"]["layers"] if e["class_name"] == "Softmax")
    original = copy.deepcopy(softmax["config"])
    softmax["config"]["axis"] = "x"
    with pytest.raises(FormatError, match=r"config\.axis: needs int"):
        from_json(config)
    softmax["config"] = {**original, "foo": 1}
    with pytest.raises(FormatError, match=r"config\.foo: this key is not understood"):
        from_json(config)


def test_nothing_is_opened_or_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    config = json.loads(to_json(cnn(kcompile)))
    config["config"]["layers"][1] |= {"module": "canary_module", "class_name": "Canary"}

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("a file made us import or open something")

    monkeypatch.setattr("builtins.open", fail)
    monkeypatch.setattr("importlib.import_module", fail)
    with pytest.raises(FormatError, match=r"canary_module\.Canary"):
        from_json(config)
