"""Configs of Keras 1 in the form of Keras 3, one by one; those of real files are golden."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kcompile.formats.legacy.era import Era
from kcompile.formats.legacy.upgrade import upgrade
from kcompile.formats.place import Place
from kcompile.formats.reading import read_model
from kcompile.ir.errors import FormatError

Config = dict[str, Any]
KERAS_1 = Era(1, 2, 2)
PLACE = Place("old.h5")


def layer(class_name: str, name: str, **config: Any) -> Config:
    return {"class_name": class_name, "config": {"name": name, "trainable": True, **config}}


def sequential(*layers: Config) -> Config:
    return {"class_name": "Sequential", "config": [*layers]}


def model_of(config: Config) -> Any:
    return read_model(upgrade(config, KERAS_1, PLACE).config, PLACE)


def only(entry: Config, *shape: int | None) -> Any:
    first = {**entry, "config": {**entry["config"], "batch_input_shape": [None, *shape]}}
    return model_of(sequential(first)).layers[0]


def dense(name: str = "dense", units: int = 2, **config: Any) -> Config:
    return layer("Dense", name, output_dim=units, **config)


def called(entry: Config, *nodes: Any) -> Config:
    return {**entry, "name": entry["config"]["name"], "inbound_nodes": list(nodes)}


def old_input(name: str, *shape: int) -> Config:
    config = {"name": name, "batch_input_shape": [None, *shape], "input_dtype": "float32"}
    return called({"class_name": "InputLayer", "config": {**config, "sparse": False}})


def functional(*layers: Config, inputs: list[Any], outputs: list[Any]) -> Config:
    config = {"name": "graph", "layers": [*layers], "input_layers": inputs}
    return {"class_name": "Model", "config": {**config, "output_layers": outputs}}


def test_dense() -> None:
    made = only(
        dense(
            init="glorot_uniform",
            activation="relu",
            W_regularizer={"name": "WeightRegularizer", "l1": 0.0, "l2": 0.5},
            b_regularizer=None,
            activity_regularizer={"name": "ActivityRegularizer", "l1": 0.25, "l2": 0.0},
            W_constraint={"name": "MaxNorm", "m": 3, "axis": 0},
            b_constraint={"name": "NonNeg"},
            bias=False,
            input_dim=3,
        ),
        3,
    )
    assert (made.units, made.use_bias, made.kernel_regularizer.l2) == (2, False, 0.5)
    assert made.activity_regularizer.l1 == 0.25
    assert made.kernel_constraint.max_value == 3
    assert type(made.bias_constraint).__name__ == "NonNeg"


@pytest.mark.parametrize(
    ("class_name", "more", "dilation"),
    [("Convolution2D", {}, (1, 1)), ("AtrousConvolution2D", {"atrous_rate": [2, 3]}, (2, 3))],
)
@pytest.mark.parametrize("ordering", ["th", "tf"])
def test_convolutions(class_name: str, more: Config, dilation: Any, ordering: str) -> None:
    entry = layer(
        class_name,
        "conv",
        nb_filter=4,
        nb_row=2,
        nb_col=3,
        border_mode="valid",
        subsample=[1, 1],
        dim_ordering=ordering,
        **more,
    )
    made = only(entry, *((2, 9, 9) if ordering == "th" else (9, 9, 2)))
    assert (made.filters, tuple(made.kernel_size), made.padding) == (4, (2, 3), "valid")
    assert tuple(made.dilation_rate) == dilation
    assert made.data_format == ("channels_first" if ordering == "th" else "channels_last")
    assert made.kernel.shape == (2, 3, 2, 4)


def test_convolutions_of_one_and_three_dimensions() -> None:
    options = {"border_mode": "same", "bias": True}
    made = only(
        layer("Convolution1D", "c", nb_filter=4, filter_length=3, subsample_length=2, **options),
        8,
        2,
    )
    assert (made.filters, tuple(made.kernel_size), tuple(made.strides)) == (4, (3,), (2,))
    made = only(
        layer("Convolution3D", "c", nb_filter=2, kernel_dim1=1, kernel_dim2=2, kernel_dim3=3,
              subsample=[1, 1, 1], dim_ordering="tf", **options),
        4, 4, 4, 1,
    )  # fmt: skip
    assert made.kernel.shape == (1, 2, 3, 1, 2)
    made = only(
        layer("SeparableConvolution2D", "c", nb_filter=3, nb_row=2, nb_col=2, depth_multiplier=2,
              depthwise_init="uniform", pointwise_init="normal", dim_ordering="tf", **options),
        5, 5, 2,
    )  # fmt: skip
    assert made.pointwise_kernel.shape == (1, 1, 4, 3)


@pytest.mark.parametrize(
    ("size", "mode", "refused"), [(10, "same", False), (9, "same", True), (11, "valid", False)]
)
def test_the_output_shape_of_a_deconvolution(size: int, mode: str, refused: bool) -> None:
    """It has to be the one that follows from the input's."""
    entry = layer(
        "Deconvolution2D", "d", nb_filter=2, nb_row=3, nb_col=3, border_mode=mode,
        subsample=[2, 2], dim_ordering="tf", output_shape=[None, size, size, 2],
    )  # fmt: skip
    if refused:
        with pytest.raises(FormatError, match="output_shape: with strides of 2 a size of 9"):
            only(entry, 5, 5, 1)
    else:
        assert only(entry, 5, 5, 1).output.shape == (None, size, size, 2)


