"""Models and layers with masks and recurrence."""

from __future__ import annotations

from tests.conformance.case import Case

SEQUENCES = {"return_sequences": True}
STATES = {"return_state": True}
BACKWARDS = {"go_backwards": True}
ZERO = {"zero_output_for_mask": True}
PLAIN = {
    "": {},
    "-sequences": SEQUENCES,
    "-states": {**SEQUENCES, **STATES},
    "-backwards": BACKWARDS,
    "-backwards-sequences": {**SEQUENCES, **BACKWARDS, **STATES},
    "-no-bias": {"use_bias": False},
    "-relu": {"activation": "relu"},
    "-linear": {"activation": None},
}
GATED = {
    "-hard-sigmoid": {"recurrent_activation": "hard_sigmoid"},
    "-sigmoids": {"activation": "sigmoid", "recurrent_activation": "tanh"},
}
MASKED = {
    "-masked": {},
    "-masked-sequences": {**SEQUENCES, **STATES},
    "-masked-backwards": {**SEQUENCES, **BACKWARDS, **STATES},
    "-masked-last-backwards": BACKWARDS,
    "-masked-zero": {**ZERO, **SEQUENCES},
    "-masked-zero-last": {**ZERO, **STATES},
}
LAYERS = {
    "lstm": ("LSTM", {**PLAIN, **GATED}, {}),
    "gru": ("GRU", {**PLAIN, **GATED}, {}),
    "gru-before": ("GRU", {"": {}, "-no-bias": {"use_bias": False}}, {"reset_after": False}),
    "simple-rnn": ("SimpleRNN", PLAIN, {}),
}


def model(layer, masked=False, shape=(None, 3)):
    """`layer(layers)` makes the layer."""

    def make(layers, ops):
        x = layers.Input(shape)
        return x, layer(layers)(layers.Masking()(x) if masked else x)

    return make


def _single(name, options):
    return lambda layers: getattr(layers, name)(4, **options)


def _bidirectional(name, merge_mode, **options):
    def make(layers):
        return layers.Bidirectional(getattr(layers, name)(3, **options), merge_mode=merge_mode)

    return make


def _stacked(layers, **options):
    return layers.RNN([layers.LSTMCell(3), layers.GRUCell(2), layers.SimpleRNNCell(4)], **options)


def _two_bidirectional(layers):
    forward = layers.LSTM(3, return_sequences=True)
    backward = layers.GRU(2, return_sequences=True, go_backwards=True)
    return layers.Bidirectional(forward, backward_layer=backward)


def _embedding(layers, ops):
    x = layers.Input((None,), dtype="int32")
    y = layers.Embedding(5, 3, mask_zero=True)(x)
    y = layers.Bidirectional(layers.LSTM(4, return_sequences=True))(y)
    return x, layers.Dense(2)(layers.GRU(3)(layers.Dropout(0.3)(y)))


def _encoder_decoder(layers, ops):
    source, target = layers.Input((None, 3)), layers.Input((None, 2))
    _, h, c = layers.LSTM(4, return_state=True)(layers.Masking()(source))
    y = layers.LSTM(4, return_sequences=True)(target, initial_state=[h, c])
    return [source, target], layers.Dense(2)(y)


def _initial_and_mask(layers, ops):
    x, h = layers.Input((None, 3)), layers.Input((4,))
    mask = ops.any(ops.not_equal(x, 0.0), axis=-1)
    y = layers.GRU(4, return_sequences=True, go_backwards=True)(x, initial_state=h, mask=mask)
    return [x, h], [y, layers.SimpleRNN(4)(x, initial_state=[h], mask=mask)]


def _added(layers, ops):
    a, b = layers.Input((6, 3)), layers.Input((6, 3))
    both = layers.Add()([layers.Masking()(a), layers.Masking()(b)])
    one = layers.Multiply()([layers.Masking()(a), b])
    beside = layers.Concatenate(name="beside")([layers.Masking()(a), layers.Masking()(b)])
    return [a, b], [layers.LSTM(2)(both), layers.GRU(2)(one), layers.SimpleRNN(2)(beside)]


def _passed_on(layers, ops):
    x = layers.Input((None, 3))
    y = layers.Activation("tanh")(layers.Dense(4)(layers.Masking()(x)))
    y = layers.TimeDistributed(layers.Dense(2, activation="relu"))(layers.ReLU()(y))
    return x, layers.LSTM(3)(layers.Identity()(y))


def _masked_outputs(layers, ops):
    x = layers.Input((None, 3))
    y = layers.GRU(4, return_sequences=True)(layers.Masking()(x))
    return x, layers.Dense(2, activation="sigmoid")(y)


def _images(layers, ops):
    x = layers.Input((None, 5, 5, 2))
    y = layers.TimeDistributed(layers.Conv2D(3, 3))(x)
    return x, layers.SimpleRNN(2)(layers.TimeDistributed(layers.Flatten())(y))


def _shared(layers, ops):
    a, b = layers.Input((None, 3)), layers.Input((None, 3))
    layer = layers.LSTM(4)
    return [a, b], layers.Subtract()([layer(a), layer(layers.Masking()(b))])


