"""Functions of TensorFlow between the layers of tf.keras, as functions of ours."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kcompile.ir.errors import FormatError
from tests.formats.keras2 import Config, called, functional, model_of, old_input, upgraded


def function(name: str, theirs: str, *nodes: Any, class_name: str = "TFOpLambda") -> Config:
    config = {"name": name, "trainable": True, "dtype": "float32", "function": theirs}
    return called({"class_name": class_name, "config": config}, *nodes)


def result_of(
    theirs: str, nodes: Any, *arrays: Any, class_name: str = "TFOpLambda", **config: Any
) -> Any:
    inputs = [old_input(f"x{i}", *array.shape[1:]) for i, array in enumerate(arrays)]
    entry = function("f", theirs, nodes, class_name=class_name)
    entry["config"] |= config
    model = model_of(functional(*inputs, entry, outputs=[["f", 0, 0]]))
    result = model(list(arrays) if len(arrays) > 1 else arrays[0])
    return np.asarray(result[0] if isinstance(result, list) else result)


X = np.linspace(-2, 3, 24, dtype="float32").reshape(2, 3, 4)
Y = np.linspace(1, 2, 24, dtype="float32").reshape(2, 3, 4)


@pytest.mark.parametrize(
    ("theirs", "keywords", "expected"),
    [
        ("math.add", {"y": 1.5}, X + 1.5),
        ("math.multiply", {"y": [1.0, 2.0, 3.0, 4.0]}, X * [1, 2, 3, 4]),
        ("math.pow", {"y": 2}, X**2),
        ("nn.relu", {}, np.maximum(X, 0)),
        ("nn.leaky_relu", {"alpha": 0.5}, np.where(X > 0, X, X / 2)),
        ("clip_by_value", {"clip_value_min": -1, "clip_value_max": 1}, np.clip(X, -1, 1)),
        ("reshape", {"shape": [-1, 12]}, X.reshape(2, 12)),
        ("compat.v1.transpose", {"perm": [0, 2, 1], "name": "transpose"}, X.transpose(0, 2, 1)),
        ("math.reduce_sum", {"axis": -1, "keepdims": None}, X.sum(-1)),
        ("reduce_max", {"axis": [1, 2], "keepdims": True}, X.max((1, 2), keepdims=True)),
        ("expand_dims", {"axis": 1}, X[:, None]),
        ("split", {"num_or_size_splits": [1, 3], "axis": 2}, X[..., :1]),
        ("unstack", {"axis": 2}, X[..., 0]),
        ("tile", {"multiples": [1, 2, 1]}, np.tile(X, (1, 2, 1))),
        ("reverse", {"axis": [1]}, X[:, ::-1]),
        (
            "math.l2_normalize",
            {"axis": -1, "epsilon": 4.0},
            X / np.sqrt(np.maximum((X**2).sum(-1, keepdims=True), 4)),
        ),
        ("pad", {"paddings": [[0, 0], [1, 0], [0, 2]]}, np.pad(X, ((0, 0), (1, 0), (0, 2)))),
        (
            "compat.v1.pad",
            {"paddings": [[0, 0], [0, 1], [0, 0]], "constant_values": 2},
            np.pad(X, ((0, 0), (0, 1), (0, 0)), constant_values=2),
        ),
        ("math.cumsum", {"axis": 1, "exclusive": False}, X.cumsum(1)),
        ("gather", {"indices": [2, 0], "axis": 1, "batch_dims": 0}, X[:, [2, 0]]),
        ("ones_like", {"dtype": None, "name": None}, np.ones_like(X)),
        ("cast", {"dtype": "int32"}, X.astype("int32")),
    ],
)
def test_functions_of_tensorflow(theirs: str, keywords: Config, expected: Any) -> None:
    """Nodes hold the tensor itself in later releases, a list of it before."""
    for nodes in ([["x0", 0, 0, keywords]], ["x0", 0, 0, keywords]):
        result = result_of(theirs, nodes, X)
        np.testing.assert_allclose(result, expected, rtol=1e-6, atol=1e-6)


def test_functions_of_several_tensors() -> None:
    second = {"y": ["x1", 0, 0], "name": None}
    result = result_of("math.subtract", ["x0", 0, 0, second], X, Y)
    np.testing.assert_allclose(result, X - Y, rtol=1e-6)
    result = result_of("math.subtract", ["_CONSTANT_VALUE", -1, 2.0, {"y": ["x0", 0, 0]}], X)
    np.testing.assert_allclose(result, 2 - X, rtol=1e-6)
    for nodes in (
        [["x0", 0, 0, {"axis": 1}], ["x1", 0, 0, {"axis": 1}]],
        [[["x0", 0, 0, {"axis": 1}], ["x1", 0, 0, {"axis": 1}]]],
    ):
        result = result_of("concat", nodes, X, Y)
        np.testing.assert_array_equal(result, np.concatenate([X, Y], 1))


def test_slices() -> None:
    whole = {"start": None, "stop": None, "step": None}
    spec = [whole, {"start": 1, "stop": None, "step": None}, 2]
    options = {"class_name": "SlicingOpLambda"}
    result = result_of("__operators__.getitem", ["x0", 0, 0, {"slice_spec": spec}], X, **options)
    np.testing.assert_array_equal(result, X[:, 1:, 2])
    spec = [{"class_name": "__ellipsis__"}, None, {"start": 0, "stop": 3, "step": 2}]
    result = result_of("__operators__.getitem", ["x0", 0, 0, {"slice_spec": spec}], X, **options)
    np.testing.assert_array_equal(result, X[..., None, 0:3:2])


@pytest.mark.parametrize(
    ("node_def", "constants", "expected"),
    [
        ({"op": "Mul", "attr": {"T": {"type": "DT_FLOAT"}}}, {"1": 2.0}, X * 2),
        ({"op": "Sub", "attr": {"T": {"type": "DT_FLOAT"}}}, {"0": 1.0}, 1 - X),
        ({"op": "Relu6", "attr": {}}, {}, np.clip(X, 0, 6)),
        (
            {"op": "Mean", "attr": {"keep_dims": {"b": True}}},
            {"1": [1, 2]},
            X.mean((1, 2), keepdims=True),
        ),
        (
            {"op": "Reshape", "attr": {"Tshape": {"type": "DT_INT32"}}},
            {"1": [-1, 12]},
            X.reshape(2, 12),
        ),
    ],
)
def test_nodes_of_tensorflow(node_def: Config, constants: Config, expected: Any) -> None:
    entry = {"class_name": "TensorFlowOpLayer", "config": {"name": "F", "dtype": "float32"}}
    entry["config"] |= {
        "trainable": True,
        "node_def": {"name": "F", **node_def},
        "constants": constants,
    }
    entry |= {"name": "tf_op_layer_F", "inbound_nodes": [[["x", 0, 0, {}]]]}
    model = model_of(functional(old_input("x", 3, 4), entry, outputs=[["tf_op_layer_F", 0, 0]]))
    np.testing.assert_allclose(np.asarray(model(X)), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("theirs", "keywords", "message"),
    [
        ("io.read_file", {}, "the function 'io.read_file' of TensorFlow has no counterpart here"),
        ("py_function", {"func": "os.system"}, "'py_function' of TensorFlow has no counterpart"),
        ("nn.relu", {"leak": 1}, "'nn.relu' has no argument 'leak' that is understood"),
        ("transpose", {"conjugate": True}, "'transpose' with conjugate=True has no counterpart"),
        ("clip_by_value", {"clip_value_min": 0}, "the argument 'x_max' of 'clip' is missing"),
    ],
)
def test_functions_that_are_refused(theirs: str, keywords: Config, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        result_of(theirs, ["x0", 0, 0, keywords], X)


def test_nodes_that_are_refused() -> None:
    for node_def, message in (
        ("\n\x03Add", "a node of TensorFlow's graph in this form is not understood"),
        ({"op": "ReadFile"}, "TensorFlow's operation 'ReadFile' has no counterpart here"),
        ({"op": "Relu", "attr": {"f": {"func": 1}}}, "attr.f: this attribute is not understood"),
        ({"op": "Mul"}, "Mul takes 2 inputs, got 1"),
    ):
        entry = {"class_name": "TensorFlowOpLayer", "config": {"name": "f", "node_def": node_def}}
        with pytest.raises(FormatError, match=message):
            upgraded(
                functional(
                    old_input("x", 3), called(entry, [["x", 0, 0, {}]]), outputs=[["f", 0, 0]]
                )
            )


def test_a_function_that_is_called_twice() -> None:
    entry = function("f", "nn.relu", ["x", 0, 0, {}], ["f", 0, 0, {}])
    with pytest.raises(FormatError, match="a function is called once, and this one 2 times"):
        upgraded(functional(old_input("x", 3), entry, outputs=[["f", 1, 0]]))
