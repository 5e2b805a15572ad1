"""Metrics that count decisions, regions and correlations: streamed over batches as in Keras."""

import itertools
import json
import warnings

import keras
import numpy as np
import pytest

import kcompile
from kcompile import layers, metrics
from kcompile.ir.errors import ShapeError, SpecError

RTOL = 5e-6
ATOL = 1e-6
BATCH_SIZES = (5, 5, 2)  # the last one is partial
NUM_CLASSES = 4

UNEVEN = [0.15, 0.4, 0.7]
CURVES = [
    {"curve": curve, "summation_method": method}
    for curve in ("ROC", "PR", "PRGAIN")
    for method in ("interpolation", "minoring", "majoring")
]
AUC = [
    *CURVES,
    {"num_thresholds": 2},
    {"num_thresholds": 3},
    {"num_thresholds": 7, "curve": "pr"},
    {"thresholds": UNEVEN},
    {"thresholds": [0.75, 0.25, 0.5]},
    {"thresholds": UNEVEN, "curve": "PR"},
    {"from_logits": True},
    {"label_weights": [0.5, 0.0, 2.0, 1.0]},
    {"label_weights": [0.5, 0.0, 2.0, 1.0], "thresholds": UNEVEN},
    {"multi_label": True},
    {"multi_label": True, "num_labels": NUM_CLASSES, "curve": "PR"},
    {"multi_label": True, "label_weights": [0.5, 0.0, 2.0, 1.0], "num_thresholds": 20},
    {"multi_label": True, "label_weights": [0.5, 0.0, 2.0, 1.0], "curve": "PR"},
    {"multi_label": True, "thresholds": UNEVEN, "summation_method": "majoring"},
]
COUNTS = [
    (name, {"thresholds": thresholds})
    for name in ("TruePositives", "FalsePositives", "TrueNegatives", "FalseNegatives")
    for thresholds in (0.25, UNEVEN, [0.0, 0.25, 0.5, 0.75, 1.0])
]
RATIOS = [
    (name, arguments)
    for name in ("Precision", "Recall")
    for arguments in (
        {"top_k": 2},
        {"top_k": 1, "thresholds": 0.6},
        {"top_k": 2, "class_id": 1},
        {"class_id": 3, "thresholds": UNEVEN},
        {"thresholds": [0.0, 0.5, 1.0]},
        {"thresholds": [0.9, 0.1]},
    )
]
POINTS = [
    (name, {argument: value, "num_thresholds": num, **more})
    for name, argument in (
        ("PrecisionAtRecall", "recall"),
        ("RecallAtPrecision", "precision"),
        ("SensitivityAtSpecificity", "specificity"),
        ("SpecificityAtSensitivity", "sensitivity"),
    )
    for value, num, more in ((0.3, 200, {}), (0.6, 2, {}), (0.0, 1, {}), (1.0, 11, {"class_id": 2}))
]
CORRELATIONS = [
    (name, arguments)
    for name in ("PearsonCorrelation", "ConcordanceCorrelation")
    for arguments in ({}, {"axis": 0}, {"axis": (0, 1)})
]
ADJUSTED = [
    ("R2Score", {"num_regressors": num, "class_aggregation": aggregation})
    for num in (2, 19, 20, 60)
    for aggregation in (None, "uniform_average", "variance_weighted_average")
]
IOU = [
    ("IoU", {"num_classes": 4, "target_class_ids": [0]}),
    ("IoU", {"num_classes": 4, "target_class_ids": (1, 3), "dtype": "float32"}),
    ("IoU", {"num_classes": 6, "target_class_ids": [1, 5]}),
    ("IoU", {"num_classes": 3, "target_class_ids": [1, 2], "ignore_class": 0}),
    ("MeanIoU", {"num_classes": 4}),
    ("MeanIoU", {"num_classes": 4, "ignore_class": 2, "dtype": "float32"}),
]
ONE_HOT_IOU = [
    (
        "IoU",
        {
            "num_classes": 4,
            "target_class_ids": [0, 1],
            "sparse_y_true": False,
            "sparse_y_pred": False,
        },
    ),
    ("MeanIoU", {"num_classes": 4, "sparse_y_true": False, "sparse_y_pred": False}),
    ("OneHotIoU", {"num_classes": 4, "target_class_ids": [0, 3]}),
    ("OneHotIoU", {"num_classes": 4, "target_class_ids": [2], "ignore_class": 1}),
    ("OneHotMeanIoU", {"num_classes": 4, "dtype": "float32"}),
]
BINARY_IOU = [
    ("BinaryIoU", {}),
    ("BinaryIoU", {"target_class_ids": [0], "threshold": 0.3}),
    ("BinaryIoU", {"target_class_ids": [1], "dtype": "float32"}),
]  # fmt: skip


