"""tf2onnx by itself, on the function that Keras's TensorFlow backend traces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import driver


def convert(model: Any, source: Path, target: Path) -> None:
    import tensorflow as tf
    import tf2onnx

    signature = [tf.TensorSpec((None, *x.shape[1:]), x.dtype, name=x.name) for x in model.inputs]

    @tf.function(input_signature=signature)
    def function(*inputs: tf.Tensor) -> tf.Tensor:
        return model(list(inputs) if len(inputs) > 1 else inputs[0], training=False)

    tf2onnx.convert.from_function(
        function, input_signature=signature, opset=18, output_path=str(target)
    )


if __name__ == "__main__":
    driver.main(convert)
