"""Losses against Keras: every class, its arguments, weights and reductions."""

import json

import keras
import numpy as np
import pytest

from kcompile import losses, ops
from kcompile.ir.dims import symbol
from kcompile.ir.errors import ShapeError, SpecError
from kcompile.ir.ops import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    SparseCategoricalCrossentropy,
)
from kcompile.ir.types import DType, TensorType
from kcompile.ops.trace import Trace

RTOL = 2e-6
ATOL = 1e-6

REGRESSION = [
    ("MeanSquaredError", {}),
    ("MeanAbsoluteError", {}),
    ("MeanAbsolutePercentageError", {}),
    ("MeanSquaredLogarithmicError", {}),
    ("LogCosh", {}),
    ("Huber", {}),
    ("Huber", {"delta": 0.3}),
    ("CosineSimilarity", {}),
    ("CosineSimilarity", {"axis": 1}),
]
HINGE = [("Hinge", {}), ("SquaredHinge", {}), ("CategoricalHinge", {})]
PROBABILITIES = [
    ("KLDivergence", {}),
    ("Poisson", {}),
    ("BinaryCrossentropy", {}),
    ("BinaryCrossentropy", {"label_smoothing": 0.2}),
    ("BinaryCrossentropy", {"axis": 0}),
    ("BinaryFocalCrossentropy", {}),
    ("BinaryFocalCrossentropy", {"apply_class_balancing": True, "alpha": 0.3, "gamma": 1.5}),
    ("BinaryFocalCrossentropy", {"label_smoothing": 0.1}),
    ("CategoricalCrossentropy", {}),
    ("CategoricalCrossentropy", {"label_smoothing": 0.2}),
    ("CategoricalCrossentropy", {"axis": 1}),
    ("CategoricalFocalCrossentropy", {}),
    ("CategoricalFocalCrossentropy", {"alpha": 0.5, "gamma": 3.0, "label_smoothing": 0.1}),
    ("Dice", {}),
    ("Dice", {"axis": 1}),
    ("Tversky", {}),
    ("Tversky", {"alpha": 0.3, "beta": 0.9, "axis": (0, 1)}),
]
LOGITS = [
    ("BinaryCrossentropy", {"from_logits": True}),
    ("BinaryCrossentropy", {"from_logits": True, "label_smoothing": 0.2}),
    ("BinaryFocalCrossentropy", {"from_logits": True}),
    ("CategoricalCrossentropy", {"from_logits": True}),
    ("CategoricalCrossentropy", {"from_logits": True, "label_smoothing": 0.2}),
    ("CategoricalFocalCrossentropy", {"from_logits": True}),
]
SPARSE = [
    ("SparseCategoricalCrossentropy", {}),
    ("SparseCategoricalCrossentropy", {"from_logits": True}),
    ("SparseCategoricalCrossentropy", {"ignore_class": 1}),
    ("SparseCategoricalCrossentropy", {"ignore_class": -1, "from_logits": True}),
]
SHAPES = [(5, 3), (3, 2, 4), (2, 3, 1, 2)]
REDUCTIONS = ["sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none", None]


def make(shape, kind, seed=0):
    """Labels and predictions for one kind of loss."""
    random = np.random.default_rng(seed)
    if kind == "regression":
        return random.normal(size=shape).astype("f"), random.normal(size=shape).astype("f")
    if kind == "hinge":
        signs = np.where(random.random(shape) < 0.5, -1.0, 1.0).astype("f")
        return signs, random.normal(size=shape).astype("f")
    scores = random.normal(size=shape).astype("f") * 2
    if kind in ("logits", "sparse logits"):
        y_pred = scores
    else:
        y_pred = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    classes = random.integers(shape[-1], size=shape[:-1])
    if kind.startswith("sparse"):
        return classes, y_pred
    return np.eye(shape[-1], dtype="f")[classes], y_pred


def weights_for(shape, seed=1):
    """No weights, one per sample, a column of them, and one per element without the last axis."""
    random = np.random.default_rng(seed)
    shapes = {shape[:1], (shape[0], 1), shape[:-1]}
    return [None, *(random.random(s).astype("f") for s in sorted(shapes))]


def broadcasts(weight, losses_shape):
    """Whether a weight goes with losses of that shape, in Keras as here."""
    if weight is None or weight.shape == (losses_shape + (1,)):
        return True
    try:
        np.broadcast_shapes(weight.shape, losses_shape)
    except ValueError:
        return False
    return True