# Keras asks for int64 in its confusion matrix.
pytestmark = pytest.mark.filterwarnings("ignore:Explicitly requested dtype int64")


def some_quick(names, cases, stride=5):
    """Every `stride`-th case runs always, the others are slow together."""
    marks = ((), (pytest.mark.slow,))
    return pytest.mark.parametrize(
        names,
        [
            pytest.param(*case, marks=marks[number % stride != 0], id=f"{number}-{case[-2]}")
            for number, case in enumerate(cases)
        ],
    )


def batches(kind, tail=(NUM_CLASSES,), seed=0):
    """Labels and predictions of `BATCH_SIZES` samples of shape `tail`."""
    random = np.random.default_rng(seed)
    for size in BATCH_SIZES:
        scores = random.random((size, *tail)).astype("f")
        logits = random.normal(size=(size, *tail)).astype("f")
        binary = random.integers(2, size=(size, *tail))
        classes = random.integers(NUM_CLASSES, size=(size, *tail))
        one_hot = np.eye(tail[-1] if tail else 1, dtype="f")
        yield {
            "binary": lambda s=scores, b=binary: (b, s),
            "logits": lambda x=logits, b=binary: (b, x),
            "regression": lambda s=scores, x=logits: (x, x + s),
            "classes": lambda c=classes, b=binary: (c, np.where(b, c, 1)),
            "one-hot": lambda s=scores, c=classes, e=one_hot: (e[c[..., 0]], s),
        }[kind]()


WEIGHTS = {
    "no weights": None,
    "one per sample": lambda y: y.shape[:1],
    "a column": lambda y: (y.shape[0], 1),
    "one per element": lambda y: y.shape,
}


def check(name, arguments, data, weight_shape, whole_weights=False):
    """The same result and state after each batch, after a reset, and after a batch more."""
    ours, theirs = (getattr(k, name)(**arguments) for k in (metrics, keras.metrics))
    random = np.random.default_rng(1)
    for index, (y_true, y_pred) in enumerate([*data, data[0]]):
        weight = None if weight_shape is None else random.random(weight_shape(y_true)).astype("f")
        if whole_weights and weight is not None:
            weight = np.round(weight * 3)
        if index == len(data):
            ours.reset_state()
            theirs.reset_state()
        with warnings.catch_warnings():
            # Keras warns of weights that are cut off, and of too few samples for adjusted R2.
            warnings.simplefilter("ignore", UserWarning)
            ours.update_state(y_true, y_pred, weight)
            theirs.update_state(y_true, y_pred, weight)
            expected, found = np.asarray(theirs.result()), np.asarray(ours.result())
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, RTOL, ATOL)
        expected_states = {variable.name: variable.numpy() for variable in theirs.variables}
        for variable in ours.variables:
            np.testing.assert_allclose(
                variable.numpy(), expected_states[variable.name], RTOL, ATOL, err_msg=variable.name
            )


@some_quick(("arguments", "weights"), itertools.product(AUC, list(WEIGHTS)[:3]), 7)
def test_auc(arguments, weights):
    kind = "logits" if arguments.get("from_logits") else "binary"
    check("AUC", arguments, list(batches(kind)), WEIGHTS[weights])


@some_quick(
    ("tails", "weighted", "arguments"),
    itertools.product(
        [((), ()), ((), (1,)), ((1,), ()), ((2, 3),) * 2],
        [False, True],
        [{}, {"thresholds": UNEVEN, "curve": "PR"}],
    ),
)
def test_auc_of_other_shapes(tails, weighted, arguments):
    true_tail, pred_tail = tails
    data = [
        (y_true.reshape(len(y_true), *true_tail), y_pred)
        for y_true, y_pred in batches("binary", pred_tail)
    ]
    # Keras puts an axis behind the weights, which has to be that of the labels.
    check("AUC", arguments, data, (lambda y: y.shape[: max(1, y.ndim - 1)]) if weighted else None)


