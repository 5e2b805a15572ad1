"""What Keras 2 computed otherwise from one version to the next, under the same names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kcompile.formats.legacy.era import Era, parse_era
from kcompile.ir.errors import FormatError
from tests.formats.keras2 import PLACE, layer, model_of, only, sequential

OF_TENSORFLOW = {"is_of_tensorflow": True}
BETWEEN = [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.0]
HALF_PIXEL = [0.0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3.0]
REPEATED = [0.0, 0.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0]


@pytest.mark.parametrize(
    ("version", "era"),
    [
        ("2.2.4", Era(2, 2, 4)),
        ("2.2.4-tf", Era(2, 2, 4, **OF_TENSORFLOW)),
        ("2.5.0-rc1", Era(2, 5, 0)),
    ],
)
def test_the_keras_inside_tensorflow(version: str, era: Era) -> None:
    assert parse_era(version, None, PLACE) == era
    assert parse_era(version, "tensorflow", PLACE) == era


def upsampled(era: Era, **config: Any) -> np.ndarray[Any, Any]:
    entry = layer("UpSampling2D", "up", size=[2, 1], data_format="channels_last", **config)
    entry["config"]["batch_input_shape"] = [None, 4, 1, 1]
    model = model_of(sequential(entry), era)
    x = np.arange(4, dtype=np.float32).reshape(1, 4, 1, 1)
    return np.asarray(model.predict(x, verbose=0)).ravel()


@pytest.mark.parametrize(
    ("era", "expected"),
    [
        (Era(2, 2, 3), BETWEEN),
        (Era(2, 3, 1), BETWEEN),
        (Era(2, 3, 1, "theano"), BETWEEN),
        (Era(2, 2, 4, **OF_TENSORFLOW), HALF_PIXEL),
        (Era(2, 3, 0, **OF_TENSORFLOW), HALF_PIXEL),
        (Era(2, 4, 0), HALF_PIXEL),
        (Era(2, 15, 0), HALF_PIXEL),
    ],
    ids=str,
)
def test_bilinear(era: Era, expected: list[float]) -> None:
    np.testing.assert_allclose(upsampled(era, interpolation="bilinear"), expected, rtol=1e-6)


@pytest.mark.parametrize("era", [Era(2, 2, 2), Era(2, 2, 4, "cntk")], ids=str)
def test_bilinear_of_what_had_none(era: Era) -> None:
    with pytest.raises(FormatError, match="interpolated is not known") as error:
        upsampled(era, interpolation="bilinear")
    assert error.value.where == "old.h5: config.layers[0].config.interpolation"
    assert "keras_version" in error.value.hint


def test_an_interpolation_that_was_left_out() -> None:
    with pytest.warns(UserWarning, match=r"TensorFlow 1\.13 and 1\.14 left out"):
        found = upsampled(Era(2, 2, 4, **OF_TENSORFLOW))
    assert found.tolist() == REPEATED
    assert upsampled(Era(2, 2, 2)).tolist() == REPEATED


#: How TensorFlow 1 wrote an initializer, and TensorFlow 2.
BIAS_1 = {"class_name": "Zeros", "config": {"dtype": "float32"}}
BIAS_2: dict[str, Any] = {"class_name": "Zeros", "config": {}}
OF_CUDNN = {"recurrent_activation": "sigmoid", "reset_after": True}


@pytest.mark.parametrize(
    ("era", "inner", "zeros"),
    [
        (Era(1, 2, 2), {"bias_initializer": BIAS_2}, False),
        (Era(2, 3, 1), {"bias_initializer": BIAS_2}, False),
        (Era(2, 4, 0), {"bias_initializer": BIAS_2}, True),
        (Era(2, 1, 6, **OF_TENSORFLOW), {"bias_initializer": BIAS_1}, False),
        (Era(2, 2, 4, **OF_TENSORFLOW), {"bias_initializer": BIAS_1, **OF_CUDNN}, True),
        (Era(2, 2, 4, **OF_TENSORFLOW), {"bias_initializer": BIAS_2, **OF_CUDNN}, False),
        (Era(2, 2, 4, **OF_TENSORFLOW), {"bias_initializer": BIAS_2, "reset_after": True}, False),
        (Era(2, 2, 4, **OF_TENSORFLOW), {"bias_initializer": BIAS_2, "reset_after": False}, True),
        (Era(2, 3, 0, **OF_TENSORFLOW), {"bias_initializer": BIAS_2, **OF_CUDNN}, True),
    ],
    ids=str,
)
def test_masked_outputs_of_a_bidirectional(era: Era, inner: dict[str, Any], zeros: bool) -> None:
    gru = layer("GRU", "gru", units=2, activation="tanh", return_sequences=True, **inner)
    both = layer("Bidirectional", "both", layer=gru, merge_mode="concat")
    masking = layer("Masking", "masking", mask_value=0.0, batch_input_shape=[None, 3, 2])
    made = model_of(sequential(masking, both), era).get_layer("both")
    assert made.zero_output_for_mask is zeros
    assert made.forward_layer.zero_output_for_mask is made.backward_layer.zero_output_for_mask
    assert made.forward_layer.zero_output_for_mask is zeros
    assert ("zero_output_for_mask" in made.get_config()) is not zeros


def test_nothing_is_said_where_nothing_is_masked() -> None:
    lstm = layer("LSTM", "lstm", units=2, return_sequences=True)
    both = only(layer("Bidirectional", "both", layer=lstm), [None, 3, 2])
    assert both.zero_output_for_mask
