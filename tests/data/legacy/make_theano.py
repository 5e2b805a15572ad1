"""Writes the golden files of Keras on Theano: `python make_theano.py FOLDER`; see README.md.

The Keras that is installed is 1.0.8, 1.2.2 or 2.2.4.
"""

import builtins
import collections
import collections.abc
import inspect
import os
import sys

import h5py
import numpy as np
import scipy.signal._signaltools

# What these libraries still expect of Python and NumPy.
for name in ("Iterable", "Callable", "Mapping", "MutableMapping", "Sequence", "OrderedDict"):
    if not hasattr(collections, name):
        setattr(collections, name, getattr(collections.abc, name))
for name in ("bool", "int", "float", "complex", "object", "str"):
    if name not in np.__dict__:
        setattr(np, name, getattr(builtins, name))
if not hasattr(inspect, "getargspec"):
    Arguments = collections.namedtuple("Arguments", "args varargs keywords defaults")
    inspect.getargspec = lambda function: Arguments(*inspect.getfullargspec(function)[:4])
sys.modules["scipy.signal.signaltools"] = scipy.signal._signaltools
sys.modules["scipy.signal.sigtools"] = scipy.signal._sigtools
os.environ["KERAS_BACKEND"] = "theano"
os.environ["THEANO_FLAGS"] = "cxx=,optimizer=None,linker=py,floatX=float32,device=cpu"

import theano.ifelse  # noqa: E402
import theano.sandbox.rng_mrg  # noqa: E402

theano.sandbox.rng_mrg.MRG_RandomStreams = theano.sandbox.rng_mrg.MRG_RandomStream

import keras  # noqa: E402
from keras import layers as L  # noqa: E402
from keras.models import Model, Sequential  # noqa: E402

VERSION = keras.__version__
IS_1 = VERSION.startswith("1.")
RNG = np.random.RandomState(0)
RECORDED = {}


def save(name, model, arrays=None):
    name = f"keras_{VERSION}_{name}"
    model.set_weights([RNG.uniform(-0.5, 0.5, w.shape) for w in model.get_weights()])
    for layer in model.layers:
        if type(layer).__name__ == "BatchNormalization":
            size = layer.get_weights()[0].shape
            layer.set_weights([RNG.uniform(0.5, 1.5, size) for _ in range(4)])
    if arrays is None:
        arrays = [RNG.uniform(-1, 1, (2, *shape[1:])) for shape in shapes_of(model)]
    arrays = [array.astype("float32") for array in arrays]
    outputs = model.predict(arrays if len(arrays) > 1 else arrays[0])
    outputs = outputs if isinstance(outputs, list) else [outputs]
    for key, listed in (("x", arrays), ("y", outputs)):
        for index, array in enumerate(listed):
            RECORDED[f"{name}/{key}{index}"] = np.asarray(array, np.float32)
    path = os.path.join(FOLDER, f"{name}.h5")
    model.save(path)
    if IS_1:  # it did not write the backend; without, a reader takes it for TensorFlow
        with h5py.File(path, "a") as file:
            file.attrs["backend"] = b"theano"


def shapes_of(model):
    shapes = model.input_shape
    return shapes if isinstance(shapes, list) else [shapes]


def images_1():
    model = Sequential()
    model.add(L.ZeroPadding2D((1, 1), input_shape=(2, 7, 7), dim_ordering="th", name="pad"))
    model.add(L.Convolution2D(3, 3, 2, dim_ordering="th", activation="hard_sigmoid", name="first"))
    model.add(L.BatchNormalization(axis=1, name="norm"))
    model.add(L.AtrousConvolution2D(2, 2, 2, atrous_rate=(2, 2), dim_ordering="th", name="holes"))
    model.add(L.MaxPooling2D((2, 2), dim_ordering="th", name="pool"))
    model.add(L.UpSampling2D((2, 2), dim_ordering="th", name="up"))
    model.add(
        L.Deconvolution2D(
            2,
            3,
            2,
            output_shape=(None, 2, 9, 12),
            subsample=(2, 2),
            dim_ordering="th",
            name="deconvolution",
        )
    )
    model.add(L.LeakyReLU(0.2, name="leaky"))
    model.add(L.Dropout(0.5, name="drop"))
    model.add(L.Flatten(name="flat"))
    model.add(L.Dense(2, activation="softmax", W_regularizer="l2", name="dense"))
    save("images", model)


def mixed_1():
    """Two data formats in one model."""
    model = Sequential()
    first = {"dim_ordering": "th"}
    model.add(L.Convolution2D(3, 3, 2, input_shape=(2, 7, 7), name="first", **first))
    model.add(L.Permute((2, 3, 1), name="last"))
    model.add(L.Convolution2D(3, 2, 3, dim_ordering="tf", subsample=(1, 2), bias=False, name="tf"))
    model.add(L.AveragePooling2D((2, 1), dim_ordering="tf", name="pool"))
    model.add(L.GlobalMaxPooling2D(dim_ordering="tf", name="top"))
    save("mixed", model)


