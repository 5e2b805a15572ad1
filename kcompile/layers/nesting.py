"""Layers inside of other layers."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from kcompile.layers.base import Layer
from kcompile.ops.configs import find_class, open_envelope
from kcompile.ops.trace import current_trace


def layer_of(config: Any) -> Any:
    """The layer that a nested config describes; a layer stands for itself.

    Raises:
        SpecError: it is no config, or no layer of ours.
    """
    if not isinstance(config, Mapping):
        return config
    from kcompile.layers import LAYERS

    name, arguments = open_envelope(config, "layer")
    cls: type[Layer] = find_class(name, LAYERS, "layer")
    return cls.from_config(arguments)


def build_inner(layer: Any, shape: Any) -> None:
    """Make the weights of a layer that another one does not call as a layer."""
    if isinstance(layer, Layer) and not layer.built:
        trace = current_trace()
        # Weights are named by the layers that they are in.
        with trace.builder.scope(layer.name) if trace else contextlib.nullcontext():
            layer.build(shape)
        layer.build_shape = shape
        layer.built = True
