"""Writes the golden files of tf.keras 2.15: `python make_tf_keras.py FOLDER`; see README.md."""

import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"

import numpy as np
import tensorflow as tf

K = tf.keras
L = K.layers
RNG = np.random.RandomState(0)
RECORDED = {}
PREFIX = "tf_keras_2.15_"


def randomize(model):
    """Weights that are all different; small ones, so that nothing saturates."""
    arrays = []
    for weight in model.weights:
        shape = tuple(weight.shape)
        name = weight.name.split("/")[-1]
        if name.startswith(("moving_variance", "variance", "gamma")):
            arrays.append(RNG.uniform(0.5, 1.5, shape))
        elif "count" in name:
            arrays.append(np.asarray(5))
        else:
            arrays.append(RNG.uniform(-0.5, 0.5, shape))
    model.set_weights(arrays)


def inputs_of(model, length=6, batch=3):
    arrays = []
    for tensor in model.inputs:
        shape = [batch, *[length if size is None else size for size in tensor.shape[1:]]]
        arrays.append(RNG.uniform(-1, 1, shape).astype("float32"))
    return arrays


def record(name, arrays, outputs):
    outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    for key, listed in (("x", arrays), ("y", outputs)):
        for index, array in enumerate(listed):
            RECORDED[f"{PREFIX}{name}/{key}{index}"] = np.asarray(array, np.float32)


def save(name, model, arrays=None, suffix="h5", compiled=False):
    randomize(model)
    arrays = inputs_of(model) if arrays is None else arrays
    record(name, arrays, model.predict(arrays if len(arrays) > 1 else arrays[0], verbose=0))
    if compiled:
        model.compile(K.optimizers.Adam(0.01), "mse", metrics=["mae"])
    model.save(os.path.join(FOLDER, f"{PREFIX}{name}.{suffix}"))


def whole_numbers(shape, most):
    return RNG.randint(0, most, shape).astype("float32")


def convolutions():
    model = K.Sequential(
        [
            L.Conv2D(4, 3, padding="same", input_shape=(12, 12, 2), name="conv"),
            L.BatchNormalization(name="norm"),
            L.LeakyReLU(0.1, name="leaky"),
            L.DepthwiseConv2D(3, depth_multiplier=2, name="depthwise"),
            L.SeparableConv2D(3, 2, activation="hard_sigmoid", name="separable"),
            L.PReLU(shared_axes=[1, 2], name="prelu"),
            L.Conv2DTranspose(2, 3, strides=2, name="transpose"),
            L.MaxPooling2D(name="pool"),
            L.UpSampling2D(interpolation="bilinear", name="up"),
            L.ZeroPadding2D(((1, 0), (2, 1)), name="pad"),
            L.Cropping2D(1, name="crop"),
            L.ThresholdedReLU(0.05, name="thresholded"),
            L.SpatialDropout2D(0.2, name="spatial"),
            L.AveragePooling2D(3, 2, "same", name="average"),
            L.Flatten(name="flat"),
            L.Dense(3, activation="softmax", kernel_regularizer="l2", name="dense"),
        ],
        name="convolutions",
    )
    save("convolutions", model, compiled=True)


def one_dimensional():
    model = K.Sequential(
        [
            L.Conv1D(4, 3, padding="causal", dilation_rate=2, input_shape=(None, 2), name="conv"),
            L.SpatialDropout1D(0.3, name="spatial"),
            L.ReLU(max_value=1.0, negative_slope=0.25, threshold=0.125, name="relu"),
            L.SeparableConv1D(4, 2, name="separable"),
            L.GaussianNoise(0.1, name="noise"),
            L.UpSampling1D(3, name="up"),
            L.ZeroPadding1D(1, name="pad"),
            L.Cropping1D((1, 0), name="crop"),
            L.AveragePooling1D(2, name="average"),
            L.Conv1DTranspose(3, 2, name="transpose"),
            L.GlobalMaxPooling1D(name="top"),
            L.ELU(0.5, name="elu"),
            L.RepeatVector(2, name="repeat"),
            L.Permute((2, 1), name="permute"),
            L.Reshape((6,), name="reshape"),
            L.Activation("swish", name="swish"),
        ],
        name="one_dimensional",
    )
    save("one_dimensional", model)


def recurrent():
    model = K.Sequential(
        [
            L.Embedding(11, 4, mask_zero=True, input_length=7, name="embedding"),
            L.Bidirectional(
                L.LSTM(3, return_sequences=True, recurrent_activation="hard_sigmoid", dropout=0.1),
                name="both",
            ),
            L.Bidirectional(
                L.GRU(3, return_sequences=True, reset_after=False), merge_mode="sum", name="sum"
            ),
            L.TimeDistributed(L.Dense(4, activation="hard_sigmoid"), name="steps"),
            L.GRU(3, go_backwards=True, return_sequences=True, name="two_biases"),
            L.SimpleRNN(3, activation="relu", unroll=True, name="simple"),
        ],
        name="recurrent",
    )
    save("recurrent", model, [whole_numbers((3, 7), 11)])


