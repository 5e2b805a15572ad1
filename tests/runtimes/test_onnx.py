"""The ONNX export: every op against the reference, names, sizes, opsets, determinism, errors."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest

from kcompile.ir import ops
from kcompile.ir.builder import Builder
from kcompile.ir.dims import Size, maximum, minimum, symbol
from kcompile.ir.errors import ExportError, VerifyError
from kcompile.ir.graph import Graph, Role, Value
from kcompile.ir.op import OPS, Op
from kcompile.ir.ops.windows import CHANNELS_FIRST
from kcompile.ir.types import DType, TensorType
from kcompile.runtimes import reference
from kcompile.runtimes.onnx import (
    check_model,
    export,
    export_graph,
    model_info,
    with_metadata,
)
from kcompile.runtimes.onnx.kernels import ELEMENT_TYPES, compute_type
from kcompile.runtimes.onnx.shape import reshape_target
from kcompile.runtimes.onnx.sizes import least
from kcompile.runtimes.onnx.table import LOWERINGS, REFUSALS, lowers, refuses
from kcompile.runtimes.onnxruntime import OnnxRuntimeExecutable, verify_model
from tests.ops.cases import CASES, Case, assert_same

BATCH, TIME, HEIGHT = symbol("batch"), symbol("time"), symbol("height")
F32 = DType.FLOAT32

#: onnxruntime computes these in double, where digits get lost and sums don't wrap.
INEXACT = frozenset(
    {"power-int32", "power-uint8"}
    | {f"reduce_prod-{name}" for name in ("int32", "int64", "int8-wraps")}
)
#: onnxruntime passes over NaN in some places, and over -inf in padded windows.
NAN_IS_PASSED_OVER = frozenset(
    {
        "argmax-nan-twice",
        "argmax-special",
        "argmin-nan-twice",
        "argmin-special",
        "max_pool-all-negative-infinite",
        "max_pool-special",
        "reduce_max-special",
        "reduce_min-special",
    }
)
REFUSED = [case for case in CASES if type(case.op) in REFUSALS or case.name in INEXACT]
EXPORTED = [case for case in CASES if case not in REFUSED]
EXACT = [case for case in EXPORTED if case.name not in NAN_IS_PASSED_OVER]


def name_of(case: Case) -> str:
    return case.name


def graph_of(
    make: Callable[[Builder, Value], Value], *shape: Size, dtype: DType = F32, name: str = "model"
) -> Graph:
    """One input `x`, and what `make` makes of it as output `y`."""
    builder = Builder(name)
    x = builder.input("x", TensorType(dtype, shape))
    return builder.finish([("y", make(builder, x))])


def applied(op: Op) -> Callable[[Builder, Value], Value]:
    return lambda builder, x: builder.emit(op, x)[0]


def op_types(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def run_both(case: Case, arrays: dict[str, Any]) -> None:
    model = export_graph(case.graph)
    check_model(model)
    expected, _ = reference.run(case.graph, arrays)
    for optimization in ("off", "all"):
        executable = OnnxRuntimeExecutable(
            model.SerializeToString(), optimization=optimization, threads=1
        )
        actual = executable.run(arrays)
        assert actual.keys() == expected.keys()
        for name, value in expected.items():
            assert_same(actual[name], value, f"{name}, optimizations {optimization}")


@pytest.mark.parametrize("case", EXACT, ids=name_of)
def test_equals_the_reference(case: Case) -> None:
    run_both(case, case.arrays())


@pytest.mark.parametrize(
    "case", [case for case in EXPORTED if case.name in NAN_IS_PASSED_OVER], ids=name_of
)
def test_equals_the_reference_without_nan(case: Case) -> None:
    arrays = {
        name: np.nan_to_num(array, nan=0.25, posinf=np.inf, neginf=-1e30)
        for name, array in case.arrays().items()
    }
    run_both(case, arrays)


@pytest.mark.parametrize("case", REFUSED, ids=name_of)
def test_refuses_what_the_file_would_compute_otherwise(case: Case) -> None:
    with pytest.raises(ExportError, match=case.op.name):
        export_graph(case.graph)


def test_the_exceptions_are_cases() -> None:
    assert {case.name for case in CASES} >= INEXACT | NAN_IS_PASSED_OVER


def test_every_op_is_lowered_or_refused() -> None:
    assert LOWERINGS.keys() | REFUSALS.keys() == set(OPS.values())
    assert not LOWERINGS.keys() & REFUSALS.keys()


def test_the_table_takes_no_op_twice() -> None:
    with pytest.raises(TypeError, match="Add is in the table twice"):
        lowers(ops.Add)(lambda emitter, op, a, b: a)
    with pytest.raises(TypeError, match="Dropout is in the table twice"):
        refuses(ops.Dropout, "")


RESHAPES: list[tuple[tuple[Size, ...], tuple[Size, ...], list[int] | None]] = [
    ((2, 6), (3, 4), [3, 4]),
    ((BATCH, 3, 4), (BATCH, 12), [0, 12]),
    ((BATCH, TIME, 6), (BATCH, TIME, 2, 3), [0, 0, 2, 3]),
    ((BATCH, TIME, 6), (BATCH * TIME, 6), [-1, 6]),
    ((BATCH, TIME, 6), (BATCH, TIME * 6), [0, -1]),
    ((BATCH, 6), (1, BATCH, 6), [1, -1, 6]),
    ((BATCH, TIME), (TIME, BATCH), None),
    ((BATCH, 0), (BATCH, 0, 2), None),
    ((0, 5), (3, 0), None),
    ((BATCH, TIME - 1), (BATCH * (TIME - 1),), [-1]),
    ((BATCH, TIME - 1, 3), (BATCH * 3, TIME - 1), None),
]


@pytest.mark.parametrize(("source", "target", "form"), RESHAPES, ids=lambda entry: str(entry))
def test_reshape_has_a_constant_form_where_there_is_one(
    source: tuple[Size, ...], target: tuple[Size, ...], form: list[int] | None
) -> None:
    assert reshape_target(source, target) == form
    symbols = {"batch": BATCH, "time": TIME}

    def make(builder: Builder, x: Value) -> Value:
        for name, size in symbols.items():
            builder.input(name, TensorType(F32, (size,)))
        if TIME - 1 in source:
            cut = ops.Slice((0,) * x.type.rank, source, (1,) * x.type.rank)
            x = builder.emit(cut, x)[0]
        return builder.emit(ops.Reshape(target), x)[0]

    given = tuple(TIME if size == TIME - 1 else size for size in source)
    graph = graph_of(make, *given)
    model = export_graph(graph)
    assert ("Concat" in op_types(model)) == (
        form is None and not all(isinstance(size, int) for size in target)
    )
    verify_model(graph, model)


SIZES = [
    BATCH * TIME + 3,
    TIME * TIME * 2 - BATCH,
    -TIME,
    3 - TIME,
    TIME // 3,
    (TIME - 7) // 3,
    (BATCH * 5 - TIME * 4) // 3,
    TIME // BATCH,
    maximum(TIME - 5, 0),
    minimum(TIME, 4) + maximum(BATCH, TIME, 2),
]
GRID = [{"batch": batch, "time": time} for batch in (1, 3) for time in (1, 2, 5, 8)]


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_computes_any_size(size: Size) -> None:
    def make(builder: Builder, x: Value) -> Value:
        number = builder.emit(ops.DimSize(size, DType.INT64))[0]
        return builder.emit(ops.Add(), number, number)[0]

    graph = graph_of(make, BATCH, TIME)
    report = verify_model(graph, export_graph(graph), sizes=GRID)
    assert report.max_absolute == 0


def test_computes_the_size_of_a_symbol_once() -> None:
    def make(builder: Builder, x: Value) -> Value:
        numbers = [
            builder.emit(ops.DimSize(size, DType.INT64))[0] for size in (TIME, TIME + 1, TIME // 2)
        ]
        return builder.emit(ops.Add(), builder.emit(ops.Add(), *numbers[:2])[0], numbers[2])[0]

    assert op_types(export_graph(graph_of(make, BATCH, TIME))).count("Shape") == 1


def test_least_is_a_lower_bound() -> None:
    assert [least(size) for size in (3, TIME, TIME - 1, BATCH * TIME * 2 + 1)] == [3, 1, 0, 3]
    assert least(TIME // 2) == 0
    assert least(maximum(TIME - 5, 2)) == 2
    assert least(minimum(TIME, 4)) == 1
    assert least(5 - TIME) == -float("inf")


def test_broadcasts_only_the_axes_that_grow() -> None:
    model = export_graph(graph_of(applied(ops.BroadcastTo((4, BATCH, TIME))), BATCH, TIME))
    assert op_types(model) == ["Expand"]


def test_slices_only_the_axes_that_lose_elements() -> None:
    op = ops.Slice((0, 1), (BATCH, TIME), (1, 2))
    assert op_types(export_graph(graph_of(applied(op), BATCH, TIME))) == ["Slice"]


@pytest.mark.parametrize(
    "op",
    [
        ops.Reshape((BATCH, 4)),
        ops.Transpose((0, 1)),
        ops.BroadcastTo((BATCH, 4)),
        ops.Concatenate(1),
        ops.Slice((0, 0), (BATCH, 4), (1, 1)),
        ops.Pad(((0, 0), (0, 0))),
        ops.ReduceSum(()),
        ops.Cast(F32),
    ],
    ids=lambda op: op.name,
)
def test_leaves_out_what_does_nothing(op: Op) -> None:
    graph = graph_of(lambda b, x: b.emit(ops.Relu(), b.emit(op, x)[0])[0], BATCH, 4)
    assert op_types(export_graph(graph)) == ["Relu"]


HEIGHTS = [
    {"batch": 2, "height": height, "time": time} for height in range(1, 8) for time in (1, 4)
]
WINDOWS = [(window, stride) for window in (1, 2, 3, 4) for stride in (1, 2, 3)]


@pytest.mark.parametrize(("window", "stride"), WINDOWS)
@pytest.mark.parametrize("dilation", [1, 2])
def test_same_padding_of_symbolic_images(window: int, stride: int, dilation: int) -> None:
    def make(builder: Builder, x: Value) -> Value:
        kernel = np.random.default_rng(0).standard_normal((window, 2, 1, 2)).astype(np.float32)
        op = ops.Conv((stride, 1), "same", (dilation, 1))
        return builder.emit(op, x, builder.constant(kernel))[0]

    graph = graph_of(make, BATCH, HEIGHT, TIME, 1)
    model = export_graph(graph)
    is_native = stride == 1 or window == 1 or (dilation == 1 and window >= stride)
    assert ("Pad" in op_types(model)) == (not is_native)
    verify_model(graph, model, sizes=HEIGHTS)


@pytest.mark.parametrize(("window", "stride"), WINDOWS)
@pytest.mark.parametrize("pool", [ops.MaxPool, ops.AveragePool])
def test_same_padding_of_symbolic_images_in_pools(
    pool: type[ops.MaxPool] | type[ops.AveragePool], window: int, stride: int
) -> None:
    op = pool((window, 2), (stride, 1), "same", CHANNELS_FIRST)
    graph = graph_of(applied(op), BATCH, 2, HEIGHT, TIME)
    if pool is ops.AveragePool and 1 < window < stride:
        with pytest.raises(ExportError, match="shorter than the stride.*fixed size"):
            export_graph(graph)
        return
    verify_model(graph, export_graph(graph), sizes=HEIGHTS)


def test_uses_native_ops_in_channels_first() -> None:
    def make(builder: Builder, x: Value) -> Value:
        kernel = builder.constant(np.ones((4, 3, 3, 3), np.float32), "conv/kernel")
        ones = builder.constant(np.ones(4, np.float32), "bn/ones")
        op = ops.Conv((2, 2), "same", (1, 1), 1, CHANNELS_FIRST, "output_input_spatial")
        y = builder.emit(op, x, kernel, ones)[0]
        y = builder.emit(ops.BatchNorm(1), y, ones, ones, ones, ones)[0]
        return builder.emit(ops.AveragePool((2, 2), (2, 2), "same", CHANNELS_FIRST), y)[0]

    model = export_graph(graph_of(make, BATCH, 3, 9, 9))
    assert op_types(model) == ["Conv", "BatchNormalization", "AveragePool"]
    assert {entry.name for entry in model.graph.initializer} == {"conv/kernel", "bn/ones"}


def test_batch_norm_in_float64_does_not_round_epsilon() -> None:
    def make(builder: Builder, x: Value) -> Value:
        small = [builder.constant(np.full(3, number)) for number in (0.5, 1e-9, 2.0, 0.25)]
        return builder.emit(ops.BatchNorm(1, 1e-3), x, *small)[0]

    graph = graph_of(make, BATCH, 3, 2, dtype=DType.FLOAT64)
    assert verify_model(graph, export_graph(graph)).max_relative < 1e-12


@pytest.mark.parametrize("exponent", [1, 2, 3, 10, 13])
def test_integer_powers_with_a_constant_exponent(exponent: int) -> None:
    def make(builder: Builder, x: Value) -> Value:
        return builder.emit(ops.Power(), x, builder.constant(np.int64(exponent)))[0]

    graph = graph_of(make, BATCH, dtype=DType.INT64)
    verify_model(graph, export_graph(graph))


@pytest.mark.parametrize("dtype", [DType.INT8, DType.INT32, DType.INT64, DType.UINT64])
@pytest.mark.parametrize(("axes", "keepdims"), [((0, 2), True), ((1,), False), ((0, 1, 2), False)])
def test_sums_of_integers_wrap(dtype: DType, axes: tuple[int, ...], keepdims: bool) -> None:
    graph = graph_of(applied(ops.ReduceSum(axes, keepdims)), BATCH, TIME, 5, dtype=dtype)
    limits = np.iinfo(dtype.numpy)
    rng = np.random.default_rng(0)

    def draw(graph: Graph, env: dict[str, int], seed: int) -> dict[str, Any]:
        shape = (env["batch"], env["time"], 5)
        values = rng.integers(limits.max - 9, limits.max, shape, dtype.numpy, endpoint=True)
        return {"x": values}

    verify_model(graph, export_graph(graph), draw=draw)


@pytest.mark.parametrize("dtype", [d for d in DType if d is not DType.STRING], ids=str)
def test_where_moves_every_type(dtype: DType) -> None:
    def make(builder: Builder, x: Value) -> Value:
        one, two = (builder.constant(np.asarray(n).astype(dtype.numpy)) for n in (1, 2))
        other = builder.emit(ops.Where(), builder.emit(ops.Equal(), x, one)[0], two, x)[0]
        return builder.emit(ops.Concatenate(0), other, x)[0]

    graph = graph_of(make, BATCH, dtype=dtype)
    verify_model(graph, export_graph(graph))


def test_says_which_type_has_no_kernel() -> None:
    graph = graph_of(applied(ops.Erf()), 3, dtype=DType.FLOAT64)
    with pytest.raises(ExportError, match="erf: onnxruntime has no Erf for float64"):
        export_graph(graph)
    assert compute_type("Erf", DType.BFLOAT16) is F32
    assert compute_type("Max", DType.INT16) is DType.INT32
    assert compute_type("Max", DType.UINT64) is DType.UINT64
    assert compute_type("ReduceMax", DType.UINT64) is None
    assert ELEMENT_TYPES.keys() == set(DType)


def dense(builder: Builder, x: Value, name: str, units: int) -> Value:
    """A layer with weights under its name."""
    rng = np.random.default_rng(len(name))
    kernel = rng.standard_normal((x.type.shape[-1], units)).astype(np.float32)
    with builder.scope(name):
        w = builder.constant(kernel, f"{name}/kernel")
        b = builder.constant(np.zeros(units, np.float32), f"{name}/bias")
        return builder.emit(ops.Relu(), builder.emit(ops.Linear(), x, w, b)[0])[0]


def classifier(activation: Op | None = None) -> Graph:
    builder = Builder("classifier")
    x = builder.input("x", TensorType(F32, (BATCH, 5)))
    hidden = dense(builder, x, "first", 7)
    y = dense(builder, hidden, "encoder/second", 3)
    with builder.scope("probabilities"):
        y = builder.emit(activation or ops.Softmax(), y)[0]
    return builder.finish([("probabilities", y), ("hidden", hidden)])


def test_names_come_from_the_layers() -> None:
    model = export_graph(classifier(ops.Gelu()), opset=21)
    assert [node.name for node in model.graph.node] == [
        "first/Gemm",
        "first/Relu",
        "encoder/second/Gemm",
        "encoder/second/Relu",
        "probabilities/Gelu",
    ]
    assert [entry.name for entry in model.graph.initializer] == [
        "first/kernel",
        "first/bias",
        "encoder/second/kernel",
        "encoder/second/bias",
    ]
    assert [entry.name for entry in model.graph.output] == ["probabilities", "hidden"]
    layers = [{p.key: p.value for p in node.metadata_props} for node in model.graph.node]
    assert layers[2] == {"kcompile.layer": "encoder/second"}


def test_weights_are_neither_inputs_nor_external() -> None:
    model = export_graph(classifier())
    assert [entry.name for entry in model.graph.input] == ["x"]
    assert all(entry.data_location == onnx.TensorProto.DEFAULT for entry in model.graph.initializer)


def test_every_value_has_its_shape() -> None:
    def make(builder: Builder, x: Value) -> Value:
        x = builder.emit(ops.Reshape((BATCH * TIME, 4)), x)[0]
        x = builder.emit(ops.Relu(), x)[0]
        return builder.emit(ops.Pad(((1, 0), (0, 0))), x)[0]

    model = export_graph(graph_of(make, BATCH, TIME, 4))
    shapes = {
        info.name: [dim.dim_param or dim.dim_value for dim in info.type.tensor_type.shape.dim]
        for info in (*model.graph.input, *model.graph.value_info, *model.graph.output)
    }
    assert shapes == {
        "x": ["batch", "time", 4],
        "reshape": ["batch*time", 4],
        "relu": ["batch*time", 4],
        "y": ["batch*time+1", 4],
    }


def test_an_input_or_weight_can_be_an_output() -> None:
    builder = Builder("odd")
    x = builder.input("x", TensorType(F32, (BATCH, 2)))
    weight = builder.constant(np.ones(3, np.float32), "weight")
    relu = builder.emit(ops.Relu(), x)[0]
    outputs = [("x", x), ("again", x), ("weight", weight), ("a", relu), ("b", relu)]
    graph = builder.finish(outputs)
    model = export_graph(graph)
    assert op_types(model) == ["Relu", "Identity", "Identity", "Identity"]
    verify_model(graph, model)


def test_an_output_cannot_have_the_name_of_another_input() -> None:
    builder = Builder("clash")
    x = builder.input("x", TensorType(F32, (2,)))
    graph = builder.finish([("x", builder.emit(ops.Relu(), x)[0])])
    with pytest.raises(ExportError, match="output 'x' has the name of an input.*Rename"):
        export_graph(graph)


def test_the_opset_is_the_lowest_that_fits() -> None:
    plain, gelu = export_graph(classifier()), export_graph(classifier(ops.Gelu()))
    assert (plain.opset_import[0].version, plain.ir_version) == (17, 8)
    assert (gelu.opset_import[0].version, gelu.ir_version) == (20, 9)
    assert "Gelu" in op_types(gelu)


@pytest.mark.parametrize("opset", [17, 18, 21, 23, 28])
def test_every_opset_runs(opset: int) -> None:
    def make(builder: Builder, x: Value) -> Value:
        y = builder.emit(ops.ReduceMax((1,), True), x)[0]
        y = builder.emit(ops.Subtract(), x, y)[0]
        y = builder.emit(ops.AveragePool((2,), (2,), "same"), y)[0]
        return builder.emit(ops.Reshape((BATCH, 6)), y)[0]

    graph = graph_of(make, BATCH, 5, 2)
    model = export_graph(graph, opset=opset)
    assert model.opset_import[0].version == opset
    verify_model(graph, model)


def test_an_opset_that_is_too_low_is_refused() -> None:
    builder = Builder("bits")
    x = builder.input("x", TensorType(DType.INT32, (2,)))
    with builder.scope("masked"):
        (y,) = builder.emit(ops.BitwiseAnd(), x, x)
    graph = builder.finish([("y", y)])
    with pytest.raises(ExportError, match="'masked': bitwise_and: needs opset 18.*opset 17.*Ask"):
        export_graph(graph, opset=17)


@pytest.mark.parametrize("approximate", [False, True])
@pytest.mark.parametrize("dtype", [F32, DType.FLOAT16])
def test_gelu_is_spelled_out_where_the_opset_has_none(approximate: bool, dtype: DType) -> None:
    builder = Builder("gelu")
    x = builder.input("x", TensorType(dtype, (BATCH, 7)))
    graph = builder.finish([("y", builder.emit(ops.Gelu(approximate), x)[0])])
    model = export_graph(graph, opset=19)
    assert "Gelu" not in op_types(model)
    verify_model(graph, model)


@pytest.mark.parametrize("opset", [16, 29])
def test_an_opset_that_onnxruntime_lacks_is_refused(opset: int) -> None:
    with pytest.raises(ExportError, match="17 to 28"):
        export_graph(classifier(), opset=opset)


@pytest.mark.parametrize("role", [Role.PARAM, Role.STATE, Role.RNG])
def test_unbound_inputs_are_refused(role: Role) -> None:
    builder = Builder("unbound")
    type = TensorType(DType.UINT32, (2,))
    x = builder.input("x", type)
    other = builder.input("layer/weight", type, role)
    graph = builder.finish([("y", builder.emit(ops.Add(), x, other)[0])])
    with pytest.raises(ExportError, match=f"{role} input %layer/weight.*Bind the weights"):
        export_graph(graph)


def test_updates_are_refused() -> None:
    builder = Builder("stateful")
    state = builder.input("mean", TensorType(F32, (2,)), Role.STATE)
    x = builder.input("x", TensorType(F32, (2,)))
    builder.update(state, x)
    with pytest.raises(ExportError, match="mean"):
        export_graph(builder.finish([("y", x)]))


def test_a_refusal_names_the_layer() -> None:
    builder = Builder("training")
    x = builder.input("x", TensorType(F32, (BATCH, 3)))
    with builder.scope("block/bn"):
        y = builder.emit(ops.BatchNormTraining(), x)[0]
    graph = builder.finish([("y", y)])
    with pytest.raises(ExportError, match="layer 'block/bn': batch_norm_training: statistics"):
        export_graph(graph)


def test_pools_along_many_axes_are_refused() -> None:
    op = ops.MaxPool((1,) * 4, (1,) * 4, ((0, 0),) * 4)
    with pytest.raises(ExportError, match="at most 3 axes"):
        export_graph(graph_of(applied(op), 1, 2, 2, 2, 2, 1))


def test_a_file_above_two_gigabytes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    num_bytes = 4 * (5 * 7 + 7 + 7 * 3 + 3)
    monkeypatch.setattr(export, "MAXIMUM_WEIGHT_BYTES", num_bytes)
    export_graph(classifier())
    monkeypatch.setattr(export, "MAXIMUM_WEIGHT_BYTES", num_bytes - 1)
    with pytest.raises(ExportError, match="2 GiB"):
        export_graph(classifier())


SCRIPT = """
import sys
from tests.runtimes.test_onnx import classifier
from kcompile.runtimes.onnx import export_graph
metadata = {key: key for key in {"b", "a", "kcompile.version", "c"}}
model = export_graph(classifier(), opset=21, metadata=metadata)
sys.stdout.buffer.write(model.SerializeToString(deterministic=True))
"""


def test_the_bytes_are_the_same_in_every_process() -> None:
    digests = set()
    for seed in ("1", "2"):
        result = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.getcwd()},
            capture_output=True,
            check=True,
        )
        assert len(result.stdout) > 300
        digests.add(hashlib.sha256(result.stdout).hexdigest())
    assert len(digests) == 1


def test_metadata_is_sorted_and_names_the_producer() -> None:
    model = export_graph(classifier(), metadata={"b": "2", "kcompile.version": "1.2"})
    with_metadata(model, {"a": "1", "b": "3"})
    entries = [(entry.key, entry.value) for entry in model.metadata_props]
    assert entries == [("a", "1"), ("b", "3"), ("kcompile.version", "1.2")]
    assert (model.producer_name, model.producer_version) == ("kcompile", "1.2")


def test_model_info() -> None:
    model = export_graph(classifier())
    assert model_info(model) == {
        "num_nodes": 5,
        "ops": {"Gemm": 2, "Relu": 2, "Softmax": 1},
        "num_initializers": 4,
        "num_bytes": len(model.SerializeToString()),
        "opset": 17,
        "ir_version": 8,
        "inputs": {"x": "FLOAT[batch,5]"},
        "outputs": {"probabilities": "FLOAT[batch,3]", "hidden": "FLOAT[batch,7]"},
    }


def test_check_model_refuses_an_invalid_model() -> None:
    model = export_graph(classifier())
    model.graph.node[0].op_type = "Gem"
    with pytest.raises(VerifyError, match="not a valid ONNX model.*Gem"):
        check_model(model)
    model = export_graph(classifier())
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 4
    with pytest.raises(VerifyError, match="not a valid ONNX model"):
        check_model(model)


_SIZES = {"n": 2, "s": 4}
#: bias or mask, which broadcast to `[N, H, T, S]`.
_ADDED = {
    "nothing": (None, None),
    "bias": (("n", 2, 3, "s"), None),
    "row": (("s",), None),
    "mask": (None, ("n", 1, 1, "s")),
    "both": ((3, "s"), ("n", 1, 3, "s")),
}


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("added", _ADDED)
def test_attention_of_heads_side_by_side_is_native_from_opset_23(
    added: str, is_causal: bool
) -> None:
    builder = Builder("attention")

    def operand(name: str, dtype: DType, shape: Any) -> Value | None:
        if shape is None:
            return None
        sizes = (symbol(size) if isinstance(size, str) else size for size in shape)
        return builder.input(name, TensorType(dtype, tuple(sizes)))

    q, k = operand("q", F32, ("n", 3, 10)), operand("k", F32, ("n", "s", 10))
    bias, mask = _ADDED[added]
    others = operand("bias", F32, bias), operand("mask", DType.BOOL, mask)
    (y,) = builder.emit(ops.Attention(0.4, is_causal, num_heads=2), q, k, k, *others)
    (y,) = builder.emit(ops.RmsNorm((-1,)), y)
    graph = builder.finish([("y", y)])
    rng = np.random.default_rng(0)
    arrays = {
        entry.name: rng.normal(size=entry.type.substitute(_SIZES).static_shape).astype("f")
        for entry in graph.inputs
    }
    if mask is not None:
        arrays["mask"] = arrays["mask"] > 0
        arrays["mask"][0] = False  # one that sees nothing
    expected = reference.run(graph, arrays)[0]["y"]
    assert export_graph(graph).opset_import[0].version == 23
    for opset, native in ((17, False), (23, True)):
        model = export_graph(graph, opset=opset)
        kinds = {node.op_type for node in model.graph.node}
        assert ({"Attention", "RMSNormalization"} <= kinds) is native
        for optimization in ("off", "all"):
            executable = OnnxRuntimeExecutable(model.SerializeToString(), optimization=optimization)
            np.testing.assert_allclose(executable.run(arrays)["y"], expected, 1e-5, 1e-6)


def test_attention_with_an_axis_of_heads_is_spelled_out() -> None:
    builder = Builder("attention")
    q = builder.input("q", TensorType(F32, (BATCH, 3, 2, 5)))
    model = export_graph(builder.finish([("y", builder.emit(ops.Attention(0.4), q, q, q)[0])]))
    assert (model.opset_import[0].version, "Attention" in op_types(model)) == (17, False)


def test_a_residual_before_a_layer_norm_is_a_sum() -> None:
    builder = Builder("residual")
    x, y = (builder.input(name, TensorType(F32, (BATCH, 3, 8))) for name in "ab")
    (total,) = builder.emit(ops.Add(), x, y)
    (norm,) = builder.emit(ops.LayerNorm((-1,)), total)
    graph = builder.finish([("y", builder.emit(ops.Add(), total, norm)[0])])
    model = export_graph(graph)
    assert [node.op_type for node in model.graph.node] == ["Sum", "LayerNormalization", "Add"]
    verify_model(graph, model)
