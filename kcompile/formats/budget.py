"""What the weights of a model from a file may take; kcompile.ops.limits bounds the rest."""

from __future__ import annotations

import numpy as np

from kcompile.formats.place import Place
from kcompile.models import Model

#: The most bytes of all weights of a model.
MAX_WEIGHT_BYTES = 2**34


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
