"""Metrics against Keras, over several batches."""

import json

import keras
import numpy as np
import pytest

from kcompile import losses, metrics, ops
from kcompile.ir.dims import symbol
from kcompile.ir.errors import ShapeError, SpecError
from kcompile.ir.types import DType, TensorType
from kcompile.ops.trace import Trace
from kcompile.runtimes import reference
from tests.metrics.arguments import arguments_of

RTOL = 3e-6
ATOL = 1e-6
BATCH_SIZES = (4, 4, 3)  # the last one is partial

REGRESSION = [
    ("MeanSquaredError", {}),
    ("RootMeanSquaredError", {}),
    ("MeanAbsoluteError", {}),
    ("MeanAbsolutePercentageError", {}),
    ("MeanSquaredLogarithmicError", {}),
    ("LogCoshError", {}),
    ("CosineSimilarity", {}),
    ("Hinge", {}),
    ("SquaredHinge", {}),
    ("CategoricalHinge", {}),
]
ONE_HOT = [
    ("Accuracy", {}),
    ("BinaryAccuracy", {}),
    ("BinaryAccuracy", {"threshold": 0.3}),
    ("CategoricalAccuracy", {}),
    ("TopKCategoricalAccuracy", {"k": 2}),
    ("KLDivergence", {}),
    ("Poisson", {}),
    ("BinaryCrossentropy", {}),
    ("BinaryCrossentropy", {"label_smoothing": 0.1}),
    ("CategoricalCrossentropy", {}),
    ("CategoricalCrossentropy", {"label_smoothing": 0.1}),
]
LOGITS = [
    ("BinaryCrossentropy", {"from_logits": True}),
    ("CategoricalCrossentropy", {"from_logits": True}),
]
SPARSE = [
    ("SparseCategoricalAccuracy", {}),
    ("SparseTopKCategoricalAccuracy", {"k": 2}),
    ("SparseCategoricalCrossentropy", {}),
    ("SparseCategoricalCrossentropy", {"ignore_class": 1}),
]
CONFUSION = [
    ("TruePositives", {}),
    ("FalsePositives", {}),
    ("TrueNegatives", {}),
    ("FalseNegatives", {"thresholds": 0.3}),
    ("TruePositives", {"thresholds": [0.2, 0.5, 0.9]}),
    ("Precision", {}),
    ("Precision", {"thresholds": [0.2, 0.35, 0.9]}),
    ("Recall", {}),
    ("Recall", {"thresholds": 0.25, "class_id": 1}),
    ("Precision", {"class_id": 0}),
]
SCORES = [
    ("F1Score", {}),
    ("F1Score", {"average": "micro", "threshold": 0.4}),
    ("F1Score", {"average": "macro"}),
    ("FBetaScore", {"beta": 2.0, "average": "weighted"}),
    ("R2Score", {}),
    ("R2Score", {"class_aggregation": None}),
    ("R2Score", {"class_aggregation": "variance_weighted_average"}),
]


def batches(kind, tail, seed=0):
    """Labels and predictions of `BATCH_SIZES` samples of shape `tail`."""
    random = np.random.default_rng(seed)
    for size in BATCH_SIZES:
        shape = (size, *tail)
        scores = random.normal(size=shape).astype("f")
        if kind == "regression":
            yield random.normal(size=shape).astype("f"), scores
            continue
        classes = random.integers(tail[-1], size=shape[:-1])
        probabilities = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
        y_pred = scores if kind == "logits" else probabilities
        y_true = classes if kind == "sparse" else np.eye(tail[-1], dtype="f")[classes]
        yield y_true, y_pred


def check(ours, theirs, data, weight_shape=None):
    """The same results after each batch, after a reset, and after a batch more."""
    random = np.random.default_rng(1)
    for index, (y_true, y_pred) in enumerate([*data, data[0]]):
        weight = None if weight_shape is None else random.random(weight_shape(y_pred)).astype("f")
        if index == len(data):
            ours.reset_state()
            theirs.reset_state()
        ours.update_state(y_true, y_pred, weight)
        theirs.update_state(y_true, y_pred, weight)
        expected, found = np.asarray(theirs.result()), np.asarray(ours.result())
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, RTOL, ATOL)