def volumes_1():
    model = Sequential()
    first = {"dim_ordering": "th"}
    model.add(L.Convolution3D(3, 2, 3, 2, input_shape=(2, 4, 5, 4), name="conv", **first))
    model.add(L.MaxPooling3D((1, 2, 1), name="pool", **first))
    model.add(L.Permute((2, 1, 3, 4), name="time"))
    model.add(L.Reshape((3, 1, 3, 3), name="shape"))
    model.add(L.ConvLSTM2D(2, 1, 3, border_mode="same", name="lstm", **first))
    model.add(L.Flatten(name="flat"))
    save("volumes", model)


def lines_1():
    model = Sequential()
    model.add(L.Convolution1D(4, 3, border_mode="same", input_shape=(8, 2), name="conv"))
    model.add(L.MaxPooling1D(2, name="pool"))
    model.add(L.AtrousConvolution1D(3, 2, atrous_rate=2, name="holes"))
    model.add(L.UpSampling1D(2, name="up"))
    model.add(L.ZeroPadding1D(1, name="pad"))
    model.add(L.TimeDistributed(L.Dense(4), name="each"))
    model.add(L.ELU(0.7, name="elu"))
    model.add(L.GlobalAveragePooling1D(name="mean"))
    model.add(L.Dense(3, b_constraint="nonneg", name="dense"))
    save("lines", model)


def recurrent_1():
    model = Sequential()
    model.add(L.Embedding(9, 4, input_length=6, dropout=0.1, name="embedding"))
    model.add(L.LSTM(3, return_sequences=True, dropout_W=0.1, name="lstm"))
    model.add(L.LSTM(4, return_sequences=True, consume_less="gpu", name="together"))
    model.add(L.Bidirectional(L.GRU(3, return_sequences=True), merge_mode="sum", name="both"))
    model.add(
        L.GRU(3, inner_activation="sigmoid", go_backwards=True, return_sequences=True, name="gru")
    )
    model.add(L.SimpleRNN(2, name="simple"))
    save("recurrent", model, [RNG.randint(0, 9, (2, 6))])


def merged_1():
    left = Sequential([L.Dense(4, input_dim=3, name="left")])
    right = Sequential()
    right.add(L.Dense(4, input_shape=(5,), activation="tanh", name="right"))
    model = Sequential()
    model.add(L.Merge([left, right], mode="mul", name="merged"))
    model.add(L.Dense(2, name="dense"))
    save("merged", model)


def graph_1():
    a, b = L.Input((4,), name="a"), L.Input((4,), name="b")
    shared = L.Dense(4, name="shared")
    x, y = shared(a), shared(b)
    inner = Sequential([L.Dense(4, input_dim=4, name="d"), L.Activation("hard_sigmoid")])
    inner.name = "inner"
    modes = ("sum", "mul", "ave", "max")
    parts = [keras.engine.merge([x, y], mode=mode, name=mode) for mode in modes]
    parts.append(keras.engine.merge([x, y], mode="dot", dot_axes=1, name="dot"))
    parts.append(inner(x))
    joined = keras.engine.merge(parts, mode="concat", concat_axis=-1, name="joined")
    save("graph", Model([a, b], [L.Dense(2, name="dense")(joined), inner(y)]))


def images_2():
    model = Sequential()
    first = {"data_format": "channels_first"}
    model.add(L.ZeroPadding2D(((1, 0), (0, 1)), input_shape=(2, 7, 7), name="pad", **first))
    model.add(L.Conv2D(3, (3, 2), activation="hard_sigmoid", name="first", **first))
    model.add(L.BatchNormalization(axis=1, name="norm"))
    model.add(L.MaxPooling2D(name="pool", **first))
    model.add(L.Conv2DTranspose(3, 2, strides=2, name="transpose", **first))
    model.add(L.Permute((2, 3, 1), name="last"))
    model.add(L.Conv2D(4, 3, dilation_rate=2, name="holes"))
    model.add(L.SeparableConv2D(3, 2, name="separable"))
    model.add(L.Flatten(name="flat"))
    model.add(L.Dense(2, activation="softmax", name="dense"))
    save("images", model)


def recurrent_2():
    x = L.Input((5, 3), name="x")
    y = L.Bidirectional(L.LSTM(3, return_sequences=True), name="both")(x)
    y = L.Conv1D(4, 3, padding="causal", name="conv")(y)
    y = L.GRU(3, return_sequences=True, name="one_bias")(y)
    y, state = L.GRU(3, reset_after=True, return_sequences=True, return_state=True, name="two")(y)
    z = L.GRU(3, name="given")(y, initial_state=state)
    inner = Sequential([L.Dense(4, input_shape=(3,), name="d"), L.LeakyReLU(0.3)], name="inner")
    w = L.TimeDistributed(inner, name="each")(y)
    w = L.ThresholdedReLU(0.1, name="thresholded")(L.GlobalMaxPooling1D(name="top")(w))
    save("recurrent", Model(x, [L.Concatenate(name="join")([z, w]), inner(state)]))


FOLDER = sys.argv[1]
MODELS = (images_2, recurrent_2)
if IS_1:
    MODELS = (images_1, recurrent_1, merged_1, graph_1)
if VERSION == "1.2.2":
    MODELS += (mixed_1, volumes_1, lines_1)
for make in MODELS:
    make()
np.savez_compressed(os.path.join(FOLDER, f"recorded_keras_{VERSION}.npz"), **RECORDED)