def check(name, arguments, y_true, y_pred, weights=(None,), reductions=REDUCTIONS[:1]):
    for reduction in reductions:
        ours = getattr(losses, name)(**arguments, reduction=reduction)
        theirs = getattr(keras.losses, name)(**arguments, reduction=reduction)
        for weight in weights:
            expected = np.asarray(theirs(y_true, y_pred, weight))
            found = np.asarray(ours(y_true, y_pred, weight))
            assert found.shape == expected.shape
            np.testing.assert_allclose(found, expected, RTOL, ATOL)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("kind", "name", "arguments"),
    [
        *(("regression", *case) for case in REGRESSION),
        *(("hinge", *case) for case in HINGE),
        *(("probabilities", *case) for case in PROBABILITIES),
        *(("logits", *case) for case in LOGITS),
    ],
)
def test_equals_keras(kind, name, arguments, shape):
    check(name, arguments, *make(shape, kind))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("name", "arguments"), SPARSE)
@pytest.mark.parametrize("column", [False, True])
def test_sparse_crossentropy_equals_keras(name, arguments, shape, column):
    kind = "sparse logits" if arguments.get("from_logits") else "sparse"
    y_true, y_pred = make(shape, kind)
    if arguments.get("ignore_class") == -1:
        y_true[0] = -1
    if column:
        y_true = y_true[..., None]
    check(name, arguments, y_true, y_pred, reductions=["sum_over_batch_size", "sum", None])


@pytest.mark.parametrize("name", ["MeanSquaredError", "CategoricalCrossentropy", "Hinge"])
@pytest.mark.parametrize("shape", [(5, 3), (3, 2, 4), (3, 3, 2)])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_weights_and_reductions_equal_keras(name, shape, reduction):
    y_true, y_pred = make(shape, "probabilities")
    fitting = [w for w in weights_for(shape) if broadcasts(w, shape[:-1])]
    assert len(fitting) > 1
    check(name, {}, y_true, y_pred, fitting, [reduction])


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_ignored_class_with_weights_equals_keras(reduction):
    y_true, y_pred = make((7, 3), "sparse")
    check(
        "SparseCategoricalCrossentropy",
        {"ignore_class": 2},
        y_true,
        y_pred,
        [None, np.linspace(0.5, 2, 7, dtype="f")],
        [reduction],
    )


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_weights_of_zero_equal_keras(reduction):
    y_true, y_pred = make((4, 3), "regression")
    check("MeanSquaredError", {}, y_true, y_pred, [np.zeros(4, "f")], [reduction])


@pytest.mark.parametrize("name", ["MeanSquaredError", "BinaryCrossentropy", "Hinge", "Huber"])
@pytest.mark.parametrize(
    ("true_shape", "pred_shape"),
    [((6,), (6, 1)), ((6, 1), (6,)), ((6,), (6,)), ((2, 3), (2, 3, 1))],
)
def test_ranks_are_made_equal_as_in_keras(name, true_shape, pred_shape):
    random = np.random.default_rng(3)
    y_true = random.integers(2, size=true_shape)
    y_pred = random.random(pred_shape).astype("f")
    weight = random.random(true_shape[:1]).astype("f")
    check(name, {}, y_true, y_pred, [None, weight], REDUCTIONS)


@pytest.mark.parametrize("name", ["Hinge", "SquaredHinge"])
def test_hinge_takes_labels_of_zero_and_one_as_signs(name):
    y_true = np.array([[0.0, 1.0], [1.0, 1.0]], "f")
    y_pred = np.array([[0.3, 0.2], [-2.0, 3.0]], "f")
    check(name, {}, y_true, y_pred)
    check(name, {}, y_true * 0.5, y_pred)


@pytest.mark.parametrize("q", [0.2, 0.7])
def test_generalized_crossentropy_equals_keras(q):
    y_true, y_pred = make((6, 4), "sparse")
    expected = np.mean((1 - y_pred[np.arange(6), y_true] ** q) / q)
    loss = losses.CategoricalGeneralizedCrossEntropy(q)
    np.testing.assert_allclose(loss(y_true, y_pred), expected, RTOL)
    theirs = keras.losses.CategoricalGeneralizedCrossEntropy(q)
    np.testing.assert_allclose(loss(y_true, y_pred), theirs(y_true, y_pred), RTOL)


@pytest.mark.parametrize(
    "name",
    [
        "mean_squared_error",
        "mean_absolute_error",
        "mean_absolute_percentage_error",
        "mean_squared_logarithmic_error",
        "cosine_similarity",
        "huber",
        "log_cosh",
        "hinge",
        "squared_hinge",
        "categorical_hinge",
        "kl_divergence",
        "poisson",
        "binary_crossentropy",
        "binary_focal_crossentropy",
        "categorical_crossentropy",
        "categorical_focal_crossentropy",
        "dice",
        "tversky",
    ],
)
def test_functions_equal_keras(name):
    y_true, y_pred = make((3, 2, 4), "probabilities")
    expected = np.asarray(getattr(keras.losses, name)(y_true, y_pred))
    found = np.asarray(getattr(losses, name)(y_true, y_pred))
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, RTOL, ATOL)


