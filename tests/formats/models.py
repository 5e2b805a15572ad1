"""Models that are defined alike with kcompile and with Keras: `k` is either module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def cnn(k: Any) -> Any:
    layers = k.layers
    return k.Sequential(
        [
            layers.Input((8, 8, 2)),
            layers.Conv2D(4, 3, activation="relu", padding="same", kernel_regularizer="l2"),
            layers.BatchNormalization(),
            layers.MaxPooling2D(),
            layers.ZeroPadding2D(1),
            layers.AveragePooling2D(2),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(5, activation="gelu", kernel_initializer="he_normal"),
            layers.Reshape((5, 1)),
            layers.Permute((2, 1)),
            layers.ReLU(max_value=6.0),
            layers.Softmax(),
        ],
        name="cnn",
    )


def shared(k: Any) -> Any:
    """Two inputs, a shared layer, functions between layers, outputs in a dict."""
    a, b = k.Input((4,), name="a"), k.Input((4,), name="b")
    dense = k.layers.Dense(4, activation="tanh", name="shared")
    x, y = dense(a), dense(b)
    z = k.layers.Add(name="sum")([x, y]) + 1.0
    z = k.ops.relu(2.0 - z * x / 3.0)
    w = k.ops.concatenate([z, y], axis=1)
    w = k.ops.softmax(w[:, 1:5] + np.ones(4, "float32"))
    mean = k.ops.mean(k.layers.Maximum(name="top")([w, z]), axis=-1, keepdims=True)
    return k.Model([a, b], {"wide": w, "mean": mean}, name="shared_model")


def nested(k: Any) -> Any:
    """Models in models, one of them called twice, one with two results."""
    layers = k.layers
    inner = k.Sequential(
        [layers.Input((6,)), layers.Dense(6, name="d"), layers.BatchNormalization(name="n")],
        name="inner",
    )
    entry = k.Input((6,), name="entry")
    head = k.Model(
        entry,
        [layers.Dense(2, name="p")(entry), layers.Dense(3, name="q")(entry)],
        name="head",
    )
    x = k.Input((6,), name="x")
    first = head(x)
    second = head(layers.Dense(6, activation="relu", name="between")(x))
    joined = layers.Concatenate(name="joined")([first[0], second[1], inner(x)])
    return k.Model(x, [joined, second[0]], name="nested_model")


def shared_across_models(k: Any) -> Any:
    """A layer that is in a model and in the model around it."""
    dense = k.layers.Dense(4, name="tied")
    entry, x = k.Input((4,), name="entry"), k.Input((4,), name="x")
    inner = k.Model(entry, k.layers.Dense(4, name="own")(dense(entry)), name="inner")
    return k.Model(x, dense(inner(x)), name="outer")


def again(k: Any) -> Any:
    """A layer after itself with another in between: a(b(a(x)))."""
    x = k.Input((4,), name="x")
    a, b = k.layers.Dense(4, name="one"), k.layers.Dense(4, name="two")
    return k.Model(x, a(b(a(x))), name="again_model")


def frozen(k: Any) -> Any:
    model = cnn(k)
    model.layers[0].trainable = False
    model.layers[1].trainable = False
    return model


MODELS: dict[str, Callable[[Any], Any]] = {
    "again": again,
    "cnn": cnn,
    "frozen": frozen,
    "nested": nested,
    "shared": shared,
}


def inputs_of(model: Any, batch: int = 3) -> list[np.ndarray[Any, Any]]:
    """The same random inputs for the same shapes."""
    rng = np.random.default_rng(0)
    return [
        rng.standard_normal((batch, *tensor.shape[1:])).astype("float32") for tensor in model.inputs
    ]


def outputs_of(model: Any, arrays: list[Any]) -> list[np.ndarray[Any, Any]]:
    """The outputs, those in a dict by sorted key."""
    result = model(arrays[0] if len(arrays) == 1 else arrays)
    if isinstance(result, dict):
        result = [result[key] for key in sorted(result)]
    flat = result if isinstance(result, (list, tuple)) else [result]
    return [np.asarray(array) for array in flat]


def assert_same_outputs(ours: Any, keras_model: Any) -> None:
    arrays = inputs_of(ours)
    mine, theirs = outputs_of(ours, arrays), outputs_of(keras_model, arrays)
    assert len(mine) == len(theirs)
    for left, right in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-6)


def randomize(model: Any) -> None:
    """Weights that are all different, statistics of BatchNormalization included."""
    rng = np.random.default_rng(1)
    model.set_weights([rng.uniform(0.1, 1.0, w.shape).astype("float32") for w in model.weights])
