"""Models as scikit-learn's estimators."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import make_classification, make_regression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

import kcompile
from kcompile import layers
from kcompile.wrappers import SKLearnClassifier, SKLearnRegressor, SKLearnTransformer


def make_model(X: Any, y: Any, loss: str, activation: str | None = None) -> Any:
    x = layers.Input((X.shape[1],))
    hidden = layers.Dense(16, activation="relu")(x)
    model = kcompile.Model(x, layers.Dense(y.shape[1], activation=activation)(hidden))
    model.compile("adam", loss)
    return model


CLASSES = {"loss": "categorical_crossentropy", "activation": "softmax"}


def classifier(epochs: int = 1) -> Any:
    return SKLearnClassifier(
        make_model, model_kwargs=CLASSES, fit_kwargs={"verbose": 0, "epochs": epochs}
    )


def test_a_classifier_learns() -> None:
    kcompile.utils.set_random_seed(1)
    X, y = make_classification(200, 6, n_informative=4, n_classes=3, random_state=0)
    names = np.array(["a", "b", "c"])[y]
    pipeline = make_pipeline(StandardScaler(), classifier(40)).fit(X, names)
    assert pipeline.score(X, names) > 0.7
    assert pipeline[-1].classes_.tolist() == ["a", "b", "c"]
    assert pipeline.decision_function(X).shape == (200, 3)
    assert len(pipeline[-1].history_.history["loss"]) == 40


def test_a_regressor_learns_and_goes_on() -> None:
    kcompile.utils.set_random_seed(1)
    X, y = make_regression(100, 4, random_state=0)
    y = y / y.std()
    regressor = SKLearnRegressor(
        make_model, True, {"loss": "mse"}, {"verbose": 0, "epochs": 60}
    ).fit(X, y)
    first, model = regressor.score(X, y), regressor.model_
    assert regressor.predict(X).shape == (100,)
    regressor.fit(X, y)
    assert regressor.model_ is model and regressor.score(X, y) > first


def test_a_transformer_gives_features() -> None:
    X, y = make_regression(20, 4, random_state=0)
    transformer = SKLearnTransformer(make_model, False, {"loss": "mse"}, {"verbose": 0})
    assert transformer.fit(X, y[:, None]).transform(X).shape == (20, 1)


def test_compiled_models_need_warm_start() -> None:
    X, y = make_regression(20, 4, random_state=0)
    model = make_model(X, y[:, None], "mse")
    with pytest.raises(NotImplementedError, match="warm_start"):
        SKLearnRegressor(model).fit(X, y)
    fitted = SKLearnRegressor(model, warm_start=True, fit_kwargs={"verbose": 0}).fit(X, y)
    assert fitted.model_ is model


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("estimator", "check"),
    list(estimator_checks_generator(classifier(), legacy=False)),
    ids=lambda value: getattr(getattr(value, "func", None), "__name__", ""),
)
def test_checks_of_scikit_learn(estimator: Any, check: Any) -> None:
    check(estimator)
