"""What a model from a file may take: no file makes us allocate or compute beyond measure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from kcompile.formats.place import Place
from kcompile.layers import Layer
from kcompile.models import Functional, Model
from kcompile.ops.structure import leaves

#: The most bytes of all weights of a model.
MAX_WEIGHT_BYTES = 2**34
#: The most elements that a layer gives for one row of a batch.
MAX_ELEMENTS = 2**36


def check_results(model: Model, place: Place) -> None:
    """Check that no layer or function gives more than can be computed.

    Raises:
        FormatError: one does; it is named.
    """
    for operation in _operations(model):
        for node in operation.nodes:
            for tensor in leaves(node.outputs):
                size = math.prod(size or 1 for size in getattr(tensor, "shape", ()))
                if size > MAX_ELEMENTS:
                    raise place.error(
                        f"a row of the result of layer '{operation.name}' has {size} elements;"
                        f" at most {MAX_ELEMENTS} are computed for a file"
                    )


def _operations(layer: Layer) -> Iterator[Any]:
    """The layers and functions in a layer, and itself, in the order of computation."""
    if isinstance(layer, Functional):
        yield from (step for step in layer.operations if not isinstance(step, Layer))
    for inner in layer._sublayers:
        yield from _operations(inner)
    yield layer


def check_weight_bytes(model: Model, place: Place) -> None:
    """Check that the weights of a model fit into memory; they are not made yet.

    Raises:
        FormatError: they do not; the weight is named with which they become too many.
    """
    total = 0
    for path, variable in model.named_weights().items():
        # In Python's integers, which do not wrap around.
        total += int(np.prod(variable.shape, dtype=object)) * variable.type.dtype.numpy.itemsize
        if total > MAX_WEIGHT_BYTES:
            raise place.error(
                f"with the weight '{path}' {variable.type} the model needs {total} bytes; at most"
                f" {MAX_WEIGHT_BYTES} are allocated for a file"
            )
