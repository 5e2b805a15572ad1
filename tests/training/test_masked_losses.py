"""Masks together with sample weights, for every reduction, against Keras."""

import keras
import numpy as np
import pytest

import kcompile

RANDOM = np.random.default_rng(0)
REDUCTIONS = ("sum_over_batch_size", "mean", "sum", "mean_with_sample_weight")
X = RANDOM.standard_normal((7, 5, 3)).astype(np.float32)
X[np.arange(5) >= RANDOM.integers(1, 6, (7, 1))] = 0.0  # is masked
Y = RANDOM.standard_normal((7, 5, 2)).astype(np.float32)
KERNELS = [RANDOM.standard_normal((3, 2)).astype(np.float32) for _ in REDUCTIONS]
WEIGHTS = {
    "none": None,
    "rows": RANDOM.uniform(0.5, 2, (7, 1)).astype(np.float32),
    "steps": RANDOM.uniform(0.5, 2, (7, 5)).astype(np.float32),
}


def model_of(library):
    """Outputs that differ in the reduction of their loss."""
    x = library.layers.Input((5, 3))
    masked = library.layers.Masking()(x)
    outputs = [library.layers.Dense(2, use_bias=False, name=name)(masked) for name in REDUCTIONS]
    model = library.Model(x, outputs)
    for name, kernel in zip(REDUCTIONS, KERNELS, strict=True):
        model.get_layer(name).set_weights([kernel])
    model.compile(
        library.optimizers.SGD(0.01),
        [library.losses.MeanSquaredError(reduction=name) for name in REDUCTIONS],
        metrics=[["mae"] for _ in REDUCTIONS],
        weighted_metrics=[["mse"] for _ in REDUCTIONS],
    )
    return model


def in_batches(library, call, kind):
    """The model and what a call of it gives for two batches, the second one partial."""
    model = model_of(library)
    weight = WEIGHTS[kind]
    options = {} if weight is None else {"sample_weight": [weight] * len(REDUCTIONS)}
    return model, call(model, x=X, y=[Y] * len(REDUCTIONS), batch_size=4, verbose=0, **options)


def evaluate(model, **options):
    return model.evaluate(return_dict=True, **options)


def fit(model, **options):
    return model.fit(epochs=1, shuffle=False, **options).history


@pytest.mark.parametrize("kind", WEIGHTS)
def test_logs(kind):
    _, ours = in_batches(kcompile, evaluate, kind)
    _, theirs = in_batches(keras, evaluate, kind)
    assert sorted(ours) == sorted(theirs)
    for name, value in theirs.items():
        np.testing.assert_allclose(ours[name], value, rtol=1e-5, err_msg=name)


@pytest.mark.parametrize(
    "kind", [*list(WEIGHTS)[:2], pytest.param("steps", marks=pytest.mark.slow)]
)
def test_updates(kind):
    """Without metrics, which Keras on JAX gives no masks in `fit`, though in `evaluate`."""
    model, ours = in_batches(kcompile, fit, kind)
    oracle, theirs = in_batches(keras, fit, kind)
    for name in ("loss", *(f"{reduction}_loss" for reduction in REDUCTIONS)):
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-5, err_msg=name)
    for name in REDUCTIONS:
        weights = [m.get_layer(name).get_weights()[0] for m in (model, oracle)]
        np.testing.assert_allclose(*weights, rtol=1e-5, atol=1e-6, err_msg=name)


class MaskedLoss(kcompile.layers.Layer):
    def __init__(self, reduction):
        super().__init__()
        self.masking = kcompile.layers.Masking()
        self.loss = kcompile.losses.MeanAbsoluteError(reduction=reduction)

    def call(self, x, y, weight=None):
        return self.loss(y, self.masking(x), weight)


@pytest.mark.parametrize("reduction", [*REDUCTIONS, "none", None])
@pytest.mark.parametrize("kind", WEIGHTS)
def test_a_loss_of_masked_predictions(kind, reduction):
    predictions = X[..., :2]
    tensor = keras.layers.Masking()(predictions)
    expected = keras.losses.MeanAbsoluteError(reduction=reduction)(Y, tensor, WEIGHTS[kind])
    value = MaskedLoss(reduction)(predictions, Y, WEIGHTS[kind])
    np.testing.assert_allclose(value, expected, rtol=2e-6)
