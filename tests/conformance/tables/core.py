"""Core layers: dense, convolution, pooling, merging, activations, batch normalization."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.conformance.case import Case, grid

Make = Callable[[Any], tuple[Any, Any]]

POOLING = [{}, {"strides": 1}, {"padding": "same"}, {"pool_size": 3, "strides": 2}]
ODD_POOLING = [*POOLING, {"pool_size": 3, "padding": "same", "strides": 2}]
CONVOLUTION = [
    {},
    {"padding": "same"},
    {"padding": "same", "strides": 2},
    {"strides": 2},
    {"dilation_rate": 2},
    {"dilation_rate": 2, "padding": "same"},
    {"use_bias": False, "activation": "relu"},
    {"groups": 2, "filters": 4},
    {"kernel_size": 1},
    {"kernel_size": 2, "padding": "same", "strides": 2},
]
ACTIVATIONS = [
    *("elu", "exponential", "gelu", "hard_sigmoid", "leaky_relu", "linear", "log_softmax", "mish"),
    *("relu", "relu6", "selu", "sigmoid", "silu", "softmax", "softplus", "softsign", "swish"),
    "tanh",
]

# Layer: (configurations, shapes without the batch). A list of shapes is one call on several inputs.
LINE, IMAGE, VOLUME = [(7, 4), (5, 2)], [(7, 6, 4), (5, 5, 2)], [(5, 4, 6, 2)]
MERGE = [[(3, 4), (3, 4)], [(3, 4), (1, 4)], [(3, 4), (4,)], [(5,), (5,), (5,)], [(1,), (1,)]]
TABLE = {
    "Activation": ([{"activation": name} for name in ACTIVATIONS], [(5,), (3, 4)]),
    "Add": ([{}], MERGE),
    "Average": ([{}], MERGE),
    "AveragePooling1D": ([{"pool_size": 2, **config} for config in ODD_POOLING], LINE),
    "AveragePooling2D": (
        [*({"pool_size": 2, **c} for c in ODD_POOLING), {"pool_size": (3, 1), "strides": (1, 2)}],
        [*IMAGE, (3, 3, 1)],
    ),
    "AveragePooling3D": ([{"pool_size": 2, **config} for config in ODD_POOLING], VOLUME),
    "BatchNormalization": (
        [{}, {"center": False}, {"scale": False}, {"axis": 1}, {"epsilon": 0.1, "momentum": 0.5}],
        [(4,), (3, 4), (5, 3, 2), (2, 3, 4, 1)],
    ),
    "Concatenate": (
        [{}, {"axis": 1}, {"axis": -2}],
        [[(3, 4), (3, 4)], [(1, 2), (1, 2), (1, 2)]],
    ),
    "Conv1D": ([{"filters": 3, "kernel_size": 3, **config} for config in CONVOLUTION], LINE),
    "Conv2D": (
        [
            *({"filters": 3, "kernel_size": 3, **config} for config in CONVOLUTION),
            {"filters": 2, "kernel_size": (1, 3), "strides": (2, 1), "padding": "same"},
        ],
        IMAGE,
    ),
    "Conv3D": ([{"filters": 3, "kernel_size": 3, **c} for c in CONVOLUTION[:4]], [(5, 4, 6, 2)]),
    "Dense": (
        [{"units": 3}, {"units": 1, "use_bias": False}, {"units": 5, "activation": "tanh"}],
        [(4,), (1,), (3, 4), (2, 1, 3)],
    ),
    "Dropout": ([{"rate": 0.5}, {"rate": 0, "noise_shape": (None, 1), "seed": 3}], [(4,), (2, 3)]),
    "ELU": ([{}, {"alpha": 0.3}], [(5,), (3, 4)]),
    "Flatten": ([{}, {"data_format": "channels_first"}], [(4,), (3, 4), (2, 3, 4), (1, 1, 3, 2)]),
    "GlobalAveragePooling1D": ([{}, {"keepdims": True}], LINE),
    "GlobalAveragePooling2D": ([{}, {"keepdims": True}], IMAGE),
    "GlobalAveragePooling3D": ([{}, {"keepdims": True}], VOLUME),
    "GlobalMaxPooling1D": ([{}, {"keepdims": True}], LINE),
    "GlobalMaxPooling2D": ([{}, {"keepdims": True}], IMAGE),
    "GlobalMaxPooling3D": ([{}, {"keepdims": True}], VOLUME),
    "Identity": ([{}], [(3,), (2, 3)]),
    "LeakyReLU": ([{}, {"negative_slope": 0.1}], [(5,), (3, 4)]),
    "MaxPooling1D": (ODD_POOLING, LINE),
    "MaxPooling2D": ([*ODD_POOLING, {"pool_size": (3, 1), "strides": (1, 2)}], IMAGE),
    "MaxPooling3D": (ODD_POOLING, VOLUME),
    "Maximum": ([{}], MERGE),
    "Minimum": ([{}], MERGE),
    "Multiply": ([{}], MERGE),
    "Permute": ([{"dims": (2, 1, 3)}, {"dims": (3, 1, 2)}], [(2, 3, 4), (1, 3, 1)]),
    "ReLU": (
        [
            {},
            {"max_value": 0.5},
            {"negative_slope": 0.2},
            {"threshold": 0.3},
            {"max_value": 0.6, "negative_slope": 0.1, "threshold": 0.2},
        ],
        [(5,), (3, 4)],
    ),
    "Reshape": ([{"target_shape": (3, 4)}, {"target_shape": (-1, 2)}], [(12,), (2, 6), (1, 12)]),
    "Softmax": ([{}, {"axis": 1}, {"axis": -2}], [(3, 4), (2, 2)]),
    "Subtract": ([{}], [shapes for shapes in MERGE if len(shapes) == 2]),
    "ZeroPadding2D": (
        [{}, {"padding": 2}, {"padding": (0, 1)}, {"padding": ((1, 0), (2, 3))}],
        [(3, 4, 2), (1, 1, 1)],
    ),
}
# Every merge layer on inputs that are masked: both, only the first, only the second, and of three.
MERGING = ("Add", "Average", "Concatenate", "Maximum", "Minimum", "Multiply", "Subtract", "Dot")
MASKED = {"both": (1, 1), "first": (1, 0), "second": (0, 1), "three": (1, 1, 1), "two": (1, 0, 1)}


def _masked(name: str, masked: tuple[int, ...]) -> Make:
    def make(k: Any) -> tuple[Any, Any]:
        inputs = [k.Input((6, 3)) for _ in masked]
        passed = [
            k.layers.Masking()(x) if is_masked else x
            for x, is_masked in zip(inputs, masked, strict=True)
        ]
        # Named, since Keras's mask has operations of the layer's own name.
        given = {"axes": 2} if name == "Dot" else {}
        y = getattr(k.layers, name)(**given, name="layer")(passed)
        return inputs, [y, k.layers.GRU(2)(y)]

    return make


CASES = [
    *(
        Case(name, label=f"masked-{label}", make=_masked(name, masked))
        for name in MERGING
        for label, masked in MASKED.items()
        if len(masked) == 2 or name not in ("Subtract", "Dot")
    ),
    *(entry for name, (configs, shapes) in TABLE.items() for entry in grid(name, configs, shapes)),
]
