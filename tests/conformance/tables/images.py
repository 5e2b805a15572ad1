"""Convolution, pooling, resizing and reshaping layers."""

from __future__ import annotations

from typing import Any

from tests.conformance.case import FIRST, Config, each, grid, with_defaults

Shapes = list[tuple[int, ...]]

LINE: Shapes = [(7, 4), (5, 2)]
IMAGE: Shapes = [(5, 6, 4), (5, 5, 1)]
VOLUME: Shapes = [(3, 4, 3, 2)]

WINDOWS: list[Config] = [
    {},
    {"padding": "same"},
    {"padding": "same", "strides": 2},
    {"strides": 2},
    {"dilation_rate": 2},
    {"dilation_rate": 2, "padding": "same"},
    {"kernel_size": 2, "padding": "same", "strides": 2, "use_bias": False},
    {"kernel_size": 1, "activation": "relu"},
    {**FIRST, "padding": "same", "strides": 2},
]
TRANSPOSED: list[Config] = [
    *WINDOWS,
    {"strides": 3},
    {"kernel_size": 2, "strides": 3},
    {"kernel_size": 1, "strides": 3, "padding": "same"},
    {"kernel_size": 2, "strides": 5, "padding": "same"},
    {"kernel_size": 4, "strides": 2, "padding": "same"},
    {"strides": 2, "output_padding": 0},
    {"strides": 2, "output_padding": 1},
    {"strides": 3, "output_padding": 2, "padding": "same"},
    {"strides": 2, "output_padding": 0, "padding": "same"},
    {"kernel_size": 4, "strides": 3, "output_padding": 1, "padding": "same"},
    {"kernel_size": 1, "strides": 2, "output_padding": 1, "padding": "same"},
    {"kernel_size": 2, "padding": "same", "output_padding": 0},
    {**FIRST, "strides": 3, "kernel_size": 2},
]
CAUSAL: list[Config] = [
    {},
    {"dilation_rate": 2},
    {"strides": 2},
    {"kernel_size": 1},
    {"groups": 2, "filters": 4},
    {"dilation_rate": 3, "kernel_size": 2, "use_bias": False, "activation": "tanh"},
    FIRST,
]


def _adaptive(sizes: list[Any]) -> list[Config]:
    return [*each("output_size", sizes), {"output_size": sizes[-1], **FIRST}]


INTERPOLATIONS = ["nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"]
RESIZED: list[Config] = [
    *(
        {"height": height, "width": width, "interpolation": interpolation}
        for interpolation in INTERPOLATIONS
        for height, width in ((8, 12), (7, 9), (3, 4), (1, 1))
    ),
    *(
        {"height": 3, "width": 8, "interpolation": interpolation, "antialias": True}
        for interpolation in INTERPOLATIONS
    ),
    {"height": 4, "width": 9, "crop_to_aspect_ratio": True},
    {"height": 9, "width": 4, "crop_to_aspect_ratio": True},
    {"height": 4, "width": 9, "pad_to_aspect_ratio": True, "fill_value": 0.5},
    {"height": 9, "width": 4, "pad_to_aspect_ratio": True},
    {"height": 5, "width": 7, **FIRST},
]
GLOBAL: list[Config] = [{}, {"keepdims": True}, FIRST, {"keepdims": True, **FIRST}]

