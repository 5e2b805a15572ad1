"""Weights of files, in the form of those that Keras publishes."""

from __future__ import annotations

import hashlib

import h5py
import keras
import numpy as np
import pytest
from keras.src.legacy.saving import legacy_h5_format

from kcompile import applications
from kcompile.applications import mobilenet_v3, vgg16
from kcompile.applications.building import PublishedFile
from kcompile.utils import ChecksumError, DownloadError
from tests.applications.parity import both, randomize


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("KCOMPILE_HOME", str(tmp_path))
    return tmp_path


def published(model, path):
    """Write a model's weights as the files of 2016 to 2021 have them, by layer."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)
    return hashlib.md5(path.read_bytes()).hexdigest()


def test_a_published_file(home, monkeypatch):
    theirs, _ = both("mobilenet_v3", "MobileNetV3Small", include_top=False, alpha=0.75)
    randomize(theirs)
    name = "weights_mobilenet_v3_small_224_0.75_float_no_top_v2.h5"
    md5 = published(theirs, home / "models" / name)
    monkeypatch.setitem(mobilenet_v3.CHECKSUMS, "small_224_0.75", ("0" * 32, md5))
    images = np.random.default_rng(0).uniform(0, 255, (1, 224, 224, 3)).astype("float32")
    ours = applications.MobileNetV3Small(include_top=False, alpha=0.75, input_shape=(224, 224, 3))
    expected = np.asarray(theirs(images, training=False))
    received = ours.predict(images, verbose=0)
    np.testing.assert_allclose(received, expected, rtol=1e-3, atol=2e-4 * np.abs(expected).max())


def test_another_file_is_refused(home):
    theirs, _ = both("mobilenet_v3", "MobileNetV3Small", include_top=False, alpha=0.75)
    name = "weights_mobilenet_v3_small_224_0.75_float_no_top_v2.h5"
    published(theirs, home / "models" / name)
    with pytest.raises(ChecksumError, match="MD5"):
        applications.MobileNetV3Small(include_top=False, alpha=0.75, input_shape=(224, 224, 3))


def test_where_to_put_a_file_that_cannot_be_fetched(home, monkeypatch):
    nowhere = PublishedFile("vgg16.h5", "http://127.0.0.1:9/vgg16.h5", "0" * 32)
    monkeypatch.setitem(vars(vgg16.PUBLISHED), "no_top", nowhere)
    with pytest.raises(DownloadError) as caught:
        applications.VGG16(include_top=False)
    assert str(home / "models" / "vgg16.h5") in str(caught.value)
    assert "its MD5 must be" in str(caught.value)


def test_weights_of_a_path(tmp_path):
    theirs, _ = both("mobilenet", "MobileNet", alpha=0.25, include_top=False)
    randomize(theirs)
    published(theirs, tmp_path / "own.h5")
    ours = applications.MobileNet(alpha=0.25, include_top=False, weights=tmp_path / "own.h5")
    for received, weight in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(received, weight)


@pytest.mark.parametrize("mode", ["caffe", "tf", "torch"])
@pytest.mark.parametrize("data_format", [None, "channels_first"])
def test_preprocessing(mode, data_format):
    shape = (2, 3, 4, 5) if data_format == "channels_first" else (2, 4, 5, 3)
    images = np.random.default_rng(0).integers(0, 255, shape)
    before = images.copy()
    theirs = keras.applications.imagenet_utils.preprocess_input
    ours = applications.imagenet_utils.preprocess_input
    expected = theirs(images.copy(), data_format, mode)
    received = ours(images, data_format, mode)
    assert received.dtype == np.float32
    np.testing.assert_allclose(received, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(images, before)
    one = ours(images[0].astype("float32"), data_format, mode)
    np.testing.assert_allclose(one, expected[0], rtol=1e-5, atol=1e-5)


def test_preprocessing_in_a_model():
    from kcompile import Model, layers

    x = layers.Input((4, 5, 3), name="x")
    model = Model(x, applications.imagenet_utils.preprocess_input(x))
    images = np.random.default_rng(0).uniform(0, 255, (2, 4, 5, 3)).astype("float32")
    expected = applications.imagenet_utils.preprocess_input(images)
    np.testing.assert_allclose(model.predict(images, verbose=0), expected, atol=1e-4)


def test_predictions_are_named(home, monkeypatch):
    import json

    utils = applications.imagenet_utils
    index = {str(number): [f"n{number:08d}", f"class {number}"] for number in range(1000)}
    path = home / "models" / utils.CLASS_INDEX_NAME
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(index))
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    monkeypatch.setattr(utils, "CLASS_INDEX_MD5", md5)
    scores = np.zeros((1, 1000), np.float32)
    scores[0, [7, 300, 2]] = [0.5, 0.3, 0.2]
    assert utils.decode_predictions(scores, top=3) == [
        [
            ("n00000007", "class 7", np.float32(0.5)),
            ("n00000300", "class 300", np.float32(0.3)),
            ("n00000002", "class 2", np.float32(0.2)),
        ]
    ]
    with pytest.raises(ValueError, match="shape"):
        utils.decode_predictions(np.zeros((1, 10)))
