"""A configuration of a layer, written once for our layers and for Keras's."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Config = dict[str, Any]
Shape = tuple[int | None, ...]
FIRST: Config = {"data_format": "channels_first"}

#: The size of an open axis unless a test says otherwise.
LENGTH = 5


@dataclass(frozen=True, eq=False)
class Case:
    """A layer called on inputs of those shapes, or a whole model that shows it.

    Attributes:
        layer: class name.
        config: its arguments.
        shapes: of the inputs without the batch; None for an open size.
        call: arguments of the call that are no tensors.
        tensors: arguments of the call that are, by name; those with `mask` in it are of bools,
            and `mask__0`, `mask__1` are a list of masks.
        as_list: whether the inputs are one list.
        dtype: of the inputs.
        masked: whether a `Masking` layer comes before, and some steps of the data are zero.
        label: the name of a whole model.
        make: the inputs and outputs of a whole model by a library, which is Keras or kcompile.
        quick: whether every run looks at it; the others are slow together.
        is_first: whether it is the first of its layer.
        is_random: whether training draws random numbers, so that Keras's steps are others.
        extra_length: added to the open sizes of the data.
    """

    layer: str
    config: Config = field(default_factory=dict)
    shapes: tuple[Shape, ...] = ()
    call: Config = field(default_factory=dict)
    tensors: dict[str, Shape] = field(default_factory=dict)
    as_list: bool = False
    dtype: str = "float32"
    masked: bool = False
    label: str = ""
    make: Callable[[Any], tuple[Any, Any]] | None = None
    quick: bool = False
    is_first: bool = False
    is_random: bool = False
    extra_length: int = 0

    def __str__(self) -> str:
        parts = [self.config, list(self.shapes), self.call, self.tensors]
        told = [json.dumps(part, default=str) for part in parts if part]
        dtype = [] if self.dtype == "float32" else [self.dtype]
        masked = ["masked"] if self.masked else []
        return "-".join(filter(None, [self.layer, self.label, *told, *dtype, *masked])).replace(
            " ", ""
        )

    def model(self, k: Any) -> Any:
        """The model by `k`, which is Keras or kcompile."""
        if self.make is not None:
            return k.Model(*self.make(k))
        inputs = [
            k.Input(shape, name=f"x{i}", dtype=self.dtype) for i, shape in enumerate(self.shapes)
        ]
        named = {
            name: k.Input(shape, name=name, dtype="bool" if "mask" in name else "float32")
            for name, shape in self.tensors.items()
        }
        call = {**self.call, **{key: value for key, value in named.items() if "__" not in key}}
        if len(call) < len(self.call) + len(named):
            call["mask"] = [named.get("mask__0"), named.get("mask__1")]
        layer = self.instance(k)
        passed = [k.layers.Masking()(x) for x in inputs] if self.masked else inputs
        outputs = layer(passed, **call) if self.as_list else layer(*passed, **call)
        given = [*inputs, *named.values()]
        return k.Model(given if len(given) > 1 else given[0], outputs)

    def instance(self, k: Any) -> Any:
        """The layer alone; nested layers in the arguments are functions of the library."""
        given = {key: value(k) if callable(value) else value for key, value in self.config.items()}
        return getattr(k.layers, self.layer)(**given, name="layer")

    def arrays(self, model: Any, batch: int, length: int = LENGTH) -> list[Any]:
        """Data for the inputs of `model`."""
        return [
            _draw(
                np.random.default_rng(10 * batch + number),
                tensor,
                batch,
                self.extra_length + length,
                self.has_masks,
            )
            for number, tensor in enumerate(model.inputs)
        ]

    @property
    def has_gradients(self) -> bool:
        """Whether the layer computes on XLA; strings stay on the host."""
        return self.dtype != "string"

    @property
    def has_masks(self) -> bool:
        """Whether zeros in the data stand for steps to leave out."""
        return self.masked or self.make is not None

    @property
    def is_open(self) -> bool:
        """Whether a size beside the batch is open."""
        return any(None in shape for shape in (*self.shapes, *self.tensors.values()))


def _draw(rng: np.random.Generator, tensor: Any, batch: int, length: int, masked: bool) -> Any:
    shape = [batch, *(length if size is None else size for size in tensor.shape[1:])]
    dtype = str(tensor.dtype)
    if dtype == "bool":
        return rng.integers(0, 3, shape) > 0
    array = rng.integers(1, 5, shape) if "int" in dtype else rng.normal(size=shape)
    if masked and len(shape) > 1:
        # Steps to leave out: at the start, in the middle, at the end, and all of them.
        left_out = rng.random(shape[:2]) < 0.35
        left_out[-1] = batch > 1
        array[left_out] = 0
    return array.astype(dtype)


def case(layer: str, *shapes: Shape, call: Any = None, tensors: Any = None, **config: Any) -> Case:
    """The layer called on its inputs one after the other."""
    return Case(layer, config, shapes, call or {}, tensors or {}, is_random=_is_random(config))


def listed(
    layer: str, *shapes: Shape, call: Any = None, tensors: Any = None, **config: Any
) -> Case:
    """The layer called on a list of inputs."""
    return Case(
        layer, config, shapes, call or {}, tensors or {}, as_list=True, is_random=_is_random(config)
    )


def grid(layer: str, configs: Iterable[Config], shapes: Iterable[Any], **given: Any) -> list[Case]:
    """Each configuration on each shape; a list of shapes is one call on a list of inputs.

    With `channels_first` the last axis of the shape comes first.
    """
    return [
        Case(
            layer,
            config,
            tuple(_first(one, config) for one in (shape if isinstance(shape, list) else [shape])),
            as_list=isinstance(shape, list),
            is_random=_is_random(config),
            **given,
        )
        for config in configs
        for shape in shapes
    ]


def _first(shape: Shape, config: Config) -> Shape:
    return (shape[-1], *shape[:-1]) if config.get("data_format") == "channels_first" else shape


def _is_random(config: Config) -> bool:
    return any(config.get(key) for key in ("dropout", "recurrent_dropout", "rate", "stddev"))


def with_defaults(configs: Iterable[Config], **defaults: Any) -> list[Config]:
    return [{**defaults, **config} for config in configs]


def each(key: str, values: Iterable[Any]) -> list[Config]:
    return [{key: value} for value in values]
