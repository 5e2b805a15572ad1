"""A small transformer that predicts the next character of Python's own documentation.

python examples/transformer.py
"""

from pydoc_data import topics

import numpy as np

import kcompile
from kcompile import layers, ops

LENGTH, WIDTH, HEADS, BLOCKS = 64, 64, 4, 2

text = "\n".join(topics.topics[name] for name in sorted(topics.topics))
codes = np.frombuffer(text.encode("ascii", "replace"), "uint8").astype("int32")
codes = codes[: len(codes) // (LENGTH + 1) * (LENGTH + 1)].reshape(-1, LENGTH + 1)
codes = codes[np.random.default_rng(0).permutation(len(codes))[:3000]]
train, test = codes[:2700], codes[2700:]


def block(x):
    """Attention to what came before, then two dense layers, each added to what it started from."""
    y = layers.LayerNormalization()(x)
    y = layers.MultiHeadAttention(HEADS, WIDTH // HEADS)(y, y, use_causal_mask=True)
    x = layers.Add()([x, y])
    y = layers.LayerNormalization()(x)
    y = layers.Dense(2 * WIDTH, activation="gelu")(y)
    return layers.Add()([x, layers.Dense(WIDTH)(y)])


class Positions(layers.Layer):
    """Adds a learned vector for each position."""

    def build(self, input_shape):
        self.table = self.add_weight((LENGTH, input_shape[-1]), name="table")

    def call(self, x):
        return x + self.table[: ops.shape(x)[1]]


kcompile.utils.set_random_seed(0)
characters = layers.Input((None,), dtype="int32", name="characters")
x = Positions()(layers.Embedding(128, WIDTH)(characters))
for _ in range(BLOCKS):
    x = block(x)
logits = layers.Dense(128, name="logits")(layers.LayerNormalization()(x))
model = kcompile.Model(characters, logits)
model.compile(
    kcompile.optimizers.Adam(3e-3),
    kcompile.losses.SparseCategoricalCrossentropy(from_logits=True),
)
model.fit(train[:, :-1], train[:, 1:], batch_size=32, epochs=3, verbose=2)

loss = model.evaluate(test[:, :-1], test[:, 1:], verbose=0)
# What one knows who looks at one character only: counts of pairs, each plus one.
pairs = np.ones((128, 128))
np.add.at(pairs, (train[:, :-1], train[:, 1:]), 1)
pairs /= pairs.sum(axis=1, keepdims=True)
bigram = -np.log(pairs[test[:, :-1], test[:, 1:]]).mean()
print(f"held-out loss per character: {loss:.3f}; from pairs of characters: {bigram:.3f}")
assert loss < bigram

executable = kcompile.compile(model)
(found,) = executable.run(test[:4, :20]).values()
difference = np.abs(found - model.predict(test[:4, :20], verbose=0)).max()
print(f"onnxruntime: largest difference from XLA {difference:.1e}")
assert difference < 1e-3

# The file takes any length: write on, one character at a time.
written = list(b"The statement")
for _ in range(40):
    (scores,) = executable.run(np.array([written[-LENGTH:]], "int32")).values()
    written.append(int(scores[0, -1].argmax()))
print(repr(bytes(written).decode("ascii", "replace")))