def _nested(k):
    layers = k.layers
    x = layers.Input((None, 3))
    inner_input = layers.Input((None, 3))
    inner = layers.LSTM(4, return_sequences=True)(layers.Masking()(inner_input))
    model = k.Model(inner_input, inner)
    return x, layers.GRU(2)(model(x))


MODELS = {
    **{
        f"{label}{variant}": model(_single(name, {**options, **common}))
        for label, (name, variants, common) in LAYERS.items()
        for variant, options in variants.items()
    },
    **{
        f"{label}{variant}": model(_single(name, {**options, **common}), masked=True)
        for label, (name, _, common) in LAYERS.items()
        for variant, options in MASKED.items()
    },
    "lstm-unrolled": model(_single("LSTM", {"unroll": True}), shape=(4, 3)),
    "gru-unrolled-masked": model(_single("GRU", {"unroll": True}), masked=True, shape=(4, 3)),
    **{
        f"bidirectional-{mode}{label}": model(_bidirectional("LSTM", mode, **options), masked)
        for mode in ("concat", "sum", "ave", "mul", None)
        for label, options, masked in (("", {}, False), ("-sequences-masked", SEQUENCES, True))
    },
    "bidirectional-gru": model(_bidirectional("GRU", "concat", **SEQUENCES, **STATES)),
    "bidirectional-simple-rnn-masked": model(_bidirectional("SimpleRNN", None, **STATES), True),
    "bidirectional-two": model(_two_bidirectional, True),
    "cell": model(lambda layers: layers.RNN(layers.LSTMCell(4), **SEQUENCES, **STATES), True),
    "gru-cell": model(lambda layers: layers.RNN(layers.GRUCell(3)), True),
    "simple-rnn-cell": model(lambda layers: layers.RNN(layers.SimpleRNNCell(3)), True),
    "rnn": model(lambda layers: layers.RNN(layers.GRUCell(3, reset_after=False), **STATES)),
    "stacked": model(_stacked),
    "stacked-sequences": model(lambda layers: _stacked(layers, **SEQUENCES, **BACKWARDS)),
    "stacked-masked": model(lambda layers: _stacked(layers, **SEQUENCES), True),
    "stacked-masked-zero": model(lambda layers: _stacked(layers, **ZERO), True),
    "embedding": _embedding,
    "encoder-decoder": _encoder_decoder,
    "initial-and-mask": _initial_and_mask,
    "merged-masks": _added,
    "passed-on": _passed_on,
    "masked-outputs": _masked_outputs,
    "images": _images,
    "shared": _shared,
}

#: Models with dropout.
DROPPING = {"embedding"}

#: The layer that a model is about, by the start of its name.
SHOWN = {
    "gru-cell": "GRUCell",
    "simple-rnn-cell": "SimpleRNNCell",
    "rnn": "RNN",
    "lstm": "LSTM",
    "gru": "GRU",
    "simple-rnn": "SimpleRNN",
    "bidirectional": "Bidirectional",
    "cell": "LSTMCell",
    "stacked": "StackedRNNCells",
    "embedding": "Embedding",
    "encoder": "LSTM",
    "initial": "GRU",
    "merged": "Masking",
    "passed": "TimeDistributed",
    "masked": "Masking",
    "images": "TimeDistributed",
    "shared": "LSTM",
}


def _layer(name):
    return next(layer for start, layer in SHOWN.items() if name.startswith(start))


def _of(make):
    return lambda k: make(k.layers, k.ops)


CASES = [
    *(
        Case(_layer(name), label=name, make=_of(make), is_random=name in DROPPING)
        for name, make in MODELS.items()
    ),
    Case("GRU", label="nested", make=_nested),
]

CONFIGS = {
    "lstm": lambda layers: layers.LSTM(3, "relu", unit_forget_bias=False, dropout=0.1, name="a"),
    "lstm-options": lambda layers: layers.LSTM(
        3, seed=1, return_sequences=True, go_backwards=True, unroll=True, name="a"
    ),
    "gru": lambda layers: layers.GRU(3, reset_after=False, recurrent_dropout=0.2, name="a"),
    "simple-rnn": lambda layers: layers.SimpleRNN(3, kernel_initializer="zeros", name="a"),
    "lstm-cell": lambda layers: layers.LSTMCell(3, name="a"),
    "gru-cell": lambda layers: layers.GRUCell(3, use_bias=False, name="a"),
    "simple-rnn-cell": lambda layers: layers.SimpleRNNCell(3, activation=None, name="a"),
    "rnn": lambda layers: layers.RNN(layers.GRUCell(3, name="c"), return_state=True, name="a"),
    "stacked": lambda layers: layers.RNN(
        layers.StackedRNNCells(
            [layers.GRUCell(3, name="c"), layers.LSTMCell(2, name="d")], name="s"
        ),
        name="a",
    ),
    "bidirectional": lambda layers: layers.Bidirectional(
        layers.LSTM(3, name="inner"), merge_mode="sum", name="a"
    ),
    "time-distributed": lambda layers: layers.TimeDistributed(
        layers.Dense(2, name="inner"), name="a"
    ),
    "masking": lambda layers: layers.Masking(mask_value=1.5, name="a"),
    "embedding": lambda layers: layers.Embedding(7, 3, mask_zero=True, name="a"),
}

VARIANTS = [{}, {"momentum": 0.5}]
