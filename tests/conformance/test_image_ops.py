"""`ops.image` against Keras, in the reference, on XLA and in onnxruntime."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import kcompile.ops as our_ops
from kcompile.ir.errors import ShapeError, SpecError
from kcompile.ir.types import TensorType
from kcompile.ops.structure import map_leaves
from kcompile.ops.trace import Trace
from kcompile.runtimes import reference
from kcompile.runtimes.jax import run_graph
from kcompile.runtimes.onnx import export_graph
from kcompile.runtimes.onnxruntime import OnnxRuntimeExecutable

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.normal(size=(2, 5, 6, 3)).astype("f")
UNIT = RANDOM.uniform(size=(2, 13, 12, 3)).astype("f")
OTHER = RANDOM.uniform(size=(2, 13, 12, 3)).astype("f")
BYTES = RANDOM.integers(0, 255, (2, 5, 6, 3)).astype("uint8")
VOLUME = RANDOM.normal(size=(4, 5, 6, 2)).astype("f")
MATRIX = np.array([[1.1, 0.2, -0.7, 0.1, 0.9, 0.6, 0, 0], [0.7, -0.3, 2, -0.5, 1.3, -1, 0, 0]], "f")
PLACES = RANDOM.uniform(-3, 8, size=(4, 3, 2)).astype("f")
START = np.array([[[0, 0], [5, 0], [0, 4], [5, 4]]] * 2, "f")
END = (START + RANDOM.uniform(-0.8, 0.8, START.shape)).astype("f")
SCALE, TRANSLATION = np.array([1.4, 0.6], "f"), np.array([0.3, -0.2], "f")
GREY = IMAGES * 0 + IMAGES[..., :1]
FIRST = {"data_format": "channels_first"}
MODES = ("constant", "nearest", "wrap", "mirror", "reflect")

CASES: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    *(
        ("affine_transform", (IMAGES, MATRIX, interpolation, mode, 0.5), {})
        for interpolation in ("bilinear", "nearest")
        for mode in MODES
    ),
    ("affine_transform", (IMAGES[0], MATRIX[0]), {}),
    ("affine_transform", (BYTES, MATRIX), {"fill_mode": "reflect"}),
    ("affine_transform", (IMAGES[:, :, :1], MATRIX), {"fill_mode": "mirror"}),
    ("affine_transform", (IMAGES, MATRIX), FIRST),
    *(
        ("map_coordinates", (IMAGES, PLACES, order, mode, 0.3), {})
        for order in (1, 0)
        for mode in MODES
    ),
    ("map_coordinates", (BYTES.astype("int32"), PLACES, 1, "constant", 3), {}),
    ("perspective_transform", (IMAGES, START, END), {"fill_value": 0.4}),
    ("perspective_transform", (IMAGES, START, END), {"interpolation": "nearest"}),
    ("perspective_transform", (IMAGES[0], START[0], END[0]), {}),
    ("rgb_to_hsv", (UNIT,), {}),
    ("rgb_to_hsv", (np.moveaxis(UNIT, -1, 1).copy(),), FIRST),
    ("rgb_to_hsv", (GREY,), {}),
    ("hsv_to_rgb", (UNIT,), {}),
    ("hsv_to_rgb", (UNIT[0],), {}),
    ("gaussian_blur", (IMAGES, (3, 5), (0.7, 1.2)), {"data_format": "channels_last"}),
    ("gaussian_blur", (IMAGES[0], (3, 3), (1.0, 1.0)), {"data_format": "channels_last"}),
    ("sobel_edges", (IMAGES,), {}),
    ("sobel_edges", (IMAGES,), FIRST),
    ("ssim", (UNIT, OTHER), {}),
    ("ssim", (UNIT[0], OTHER[0]), {"max_val": 2.0, "filter_size": 5}),
    ("extract_patches", (IMAGES, (2, 3), 1, 1, "same"), {}),
    ("extract_patches", (IMAGES[0], 2), {}),
    ("extract_patches", (IMAGES, 2, 1, 2), {}),
    ("extract_patches_3d", (VOLUME, 2, 1), {}),
    *(
        (
            "scale_and_translate",
            (IMAGES, (2, 8, 3, 3), SCALE, TRANSLATION, (1, 2), method),
            {"antialias": antialias},
        )
        for method in ("linear", "bicubic", "lanczos3", "lanczos5")
        for antialias in (True, False)
    ),
]


def marked() -> list[Any]:
    count: dict[str, int] = {}
    found = []
    for index, (name, args, kwargs) in enumerate(CASES):
        count[name] = count.get(name, 0) + 1
        marks = [pytest.mark.slow] if count[name] > 1 else []
        found.append(pytest.param(name, args, kwargs, id=f"{name}-{index}", marks=marks))
    return found


@pytest.mark.parametrize(("name", "args", "kwargs"), marked())
def test_equals_keras_in_every_runtime(name: str, args: Any, kwargs: Any) -> None:
    expected = np.asarray(getattr(keras.ops.image, name)(*args, **kwargs))
    trace = Trace("case")
    arrays: dict[str, Any] = {}

    def replace(leaf: Any) -> Any:
        if not isinstance(leaf, np.ndarray):
            return leaf
        arrays[f"x{len(arrays)}"] = leaf
        return trace.input(f"x{len(arrays) - 1}", TensorType.of(leaf))

    with trace.active():
        result = getattr(our_ops.image, name)(*map_leaves(replace, args), **kwargs)
    graph = trace.finish([("y", result)])
    runs = {"reference": reference.run(graph, arrays)[0], "jax": run_graph(graph, arrays)[0]}
    content = export_graph(graph).SerializeToString()
    for optimization in ("off", "all"):
        session = OnnxRuntimeExecutable(content, optimization=optimization, threads=1)
        runs[optimization] = session.run(arrays)
    for outputs in runs.values():
        found = np.asarray(outputs["y"])
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
        np.testing.assert_allclose(found, expected, 1e-5, 2e-5)


def test_elastic_transform() -> None:
    still = our_ops.image.elastic_transform(IMAGES, 0.0, 1.0)
    np.testing.assert_array_equal(still, IMAGES)
    moved = [
        np.asarray(our_ops.image.elastic_transform(IMAGES, 9.0, 1.0, seed=s)) for s in (1, 1, 2)
    ]
    np.testing.assert_array_equal(moved[0], moved[1])
    assert not np.array_equal(moved[0], moved[2])
    assert IMAGES.min() <= moved[0].min() and moved[0].max() <= IMAGES.max()


def test_arguments_are_checked() -> None:
    with pytest.raises(SpecError, match="fill_mode"):
        our_ops.image.affine_transform(IMAGES, MATRIX, fill_mode="edge")
    with pytest.raises(SpecError, match="interpolation"):
        our_ops.image.affine_transform(IMAGES, MATRIX, "bicubic")
    with pytest.raises(ShapeError, match="transform"):
        our_ops.image.affine_transform(IMAGES, MATRIX[:, :6])
    with pytest.raises(ShapeError, match="coordinates"):
        our_ops.image.map_coordinates(IMAGES, PLACES[:2], 1)
    with pytest.raises(ShapeError, match="3 channels"):
        our_ops.image.rgb_to_hsv(IMAGES[..., :2])
    with pytest.raises(ShapeError, match="floating"):
        our_ops.image.gaussian_blur(BYTES)
