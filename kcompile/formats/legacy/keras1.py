"""Layers of Keras 1 in the names of Keras 2, and models that began with a `Merge`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kcompile.formats.place import (
    Place,
    require_dict,
    require_keys,
    require_known_keys,
    require_list,
    shorten,
)

Config = dict[str, Any]

#: Classes by today's names.
CLASSES = {
    "AtrousConvolution1D": "Conv1D",
    "AtrousConvolution2D": "Conv2D",
    "AtrousConv1D": "Conv1D",
    "AtrousConv2D": "Conv2D",
    "Convolution1D": "Conv1D",
    "Convolution2D": "Conv2D",
    "Convolution3D": "Conv3D",
    "Deconvolution2D": "Conv2DTranspose",
    "Deconv2D": "Conv2DTranspose",
    "Merge": "Concatenate",  # or another, by its mode
    "SeparableConvolution2D": "SeparableConv2D",
    # Dense itself works on each step.
    "TimeDistributedDense": "Dense",
}
#: What a Merge holds. Beside its name and mode, the axes count; the rest is of modes that are
#: functions.
_OF_MERGE = (
    *("name", "trainable", "mode", "mode_type", "concat_axis", "dot_axes"),
    *("output_shape", "output_shape_type", "output_mask", "output_mask_type", "arguments"),
    *("layers", "node_indices", "tensor_indices"),
)
_MERGE_MODES = {
    "ave": "Average",
    "concat": "Concatenate",
    "dot": "Dot",
    "max": "Maximum",
    "mul": "Multiply",
    "sum": "Add",
}
#: Keys by their names today, whatever the class; those below go first.
_RENAMED: dict[str, str] = {
    "W_constraint": "kernel_constraint",
    "W_regularizer": "kernel_regularizer",
    "U_constraint": "recurrent_constraint",
    "U_regularizer": "recurrent_regularizer",
    "atrous_rate": "dilation_rate",
    "b_constraint": "bias_constraint",
    "b_regularizer": "bias_regularizer",
    "beta_init": "beta_initializer",
    "bias": "use_bias",
    "border_mode": "padding",
    "depthwise_init": "depthwise_initializer",
    "dim_ordering": "data_format",
    "dropout_U": "recurrent_dropout",
    "dropout_W": "dropout",
    "filter_length": "kernel_size",
    "gamma_init": "gamma_initializer",
    "init": "kernel_initializer",
    "inner_activation": "recurrent_activation",
    "inner_init": "recurrent_initializer",
    "nb_filter": "filters",
    "output_dim": "units",
    "p": "rate",
    "pointwise_init": "pointwise_initializer",
    "pool_length": "pool_size",
    "stride": "strides",
    "subsample": "strides",
    "subsample_length": "strides",
}
_RENAMED_BY_CLASS: dict[str, dict[str, str]] = {
    "Embedding": {
        "init": "embeddings_initializer",
        "output_dim": "output_dim",
        "W_constraint": "embeddings_constraint",
        "W_regularizer": "embeddings_regularizer",
    },
    "GaussianNoise": {"sigma": "stddev"},
    "PReLU": {"init": "alpha_initializer"},
    "UpSampling1D": {"length": "size"},
}
#: Keys that say nothing about what a model computes: shapes that follow from the inputs, and how
#: the same numbers were computed.
_INERT = ("input_dim", "input_length", "consume_less")
#: Rows of an embedding were dropped in training only.
_INERT_BY_CLASS = {"Embedding": ("input_length", "dropout")}
_DATA_FORMATS = {"th": "channels_first", "tf": "channels_last"}
#: Layers that have a data format, and did not write it into their configs.
_SILENT = frozenset(
    f"{kind}{rank}D" for kind in ("Cropping", "UpSampling", "ZeroPadding") for rank in (2, 3)
)
_KERNEL_KEYS = (
    ("nb_row", "nb_col"),
    ("kernel_dim1", "kernel_dim2", "kernel_dim3"),
)


def orderings(config: Any) -> frozenset[str]:
    """The values of all `dim_ordering` in a config."""
    found = set()
    stack = [config]
    while stack:
        value = stack.pop()
        if isinstance(value, list):
            stack += value
        elif isinstance(value, dict):
            ordering = value.get("dim_ordering")
            found |= {ordering} if isinstance(ordering, str) else set()
            stack += value.values()
    return frozenset(found)


def upgrade_keys(
    class_name: str, config: Config, found: frozenset[str], place: Place
) -> tuple[str, Config]:
    """A layer's class and config in the names of Keras 2; objects in it stay as they are.

    Args:
        class_name: in the file.
        config: in the file.
        found: the `orderings` of the model.
        place: of the config.

    Raises:
        FormatError: it computes something that no layer of Keras 2 does.
    """
    if class_name == "Merge":
        return _merge(config, place)
    if class_name == "InputLayer":
        made = dict(config)
        made["dtype"] = made.pop("input_dtype", None) or made.get("dtype", "float32")
        return class_name, made
    name = CLASSES.get(class_name, class_name)
    made = dict(config)
    if class_name in _SILENT and "dim_ordering" not in config:
        made["dim_ordering"] = _only(found, place)
    for convert in _CONVERSIONS.get(class_name, ()):
        made = convert(made, place)
    inert = _INERT_BY_CLASS.get(name, _INERT)
    renamed = {**_RENAMED, **_RENAMED_BY_CLASS.get(name, {})}
    made = {renamed.get(k, k): v for k, v in made.items() if k not in inert}
    for keys in _KERNEL_KEYS:
        if keys[0] in made:
            require_keys(made, keys, place)
            made["kernel_size"] = [made.pop(key) for key in keys]
    if "data_format" in made:
        made["data_format"] = _DATA_FORMATS.get(made["data_format"], made["data_format"])
    return name, made


def _only(found: frozenset[str], place: Place) -> str:
    """The one data format of a model, for a layer that does not tell its own."""
    if len(found) != 1:
        told = " and ".join(sorted(found)) or "none"
        raise place.error(
            f"the file does not tell the dim_ordering of this layer; other layers have {told}",
            hint='Write "dim_ordering": "th" or "tf" into its config',
        )
    return next(iter(found))


def has_gates_apart(class_name: str, config: Config) -> bool:
    """Whether a recurrent layer has weights for each gate."""
    return class_name in ("ConvLSTM2D", "GRU", "LSTM") and config.get("consume_less") != "gpu"


def _merge(config: Config, place: Place) -> tuple[str, Config]:
    require_known_keys(config, _OF_MERGE, place)
    mode = config.get("mode")
    is_named = isinstance(mode, str) and config.get("mode_type", "raw") == "raw"
    if not is_named or mode not in _MERGE_MODES:
        # The result of 'cos' had one axis more than the model was told.
        raise (place / "mode").error(
            f"a Merge of the mode {shorten(mode)} is not understood",
            hint=f"Those of {', '.join(_MERGE_MODES)} are",
        )
    name = _MERGE_MODES[mode]
    made: Config = {key: config[key] for key in ("name", "trainable") if key in config}
    if name == "Concatenate":
        made["axis"] = config.get("concat_axis", -1)
    if name == "Dot":
        made["axes"] = config.get("dot_axes", -1)
    return name, made


def _deconvolution(config: Config, place: Place) -> Config:
    """Without `output_shape`, which has to be the one that follows from the rest."""
    kept = {key: value for key, value in config.items() if key != "output_shape"}
    shape, strides = config.get("output_shape"), config.get("subsample", [1, 1])
    if shape is None:
        return kept
    sizes = require_list(shape, place / "output_shape")[-3:]
    sizes = sizes[1:] if config.get("dim_ordering") == "th" else sizes[:2]
    kernel = (config.get("nb_row", 0), config.get("nb_col", 0))
    for size, stride, length in zip(sizes, strides, kernel, strict=True):
        beyond = length if config.get("border_mode") == "valid" else 0
        if size is None or (size - beyond) % stride:
            raise (place / "output_shape").error(
                f"with strides of {stride} a size of {size} does not follow from the input's"
            )
    return kept


def _forget_bias(config: Config, place: Place) -> Config:
    """`unit_forget_bias` in place of the initializer, which says nothing of a trained model."""
    kept = {key: value for key, value in config.items() if key != "forget_bias_init"}
    return {**kept, "unit_forget_bias": config.get("forget_bias_init", "one") in ("one", "ones")}


def _batch_normalization(config: Config, place: Place) -> Config:
    if config.get("mode", 0) != 0:
        raise (place / "mode").error(
            f"normalization of the mode {shorten(config['mode'])} is not understood; 0 is",
            hint="Modes 1 and 2 take the statistics of the input at hand, in predictions too",
        )
    return {key: value for key, value in config.items() if key != "mode"}


def _zero_padding(config: Config, place: Place) -> Config:
    """Four sizes of padding as two pairs."""
    padding = config.get("padding")
    if isinstance(padding, dict):
        keys = ("top_pad", "bottom_pad", "left_pad", "right_pad")
        padding = [padding.get(key, 0) for key in keys]
    if isinstance(padding, list) and len(padding) == 4:
        padding = [padding[:2], padding[2:]]
    return {**config, "padding": padding}


_CONVERSIONS: Mapping[str, tuple[Callable[[Config, Place], Config], ...]] = {
    "BatchNormalization": (_batch_normalization,),
    "ConvLSTM2D": (_forget_bias,),
    "Deconv2D": (_deconvolution,),
    "Deconvolution2D": (_deconvolution,),
    "LSTM": (_forget_bias,),
    "ZeroPadding2D": (_zero_padding,),
}


def is_merged(layers: list[Any]) -> bool:
    """Whether a Sequential begins with a `Merge` of other models: it has several inputs then."""
    first = layers[0] if layers else None
    if not isinstance(first, dict):
        return False
    if first.get("class_name") == "Merge":
        return True
    return first.get("class_name") == "Sequential" and is_merged(_layers_of(first))


def _layers_of(entry: Config) -> list[Any]:
    config = entry.get("config")
    layers = config.get("layers") if isinstance(config, dict) else config
    return layers if isinstance(layers, list) else []


def merged_model(config: Config, place: Place) -> Config:
    """The config of a functional model, in the form of Keras 1, for a Sequential of `is_merged`.

    Raises:
        FormatError: it is malformed.
    """
    made: Config = {key: config[key] for key in ("name",) if key in config}
    joined = _Joined()
    last = joined.chain(config["layers"], place / "layers")
    ends = [[name, 0, 0] for name in joined.inputs]
    return {**made, "layers": joined.layers, "input_layers": ends, "output_layers": [last]}


class _Joined:
    """The layers of models that a `Merge` joins, as those of one functional model."""

    def __init__(self) -> None:
        self.layers: list[Config] = []
        self.inputs: list[str] = []

    def chain(self, entries: list[Any], place: Place) -> list[Any]:
        """Add the layers of a Sequential; gives `[layer, call, result]` of its output."""
        last: list[Any] | None = None
        for index, entry in enumerate(entries):
            at = place[index]
            require_dict(entry, at)
            require_keys(entry, ("class_name", "config"), at)
            last = self._first(entry, at) if last is None else self._add(entry, [last], at)
        if last is None:
            raise place.error("a model without layers cannot be merged")
        return last

    def _first(self, entry: Config, place: Place) -> list[Any]:
        kind, config = entry["class_name"], entry["config"]
        if kind == "Sequential":
            return self.chain(_layers_of(entry), place / "config")
        require_dict(config, place / "config")
        if kind == "Merge":
            branches = require_list(config.get("layers"), place / "config.layers")
            ends = [
                self.chain([branch], (place / "config.layers")[index])
                for index, branch in enumerate(branches)
            ]
            without = {key: value for key, value in config.items() if key != "layers"}
            return self._add({**entry, "config": without}, ends, place)
        if kind == "Model":
            return self._functional(config, place / "config")
        if kind == "InputLayer":
            return self._add(entry, [], place)
        require_keys(config, ("name", "batch_input_shape"), place / "config")
        given = {
            "name": f"{config['name']}_input",
            "batch_input_shape": config["batch_input_shape"],
            "dtype": config.get("input_dtype") or "float32",
        }
        first = self._add({"class_name": "InputLayer", "config": given}, [], place)
        return self._add(entry, [first], place)

    def _functional(self, config: Config, place: Place) -> list[Any]:
        require_keys(config, ("layers", "input_layers", "output_layers"), place)
        outputs = require_list(config["output_layers"], place / "output_layers")
        if len(outputs) != 1:
            raise (place / "output_layers").error("a model with several outputs cannot be merged")
        self.layers += config["layers"]
        self.inputs += [history[0] for history in config["input_layers"]]
        return list(outputs[0])

    def _add(self, entry: Config, calls: list[list[Any]], place: Place) -> list[Any]:
        config = require_dict(entry["config"], place / "config")
        require_keys(config, ("name",), place / "config")
        name = config["name"]
        nodes = [calls] if calls else []
        self.layers.append({**entry, "name": name, "inbound_nodes": nodes})
        if entry["class_name"] == "InputLayer":
            self.inputs.append(name)
        return [name, 0, 0]
