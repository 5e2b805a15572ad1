"""scikit-learn's estimators around models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, TransformerMixin
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_is_fitted, validate_data

from kcompile.ir.errors import SpecError
from kcompile.models import Model


class _Estimator(BaseEstimator):
    """A model that fits and predicts as scikit-learn's estimators do.

    Args:
        model: a function that takes X and y, and `model_kwargs`, and gives a compiled model; or,
            with warm_start, a compiled model, which goes on training.
        warm_start: whether `fit` goes on with the model of the `fit` before.
        model_kwargs: arguments of the function.
        fit_kwargs: arguments of the model's `fit`.

    Attributes:
        model_: the trained model.
        history_: what its `fit` gave.
    """

    def __init__(
        self,
        model: Any,
        warm_start: bool = False,
        model_kwargs: dict[str, Any] | None = None,
        fit_kwargs: dict[str, Any] | None = None,
    ) -> None:
        self.model = model
        self.warm_start = warm_start
        self.model_kwargs = model_kwargs
        self.fit_kwargs = fit_kwargs

    def fit(self, X: Any, y: Any, **kwargs: Any) -> Any:
        """Train on X `[N, K]` and y `[N]` or `[N, M]`."""
        X, y = validate_data(self, X, y, multi_output=True, dtype="numeric")
        type_of_target(y, raise_unknown=True)
        self._prepare_target(y)
        target = self._encode(y)
        model = self._model_for(X, target)
        self.history_ = model.fit(X, target, **{**(self.fit_kwargs or {}), **kwargs})
        self.model_ = model
        return self

    def _model_for(self, X: Any, y: Any) -> Model:
        if self.warm_start and hasattr(self, "model_"):
            return self.model_
        if isinstance(self.model, Model):
            if not self.warm_start:
                raise NotImplementedError(
                    f"{type(self).__name__}: a copy of a compiled model is not there yet; give a"
                    " function that makes and compiles one, or warm_start=True"
                )
            return self.model
        make: Callable[..., Any] = self.model
        model = make(X=X, y=y, **(self.model_kwargs or {}))
        if not isinstance(model, Model):
            raise SpecError(f"needs a function that gives a model, got {model!r}")
        return model

    def _raw(self, X: Any) -> Any:
        check_is_fitted(self)
        X = validate_data(self, X, reset=False)
        return np.asarray(self.model_.predict(X, verbose=0))

    def _prepare_target(self, y: Any) -> None:
        self._rank = y.ndim

    def _encode(self, y: Any) -> Any:
        return y.reshape(-1, 1) if y.ndim == 1 else y

    def _decode(self, y: Any) -> Any:
        return y[:, 0] if self._rank == 1 and y.ndim == 2 and y.shape[1] == 1 else y

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.non_deterministic = True
        return tags


class SKLearnRegressor(RegressorMixin, _Estimator):
    """A model as a regressor of scikit-learn."""

    def predict(self, X: Any) -> Any:
        """What the model gives for X."""
        return self._decode(self._raw(X))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True
        return tags


class SKLearnClassifier(ClassifierMixin, _Estimator):
    """A model as a classifier of scikit-learn; it is trained on one-hot rows of the classes.

    Attributes:
        classes_: the labels, in the order of the model's outputs.
    """

    def _prepare_target(self, y: Any) -> None:
        super()._prepare_target(y)
        kind = type_of_target(y, raise_unknown=True)
        if kind not in ("binary", "multiclass"):
            raise ValueError(
                f"Only binary and multiclass target types are supported. Unknown label type: {kind}"
            )
        self.classes_ = np.unique(y)
        if len(self.classes_) == 1:
            raise ValueError("Classifier can't train when only one class is present.")

    def _encode(self, y: Any) -> Any:
        return (y.reshape(-1, 1) == self.classes_).astype(np.float32)

    def decision_function(self, X: Any) -> Any:
        """The model's outputs `[N, classes]`."""
        return self._raw(X)

    def predict(self, X: Any) -> Any:
        """The label of the greatest output."""
        best = np.argmax(self._raw(X), axis=1)  # checks first that there is a fit
        labels = self.classes_[best]
        return labels[:, None] if self._rank == 2 else labels

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.poor_score = True
        return tags


class SKLearnTransformer(TransformerMixin, _Estimator):
    """A model as a transformer of scikit-learn: what it gives are the new features."""

    def transform(self, X: Any) -> Any:
        """What the model gives for X."""
        return self._decode(self._raw(X))
