"""Layers of Keras 2: class names, config keys and defaults that were others than today's."""

from __future__ import annotations

import warnings
from typing import Any, Final

from kcompile.formats.legacy.era import Era
from kcompile.formats.place import Place, shorten
from kcompile.layers.resizing import KERAS_2_BILINEAR

Config = dict[str, Any]

#: Classes by the names of earlier releases; `CuDNN` layers keep their weights in another form.
CLASSES: dict[str, str] = {
    "AtrousConv1D": "Conv1D",
    "AtrousConv2D": "Conv2D",
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "CuDNNGRU": "GRU",
    "CuDNNLSTM": "LSTM",
    "GRUCellV2": "GRUCell",
    "GRUV2": "GRU",
    "LSTMCellV2": "LSTMCell",
    "LSTMV2": "LSTM",
    "SyncBatchNormalization": "BatchNormalization",
    "ThresholdedReLU": "ReLU",
    "UnifiedGRU": "GRU",
    "UnifiedLSTM": "LSTM",
}
RECURRENT = frozenset(
    ["ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D", "GRU", "LSTM", "RNN", "SimpleRNN", "Bidirectional"]
)
_CELLS = frozenset(["GRUCell", "LSTMCell", "SimpleRNNCell"])
_SEPARABLE = frozenset(["SeparableConv1D", "SeparableConv2D", "DepthwiseConv1D", "DepthwiseConv2D"])
_TRANSPOSED = frozenset(["Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"])
_SPATIAL_DROPOUT = frozenset(["SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D"])

#: For keys that say nothing about what a model computes, whatever their values are.
_ANY: Final = object()
#: Keys of any layer: shapes of the first one's input, which the model reads.
OF_INPUTS = ("batch_input_shape", "input_dtype", "input_shape")
_INERT: dict[str, Any] = {"dynamic": (False,), "enable_caching_device": _ANY}
_RECURRENT: dict[str, Any] = {
    "implementation": _ANY,
    "num_constants": (None, 0),
    "time_major": (False,),
    "reverse_state_order": (False,),
}
#: The kernels of these layers have other keys; those of their base class say nothing.
_KERNEL: dict[str, Any] = {
    "filters": (None,),
    "groups": (1,),
    "kernel_initializer": _ANY,
    "kernel_regularizer": _ANY,
    "kernel_constraint": _ANY,
}
_INERT_BY_CLASS: dict[str, dict[str, Any]] = {
    "Attention": {"causal": (False,)},
    "AdditiveAttention": {"causal": (False,)},
    "BatchNormalization": {
        "adjustment": (None,),
        "fused": _ANY,
        "renorm": (False,),
        "renorm_clipping": (None, {}),
        "renorm_momentum": _ANY,
        "synchronized": _ANY,  # one machine has the same statistics either way
        "virtual_batch_size": (None,),
    },
    "Discretization": {"trainable": _ANY},
    "Embedding": {"input_length": _ANY, "sparse": (False,)},
    "InputLayer": {"ragged": (False,), "sparse": (False,), "type_spec": (None,)},
    "MultiHeadAttention": dict.fromkeys(("query_shape", "key_shape", "value_shape"), _ANY),
    **dict.fromkeys(RECURRENT | _CELLS, _RECURRENT),
    **dict.fromkeys(_SPATIAL_DROPOUT, {"noise_shape": (None,), "trainable": _ANY}),
    **dict.fromkeys(_TRANSPOSED, {"groups": (1,)}),
}
_RENAMED: dict[str, dict[str, str]] = {
    "InputLayer": {"batch_input_shape": "batch_shape"},
    "LeakyReLU": {"alpha": "negative_slope"},
}
#: Defaults that were others; files of later releases hold the values.
_DEFAULTS: dict[str, Config] = {
    **dict.fromkeys(("LSTM", "LSTMCell", "ConvLSTM2D"), {"recurrent_activation": "hard_sigmoid"}),
    **dict.fromkeys(
        ("GRU", "GRUCell"), {"recurrent_activation": "hard_sigmoid", "reset_after": False}
    ),
}
#: The functions of NVIDIA's library, which it lets no one choose.
_CUDNN: dict[str, Config] = {
    "CuDNNGRU": {"activation": "tanh", "recurrent_activation": "sigmoid", "reset_after": True},
    "CuDNNLSTM": {"activation": "tanh", "recurrent_activation": "sigmoid"},
}
#: What a layer of TensorFlow 2 has to be for cuDNN to compute it.
_OF_CUDNN: dict[str, Config] = {
    "GRU": {**_CUDNN["CuDNNGRU"], "recurrent_dropout": 0, "unroll": False, "use_bias": True},
    "LSTM": {**_CUDNN["CuDNNLSTM"], "recurrent_dropout": 0, "unroll": False, "use_bias": True},
}


