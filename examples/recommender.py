"""A recommender: which modules a file will import, from embeddings of files and modules.

The data are the import statements in the packages jax, numpy and scipy, which kcompile needs. Of
each file one import is held out; the model ranks it among all modules.

python examples/recommender.py
"""

import ast
import importlib.util
import warnings
from collections import Counter
from pathlib import Path

import numpy as np

import kcompile
from kcompile import layers


def imports(path):
    """Names of the modules that a file imports, and of what it takes from packages."""
    names = set()
    with warnings.catch_warnings(action="ignore"):  # of strings with invalid escapes
        nodes = ast.walk(ast.parse(path.read_bytes()))
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


folders = [Path(importlib.util.find_spec(name).origin).parent for name in ("jax", "numpy", "scipy")]
paths = [path for folder in folders for path in sorted(folder.rglob("*.py"))]
by_file = [imports(path) for path in paths]
counts = Counter(name for names in by_file for name in names)
modules = sorted(name for name, count in counts.items() if count >= 8)
number = {name: index for index, name in enumerate(modules)}
seen = np.zeros((len(by_file), len(modules)), bool)
for row, names in enumerate(by_file):
    seen[row, [number[name] for name in names if name in number]] = True
seen = seen[seen.sum(axis=1) >= 4]

rng = np.random.default_rng(0)
held_out = np.array([rng.choice(np.flatnonzero(row)) for row in seen])
known = seen.copy()
known[np.arange(len(seen)), held_out] = False


def examples(negatives_per_positive=4):
    """Every import that is known, and as many times more pairs of a file and any module."""
    files, targets = np.nonzero(known)
    drawn = rng.integers(0, len(modules), len(files) * negatives_per_positive)
    files = np.concatenate([files, np.repeat(files, negatives_per_positive)])
    targets = np.concatenate([targets, drawn])
    x = {"file": files.astype("int32"), "module": targets.astype("int32")}
    return x, known[files, targets].astype("float32")


kcompile.utils.set_random_seed(0)
file = layers.Input((), dtype="int32", name="file")
module = layers.Input((), dtype="int32", name="module")
of_file = layers.Embedding(len(seen), 24)(file)
of_module = layers.Embedding(len(modules), 24)(module)
popularity = layers.Flatten()(layers.Embedding(len(modules), 1)(module))
score = layers.Add()([layers.Dot(axes=1)([of_file, of_module]), popularity])
model = kcompile.Model({"file": file, "module": module}, layers.Activation("sigmoid")(score))
model.compile(kcompile.optimizers.Adam(1e-2), "binary_crossentropy", metrics=["AUC"])
for _ in range(6):
    x, y = examples()  # other pairs that are none each time
    model.fit(x, y, batch_size=512, verbose=2)


def hits(scores, top=10):
    """How often the held-out module is among the best that the file does not import yet."""
    ranked = np.argsort(np.where(known, -np.inf, scores), axis=1)[:, -top:]
    return float(np.mean((ranked == held_out[:, None]).any(axis=1)))


# The file scores every module for every file.
executable = kcompile.compile(model)
files, columns = (grid.ravel().astype("int32") for grid in np.indices(seen.shape))
(scores,) = executable.run({"file": files, "module": columns}).values()
found = hits(scores.reshape(seen.shape))
popular = hits(np.broadcast_to(known.sum(axis=0), seen.shape))
print(f"{len(seen)} files, {len(modules)} modules")
print(f"held-out import among the ten best: {found:.3f}; among the ten most used: {popular:.3f}")
assert found > 1.5 * popular
sample = {"file": files[:500], "module": columns[:500]}
difference = np.abs(model.predict(sample, verbose=0) - scores[:500]).max()
print(f"onnxruntime: largest difference from XLA {difference:.1e}")
assert difference < 1e-4
