"""Sessions, and the verification of exported models."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from kcompile.ir import ops
from kcompile.ir.builder import Builder
from kcompile.ir.dims import symbol
from kcompile.ir.errors import DataError, ExportError, SpecError, VerifyError
from kcompile.ir.graph import Graph
from kcompile.ir.literal import Literal
from kcompile.ir.types import DType, TensorType
from kcompile.runtimes.onnx import export_graph, with_metadata
from kcompile.runtimes.onnxruntime import OnnxRuntimeExecutable, VerificationReport, verify_model
from kcompile.runtimes.onnxruntime.samples import choose_sizes, draw_inputs
from kcompile.runtimes.onnxruntime.verification import compare

BATCH, TIME, HEIGHT = symbol("batch"), symbol("time"), symbol("height")
F32, I32 = DType.FLOAT32, DType.INT32
ROWS = np.arange(12, dtype=np.float32).reshape(2, 6)


def two_inputs() -> Graph:
    """`total = a + kernel, count = ids + ids`, over one batch."""
    builder = Builder("two")
    a = builder.input("a", TensorType(F32, (BATCH, 6)))
    ids = builder.input("ids", TensorType(I32, (BATCH,)))
    kernel = builder.constant(np.arange(6, dtype=np.float32), "layer/kernel")
    total = builder.emit(ops.Add(), a, kernel)[0]
    return builder.finish([("total", total), ("count", builder.emit(ops.Add(), ids, ids)[0])])


def model_bytes(graph: Graph) -> bytes:
    return export_graph(graph).SerializeToString()


@pytest.fixture
def executable() -> OnnxRuntimeExecutable:
    return OnnxRuntimeExecutable(model_bytes(two_inputs()), threads=1)


def test_knows_its_inputs_and_outputs(executable: OnnxRuntimeExecutable) -> None:
    assert list(map(str, executable.inputs)) == ["'a' f32[batch,6]", "'ids' i32[batch]"]
    assert list(map(str, executable.outputs)) == ["'total' f32[batch,6]", "'count' i32[batch]"]


@pytest.mark.parametrize("optimization", ["all", "off"])
def test_runs_by_name_and_in_order(optimization: Any) -> None:
    executable = OnnxRuntimeExecutable(model_bytes(two_inputs()), optimization=optimization)
    ids = np.array([3, 4], np.int32)
    for inputs in ({"ids": ids, "a": ROWS}, [ROWS, ids]):
        outputs = executable.run(inputs)
        np.testing.assert_array_equal(outputs["total"], ROWS + np.arange(6))
        np.testing.assert_array_equal(outputs["count"], [6, 8])


def test_runs_a_file(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(model_bytes(two_inputs()))
    executable = OnnxRuntimeExecutable(path)
    outputs = executable.run([ROWS.T[:6].T, np.zeros(2, np.int32)])
    assert outputs["total"].shape == (2, 6)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"a": ROWS}, r"input 'ids' i32\[batch\] is missing"),
        ({"a": ROWS, "ids": [0, 0], "b": 1}, "no input 'b'.*The inputs are 'a'"),
        ([ROWS], "takes 2 inputs, got 1"),
        ({"a": ROWS.astype(np.float64), "ids": [0, 0]}, "needs elements of type float32.*Cast"),
        ({"a": ROWS.astype(np.complex64), "ids": [0, 0]}, "got complex64"),
        ({"a": np.array([["s"] * 6] * 2), "ids": [0, 0]}, "needs elements of type float32"),
        ({"a": ROWS[:, :5], "ids": [0, 0]}, r"f32\[batch,6\] got shape \[2,5\]"),
        ({"a": ROWS[0], "ids": [0, 0]}, r"got shape \[6\]"),
        ({"a": ROWS, "ids": np.zeros(3, np.int32)}, r"got shape \[3\], with batch = 2"),
    ],
)
def test_refuses_inputs_that_do_not_fit(
    executable: OnnxRuntimeExecutable, inputs: Any, message: str
) -> None:
    if isinstance(inputs, dict) and isinstance(inputs.get("ids"), list):
        inputs = inputs | {"ids": np.array(inputs["ids"], np.int32)}
    with pytest.raises(DataError, match=message):
        executable.run(inputs)


def test_says_when_the_sizes_are_impossible() -> None:
    builder = Builder("pool")
    x = builder.input("x", TensorType(F32, (1, TIME, 1)))
    op = ops.MaxPool((4,), (1,), ((0, 0),))
    executable = OnnxRuntimeExecutable(
        model_bytes(builder.finish([("y", builder.emit(op, x)[0])])), optimization="off"
    )
    assert executable.run([np.zeros((1, 4, 1), np.float32)])["y"].shape == (1, 1, 1)
    builder = Builder("gather")
    rows = builder.constant(np.zeros((3, 2), np.float32))
    ids = builder.input("ids", TensorType(I32, (BATCH,)))
    graph = builder.finish([("y", builder.emit(ops.Gather(), rows, ids)[0])])
    with pytest.raises(DataError, match=r"cannot compute it for 'ids' \[1\].*indices"):
        OnnxRuntimeExecutable(model_bytes(graph)).run([np.array([7], np.int32)])


def test_refuses_what_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="onnxruntime refuses it"):
        OnnxRuntimeExecutable(b"no model")
    with pytest.raises(DataError, match="no such file"):
        OnnxRuntimeExecutable(tmp_path / "nowhere.onnx")


def test_refuses_unknown_options() -> None:
    content = model_bytes(two_inputs())
    with pytest.raises(SpecError, match="'all' or 'off'"):
        OnnxRuntimeExecutable(content, optimization="some")  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="no provider 'Abacus'.*CPUExecutionProvider"):
        OnnxRuntimeExecutable(content, providers=["Abacus"])


def test_scalars_and_empty_arrays_go_through() -> None:
    builder = Builder("shapes")
    x = builder.input("x", TensorType(DType.BFLOAT16, ()))
    y = builder.input("y", TensorType(DType.BFLOAT16, (0, 2)))
    graph = builder.finish(
        [("a", builder.emit(ops.Negative(), x)[0]), ("b", builder.emit(ops.Negative(), y)[0])]
    )
    bfloat16 = DType.BFLOAT16.numpy
    outputs = OnnxRuntimeExecutable(model_bytes(graph)).run(
        [np.asarray(2.5, bfloat16), np.zeros((0, 2), bfloat16)]
    )
    assert outputs["a"].dtype == bfloat16
    assert float(outputs["a"]) == -2.5
    assert outputs["b"].shape == (0, 2)


def network() -> Graph:
    builder = Builder("network")
    x = builder.input("x", TensorType(F32, (BATCH, TIME, 4)))
    ids = builder.input("ids", TensorType(I32, (BATCH, TIME)))
    rng = np.random.default_rng(0)
    kernel = builder.constant(rng.standard_normal((4, 3)).astype(np.float32), "dense/kernel")
    table = builder.constant(rng.standard_normal((5, 3)).astype(np.float32), "embedding/table")
    y = builder.emit(ops.Linear(), x, kernel)[0]
    y = builder.emit(ops.Add(), y, builder.emit(ops.Gather(), table, ids)[0])[0]
    y = builder.emit(ops.Softmax(), y)[0]
    return builder.finish([("probabilities", y), ("class", builder.emit(ops.Argmax(-1), y)[0])])


def test_verifies_a_right_model() -> None:
    graph = network()
    report = verify_model(graph, export_graph(graph), seeds=(0, 1))
    assert isinstance(report, VerificationReport)
    runs = {(entry.sizes, entry.seed, entry.optimization) for entry in report.comparisons}
    assert len(runs) == 4 * 2 * 2
    assert len(report.comparisons) == 2 * len(runs)
    assert 0 < report.max_absolute < 1e-6
    assert report.tolerances == (("float32", 1e-5),)
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.runtime = "another"  # type: ignore[misc]


def test_the_report_is_metadata() -> None:
    graph = network()
    model = export_graph(graph)
    report = verify_model(graph, model)
    metadata = report.as_metadata()
    assert all(key.startswith("kcompile.verification.") for key in metadata)
    assert metadata["kcompile.verification.status"] == "passed"
    assert metadata["kcompile.verification.sizes"].startswith("batch = 1, time = 1; ")
    assert metadata["kcompile.verification.tolerances"] == "float32 1e-05"
    assert metadata["kcompile.verification.runtime"].startswith("onnxruntime ")
    assert report.as_metadata() == verify_model(graph, model).as_metadata()
    onnx.checker.check_model(with_metadata(model, metadata))


def change_weight(model: onnx.ModelProto, name: str, by: float) -> None:
    (tensor,) = (entry for entry in model.graph.initializer if entry.name == name)
    array = numpy_helper.to_array(tensor).copy()
    array.flat[0] += by
    tensor.CopyFrom(numpy_helper.from_array(array, name))


@pytest.mark.parametrize("name", ["dense/kernel", "embedding/table"])
def test_catches_one_wrong_weight(name: str) -> None:
    graph = network()
    model = export_graph(graph)
    change_weight(model, name, 1e-3)
    message = r"output 'probabilities' \(onnxruntime, optimizations off, batch = \d, time = \d"
    with pytest.raises(VerifyError, match=f"{message}, seed 0\\): it differs by .* may by \\d"):
        verify_model(graph, model)


def replace_op(model: onnx.ModelProto, old: str, new: str) -> None:
    (node,) = (node for node in model.graph.node if node.op_type == old)
    node.op_type = new


def test_catches_another_op() -> None:
    graph = network()
    model = export_graph(graph)
    replace_op(model, "ArgMax", "ArgMin")
    with pytest.raises(VerifyError, match="output 'class'.*elements differ"):
        verify_model(graph, model)


def test_catches_a_frozen_size() -> None:
    graph = network()
    model = export_graph(graph)
    for info in (*model.graph.input, *model.graph.value_info, *model.graph.output):
        dim = info.type.tensor_type.shape.dim[0]
        dim.dim_value = 1
    with pytest.raises(VerifyError, match="batch = 3.*the model refuses what the graph takes"):
        verify_model(graph, model)


def test_catches_outputs_in_another_order() -> None:
    graph = network()
    model = export_graph(graph)
    outputs = list(model.graph.output)
    del model.graph.output[:]
    model.graph.output.extend(outputs[::-1])
    with pytest.raises(VerifyError, match="the model returns class, probabilities"):
        verify_model(graph, model)


def test_catches_an_optimizer_that_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    run = OnnxRuntimeExecutable.run

    def wrong(self: OnnxRuntimeExecutable, inputs: Any) -> Any:
        outputs = run(self, inputs)
        return outputs | {"probabilities": outputs["probabilities"] + np.float32(1e-3)}

    monkeypatch.setattr(OnnxRuntimeExecutable, "run", wrong)
    graph = network()
    with pytest.raises(VerifyError, match="differs by 0.001"):
        verify_model(graph, export_graph(graph))


def test_large_samples_come_in_smaller_batches() -> None:
    builder = Builder("large")
    x = builder.input("x", TensorType(F32, (BATCH, 2**10, 2**10)))
    graph = builder.finish([("y", builder.emit(ops.Negative(), x)[0])])
    report = verify_model(graph, export_graph(graph))
    assert {entry.sizes for entry in report.comparisons} == {(("batch", 1),), (("batch", 2),)}


def magnifying() -> Graph:
    """`y = (x + 1000 - 1000) * 1000`: what rounding loses at the sum is magnified."""
    builder = Builder("magnifying")
    x = builder.input("x", TensorType(F32, (BATCH, 40)))
    thousand = builder.constant(np.array(1000.0, np.float32))
    y = builder.emit(ops.Subtract(), builder.emit(ops.Add(), x, thousand)[0], thousand)[0]
    return builder.finish([("y", builder.emit(ops.Multiply(), y, thousand)[0])])


def test_allows_for_rounding_that_is_magnified() -> None:
    """The same numbers in another order: 1,000 units in the last place, and not wrong."""
    builder = Builder("magnifying")
    x = builder.input("x", TensorType(F32, (BATCH, 40)))
    third, rest = (builder.constant(np.array(n, np.float32)) for n in (333.3, 666.7))
    thousand = builder.constant(np.array(1000.0, np.float32))
    y = builder.emit(ops.Add(), builder.emit(ops.Add(), x, third)[0], rest)[0]
    y = builder.emit(ops.Subtract(), y, thousand)[0]
    other = builder.finish([("y", builder.emit(ops.Multiply(), y, thousand)[0])])
    report = verify_model(magnifying(), export_graph(other))
    assert any(entry.is_wide for entry in report.comparisons)
    assert "where rounding is magnified" in report.as_metadata()["kcompile.verification.tolerances"]


def test_magnified_rounding_hides_nothing() -> None:
    builder = Builder("magnifying")
    x = builder.input("x", TensorType(F32, (BATCH, 40)))
    thousand = builder.constant(np.array(1000.0, np.float32))
    wrong = builder.constant(np.array(1020.0, np.float32))
    y = builder.emit(ops.Subtract(), builder.emit(ops.Add(), x, thousand)[0], thousand)[0]
    other = builder.finish([("y", builder.emit(ops.Multiply(), y, wrong)[0])])
    with pytest.raises(VerifyError, match="output 'y'.*it differs by"):
        verify_model(magnifying(), export_graph(other))


def masked(factor: float) -> Graph:
    """`softmax(factor * x + (1 - keep) * least)`: the least number may not become infinite."""
    builder = Builder("masked")
    x = builder.input("x", TensorType(F32, (BATCH, 6)))
    least = np.where(np.arange(6) < 4, 0.0, np.finfo(np.float32).min).astype(np.float32)
    y = builder.emit(ops.Multiply(), x, builder.constant(np.float32(factor)))[0]
    y = builder.emit(ops.Add(), y, builder.constant(least))[0]
    return builder.finish([("y", builder.emit(ops.Softmax(), y)[0])])


def test_the_least_number_hides_nothing() -> None:
    verify_model(masked(1.0), export_graph(masked(1.0)))
    with pytest.raises(VerifyError, match="output 'y'.*it differs by"):
        verify_model(masked(1.0), export_graph(masked(0.5)))


def test_a_batch_that_is_counted_is_computed_for_one_sample_too() -> None:
    """`x * batch`, and a file that has 3 for the batch: right for 3 samples alone."""

    def graph(number: int | None) -> Graph:
        builder = Builder("counted")
        x = builder.input("x", TensorType(F32, (BATCH, 2)))
        if number is None:
            (size,) = builder.emit(ops.DimSize(BATCH))
            (count,) = builder.emit(ops.Cast(F32), size)
        else:
            count = builder.constant(np.float32(number))
        return builder.finish([("y", builder.emit(ops.Multiply(), x, count)[0])])

    verify_model(graph(None), export_graph(graph(None)))
    with pytest.raises(VerifyError, match="batch = 1"):
        verify_model(graph(None), export_graph(graph(3)))


def test_samples_that_depend_on_each_other_are_run_alone() -> None:
    builder = Builder("centred")
    x = builder.input("x", TensorType(F32, (BATCH, 4)))
    y = builder.emit(ops.Subtract(), x, builder.emit(ops.ReduceMean((0,), True), x)[0])[0]
    graph = builder.finish([("y", y)])
    report = verify_model(graph, export_graph(graph))
    assert {entry.sizes for entry in report.comparisons} == {(("batch", 1),), (("batch", 3),)}


ONE = np.array([1.0, np.nan, np.inf, 3.0], np.float32)


@pytest.mark.parametrize(
    ("actual", "message"),
    [
        (ONE.astype(np.float64), r"float64\[4\]"),
        (ONE[:3], r"float32\[3\]"),
        (np.array([np.nan, np.nan, np.inf, 3.0], np.float32), "NaN and infinities"),
        (np.array([1.0, 2.0, np.inf, 3.0], np.float32), "NaN and infinities"),
        (np.array([1.0, np.nan, -np.inf, 3.0], np.float32), "NaN and infinities"),
        (ONE + np.float32(1e-4), "differs by 0.0001, and may by 3e-05"),
    ],
)
def test_compares(actual: Any, message: str) -> None:
    with pytest.raises(VerifyError, match=f"here: .*{message}"):
        compare(actual, ONE, "here")


def test_compare_measures() -> None:
    near = ONE + np.array([0, 0, 0, 3e-6], np.float32)
    absolute, relative, tolerance = compare(near, ONE, "here")
    assert 2e-6 < absolute < 4e-6
    assert relative == absolute / 3
    assert tolerance == pytest.approx(3e-5)
    assert compare(ONE[:0], ONE[:0], "here")[:2] == (0, 0)
    with pytest.raises(VerifyError, match="1 of 3 elements differ"):
        compare(np.array([1, 2, 3]), np.array([1, 2, 4]), "here")


def graph_on(make: Callable[[Builder], Any]) -> Graph:
    builder = Builder("sizes")
    return builder.finish([("y", make(builder))])


def test_sizes_of_a_fixed_graph_are_none() -> None:
    graph = graph_on(lambda b: b.emit(ops.Relu(), b.input("x", TensorType(F32, (2,))))[0])
    assert choose_sizes(graph) == [{}]


def test_sizes_skip_what_does_not_fit() -> None:
    def make(builder: Builder) -> Any:
        x = builder.input("x", TensorType(F32, (BATCH, HEIGHT, TIME, 1)))
        return builder.emit(ops.MaxPool((5, 4), (1, 1), ((0, 0), (0, 0))), x)[0]

    assert choose_sizes(graph_on(make)) == [
        {"batch": batch, "height": height, "time": height + 2}
        for batch in (1, 3)
        for height in (5, 7)
    ]


def test_sizes_of_inputs_stay_positive() -> None:
    def make(builder: Builder) -> Any:
        builder.input("x", TensorType(F32, (1, TIME)))
        return builder.emit(ops.Relu(), builder.input("z", TensorType(F32, (1, TIME - 4))))[0]

    assert choose_sizes(graph_on(make)) == [{"time": 5}, {"time": 7}]


def test_sizes_may_have_to_be_large() -> None:
    def make(builder: Builder) -> Any:
        x = builder.input("x", TensorType(F32, (1, TIME)))
        return builder.emit(ops.Slice((0, 5000), (1, TIME - 5000), (1, 1)), x)[0]

    assert choose_sizes(graph_on(make)) == [{"time": 16385}, {"time": 16387}]


def test_sizes_that_cannot_be_found_are_asked_for() -> None:
    def make(builder: Builder) -> Any:
        x = builder.input("x", TensorType(F32, (1, TIME)))
        return builder.emit(ops.Slice((0, 100_000), (1, TIME), (1, 1)), x)[0]

    with pytest.raises(DataError, match="no numbers up to 65539 for time.*Give the sizes"):
        choose_sizes(graph_on(make))


def test_indices_are_drawn_within_their_axis() -> None:
    def make(builder: Builder) -> Any:
        ids = builder.input("ids", TensorType(I32, (BATCH, 200)))
        flat = builder.emit(ops.Reshape((BATCH * 200,)), ids)[0]
        wide = builder.emit(ops.Cast(DType.INT64), flat)[0]
        table = builder.constant(np.zeros((3, 2), np.float32))
        return builder.emit(ops.Gather(), table, wide)[0]

    arrays = draw_inputs(graph_on(make), {"batch": 2}, 0)
    assert set(np.unique(arrays["ids"])) == {0, 1, 2}


def test_inputs_are_of_their_type_and_repeatable() -> None:
    graph = graph_on(
        lambda b: b.emit(
            ops.Where(),
            b.input("c", TensorType(DType.BOOL, (BATCH,))),
            b.input("h", TensorType(DType.FLOAT16, (BATCH,))),
            b.input("z", TensorType(DType.FLOAT16, ())),
        )[0]
    )
    first, second = (draw_inputs(graph, {"batch": 9}, 1) for _ in range(2))
    other = draw_inputs(graph, {"batch": 9}, 2)
    assert [first[name].dtype for name in "chz"] == [np.bool_, np.float16, np.float16]
    assert all(np.array_equal(first[name], second[name]) for name in "chz")
    assert not np.array_equal(first["h"], other["h"])


def test_strings_come_from_vocabularies_and_elsewhere() -> None:
    words = Literal(["first", "second"])
    lookup = ops.Lookup(words, Literal(np.arange(2, dtype=np.int32)), -1)
    graph = graph_on(
        lambda b: b.emit(
            lookup,
            b.emit(ops.SplitString(5), b.input("s", TensorType(DType.STRING, (BATCH,))))[0],
        )[0]
    )
    (texts,) = draw_inputs(graph, {"batch": 50}, 0).values()
    found = {word for text in texts for word in text.split()}
    assert {"first", "second", "SECOND.", "don't"} <= found
    assert "" in texts
    closed = graph_on(
        lambda b: b.emit(
            ops.Lookup(words, words, None), b.input("s", TensorType(DType.STRING, (BATCH,)))
        )[0]
    )
    (tokens,) = draw_inputs(closed, {"batch": 20}, 0).values()
    assert set(tokens) == {"first", "second"}


def test_integers_come_from_vocabularies_and_elsewhere() -> None:
    keys, values = Literal(np.array([500, 2**40])), Literal(np.array([1, 2], np.int32))

    def drawn(default: int | None) -> set[int]:
        lookup = ops.Lookup(keys, values, default)
        numbers = TensorType(DType.INT32, (BATCH,))
        graph = graph_on(lambda b: b.emit(lookup, b.input("n", numbers))[0])
        return set(draw_inputs(graph, {"batch": 50}, 0)["n"].tolist())

    assert drawn(None) == {500}
    assert drawn(0) > {500, 0, 2**31 - 1}
