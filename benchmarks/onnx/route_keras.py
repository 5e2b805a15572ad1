"""Keras's own export on the backend that KERAS_BACKEND names: tensorflow, jax or torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import driver


def convert(model: Any, source: Path, target: Path) -> None:
    import keras

    # A model that was loaded is refused ("never called") unless the signature is given.
    signature = [
        keras.InputSpec(shape=(None, *x.shape[1:]), dtype=x.dtype, name=x.name)
        for x in model.inputs
    ]
    structure = signature if len(signature) == 1 else [signature]
    model.export(target, format="onnx", verbose=False, input_signature=structure)


if __name__ == "__main__":
    driver.main(convert)