def test_predictions_on_thresholds_and_outside_of_them():
    """Rounding decides on which side of a threshold a prediction is, and it has to be Keras's."""
    y_pred = np.concatenate([np.arange(0, 1.0001, 1 / 199), [-0.5, 0.0, 1.0, 1.5]]).astype("f")
    y_true = (np.arange(len(y_pred)) % 3 == 0).astype("f")
    for name, arguments in [
        ("AUC", {}),
        ("AUC", {"thresholds": [0.25, 0.5, 0.75]}),
        ("AUC", {"thresholds": [0.1]}),
        ("TruePositives", {"thresholds": [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]}),
        ("FalsePositives", {"thresholds": [0.0, 0.3]}),
        ("SpecificityAtSensitivity", {"sensitivity": 0.5}),
        ("PrecisionAtRecall", {"recall": 0.5, "num_thresholds": 2}),
    ]:
        check(name, arguments, [(y_true, y_pred)], None)


@some_quick(
    ("case", "weights"), itertools.product([*COUNTS, *RATIOS, *POINTS], list(WEIGHTS)[:2]), 6
)
def test_decisions(case, weights):
    check(*case, list(batches("binary")), WEIGHTS[weights])


@pytest.mark.parametrize("name", ["Precision", "Recall"])
def test_top_k_of_sequences_and_ties(name):
    data = [(t, np.round(p * 2) / 2) for t, p in batches("binary", (3, NUM_CLASSES))]
    check(name, {"top_k": 2}, data, None)


#: Along other axes there is no value per sample that a weight could go with.
OF_SAMPLES = [case for case in [*CORRELATIONS, *ADJUSTED] if case[1].get("axis", -1) == -1]


@some_quick(
    ("name", "arguments", "weights"),
    [
        *((*case, "no weights") for case in [*CORRELATIONS, *ADJUSTED]),
        *((*case, "one per sample") for case in OF_SAMPLES),
    ],
)
def test_of_numbers(name, arguments, weights):
    check(name, arguments, list(batches("regression")), WEIGHTS[weights])


@some_quick(
    ("kind", "case", "weights"),
    [
        (kind, case, weights)
        for kind, cases in (("classes", IOU), ("one-hot", ONE_HOT_IOU), ("binary", BINARY_IOU))
        for case in cases
        for weights in WEIGHTS
    ],
    7,
)
def test_overlap(kind, case, weights):
    name, arguments = case
    tail = (1,) if weights in ("one per sample", "a column") else (NUM_CLASSES,)
    if kind == "one-hot":
        tail = (NUM_CLASSES,)
    data = list(batches(kind, tail))
    shape = WEIGHTS[weights]
    if kind == "one-hot" and weights == "one per element":
        shape = WEIGHTS["one per sample"]
    check(name, arguments, data, shape)


def test_classes_outside_of_the_range_do_not_count():
    y_true, y_pred = np.array([0, 1, -1, 255, 2, 1]), np.array([0, 1, 1, 0, -3, 9])
    check("MeanIoU", {"num_classes": 3}, [(y_true, y_pred)], None)
    check("MeanIoU", {"num_classes": 3, "ignore_class": 255}, [(y_true, y_pred)], None)
    check("IoU", {"num_classes": 3, "target_class_ids": [-1]}, [(y_true, y_pred)], None)


def test_segmentation_maps_with_classes_on_the_first_axis():
    labels = np.random.default_rng(0).integers(3, size=(2, 5, 4))
    scores = np.random.default_rng(1).random((2, 3, 5, 4)).astype("f")
    ours = metrics.MeanIoU(3, sparse_y_pred=False, axis=1)
    theirs = keras.metrics.MeanIoU(3)
    np.testing.assert_allclose(ours(labels, scores), theirs(labels, scores.argmax(1)), RTOL)


def test_weights_that_are_cut_off_are_told():
    with pytest.warns(UserWarning, match="fractions of sample weights are cut off"):
        metrics.MeanIoU(2)([0, 1], [0, 1], np.array([0.5, 1.5], "f"))


# In training


CASES_IN_FIT = [
    ("AUC", {}),
    ("AUC", {"curve": "PR", "multi_label": True, "label_weights": [1.0, 2.0, 0.5]}),
    ("AUC", {"thresholds": UNEVEN}),
    ("Precision", {"top_k": 2}),
    ("RecallAtPrecision", {"precision": 0.3, "class_id": 1}),
    ("OneHotMeanIoU", {"num_classes": 3, "dtype": "float32"}),
    ("BinaryIoU", {"dtype": "float32"}),
    ("ConcordanceCorrelation", {}),
]
#: Keras as we wants a weight for each element there.
PLAIN_ONLY = [name for name, _ in CASES_IN_FIT].index("BinaryIoU")
X = np.random.default_rng(0).standard_normal((20, 4)).astype("f")
Y = np.eye(3, dtype="f")[np.arange(20) % 3]


