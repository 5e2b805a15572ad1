"""Tests of the forms of ops that are chosen by what onnxruntime runs faster."""

import numpy as np
import pytest

from kcompile.ir import ops
from kcompile.ir.builder import Builder
from kcompile.ir.dims import symbol
from kcompile.ir.graph import Graph
from kcompile.ir.types import DType, TensorType
from kcompile.runtimes.onnx import export_graph, forms
from kcompile.runtimes.onnx.export import export_file
from kcompile.runtimes.onnxruntime import verify_model

BATCH = symbol("batch")
RNG = np.random.default_rng(0)


def normalized(op: ops.LayerNorm | ops.RmsNorm | ops.GroupNorm, residual: bool = False) -> Graph:
    builder = Builder("normalized")
    x = builder.input("x", TensorType(DType.FLOAT32, (BATCH, 6, 4)))
    y = builder.emit(ops.Add(), x, builder.emit(ops.Tanh(), x)[0])[0] if residual else x
    size = 6 if isinstance(op, ops.GroupNorm) else 4
    weights = [builder.constant(RNG.normal(size=size).astype(np.float32)) for _ in range(2)]
    count = 1 if isinstance(op, ops.RmsNorm) else 2
    return builder.finish([("y", builder.emit(op, y, *weights[:count])[0])])


def test_a_release_between_those_measured_goes_by_the_one_before() -> None:
    form = forms.Form(17, {20: 0.5, 24: 2.0})
    assert [form.is_faster(release) for release in (15, 20, 23, 24, 99, None)] == [
        *(False, False, False, True, True, True)
    ]


def test_a_file_of_a_lower_opset_has_not_the_op() -> None:
    choice = forms.choose("Attention", 22)
    assert not choice.is_taken
    assert choice.reason == "is in opset 23 and later, the file is of 22"


@pytest.mark.parametrize(("release", "op_type"), [(24, "Add"), (32, "Sum"), (None, "Sum")])
def test_a_residual_before_a_layer_norm(release: int | None, op_type: str) -> None:
    graph = normalized(ops.LayerNorm((-1,)), residual=True)
    file = export_file(graph, release=release)
    model = file.to_model()
    assert [node.op_type for node in model.graph.node] == ["Tanh", op_type, "LayerNormalization"]
    assert {choice.form for choice in file.choices} == {"Sum", "LayerNormalization"}
    verify_model(graph, model)


@pytest.mark.parametrize(
    ("name", "op"),
    [
        ("GroupNormalization", ops.GroupNorm(groups=3, axis=1, epsilon=1e-2)),
        ("LayerNormalization", ops.LayerNorm((-1,), epsilon=1e-2)),
        ("RMSNormalization", ops.RmsNorm((-1,), epsilon=1e-2)),
    ],
)
@pytest.mark.parametrize("is_faster", [False, True])
def test_both_forms_compute_the_same(
    name: str, op: ops.LayerNorm, is_faster: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was measured: the numbers may change with the next release."""
    opset = forms.FORMS[name].opset
    speed = 2.0 if is_faster else 0.5
    monkeypatch.setitem(forms.FORMS, name, forms.Form(opset, {32: speed}))
    graph = normalized(op)
    model = export_graph(graph, opset=opset)
    assert (name in {node.op_type for node in model.graph.node}) is is_faster
    verify_model(graph, model)
