"""Small models, each about one layer and some of its attributes, for the grid of exports."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

Shape = tuple[int | None, ...]
FIRST = {"data_format": "channels_first"}
SAME = {"padding": "same"}
CAUSAL = {"use_causal_mask": True}
SEQUENCES = {"return_sequences": True}
LINE, OPEN_LINE, IMAGE, OPEN_IMAGE = (9, 4), (None, 4), (7, 6, 4), (None, None, 4)
VOLUME = (5, 6, 4, 2)
WORDS = ["the", "cat", "sat", "on", "a", "mat"]

#: Differences allowed, as a share of the largest output, by what the model computes in.
TOLERANCES = {"float32": 1e-4, "float16": 1e-2, "bfloat16": 5e-2}


@dataclass(frozen=True)
class Case:
    """A model that `build` makes with Keras, which it is given.

    Attributes:
        precision: what the model computes in, a key of TOLERANCES.
        backend: Keras's, with which the model is made: it computes on strings with TensorFlow only.
        has_masks: whether some steps of the data are zeros, or tokens 0.
    """

    name: str
    build: Callable[[Any], Any]
    precision: str = "float32"
    backend: str = "jax"
    has_masks: bool = False


def _told(config: dict[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in config.items())


def one(
    layer: str,
    *shapes: Shape,
    label: str = "",
    call: dict[str, Any] | None = None,
    tensors: dict[str, Shape] | None = None,
    is_list: bool = False,
    is_masked: bool = False,
    dtype: str = "float32",
    backend: str = "jax",
    **config: Any,
) -> Case:
    """The layer on inputs of those shapes, which are without the batch; None is an open size.

    `call` and `tensors` are arguments of the call; the latter are inputs too, of bools.
    """

    def build(keras: Any) -> Any:
        inputs = [keras.Input(shape, name=f"x{i}", dtype=dtype) for i, shape in enumerate(shapes)]
        given = {
            key: keras.Input(shape, name=key, dtype="bool")
            for key, shape in (tensors or {}).items()
        }
        passed = [keras.layers.Masking()(x) for x in inputs] if is_masked else inputs
        made = getattr(keras.layers, layer)(**config, name="layer")
        arguments = {**(call or {}), **given}
        outputs = made(passed, **arguments) if is_list else made(*passed, **arguments)
        return keras.Model([*inputs, *given.values()], outputs)

    masked = "masked" if is_masked else ""
    mask = "with " + ", ".join(tensors) if tensors else ""
    parts = [_told(config), _told(call or {}), mask, masked, label]
    name = f"{layer}: {'; '.join(filter(None, parts)) or 'defaults'}"
    return Case(name, build, backend=backend, has_masks=is_masked)


def each(layer: str, configs: list[dict[str, Any]], *shapes: Shape, **common: Any) -> list[Case]:
    """Each configuration; with channels_first the last axis of the shapes comes first."""
    return [
        one(layer, *(_first(shape, config) for shape in shapes), **common, **config)
        for config in configs
    ]


def _first(shape: Shape, config: dict[str, Any]) -> Shape:
    return (shape[-1], *shape[:-1]) if config.get("data_format") == "channels_first" else shape


def chain(
    name: str,
    shape: Shape,
    make: Callable[[Any], list[Any]],
    dtype: str = "float32",
    policy: str = "",
    has_masks: bool = False,
) -> Case:
    """Layers one after the other; under a policy a last one gives float32."""

    def build(keras: Any) -> Any:
        keras.config.set_dtype_policy(policy or "float32")
        try:
            x = y = keras.Input(shape, name="x", dtype=dtype)
            for layer in make(keras.layers):
                y = layer(y)
            if policy:
                y = keras.layers.Activation("linear", dtype="float32", name="last")(y)
            return keras.Model(x, y)
        finally:
            keras.config.set_dtype_policy("float32")

    precision = policy.removeprefix("mixed_") or "float32"
    return Case(name, build, precision, has_masks=has_masks)


CONVOLUTIONS = [
    *each(
        "Conv1D",
        [
            {},
            {**SAME, "strides": 2},
            {"padding": "causal", "dilation_rate": 2},
            {"groups": 2},
            {**FIRST, **SAME},
        ],
        LINE,
        filters=4,
        kernel_size=3,
    ),
    one("Conv1D", OPEN_LINE, filters=3, kernel_size=3, padding="same", label="open length"),
    *each(
        "Conv2D",
        [
            {},
            SAME,
            {**SAME, "strides": 2},
            {"strides": (2, 1)},
            {"dilation_rate": 2, **SAME},
            {"groups": 2},
            {"groups": 4, **SAME, "strides": 2},
            {"use_bias": False, "activation": "relu"},
            FIRST,
            {**FIRST, **SAME, "strides": 2},
            {**FIRST, "groups": 2},
        ],
        IMAGE,
        filters=4,
        kernel_size=3,
    ),
    one("Conv2D", OPEN_IMAGE, filters=3, kernel_size=3, padding="same", label="open sizes"),
    one(
        "Conv2D", OPEN_IMAGE, filters=3, kernel_size=3, padding="same", strides=2,
        label="open sizes",
    ),
    *each(
        "Conv3D", [{}, {**SAME, "strides": 2}, {"dilation_rate": 2}, FIRST], VOLUME, filters=3,
        kernel_size=2,
    ),
    *each(
        "Conv1DTranspose", [{"strides": 2}, {"strides": 3, **SAME}, {"dilation_rate": 2}, FIRST],
        LINE, filters=3, kernel_size=3,
    ),
    *each(
        "Conv2DTranspose",
        [
            {},
            {"strides": 2},
            {"strides": 2, **SAME},
            {"strides": 2, **SAME, "output_padding": 1},
            {"strides": (3, 2), "output_padding": (2, 1)},
            {"dilation_rate": 2},
            {"strides": 2, **SAME, **FIRST},
        ],
        IMAGE,
        filters=3,
        kernel_size=3,
    ),
    one(
        "Conv2DTranspose", OPEN_IMAGE, filters=2, kernel_size=3, strides=2, padding="same",
        label="open sizes",
    ),
    *each("Conv3DTranspose", [{"strides": 2}, {"strides": 2, **SAME}], VOLUME, filters=2,
          kernel_size=2),
    *each("DepthwiseConv1D", [{}, {"strides": 2, **SAME}, {"depth_multiplier": 2}], LINE,
          kernel_size=3),
    *each(
        "DepthwiseConv2D",
        [{}, {"strides": 2, **SAME}, {"depth_multiplier": 2}, {"dilation_rate": 2}, FIRST],
        IMAGE,
        kernel_size=3,
    ),
    *each("SeparableConv1D", [{}, {"strides": 2, **SAME, "depth_multiplier": 2}], LINE, filters=3,
          kernel_size=3),
    *each(
        "SeparableConv2D",
        [{}, {"strides": 2, **SAME, "depth_multiplier": 2}, {"dilation_rate": 2}, FIRST],
        IMAGE,
        filters=3,
        kernel_size=3,
    ),
    one("ConvLSTM1D", (4, 6, 2), filters=2, kernel_size=3, padding="same"),
    one("ConvLSTM2D", (4, 5, 4, 2), filters=2, kernel_size=2, return_sequences=True),
    one("ConvLSTM2D", (None, 5, 4, 2), filters=2, kernel_size=2, label="open length"),
]  # fmt: skip

POOLING = [
    *each("MaxPooling1D", [{}, {"pool_size": 3, "strides": 2, **SAME}, FIRST], LINE),
    *each(
        "MaxPooling2D",
        [{}, SAME, {"pool_size": 3, "strides": 2, **SAME}, {"pool_size": (3, 2), "strides": 1},
         FIRST],
        IMAGE,
    ),
    *each("MaxPooling3D", [{}, SAME], VOLUME),
    *each("AveragePooling1D", [{"pool_size": 2}, {"pool_size": 3, "strides": 2, **SAME}], LINE),
    *each(
        "AveragePooling2D",
        [{"pool_size": 2}, {"pool_size": 3, "strides": 2, **SAME},
         {"pool_size": 2, **FIRST, **SAME}],
        IMAGE,
    ),
    *each("AveragePooling3D", [{}, SAME], VOLUME, pool_size=2),
    *each("GlobalAveragePooling1D", [{}, FIRST], LINE),
    one("GlobalAveragePooling1D", OPEN_LINE, is_masked=True),
    *each("GlobalAveragePooling2D", [{}, {"keepdims": True}, FIRST], IMAGE),
    one("GlobalAveragePooling2D", OPEN_IMAGE, label="open sizes"),
    one("GlobalMaxPooling1D", OPEN_LINE, label="open length"),
    *each("GlobalMaxPooling2D", [{}, FIRST], IMAGE),
    one("GlobalAveragePooling3D", VOLUME),
    one("AdaptiveAveragePooling2D", IMAGE, output_size=(3, 4)),
    one("AdaptiveMaxPooling2D", IMAGE, output_size=3),
]  # fmt: skip

NORMALIZATIONS = [
    *each("BatchNormalization", [{}, {"axis": 1}, {"scale": False, "center": False}], IMAGE),
    one("BatchNormalization", OPEN_LINE, epsilon=0.1, label="open length"),
    *each("LayerNormalization", [{}, {"axis": (1, 2)}, {"axis": 1, "scale": False}], (3, 4)),
    one("LayerNormalization", OPEN_LINE, center=False, label="open length"),
    *each("RMSNormalization", [{}, {"axis": (1, 2), "epsilon": 0.1}], (3, 4)),
    *each("GroupNormalization", [{"groups": 2}, {"groups": -1}, {"groups": 1, "axis": 1}], IMAGE),
    one("GroupNormalization", OPEN_IMAGE, groups=2, label="open sizes"),
    one("UnitNormalization", (3, 4), axis=1),
    one("Normalization", (3,), mean=[1.0, -1.0, 0.5], variance=[4.0, 0.25, 1.0]),
    one("Normalization", (3,), mean=[1.0, -1.0, 0.5], variance=[4.0, 0.25, 1.0], invert=True),
    chain(
        "SpectralNormalization: Conv2D", (6, 5, 3),
        lambda k: [k.SpectralNormalization(k.Conv2D(4, 3, name="inner"), name="layer")],
    ),
]  # fmt: skip


def _recurrent(name: str) -> Iterator[Case]:
    yield one(name, (5, 3), units=4)
    yield one(name, (None, 3), units=4, return_sequences=True, label="open length")
    yield one(name, (None, 3), units=4, go_backwards=True, return_sequences=True)
    yield one(name, (None, 3), units=4, return_state=True)
    yield one(name, (None, 3), units=4, is_masked=True)
    yield one(name, (None, 3), units=4, return_sequences=True, is_masked=True)
    yield one(name, (None, 3), units=4, go_backwards=True, is_masked=True)
    yield one(name, (None, 3), units=4, activation="relu", use_bias=False)
    yield one(name, (4, 3), units=3, unroll=True)


def _bidirectional(name: str, merge: str | None, label: str = "", **options: Any) -> Case:
    told = _told({"merge_mode": merge, **options})
    return chain(
        f"Bidirectional: {name}, {told}{label and '; ' + label}", (None, 3),
        lambda k: [
            *([k.Masking(name="masking")] if label else []),
            k.Bidirectional(getattr(k, name)(4, **options, name="inner"), merge, name="layer"),
        ],
        has_masks=bool(label),
    )  # fmt: skip


def _initial_state(keras: Any) -> Any:
    x, h, c = (keras.Input(s, name=n) for s, n in (((None, 3), "x"), ((4,), "h"), ((4,), "c")))
    layer = keras.layers.LSTM(4, return_sequences=True, name="layer")
    return keras.Model([x, h, c], layer(x, initial_state=[h, c]))


RECURRENT = [
    *(case for name in ("LSTM", "GRU", "SimpleRNN") for case in _recurrent(name)),
    one("LSTM", (None, 3), units=4, recurrent_activation="hard_sigmoid"),
    one("GRU", (None, 3), units=4, reset_after=False),
    one("GRU", (None, 3), units=4, reset_after=False, return_sequences=True, is_masked=True),
    _bidirectional("LSTM", "concat"),
    _bidirectional("LSTM", "concat", **SEQUENCES),
    _bidirectional("LSTM", "sum", **SEQUENCES),
    _bidirectional("LSTM", None, **SEQUENCES),
    _bidirectional("LSTM", "concat", "masked", **SEQUENCES),
    _bidirectional("GRU", "concat", **SEQUENCES),
    _bidirectional("GRU", "mul", "masked"),
    _bidirectional("SimpleRNN", "ave", **SEQUENCES),
    chain("RNN: LSTMCell and GRUCell", (None, 3), lambda k: [
        k.RNN([k.LSTMCell(3, name="a"), k.GRUCell(4, name="b")], **SEQUENCES, name="layer")
    ]),
    chain("TimeDistributed: Dense", (None, 3), lambda k: [
        k.TimeDistributed(k.Dense(2, name="inner"), name="layer")
    ]),
    chain("TimeDistributed: Conv2D", (4, 6, 5, 2), lambda k: [
        k.TimeDistributed(k.Conv2D(2, 3, name="inner"), name="layer")
    ]),
    chain("Embedding, mask_zero, then LSTM", (None,), lambda k: [
        k.Embedding(6, 3, mask_zero=True, name="a"), k.LSTM(4, name="b")
    ], dtype="int32", has_masks=True),
    Case("LSTM: initial_state", _initial_state),
    chain("LSTM, then GRU", (None, 3), lambda k: [
        k.LSTM(4, **SEQUENCES, name="a"), k.GRU(3, name="b")
    ]),
]  # fmt: skip

MHA, GQA = "MultiHeadAttention", "GroupQueryAttention"
QUERY, VALUE, OPEN = (3, 6), (5, 4), (None, 6)
HEADS = {"num_heads": 2, "key_dim": 3}
GROUPS = {"head_dim": 4, "num_query_heads": 4, "num_key_value_heads": 2}
ATTENTION = [
    one(MHA, QUERY, VALUE, **HEADS),
    one(MHA, QUERY, VALUE, (5, 7), **HEADS, output_shape=5, use_bias=False),
    one(MHA, OPEN, OPEN, **HEADS, label="open lengths"),
    one(MHA, OPEN, OPEN, call=CAUSAL, **HEADS),
    one(MHA, QUERY, VALUE, tensors={"attention_mask": (3, 5)}, **HEADS),
    one(MHA, QUERY, VALUE, tensors={"value_mask": (5,)}, **HEADS),
    one(MHA, QUERY, VALUE, call={"return_attention_scores": True}, **HEADS),
    one(MHA, (2, 3, 4), (2, 5, 4), **HEADS, attention_axes=2),
    one(MHA, OPEN, OPEN, is_masked=True, **HEADS),
    one(GQA, (3, 4), VALUE, **GROUPS),
    one(GQA, OPEN, OPEN, call=CAUSAL, **GROUPS),
    one(GQA, (3, 4), VALUE, tensors={"attention_mask": (3, 5)}, **GROUPS),
    one("Attention", (3, 4), (5, 4), is_list=True),
    one("Attention", OPEN_LINE, OPEN_LINE, is_list=True, call=CAUSAL, use_scale=True),
    one("Attention", (3, 4), (5, 4), is_list=True, score_mode="concat"),
    one("AdditiveAttention", (3, 4), (5, 4), is_list=True),
]

DENSE = [
    one("Dense", (4,), units=3),
    one("Dense", OPEN_LINE, units=3, activation="relu", label="open length"),
    one("Dense", (2, 3, 4), units=3, use_bias=False),
    one("EinsumDense", (3, 4), equation="abc,cd->abd", output_shape=(None, 5), bias_axes="d"),
    one("EinsumDense", (3, 4), equation="abc,cde->abde", output_shape=(None, 2, 3), bias_axes="de"),
    one("EinsumDense", (3, 2, 4), equation="abcd,cde->abe", output_shape=(None, 5)),
    one("EinsumDense", OPEN_LINE, equation="...x,xy->...y", output_shape=2, bias_axes="y"),
    one("Embedding", (5,), dtype="int32", input_dim=6, output_dim=3),
    one("Embedding", (None,), dtype="int32", input_dim=6, output_dim=3, label="open length"),
    one("ReversibleEmbedding", (5,), dtype="int32", input_dim=6, output_dim=3),
    one("Dot", (3, 4), (4, 5), is_list=True, axes=(2, 1)),
    one("Dot", (3, 4), (5, 4), is_list=True, axes=-1, normalize=True),
]

ACTIVATIONS = [
    *each(
        "Activation",
        [{"activation": name} for name in (
            *("celu", "elu", "exponential", "gelu", "glu", "hard_shrink", "hard_sigmoid"),
            *("hard_silu", "hard_tanh", "leaky_relu", "log_sigmoid", "log_softmax", "mish", "relu"),
            *("relu6", "selu", "sigmoid", "silu", "soft_shrink", "softmax", "softplus", "softsign"),
            *("sparse_plus", "sparse_sigmoid", "sparsemax", "squareplus", "tanh", "tanh_shrink"),
        )],
        (3, 4),
    ),
    one("ReLU", (3, 4), max_value=0.6, negative_slope=0.1, threshold=0.2),
    one("LeakyReLU", (3, 4), negative_slope=0.1),
    one("ELU", (3, 4), alpha=0.3),
    one("PReLU", (3, 4)),
    one("PReLU", (4, 3, 2), shared_axes=(1, 2)),
    one("Softmax", (3, 4), axis=1),
    one("Softmax", (3, 4), axis=(1, 2)),
    one("Softmax", (3, 4), tensors={"mask": (3, 4)}),
]  # fmt: skip

MERGES = [
    *(one(name, (3, 4), (3, 4), is_list=True) for name in (
        *("Add", "Average", "Concatenate", "Maximum", "Minimum", "Multiply", "Subtract"),
    )),
    one("Add", (3, 4), (1, 4), (3, 1), is_list=True, label="of three shapes"),
    one("Concatenate", OPEN_LINE, OPEN_LINE, is_list=True, axis=1),
]  # fmt: skip

SHAPES = [
    one("Flatten", (3, 4)),
    one("Flatten", (4, 3, 2), **FIRST),
    one("Reshape", (3, 4), target_shape=(2, 6)),
    one("Reshape", OPEN_LINE, target_shape=(-1, 2)),
    one("Permute", (2, 3, 4), dims=(3, 1, 2)),
    one("RepeatVector", (4,), n=3),
    one("ZeroPadding1D", LINE, padding=(1, 2)),
    *each("ZeroPadding2D", [{"padding": ((1, 0), (2, 3))}, FIRST], IMAGE),
    one("ZeroPadding3D", VOLUME, padding=(0, 1, 2)),
    one("Cropping1D", LINE, cropping=(1, 2)),
    *each("Cropping2D", [{"cropping": ((1, 0), (2, 1))}, {"cropping": 1, **FIRST}], IMAGE),
    one("Cropping2D", OPEN_IMAGE, cropping=1, label="open sizes"),
    one("Cropping3D", VOLUME, cropping=1),
    one("UpSampling1D", OPEN_LINE, size=3),
    *each(
        "UpSampling2D",
        [
            {},
            {"size": (2, 3), **FIRST},
            *({"interpolation": mode} for mode in ("bilinear", "bicubic", "lanczos3", "lanczos5")),
        ],
        IMAGE,
    ),
    one("UpSampling2D", OPEN_IMAGE, interpolation="bilinear", label="open sizes"),
    one("UpSampling3D", VOLUME, size=(1, 2, 3)),
    *each(
        "Resizing",
        [
            {},
            {"interpolation": "nearest"},
            {"interpolation": "bicubic"},
            {"interpolation": "lanczos3"},
            {"antialias": True},
            {"crop_to_aspect_ratio": True},
            {"pad_to_aspect_ratio": True, "fill_value": 0.5},
            FIRST,
        ],
        (9, 8, 3),
        height=4,
        width=6,
    ),
    one("Resizing", OPEN_IMAGE, height=4, width=6, label="open sizes"),
    one("CenterCrop", (9, 8, 3), height=4, width=6),
    one("Rescaling", (3, 4), scale=1 / 255, offset=-1.0),
    one("Masking", (None, 3)),
    one("Identity", (3,)),
]

PREPROCESSING = [
    *each(
        "Discretization",
        [{}, {"output_mode": "one_hot"}, {"output_mode": "multi_hot"}],
        (3,),
        bin_boundaries=[-0.5, 0.0, 1.0],
    ),
    *each(
        "CategoryEncoding",
        [{"output_mode": mode} for mode in ("one_hot", "multi_hot", "count")],
        (3,),
        dtype="int32",
        num_tokens=5,
    ),
    one("STFTSpectrogram", (40, 1), frame_length=8, frame_step=4),
    one("STFTSpectrogram", (40, 1), frame_length=8, frame_step=4, mode="magnitude", padding="same"),
    one("MelSpectrogram", (40,), fft_length=16, sequence_stride=5, num_mel_bins=4,
        sampling_rate=800),
    one("IntegerLookup", (3,), dtype="int64", vocabulary=[1, 2, 4], backend="tensorflow"),
    one("StringLookup", (3,), dtype="string", vocabulary=WORDS, backend="tensorflow"),
    one("StringLookup", (3,), dtype="string", vocabulary=WORDS, output_mode="multi_hot",
        backend="tensorflow"),
    one("TextVectorization", (1,), dtype="string", vocabulary=WORDS, output_sequence_length=4,
        backend="tensorflow"),
    one("TextVectorization", (1,), dtype="string", vocabulary=WORDS, output_mode="count",
        backend="tensorflow"),
]  # fmt: skip

#: What does nothing, or always the same, at inference.
RANDOM = [
    one("Dropout", (3, 4), rate=0.5),
    one("SpatialDropout2D", IMAGE, rate=0.5),
    one("GaussianNoise", (3, 4), stddev=0.5),
    one("AlphaDropout", (3, 4), rate=0.5),
    one("RandomFlip", IMAGE),
    one("RandomRotation", IMAGE, factor=0.2),
    one("RandomZoom", IMAGE, height_factor=0.2),
    one("RandomContrast", IMAGE, factor=0.2),
]

POLICIES = [
    chain(f"{label}: policy {policy}", shape, make, policy=policy)
    for policy in ("mixed_float16", "mixed_bfloat16", "float16", "bfloat16")
    for label, shape, make in (
        ("Dense", (4,), lambda k: [k.Dense(3, activation="relu", name="layer")]),
        ("Conv2D, BatchNormalization", IMAGE, lambda k: [
            k.Conv2D(3, 3, name="a"), k.BatchNormalization(name="b")
        ]),
        ("LayerNormalization", (3, 4), lambda k: [k.LayerNormalization(name="layer")]),
        ("LSTM", (None, 3), lambda k: [k.LSTM(4, name="layer")]),
    )
    # Keras cannot compute it.
    if label != "LSTM" or policy.startswith("mixed")
]  # fmt: skip

CASES = {
    case.name: case
    for cases in (
        *(CONVOLUTIONS, POOLING, NORMALIZATIONS, RECURRENT, ATTENTION, DENSE, ACTIVATIONS),
        *(MERGES, SHAPES, PREPROCESSING, RANDOM, POLICIES),
    )
    for case in cases
}
