"""mnist.load_data reads the published file from the cache, and no other."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from kcompile.datasets import mnist
from kcompile.utils import ChecksumError


@pytest.fixture
def small_mnist(tmp_path, monkeypatch):
    """A file of MNIST's form in the cache: 6 training and 2 test images."""
    monkeypatch.setenv("KCOMPILE_HOME", str(tmp_path))
    rng = np.random.default_rng(0)
    arrays = {
        f"{kind}_{split}": rng.integers(0, 10, (rows, *shape), dtype=np.uint8)
        for split, rows in (("train", 6), ("test", 2))
        for kind, shape in (("x", (28, 28)), ("y", ()))
    }
    file = tmp_path / "datasets" / "mnist.npz"
    file.parent.mkdir()
    np.savez(file, **arrays)
    return file, arrays


def test_loads_the_keras_tuple(small_mnist, monkeypatch):
    file, arrays = small_mnist
    monkeypatch.setattr(mnist, "SHA256", hashlib.sha256(file.read_bytes()).hexdigest())
    (x_train, y_train), (x_test, y_test) = mnist.load_data()
    for name, received in {
        "x_train": x_train,
        "y_train": y_train,
        "x_test": x_test,
        "y_test": y_test,
    }.items():
        np.testing.assert_array_equal(received, arrays[name], strict=True)


def test_refuses_another_file(small_mnist):
    file, _ = small_mnist
    with pytest.raises(ChecksumError, match=mnist.SHA256) as caught:
        mnist.load_data()
    assert str(file) in str(caught.value)
    assert mnist.URL in str(caught.value)


def test_refuses_pickled_objects(small_mnist, monkeypatch):
    file, arrays = small_mnist
    np.savez(file, **{**arrays, "y_test": np.array([{}], dtype=object)})
    monkeypatch.setattr(mnist, "SHA256", hashlib.sha256(file.read_bytes()).hexdigest())
    with pytest.raises(ValueError, match="allow_pickle=False"):
        mnist.load_data()
