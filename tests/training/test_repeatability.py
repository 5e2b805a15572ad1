"""The same seed gives the same bits, in another process as well."""

import os
import subprocess
import sys

import numpy as np

import kcompile
from kcompile import layers

SCRIPT = """
import hashlib, sys
import numpy as np
import kcompile
from kcompile import layers
kcompile.utils.set_random_seed(int(sys.argv[1]))
model = kcompile.Sequential([layers.Input((6,)), layers.Dense(16, activation="relu"),
    layers.Dropout(0.3), layers.BatchNormalization(), layers.Dense(3, activation="softmax")])
digest = hashlib.sha256()
for weight in model.get_weights():
    digest.update(weight.tobytes())
x = np.random.default_rng(0).standard_normal((70, 6))
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
history = model.fit(x, np.arange(70) % 3, epochs=4, validation_split=0.2, verbose=0)
for weight in model.get_weights():
    digest.update(np.asarray(weight).tobytes())
digest.update(repr(dict(history.history)).encode())
print(digest.hexdigest())
"""


def run(seed, hash_seed):
    command = [sys.executable, "-c", SCRIPT, str(seed)]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return result.stdout.strip()


def test_two_processes_agree_bit_for_bit():
    first = run(1, "0")
    assert len(first) == 64
    assert first == run(1, "123")
    assert first != run(2, "0")


def test_the_length_of_blocks_changes_nothing():
    """Neither a callback that looks at every batch nor the time that steps take matters."""
    results = []
    for per_batch in (False, True):
        kcompile.utils.set_random_seed(5)
        model = kcompile.Sequential(
            [
                layers.Input((6,)),
                layers.Dense(8),
                layers.Dropout(0.5, name="noise"),  # random ops are keyed by their layer's name
                layers.Dense(1),
            ]
        )
        model.compile("adam", "mse")
        look = kcompile.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None)
        x = np.random.default_rng(0).standard_normal((70, 6))
        model.fit(
            x,
            x.sum(axis=1),
            batch_size=4,
            epochs=3,
            verbose=0,
            callbacks=[look] if per_batch else None,
        )
        results.append(model.get_weights())
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)
