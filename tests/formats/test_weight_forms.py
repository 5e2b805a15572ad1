"""Weights of earlier eras in today's form, by formulas; those of real files are golden."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import kcompile
from kcompile.formats.legacy.era import Era, parse_era
from kcompile.formats.legacy.weight_forms import convert_weights
from kcompile.formats.place import Place
from kcompile.ir.errors import FormatError

Array = np.ndarray[Any, Any]
L = kcompile.layers
KERAS_1, KERAS_2, KERAS_3 = Era(1, 2, 2), Era(2, 2, 4), Era(3, 15, 1)
THEANO_1, THEANO_2 = Era(1, 2, 2, "theano"), Era(2, 2, 4, "theano")


def built(layer: Any, *shape: int | None) -> Any:
    layer(kcompile.Input(shape))
    return layer


def numbers(*shape: int, start: float = 0) -> Array:
    return np.arange(start, start + np.prod(shape), dtype="float32").reshape(shape)


def converted(layer: Any, arrays: list[Array], era: Era, **origins: str) -> list[Array]:
    told = {tuple(key.split("__")): value for key, value in origins.items()}
    return convert_weights(layer, arrays, era, told, (layer.name,))


def assert_same(found: list[Array], expected: list[Array]) -> None:
    assert len(found) == len(expected)
    for left, right in zip(found, expected, strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("era", [KERAS_1, KERAS_2, KERAS_3], ids=str)
def test_most_weights_are_as_they_were(era: Era) -> None:
    dense = built(L.Dense(2), 3)
    arrays = [numbers(3, 2), numbers(2)]
    assert_same(converted(dense, arrays, era), arrays)
    norm = built(L.BatchNormalization(), 3)
    arrays = [numbers(3, start=i) for i in range(4)]
    assert_same(converted(norm, arrays, era), arrays)


@pytest.mark.parametrize("era", [KERAS_2, KERAS_3], ids=str)
@pytest.mark.parametrize("reset_after", [False, True])
def test_biases_of_a_gru_one_or_two(era: Era, reset_after: bool) -> None:
    gru = built(L.GRU(2, reset_after=reset_after), 5, 3)
    bias = numbers(2, 6) if reset_after else numbers(6)
    arrays = [numbers(3, 6), numbers(2, 6), bias]
    assert_same(converted(gru, arrays, era), arrays)


def as_cudnn(kernel: Array, num_gates: int) -> Array:
    """cuDNN's vector of parameters holds `[out, in]` for each gate; Keras cut it as `[in, out]`."""
    rows, columns = kernel.shape
    gates = [
        gate.T.ravel().reshape(rows, columns // num_gates)
        for gate in np.split(kernel, num_gates, 1)
    ]
    return np.concatenate(gates, 1)


@pytest.mark.parametrize("wrapped", [False, True])
def test_cudnn_lstm(wrapped: bool) -> None:
    lstm = L.LSTM(2, name="lstm")
    layer = built(L.Bidirectional(lstm, name="both") if wrapped else lstm, 5, 3)
    kernel, recurrent = numbers(3, 8), numbers(2, 8)
    arrays = [as_cudnn(kernel, 4), as_cudnn(recurrent, 4), numbers(16)]
    expected = [kernel, recurrent, numbers(8) + numbers(8, start=8)]
    times = 2 if wrapped else 1
    assert_same(converted(layer, arrays * times, KERAS_2), expected * times)


def test_cudnn_gru() -> None:
    gru = built(L.GRU(2), 5, 3)
    arrays = [as_cudnn(numbers(3, 6), 3), as_cudnn(numbers(2, 6), 3), numbers(12)]
    expected = [numbers(3, 6), numbers(2, 6), numbers(2, 6)]
    assert_same(converted(gru, arrays, KERAS_2), expected)


def test_kernels_of_theano_are_flipped() -> None:
    for layer, shape, rank in (
        (L.Conv1D(2, 3, name="c"), (8, 1), 1),
        (L.Conv2D(2, 3, name="c"), (8, 8, 1), 2),
        (L.Conv3D(2, 3, name="c"), (8, 8, 8, 1), 3),
    ):
        conv = built(layer, *shape)
        kernel = numbers(*conv.kernel.shape)
        flipped = kernel[(slice(None, None, -1),) * rank]
        assert_same(converted(conv, [kernel, numbers(2)], THEANO_2), [flipped, numbers(2)])
        assert_same(converted(conv, [kernel, numbers(2)], KERAS_2), [kernel, numbers(2)])


def test_a_kernel_of_keras_1_may_be_theanos_where_channels_come_first() -> None:
    untold = parse_era("1.2.2", None, Place("old.h5"))
    arrays = [numbers(2, 1, 3, 3), numbers(2)]
    first = built(L.Conv2D(2, 3, data_format="channels_first", name="c"), 1, 8, 8)
    with pytest.raises(FormatError, match="layer 'c'.*file does not tell"):
        converted(first, arrays, untold)
    told = parse_era("1.2.2", "tensorflow", Place("old.h5"))
    assert_same(converted(first, arrays, told), [arrays[0].transpose(2, 3, 1, 0), arrays[1]])
    point = built(L.Conv2D(2, 1, data_format="channels_first", name="c"), 1, 8, 8)
    assert_same(
        converted(point, [numbers(2, 1, 1, 1), numbers(2)], untold),
        [numbers(2).reshape(1, 1, 1, 2), numbers(2)],
    )
    last = built(L.Conv2D(2, 3, name="c"), 8, 8, 1)
    assert_same(
        converted(last, [numbers(3, 3, 1, 2), numbers(2)], untold),
        [numbers(3, 3, 1, 2), numbers(2)],
    )


def test_depthwise_kernels_of_theano_are_not() -> None:
    separable = built(L.SeparableConv2D(2, 3), 8, 8, 2)
    arrays = [numbers(3, 3, 2, 1), numbers(1, 1, 2, 2), numbers(2)]
    assert_same(converted(separable, arrays, THEANO_2), arrays)


@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
def test_kernels_of_keras_1(data_format: str) -> None:
    first = data_format == "channels_first"
    shape = (2, 8, 8) if first else (8, 8, 2)
    conv = built(L.Conv2D(4, (2, 3), data_format=data_format), *shape)
    kernel = numbers(2, 3, 2, 4)
    written = kernel.transpose(3, 2, 0, 1) if first else kernel
    assert_same(converted(conv, [written, numbers(4)], KERAS_1), [kernel, numbers(4)])
    flipped = kernel[::-1, ::-1]
    assert_same(converted(conv, [written, numbers(4)], THEANO_1), [flipped, numbers(4)])
    back = built(L.Conv2DTranspose(4, (2, 3), data_format=data_format), *shape)
    kernel = numbers(2, 3, 4, 2)
    written = kernel.transpose(2, 3, 0, 1) if first else kernel.transpose(0, 1, 3, 2)
    assert_same(converted(back, [written, numbers(4)], KERAS_1), [kernel, numbers(4)])


def test_volumes_and_separable_kernels_of_keras_1() -> None:
    conv = built(L.Conv3D(4, (1, 2, 3), data_format="channels_first"), 2, 5, 5, 5)
    kernel = numbers(1, 2, 3, 2, 4)
    found = converted(conv, [kernel.transpose(4, 3, 0, 1, 2), numbers(4)], KERAS_1)
    assert_same(found, [kernel, numbers(4)])
    separable = built(L.SeparableConv2D(4, (2, 3), data_format="channels_first"), 2, 5, 5)
    kernels = [numbers(2, 3, 2, 1), numbers(1, 1, 2, 4)]
    written = [kernel.transpose(3, 2, 0, 1) for kernel in kernels]
    assert_same(converted(separable, [*written, numbers(4)], KERAS_1), [*kernels, numbers(4)])


@pytest.mark.parametrize("axes", [(0, 1, 2, 3), (3, 2, 0, 1)])
def test_kernels_of_one_dimension_of_keras_1(axes: tuple[int, ...]) -> None:
    """With an axis of size 1; and in early releases with the filters first."""
    conv = built(L.Conv1D(4, 3), 8, 2)
    kernel = numbers(3, 2, 4)
    written = kernel[:, None].transpose(axes)
    assert_same(converted(conv, [written, numbers(4)], KERAS_1), [kernel, numbers(4)])


def test_a_kernel_of_another_rank() -> None:
    conv = built(L.Conv1D(4, 3, name="conv"), 8, 2)
    with pytest.raises(FormatError, match=r"layer 'conv': a kernel of Keras 1 has rank 4, got"):
        converted(conv, [numbers(3, 2, 4), numbers(4)], KERAS_1)


def apart(order: str, today: str, arrays: list[Array]) -> list[Array]:
    """The arrays of a recurrent layer for each gate, in Keras 1's order."""
    gates = [np.split(array, len(today), -1) for array in arrays]
    return [gate[today.index(letter)] for letter in order for gate in gates]


LSTM_ARRAYS = [numbers(3, 8), numbers(2, 8), numbers(8)]
GRU_ARRAYS = [numbers(3, 6), numbers(2, 6), numbers(6)]


def test_gates_of_keras_1() -> None:
    lstm, gru = built(L.LSTM(2), 5, 3), built(L.GRU(2, reset_after=False), 5, 3)
    written = apart("icfo", "ifco", LSTM_ARRAYS)
    assert len(written) == 12
    assert_same(converted(lstm, written, KERAS_1), LSTM_ARRAYS)
    assert_same(converted(lstm, LSTM_ARRAYS, KERAS_1), LSTM_ARRAYS)
    written = apart("zrh", "zrh", GRU_ARRAYS)
    assert len(written) == 9
    assert_same(converted(gru, written, KERAS_1), GRU_ARRAYS)


def test_gates_of_convolutions_in_keras_1() -> None:
    lstm = built(L.ConvLSTM2D(2, (1, 3), data_format="channels_first"), 4, 3, 5, 5)
    arrays = [numbers(1, 3, 3, 8), numbers(1, 3, 2, 8), numbers(8)]
    written = [
        array.transpose(3, 2, 0, 1) if array.ndim == 4 else array
        for array in apart("icfo", "ifco", arrays)
    ]
    assert_same(converted(lstm, written, KERAS_1), arrays)
    flipped = [arrays[0][::-1, ::-1], arrays[1][::-1, ::-1], arrays[2]]
    assert_same(converted(lstm, written, THEANO_1), flipped)


def nested() -> Any:
    """A model with everything inside; its BatchNormalization's statistics come last."""
    x = kcompile.Input((5, 3))
    y = L.TimeDistributed(L.Dense(3, name="d"), name="each")(x)
    y = L.BatchNormalization(name="norm")(y)
    y = L.Bidirectional(L.GRU(2, reset_after=False, return_sequences=True, name="g"), name="both")(
        y
    )
    y = L.Conv1D(3, 1, name="conv")(y)
    together = L.LSTM(2, return_sequences=True, name="together")(y)
    inner = kcompile.Sequential([L.Input((5, 2)), L.Dense(3), L.LSTM(2, name="apart")], name="in")
    return kcompile.Model(x, inner(together), name="model")


ORIGINS = {"model__both__g": "GRU", "model__in__apart": "LSTM"}


def test_layers_in_models_in_wrappers() -> None:
    norm = [numbers(3, start=i) for i in range(4)]
    gru = [numbers(3, 6), numbers(2, 6), numbers(6)]
    kernel = numbers(1, 4, 3)
    before = [numbers(3, 3), numbers(3), *norm[:2]]
    after = [numbers(3), *LSTM_ARRAYS, numbers(2, 3), numbers(3)]
    gates = apart("zrh", "zrh", gru)
    written = [
        *before,
        *gates,
        *gates,
        kernel[:, None],
        *after,
        *apart("icfo", "ifco", LSTM_ARRAYS),
    ]
    expected = [*before, *gru, *gru, kernel, *after, *LSTM_ARRAYS]
    model = nested()
    found = converted(model, [*written, *norm[2:]], KERAS_1, **ORIGINS)
    assert_same(found, [*expected, *norm[2:]])
    assert [array.shape for array in found] == [
        variable.shape for variable in [*model.trainable_weights, *model.non_trainable_weights]
    ]


def test_other_numbers_of_arrays_are_left_to_the_reader() -> None:
    arrays = [numbers(2)] * 5
    assert converted(nested(), arrays, KERAS_1, **ORIGINS) is arrays
