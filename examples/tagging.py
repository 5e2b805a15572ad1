"""Sequence tagging: the kind of every character of a line of Python, with masks.

The data are lines of Python's own library; its tokenizer says what each character belongs to.

python examples/tagging.py
"""

import io
import keyword
import tokenize
from pathlib import Path

import numpy as np

import kcompile
from kcompile import layers

TAGS = ["space", "name", "keyword", "number", "string", "operator", "comment"]
KINDS = {
    tokenize.NUMBER: "number",
    tokenize.STRING: "string",
    tokenize.OP: "operator",
    tokenize.COMMENT: "comment",
}
MODULES = ["argparse", "ast", "bisect", "calendar", "cmd", "copy", "csv", "datetime", "difflib"]
LONGEST = 60


def tagged_lines(source):
    """Lines of the source, and for each the number of the tag of each character."""
    lines = source.splitlines()
    tags = [np.zeros(len(line), "int32") for line in lines]
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        kind = KINDS.get(token.type)
        if token.type == tokenize.NAME:
            kind = "keyword" if keyword.iskeyword(token.string) else "name"
        (first, begin), (last, end) = token.start, token.end
        if kind and first == last:
            tags[first - 1][begin:end] = TAGS.index(kind)
    return [
        (line, tag)
        for line, tag in zip(lines, tags, strict=True)
        if 3 < len(line) <= LONGEST and line.isascii() and tag.any()
    ]


library = Path(tokenize.__file__).parent
pairs = [pair for name in MODULES for pair in tagged_lines((library / f"{name}.py").read_text())]
pairs = [pairs[i] for i in np.random.default_rng(0).permutation(len(pairs))[:3500]]
# A character's code is its number; 0 is no character, and the model leaves it out.
x = np.zeros((len(pairs), LONGEST), "int32")
y = np.zeros((len(pairs), LONGEST), "int32")
for row, (line, tag) in enumerate(pairs):
    x[row, : len(line)] = list(line.encode())
    y[row, : len(line)] = tag

kcompile.utils.set_random_seed(0)
characters = layers.Input((None,), dtype="int32", name="characters")
h = layers.Embedding(128, 16, mask_zero=True)(characters)
h = layers.Bidirectional(layers.LSTM(32, return_sequences=True))(h)
model = kcompile.Model(characters, layers.Dense(len(TAGS), activation="softmax", name="tags")(h))
model.compile(
    kcompile.optimizers.Adam(1e-2),
    "sparse_categorical_crossentropy",
    weighted_metrics=["accuracy"],
)
model.fit(x[:3000], y[:3000], batch_size=50, epochs=4, verbose=2)

_, accuracy = model.evaluate(x[3000:], y[3000:], verbose=0)
real = x[3000:] != 0
most_common = np.mean(y[3000:][real] == np.bincount(y[:3000][x[:3000] != 0]).argmax())
print(f"held-out characters tagged right: {accuracy:.3f}; the most common tag: {most_common:.3f}")
assert accuracy > max(0.85, most_common)

executable = kcompile.compile(model)
for line in ("def f(x): return x + 1  # next", "while 'a' in text: pass"):
    codes = np.array([list(line.encode())], "int32")
    (tags,) = executable.run(codes).values()  # a line of its own length, without padding
    padded = np.pad(codes, ((0, 0), (0, LONGEST - codes.shape[1])))
    expected = model.predict(padded, verbose=0)[:, : len(line)]
    np.testing.assert_allclose(tags, expected, rtol=1e-3, atol=1e-5)
    print(line)
    print("".join(TAGS[i][0] if i else " " for i in tags[0].argmax(-1)))