def cells():
    x = K.Input((5, 3), name="x")
    stacked = [L.LSTMCell(3, name="lstm"), L.GRUCell(2, name="gru")]
    y = L.RNN(stacked, return_sequences=True, name="rnn")(x)
    _, h, c = L.LSTM(4, return_state=True, name="encoder")(x)
    z = L.LSTM(4, return_sequences=True, name="decoder")(y, initial_state=[h, c])
    images = K.Input((4, 5, 5, 1), name="images")
    w = L.ConvLSTM2D(2, 3, return_sequences=True, name="images_in_time")(images)
    inner = K.Sequential([L.Conv2D(2, 2, input_shape=(3, 3, 2), name="c"), L.Flatten()], name="in")
    w = L.TimeDistributed(inner, name="each")(w)
    save("cells", K.Model([x, images], [y, z, w], name="cells"))


def graphs():
    """Shared layers, models in models, one of them called twice, merges; one is frozen."""
    a, b = K.Input((4,), name="a"), K.Input((4,), name="b")
    shared = L.Dense(4, activation="tanh", name="shared")
    entry = K.Input((4,), name="entry")
    norm = L.BatchNormalization(name="norm")
    outs = [L.Dense(4, name="p")(norm(entry)), L.Dense(3, name="q")(entry)]
    inner = K.Model(entry, outs, name="inner")
    inner.get_layer("p").trainable = False
    line = K.Sequential(
        [L.Dense(4, input_shape=(4,), name="d"), L.BatchNormalization()], name="line"
    )
    first, one = inner(shared(a))
    second, two = inner(shared(b))
    merged = L.Add(name="add")([first, second])
    merged = L.Multiply(name="mul")([merged, line(a)])
    merged = L.Average(name="mean")([merged, line(shared(b))])
    merged = L.Maximum(name="max")([merged, a])
    merged = L.Subtract(name="sub")([merged, L.Minimum(name="min")([a, b])])
    dot = L.Dot(-1, normalize=True, name="dot")([a, merged])
    wide = L.Concatenate(name="wide")([one, two, merged])
    frozen = L.Dense(2, name="frozen", trainable=False)(wide)
    save("graphs", K.Model([a, b], [frozen, dot, inner(merged)[1]], name="graphs"))


def functions():
    x, y = K.Input((4, 6), name="x"), K.Input((4, 6), name="y")
    z = x * 2.0 + y
    z = 1.0 - z / 3.0
    z = tf.nn.relu(z) - tf.math.minimum(y, 0.25)
    z = tf.concat([z, tf.math.square(x)], axis=-1)
    z = z[:, 1:, ::2]
    z = tf.reshape(z, (-1, 6, 3))
    z = tf.transpose(z, (0, 2, 1))
    z = tf.nn.leaky_relu(z) + tf.math.sigmoid(z)
    z = tf.clip_by_value(z, -1.0, 0.75)
    w = tf.reduce_mean(z, axis=[1], keepdims=True)
    w = tf.squeeze(w, axis=1)
    v = tf.stack([w, tf.math.exp(w)], axis=1)
    left, right = tf.split(v, 2, axis=-1)
    top = tf.nn.softmax(left) * tf.math.l2_normalize(right, axis=-1)
    norm = tf.expand_dims(tf.math.reduce_max(x, axis=1), 1)
    save("functions", K.Model([x, y], [top, norm, -w, z @ tf.transpose(z, (0, 2, 1))]))


def attention():
    x, y = K.Input((5, 6), name="x"), K.Input((4, 6), name="y")
    z = L.MultiHeadAttention(2, 3, name="heads")(x, y)
    z = L.LayerNormalization(name="norm")(z + x)
    w = L.Attention(use_scale=True, name="plain")([z, y])
    v = L.AdditiveAttention(name="additive")([w, y])
    u = L.EinsumDense("abc,cd->abd", (None, 3), bias_axes="d", name="einsum")(v)
    u = L.Dense(2, activation="gelu", name="dense")(u)
    save("attention", K.Model([x, y], L.GlobalAveragePooling1D(name="mean")(u), name="attention"))