#: Layer: (configurations, shapes without the batch).
TABLE: dict[str, tuple[list[Config], Shapes]] = {
    "Conv1D": (with_defaults(CAUSAL, filters=3, kernel_size=3, padding="causal"), LINE),
    "Conv1DTranspose": (with_defaults(TRANSPOSED, filters=3, kernel_size=3), LINE),
    "Conv2DTranspose": (
        [
            *with_defaults(TRANSPOSED, filters=2, kernel_size=3),
            {"filters": 2, "kernel_size": (1, 3), "strides": (2, 1), "padding": "same"},
            {"filters": 2, "kernel_size": (2, 3), "strides": (3, 2), "output_padding": (0, 1)},
        ],
        IMAGE,
    ),
    "Conv3DTranspose": (
        with_defaults([*TRANSPOSED[:4], TRANSPOSED[9]], filters=2, kernel_size=2),
        VOLUME,
    ),
    "DepthwiseConv1D": (
        [*with_defaults(WINDOWS, kernel_size=3), {"kernel_size": 3, "depth_multiplier": 3}],
        LINE,
    ),
    "DepthwiseConv2D": (
        [
            *with_defaults(WINDOWS, kernel_size=3),
            {"kernel_size": (3, 2), "depth_multiplier": 2, "padding": "same"},
        ],
        IMAGE,
    ),
    "SeparableConv1D": (
        [
            *with_defaults(WINDOWS, filters=3, kernel_size=3),
            {"filters": 2, "kernel_size": 3, "depth_multiplier": 2},
        ],
        LINE,
    ),
    "SeparableConv2D": (
        [
            *with_defaults(WINDOWS, filters=3, kernel_size=3),
            {"filters": 2, "kernel_size": (2, 3), "depth_multiplier": 3, "padding": "same"},
        ],
        IMAGE,
    ),
    "AdaptiveAveragePooling1D": (_adaptive([1, 3, 5, (2,), 9, 4]), [(7, 3), (6, 1)]),
    "AdaptiveMaxPooling1D": (_adaptive([1, 3, 5, (2,), 9, 4]), [(7, 3), (6, 1)]),
    "AdaptiveAveragePooling2D": (_adaptive([1, 2, (3, 5), (5, 4)]), [(6, 7, 2), (5, 5, 1)]),
    "AdaptiveMaxPooling2D": (_adaptive([1, 2, (3, 5), (5, 4)]), [(6, 7, 2), (5, 5, 1)]),
    "AdaptiveAveragePooling3D": (_adaptive([2, (2, 3, 5), (1, 4, 2)]), [(4, 5, 6, 2)]),
    "AdaptiveMaxPooling3D": (_adaptive([2, (2, 3, 5), (1, 4, 2)]), [(4, 5, 6, 2)]),
    "GlobalAveragePooling1D": (GLOBAL, LINE),
    "GlobalAveragePooling2D": (GLOBAL, IMAGE),
    "GlobalAveragePooling3D": (GLOBAL, VOLUME),
    "GlobalMaxPooling1D": (GLOBAL, LINE),
    "GlobalMaxPooling2D": (GLOBAL, IMAGE),
    "GlobalMaxPooling3D": (GLOBAL, VOLUME),
    "UpSampling1D": ([{}, {"size": 3}, {"size": 1}], [(4, 2), (1, 1)]),
    "UpSampling2D": (
        [
            {},
            {"size": 3},
            {"size": (1, 4)},
            {"size": (2, 3), **FIRST},
            *each("interpolation", INTERPOLATIONS[1:]),
            {"size": (3, 1), "interpolation": "bilinear"},
            {"size": (2, 3), "interpolation": "bilinear", **FIRST},
            {"size": (3, 2), "interpolation": "bicubic", **FIRST},
        ],
        [(3, 4, 2), (1, 1, 1)],
    ),
    "UpSampling3D": ([{}, {"size": (1, 3, 2)}, {"size": 3, **FIRST}], [(2, 3, 2, 2)]),
    "ZeroPadding1D": (
        [{}, {"padding": 2}, {"padding": (0, 3)}, {"padding": (1, 2), **FIRST}],
        LINE,
    ),
    "ZeroPadding2D": ([{"padding": (2, 1)}, {"padding": ((1, 0), (2, 3)), **FIRST}], IMAGE),
    "ZeroPadding3D": (
        [
            {},
            {"padding": 2},
            {"padding": (0, 1, 2)},
            {"padding": ((1, 0), (0, 2), (3, 1)), **FIRST},
        ],
        VOLUME,
    ),
    "Cropping1D": ([{}, {"cropping": 2}, {"cropping": (0, 2)}, {"cropping": (3, 0)}], LINE),
    "Cropping2D": (
        [
            {},
            {"cropping": 1},
            {"cropping": (0, 1)},
            {"cropping": ((1, 0), (0, 1))},
            {"cropping": ((0, 1), (1, 0)), "data_format": "channels_first"},
        ],
        [(5, 6, 3), (3, 3, 4)],
    ),
    "Cropping3D": (
        [
            {},
            {"cropping": (0, 1, 1)},
            {"cropping": ((1, 0), (0, 2), (1, 1))},
            {"cropping": 1, **FIRST},
        ],
        [(4, 5, 4, 3)],
    ),
    "RepeatVector": ([{"n": 1}, {"n": 4}], [(3,), (1,)]),
    "Rescaling": ([{"scale": 2.0, "offset": -1.0}, {"scale": 1 / 255}], [(3,), (3, 2, 4)]),
    "Resizing": (RESIZED, [(6, 8, 2), (1, 1, 1)]),
    "CenterCrop": (
        [
            {"height": 3, "width": 4},
            {"height": 6, "width": 8},
            {"height": 2, "width": 7, **FIRST},
            {"height": 7, "width": 5},
            {"height": 12, "width": 9},
        ],
        [(6, 8, 2), (7, 9, 7)],
    ),
}


#: The same with open heights and widths.
OPEN = [
    ("Conv1D", {"filters": 2, "kernel_size": 3, "padding": "causal", "dilation_rate": 2}),
    ("Conv2DTranspose", {"filters": 2, "kernel_size": 3, "strides": 2, "padding": "same"}),
    ("Cropping2D", {"cropping": ((0, 1), (1, 0))}),
    ("DepthwiseConv2D", {"kernel_size": 3, "padding": "same"}),
    ("SeparableConv2D", {"filters": 2, "kernel_size": 3, "padding": "same", "strides": 2}),
    ("UpSampling2D", {"size": (2, 3)}),
    ("UpSampling2D", {"size": 2, "interpolation": "bilinear"}),
    ("ZeroPadding1D", {}),
    ("Resizing", {"height": 4, "width": 5}),
    ("Resizing", {"height": 4, "width": 5, "interpolation": "nearest"}),
]


def _open(name: str) -> tuple[int | None, ...]:
    return (None, 3) if name.endswith("1D") else (None, None, 3)


CASES = [
    *(entry for name, (configs, shapes) in TABLE.items() for entry in grid(name, configs, shapes)),
    *(entry for name, config in OPEN for entry in grid(name, [config], [_open(name)])),
]