class Ours:
    layers, metrics, Sequential = layers, metrics, kcompile.Sequential


def fitted(k, weights):
    """Logs of two epochs and of an evaluation, each metric without and with sample weights."""
    model = k.Sequential([k.layers.Input((4,)), k.layers.Dense(3, activation="sigmoid")])
    if weights is not None:
        model.set_weights(weights)
    start = model.get_weights()
    made = [
        [getattr(k.metrics, name)(**arguments, name=f"{kind}{i}")
         for i, (name, arguments) in enumerate(CASES_IN_FIT)]
        for kind in ("plain", "weighted")
    ]  # fmt: skip
    del made[1][PLAIN_ONLY]
    model.compile("sgd", "binary_crossentropy", metrics=made[0], weighted_metrics=made[1])
    factors = np.linspace(0.5, 2, 20, dtype="f")
    arguments = {"sample_weight": factors, "batch_size": 8, "verbose": 0}
    history = model.fit(X, Y, epochs=2, shuffle=False, **arguments).history
    return history, model.evaluate(X, Y, return_dict=True, **arguments), start


@pytest.mark.slow
def test_metrics_in_fit_and_evaluate():
    history, result, weights = fitted(Ours, None)
    expected_history, expected, _ = fitted(keras, weights)
    assert len(expected) == 2 * len(CASES_IN_FIT)
    for name, values in expected_history.items():
        np.testing.assert_allclose(history[name], values, 2e-5, 1e-6, err_msg=name)
        np.testing.assert_allclose(result[name], expected[name], 2e-5, 1e-6, err_msg=name)


@pytest.mark.parametrize("identifier", ["AUC", "auc", "pearson_correlation", "BinaryIoU"])
def test_names(identifier):
    from keras.src.trainers.compile_utils import get_metric

    ours = metrics.resolve(identifier, None, (None, 3), (None, 3))
    theirs = get_metric(identifier, np.zeros((2, 3)), np.zeros((2, 3)))
    assert (type(ours).__name__, ours.name) == (type(theirs).__name__, theirs.name)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        *(("AUC", arguments) for arguments in AUC),
        *RATIOS, *POINTS, *CORRELATIONS, *ADJUSTED, *IOU, *ONE_HOT_IOU, *BINARY_IOU,
    ],
)  # fmt: skip
def test_configs_go_both_ways(name, arguments):
    arguments = {"name": "a_metric", **arguments}
    ours, theirs = (getattr(k, name)(**arguments) for k in (metrics, keras.metrics))
    # Keras keeps label_weights as a tensor, which is no JSON.
    labels = {"label_weights": arguments.get("label_weights")} if name == "AUC" else {}
    config = as_json(ours.get_config())
    their_config = as_json({**theirs.get_config(), **labels})
    assert {**config, "dtype": None} == {**their_config, "dtype": None}
    for given in (config, their_config):
        again = metrics.deserialize({"class_name": name, "config": given})
        assert as_json(again.get_config()) == config
    loaded = keras.metrics.deserialize(metrics.serialize(ours))
    assert type(loaded) is type(theirs)


def as_json(config):
    return json.loads(json.dumps(config))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.AUC(1), "num_thresholds must be above 1"),
        (lambda: metrics.AUC(curve="x"), "curve is one of"),
        (lambda: metrics.AUC(summation_method="x"), "summation_method is one of"),
        (lambda: metrics.AUC(num_labels=3), "num_labels is for multi_label"),
        (lambda: metrics.AUC(multi_label=True).result(), "has seen no data"),
        (lambda: metrics.RecallAtPrecision(1.5), "precision must be in"),
        (lambda: metrics.RecallAtPrecision(0.5, 0), "num_thresholds must be positive"),
        (lambda: metrics.IoU(2, [2]), "target_class_ids are below 2"),
        (lambda: metrics.R2Score(num_regressors=-1), "num_regressors is not negative"),
        (lambda: metrics.get("MeanIoU"), "num_classes"),
        (lambda: metrics.get(metrics.IoU), "num_classes"),
    ],
)  # fmt: skip
def test_errors(call, message):
    with pytest.raises(SpecError, match=message):
        call()


def test_shapes_that_do_not_fit():
    y = np.zeros(3, "f")
    with pytest.raises(ShapeError, match="class_id needs"):
        metrics.Precision(class_id=1).update_state(y, y)
    with pytest.raises(ShapeError, match="multi_label needs"):
        metrics.AUC(multi_label=True).update_state(y, y)
