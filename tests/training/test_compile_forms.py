"""What `compile` takes as losses and metrics, and what the logs then hold, against Keras."""

import keras
import numpy as np
import pytest

import kcompile

RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((10, 3)).astype(np.float32)
Y = {name: RANDOM.standard_normal((10, 2)).astype(np.float32) for name in "ab"}
WEIGHT = {name: RANDOM.uniform(0.5, 2, 10).astype(np.float32) for name in "ab"}
KERNELS = {name: RANDOM.standard_normal((3, 2)).astype(np.float32) for name in "ab"}


class Forms:
    """Losses and metrics of one's own, for one of the two libraries."""

    def __init__(self, library):
        self.library = library

    def cubed(self):
        def cubed(y_true, y_pred):
            return self.library.ops.mean(self.library.ops.abs(y_true - y_pred) ** 3, -1)

        return cubed

    def biggest(self):
        def biggest(y_true, y_pred):
            return self.library.ops.max(self.library.ops.abs(y_true - y_pred), -1)

        return biggest

    def instance(self, name):
        return getattr(self.library.metrics, name)()


def logs_of(library, names, loss, options, with_weights):
    """The logs of `evaluate` in batches of 4, 4 and 2 rows, and the names in the model."""
    forms = Forms(library)
    x = library.layers.Input((3,))
    outputs = [library.layers.Dense(2, use_bias=False, name=name)(x) for name in names]
    model = library.Model(x, outputs if len(outputs) > 1 else outputs[0])
    for name in names:
        model.get_layer(name).set_weights([KERNELS[name]])
    made = {key: value(forms) for key, value in options.items()}
    model.compile("sgd", loss(forms), **made)
    targets, weights = ([part[name] for name in names] for part in (Y, WEIGHT))
    if len(names) == 1:
        (targets,), (weights,) = targets, weights
    given = {"sample_weight": weights} if with_weights else {}
    logs = model.evaluate(X, targets, batch_size=4, verbose=0, return_dict=True, **given)
    return logs, list(model.metrics_names)


#: Outputs, loss and the rest of what `compile` is given.
FORMS = {
    "functions for one output": (
        "a",
        lambda f: f.cubed(),
        {
            "metrics": lambda f: [f.biggest(), "mae"],
            "weighted_metrics": lambda f: [f.cubed(), f.instance("MeanSquaredError")],
        },
    ),
    "dicts for one output": (
        "a",
        lambda f: {"a": f.cubed()},
        {"metrics": lambda f: {"a": f.biggest()}, "weighted_metrics": lambda f: {"a": [f.cubed()]}},
    ),
    "one function for two outputs": (
        "ab",
        lambda f: f.cubed(),
        {"metrics": lambda f: [f.biggest(), f.cubed()]},
    ),
    "lists for two outputs": (
        "ab",
        lambda f: [f.cubed(), "mse"],
        {
            "metrics": lambda f: [[f.biggest(), "mae"], [f.instance("MeanSquaredError")]],
            "weighted_metrics": lambda f: [[f.cubed()], ["mse"]],
            "loss_weights": lambda f: [0.5, 2.0],
        },
    ),
    "dicts for two outputs": (
        "ab",
        lambda f: {"b": f.cubed(), "a": f.biggest()},
        {
            "metrics": lambda f: {"b": [f.biggest(), "mse"], "a": f.cubed()},
            "weighted_metrics": lambda f: {"b": f.cubed()},
            "loss_weights": lambda f: {"a": 3.0, "b": 0.1},
        },
    ),
    "a loss for one of two outputs": (
        "ab",
        lambda f: {"a": None, "b": f.cubed()},
        {"metrics": lambda f: {"b": "mae"}},
    ),
    "a metric with a name": (
        "ab",
        lambda f: "mse",
        {"metrics": lambda f: {"a": f.library.metrics.MeanMetricWrapper(f.cubed(), name="own")}},
    ),
}


@pytest.mark.parametrize("with_weights", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.parametrize("form", FORMS)
def test_logs_and_names(form, with_weights):
    names, loss, options = FORMS[form]
    ours, our_names = logs_of(kcompile, names, loss, options, with_weights)
    theirs, _ = logs_of(keras, names, loss, options, with_weights)
    assert sorted(ours) == sorted(theirs)  # Keras sorts them by name
    assert list(ours) == our_names
    for name, value in theirs.items():
        np.testing.assert_allclose(ours[name], value, rtol=2e-6, err_msg=name)


def test_validation_split_takes_the_last_rows_before_shuffling():
    """With all rows in one batch, losses tell which rows there were."""
    rows = 2.0 ** np.arange(10, dtype=np.float32)
    model = kcompile.Sequential(
        [
            kcompile.layers.Input((1,)),
            kcompile.layers.Dense(1, kernel_initializer="zeros", trainable=False),
        ]
    )
    model.compile("sgd", "mae")
    history = model.fit(
        rows, rows, batch_size=10, epochs=2, validation_split=0.25, shuffle=True, verbose=0
    ).history
    np.testing.assert_allclose(history["loss"], [rows[:7].mean()] * 2, rtol=1e-6)
    np.testing.assert_allclose(history["val_loss"], [rows[7:].mean()] * 2, rtol=1e-6)


def test_a_partial_last_batch_counts_by_its_rows():
    model = kcompile.Sequential([kcompile.layers.Input((3,)), kcompile.layers.Dense(2)])
    model.compile(
        "sgd",
        "mae",
        metrics=["mse", kcompile.metrics.RootMeanSquaredError(name="root")],
        weighted_metrics=[kcompile.metrics.MeanSquaredError(name="weighted")],
    )
    errors = np.abs(model.predict(X, verbose=0) - Y["a"])
    weights = WEIGHT["a"]
    logs = model.evaluate(
        X, Y["a"], batch_size=4, sample_weight=weights, verbose=0, return_dict=True
    )
    rows = np.mean(errors**2, axis=1)
    assert logs == pytest.approx(
        {
            "loss": np.mean(errors.mean(axis=1) * weights),
            "mse": rows.mean(),
            "root": np.sqrt(rows.mean()),
            "weighted": (rows * weights).sum() / weights.sum(),
        },
        rel=1e-5,
    )
