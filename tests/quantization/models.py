"""Small models of the kinds that are quantized, and data for them."""

from __future__ import annotations

import io
from collections import Counter
from typing import Any

import numpy as np
import onnx
import onnxruntime

import kcompile
from kcompile import layers
from kcompile.models import Model

Array = np.ndarray[Any, Any]


def convolutional() -> Model:
    """A residual block, a depthwise one with ReLU6, a concatenation and poolings."""
    kcompile.utils.set_random_seed(3)

    def block(h: Any, name: str, size: int, kernel: int, strides: int = 1) -> Any:
        conv = layers.Conv2D(size, kernel, strides, "same", use_bias=False, name=name)
        return layers.BatchNormalization(name=f"{name}_norm")(conv(h))

    x = layers.Input((12, 12, 3), name="image")
    stem = layers.ReLU(name="stem_relu")(block(x, "stem", 8, 3))
    inner = layers.ReLU(name="inner_relu")(block(stem, "inner", 8, 3))
    added = layers.Add(name="added")([block(inner, "outer", 8, 3), stem])
    pooled = layers.MaxPooling2D(2, name="pooled")(layers.ReLU(name="added_relu")(added))
    depthwise = layers.DepthwiseConv2D(3, 1, "same", name="depthwise")(pooled)
    joined = layers.Concatenate(name="joined")([pooled, layers.ReLU(6.0, name="six")(depthwise)])
    last = layers.ReLU(name="last_relu")(block(joined, "last", 16, 1, 2))
    mean = layers.GlobalAveragePooling2D(name="mean")(last)
    return kcompile.Model(x, layers.Dense(5, name="logits")(mean), name="convolutional")


def transformer() -> Model:
    """An embedding, one block with attention, and a head."""
    kcompile.utils.set_random_seed(4)
    x = layers.Input((8,), dtype="int32", name="tokens")
    h = layers.Embedding(50, 32, name="embedding")(x)
    attended = layers.MultiHeadAttention(2, 16, name="attention")(h, h)
    h = layers.LayerNormalization(name="norm")(layers.Add(name="residual")([h, attended]))
    inner = layers.Dense(96, activation="gelu", name="inner")(h)
    h = layers.Add(name="residual_2")([h, layers.Dense(32, name="outer")(inner)])
    mean = layers.GlobalAveragePooling1D(name="mean")(layers.LayerNormalization(name="norm_2")(h))
    return kcompile.Model(x, layers.Dense(3, name="logits")(mean), name="transformer")


def images(num_rows: int = 40) -> Array:
    return np.random.default_rng(0).standard_normal((num_rows, 12, 12, 3), np.float32)


def tokens(num_rows: int = 40) -> Array:
    return np.random.default_rng(0).integers(0, 50, (num_rows, 8), np.int32)


def optimized_ops(data: bytes, path: Any) -> Counter[str]:
    """How many nodes of each type onnxruntime runs."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(path)
    onnxruntime.InferenceSession(data, options, ["CPUExecutionProvider"])
    model = onnx.load(io.BytesIO(path.read_bytes()))
    return Counter(node.op_type for node in model.graph.node)
