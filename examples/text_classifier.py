"""Text classification with the text processing inside the model, and inside the file.

The texts are the documentation of functions in Python's own library; the model says which of
four packages a sentence comes from.

python examples/text_classifier.py
"""

import ast
import textwrap
from pathlib import Path

import numpy as np

import kcompile
from kcompile import layers

PACKAGES = ["asyncio", "email", "tkinter", "unittest"]


def sentences(package):
    """The lines of the docstrings in a package, without repetition."""
    found = []
    for path in sorted((Path(ast.__file__).parent / package).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                found += textwrap.dedent(ast.get_docstring(node) or "").split("\n\n")
    return sorted({" ".join(text.split()) for text in found if len(text.split()) > 5})


texts = [(text, label) for label, package in enumerate(PACKAGES) for text in sentences(package)]
order = np.random.default_rng(0).permutation(len(texts))
x = np.array([texts[i][0] for i in order], dtype=object)
y = np.array([texts[i][1] for i in order], dtype="int32")
num_train = int(0.8 * len(x))

kcompile.utils.set_random_seed(0)
vectorize = layers.TextVectorization(max_tokens=3000, output_sequence_length=40)
vectorize.adapt(x[:num_train])
model = kcompile.Sequential(
    [
        layers.Input((), dtype="string", name="text"),
        vectorize,
        layers.Embedding(3000, 32, mask_zero=True),
        layers.GlobalAveragePooling1D(),
        layers.Dropout(0.3),
        layers.Dense(len(PACKAGES), activation="softmax", name="package"),
    ]
)
model.compile(
    kcompile.optimizers.Adam(1e-2), "sparse_categorical_crossentropy", metrics=["accuracy"]
)
model.fit(x[:num_train], y[:num_train], batch_size=32, epochs=12, verbose=2)

_, accuracy = model.evaluate(x[num_train:], y[num_train:], verbose=0)
most_common = float(np.mean(y[num_train:] == np.bincount(y[:num_train]).argmax()))
print(f"held-out accuracy: {accuracy:.3f} (the most common package: {most_common:.3f})")
assert accuracy > most_common + 0.2

# The file takes strings: whoever runs it needs no tokenizer.
executable = kcompile.compile(model)
(found,) = executable.run(x[num_train:]).values()
difference = np.abs(found - model.predict(x[num_train:], verbose=0)).max()
print(f"onnxruntime on the raw strings: largest difference from XLA {difference:.1e}")
assert difference < 1e-4
(answer,) = executable.run(np.array(["Parse the header of a message."], dtype=object)).values()
print("'Parse the header of a message.' is about", PACKAGES[int(answer.argmax())])
