"""Tests of finding the first value that differs, through `kcompile.compiler.verify_file`."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import kcompile
from kcompile import layers
from kcompile.compiler import verify_file
from kcompile.ir.errors import VerifyError
from kcompile.passes.interface import Interface


@pytest.fixture(scope="module")
def model() -> kcompile.Model:
    kcompile.utils.set_random_seed(3)
    x = layers.Input((8, 8, 3), name="image")
    h = layers.Conv2D(4, 3, activation="relu", name="first")(x)
    h = layers.Conv2D(4, 3, name="second")(h)
    h = layers.LayerNormalization(name="norm")(h)
    h = layers.Flatten(name="flatten")(h)
    a, b = layers.Dense(5, name="left")(h), layers.Dense(5, name="right")(h)
    y = layers.Subtract(name="difference")([a, b])
    return kcompile.Model(x, layers.Dense(2, name="scores")(y), name="branches")


@pytest.fixture
def file(model: kcompile.Model, tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    kcompile.compile(model, verify=False).save(path)
    return path


def node_of(model: onnx.ModelProto, op_type: str, part: str = "") -> onnx.NodeProto:
    nodes = (node for node in model.graph.node if node.op_type == op_type and part in node.name)
    return next(nodes)


def change_weight(model: onnx.ModelProto) -> None:
    name = node_of(model, "Conv", "second").input[1]
    (weight,) = (entry for entry in model.graph.initializer if entry.name == name)
    array = numpy_helper.to_array(weight).copy()
    array.flat[7] += 0.5
    weight.CopyFrom(numpy_helper.from_array(array, name))


def change_epsilon(model: onnx.ModelProto) -> None:
    node = node_of(model, "LayerNormalization")
    (epsilon,) = (entry for entry in node.attribute if entry.name == "epsilon")
    epsilon.CopyFrom(helper.make_attribute("epsilon", 0.5))


def swap(model: onnx.ModelProto) -> None:
    node = node_of(model, "Sub")
    node.input[:] = list(node.input)[::-1]


def change_op(model: onnx.ModelProto) -> None:
    node_of(model, "Sub").op_type = "Add"


@pytest.mark.parametrize(
    ("change", "layer", "cause"),
    [
        (change_weight, "second", "differs in 1 of 144 elements"),
        (change_epsilon, "norm", "epsilon is 0.5 and not 0.0010"),
        (swap, "difference", "the inputs are "),
        (change_op, "difference", "it is made by Add"),
    ],
)
def test_names_the_layer_and_what_was_changed(
    model: kcompile.Model,
    file: Path,
    change: Callable[[onnx.ModelProto], None],
    layer: str,
    cause: str,
) -> None:
    changed = onnx.load(file)
    change(changed)
    onnx.save(changed, file)
    data = {"image": np.random.default_rng(1).normal(size=(2, 8, 8, 3)).astype(np.float32)}
    for given in (None, data):
        with pytest.raises(VerifyError, match="output 'scores'") as caught:
            verify_file(model, file, Interface(), given)
        assert caught.value.hint is not None
        assert f"of layer '{layer}'" in caught.value.hint
        assert cause in caught.value.hint


def test_a_right_file_is_right(model: kcompile.Model, file: Path) -> None:
    assert verify_file(model, file, Interface())["kcompile.verification.status"] == "passed"


def test_a_file_of_something_else(model: kcompile.Model, file: Path) -> None:
    """Its values have other names, but that of the output."""
    changed = onnx.load(file)
    kept = {value.name for value in [*changed.graph.input, *changed.graph.output]}
    kept |= {weight.name for weight in changed.graph.initializer}
    for node in changed.graph.node:
        for names in (node.input, node.output):
            names[:] = [name if name in kept else f"other_{name}" for name in names]
    del changed.graph.value_info[:]
    change_op(changed)
    onnx.save(changed, file)
    with pytest.raises(VerifyError) as caught:
        verify_file(model, file, Interface())
    assert "The first value to differ is 'scores'" in str(caught.value)