def test_pooling_and_noise() -> None:
    pool = layer("MaxPooling1D", "p", pool_length=3, stride=2, border_mode="valid")
    made = only(pool, 9, 2)
    assert (tuple(made.pool_size), tuple(made.strides)) == ((3,), (2,))
    assert only(layer("Dropout", "d", p=0.25), 3).rate == 0.25
    assert only(layer("GaussianNoise", "d", sigma=0.25), 3).stddev == 0.25
    assert only(layer("UpSampling1D", "u", length=3), 4, 2).size == 3
    assert only(layer("PReLU", "u", init="zero", shared_axes=[1]), 4, 2).alpha.shape == (1, 2)


@pytest.mark.parametrize(
    ("padding", "today"),
    [
        ([1, 2], ((1, 1), (2, 2))),
        ([1, 2, 3, 4], ((1, 2), (3, 4))),
        ({"top_pad": 1, "left_pad": 2}, ((1, 0), (2, 0))),
    ],
)
def test_padding(padding: Any, today: Any) -> None:
    made = only(layer("ZeroPadding2D", "z", padding=padding, dim_ordering="tf"), 4, 4, 1)
    assert tuple(map(tuple, made.padding)) == today


@pytest.mark.parametrize("ordering", ["th", "tf"])
def test_layers_that_keep_their_data_format_to_themselves(ordering: str) -> None:
    """Keras 1.2 did not write it for these; the rest of the model tells, if it is of one mind."""
    shape = [None, 2, 8, 8] if ordering == "th" else [None, 8, 8, 2]
    up = layer("UpSampling2D", "up", size=[2, 2], batch_input_shape=shape)
    conv = layer("Convolution2D", "c", nb_filter=1, nb_row=1, nb_col=1, dim_ordering=ordering)
    assert model_of(sequential(up, conv)).layers[0].data_format.startswith("channels_")
    with pytest.raises(FormatError, match="does not tell the dim_ordering .* layers have none"):
        model_of(sequential(up))
    other = layer("MaxPooling2D", "p", dim_ordering="tf" if ordering == "th" else "th")
    with pytest.raises(FormatError, match="other layers have tf and th"):
        model_of(sequential(up, conv, other))


def test_recurrent_layers() -> None:
    made = only(
        layer("LSTM", "r", output_dim=2, init="glorot_uniform", inner_init="orthogonal",
              forget_bias_init="one", activation="tanh", inner_activation="hard_sigmoid",
              W_regularizer=None, U_regularizer=None, b_regularizer=None, dropout_W=0.25,
              dropout_U=0.5, consume_less="cpu", input_dim=3, input_length=5),
        5, 3,
    )  # fmt: skip
    assert (made.units, made.dropout, made.recurrent_dropout) == (2, 0.25, 0.5)
    assert made.recurrent_activation.__name__ == "hard_sigmoid_keras2"
    assert made.unit_forget_bias


def test_gates_that_are_apart() -> None:
    both = layer("Bidirectional", "both", layer=layer("GRU", "g", output_dim=2))
    line = sequential(
        layer("LSTM", "apart", output_dim=2, consume_less="cpu"),
        layer("LSTM", "together", output_dim=2, consume_less="gpu"),
        both,
    )
    assert upgrade(line, KERAS_1, PLACE).origins == {("apart",): "LSTM", ("both", "g"): "GRU"}


def test_embeddings() -> None:
    entry = layer("Embedding", "e", input_dim=7, output_dim=3, init="uniform", input_length=5,
                  mask_zero=True, W_regularizer=None, W_constraint=None, dropout=0.25)  # fmt: skip
    made = only(entry, 5)
    assert (made.input_dim, made.output_dim, made.mask_zero) == (7, 3, True)


def test_dense_over_time() -> None:
    made = only(layer("TimeDistributedDense", "t", output_dim=2, input_length=5, bias=True), 5, 3)
    assert made.output.shape == (None, 5, 2)


def test_batch_normalization() -> None:
    old = {"gamma_init": "one", "beta_init": "zero", "momentum": 0.9}
    made = only(layer("BatchNormalization", "n", mode=0, axis=1, epsilon=0.01, **old), 4, 3)
    assert (made.axis, made.momentum) == (1, 0.9)
    for mode in (1, 2):
        with pytest.raises(FormatError, match=f"of the mode {mode} is not understood; 0 is"):
            only(layer("BatchNormalization", "n", mode=mode), 4)


