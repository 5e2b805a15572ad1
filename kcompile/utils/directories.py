"""Data sets from folders whose sub-folders are classes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kcompile.ir.errors import DataError
from kcompile.utils.images import img_to_array, load_img
from kcompile.utils.py_dataset import PyDataset

_IMAGES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp")
_TEXTS = (".txt",)
_MODES = ("int", "categorical", "binary", None)


class DirectoryDataset(PyDataset):
    """Batches of files, read when they are needed.

    Attributes:
        class_names: names of the classes, in the order of their numbers.
        file_paths: paths of the files, in the order of the first pass.
    """

    def __init__(
        self,
        paths: list[str],
        labels: Any,
        class_names: list[str],
        batch_size: int | None,
        read: Callable[[str], Any],
        random: np.random.Generator | None,
    ) -> None:
        super().__init__()
        self.file_paths = paths
        self.class_names = class_names
        self._labels = labels
        self._batch_size = batch_size
        self._read = read
        self._random = random
        self._order = np.arange(len(paths))
        self.on_epoch_end()

    def __len__(self) -> int:
        return -(-len(self.file_paths) // (self._batch_size or 1))

    def __getitem__(self, index: int) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(index)
        size = self._batch_size or 1
        chosen = self._order[index * size : (index + 1) * size]
        x = np.stack([self._read(self.file_paths[i]) for i in chosen])
        y = None if self._labels is None else self._labels[chosen]
        if self._batch_size is None:
            x, y = x[0], None if y is None else y[0]
        return x if y is None else (x, y)

    def on_epoch_end(self) -> None:
        if self._random is not None:
            self._random.shuffle(self._order)


def image_dataset_from_directory(
    directory: Any,
    labels: Any = "inferred",
    label_mode: str | None = "int",
    class_names: Sequence[str] | None = None,
    color_mode: str = "rgb",
    batch_size: int | None = 32,
    image_size: tuple[int, int] = (256, 256),
    shuffle: bool = True,
    seed: int | None = None,
    validation_split: float | None = None,
    subset: str | None = None,
    interpolation: str = "bilinear",
    follow_links: bool = False,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    data_format: str | None = None,
    format: str | None = None,
    verbose: bool = True,
) -> Any:
    """Images `[N, H, W, C]`, f32 from 0 to 255, and labels, as a `PyDataset` of NumPy arrays.

    Args:
        labels: "inferred" by the sub-folders; a list of numbers in the order of the paths; None.
        label_mode: int; categorical, one-hot; binary, f32 `[N, 1]`; None for images alone.
        class_names: the sub-folders, for their order.
        image_size: (height, width) that Pillow resizes images to.
        validation_split, subset: the share that belongs to the "validation" and not to the
            "training"; "both" gives a pair.

    Raises:
        DataError: an argument does not fit, or there are no images.
    """
    if format not in (None, "grain"):
        raise DataError(f"format {format!r} is not there: batches are NumPy arrays")
    if pad_to_aspect_ratio:
        raise NotImplementedError("image_dataset_from_directory: pad_to_aspect_ratio")

    def read(path: str) -> Any:
        image = load_img(path, color_mode, image_size, interpolation, crop_to_aspect_ratio)
        return img_to_array(image, data_format)

    return _dataset(
        directory, labels, label_mode, class_names, batch_size, shuffle, seed, validation_split,
        subset, follow_links, verbose, _IMAGES, read,
    )  # fmt: skip


def text_dataset_from_directory(
    directory: Any,
    labels: Any = "inferred",
    label_mode: str | None = "int",
    class_names: Sequence[str] | None = None,
    batch_size: int | None = 32,
    max_length: int | None = None,
    shuffle: bool = True,
    seed: int | None = None,
    validation_split: float | None = None,
    subset: str | None = None,
    follow_links: bool = False,
    format: str | None = None,
    verbose: bool = True,
) -> Any:
    """Texts `[N]` of .txt files in UTF-8, and labels, as a `PyDataset` of NumPy arrays.

    Args:
        max_length: the most characters of a text.
        Others: as of `image_dataset_from_directory`.

    Raises:
        DataError: an argument does not fit, or there are no texts.
    """
    if format not in (None, "grain"):
        raise DataError(f"format {format!r} is not there: batches are NumPy arrays")

    def read(path: str) -> Any:
        return np.asarray(Path(path).read_text(encoding="utf-8")[:max_length], dtype=object)

    return _dataset(
        directory, labels, label_mode, class_names, batch_size, shuffle, seed, validation_split,
        subset, follow_links, verbose, _TEXTS, read,
    )  # fmt: skip


def _dataset(
    directory: Any,
    labels: Any,
    label_mode: str | None,
    class_names: Sequence[str] | None,
    batch_size: int | None,
    shuffle: bool,
    seed: int | None,
    validation_split: float | None,
    subset: str | None,
    follow_links: bool,
    verbose: bool,
    endings: tuple[str, ...],
    read: Callable[[str], Any],
) -> Any:
    _check(labels, label_mode, validation_split, subset, shuffle, seed, batch_size)
    paths, numbers, names = _index(Path(directory), labels, class_names, endings, follow_links)
    if not paths:
        raise DataError(f"has no files that end in {', '.join(endings)}", where=str(directory))
    if label_mode == "binary" and len(names) != 2:
        raise DataError(f"label_mode 'binary' needs 2 classes, found {len(names)}: {names}")
    wanted = _encoded(numbers, label_mode, len(names))
    if verbose:
        print(f"Found {len(paths)} files belonging to {len(names)} classes.")
    order = np.arange(len(paths))
    if shuffle:
        np.random.default_rng(seed).shuffle(order)
    cut = len(paths) - int(len(paths) * (validation_split or 0.0))
    parts = {"training": order[:cut], "validation": order[cut:]}

    def part(chosen: Any) -> DirectoryDataset:
        if not len(chosen):
            raise DataError(f"leaves no files for one part of {len(paths)}", where=str(directory))
        return DirectoryDataset(
            [paths[i] for i in chosen],
            None if wanted is None else wanted[chosen],
            names,
            batch_size,
            read,
            np.random.default_rng(seed) if shuffle else None,
        )

    if subset == "both":
        return part(parts["training"]), part(parts["validation"])
    return part(order if subset is None else parts[subset])


def _check(
    labels: Any,
    label_mode: str | None,
    validation_split: float | None,
    subset: str | None,
    shuffle: bool,
    seed: int | None,
    batch_size: int | None,
) -> None:
    if label_mode not in _MODES:
        raise DataError(f"label_mode is one of {_MODES}, not {label_mode!r}")
    if isinstance(labels, str) and labels != "inferred":
        raise DataError(f"labels are 'inferred', a list or None, not {labels!r}")
    if batch_size is not None and batch_size < 1:
        raise DataError(f"batch_size must be at least 1, got {batch_size}")
    if (validation_split is None) != (subset is None):
        raise DataError("validation_split and subset are given together or not at all")
    if validation_split is not None and not 0 < validation_split < 1:
        raise DataError(f"validation_split is in (0, 1), got {validation_split}")
    if subset not in (None, "training", "validation", "both"):
        raise DataError(f"subset is training, validation or both, not {subset!r}")
    if validation_split and shuffle and seed is None:
        raise DataError(
            "shuffled parts need a seed, or they would overlap",
            hint="Give a seed, or shuffle=False",
        )


def _index(
    root: Path,
    labels: Any,
    class_names: Sequence[str] | None,
    endings: tuple[str, ...],
    follow_links: bool,
) -> tuple[list[str], Any, list[str]]:
    """Paths in order, the number of each one's class, and the classes' names."""
    if not root.is_dir():
        raise DataError("is no folder", where=str(root))
    if not (isinstance(labels, str) and labels == "inferred"):
        if class_names is not None:
            raise DataError("class_names are for labels that are inferred")
        paths = _files(root, endings, follow_links)
        if labels is None:
            return paths, None, []
        if len(labels) != len(paths):
            raise DataError(f"got {len(labels)} labels for {len(paths)} files", where=str(root))
        numbers = np.asarray(labels)
        return paths, numbers, [str(number) for number in sorted(set(numbers.tolist()))]
    found = sorted(entry.name for entry in root.iterdir() if entry.is_dir())
    names = list(class_names) if class_names is not None else found
    if sorted(names) != found:
        raise DataError(f"class_names {names} are not the folders {found}", where=str(root))
    paths, numbers_of = [], []
    for number, name in enumerate(names):
        files = _files(root / name, endings, follow_links)
        paths += files
        numbers_of += [number] * len(files)
    return paths, np.asarray(numbers_of, np.int32), names


def _files(root: Path, endings: tuple[str, ...], follow_links: bool) -> list[str]:
    found = []
    for folder, folders, files in os.walk(root, followlinks=follow_links):
        folders.sort()
        found += [
            os.path.join(folder, name) for name in sorted(files) if name.lower().endswith(endings)
        ]
    return found


def _encoded(numbers: Any, label_mode: str | None, num_classes: int) -> Any:
    if numbers is None or label_mode is None:
        return None
    if label_mode == "binary":
        return numbers.astype(np.float32)[:, None]
    if label_mode == "categorical":
        return np.eye(num_classes, dtype=np.float32)[numbers]
    return numbers
