"""The models of the comparison: seeded weights, statistics of BatchNorm that do not cancel.

    KERAS_BACKEND=jax python benchmarks/onnx/models.py [NAME ...]

Writes, per model, NAME.keras and NAME.npz (`in_0`, ... and what Keras makes of them, `out_0`, ...;
`names` are the inputs') to build/bench-onnx/models/.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
from keras import layers

MODELS = Path(__file__).resolve().parents[2] / "build" / "bench-onnx" / "models"
NUM_SAMPLES = 8

Tensor = keras.KerasTensor


def mnist_mlp() -> keras.Model:
    x = inputs = layers.Input((784,), name="pixels")
    x = layers.Dense(512, activation="relu")(x)
    x = layers.Dense(512, activation="relu")(x)
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(x))


def mnist_cnn() -> keras.Model:
    x = inputs = layers.Input((28, 28, 1), name="image")
    x = layers.Conv2D(32, 3, activation="relu")(x)
    x = layers.Conv2D(64, 3, activation="relu")(x)
    x = layers.MaxPooling2D(2)(x)
    x = layers.Flatten()(layers.Dropout(0.25)(x))
    x = layers.Dropout(0.5)(layers.Dense(128, activation="relu")(x))
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(x))


def resnet50() -> keras.Model:
    return keras.applications.ResNet50(weights=None)


def mobilenet_v2() -> keras.Model:
    return keras.applications.MobileNetV2(weights=None)


def efficientnet_b0() -> keras.Model:
    return keras.applications.EfficientNetB0(weights=None)


def bilstm() -> keras.Model:
    inputs = layers.Input((200,), dtype="int32", name="tokens")
    x = layers.Embedding(20000, 128)(inputs)
    x = layers.Bidirectional(layers.LSTM(64, return_sequences=True))(x)
    x = layers.Bidirectional(layers.LSTM(64))(x)
    return keras.Model(inputs, layers.Dense(1, activation="sigmoid")(x))


def transformer() -> keras.Model:
    """Four blocks of an encoder: 128 tokens, width 256, 8 heads, normalized after the residual."""
    tokens = layers.Input((128,), dtype="int32", name="tokens")
    positions = layers.Input((128,), dtype="int32", name="positions")
    x = layers.Add()([layers.Embedding(10000, 256)(tokens), layers.Embedding(128, 256)(positions)])
    for _ in range(4):
        attended = layers.MultiHeadAttention(8, 32)(x, x)
        x = layers.LayerNormalization(epsilon=1e-6)(layers.Add()([x, attended]))
        hidden = layers.Dense(256)(layers.Dense(1024, activation="gelu")(x))
        x = layers.LayerNormalization(epsilon=1e-6)(layers.Add()([x, hidden]))
    x = layers.GlobalAveragePooling1D()(x)
    return keras.Model([tokens, positions], layers.Dense(10, activation="softmax")(x))


def gru_stack() -> keras.Model:
    inputs = layers.Input((100, 64), name="sequence")
    x = layers.GRU(128, return_sequences=True)(inputs)
    x = layers.GRU(128)(x)
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(x))


def unet() -> keras.Model:
    def block(x: Tensor, filters: int) -> Tensor:
        for _ in range(2):
            x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
            x = layers.ReLU()(layers.BatchNormalization()(x))
        return x

    inputs = layers.Input((128, 128, 3), name="image")
    level1 = block(inputs, 16)
    level2 = block(layers.MaxPooling2D()(level1), 32)
    level3 = block(layers.MaxPooling2D()(level2), 64)
    x = block(layers.MaxPooling2D()(level3), 128)
    x = layers.Conv2DTranspose(64, 3, strides=2, padding="same")(x)
    x = block(layers.Concatenate()([x, level3]), 64)
    x = layers.Conv2DTranspose(32, 2, strides=2)(x)
    x = block(layers.Concatenate()([x, level2]), 32)
    x = layers.UpSampling2D(2, interpolation="bilinear")(x)
    x = layers.Conv2D(16, 3, padding="same")(x)
    x = block(layers.Concatenate()([x, level1]), 16)
    return keras.Model(inputs, layers.Conv2D(1, 1, activation="sigmoid")(x))


def convnext() -> keras.Model:
    """Two stages of ConvNeXt: depthwise 7x7, LayerNorm, pointwise Dense, gelu, layer scale."""
    x = inputs = layers.Input((64, 64, 3), name="image")
    x = layers.Conv2D(64, 4, strides=4)(x)
    x = layers.LayerNormalization(epsilon=1e-6)(x)
    for filters in (64, 128):
        if filters != x.shape[-1]:
            x = layers.LayerNormalization(epsilon=1e-6)(x)
            x = layers.Conv2D(filters, 2, strides=2)(x)
        for _ in range(3):
            hidden = layers.DepthwiseConv2D(7, padding="same")(x)
            hidden = layers.LayerNormalization(epsilon=1e-6)(hidden)
            hidden = layers.Dense(4 * filters, activation="gelu")(hidden)
            hidden = layers.Dense(filters)(hidden)
            # The layer scale; Keras has it only as a class that is private to its ConvNeXt.
            hidden = layers.EinsumDense("bhwc,c->bhwc", hidden.shape[1:])(hidden)
            x = layers.Add()([x, hidden])
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.LayerNormalization(epsilon=1e-6)(x)
    return keras.Model(inputs, layers.Dense(100, activation="softmax")(x))


def inception() -> keras.Model:
    """Three blocks of Inception v3: branches in parallel, 1x7 and 7x1, pooled ones, joined."""

    def convolution(x: Tensor, filters: int, size: tuple[int, int], strides: int = 1) -> Tensor:
        x = layers.Conv2D(filters, size, strides=strides, padding="same", use_bias=False)(x)
        return layers.ReLU()(layers.BatchNormalization(scale=False)(x))

    x = inputs = layers.Input((96, 96, 3), name="image")
    x = convolution(x, 32, (3, 3), strides=2)
    x = layers.MaxPooling2D(3, strides=2)(convolution(x, 64, (3, 3)))
    for width in (16, 32, 48):
        point = convolution(x, 2 * width, (1, 1))
        cross = convolution(x, 2 * width, (1, 1))
        cross = convolution(convolution(cross, 2 * width, (1, 7)), 2 * width, (7, 1))
        double = convolution(x, width, (1, 1))
        double = convolution(convolution(double, 2 * width, (3, 3)), 2 * width, (3, 3))
        pooled = layers.AveragePooling2D(3, strides=1, padding="same")(x)
        x = layers.Concatenate()([point, cross, double, convolution(pooled, width, (1, 1))])
    x = layers.AveragePooling2D(2)(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(100, activation="softmax")(x))


def seq2seq() -> keras.Model:
    """Translation with teacher forcing: LSTMs, the state handed over, attention, vocabulary."""
    source = layers.Input((40,), dtype="int32", name="source")
    target = layers.Input((30,), dtype="int32", name="target")
    embedded = layers.Embedding(8000, 128)(source)
    encoded, hidden, cell = layers.LSTM(128, return_sequences=True, return_state=True)(embedded)
    embedded = layers.Embedding(6000, 128)(target)
    decoder = layers.LSTM(128, return_sequences=True)
    decoded = decoder(embedded, initial_state=[hidden, cell])
    context = layers.Attention()([decoded, encoded])
    x = layers.Concatenate()([decoded, context])
    x = layers.Dense(128, activation="tanh")(x)
    return keras.Model([source, target], layers.Dense(6000, activation="softmax")(x))


BUILDERS: dict[str, Callable[[], keras.Model]] = {
    function.__name__: function
    for function in (
        *(mnist_mlp, mnist_cnn, resnet50, mobilenet_v2, efficientnet_b0, bilstm),
        *(transformer, gru_stack, unet, convnext, inception, seq2seq),
    )
}


def make_inputs(name: str, model: keras.Model, rng: np.random.Generator) -> list[np.ndarray]:
    arrays = []
    for tensor in model.inputs:
        shape = (NUM_SAMPLES, *tensor.shape[1:])
        if tensor.name == "positions":
            arrays.append(np.broadcast_to(np.arange(shape[1], dtype=np.int32), shape).copy())
        elif tensor.dtype == "int32":
            arrays.append(rng.integers(0, 6000, shape, dtype=np.int32))
        else:  # EfficientNet scales pixels of 0 to 255 itself
            scale = 255 if name.startswith("efficientnet") else 1
            arrays.append(scale * rng.random(shape, dtype=np.float32))
    return arrays


Inputs = np.ndarray | list[np.ndarray]


def randomize(model: keras.Model, inputs: Inputs, rng: np.random.Generator) -> None:
    """Give every weight that starts at 0 or 1 another value, so that none can be left out."""
    norms = [x for x in model._flatten_layers() if isinstance(x, layers.BatchNormalization)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0  # one step takes the statistics of the data over
    if norms:
        model(inputs, training=True)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        mean, variance = np.asarray(norm.moving_mean), np.asarray(norm.moving_variance)
        noise = rng.standard_normal(mean.shape)
        norm.moving_mean.assign(mean + 0.1 * noise * np.sqrt(variance))
        norm.moving_variance.assign(variance * rng.uniform(0.7, 1.4, mean.shape) + 1e-3)
    for weight in model.trainable_variables:
        if weight.name in ("bias", "beta"):
            weight.assign(np.asarray(weight) + 0.05 * rng.standard_normal(weight.shape))
        elif weight.name == "gamma":
            weight.assign(rng.uniform(0.8, 1.2, weight.shape))
        elif weight.name == "embeddings":
            weight.assign(10 * np.asarray(weight))


def soften(model: keras.Model, inputs: Inputs) -> None:
    """Keep the last activation away from saturation, where errors could not be seen."""
    last = model.layers[-1]
    if not isinstance(last, layers.Dense):
        return
    activation, last.activation = last.activation, keras.activations.linear
    deviation = max(float(np.std(np.asarray(model(inputs, training=False)))) / 1.5, 1.0)
    last.activation = activation
    last.kernel.assign(np.asarray(last.kernel) / deviation)
    last.bias.assign(np.asarray(last.bias) / deviation)


def make(name: str) -> Path:
    """The path of the model's file, which is written unless it is there."""
    path = MODELS / f"{name}.keras"
    samples = path.with_suffix(".npz")
    if path.is_file() and samples.is_file():
        return path
    keras.utils.clear_session()
    keras.utils.set_random_seed(42)
    rng = np.random.default_rng(7)
    model = BUILDERS[name]()
    arrays = make_inputs(name, model, rng)
    inputs = arrays if len(arrays) > 1 else arrays[0]
    randomize(model, inputs, rng)
    soften(model, inputs)
    MODELS.mkdir(parents=True, exist_ok=True)
    model.save(path)
    output = model.predict(inputs, batch_size=NUM_SAMPLES, verbose=0)
    numbered = {f"in_{index}": array for index, array in enumerate(arrays)}
    np.savez(samples, out_0=output, names=[tensor.name for tensor in model.inputs], **numbered)
    return path


if __name__ == "__main__":
    for model_name in sys.argv[1:] or BUILDERS:
        print(make(model_name), flush=True)
