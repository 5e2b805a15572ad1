"""Weights of layers in the forms of earlier eras.

What differed: cuDNN's matrices and pairs of biases; the kernels of Theano, which flips them;
and Keras 1, which had a matrix for each gate and kernels in the order of their data format.
A GRU has one bias or two in each era, in today's shapes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from kcompile.formats.legacy.era import UNKNOWN, Era
from kcompile.ir.errors import FormatError
from kcompile.ir.types import format_shape
from kcompile.layers import (
    GRU,
    LSTM,
    Bidirectional,
    Conv1D,
    Conv2D,
    Conv2DTranspose,
    Conv3D,
    ConvLSTM2D,
    Layer,
    SeparableConv2D,
    Wrapper,
)
from kcompile.models import Model
from kcompile.ops.variable import Variable

Array = np.ndarray[Any, Any]
Arrays = list[Array]
Path = tuple[str, ...]

#: Keras 1 had kernel, recurrent kernel and bias for each gate, in this order; today's order is
#: i, f, c, o and z, r, h.
_GATES: dict[type[Layer], str] = {LSTM: "icfo", ConvLSTM2D: "icfo", GRU: "zrh"}
_GATES_TODAY: dict[type[Layer], str] = {LSTM: "ifco", ConvLSTM2D: "ifco", GRU: "zrh"}
#: Theano turns the kernels of these round.
_CONVOLUTIONS = (Conv1D, Conv2D, Conv3D, Conv2DTranspose, ConvLSTM2D)
#: cuDNN has as many biases of x as of the state before.
_NUM_BIASES = 2


def convert_weights(
    layer: Layer, arrays: Arrays, era: Era, origins: Mapping[Path, str], path: Path
) -> Arrays:
    """The arrays of a layer in a file, in the form of the layer's variables today.

    Args:
        layer: whose weights are made.
        arrays: in the order of the layer's variables, the trained ones first.
        era: of the file.
        origins: as `upgrade` gives them; empty if the file holds weights alone.
        path: of the layer, as there.

    Returns:
        One array for each variable; `arrays` as they are if there are not as many as these layers
        had.

    Raises:
        FormatError: one has another rank than any form of its layer's weights.
    """
    if era.major >= 3:
        return arrays
    leaves = dict(_leaves(layer, path))
    owners = {id(v): leaf_path for leaf_path, leaf in leaves.items() for v in leaf.weights}
    order = [owners.get(id(variable), path) for variable in _variables(layer)]
    leaves.setdefault(path, layer)  # for weights that it has beside those of layers inside
    of_leaves = _split(order, arrays, _gates_apart(leaves, era, origins, order, len(arrays)))
    if of_leaves is None:
        return arrays
    made = {
        leaf_path: iter(_convert(leaf, of_leaves[leaf_path], era))
        for leaf_path, leaf in leaves.items()
        if leaf_path in of_leaves
    }
    return [next(made[leaf_path]) for leaf_path in order]


def _variables(layer: Layer) -> list[Variable]:
    """The variables in the order of legacy files."""
    if not layer.trainable:
        return layer.weights
    return layer.trainable_weights + layer.non_trainable_weights


def _leaves(layer: Layer, path: Path) -> Iterator[tuple[Path, Layer]]:
    """The layers inside that have weights of their own, with their paths."""
    if isinstance(layer, Model):
        for inner in layer.layers:
            yield from _leaves(inner, (*path, inner.name))
    elif isinstance(layer, Bidirectional):
        for prefix, inner in (
            ("forward_", layer.forward_layer),
            ("backward_", layer.backward_layer),
        ):
            yield from _leaves(inner, (*path, prefix, inner.name.removeprefix(prefix)))
    elif isinstance(layer, Wrapper):
        yield from _leaves(layer.layer, (*path, layer.layer.name))
    else:
        yield path, layer


def _split(
    order: list[Path], arrays: Arrays, apart: Mapping[Path, int]
) -> dict[Path, Arrays] | None:
    """The arrays of each layer; None if there are more or fewer.

    Args:
        order: the layer of each variable.
        arrays: of them all.
        apart: the number of arrays of layers whose gates are apart; they stand together.
    """
    taken: dict[Path, Arrays] = {}
    rest = iter(arrays)
    for leaf_path in order:
        if leaf_path not in apart:
            taken.setdefault(leaf_path, []).extend(itertools.islice(rest, 1))
        elif leaf_path not in taken:
            taken[leaf_path] = list(itertools.islice(rest, apart[leaf_path]))
    has_all = len(arrays) == _total(order, apart)
    return taken if has_all else None


def _total(order: list[Path], apart: Mapping[Path, int]) -> int:
    return sum(path not in apart for path in order) + sum(apart.values())


def _gates_apart(
    leaves: Mapping[Path, Layer],
    era: Era,
    origins: Mapping[Path, str],
    order: list[Path],
    number: int,
) -> dict[Path, int]:
    """The number of arrays of each layer that had some for each gate."""
    if era.major > 1:
        return {}
    told = {_plain(origin) for origin in origins}
    apart = {
        leaf_path: 3 * len(_GATES[type(leaf)])
        for leaf_path, leaf in leaves.items()
        if type(leaf) in _GATES and (not told or _plain(leaf_path) in told)
    }
    # With consume_less='gpu' the gates were together; weights alone do not tell, but by number.
    return apart if number == _total(order, apart) else {}


def _plain(path: Path) -> Path:
    """A path without directions: both layers of a Bidirectional have one origin."""
    names = (name.removeprefix("forward_").removeprefix("backward_") for name in path)
    return tuple(name for name in names if name)


def _convert(leaf: Layer, arrays: Arrays, era: Era) -> Arrays:
    if era.major == 1:
        arrays = _of_keras_1(leaf, arrays)
    if era.backend == UNKNOWN:
        _require_backend(leaf)
    if era.backend == "theano":
        arrays = _flipped(leaf, arrays)
    if isinstance(leaf, (LSTM, GRU)):
        arrays = _without_cudnn(leaf, arrays)
    return arrays


def _of_keras_1(leaf: Layer, arrays: Arrays) -> Arrays:
    gates = _GATES.get(type(leaf))
    if gates is not None and len(arrays) == 3 * len(gates):
        kernels = [
            _kernel(leaf, arrays[i : i + 2]) + arrays[i + 2 : i + 3]
            for i in range(0, len(arrays), 3)
        ]
        ordered = [kernels[gates.index(gate)] for gate in _GATES_TODAY[type(leaf)]]
        return [np.concatenate(parts, axis=-1) for parts in zip(*ordered, strict=True)]
    if isinstance(leaf, SeparableConv2D):
        return _kernel(leaf, arrays[:2]) + arrays[2:]
    return _kernel(leaf, arrays[:1]) + arrays[1:]


def _kernel(leaf: Layer, kernels: Arrays) -> Arrays:
    """Kernels of a convolution in Keras 1, as `[rows, columns, in, out]` or alike."""
    first = getattr(leaf, "data_format", None) == "channels_first"
    axes: tuple[int, ...] | None = None
    if isinstance(leaf, Conv1D):
        return [_kernel_1d(leaf, kernel) for kernel in kernels]
    if isinstance(leaf, Conv2DTranspose):
        axes = (2, 3, 0, 1) if first else (0, 1, 3, 2)
    elif isinstance(leaf, (Conv2D, ConvLSTM2D, SeparableConv2D)) and first:
        axes = (2, 3, 1, 0)
    elif isinstance(leaf, Conv3D) and first:
        axes = (2, 3, 4, 1, 0)
    if axes is None:
        return kernels
    for kernel in kernels:
        _require_rank(leaf, kernel, len(axes))
    return [kernel.transpose(axes) for kernel in kernels]


def _kernel_1d(leaf: Conv1D, kernel: Array) -> Array:
    """Of the shape `[length, 1, in, out]`, or in earlier files `[out, in, length, 1]`."""
    _require_rank(leaf, kernel, 4)
    if kernel.shape[:2] != (leaf.kernel_size[0], 1) or kernel.shape[3] != leaf.filters:
        kernel = kernel.transpose(2, 3, 1, 0)
    return kernel[:, 0]


def _require_rank(leaf: Layer, array: Array, rank: int) -> None:
    if array.ndim != rank:
        raise FormatError(
            f"a kernel of Keras 1 has rank {rank}, got {format_shape(array.shape)}",
            where=f"layer '{leaf.name}'",
        )


def _flipped(leaf: Layer, arrays: Arrays) -> Arrays:
    """Kernels of Theano, which convolves where others correlate.

    Those of depthwise convolutions it flipped itself.
    """
    if not isinstance(leaf, _CONVOLUTIONS):
        return arrays
    number = 2 if isinstance(leaf, ConvLSTM2D) else 1
    return [
        np.flip(array, tuple(range(array.ndim - 2))) if index < number else array
        for index, array in enumerate(arrays)
    ]


def _require_backend(leaf: Layer) -> None:
    """Check that it does not matter which backend a file of Keras 1 is of.

    Channels that come first were Theano's way, but TensorFlow took them as well.

    Raises:
        FormatError: it does.
    """
    first = getattr(leaf, "data_format", None) == "channels_first"
    if first and isinstance(leaf, _CONVOLUTIONS) and max(leaf.kernel_size) > 1:
        raise FormatError(
            "its kernel is turned round if the model is of Theano, and the file does not tell",
            where=f"layer '{leaf.name}'",
            hint="Write it into the file: h5py.File(path, 'r+').attrs['backend'] = 'theano', or"
            " 'tensorflow'",
        )


def _without_cudnn(leaf: LSTM | GRU, arrays: Arrays) -> Arrays:
    """Kernel, recurrent kernel and bias of a layer that cuDNN may have computed."""
    num_gates = len(_GATES[type(leaf)])
    wide = (_NUM_BIASES * num_gates * leaf.units,)
    if len(arrays) != 3 or arrays[2].shape != wide:
        return arrays
    kernel, recurrent_kernel, bias = arrays
    biases = bias.reshape(_NUM_BIASES, -1)
    return [
        _by_gate(kernel, num_gates),
        _by_gate(recurrent_kernel, num_gates),
        biases if isinstance(leaf, GRU) else biases.sum(0),
    ]


def _by_gate(kernel: Array, num_gates: int) -> Array:
    """cuDNN's matrices, which are read as `[out, in]` gate by gate, side by side `[in, out]`."""
    gates = np.split(kernel, num_gates, axis=1)
    return np.concatenate([gate.reshape(gate.shape[::-1]).T for gate in gates], axis=1)
