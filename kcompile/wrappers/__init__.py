"""Models as scikit-learn's estimators, by Keras's names; scikit-learn is imported on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kcompile.ir.errors import DataError

if TYPE_CHECKING:
    from kcompile.wrappers.estimators import (
        SKLearnClassifier,
        SKLearnRegressor,
        SKLearnTransformer,
    )

__all__ = ["SKLearnClassifier", "SKLearnRegressor", "SKLearnTransformer"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'kcompile.wrappers' has no attribute {name!r}")
    try:
        import sklearn  # noqa: F401
    except ImportError as error:
        raise DataError(
            "the wrappers need scikit-learn", hint="pip install scikit-learn"
        ) from error
    from kcompile.wrappers import estimators

    return getattr(estimators, name)
