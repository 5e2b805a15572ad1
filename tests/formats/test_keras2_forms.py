"""What Keras 2 computed and Keras 3 has no name for, in files that Keras 3 reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import kcompile
from kcompile import layers
from kcompile.formats.loading import load_model
from kcompile.ir.errors import SpecError

GATE = "hard_sigmoid_keras2"


def gated() -> Any:
    x = layers.Input((5, 3), name="x")
    y = layers.Conv1D(4, 2, activation=GATE, name="conv")(x)
    both = layers.LSTM(3, recurrent_activation=GATE, return_sequences=True, name="lstm")
    y = layers.Bidirectional(both, name="both")(y)
    cells = [layers.GRUCell(3, recurrent_activation=GATE, name=name) for name in ("a", "b")]
    y = layers.RNN(layers.StackedRNNCells(cells, name="stack"), name="cells")(y)
    return kcompile.Model(x, layers.Activation(GATE, name="gate")(y), name="gated")


def upsampled(*factors: tuple[int, int], data_format: str = "channels_last") -> Any:
    x = y = layers.Input((3, 4, 2), name="x")
    for index, size in enumerate(factors):
        y = layers.UpSampling2D(size, data_format, "bilinear_keras2", name=f"up_{index}")(y)
    return kcompile.Model(x, [y, layers.Activation("tanh", name="tanh")(y)], name="larger")


def line() -> Any:
    model = kcompile.Sequential(name="line")
    model.add(layers.Input((3, 4, 2), name="x"))
    model.add(layers.UpSampling2D(2, None, "bilinear_keras2", name="up"))
    model.add(layers.Conv2D(2, 2, activation=GATE, name="conv"))
    return model


def assert_same(found: Any, expected: Any) -> None:
    single = not isinstance(expected, list)
    pairs = zip([found] if single else found, [expected] if single else expected, strict=True)
    for actual, wanted in pairs:
        np.testing.assert_allclose(np.asarray(actual), np.asarray(wanted), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.parametrize(
    "make",
    [
        gated,
        line,
        lambda: upsampled((2, 2), (4, 1)),
        lambda: upsampled((1, 2), data_format="channels_first"),
    ],
    ids=["gates", "line", "upsampled", "first"],
)
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:")
def test_keras_computes_the_same(make: Any, suffix: str, tmp_path: Path) -> None:
    keras.utils.set_random_seed(1)
    kcompile.utils.set_random_seed(1)
    model = make()
    path = tmp_path / f"model.{suffix}"
    model.save(path)
    x = np.random.default_rng(0).uniform(-4, 4, (2, *model.inputs[0].shape[1:])).astype("float32")
    expected = model.predict(x, verbose=0)
    assert_same(keras.saving.load_model(path, compile=False).predict(x, verbose=0), expected)
    assert_same(load_model(path, compile=False).predict(x, verbose=0), expected)


def test_the_gate_has_its_name_again(tmp_path: Path) -> None:
    gated().save(tmp_path / "model.keras")
    model = load_model(tmp_path / "model.keras")
    assert model.get_layer("gate").activation.__name__ == GATE
    assert model.get_layer("both").backward_layer.recurrent_activation.__name__ == GATE
    assert model.get_layer("cells").cell.cells[1].recurrent_activation.__name__ == GATE


def test_factors_that_are_no_powers_of_two(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="does not interpolate like Keras 2") as error:
        upsampled((3, 2)).save(tmp_path / "model.keras")
    assert error.value.where == "layer 'up_0'"
    assert not list(tmp_path.iterdir())


def test_masked_steps_that_are_not_zero(tmp_path: Path) -> None:
    x = layers.Input((5, 3), name="x")
    lstm = layers.LSTM(3, return_sequences=True, name="lstm")
    both = layers.Bidirectional(lstm, zero_output_for_mask=False, name="both")
    model = kcompile.Model(x, both(layers.Masking(name="masking")(x)), name="masked")
    with pytest.raises(SpecError, match="masked steps have the output of the step before"):
        model.save(tmp_path / "model.keras")


@pytest.mark.parametrize(
    "inner",
    [
        layers.UpSampling2D(2, None, "bilinear_keras2", name="inner"),
        layers.Bidirectional(
            layers.LSTM(2, return_sequences=True), zero_output_for_mask=False, name="inner"
        ),
    ],
)
def test_what_keras_3_lacks_inside_a_wrapper(inner: Any, tmp_path: Path) -> None:
    x = layers.Input((2, 3, 4, 2) if isinstance(inner, layers.UpSampling2D) else (2, 3, 4))
    model = kcompile.Model(x, layers.TimeDistributed(inner, name="each")(x))
    with pytest.raises(SpecError, match="layer 'each'.*'inner'"):
        model.save(tmp_path / "model.keras")
    assert not list(tmp_path.iterdir())
