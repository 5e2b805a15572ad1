"""Losses, by Keras's names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kcompile.ir.errors import SpecError
from kcompile.losses.base import FunctionLoss, Loss, LossFunctionWrapper
from kcompile.losses.hinge import (
    CategoricalHinge,
    Hinge,
    SquaredHinge,
    categorical_hinge,
    hinge,
    squared_hinge,
)
from kcompile.losses.overlap import Dice, Tversky, dice, tversky
from kcompile.losses.probabilistic import (
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    CategoricalGeneralizedCrossEntropy,
    KLDivergence,
    Poisson,
    SparseCategoricalCrossentropy,
    binary_crossentropy,
    binary_focal_crossentropy,
    categorical_crossentropy,
    categorical_focal_crossentropy,
    categorical_generalized_cross_entropy,
    kl_divergence,
    poisson,
    sparse_categorical_crossentropy,
)
from kcompile.losses.regression import (
    CosineSimilarity,
    Huber,
    LogCosh,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    cosine_similarity,
    huber,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
)
from kcompile.losses.structured import CTC, Circle, circle, ctc
from kcompile.ops import configs
from kcompile.ops.naming import snake_case

#: The closed table in which class names of files are looked up.
LOSSES: dict[str, type[Loss]] = {
    name: value
    for name, value in globals().items()
    if isinstance(value, type)
    and issubclass(value, Loss)
    and value not in (Loss, FunctionLoss, LossFunctionWrapper)
}
_BY_FUNCTION: dict[Callable[..., Any], type[Loss]] = {
    cls.function: cls for cls in LOSSES.values() if issubclass(cls, FunctionLoss)
}
_ALIASES: dict[str, type[Loss]] = {
    "bce": BinaryCrossentropy,
    "kld": KLDivergence,
    "kullback_leibler_divergence": KLDivergence,
    "logcosh": LogCosh,
    "mae": MeanAbsoluteError,
    "mape": MeanAbsolutePercentageError,
    "mse": MeanSquaredError,
    "msle": MeanSquaredLogarithmicError,
}
#: What a string may be: a function's name, an alias, or a class's name.
_NAMES: dict[str, type[Loss]] = {
    **{function.__name__: cls for function, cls in _BY_FUNCTION.items()},
    **_ALIASES,
    **{alias.upper(): cls for alias, cls in _ALIASES.items() if len(alias) <= len("mape")},
    **LOSSES,
}
_BY_SHAPE = ("crossentropy", "ce")


def get(identifier: Any) -> Loss | None:
    """The loss that a name, config dict, class, instance or function stands for; None for None.

    Raises:
        SpecError: it stands for none.
    """
    if identifier is None or isinstance(identifier, Loss):
        return identifier
    if isinstance(identifier, str):
        cls = _find(identifier, {})
        return cls() if identifier in LOSSES else cls(name=identifier)
    if isinstance(identifier, Mapping):
        return deserialize(identifier)
    if isinstance(identifier, type) and issubclass(identifier, Loss):
        return identifier()
    if callable(identifier) and not isinstance(identifier, type):
        name = getattr(identifier, "__name__", type(identifier).__name__)
        if identifier in _BY_FUNCTION:
            return _BY_FUNCTION[identifier](name=name)
        return LossFunctionWrapper(identifier, name=snake_case(name))
    raise SpecError(
        f"{identifier!r} is not a loss",
        hint="Pass a name, a config dict, a Loss or a function of (y_true, y_pred)",
    )


def resolve(
    identifier: Any, y_true_shape: Sequence[int | None], y_pred_shape: Sequence[int | None]
) -> Loss | None:
    """`get`, with `crossentropy` and `ce` chosen by the shapes of labels and predictions."""
    if not isinstance(identifier, str) or identifier.lower() not in _BY_SHAPE:
        return get(identifier)
    kind = label_kind(y_true_shape, y_pred_shape)
    classes = {
        "binary": BinaryCrossentropy,
        "sparse": SparseCategoricalCrossentropy,
        "categorical": CategoricalCrossentropy,
    }
    return classes[kind](name=identifier)


def label_kind(y_true_shape: Sequence[int | None], y_pred_shape: Sequence[int | None]) -> str:
    """`binary`, `sparse` or `categorical`: what labels and predictions of these shapes mean.

    Binary is one prediction per sample; sparse are labels without an axis of classes.
    """
    if len(y_pred_shape) < 2 or y_pred_shape[-1] == 1:
        return "binary"
    if len(y_true_shape) < len(y_pred_shape) or y_true_shape[-1] == 1:
        return "sparse"
    return "categorical"


def serialize(loss: Loss) -> dict[str, Any]:
    """The config dict from which `deserialize` makes the loss again.

    Raises:
        SpecError: the loss is a plain function.
    """
    return configs.serialize(loss, "keras.losses", LOSSES)


def deserialize(
    config: Mapping[str, Any] | str, custom_objects: Mapping[str, type] | None = None
) -> Loss:
    """The loss that a config dict describes; also one by a function's name, as in files.

    Raises:
        SpecError: the class is unknown, or a config key is.
    """
    if isinstance(config, str):
        return _find(config, custom_objects or {})()
    if config.get("class_name") == "function" and isinstance(config.get("config"), str):
        return _find(config["config"], {})(name=config["config"])
    name, arguments = configs.open_envelope(config, "loss")
    cls = _find(name, custom_objects or {})
    return configs.construct(cls, arguments, "loss")


def _find(name: str, custom_objects: Mapping[str, type]) -> type[Loss]:
    table = {**_NAMES, **custom_objects}
    if name.lower() in _BY_SHAPE:
        raise SpecError(
            f"the loss '{name}' depends on shapes that are not known here",
            hint="Name binary, categorical or sparse_categorical_crossentropy",
        )
    return configs.find_class(name, table, "loss")


__all__ = [
    "CTC",
    "LOSSES",
    "BinaryCrossentropy",
    "BinaryFocalCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalFocalCrossentropy",
    "CategoricalGeneralizedCrossEntropy",
    "CategoricalHinge",
    "Circle",
    "CosineSimilarity",
    "Dice",
    "Hinge",
    "Huber",
    "KLDivergence",
    "LogCosh",
    "Loss",
    "LossFunctionWrapper",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Poisson",
    "SparseCategoricalCrossentropy",
    "SquaredHinge",
    "Tversky",
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "categorical_generalized_cross_entropy",
    "categorical_hinge",
    "circle",
    "cosine_similarity",
    "ctc",
    "deserialize",
    "dice",
    "get",
    "hinge",
    "huber",
    "kl_divergence",
    "label_kind",
    "log_cosh",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
    "poisson",
    "resolve",
    "serialize",
    "sparse_categorical_crossentropy",
    "squared_hinge",
    "tversky",
]
