"""Models of strings train, predict and are exported as any other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import kcompile
from kcompile import layers
from kcompile.ir.errors import DataError
from tests.ops.tolerances import assert_same

GOOD = ["a good film!", "truly great, good", "Great acting", "I liked it", "good good fun"]
BAD = ["a bad film!", "truly awful, bad", "Awful acting", "I hated it", "bad bad mess"]
TEXTS = np.array((GOOD + BAD) * 4)
LABELS = np.array(([1.0] * 5 + [0.0] * 5) * 4, np.float32)


def classifier(shape: tuple[int, ...] = (1,)) -> Any:
    kcompile.utils.set_random_seed(0)
    words = layers.TextVectorization(max_tokens=20, output_sequence_length=6)
    words.adapt(TEXTS)
    model = kcompile.Sequential(
        [
            kcompile.Input(shape, dtype="string"),
            words,
            layers.Embedding(20, 8, mask_zero=True),
            layers.GlobalAveragePooling1D(),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(kcompile.optimizers.Adam(0.05), "binary_crossentropy", metrics=["accuracy"])
    return model


@pytest.mark.parametrize("shape", [(1,), pytest.param((), marks=pytest.mark.slow)])
def test_a_classifier_of_texts_from_fit_to_onnxruntime(shape: tuple[int, ...]) -> None:
    model = classifier(shape)
    texts = TEXTS.reshape(-1, *shape)
    history = model.fit(texts, LABELS, epochs=12, batch_size=8, validation_split=0.25, verbose=0)
    assert history.history["loss"][-1] < 0.5 * history.history["loss"][0]
    assert model.evaluate(texts, LABELS, verbose=0)[1] == 1.0
    predicted = model.predict(texts[:7], verbose=0)
    assert_same(model(texts[:7]), predicted)
    exported = kcompile.compile(model)
    others = [kcompile.compile(model, target) for target in ("xla", "reference")]
    for executable in (exported, *others):
        (found,) = executable.run(texts[:7]).values()
        assert_same(found, predicted, executable.target)
    assert exported.report["verification"]["kcompile.verification.status"] == "passed"
    assert {"StringNormalizer", "StringSplit", "LabelEncoder"} <= set(exported.report["ops"])


def test_streams_of_strings_train_as_arrays_do() -> None:
    first, second = classifier(), classifier()
    first.fit(TEXTS, LABELS, batch_size=8, epochs=2, shuffle=False, verbose=0)

    def batches() -> Iterator[Any]:
        for _ in range(2):
            for start in range(0, 40, 8):
                rows = slice(start, start + 8)
                yield TEXTS[rows], LABELS[rows]

    second.fit(batches(), steps_per_epoch=5, epochs=2, verbose=0)
    for ours, theirs in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)


def test_strings_beside_numbers() -> None:
    text = kcompile.Input((), dtype="string", name="text")
    number = kcompile.Input((1,), dtype="int32", name="number")
    words = layers.TextVectorization(output_mode="multi_hot")
    words.adapt(TEXTS)
    bins = layers.Hashing(4, output_mode="one_hot")(number)
    output = layers.Dense(1)(layers.Concatenate()([words(text), bins]))
    model = kcompile.Model({"text": text, "number": number}, output)
    model.compile("sgd", "mse")
    data = {"text": TEXTS, "number": np.arange(40)[:, np.newaxis]}
    history = model.fit(data, LABELS, epochs=3, validation_data=(data, LABELS), verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    assert history["val_loss"][-1] == pytest.approx(model.evaluate(data, LABELS, verbose=0))
    (found,) = (
        kcompile.compile(model, "reference")
        .run(data | {"number": data["number"].astype(np.int32)})
        .values()
    )
    assert_same(model.predict(data, verbose=0), found)


def test_a_model_without_an_input_takes_strings() -> None:
    model = kcompile.Sequential(
        [layers.StringLookup(vocabulary=["a", "b"]), layers.Embedding(3, 2), layers.Flatten()]
    )
    model.compile("sgd", "mse")
    tokens = np.array([["a", "b"], ["?", "a"]])
    model.fit(tokens, np.zeros((2, 4)), verbose=0)
    before = model.predict(np.array([["a", "b"]]), verbose=0)
    model.layers[0].set_vocabulary(["b", "a"])
    np.testing.assert_array_equal(model.predict(np.array([["b", "a"]]), verbose=0), before)


def test_numbers_for_strings_are_refused() -> None:
    with pytest.raises(DataError, match="input 'input_layer.*': needs strings, got 1.0"):
        classifier().predict(np.ones((3, 1)), verbose=0)


def test_an_unknown_token_stops_training() -> None:
    lookup = layers.StringLookup(vocabulary=["a"], num_oov_indices=0, output_mode="count")
    model = kcompile.Sequential([kcompile.Input((1,), dtype="string"), lookup, layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(DataError, match="'q' is not in the vocabulary"):
        model.fit(np.array([["a"], ["q"]]), np.zeros(2), verbose=0)
