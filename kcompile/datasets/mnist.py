"""MNIST: 70,000 handwritten digits (LeCun, Cortes and Burges)."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from kcompile.utils.files import get_file

URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"

Split: TypeAlias = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def load_data(path: str = "mnist.npz") -> tuple[Split, Split]:
    """`(x_train, y_train), (x_test, y_test)`: uint8 `[60000, 28, 28]`, `[60000]`, then 10,000.

    Pixels go from 0 (paper) to 255 (ink); labels from 0 to 9.

    Args:
        path: name of the file below `datasets/` in `kcompile.utils.cache_dir()`.

    Raises:
        ChecksumError: the file there, or the downloaded one, is not MNIST.
        DownloadError: the file isn't there and can't be downloaded.
    """
    file = get_file(path, URL, SHA256)
    with np.load(file, allow_pickle=False) as arrays:
        train = arrays["x_train"], arrays["y_train"]
        return train, (arrays["x_test"], arrays["y_test"])
