"""Images into the range that a network was trained on, and its scores into names of classes."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from kcompile import ops
from kcompile.ir.errors import DataError
from kcompile.utils.files import get_file

CLASS_INDEX_NAME = "imagenet_class_index.json"
CLASS_INDEX_URL = (
    "https://storage.googleapis.com/download.tensorflow.org/data/imagenet_class_index.json"
)
CLASS_INDEX_MD5 = "c2c37ea517e94d9795004a39431a14cb"

#: Mean and standard deviation of ImageNet's channels, in 0..1, red first (torchvision's).
TORCH_MEAN = (0.485, 0.456, 0.406)
TORCH_STD = (0.229, 0.224, 0.225)
#: Mean of ImageNet's channels, in 0..255, blue first (Caffe's).
CAFFE_MEAN = (103.939, 116.779, 123.68)

MODES = ("caffe", "tf", "torch")


def preprocess_input(x: Any, data_format: str | None = None, mode: str = "caffe") -> Any:
    """Images for a network: an array or a symbolic tensor, as it came, never changed in place.

    Args:
        x: pixels from 0 to 255, red first, `[..., H, W, 3]`.
        data_format: channels_last (the default) or channels_first, `[..., 3, H, W]`.
        mode: *caffe*: blue first, less ImageNet's mean. *tf*: from -1 to 1.
            *torch*: from 0 to 1, then less the mean and over the standard deviation.

    Raises:
        DataError: another mode or format.
    """
    if mode not in MODES:
        raise DataError(f"preprocess_input: mode is one of {', '.join(MODES)}, not {mode!r}")
    if data_format not in (None, "channels_first", "channels_last"):
        raise DataError(
            "preprocess_input: data_format is 'channels_first' or 'channels_last',"
            f" not {data_format!r}"
        )
    if not hasattr(x, "shape"):
        x = np.asarray(x)
    if isinstance(x, np.ndarray) and not np.issubdtype(x.dtype, np.floating):
        x = x.astype(np.float32)
    if mode == "tf":
        return x / 127.5 - 1.0
    axis = -3 if data_format == "channels_first" else -1
    if mode == "caffe":
        return _flip(x, axis) - _by_channel(CAFFE_MEAN, x, axis)
    return (x / 255.0 - _by_channel(TORCH_MEAN, x, axis)) / _by_channel(TORCH_STD, x, axis)


def preprocess_caffe(x: Any, data_format: str | None = None) -> Any:
    """`preprocess_input` by *caffe*: blue first, less ImageNet's mean."""
    return preprocess_input(x, data_format, "caffe")


def preprocess_tf(x: Any, data_format: str | None = None) -> Any:
    """`preprocess_input` by *tf*: from -1 to 1."""
    return preprocess_input(x, data_format, "tf")


def preprocess_torch(x: Any, data_format: str | None = None) -> Any:
    """`preprocess_input` by *torch*: less ImageNet's mean, over its standard deviation."""
    return preprocess_input(x, data_format, "torch")


def preprocess_nothing(x: Any, data_format: str | None = None) -> Any:
    """The images as they are: the model holds its own preprocessing as layers."""
    return x


def _flip(x: Any, axis: int) -> Any:
    return np.flip(x, axis) if isinstance(x, np.ndarray) else ops.flip(x, axis)


def _by_channel(numbers: tuple[float, ...], x: Any, axis: int) -> Any:
    array = np.array(numbers, np.float32).reshape((-1, *(1,) * (-axis - 1)))
    return array.astype(x.dtype) if isinstance(x, np.ndarray) else ops.cast(array, x.dtype)


def decode_predictions(preds: Any, top: int = 5) -> list[list[tuple[str, str, float]]]:
    """The best classes of each image: `(WordNet id, name, score)`, best first.

    The names come from a file of Keras's, downloaded once.

    Args:
        preds: scores `[N, 1000]`.
        top: how many classes.

    Raises:
        DataError: scores of another shape.
        DownloadError: the names are not in the cache and can't be downloaded.
    """
    scores = np.asarray(preds)
    if scores.ndim != 2 or scores.shape[1] != 1000:
        raise DataError(f"decode_predictions: scores have the shape (N, 1000), not {scores.shape}")
    index = class_index()
    order = np.argsort(-scores, axis=1, kind="stable")[:, :top]
    return [
        [(*index[column], row[column]) for column in best]
        for row, best in zip(scores, order, strict=True)
    ]


def class_index() -> tuple[tuple[str, str], ...]:
    """WordNet id and name of each of ImageNet's 1000 classes."""
    path = get_file(
        CLASS_INDEX_NAME, CLASS_INDEX_URL, file_hash=CLASS_INDEX_MD5, cache_subdir="models"
    )
    return _read_index(path)


@cache
def _read_index(path: Path | str) -> tuple[tuple[str, str], ...]:
    entries = json.loads(Path(path).read_text())
    return tuple((wordnet_id, name) for wordnet_id, name in map(entries.get, map(str, range(1000))))