def test_extreme_probabilities_are_finite_as_in_keras():
    y_true = np.eye(3, dtype="f")
    y_pred = np.eye(3, dtype="f")[::-1].copy()
    check("CategoricalCrossentropy", {}, y_true, y_pred)
    check("BinaryCrossentropy", {}, y_true, y_pred)
    check("SparseCategoricalCrossentropy", {}, np.arange(3), y_pred)


def test_large_class_numbers_are_exact():
    """Class numbers that float32 cannot hold; Keras would round them."""
    type = TensorType(DType.INT32, (1,))
    trace = Trace("t")
    with trace.active():
        loss = losses.SparseCategoricalCrossentropy()
        result = loss(trace.input("y", type), trace.input("p", TensorType(DType.FLOAT32, (1, 3))))
        graph = trace.finish([("loss", result)])
    (node,) = [n for n in graph.nodes if isinstance(n.op, SparseCategoricalCrossentropy)]
    assert node.inputs[0].name == "y"


@pytest.mark.parametrize(
    ("loss", "op"),
    [
        (losses.CategoricalCrossentropy(label_smoothing=0.1), CategoricalCrossentropy),
        (losses.BinaryCrossentropy(), BinaryCrossentropy),
        (losses.SparseCategoricalCrossentropy(), SparseCategoricalCrossentropy),
    ],
)
def test_crossentropies_are_one_op_with_an_open_batch(loss, op):
    """The pass that fuses them with softmax and sigmoid looks for these ops."""
    batch = symbol("batch")
    predictions = TensorType(DType.FLOAT32, (batch, 3))
    sparse = op is SparseCategoricalCrossentropy
    labels = TensorType(DType.INT32, (batch,)) if sparse else predictions
    trace = Trace("t")
    with trace.active():
        weight = trace.input("w", TensorType(DType.FLOAT32, (batch,)))
        result = loss(trace.input("y", labels), trace.input("p", predictions), weight)
        graph = trace.finish([("loss", result)])
    (node,) = [n for n in graph.nodes if isinstance(n.op, op)]
    assert node.inputs[1].name == "p"
    assert graph.outputs[0].value.type == TensorType(DType.FLOAT32, ())


def test_a_loss_of_tensors_of_a_functional_model():
    from kcompile.layers import Input
    from kcompile.models import Model

    a, b = Input((3,)), Input((3,))
    model = Model([a, b], losses.mean_squared_error(a, b))
    x, y = make((4, 3), "regression")
    np.testing.assert_allclose(model([x, y]), np.mean((x - y) ** 2, -1), RTOL, ATOL)


def test_lists_and_booleans_are_labels():
    ours = losses.MeanSquaredError()([[True, False]], [[0.5, 0.5]])
    np.testing.assert_allclose(ours, 0.25)


# Look-up and configs


@pytest.mark.parametrize(
    "alias",
    ["mse", "MSE", "mae", "MAE", "mape", "MAPE", "msle", "MSLE", "bce", "BCE", "kld", "KLD"],
)
def test_aliases_are_those_of_keras(alias):
    y_true, y_pred = make((4, 3), "probabilities")
    expected = np.mean(keras.losses.get(alias)(y_true, y_pred))
    np.testing.assert_allclose(losses.get(alias)(y_true, y_pred), expected, RTOL, ATOL)
    assert losses.get(alias).name == alias


def test_get_takes_every_form():
    loss = losses.MeanSquaredError()
    assert losses.get(None) is None
    assert losses.get(loss) is loss
    assert isinstance(losses.get(losses.Huber), losses.Huber)
    assert isinstance(losses.get("Huber"), losses.Huber)
    assert isinstance(losses.get(losses.huber), losses.Huber)
    assert isinstance(losses.get("huber"), losses.Huber)
    made = losses.get({"class_name": "Huber", "config": {"delta": 2.0}})
    assert made.delta == 2.0


def test_a_function_is_a_loss():
    def myLoss(y_true, y_pred):
        return ops.mean(ops.absolute(y_true - y_pred), -1)

    loss = losses.get(myLoss)
    assert loss.name == "my_loss"
    y_true, y_pred = make((4, 3), "regression")
    weight = np.arange(4, dtype="f")
    expected = keras.losses.MeanAbsoluteError()(y_true, y_pred, weight)
    np.testing.assert_allclose(loss(y_true, y_pred, weight), expected, RTOL)
    with pytest.raises(SpecError, match="cannot be written as a config"):
        losses.serialize(loss)


