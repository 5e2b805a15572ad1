"""Images between files, Pillow and arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcompile.ir.errors import DataError

_MODES = {"grayscale": "L", "rgb": "RGB", "rgba": "RGBA"}
_NAMES = ("nearest", "bilinear", "bicubic", "hamming", "box", "lanczos")


def pillow() -> Any:
    """The module PIL.Image.

    Raises:
        DataError: Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise DataError("reading images needs Pillow", hint="pip install pillow") from error
    return Image


def load_img(
    path: Any,
    color_mode: str = "rgb",
    target_size: tuple[int, int] | None = None,
    interpolation: str = "nearest",
    keep_aspect_ratio: bool = False,
) -> Any:
    """A Pillow image from a file.

    Args:
        path: the file's path, or an open file.
        color_mode: grayscale, rgb or rgba.
        target_size: (height, width) to resize to.
        interpolation: nearest, bilinear, bicubic, hamming, box or lanczos.
        keep_aspect_ratio: whether the middle of the target's ratio is cut out first.

    Raises:
        DataError: an argument is unknown, or the file is no image.
    """
    Image = pillow()
    if color_mode not in _MODES:
        raise DataError(f"color_mode is one of {', '.join(_MODES)}, not {color_mode!r}")
    if interpolation not in _NAMES:
        raise DataError(f"interpolation is one of {', '.join(_NAMES)}, not {interpolation!r}")
    try:
        with Image.open(path) as file:
            deep = color_mode == "grayscale" and file.mode in ("I;16", "I", "L")
            image = file.copy() if deep else file.convert(_MODES[color_mode])
    except OSError as error:
        raise DataError(f"cannot be read as an image: {error}", where=str(path)) from error
    if target_size is None or image.size == (target_size[1], target_size[0]):
        return image
    box = None
    if keep_aspect_ratio:
        width, height = image.size
        crop_height = max(min(height, width * target_size[0] // target_size[1]), 1)
        crop_width = max(min(width, height * target_size[1] // target_size[0]), 1)
        left, top = (width - crop_width) // 2, (height - crop_height) // 2
        box = (left, top, left + crop_width, top + crop_height)
    method = getattr(Image.Resampling, interpolation.upper())
    return image.resize((target_size[1], target_size[0]), method, box=box)


def _check_format(data_format: str | None) -> bool:
    """Whether channels come last."""
    if data_format not in (None, "channels_last", "channels_first"):
        raise DataError(f"data_format is channels_last or channels_first, not {data_format!r}")
    return data_format != "channels_first"


def img_to_array(img: Any, data_format: str | None = None, dtype: Any = None) -> NDArray[Any]:
    """A Pillow image as an array `[H, W, C]`, f32 by default."""
    last = _check_format(data_format)
    array = np.asarray(img, dtype=dtype or "float32")
    if array.ndim == 2:
        array = array[..., None] if last else array[None]
    elif array.ndim == 3:
        array = array if last else array.transpose(2, 0, 1)
    else:
        raise DataError(f"an image has 2 or 3 axes, got the shape {array.shape}")
    return array


def array_to_img(
    x: Any, data_format: str | None = None, scale: bool = True, dtype: Any = None
) -> Any:
    """A Pillow image of an array `[H, W, C]` with 1, 3 or 4 channels.

    Args:
        scale: whether values are stretched to 0 to 255.
    """
    Image = pillow()
    last = _check_format(data_format)
    array = np.asarray(x, dtype=dtype or "float32")
    if array.ndim != 3:
        raise DataError(f"an image is an array of rank 3, got the shape {array.shape}")
    array = array if last else array.transpose(1, 2, 0)
    if scale:
        array = array - np.min(array)
        greatest = np.max(array)
        array = array / greatest if greatest else array
        array = array * 255
    if array.shape[2] == 1:
        if np.max(array) > 255:  # 32 bits
            return Image.fromarray(array[..., 0].astype("int32"))
        return Image.fromarray(array[..., 0].astype("uint8"))
    if array.shape[2] not in (3, 4):
        raise DataError(f"an image has 1, 3 or 4 channels, got the shape {array.shape}")
    return Image.fromarray(array.astype("uint8"))


def save_img(
    path: Any,
    x: Any,
    data_format: str | None = None,
    file_format: str | None = None,
    scale: bool = True,
    **kwargs: Any,
) -> None:
    """Write an array `[H, W, C]` as an image file.

    Args:
        file_format: by the path's ending if not given.
        scale: whether values are stretched to 0 to 255.
        kwargs: of Pillow's `save`.
    """
    image = array_to_img(x, data_format, scale)
    jpeg = file_format in ("jpg", "jpeg") or (
        file_format is None and Path(str(path)).suffix.lower() in (".jpg", ".jpeg")
    )
    if image.mode == "RGBA" and jpeg:
        image = image.convert("RGB")  # JPEG has no transparency
    image.save(path, format="jpeg" if jpeg else file_format, **kwargs)