def preprocessing():
    x = K.Input((8, 8, 3), name="x")
    y = L.Rescaling(2.0, 0.5, name="scale")(x)
    y = L.Normalization(mean=[0.1, 0.2, 0.3], variance=[1.0, 2.0, 3.0], name="fixed")(y)
    y = L.Normalization(axis=-1, name="adapted")(y)
    y = L.RandomFlip("horizontal", name="flip")(y)
    y = L.RandomRotation(0.1, name="rotation")(y)
    y = L.Resizing(5, 6, name="resize")(y)
    y = L.CenterCrop(4, 4, name="crop")(y)
    save("preprocessing", K.Model(x, L.GlobalAveragePooling2D(keepdims=True, name="mean")(y)))


def policies():
    """Layers that compute in half precision, and one that does not."""
    policy = K.mixed_precision.Policy("mixed_float16")
    x = K.Input((4,), name="x")
    y = L.Dense(8, activation="relu", dtype=policy, name="half")(x)
    save("policies", K.Model(x, L.Dense(2, dtype="float32", name="whole")(y), name="policies"))


def no_input_shape():
    model = K.Sequential(
        [L.Dense(4, activation="relu", name="one"), L.Dense(2, name="two")], "late"
    )
    model.build((None, 3))
    randomize(model)
    arrays = [RNG.uniform(-1, 1, (3, 3)).astype("float32")]
    record("no_input_shape", arrays, model.predict(arrays[0], verbose=0))
    model.save(os.path.join(FOLDER, PREFIX + "no_input_shape.h5"))


def functions_without_names():
    model = K.Sequential(
        [
            L.Dense(4, activation=lambda x: tf.nn.relu(x), input_shape=(3,), name="one"),
            L.Dense(2, activation=tf.nn.softmax, name="two"),
        ],
        "lambdas",
    )
    save("lambda_activation", model)


def slashes():
    """Names with slashes, as the DenseNets of keras.applications have them."""
    x = K.Input((4,), name="x")
    y = L.Dense(4, name="block1/conv")(x)
    y = L.Activation("relu", name="block1/relu")(y)
    save("slashes", K.Model(x, L.Add(name="block1/add")([x, y]), name="slashes"))


def cudnn():
    """Layers that run on GPUs only; what they compute is recorded of the layers without cuDNN."""
    cu = tf.compat.v1.keras.layers
    x = K.Input((6, 3), name="x")
    y = L.Bidirectional(cu.CuDNNLSTM(4, return_sequences=True), name="both")(x)
    y = cu.CuDNNGRU(3, return_sequences=True, name="gru")(y)
    model = K.Model(x, cu.CuDNNLSTM(2, name="lstm")(y), name="cudnn")
    randomize(model)
    path = os.path.join(FOLDER, PREFIX + "cudnn.h5")
    model.save(path)
    y = L.Bidirectional(L.LSTM(4, return_sequences=True), name="both")(x)
    y = L.GRU(3, return_sequences=True, name="gru")(y)
    plain = K.Model(x, L.LSTM(2, name="lstm")(y), name="cudnn")
    plain.load_weights(path)
    arrays = inputs_of(plain)
    record("cudnn", arrays, plain.predict(arrays[0], verbose=0))


def keras_format():
    """The zip that Keras 2.12 and later write as well as Keras 3."""
    x = K.Input((5, 3), name="x")
    y = L.Bidirectional(L.GRU(2, return_sequences=True, reset_after=False), name="both")(x)
    y = L.Dense(4, activation="hard_sigmoid", name="dense")(y)
    y = L.TimeDistributed(L.Dense(2), name="each")(y)
    inner = K.Sequential([L.Dense(3, input_shape=(5, 2), name="d")], name="inner")
    y = L.Concatenate(name="join")([inner(y), y * 0.5])
    save("keras_format", K.Model(x, y, name="zipped"), suffix="keras")


def architecture():
    """A JSON with weights beside it."""
    x = K.Input((4,), name="x")
    model = K.Model(x, L.Dense(2, activation="hard_sigmoid", name="dense")(x), name="told")
    randomize(model)
    arrays = inputs_of(model)
    record("architecture", arrays, model.predict(arrays[0], verbose=0))
    with open(os.path.join(FOLDER, PREFIX + "architecture.json"), "w") as file:
        file.write(model.to_json())
    model.save_weights(os.path.join(FOLDER, PREFIX + "architecture.h5"))


FOLDER = sys.argv[1]
for make in (
    *(convolutions, one_dimensional, recurrent, cells, graphs, functions, attention),
    *(preprocessing, policies, no_input_shape, functions_without_names, slashes, cudnn),
    *(keras_format, architecture),
):
    K.backend.clear_session()
    make()
np.savez_compressed(os.path.join(FOLDER, "recorded_tf_keras_2.15.npz"), **RECORDED)
