"""Numbers per layer, against numbers computed by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import kcompile
from kcompile import layers
from kcompile.ir import ops
from kcompile.ir.dims import symbol
from kcompile.ir.op import OPS
from kcompile.ir.types import DType, TensorType
from kcompile.utils.inspection import layer_table, op_flops, total


def f32(*shape: Any) -> TensorType:
    return TensorType(DType.FLOAT32, shape)


def small_cnn() -> Any:
    return kcompile.Sequential(
        [
            layers.Input((28, 28, 1), name="x"),
            layers.Conv2D(4, 3, activation="relu", name="conv"),
            layers.BatchNormalization(name="norm"),
            layers.MaxPooling2D(name="pool"),
            layers.Flatten(name="flat"),
            layers.Dropout(0.5, name="drop"),
            layers.Dense(3, activation="softmax", name="dense"),
        ],
        name="small",
    )


def test_a_small_cnn() -> None:
    rows = {row.name: row for row in layer_table(small_cnn())}
    # 26 * 26 * 4 results: 9 multiply-adds, a bias and a relu each.
    assert rows["conv"].flops == 26 * 26 * 4 * (2 * 9 + 1 + 1)
    assert rows["conv"].num_parameters == 9 * 4 + 4
    assert rows["conv"].output_shapes == [(None, 26, 26, 4)]
    assert rows["conv"].output_bytes == 26 * 26 * 4 * 4
    assert rows["norm"].flops == 2 * 26 * 26 * 4
    assert rows["norm"].num_parameters == 16
    assert rows["pool"].flops == 13 * 13 * 4 * 4
    assert rows["flat"].flops == rows["drop"].flops == 0
    assert rows["dense"].flops == 3 * (2 * 676 + 1) + 5 * 3
    assert rows["dense"].num_parameters == 676 * 3 + 3
    assert rows["x"].kind == "InputLayer" and rows["dense"].kind == "Dense"
    sums = total(rows.values())
    assert sums.num_parameters == small_cnn().count_params()
    assert sums.flops == 54080 + 5408 + 2704 + 4074


def test_model_and_graph_have_the_same_sums() -> None:
    model = small_cnn()
    ours, theirs = total(layer_table(model)), total(layer_table(model.graph()))
    assert (ours.flops, ours.num_parameters) == (theirs.flops, theirs.num_parameters)


def test_a_graph_after_the_passes_keeps_its_weights() -> None:
    from kcompile.passes.pipelines import ONNX, run_pipeline

    model = kcompile.Sequential([layers.Input((4,)), layers.Dense(3, name="d")], name="m")
    weights = {path: np.asarray(variable) for path, variable in model.named_weights().items()}
    weights["d/bias"] = np.arange(3, dtype="float32")
    graph = run_pipeline(model.graph(), ONNX, arguments={"weights": weights}).graph
    (row,) = layer_table(graph)
    assert row.kind == "linear" and row.num_parameters == 15 and row.flops == 3 * (2 * 4 + 1)
    assert row.output_shapes == [("batch", 3)]


def test_a_shared_layer_and_functions_between_layers() -> None:
    a, b = layers.Input((4,), name="a"), layers.Input((4,), name="b")
    dense = layers.Dense(4, name="shared")
    rows = {r.name: r for r in layer_table(kcompile.Model([a, b], (dense(a) + dense(b)) * 2.0))}
    assert rows["shared"].num_parameters == 20
    assert rows["shared"].flops == 2 * 4 * (2 * 4 + 1)
    assert rows["(no layer)"].flops == 4 + 4


BATCH = symbol("batch")


@pytest.mark.parametrize(
    ("op", "operands", "results", "flops"),
    [
        (ops.Matmul(), [f32(BATCH, 5, 7), f32(7, 3)], [f32(BATCH, 5, 3)], 2 * 5 * 7 * 3),
        (ops.Linear(), [f32(BATCH, 7), f32(7, 3)], [f32(BATCH, 3)], 2 * 7 * 3),
        (ops.Linear(), [f32(BATCH, 7), f32(7, 3), f32(3)], [f32(BATCH, 3)], 2 * 7 * 3 + 3),
        (
            ops.Conv((1,), "same", (1,), 2, "channels_first", "output_input_spatial"),
            [f32(BATCH, 6, 10), f32(8, 3, 5)],
            [f32(BATCH, 8, 10)],
            8 * 10 * 2 * (3 * 5),
        ),
        (ops.AveragePool((2, 3), (2, 3), "same"), [f32(1, 4, 6, 2)], [f32(1, 2, 2, 2)], 8 * 6),
        (ops.ReduceSum((1,)), [f32(BATCH, 9)], [f32(BATCH)], 9),
        (ops.Exp(), [f32(BATCH, 9)], [f32(BATCH, 9)], 9),
        (ops.Add(), [f32(BATCH, 9), f32(9)], [f32(BATCH, 9)], 9),
        (ops.Softmax(), [f32(BATCH, 9)], [f32(BATCH, 9)], 45),
        (ops.Reshape((BATCH, 9)), [f32(BATCH, 3, 3)], [f32(BATCH, 9)], 0),
    ],
)
def test_flops(op: Any, operands: Any, results: Any, flops: int) -> None:
    assert op_flops(op, operands, results) == flops


def test_ops_that_only_move_elements_are_free() -> None:
    free = {
        name for name, cls in OPS.items() if op_flops.dispatch(cls) is op_flops.dispatch(ops.Pad)
    }
    assert {"reshape", "transpose", "gather", "concatenate", "constant", "cast"} <= free
    assert not free & {"add", "conv", "matmul", "linear", "max_pool", "exp", "relu"}
