"""What Keras 2 computed and Keras 3 has no name for, as configs of layers that Keras 3 has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kcompile.ir.errors import SpecError
from kcompile.layers import Bidirectional, Layer, UpSampling2D
from kcompile.layers.resizing import KERAS_2_BILINEAR

Config = dict[str, Any]

#: What the hard sigmoid of Keras 1 and 2 is called here: `clip(0.2 x + 0.5, 0, 1)`. Keras 3's
#: divides by 6.
KERAS_2_HARD_SIGMOID = "hard_sigmoid_keras2"
_SCALE: Config = {"scale": 0.2, "offset": 0.5}
_CUT: Config = {"max_value": 1.0, "negative_slope": 0.0, "threshold": 0.0}


def with_names_of_keras_3(layer: Layer, config: Config) -> tuple[str, Config]:
    """A layer's class name and config, in which Keras 3 knows every name.

    Raises:
        SpecError: Keras 3 has no layers that compute the same.
    """
    _require_names_inside(layer)
    if isinstance(layer, Bidirectional) and not layer.zero_output_for_mask:
        raise SpecError(
            "masked steps have the output of the step before, and those of Keras 3 are zero",
            where=f"layer '{layer.name}'",
            hint="Save the weights, and make the model in code before loading them",
        )
    if isinstance(layer, UpSampling2D) and layer.interpolation == KERAS_2_BILINEAR:
        return "Sequential", _means_of_neighbours(layer)
    made: Config = _with_hard_sigmoids(config)
    return type(layer).__name__, made


def _require_names_inside(wrapper: Layer) -> None:
    inner = getattr(wrapper, "layer", None)
    while isinstance(inner, Layer):
        is_bilinear = isinstance(inner, UpSampling2D) and inner.interpolation == KERAS_2_BILINEAR
        if is_bilinear or (isinstance(inner, Bidirectional) and not inner.zero_output_for_mask):
            raise SpecError(
                f"Keras 3 has no layer that computes what '{inner.name}' in it does",
                where=f"layer '{wrapper.name}'",
                hint="Save the weights, and make the model in code before loading them",
            )
        inner = getattr(inner, "layer", None)


def _with_hard_sigmoids(config: Config) -> Config:
    made = {
        key: _with_hard_sigmoids(value) if isinstance(value, dict) else value
        for key, value in config.items()
    }
    for key, value in config.items():
        if key.endswith("activation") and value == KERAS_2_HARD_SIGMOID:
            made[key] = _hard_sigmoid(config.get("dtype"))
        elif key == "cells":
            made[key] = [_with_hard_sigmoids(cell) for cell in value]
    return made


def _hard_sigmoid(dtype: Any) -> Config:
    """A layer that computes `min(max(0.2 x + 0.5, 0), 1)`."""
    layers = [
        _layer("Rescaling", {"name": "scale", "dtype": dtype, **_SCALE}),
        _layer("ReLU", {"name": "cut", "dtype": dtype, **_CUT}),
    ]
    return _layer("Pipeline", {"name": KERAS_2_HARD_SIGMOID, "layers": layers})


def is_hard_sigmoid(value: Any) -> bool:
    """Whether an activation's config is the one that stands for the hard sigmoid of Keras 2."""
    layers = _config_of("Pipeline", value).get("layers")
    if not isinstance(layers, list) or len(layers) != 2:
        return False
    scale, cut = _config_of("Rescaling", layers[0]), _config_of("ReLU", layers[1])
    return _holds(scale, _SCALE) and _holds(cut, _CUT)


def _config_of(class_name: str, entry: Any) -> Config:
    """The config of a layer of this class; an empty one for anything else."""
    if not isinstance(entry, dict) or entry.get("class_name") != class_name:
        return {}
    config = entry.get("config")
    return config if isinstance(config, dict) else {}


def _holds(config: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(config.get(key) == value for key, value in wanted.items())


def _means_of_neighbours(layer: UpSampling2D) -> Config:
    """A Sequential in place of a layer that doubles, once or more, with places from the beginning.

    After repetition, the mean of each element and the next one is the element itself or lies
    halfway to its neighbour; at the end, where there is no next one, a mean has one element.

    Raises:
        SpecError: a factor is no power of two.
    """
    if any(factor & (factor - 1) for factor in layer.size):
        raise SpecError(
            f"Keras 3 does not interpolate like Keras 2, and by {layer.size} no other layers do",
            where=f"layer '{layer.name}'",
            hint="Save the weights, and make the model in code before loading them",
        )
    common = {"dtype": layer.get_config()["dtype"], "data_format": layer.data_format}
    left = list(layer.size)
    layers: list[Config] = []
    while max(left) > 1:
        step = [min(factor, 2) for factor in left]
        left = [factor // done for factor, done in zip(left, step, strict=True)]
        number = len(layers) // 2
        repeated = {"name": f"repeat_{number}", "size": step, "interpolation": "nearest"}
        mean = {"name": f"mean_{number}", "pool_size": step, "strides": [1, 1], "padding": "same"}
        layers.append(_layer("UpSampling2D", {**repeated, **common}))
        layers.append(_layer("AveragePooling2D", {**mean, **common}))
    return {"name": layer.name, "trainable": layer.trainable, "layers": layers}


def _layer(class_name: str, config: Config) -> Config:
    return {
        "module": "keras.layers",
        "class_name": class_name,
        "config": config,
        "registered_name": None,
    }
