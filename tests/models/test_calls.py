"""What a functional model takes and returns when it is called on arrays."""

import numpy as np
import pytest

import kcompile
from kcompile import layers
from kcompile.ir.errors import ShapeError
from kcompile.models import Model


def test_eager_outputs_keep_their_order():
    x = layers.Input((4,))
    model = Model(x, [x * float(k) for k in range(12)])
    outputs = model(np.ones((2, 4), "f"))
    assert [float(np.asarray(y)[0, 0]) for y in outputs] == [float(k) for k in range(12)]
    by_xla = kcompile.compile(model, "xla").run(np.ones((2, 4), "f"))
    assert [float(y[0, 0]) for y in by_xla.values()] == [float(k) for k in range(12)]


@pytest.mark.parametrize(
    ("declared", "given"),
    [
        (layers.Input((8, 8, 3), name="a"), np.ones((2, 9, 9, 3), "f")),
        (layers.Input((8,), name="a"), np.ones((2, 1), "f")),
        (layers.Input((8,), name="a"), np.ones((2, 8, 1), "f")),
        (layers.Input(batch_shape=(3, 8), name="a"), np.ones((2, 8), "f")),
        (layers.Input((8,), dtype="int32", name="a"), np.full((2, 8), 1.7, "f")),
    ],
)
def test_calls_are_held_against_the_inputs(declared, given):
    model = Model(declared, declared + 1)
    with pytest.raises(ShapeError, match="input 'a': needs"):
        model(given)


def test_training_by_position_and_lists_of_numbers():
    x = layers.Input((4,))
    model = Model(x, layers.Dropout(0.5)(x))
    zeros = np.asarray(model(np.ones((50, 4), "f"), True)) == 0
    assert 0.2 < zeros.mean() < 0.8
    np.testing.assert_array_equal(model([[1.0, 2.0, 3.0, 4.0]]), [[1, 2, 3, 4]])


def test_executables_take_the_keys_of_a_dict_of_inputs():
    left, right = layers.Input((2,), name="i"), layers.Input((2,), name="j")
    model = Model({"q": left, "p": right}, {"difference": left - right})
    x = {"p": np.ones((1, 2), "f"), "q": np.full((1, 2), 3, "f")}
    for target in ("onnx", "xla", "reference"):
        found = kcompile.compile(model, target).run(x)["difference"]
        np.testing.assert_array_equal(found, np.full((1, 2), 2))