A = np.linspace(-1, 1, 6, dtype="float32").reshape(2, 3)
B = np.linspace(2, 3, 6, dtype="float32").reshape(2, 3)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"mode": "sum"}, A + B),
        ({"mode": "mul"}, A * B),
        ({"mode": "ave"}, (A + B) / 2),
        ({"mode": "max"}, np.maximum(A, B)),
        ({"mode": "concat", "concat_axis": -1}, np.concatenate([A, B], 1)),
        ({"mode": "dot", "dot_axes": [1, 1]}, (A * B).sum(1, keepdims=True)),
    ],
)
def test_merge(config: Config, expected: Any) -> None:
    more = {"mode_type": "raw", "output_shape": None, "arguments": {}, "output_mask": None}
    entry = called(layer("Merge", "m", **config, **more), [["a", 0, 0], ["b", 0, 0]])
    ends = {"inputs": [["a", 0, 0], ["b", 0, 0]], "outputs": [["m", 0, 0]]}
    model = model_of(functional(old_input("a", 3), old_input("b", 3), entry, **ends))
    np.testing.assert_allclose(np.asarray(model([A, B])), expected, rtol=1e-6)


def test_a_key_of_a_merge_that_is_not_known() -> None:
    entry = called(layer("Merge", "m", mode="sum", weight=3), [["a", 0, 0], ["a", 0, 0]])
    with pytest.raises(FormatError, match=r"weight: this key is not understood"):
        model_of(functional(old_input("a", 3), entry, inputs=[["a", 0, 0]], outputs=[["m", 0, 0]]))


@pytest.mark.parametrize(
    "config", [{"mode": "cos"}, {"mode": "<lambda>", "mode_type": "lambda"}, {"mode": ["code"]}]
)
def test_merges_that_are_refused(config: Config) -> None:
    entry = called(layer("Merge", "m", **config), [["a", 0, 0], ["a", 0, 0]])
    ends = {"inputs": [["a", 0, 0]], "outputs": [["m", 0, 0]]}
    with pytest.raises(FormatError, match=r"mode: a Merge of the mode .* is not understood"):
        model_of(functional(old_input("a", 3), entry, **ends))


def test_a_sequential_that_begins_with_a_merge() -> None:
    """It has the inputs of its branches, themselves of any kind."""
    inner = functional(
        old_input("i", 3),
        called(dense("deep", 2, init="one"), [["i", 0, 0]]),
        inputs=[["i", 0, 0]],
        outputs=[["deep", 0, 0]],
    )
    left = sequential(dense("left", 2, batch_input_shape=[None, 3], init="one"))
    twice = sequential(left, layer("Activation", "act", activation="relu"))
    merge = layer("Merge", "merged", mode="sum", layers=[twice, inner])
    model = model_of(sequential(merge, layer("Activation", "last", activation="linear")))
    assert [tensor.name for tensor in model.inputs] == ["left_input", "i"]
    expected = np.maximum(A.sum(1, keepdims=True), 0) + B.sum(1, keepdims=True)
    np.testing.assert_allclose(np.asarray(model([A, B])), expected.repeat(2, 1), rtol=1e-5)


def test_merges_inside_of_merges() -> None:
    def branch(name: str) -> Config:
        return sequential(dense(name, 2, batch_input_shape=[None, 3]))

    inner = sequential(layer("Merge", "inner", mode="concat", layers=[branch("a"), branch("b")]))
    merge = layer("Merge", "outer", mode="concat", layers=[inner, branch("c")])
    model = model_of(sequential(merge, dense("d")))
    assert len(model.inputs) == 3
    assert model.get_layer("d").kernel.shape == (6, 2)


@pytest.mark.parametrize(
    ("branch", "message"),
    [
        (sequential(), "a model without layers cannot be merged"),
        (sequential(dense("d")), "the key 'batch_input_shape' is missing"),
        ({"class_name": "Sequential"}, "the key 'config' is missing"),
        (
            functional(inputs=[], outputs=[["x", 0, 0], ["y", 0, 0]]),
            "a model with several outputs cannot be merged",
        ),
    ],
)
def test_branches_that_cannot_be_merged(branch: Config, message: str) -> None:
    merge = layer("Merge", "m", mode="sum", layers=[branch, branch])
    with pytest.raises(FormatError, match=message):
        model_of(sequential(merge))


@pytest.mark.parametrize("name", ["Highway", "MaxoutDense", "SReLU", "LocallyConnected2D"])
def test_layers_that_are_no_more(name: str) -> None:
    with pytest.raises(FormatError, match=f"this class is not known: {name}"):
        only(layer(name, "l", output_dim=3), 3)