WEIGHTS = {
    "no weights": None,
    "a weight per sample": lambda y_pred: y_pred.shape[:1],
    "a column of weights": lambda y_pred: (y_pred.shape[0], 1),
}


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize(
    ("kind", "name", "arguments"),
    [
        *(("regression", *case) for case in REGRESSION),
        *(("one-hot", *case) for case in ONE_HOT),
        *(("logits", *case) for case in LOGITS),
        *(("sparse", *case) for case in SPARSE),
    ],
)
def test_means_equal_keras(kind, name, arguments, weights):
    ours, theirs = getattr(metrics, name)(**arguments), getattr(keras.metrics, name)(**arguments)
    check(ours, theirs, list(batches(kind, (3,))), WEIGHTS[weights])


@pytest.mark.parametrize(
    "weight_shape",
    [None, lambda y: y.shape[:1], lambda y: y.shape[:2], lambda y: (*y.shape[:2], 1)],
)
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("regression", "MeanSquaredError"),
        ("one-hot", "CategoricalAccuracy"),
        ("one-hot", "BinaryAccuracy"),
        ("one-hot", "TopKCategoricalAccuracy"),
        ("sparse", "SparseCategoricalAccuracy"),
        ("sparse", "SparseCategoricalCrossentropy"),
    ],
)
def test_sequences_equal_keras(kind, name, weight_shape):
    ours, theirs = getattr(metrics, name)(), getattr(keras.metrics, name)()
    check(ours, theirs, list(batches(kind, (2, 6))), weight_shape)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("name", "arguments"), [*CONFUSION, *SCORES])
def test_scores_equal_keras(name, arguments, weighted):
    kind = "regression" if name == "R2Score" else "one-hot"
    ours, theirs = getattr(metrics, name)(**arguments), getattr(keras.metrics, name)(**arguments)
    weight_shape = (lambda y_pred: y_pred.shape[:1]) if weighted else None
    check(ours, theirs, list(batches(kind, (3,))), weight_shape)


@pytest.mark.parametrize("name", ["Precision", "Recall", "TruePositives", "BinaryAccuracy"])
@pytest.mark.parametrize(("true_tail", "pred_tail"), [((), (1,)), ((1,), (1,)), ((), ())])
@pytest.mark.parametrize("weighted", [False, True])
def test_binary_labels_equal_keras(name, true_tail, pred_tail, weighted):
    random = np.random.default_rng(2)
    data = [
        (random.integers(2, size=(n, *true_tail)), random.random((n, *pred_tail)).astype("f"))
        for n in BATCH_SIZES
    ]
    ours, theirs = getattr(metrics, name)(), getattr(keras.metrics, name)()
    check(ours, theirs, data, (lambda y_pred: y_pred.shape[:1]) if weighted else None)


@pytest.mark.parametrize("name", ["Mean", "Sum"])
@pytest.mark.parametrize("shape", [(), (4,), (3, 2), (2, 3, 2)])
def test_reductions_equal_keras(name, shape):
    ours, theirs = getattr(metrics, name)(), getattr(keras.metrics, name)()
    random = np.random.default_rng(4)
    for rank in [None, *range(len(shape) + 1)]:
        values = random.normal(size=shape).astype("f")
        weight = None if rank in (None, 0) else random.random(shape[:rank]).astype("f")
        ours.update_state(values, weight)
        theirs.update_state(values, weight)
        np.testing.assert_allclose(ours.result(), theirs.result(), RTOL, ATOL)


def test_ties_and_places_beyond_k():
    y_pred = np.array([[0.4, 0.4, 0.2], [0.1, 0.2, 0.7], [0.3, 0.3, 0.4]], "f")
    for k in (1, 2, 3):
        for labels in ([0, 0, 0], [1, 1, 1], [2, 2, 2], [-1, -3, -4], [3, 7, -2]):
            ours = metrics.sparse_top_k_categorical_accuracy(np.array(labels), y_pred, k)
            theirs = keras.metrics.sparse_top_k_categorical_accuracy(np.array(labels), y_pred, k)
            np.testing.assert_array_equal(ours, theirs)


def test_sorted_class_numbers_equal_keras():
    y_true = np.array([3, 1, 4])
    y_pred = np.array([[3, 2, 1], [0, 2, 1], [0, 4, 1]])
    ours = metrics.SparseTopKCategoricalAccuracy(2, from_sorted_ids=True)
    theirs = keras.metrics.SparseTopKCategoricalAccuracy(2, from_sorted_ids=True)
    np.testing.assert_allclose(ours(y_true, y_pred), theirs(y_true, y_pred))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_non_finite_predictions_as_in_keras(value):
    y_pred = np.array([[value, 0.5, 0.1], [0.2, value, 0.3], [0.1, 0.2, 0.6]], "f")
    labels = np.array([0, 0, 2])
    for name in ("sparse_categorical_accuracy", "sparse_top_k_categorical_accuracy"):
        arguments = (labels, y_pred, 2) if "top_k" in name else (labels, y_pred)
        theirs = getattr(keras.metrics, name)(*arguments)
        np.testing.assert_array_equal(getattr(metrics, name)(*arguments), theirs)


