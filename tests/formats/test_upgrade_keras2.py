"""Configs of Keras 2 in the form of Keras 3, one by one; those of real files are golden."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from kcompile.formats.legacy.era import Era
from kcompile.formats.reading import read_model
from kcompile.ir.errors import FormatError, KCompileError
from tests.formats.keras2 import (
    PLACE,
    Config,
    called,
    dense,
    functional,
    layer,
    model_of,
    old_input,
    only,
    sequential,
    upgraded,
)

# Models


@pytest.mark.parametrize("form", ["list", "layers"])
def test_a_sequential_as_a_bare_list(form: str) -> None:
    layers = [dense("one", batch_input_shape=[None, 3]), dense("two")]
    config = layers if form == "list" else {"name": "line", "layers": layers}
    model = model_of({"class_name": "Sequential", "config": config})
    assert model.input_shape == (None, 3)
    assert [entry.name for entry in model.layers] == ["one", "two"]


def test_bare_lists_inside_of_models_get_names_of_their_own() -> None:
    inner = {"class_name": "Sequential", "config": [dense("d", batch_input_shape=[None, 3])]}
    again = {"class_name": "Sequential", "config": [dense("d", batch_input_shape=[None, 2])]}
    model = model_of(sequential(inner, again))
    assert [entry.name for entry in model.layers] == ["sequential", "sequential_1"]
    assert model.input_shape == (None, 3)


@pytest.mark.parametrize("class_name", ["Model", "Functional"])
def test_a_functional_model_of_either_name(class_name: str) -> None:
    layers = [old_input("x", 3), called(dense(), [["x", 0, 0, {}]])]
    model = model_of(functional(*layers, outputs=[["dense", 0, 0]], class_name=class_name))
    assert model.output_shape == (None, 2)


def test_outputs_of_one_are_no_list() -> None:
    layers = [old_input("x", 3), called(dense(), [["x", 0, 0, {}]])]
    listed = upgraded(functional(*layers, outputs=[["dense", 0, 0]])).config["config"]
    bare = functional(*layers, inputs=["x", 0, 0], outputs=["dense", 0, 0])
    assert listed["output_layers"] == ["dense", 0, 0]
    assert upgraded(bare).config["config"] == listed


@pytest.mark.parametrize(
    "first",
    [
        dense("first", batch_input_shape=[None, 5, 3]),
        layer("TimeDistributed", "first", layer=dense("d"), batch_input_shape=[None, 5, 3]),
        layer(
            "Bidirectional", "first", layer=layer("LSTM", "l", units=2), batch_input_shape=[4, 5, 3]
        ),
        layer("Dropout", "first", rate=0.5, batch_input_shape=[None, 5, 3]),
        layer("Masking", "first", mask_value=0.0, batch_input_shape=[None, None, 3]),
        layer("InputLayer", "first", batch_input_shape=[None, 5, 3], sparse=False),
        layer("InputLayer", "first", batch_shape=[None, 5, 3], sparse=False, ragged=False),
        sequential(dense("first", batch_input_shape=[None, 5, 3])),
    ],
)
def test_the_input_shape_on_any_first_layer(first: Config) -> None:
    first = copy.deepcopy(first)
    if first["class_name"] == "InputLayer":
        del first["config"]["trainable"]
    shape = first["config"].get("batch_input_shape", first["config"].get("batch_shape"))
    model = model_of(sequential(first, layer("Activation", "last", activation="relu")))
    assert model.input_shape == tuple(shape or (None, 5, 3))


def test_input_shapes_of_later_layers_say_nothing() -> None:
    layers = [dense("one", batch_input_shape=[None, 3]), dense("two", batch_input_shape=[None, 9])]
    assert model_of(sequential(*layers)).layers[1].kernel.shape == (2, 2)


def test_models_saved_with_no_input_shape() -> None:
    assert not model_of(sequential(dense())).built
    model = model_of(sequential(dense(), build_input_shape=[None, 7]))
    assert model.layers[0].kernel.shape == (7, 2)


def test_the_first_input_is_not_in_half_precision() -> None:
    policy = {"class_name": "Policy", "config": {"name": "mixed_float16"}}
    model = model_of(sequential(dense(batch_input_shape=[None, 3], dtype=policy)))
    assert model.inputs[0].dtype == "float32"
    assert model.layers[0].compute_dtype == "float16"


# Keys


def test_keys_of_recurrent_layers_that_say_nothing() -> None:
    inert = {"implementation": 0, "time_major": False, "num_constants": None}
    assert only(layer("GRU", "r", units=2, **inert), [None, 5, 3]).units == 2
    with pytest.raises(FormatError, match=r"time_major: True is not supported; only False is"):
        only(layer("GRU", "r", units=2, time_major=True), [None, 5, 3])


def test_groups_of_convolutions() -> None:
    image = [None, 8, 8, 4]
    conv = layer("Conv2D", "c", filters=4, kernel_size=[3, 3], groups=2)
    assert only(conv, image).kernel.shape == (3, 3, 2, 4)
    inert = {"groups": 1, "kernel_initializer": "zeros", "kernel_constraint": None}
    depthwise = layer("DepthwiseConv2D", "c", kernel_size=[3, 3], **inert)
    assert only(depthwise, image).kernel.shape == (3, 3, 4, 1)
    depthwise["config"]["groups"] = 2
    with pytest.raises(FormatError, match="groups: 2 is not supported"):
        only(depthwise, image)


def test_trainable_is_kept() -> None:
    assert not only(dense(trainable=False), [None, 3]).trainable
    dropout = layer("SpatialDropout1D", "s", rate=0.5, noise_shape=None, seed=None)
    assert only(dropout, [None, 5, 3]).rate == 0.5


def test_a_key_that_is_not_known() -> None:
    with pytest.raises(FormatError, match="units_of_what: this key is not understood"):
        only(dense(units_of_what=1), [None, 3])


def test_a_missing_reset_after_is_false() -> None:
    assert only(layer("GRU", "g", units=2), [None, 5, 3]).cell.bias.shape == (6,)
    told = layer("GRU", "g", units=2, reset_after=True)
    assert only(told, [None, 5, 3]).cell.bias.shape == (2, 6)
    cell = layer("RNN", "r", cell=layer("GRUCell", "c", units=2))
    assert only(cell, [None, 5, 3]).cell.bias.shape == (6,)


@pytest.mark.parametrize(
    ("era", "slope"), [(Era(1, 2, 2), 0.2), (Era(2, 15), 0.2), (Era(3, 0), 1 / 6)], ids=str
)
def test_hard_sigmoid_by_era(era: Era, slope: float) -> None:
    x = np.linspace(-4, 4, 33, dtype="float32")[None]
    entry = layer("Activation", "a", activation="hard_sigmoid", dtype="float32")
    if era.major >= 3:
        shape = {"batch_shape": [None, 33], "dtype": "float32", "name": "x"}
        line = sequential({"class_name": "InputLayer", "config": shape}, entry)
        model = model_of(line, era)
    else:
        model = model_of(
            sequential({**entry, "config": {**entry["config"], "batch_input_shape": [None, 33]}}),
            era,
        )
    expected = np.clip(slope * x + 0.5, 0, 1)
    np.testing.assert_allclose(np.asarray(model(x)), expected, atol=1e-6)


def test_gates_are_hard_by_default() -> None:
    for name in ("LSTM", "GRU"):
        gate = only(layer(name, "r", units=2), [None, 5, 3]).recurrent_activation
        assert gate.__name__ == "hard_sigmoid_keras2"
    gate = only(layer("CuDNNGRU", "r", units=2), [None, 5, 3]).recurrent_activation
    assert gate.__name__ == "sigmoid"


def test_cudnn_layers() -> None:
    both = layer("Bidirectional", "both", layer=layer("CuDNNLSTM", "l", units=2))
    made = upgraded(sequential(layer("CuDNNGRU", "g", units=2, return_sequences=True), both))
    assert made.origins == {("g",): "CuDNNGRU", ("both", "l"): "CuDNNLSTM"}
    layers = made.config["config"]["layers"]
    assert layers[0]["class_name"] == "GRU" and layers[0]["config"]["reset_after"] is True
    assert layers[1]["config"]["layer"]["class_name"] == "LSTM"


@pytest.mark.parametrize("merge_mode", ["concat", "sum", None])
def test_layers_in_a_bidirectional_without_a_module(merge_mode: str | None) -> None:
    inner = layer("LSTM", "l", units=2, return_sequences=True)
    both = layer("Bidirectional", "b", layer=inner, merge_mode=merge_mode, num_constants=None)
    both["config"]["backward_layer"] = {
        **inner,
        "config": {**inner["config"], "go_backwards": True, "name": "back"},
    }
    made = only(both, [None, 5, 3])
    assert made.merge_mode == merge_mode
    assert made.backward_layer.name == "back"


def test_layers_in_other_layers() -> None:
    cells = [layer("LSTMCell", "a", units=2), layer("SimpleRNNCell", "b", units=3)]
    stacked = {"class_name": "StackedRNNCells", "config": {"cells": cells}}
    assert only(layer("RNN", "r", cell=stacked), [None, 5, 3]).cell.output_size == 3
    inner = sequential(dense("d", batch_input_shape=[None, 3]))
    assert only(layer("TimeDistributed", "t", layer=inner), [None, 5, 3]).layer.name == "line"


@pytest.mark.parametrize(
    ("written", "today"),
    [
        ("glorot_uniform", "glorot_uniform"),
        ("normal", "normal"),
        ({"class_name": "Zeros", "config": {"dtype": "float32"}}, ("Zeros", {})),
        (
            {
                "class_name": "VarianceScaling",
                "config": {
                    "scale": 1.0,
                    "mode": "fan_avg",
                    "distribution": "normal",
                    "seed": None,
                    "dtype": "float32",
                },
            },
            (
                "VarianceScaling",
                {
                    "scale": 1.0,
                    "mode": "fan_avg",
                    "distribution": "truncated_normal",
                    "seed": None,
                },
            ),
        ),
    ],
)
def test_initializers(written: Any, today: Any) -> None:
    config = upgraded(sequential(dense(kernel_initializer=written))).config
    made = config["config"]["layers"][0]["config"]["kernel_initializer"]
    if isinstance(today, tuple):
        made = (made["class_name"], made["config"])
    assert made == today


def test_regularizers_and_constraints() -> None:
    made = only(
        dense(
            kernel_regularizer={"class_name": "L1L2", "config": {"l1": 0.0, "l2": 0.5}},
            kernel_constraint={"class_name": "MaxNorm", "config": {"max_value": 2, "axis": 0}},
            activity_regularizer={
                "class_name": "L2",
                "config": {"l2": {"type": "ndarray", "value": 0.25}},
            },
        ),
        [None, 3],
    )
    assert made.kernel_regularizer.l2 == 0.5
    assert made.kernel_constraint.max_value == 2
    assert made.activity_regularizer.l2 == 0.25


@pytest.mark.parametrize(
    "name", ["BatchNormalizationV1", "BatchNormalizationV2", "BatchNormalization"]
)
def test_batch_normalization(name: str) -> None:
    old = {"fused": None, "renorm": False, "virtual_batch_size": None, "beta_constraint": None}
    made = only(layer(name, "n", axis=[3], epsilon=0.01, **old), [None, 4, 4, 2])
    assert (made.axis, made.epsilon) == (3, 0.01)
    with pytest.raises(FormatError, match="renorm: True is not supported"):
        only(layer(name, "n", renorm=True), [None, 4])


@pytest.mark.parametrize("alpha", [0.25, {"type": "ndarray", "value": 0.25}])
def test_activations_that_are_layers(alpha: Any) -> None:
    assert only(layer("LeakyReLU", "a", alpha=alpha), [None, 3]).negative_slope == 0.25
    made = only(layer("ThresholdedReLU", "a", theta=0.5), [None, 3])
    x = np.asarray([[-1.0, 0.5, 0.75]], "float32")
    np.testing.assert_array_equal(np.asarray(made(x)), [[0, 0, 0.75]])
    inner = {"class_name": "LeakyReLU", "config": {"alpha": alpha, "name": "leaky"}}
    assert only(dense(activation=inner), [None, 3]).activation.negative_slope == 0.25


def test_activations_of_tensorflow() -> None:
    assert only(dense(activation="softmax_v2"), [None, 3]).activation.__name__ == "softmax"
    assert only(dense(activation="relu6"), [None, 3]).activation.__name__ == "relu6"


def test_activations_under_the_name_of_a_lambda() -> None:
    entry = dense(activation="<lambda>")
    with pytest.raises(FormatError, match="the function <lambda>") as refusal:
        only(entry, [None, 3])
    for way_out in ("custom_objects={'<lambda>': ...}", "--activation 'NAME=relu'"):
        assert way_out in str(refusal.value)
    made = only(entry, [None, 3], activations={"<lambda>": "tanh"})
    assert made.activation.__name__ == "tanh"
    code = {"class_name": "__lambda__", "config": {"value": ["4wEAAAA=", None, None]}}
    for written in (code, code["config"]):
        with pytest.raises(FormatError, match="the function <lambda>"):
            only(dense(activation=written), [None, 3])


def test_functions_of_the_users() -> None:
    for written in (
        "swish_of_mine",
        {"class_name": "function", "module": "m", "config": "swish_of_mine"},
    ):
        with pytest.raises(FormatError, match=r"the function (m\.)?swish_of_mine"):
            only(dense(activation=written), [None, 3])


def test_classes_of_the_users() -> None:
    """Also those that have the name of one of ours; they get objects of today."""
    config = {"name": "t", "alpha": 1, "implementation": 2, "activation": "hard_sigmoid"}
    tcn = {"class_name": "my>TCN", "config": {**config, "batch_input_shape": [None, 4, 3]}}
    mine = {
        "class_name": "Dense",
        "module": "mine",
        "registered_name": "my>Dense",
        "config": {"name": "d"},
    }
    line = upgraded(sequential(tcn, mine))
    first, *layers = line.config["config"]["layers"]
    assert first["config"]["batch_shape"] == [None, 4, 3]
    assert layers[0]["config"] == {**config, "activation": "hard_sigmoid_keras2"}
    assert (layers[0]["class_name"], layers[0]["registered_name"]) == ("TCN", "my>TCN")
    assert (layers[1]["module"], layers[1]["registered_name"]) == ("mine", "my>Dense")
    with pytest.raises(FormatError, match=r"these classes are not known: TCN .*mine\.Dense"):
        read_model(line.config, PLACE)


def test_a_lambda_layer_is_refused() -> None:
    code = {"function": ["4wEAAAA=\n", None, None], "function_type": "lambda", "arguments": {}}
    with pytest.raises(FormatError, match="bytecode of Python, which is never run"):
        only(layer("Lambda", "l", **code), [None, 3])


# Calls


def test_merges_that_keras_2_kept() -> None:
    entry = called(layer("Merge", "m", mode="sum"), [["x", 0, 0, {}], ["y", 0, 0, {}]])
    config = functional(old_input("x", 3), old_input("y", 3), entry, outputs=[["m", 0, 0]])
    assert type(model_of(config).get_layer("m")).__name__ == "Add"
    branches = [sequential(dense(name, batch_input_shape=[None, 3])) for name in "ab"]
    merge = layer("Merge", "m", mode="concat", layers=branches)
    assert len(model_of(sequential(merge)).inputs) == 2


def test_names_with_slashes() -> None:
    layers = [old_input("x/in", 3), called(dense("block/conv"), [["x/in", 0, 0, {}]])]
    made = upgraded(functional(*layers, outputs=[["block/conv", 0, 0]]))
    assert made.renamed == {("x_in",): "x/in", ("block_conv",): "block/conv"}
    assert [e["name"] for e in made.config["config"]["layers"]] == ["x_in", "block_conv"]
    read_model(made.config, PLACE)


@pytest.mark.parametrize("name", ["../../x", "/etc/x", "a//b", "..\\x/y", "..\\x", "a/."])
def test_names_that_are_paths_are_refused(name: str) -> None:
    with pytest.raises(FormatError, match="is not a name for a layer"):
        upgraded(sequential(dense(name)))


def test_two_names_of_one_layer() -> None:
    entry = {**called(dense("a"), [["x", 0, 0, {}]]), "name": "b"}
    with pytest.raises(FormatError, match=r"layers\[1\]\.name: is 'b', and in the config 'a'"):
        upgraded(functional(old_input("x", 3), entry, outputs=[["b", 0, 0]]))


@pytest.mark.parametrize("first", [0, 1])
def test_calls_of_models_are_counted_from_0_or_1(first: int) -> None:
    """A model's own definition counted as a call of it, in most releases."""
    inner = sequential(dense("d", 3, batch_input_shape=[None, 3]))
    inner["config"]["name"] = "inner"
    calls = [[["x", 0, 0, {}]], [["inner", first, 0, {}]]]
    config = functional(
        old_input("x", 3),
        called(inner, *calls),
        outputs=[["inner", first, 0], ["inner", first + 1, 0]],
    )
    model = model_of(config)
    x = np.ones((1, 3), "float32")
    one, two = (np.asarray(y) for y in model(x))
    kernel = np.asarray(model.get_layer("inner").layers[0].kernel.numpy())
    np.testing.assert_allclose(one, x @ kernel, rtol=1e-5)
    np.testing.assert_allclose(two, x @ kernel @ kernel, rtol=1e-5)


