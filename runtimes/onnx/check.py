"""What the onnx package itself says of a model."""

from __future__ import annotations

import onnx

from kcompile.ir.errors import VerifyError


def check_model(model: onnx.ModelProto) -> None:
    """Hold `model` against the ONNX specification and against ONNX's own shape inference.

    Raises:
        VerifyError: with what the checker or the shape inference says.
    """
    try:
        onnx.checker.check_model(model, full_check=True)
        onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise VerifyError(
            f"not a valid ONNX model: {error}", where=f"model '{model.graph.name}'"
        ) from error
