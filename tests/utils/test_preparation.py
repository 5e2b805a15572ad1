"""Preparing data: padded sequences, windows, splits, images and folders of files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

from kcompile import utils
from kcompile.ir.errors import DataError

TEXTS = [[1], [2, 3], [], [4, 5, 6]]


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"maxlen": 2},
        {"maxlen": 2, "padding": "post", "truncating": "post"},
        {"maxlen": 5, "padding": "post", "value": 7, "dtype": "float32"},
    ],
    ids=str,
)
def test_pad_sequences_equals_keras(arguments: dict[str, Any]) -> None:
    found = utils.pad_sequences(TEXTS, **arguments)
    expected = keras.utils.pad_sequences(TEXTS, **arguments)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_pad_sequences_of_vectors_and_words() -> None:
    vectors = [np.ones((2, 3)), np.zeros((1, 3))]
    np.testing.assert_array_equal(utils.pad_sequences(vectors), keras.utils.pad_sequences(vectors))
    words = utils.pad_sequences([["a"], ["b", "c"]], dtype=object, value="-")
    assert words.tolist() == [["-", "a"], ["b", "c"]]
    with pytest.raises(DataError, match="dtype=object"):
        utils.pad_sequences([["a"]], value="-")
    with pytest.raises(DataError, match="entry 1"):
        utils.pad_sequences([[1], 2])
    with pytest.raises(DataError, match="shape"):
        utils.pad_sequences([np.ones((2, 3)), np.ones((2, 4))])


def test_windows_of_a_series() -> None:
    series = np.arange(20)
    batches = utils.timeseries_dataset_from_array(
        series, series * 10, 3, sequence_stride=2, sampling_rate=2, batch_size=4, start_index=1
    )
    assert len(batches) == 2
    x, y = batches[0]
    np.testing.assert_array_equal(x, [[1, 3, 5], [3, 5, 7], [5, 7, 9], [7, 9, 11]])
    np.testing.assert_array_equal(y, [10, 30, 50, 70])
    assert sum(len(x) for x, _ in (batches[i] for i in range(2))) == 8
    alone = utils.timeseries_dataset_from_array(series, None, 18, batch_size=None)
    assert len(alone) == 3 and alone[2].tolist() == list(range(2, 20))
    mixed = utils.timeseries_dataset_from_array(series, None, 2, shuffle=True, seed=1)
    before = mixed[0].copy()
    mixed.on_epoch_end()
    assert not np.array_equal(mixed[0], before)
    np.testing.assert_array_equal(np.sort(mixed[0], 0), np.sort(before, 0))
    with pytest.raises(DataError, match="sampling_rate"):
        utils.timeseries_dataset_from_array(series, None, 3, sampling_rate=0)


def test_split_dataset() -> None:
    data = {"x": np.arange(10), "y": np.arange(20).reshape(10, 2)}
    left, right = utils.split_dataset(data, left_size=0.7)
    assert left["x"].tolist() == list(range(7)) and right["y"].shape == (3, 2)
    left, right = utils.split_dataset((data["x"],), right_size=4, shuffle=True, seed=2)
    assert sorted([*left[0], *right[0]]) == list(range(10)) and len(right[0]) == 4
    with pytest.raises(DataError, match="one length"):
        utils.split_dataset((np.ones(3), np.ones(4)), 0.5)
    with pytest.raises(DataError, match="no parts"):
        utils.split_dataset(np.ones(3), 4)


def _picture(height: int, width: int, channels: int) -> Any:
    shape = (height, width, channels)
    return np.random.default_rng(height).integers(0, 256, shape).astype("uint8")


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_images_to_arrays_and_back(tmp_path: Path, channels: int, data_format: str) -> None:
    x = _picture(6, 9, channels).astype("f")
    x = x if data_format == "channels_last" else x.transpose(2, 0, 1)
    for scale in (True, False):
        ours = utils.array_to_img(x, data_format, scale)
        theirs = keras.utils.array_to_img(x, data_format, scale)
        assert ours.mode == theirs.mode and ours.tobytes() == theirs.tobytes()
    array = utils.img_to_array(ours, data_format)
    np.testing.assert_array_equal(array, x)
    assert array.dtype == np.float32
    path = tmp_path / "image.png"
    utils.save_img(path, x, data_format, scale=False)
    mode = {1: "grayscale", 3: "rgb", 4: "rgba"}[channels]
    for options in (
        {},
        {"target_size": (3, 4)},
        {"target_size": (3, 4), "interpolation": "bilinear"},
        {"target_size": (4, 4), "interpolation": "lanczos", "keep_aspect_ratio": True},
    ):
        found = utils.load_img(path, mode, **options)
        expected = keras.utils.load_img(path, color_mode=mode, **options)
        np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))


def test_images_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "no.png"
    path.write_text("no image")
    with pytest.raises(DataError, match="cannot be read"):
        utils.load_img(path)
    with pytest.raises(DataError, match="color_mode"):
        utils.load_img(path, "cmyk")
    with pytest.raises(DataError, match="channels"):
        utils.array_to_img(np.ones((2, 2, 5)))


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    for number, name in enumerate(("cats", "dogs")):
        (tmp_path / name).mkdir()
        for index in range(3 + number):
            picture = np.full((4, 5, 3), 50 * number + index, np.uint8)
            Image.fromarray(picture).save(tmp_path / name / f"{index}.png")
            (tmp_path / name / f"{index}.txt").write_text(f"{name} {index}")
    return tmp_path


def test_images_of_folders(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    batches = utils.image_dataset_from_directory(
        folders, image_size=(2, 3), batch_size=4, shuffle=False
    )
    assert capsys.readouterr().out == "Found 7 files belonging to 2 classes.\n"
    assert batches.class_names == ["cats", "dogs"] and len(batches) == 2
    x, y = batches[1]
    assert x.shape == (3, 2, 3, 3) and x.dtype == np.float32
    assert x[:, 0, 0, 0].tolist() == [51, 52, 53] and y.tolist() == [1, 1, 1]


def test_label_modes_and_parts_of_folders(folders: Path) -> None:
    def read(**options: Any) -> Any:
        return utils.image_dataset_from_directory(
            folders, image_size=(2, 2), verbose=False, **options
        )

    assert read(label_mode="binary")[0][1].shape == (7, 1)
    assert read(label_mode="categorical")[0][1].shape == (7, 2)
    assert read(label_mode=None)[0].shape == (7, 2, 2, 3)
    assert read(labels=None, label_mode=None, data_format="channels_first")[0].shape == (7, 3, 2, 2)
    training, validation = read(validation_split=0.3, subset="both", seed=3)
    assert set(training.file_paths) | set(validation.file_paths) == set(read().file_paths)
    assert len(validation.file_paths) == 2 and len(training.file_paths) == 5
    again = read(validation_split=0.3, subset="validation", seed=3)
    assert again.file_paths == validation.file_paths
    with pytest.raises(DataError, match="seed"):
        read(validation_split=0.3, subset="training")
    with pytest.raises(DataError, match="folders"):
        read(class_names=["cats"])


def test_texts_of_folders(folders: Path) -> None:
    batches = utils.text_dataset_from_directory(
        folders, batch_size=3, shuffle=False, max_length=4, verbose=False
    )
    x, y = batches[0]
    assert x.tolist() == ["cats"] * 3 and y.tolist() == [0, 0, 0]
