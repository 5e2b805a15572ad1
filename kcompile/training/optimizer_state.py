"""The state of optimizers in the form of Keras, which keeps it as a list of arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kcompile.ir.types import DType, TensorType
from kcompile.ops.variable import Variable
from kcompile.training import optimizers
from kcompile.training.optimizers import Optimizer

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Slot:
    """An array that Keras keeps.

    Attributes:
        name: Keras's name for it.
        type: of the array.
        kind: what the array is called in our state; empty where ours has none like it.
        weight: name of the weight that it is for; empty for one for all.
        sign: of our array relative to Keras's.
        is_outer: whether it is of a `LossScaleOptimizer`, not of the optimizer in it.
    """

    name: str
    type: TensorType
    kind: str = ""
    weight: str = ""
    sign: int = 1
    is_outer: bool = False


#: Our name of a kind of array, Keras's name, and the sign of ours.
_Kind = tuple[str, str, int]
#: Kinds in the order of Keras, which writes those of a block weight by weight.
_Blocks = Sequence[Sequence[_Kind]]

_MOMENTUM: _Kind = ("momentum", "momentum", 1)
_VELOCITY: _Kind = ("velocity", "velocity", 1)


def _adam(optimizer: Any) -> _Blocks:
    hats = [[("velocity_hat", "velocity_hat", 1)]] if optimizer.amsgrad else []
    return [[_MOMENTUM, _VELOCITY], *hats]


def _rmsprop(optimizer: Any) -> _Blocks:
    blocks: list[list[_Kind]] = [[("nu", "velocity", 1)]]
    if optimizer.momentum > 0:
        blocks.append([("trace", "momentum", -1)])
    if optimizer.centered:
        blocks.append([("mu", "average_gradient", 1)])
    return blocks


def _sgd(optimizer: Any) -> _Blocks:
    return [[("trace", "momentum", 1)]] if optimizer.momentum else []


def _always(*kinds: _Kind) -> Callable[[Any], _Blocks]:
    return lambda optimizer: [kinds]


#: By the exact class: a subclass may keep other things.
_BLOCKS: dict[type[Optimizer], Callable[[Any], _Blocks]] = {
    optimizers.Adadelta: _always(("e_g", "accumulated_grad", 1), ("e_x", "accumulated_delta", 1)),
    optimizers.Adagrad: _always(("sum_of_squares", "accumulator", 1)),
    optimizers.Adafactor: _always(("row", "r", 1), ("column", "c", 1), _VELOCITY),
    optimizers.Adam: _adam,
    optimizers.AdamW: _adam,
    optimizers.Adamax: _always(_MOMENTUM, ("norm", "norm", 1)),
    optimizers.Ftrl: _always(("accumulator", "accumulator", 1), ("linear", "linear", 1)),
    optimizers.Lamb: _always(("mu", "momentum", 1), ("nu", "velocity", 1)),
    optimizers.Lion: _always(("mu", "momentum", 1)),
    optimizers.Muon: _always(_MOMENTUM, _VELOCITY),
    optimizers.Nadam: _always(_MOMENTUM, _VELOCITY),
    optimizers.RMSprop: _rmsprop,
    optimizers.SGD: _sgd,
    optimizers.ScheduleFreeAdamW: _always(_MOMENTUM, _VELOCITY),
}
_COUNT = TensorType(DType.INT32, ())
_NUMBER = TensorType(DType.FLOAT32, ())
_ITERATION, _RATE = "iteration", "learning_rate"
_STEP_COUNTER, _SCALE = "step_counter", "dynamic_scale"


# The form


def layout(trainer: Any) -> list[Slot] | None:
    """What Keras keeps for the optimizer of a compiled model; None for one that Keras has not."""
    return _layout(trainer.optimizer, trained_weights(trainer))


def trained_weights(trainer: Any) -> dict[str, Variable]:
    """The weights that are trained, by the names that programs use, in the order of Keras."""
    with trainer.flags_in_force():
        names = {variable: name for name, variable in trainer.model.named_weights().items()}
        return {names[variable]: variable for variable in trainer.model.trainable_variables}


def _layout(optimizer: Any, weights: Mapping[str, Variable]) -> list[Slot] | None:
    if isinstance(optimizer, optimizers.LossScaleOptimizer):
        inner = _layout(optimizer.inner_optimizer, weights)
        outer = [
            Slot(f"outer {_ITERATION}", _COUNT, is_outer=True),
            Slot(f"outer {_RATE}", _NUMBER, is_outer=True),
            Slot(_STEP_COUNTER, _COUNT, is_outer=True),
            Slot(_SCALE, _NUMBER, is_outer=True),
        ]
        return None if inner is None else [*outer, *inner]
    if type(optimizer) not in _BLOCKS:
        return None
    slots = [Slot(_ITERATION, _COUNT)]
    if not callable(optimizer.learning_rate):
        slots.append(Slot(_RATE, _NUMBER))
    blocks: list[Sequence[_Kind]] = []
    if optimizer.use_ema:
        blocks.append([("averages", "average", 1)])
    if optimizer.gradient_accumulation_steps:
        blocks.append([("sums", "gradient_accumulator", 1)])
    for block in (*blocks, *_BLOCKS[type(optimizer)](optimizer)):
        for name, variable in weights.items():
            slots += _slots_of(optimizer, block, name, variable)
    if isinstance(optimizer, optimizers.Nadam):
        slots.append(Slot("u_product", _NUMBER, "product"))
    return slots


def _slots_of(optimizer: Any, block: Sequence[_Kind], name: str, variable: Variable) -> list[Slot]:
    """The arrays for one weight."""
    is_muon = isinstance(optimizer, optimizers.Muon)
    if is_muon and optimizer.part_of(name, variable.shape) == "muon":
        block = [_MOMENTUM]
    found = []
    for kind, keras_name, sign in block:
        type, own_kind = variable.type, kind
        if isinstance(optimizer, optimizers.Adafactor) and block[0][0] == "row":
            type, own_kind = _factored(kind, variable.type)
        found.append(Slot(f"{name}_{keras_name}", type, own_kind, name, sign))
    return found


def _factored(kind: str, type: TensorType) -> tuple[TensorType, str]:
    """What Adafactor keeps: means by row and column of matrices, all of vectors, dummies else."""
    shape = type.static_shape
    assert shape is not None
    is_matrix = len(shape) >= 2
    if kind == "velocity":
        return type, "" if is_matrix else kind
    if not is_matrix:
        return _COUNT, ""
    rest = shape[:-1] if kind == "row" else (*shape[:-2], shape[-1])
    return TensorType(type.dtype, rest), kind


# From our state and to it


def arrays(trainer: Any) -> list[Array]:
    """The arrays of `layout`.

    Raises:
        SpecError: Keras has no such optimizer.
    """
    slots = layout(trainer)
    if slots is None:
        return []
    if trainer.restored is not None:
        kept: Mapping[Slot, Array] = dict(zip(slots, trainer.restored, strict=True))
        return [_with_rate(slot, trainer.optimizer, kept[slot]) for slot in slots]
    state = trainer.progress.slots
    if state is None:
        state = _initial(trainer)
    from kcompile.runtimes.jax import optimizer_wrappers as wrappers

    ours = wrappers.named_arrays(state)
    return [_keras_array(slot, ours, trainer) for slot in slots]


def _initial(trainer: Any) -> Any:
    from kcompile.runtimes.jax import training as xla

    weights = trained_weights(trainer)
    transformation = trainer.optimizer.transformation({v: name for name, v in weights.items()})
    return xla.initialize(
        transformation, xla.to_device({name: v.array for name, v in weights.items()})
    )


def _with_rate(slot: Slot, optimizer: Any, array: Array) -> Array:
    """The array, or the learning rate as it is now."""
    return np.asarray(optimizer.learning_rate, np.float32) if slot.name == _RATE else array


def _keras_array(slot: Slot, ours: Mapping[str, Array], trainer: Any) -> Array:
    dtype = slot.type.dtype.numpy
    if slot.name == _ITERATION:
        return np.asarray(trainer.optimizer.num_steps(), dtype)
    if slot.name in (_STEP_COUNTER, _SCALE):
        return np.asarray(ours["num_finite" if slot.name == _STEP_COUNTER else "scale"], dtype)
    if slot.name == _RATE:
        return _with_rate(slot, trainer.optimizer, np.zeros(()))
    if not slot.kind:
        return np.zeros(slot.type.static_shape, dtype)
    return np.asarray(slot.sign * ours[_key(slot, ours)], dtype)


def _key(slot: Slot, ours: Mapping[str, Array]) -> str:
    """The key of our array: it ends in the kind and the weight."""
    if not slot.weight:
        return next(key for key in ours if f"/{slot.kind}/" in f"/{key}")
    end = f"/{slot.kind}/{slot.weight}"
    return min((key for key in ours if f"/{key}".endswith(end)), key=len)


def restore(trainer: Any, arrays: Sequence[Array]) -> None:
    """Let training go on from the arrays of `layout`, when it next begins."""
    slots = layout(trainer)
    assert slots is not None
    for slot, array in zip(slots, arrays, strict=True):
        if slot.name == _RATE:
            trainer.optimizer.learning_rate = float(array)
        if slot.name == _ITERATION:
            trainer.progress.first_update = trainer.progress.num_updates - int(array)
    trainer.optimizer.follow(trainer.progress)
    trainer.restored = list(arrays)


def resume(trainer: Any) -> None:
    """Put restored arrays into the new state of a training that begins."""
    if trainer.restored is None:
        return
    from kcompile.runtimes.jax import optimizer_wrappers as wrappers

    slots = layout(trainer)
    assert slots is not None
    given = dict(zip((slot.name for slot in slots), trainer.restored, strict=True))
    steps = int(given[_ITERATION])
    progress = trainer.progress
    ours = wrappers.named_arrays(progress.slots)
    every = trainer.optimizer.gradient_accumulation_steps or 1
    new: dict[str, Any] = {}
    for key in ours:
        last = key.rsplit("/", 1)[-1]
        if last == "num_steps":
            new[key] = steps
        elif last in ("num_updates", "count"):
            new[key] = steps // every
    if _SCALE in given:
        new |= {"scale": given[_SCALE], "num_finite": given[_STEP_COUNTER]}
    for slot, array in zip(slots, trainer.restored, strict=True):
        if slot.kind and slot.weight:
            new[_key(slot, ours)] = slot.sign * array
        elif slot.kind:
            new |= {key: array for key in ours if f"/{slot.kind}/" in f"/{key}"}
    progress.slots = wrappers.with_arrays(progress.slots, new)
    progress.first_update = progress.num_updates - steps
    trainer.restored = None
