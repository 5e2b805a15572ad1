"""Writes the golden files of Keras on TensorFlow 1 and 2.0; see README.md.

    python make_tensorflow_1.py FOLDER keras NAME...     # with the Keras beside TensorFlow
    python make_tensorflow_1.py FOLDER tf.keras NAME...  # with the one inside

A name is that of a function here that makes a model.
"""

import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tensorflow as tf

FOLDER, KIND, *NAMES = sys.argv[1:]
if KIND == "keras":
    import keras

    PREFIX = "keras_" + keras.__version__ + "_tensorflow_"
else:
    keras = tf.keras
    PREFIX = "tensorflow_" + tf.__version__ + "_"
L = keras.layers
Model, Sequential = keras.models.Model, keras.models.Sequential
RNG = np.random.RandomState(0)
RECORDED = {}


def save(name, model, arrays=None):
    name = PREFIX + name
    model.set_weights([RNG.uniform(-0.5, 0.5, array.shape) for array in model.get_weights()])
    for layer in model.layers:
        if layer.name == "norm":  # no negative variances
            layer.set_weights([RNG.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
    if arrays is None:
        arrays = [RNG.uniform(-1, 1, [2] + shape_of(x)) for x in model.inputs]
    arrays = [np.asarray(array, np.float32) for array in arrays]
    outputs = model.predict(arrays if len(arrays) > 1 else arrays[0])
    outputs = outputs if isinstance(outputs, list) else [outputs]
    for key, listed in (("x", arrays), ("y", outputs)):
        for index, array in enumerate(listed):
            RECORDED[f"{name}/{key}{index}"] = np.asarray(array, np.float32)
    model.save(os.path.join(FOLDER, name + ".h5"))


def shape_of(x):
    return list(keras.backend.int_shape(x)[1:])


def images():
    x = L.Input((7, 8, 3), name="x")
    y = L.Conv2D(4, 3, strides=2, padding="same", name="conv")(x)
    y = L.SeparableConv2D(4, 3, dilation_rate=2, padding="same", name="separable")(y)
    y = L.BatchNormalization(name="norm")(y)
    y = L.LeakyReLU(0.2, name="leaky")(y)
    y = L.GaussianNoise(0.1, name="noise")(y)
    up = L.UpSampling2D((3, 2), interpolation="bilinear", name="up")(y)
    y = L.MaxPooling2D(3, strides=2, padding="same", name="largest")(up)
    y = L.AveragePooling2D((3, 2), strides=2, padding="same", name="mean")(y)
    y = L.DepthwiseConv2D(2, depth_multiplier=2, activation="hard_sigmoid", name="depth")(y)
    y = L.Conv2DTranspose(3, 3, strides=2, padding="same", name="transpose")(y)
    y = L.SpatialDropout2D(0.5, name="drop")(y)
    y = L.Cropping2D(((1, 0), (0, 1)), name="cut")(y)
    y = L.ThresholdedReLU(0.1, name="thresholded")(y)
    y = L.UpSampling2D(name="twice")(y)
    top = L.GlobalAveragePooling2D(name="top")(y)
    save("images", Model(x, [L.Dense(2, activation="softmax", name="dense")(top), up]))


def first():
    """Channels come first; the Keras inside TensorFlow computes that on GPUs alone."""
    first = {"data_format": "channels_first"}
    model = Sequential()
    model.add(L.ZeroPadding2D(((1, 0), (0, 2)), input_shape=(2, 5, 6), name="pad", **first))
    model.add(L.Conv2D(3, (2, 3), strides=(2, 1), padding="same", name="conv", **first))
    model.add(L.BatchNormalization(axis=1, epsilon=0.01, name="norm"))
    model.add(L.AveragePooling2D(2, strides=1, padding="same", name="mean", **first))
    model.add(L.UpSampling2D(2, interpolation="bilinear", name="up", **first))
    model.add(L.Conv2DTranspose(2, 2, strides=2, name="transpose", **first))
    model.add(L.PReLU(shared_axes=[2, 3], name="prelu"))
    model.add(L.Flatten(name="flat", **first))
    model.add(L.Dense(3, activation="sigmoid", name="dense"))
    save("first", model)


def with_gaps(*shape):
    """Sequences `[N, T, C]` with steps of zeros: at the end, in the middle, at the beginning."""
    array = RNG.uniform(-1, 1, shape)
    array[0, -2:] = 0
    array[1, 2] = 0
    array[2, :2] = 0
    return array


def masks():
    x = L.Input((6, 3), name="x")
    y = L.Masking(0.0, name="masking")(x)
    both = L.Bidirectional(L.LSTM(3, return_sequences=True), name="both")(y)
    back = L.GRU(3, go_backwards=True, name="back")(both)
    ends = L.Bidirectional(L.GRU(3), merge_mode="ave", name="ends")(y)
    each = L.TimeDistributed(L.Dense(2), name="each")(y)
    last = L.LSTM(3, name="last")(each)
    turned = L.SimpleRNN(2, go_backwards=True, return_sequences=True, name="turned")(y)
    joined = L.Concatenate(name="joined")([back, ends, last])
    save("masks", Model(x, [joined, both, turned]), [with_gaps(4, 6, 3)])


def masked_means():
    x = L.Input((6,), name="x")
    y = L.Embedding(9, 4, mask_zero=True, name="embedding")(x)
    z = L.LSTM(4, return_sequences=True, name="lstm")(y)
    z = L.Add(name="sum")([y, z])
    save(
        "masked_means",
        Model(x, L.GlobalAveragePooling1D(name="mean")(z)),
        [[[1, 2, 3, 0, 0, 0], [4, 0, 5, 6, 0, 7], [0, 0, 1, 2, 3, 4], [1, 2, 3, 4, 5, 8]]],
    )


def recurrent():
    x = L.Input((5, 3), name="x")
    y = L.LSTM(3, implementation=1, return_sequences=True, unit_forget_bias=False, name="a")(x)
    y = L.GRU(3, implementation=2, return_sequences=True, name="b")(y)
    y = L.GRU(3, reset_after=True, go_backwards=True, return_sequences=True, name="c")(y)
    y, state = L.SimpleRNN(2, return_sequences=True, return_state=True, name="d")(y)
    y = L.Bidirectional(L.LSTM(3, recurrent_activation="sigmoid"), merge_mode="mul", name="e")(y)
    save("recurrent", Model(x, [y, state]))


def joins():
    a, b = L.Input((4, 3), name="a"), L.Input((4, 3), name="b")
    parts = [
        L.Dot(axes=2, normalize=True, name="cosine")([a, b]),
        L.Dot(axes=(1, 1), name="dot")([a, b]),
        L.Subtract(name="less")([a, b]),
        L.Average(name="mean")([a, b]),
        L.Maximum(name="most")([a, b]),
        L.Minimum(name="least")([a, b]),
        L.Multiply(name="product")([a, b]),
        L.Softmax(axis=1, name="softmax")(a),
        L.ReLU(max_value=0.5, negative_slope=0.1, threshold=0.1, name="relu")(b),
        L.ELU(0.5, name="elu")(a),
    ]
    flat = [L.Flatten(name=f"flat_{i}")(part) for i, part in enumerate(parts)]
    names = ("selu", "softplus", "softsign", "exponential", "hard_sigmoid", "elu")
    flat += [L.Activation(name, name=name + "_0")(flat[2]) for name in names]
    save("joins", Model([a, b], L.Concatenate(name="joined")(flat)))


def lines():
    x = L.Input((8, 3), name="x")
    y = L.Conv1D(4, 2, padding="causal", dilation_rate=2, name="causal")(x)
    y = L.SeparableConv1D(3, 2, padding="same", name="separable")(y)
    y = L.AveragePooling1D(3, strides=2, padding="same", name="mean")(y)
    y = L.ZeroPadding1D((0, 1), name="pad")(L.UpSampling1D(2, name="up")(y))
    y = L.MaxPooling1D(2, strides=1, padding="same", name="largest")(y)
    y = L.Permute((2, 1), name="turned")(L.Cropping1D((1, 0), name="cut")(y))
    y = L.BatchNormalization(scale=False, name="norm")(y)
    y = L.Flatten(name="flat")(y)
    y = L.RepeatVector(2, name="again")(L.Dense(3, activation="tanh", name="dense")(y))
    save("lines", Model(x, y))


def volumes():
    x = L.Input((3, 4, 5, 2), name="x")
    y = L.Conv3D(2, 2, padding="same", strides=(1, 2, 1), name="conv")(x)
    z = L.AveragePooling3D(2, strides=1, padding="same", name="mean")(y)
    z = L.Conv3DTranspose(2, 2, strides=(1, 2, 1), name="transpose")(z)
    z = L.Cropping3D(((0, 1), (1, 0), (0, 0)), name="cut")(L.UpSampling3D((1, 2, 1), name="up")(z))
    w = L.ConvLSTM2D(2, 2, padding="same", return_sequences=True, name="lstm")(y)
    flat = [L.GlobalMaxPooling3D(name="top")(z), L.Flatten(name="flat")(w)]
    save("volumes", Model(x, L.Concatenate(name="joined")(flat)))


for name in NAMES:
    RNG.seed(0)
    globals()[name]()
np.savez_compressed(os.path.join(FOLDER, f"recorded_{PREFIX[:-1]}.npz"), **RECORDED)
