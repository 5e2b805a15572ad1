"""The models in Keras's terms, which are kcompile's too."""

from __future__ import annotations

from typing import Any

import workloads as w

LOSSES = {
    "cce": "categorical_crossentropy",
    "scce": "sparse_categorical_crossentropy",
    "bce": "binary_crossentropy",
}


def build(K: Any, name: str) -> Any:
    """A model of the library K, `keras` or `kcompile`."""
    L = K.layers
    if name == "iris_mlp":
        return K.Sequential(
            [K.Input((4,)), L.Dense(4, activation="relu"), L.Dense(3, activation="softmax")]
        )
    if name in ("mlp_32", "mlp_128"):
        hidden = [L.Dense(512, activation="relu") for _ in range(2)]
        return K.Sequential([K.Input((784,)), *hidden, L.Dense(10, activation="softmax")])
    makers = {
        "mnist_cnn": _cnn,
        "resnet20": _resnet,
        "lstm": _lstm,
        "transformer": _transformer,
        "autoencoder": _autoencoder,
        "recommender": _recommender,
    }
    return makers[name](K, L)


def _cnn(K: Any, L: Any) -> Any:
    return K.Sequential(
        [
            K.Input((28, 28, 1)),
            L.Conv2D(32, 3, activation="relu"),
            L.Conv2D(64, 3, activation="relu"),
            L.MaxPooling2D(2),
            L.Dropout(0.25),
            L.Flatten(),
            L.Dense(128, activation="relu"),
            L.Dropout(0.5),
            L.Dense(10, activation="softmax"),
        ]
    )


def _resnet(K: Any, L: Any) -> Any:
    def convolved(x: Any, filters: int, kernel: int, strides: int) -> Any:
        x = L.Conv2D(filters, kernel, strides, padding="same", use_bias=False)(x)
        return L.BatchNormalization()(x)

    inputs = K.Input((32, 32, 3))
    x = L.ReLU()(convolved(inputs, 16, 3, 1))
    for stage, filters in enumerate((16, 32, 64)):
        for block in range(3):
            strides = 2 if stage and not block else 1
            y = L.ReLU()(convolved(x, filters, 3, strides))
            y = convolved(y, filters, 3, 1)
            x = x if strides == 1 else convolved(x, filters, 1, strides)
            x = L.ReLU()(L.Add()([x, y]))
    x = L.GlobalAveragePooling2D()(x)
    return K.Model(inputs, L.Dense(10, activation="softmax")(x))


def _lstm(K: Any, L: Any) -> Any:
    return K.Sequential(
        [
            K.Input((w.SENTENCE,), dtype="int32"),
            L.Embedding(w.VOCABULARY, 128),
            L.LSTM(128),
            L.Dense(1, activation="sigmoid"),
        ]
    )


def _transformer(K: Any, L: Any) -> Any:
    class Positions(L.Layer):  # type: ignore[misc]
        def build(self, input_shape: Any) -> None:
            self.table = self.add_weight(shape=(w.TEXT, w.WIDTH), initializer="uniform")

        def call(self, x: Any) -> Any:
            return x + self.table

    inputs = K.Input((w.TEXT,), dtype="int32")
    x = Positions()(L.Embedding(w.VOCABULARY, w.WIDTH)(inputs))
    for _ in range(w.BLOCKS):
        attended = L.MultiHeadAttention(w.HEADS, w.WIDTH // w.HEADS)(x, x)
        x = L.LayerNormalization(epsilon=1e-6)(L.Add()([x, L.Dropout(0.1)(attended)]))
        inner = L.Dense(w.WIDTH)(L.Dense(w.INNER, activation="relu")(x))
        x = L.LayerNormalization(epsilon=1e-6)(L.Add()([x, L.Dropout(0.1)(inner)]))
    x = L.GlobalAveragePooling1D()(x)
    return K.Model(inputs, L.Dense(2, activation="softmax")(x))


def _autoencoder(K: Any, L: Any) -> Any:
    same = {"activation": "relu", "padding": "same"}
    return K.Sequential(
        [
            K.Input((28, 28, 1)),
            L.Conv2D(32, 3, **same),
            L.MaxPooling2D(2, padding="same"),
            L.Conv2D(32, 3, **same),
            L.MaxPooling2D(2, padding="same"),
            L.Conv2DTranspose(32, 3, strides=2, **same),
            L.Conv2DTranspose(32, 3, strides=2, **same),
            L.Conv2D(1, 3, activation="sigmoid", padding="same"),
        ]
    )


def _recommender(K: Any, L: Any) -> Any:
    inputs = [K.Input((1,), dtype="int32") for _ in range(2)]
    rows = [L.Flatten()(L.Embedding(w.ENTITIES, w.ENTITY_WIDTH)(i)) for i in inputs]
    x = L.Concatenate()(rows)
    for units in (128, 64):
        x = L.Dense(units, activation="relu")(x)
    return K.Model(inputs, L.Dense(1, activation="sigmoid")(x))