def test_a_subclass_is_a_loss():
    class Cubic(losses.Loss):
        def call(self, y_true, y_pred):
            return ops.mean(ops.absolute(y_true - y_pred) ** 3, -1)

    y_true, y_pred = make((4, 3), "regression")
    loss = Cubic(reduction="sum")
    expected = (np.abs(y_true - y_pred) ** 3).mean(-1).sum()
    np.testing.assert_allclose(loss(y_true, y_pred), expected, RTOL)
    config = losses.serialize(loss)
    assert losses.deserialize(config, {"Cubic": Cubic}).reduction == "sum"
    with pytest.raises(SpecError, match="unknown loss 'Cubic'"):
        losses.deserialize(config)


ALL = [*REGRESSION, *HINGE, *PROBABILITIES, *LOGITS, *SPARSE]


@pytest.mark.parametrize(("name", "arguments"), ALL)
def test_configs_go_both_ways(name, arguments):
    ours = getattr(losses, name)(**arguments, reduction="sum")
    theirs = getattr(keras.losses, name)(**arguments, reduction="sum")
    config = json.loads(json.dumps(losses.serialize(ours)))
    their_config = keras.losses.serialize(theirs)
    assert config.keys() == their_config.keys()
    assert config["module"] == their_config["module"]
    # Keras leaves delta of Huber and some axes out of its configs, so a loaded loss would differ.
    assert set(config["config"]) >= set(their_config["config"])
    for key, value in their_config["config"].items():
        assert json.dumps(config["config"][key]) == json.dumps(value)
    again = losses.deserialize(config)
    assert again.get_config() == losses.deserialize(losses.serialize(again)).get_config()
    assert losses.deserialize(json.loads(json.dumps(their_config))).reduction == "sum"
    loaded = keras.losses.deserialize(config)
    kind = "sparse" if name.startswith("Sparse") else "probabilities"
    y_true, y_pred = make((4, 3), kind)
    np.testing.assert_allclose(again(y_true, y_pred), loaded(y_true, y_pred), RTOL, ATOL)


def test_names_and_default_names_are_those_of_keras():
    for name in losses.LOSSES:
        assert getattr(losses, name)().name == getattr(keras.losses, name)().name


def test_every_public_name_of_keras_is_here():
    assert {name for name in dir(keras.losses) if name[0] != "_"} <= set(vars(losses))


# Errors


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: losses.get("no_such"), "unknown loss 'no_such'"),
        (lambda: losses.get(3), "3 is not a loss"),
        (lambda: losses.get("crossentropy"), "depends on shapes"),
        (lambda: losses.MeanSquaredError(reduction="average"), "'average' is not a reduction"),
        (lambda: losses.MeanSquaredError(dtype="int32"), "floating-point"),
        (lambda: losses.CategoricalGeneralizedCrossEntropy(1.0), "in \\(0, 1\\)"),
        (
            lambda: losses.get({"class_name": "Huber", "config": {"no_such": 1}}),
            "config keys \\['no_such'\\]",
        ),
    ],
)
def test_errors(call, message):
    with pytest.raises(SpecError, match=message):
        call()


@pytest.mark.parametrize("name", ["BinaryCrossentropy", "CategoricalCrossentropy"])
def test_labels_of_another_shape_are_refused(name):
    with pytest.raises(ShapeError, match="one shape.*sparse_categorical_crossentropy"):
        getattr(losses, name)()(np.zeros((4,), "i"), np.full((4, 3), 1 / 3, "f"))


@pytest.mark.parametrize(
    ("y_true_shape", "y_pred_shape", "expected"),
    [
        ((None, 1), (None, 1), losses.BinaryCrossentropy),
        ((None,), (None, 1), losses.BinaryCrossentropy),
        ((None,), (None,), losses.BinaryCrossentropy),
        ((None,), (None, 3), losses.SparseCategoricalCrossentropy),
        ((None, 1), (None, 3), losses.SparseCategoricalCrossentropy),
        ((None, 3), (None, 3), losses.CategoricalCrossentropy),
        ((None, 7), (None, 7, 3), losses.SparseCategoricalCrossentropy),
    ],
)
def test_crossentropy_is_chosen_by_shapes(y_true_shape, y_pred_shape, expected):
    loss = losses.resolve("crossentropy", y_true_shape, y_pred_shape)
    assert type(loss) is expected
    assert loss.name == "crossentropy"