# In a training graph


def test_state_is_updated_in_a_graph_with_an_open_batch():
    """The same code as eagerly: reads are states, assignments their next values."""
    metric = metrics.SparseCategoricalAccuracy()
    batch = symbol("batch")
    names = {variable: f"metrics/{variable.name}" for variable in metric.variables}
    trace = Trace("step", names=names)
    with trace.active():
        labels = trace.input("y", TensorType(DType.INT32, (batch,)))
        predictions = trace.input("p", TensorType(DType.FLOAT32, (batch, 3)))
        metric.update_state(labels, predictions)
        graph = trace.finish([("result", metric.result())])
    state = {"metrics/total": np.float32(2), "metrics/count": np.float32(3)}
    y_pred = np.eye(3, dtype="f")[[0, 1, 2, 2]]
    outputs, after = reference.run(graph, {"y": np.array([0, 1, 2, 0], "i4"), "p": y_pred, **state})
    assert after == {"metrics/total": 5, "metrics/count": 7}
    np.testing.assert_allclose(outputs["result"], 5 / 7)
    assert metric.total.numpy() == 0


def test_variables_have_unique_names():
    for name, cls in metrics.METRICS.items():
        metric = cls(**arguments_of(name))
        metric.build((None, 3), (None, 3))
        names = [variable.name for variable in metric.variables]
        assert len(set(names)) == len(names) > 0, name
        assert not any(variable.trainable for variable in metric.variables)


# Keras asks for int64 in its confusion matrix.
@pytest.mark.filterwarnings("ignore:Explicitly requested dtype int64")
def test_names_of_variables_are_those_of_keras():
    y = np.eye(3, dtype="f")
    for name, cls in metrics.METRICS.items():
        ours, theirs = (k(**arguments_of(name)) for k in (cls, getattr(keras.metrics, name)))
        labels = (np.arange(3), y) if name.startswith("Sparse") else (y, y)
        for metric in (ours, theirs):
            metric.update_state(*(labels if name not in ("Mean", "Sum") else (y,)))
        found = {variable.name for variable in ours.variables}
        assert found == {variable.name for variable in theirs.variables}


# Look-up and configs


@pytest.mark.parametrize(
    ("y_true_shape", "y_pred_shape", "expected"),
    [
        ((None, 1), (None, 1), "Binary"),
        ((None,), (None, 1), "Binary"),
        ((None,), (None, 3), "SparseCategorical"),
        ((None, 1), (None, 3), "SparseCategorical"),
        ((None, 3), (None, 3), "Categorical"),
        ((None, 7), (None, 7, 3), "SparseCategorical"),
        ((None, 7, 3), (None, 7, 3), "Categorical"),
    ],
)
def test_accuracy_is_chosen_by_shapes_as_in_keras(y_true_shape, y_pred_shape, expected):
    from keras.src.trainers.compile_utils import get_metric

    true_zeros, pred_zeros = (
        np.zeros([size or 2 for size in shape]) for shape in (y_true_shape, y_pred_shape)
    )
    for name in ("accuracy", "acc"):
        metric = metrics.resolve(name, None, y_true_shape, y_pred_shape)
        assert type(metric).__name__ == f"{expected}Accuracy"
        assert metric.name == name
        theirs = get_metric(name, true_zeros, pred_zeros)
        assert (type(theirs).__name__, theirs.name) == (type(metric).__name__, name)
    for name in ("crossentropy", "ce"):
        loss = losses.CategoricalCrossentropy(from_logits=True)
        metric = metrics.resolve(name, loss, y_true_shape, y_pred_shape)
        assert type(metric).__name__ == f"{expected}Crossentropy"
        assert metric.from_logits and metric.name == name


@pytest.mark.parametrize(
    "name", ["mse", "MSE", "mae", "bce", "mean_squared_error", "RootMeanSquaredError", "f1_score"]
)
def test_a_name_is_the_key_in_logs_as_in_keras(name):
    from keras.src.trainers.compile_utils import get_metric

    theirs = get_metric(name, np.zeros((2, 3)), np.zeros((2, 3)))
    metric = metrics.resolve(name, None, (None, 3), (None, 3))
    assert (metric.name, type(metric).__name__) == (theirs.name, type(theirs).__name__)