def test_functional_models_inside_count_in_outputs() -> None:
    inside = functional(
        old_input("i", 3), called(dense("d"), [["i", 0, 0, {}]]), outputs=[["d", 0, 0]]
    )
    inside["config"]["name"] = "inner"
    config = functional(
        old_input("x", 3), called(inside, [["x", 0, 0, {}]]), outputs=[["inner", 1, 0]]
    )
    assert model_of(config).output_shape == (None, 2)


def test_states_of_recurrent_layers() -> None:
    lstm = layer("LSTM", "lstm", units=2)
    entries = [old_input("x", 5, 3), old_input("h", 2), old_input("c", 2)]
    listed = called(lstm, [["x", 0, 0, {}], ["h", 0, 0, {}], ["c", 0, 0, {}]])
    states = {"initial_state": [["h", 0, 0], ["c", 0, 0]], "mask": None}
    named = called(lstm, [["x", 0, 0, states]])
    for entry in (listed, named):
        made = upgraded(functional(*entries, entry, outputs=[["lstm", 0, 0]])).config
        call = made["config"]["layers"][-1]["inbound_nodes"][0]
        assert len(call["args"]) == 1 and len(call["kwargs"]["initial_state"]) == 2
        read_model(made, PLACE)


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ([["x", 0, 0, 1]], "needs an object of keyword arguments, got 1"),
        ([["x", 0]], r"needs \[layer, call, result\]"),
        ([], "the call takes no tensor"),
        ([["y", 0, 0, {}]], "there is no layer 'y'"),
        ([["x", 3, 0, {}]], "'x' has 1 calls, and call 3 is used"),
        ([["x", 0, 2, {}]], "'x' has 1 results, and result 2 is used"),
        ([["dense", 0, 0, {}]], "the calls of dense form a cycle"),
    ],
)
def test_calls_that_are_malformed(node: Any, message: str) -> None:
    with pytest.raises(KCompileError, match=message):
        model_of(functional(old_input("x", 3), called(dense(), node), outputs=[["dense", 0, 0]]))


# Theano


@pytest.mark.parametrize(
    ("entry", "refused"),
    [
        (layer("Conv2D", "c", filters=2, kernel_size=[3, 3], padding="same"), False),
        (layer("Conv2D", "c", filters=2, kernel_size=[2, 2], padding="valid"), False),
        (layer("Conv2D", "c", filters=2, kernel_size=[2, 3], padding="same"), True),
        (layer("Conv2D", "c", filters=2, kernel_size=3, padding="same", strides=[2, 2]), True),
        (layer("MaxPooling2D", "c", pool_size=[2, 2], padding="same"), True),
        (layer("MaxPooling2D", "c", pool_size=[2, 2], padding="valid"), False),
    ],
)
def test_padding_that_theano_does_otherwise(entry: Config, refused: bool) -> None:
    era = Era(2, 2, 4, "theano")
    if refused:
        with pytest.raises(FormatError, match="Theano pads otherwise"):
            only(entry, [None, 8, 8, 1], era)
    else:
        only(entry, [None, 8, 8, 1], era)
    only(entry, [None, 8, 8, 1])