def upgrade_keys(class_name: str, config: Config, place: Place) -> tuple[str, Config]:
    """A layer's class and config in today's names; objects in it stay as they are.

    Args:
        class_name: in the file.
        config: in the file.
        place: of the config.

    Raises:
        FormatError: a key that says nothing today has a value that said something.
    """
    name = CLASSES.get(class_name, class_name)
    kept = {key: value for key, value in config.items() if key not in OF_INPUTS}
    if name == "InputLayer":
        kept = dict(config)
    if class_name == "ThresholdedReLU":
        kept["threshold"] = kept.pop("theta", 1.0)
    kept = {_RENAMED.get(name, {}).get(key, key): value for key, value in kept.items()}
    kept = _without_inert(name, kept, place)
    if name in ("BatchNormalization", "LayerNormalization") and _is_single(kept.get("axis")):
        kept["axis"] = kept["axis"][0]
    return name, {**_DEFAULTS.get(name, {}), **_CUDNN.get(class_name, {}), **kept}


def _is_single(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 1


def _without_inert(name: str, config: Config, place: Place) -> Config:
    inert = {**_INERT, **_INERT_BY_CLASS.get(name, {})}
    if name in _SEPARABLE:
        inert |= _KERNEL
    if name.startswith("Separable"):
        del inert["filters"]
    for key, allowed in inert.items():
        if key in config and allowed is not _ANY and config[key] not in allowed:
            raise (place / key).error(
                f"{shorten(config[key])} is not supported; only {shorten(allowed[0])} is"
            )
    return {key: value for key, value in config.items() if key not in inert}


def upgrade_interpolation(config: Config, era: Era, place: Place) -> Config:
    """The config of an UpSampling2D with its interpolation as that Keras computed it.

    From 2.2.3 to 2.3, `bilinear` was that of TensorFlow 1, on Theano as well. The Keras inside
    TensorFlow computed the same in 1.13 and 1.14, but did not write the interpolation into files,
    which it read as `nearest`; since 1.15 it is today's.

    Raises:
        FormatError: what wrote the file had no such interpolation that is known.
    """
    version = (era.major, era.minor, era.patch)
    if era.is_of_tensorflow or version >= (2, 4, 0):
        if "interpolation" not in config and version == (2, 2, 4):
            warnings.warn(
                f"{place}: TensorFlow 1.13 and 1.14 left out the interpolation of UpSampling2D;"
                " it is read as 'nearest', as they did",
                stacklevel=2,
            )
        return config
    if config.get("interpolation") != "bilinear":
        return config
    if version < (2, 2, 3) or era.backend not in ("tensorflow", "theano"):
        raise (place / "interpolation").error(
            f"how {era} interpolated is not known",
            hint="Write the keras_version and backend that the model was made with into the file",
        )
    return {**config, "interpolation": KERAS_2_BILINEAR}


def makes_masks(config: Any) -> bool:
    """Whether a layer in a config makes a mask."""
    stack = [config]
    while stack:
        value = stack.pop()
        if isinstance(value, list):
            stack += value
        elif isinstance(value, dict):
            if value.get("class_name") == "Masking" or value.get("mask_zero"):
                return True
            stack += value.values()
    return False


def keeps_masked_outputs(config: Config, era: Era) -> bool:
    """Whether masked steps of a Bidirectional have the output of the step before, and not zeros.

    They have in the Keras beside TensorFlow, and in the one inside up to 1.12. In 2.0 and 2.1 the
    LSTM and GRU that cuDNN may compute left zeros out as well; these versions differ from 1.13 to
    1.15 in that initializers name no dtype.

    Args:
        config: of the Bidirectional.
        era: of the file.
    """
    version = (era.major, era.minor, era.patch)
    if not era.is_of_tensorflow:
        return version < (2, 4, 0)
    if version != (2, 2, 4):
        return version < (2, 2, 4)
    inner = config.get("layer")
    if not isinstance(inner, dict) or inner.get("class_name") not in _OF_CUDNN:
        return False
    given = inner.get("config")
    if not isinstance(given, dict):
        return False
    initializer = given.get("bias_initializer")
    names_dtype = isinstance(initializer, dict) and "dtype" in (initializer.get("config") or {})
    return not names_dtype and all(
        given.get(key, value) == value for key, value in _OF_CUDNN[inner["class_name"]].items()
    )


def check_padding(name: str, config: Config, place: Place) -> None:
    """Check that a layer that Theano computed pads as today.

    It pads both sides alike and drops what is too much at the end, whatever the strides.

    Raises:
        FormatError: it does not.
    """
    is_recurrent = name.startswith("ConvLSTM")
    if config.get("padding") != "same" and not is_recurrent:
        return
    sizes = [config.get(key, 1) for key in ("kernel_size", "pool_size", "strides")]
    kernel, pool, strides = (size if isinstance(size, list) else [size] for size in sizes)
    if "Pooling" in name:
        differs = any(size != 1 for size in pool)
    else:
        is_strided = config.get("padding") == "same" and any(step != 1 for step in strides)
        differs = is_strided or any(size % 2 == 0 for size in kernel if type(size) is int)
    if differs:
        raise (place / "padding").error(
            f"Theano pads otherwise: windows {kernel} by steps {strides} with padding 'same'",
            hint="Make the model in code with ZeroPadding layers, then load the weights",
        )