def test_get_takes_every_form():
    metric = metrics.MeanSquaredError()
    assert metrics.get(None) is None
    assert metrics.get(metric) is metric
    assert isinstance(metrics.get(metrics.Precision), metrics.Precision)
    assert metrics.get({"class_name": "Precision", "config": {"thresholds": 0.3}}).thresholds == [
        0.3
    ]


def test_a_function_is_a_metric():
    def meanGap(y_true, y_pred):
        return ops.mean(ops.absolute(y_true - y_pred), -1)

    metric = metrics.resolve(meanGap, None, (None, 3), (None, 3))
    assert metric.name == "mean_gap"
    check(metric, keras.metrics.MeanAbsoluteError(), list(batches("regression", (3,))))
    with pytest.raises(SpecError, match="cannot be written as a config"):
        metrics.serialize(metric)


def test_a_loss_is_a_metric():
    y_true, y_pred = next(batches("regression", (3,)))
    metric = metrics.get(losses.MeanSquaredError())
    assert metric.name == "mean_squared_error"
    np.testing.assert_allclose(metric(y_true, y_pred), np.mean((y_true - y_pred) ** 2), RTOL)


def test_a_subclass_is_a_metric():
    class Positives(metrics.Metric):
        def __init__(self, name="positives"):
            super().__init__(name=name)
            self.total = self.add_weight(name="total")
            self.inner = metrics.Mean()

        def update_state(self, y_true, y_pred, sample_weight=None):
            self.total.assign_add(ops.sum(ops.cast(y_pred > 0.5, "float32")))
            self.inner.update_state(y_pred)

        def result(self):
            return self.total + 0 * self.inner.result()

    metric = Positives()
    assert [v.path for v in metric.variables] == ["positives/total", "mean/total", "mean/count"]
    assert float(metric(None, np.array([0.2, 0.7, 0.9], "f"))) == 2
    assert float(metric(None, np.array([0.2, 0.7, 0.4], "f"))) == 3
    metric.reset_state()
    assert float(metric.result()) == 0


ALL = [*REGRESSION, *ONE_HOT, *LOGITS, *SPARSE, *CONFUSION, *SCORES, ("Mean", {}), ("Sum", {})]


@pytest.mark.parametrize(("name", "arguments"), ALL)
def test_configs_go_both_ways(name, arguments):
    ours, theirs = getattr(metrics, name)(**arguments), getattr(keras.metrics, name)(**arguments)
    config = json.loads(json.dumps(metrics.serialize(ours)))
    their_config = json.loads(json.dumps(keras.metrics.serialize(theirs)))
    assert config.keys() == their_config.keys()
    # Keras leaves the default from_sorted_ids and CosineSimilarity's axis out.
    assert set(config["config"]) - set(their_config["config"]) <= {"axis", "from_sorted_ids"}
    for key, value in their_config["config"].items():
        if key not in ("name", "dtype"):
            assert config["config"][key] == value
    again = metrics.deserialize(config)
    assert again.get_config() == ours.get_config()
    assert type(metrics.deserialize(their_config)) is type(ours)
    assert type(keras.metrics.deserialize(config)) is type(theirs)


def test_every_public_name_of_keras_is_here():
    assert [
        name for name in dir(keras.metrics) if name[0] != "_" and name not in vars(metrics)
    ] == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.get("no_such"), "unknown metric 'no_such'"),
        (lambda: metrics.get("accuracy"), "depends on the shapes"),
        (lambda: metrics.get(3), "3 is not a metric"),
        (lambda: metrics.Precision(thresholds=1.5), "thresholds must be in"),
        (lambda: metrics.F1Score(average="mean"), "average is one of"),
        (lambda: metrics.FBetaScore(beta=-1.0), "beta must be"),
        (lambda: metrics.F1Score(threshold=2.0), "threshold must be"),
        (lambda: metrics.F1Score().result(), "has seen no data"),
        (lambda: metrics.R2Score(class_aggregation="x"), "class_aggregation"),
        (
            lambda: metrics.get({"class_name": "Precision", "config": {"no_such": 1}}),
            "config keys \\['no_such'\\]",
        ),
    ],
)
def test_errors(call, message):
    with pytest.raises(SpecError, match=message):
        call()


def test_columns_that_are_missing():
    with pytest.raises(ShapeError, match=r"metric 'f1_score': needs labels .* \[N, C\]"):
        metrics.F1Score().update_state(np.zeros(3, "f"), np.zeros(3, "f"))
