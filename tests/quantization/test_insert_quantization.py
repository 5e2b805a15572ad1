"""Where integers go, and that onnxruntime finds them there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import kcompile
from kcompile.ir import ops
from kcompile.ir.errors import SpecError
from kcompile.ir.graph import Graph
from kcompile.ir.ops import Constant
from kcompile.passes.equalize_layers import equalize_layers
from kcompile.passes.insert_quantization import (
    insert_quantization,
    plan_quantization,
    quantize_weight,
)
from kcompile.quantization.calibration import calibrate
from kcompile.quantization.data import Rows
from kcompile.runtimes import reference
from kcompile.runtimes.onnx import export_graph
from tests.quantization.models import convolutional, images, optimized_ops, tokens, transformer


@pytest.fixture(scope="module")
def network() -> Graph:
    return kcompile.compile(convolutional(), verify=False).graph


def _quantized(graph: Graph, data: np.ndarray, **options: object) -> Graph:
    found = calibrate(graph, plan_quantization(graph), Rows(graph, data, "data"))
    return insert_quantization(graph, found.parameters, **options)


def test_a_convolutional_network_runs_on_integers(network: Graph, tmp_path: Path) -> None:
    model = export_graph(_quantized(network, images())).SerializeToString()
    found = optimized_ops(model, tmp_path / "optimized.onnx")
    assert found["QLinearConv"] == 5
    assert found["QLinearAdd"] == found["QLinearConcat"] == found["QGemm"] == 1
    assert found["MaxPool"] + found["NhwcMaxPool"] == 1
    assert found["Conv"] == found["Relu"] == found["Clip"] == found["Add"] == found["Gemm"] == 0
    # the image; the mean goes through floats
    assert found["QuantizeLinear"] == 2 and found["DequantizeLinear"] == 1


def test_a_transformer_multiplies_integers_and_normalizes_floats(tmp_path: Path) -> None:
    graph = kcompile.compile(transformer(), verify=False).graph
    model = export_graph(_quantized(graph, tokens())).SerializeToString()
    found = optimized_ops(model, tmp_path / "optimized.onnx")
    products = len(plan_quantization(graph).products)
    assert products >= 5
    assert found["MatMulIntegerToFloat"] + found["QGemm"] == products
    assert found["DequantizeLinear"] == 0


def test_all_references_and_a_relu_share_the_integers_of_their_value(network: Graph) -> None:
    plan = plan_quantization(network)
    by_source = {node.source: node.outputs[0].name for node in network.nodes}
    assert {by_source["stem_relu"], by_source["six"], by_source["logits"]} & plan.held == {
        by_source["stem_relu"],
        by_source["six"],
    }
    assert by_source["depthwise"] not in plan.held
    assert plan.ranges[by_source["pooled"]] == by_source["added_relu"]


@pytest.mark.parametrize("layer", ["inner", "depthwise", "joined", "logits", "added"])
def test_excluded_layers_keep_floats(network: Graph, layer: str) -> None:
    graph = _quantized(network, images(), exclude=[layer])
    producers = graph.producers
    (node,) = (n for n in graph.nodes if n.source == layer and not isinstance(n.op, Constant))
    assert not any(
        isinstance(producers[value.name].op, ops.Dequantize)
        for value in node.inputs[1:]
        if value is not None and isinstance(node.op, ops.Conv | ops.Linear)
    )
    others = [n for n in graph.nodes if isinstance(n.op, ops.Conv) and n.source != layer]
    assert all(isinstance(producers[n.inputs[1].name].op, ops.Dequantize) for n in others)


def test_with_everything_excluded_nothing_changes(network: Graph) -> None:
    layers = {node.source for node in network.nodes if node.source}
    assert _quantized(network, images(), exclude=layers) is network


def test_integers_are_near_the_floats(network: Graph) -> None:
    data = images(8)
    expected = reference.run(network, {"image": data})[0]["logits"]
    graph = _quantized(network, data)
    actual = reference.run(graph, {"image": data})[0]["logits"]
    assert 0 < np.abs(actual - expected).max() < 0.03 * np.abs(expected).max()


def test_corrected_biases_bring_the_mean_back(network: Graph) -> None:
    """Of the last layer, whose input's mean is known; the weights have few bits here."""
    rng = np.random.default_rng(0)
    builder = kcompile.ir.builder.Builder("one")
    f32 = kcompile.ir.types.DType.FLOAT32
    x = builder.input("x", kcompile.ir.types.TensorType(f32, (64, 16)))
    weight = rng.standard_normal((16, 3)).astype(np.float32)
    weight[0] *= 60  # all other weights have few steps
    operands = (x, builder.constant(weight, "w"), builder.constant(np.zeros(3, np.float32), "b"))
    graph = builder.finish([("y", builder.emit(ops.Linear(), *operands)[0])])
    data = rng.uniform(0, 1, (64, 16)).astype(np.float32)
    found = calibrate(graph, plan_quantization(graph), Rows(graph, data, "data"))
    expected = reference.run(graph, {"x": data})[0]["y"].mean(axis=0)
    errors = []
    for means in ({}, found.means):
        quantized = insert_quantization(graph, found.parameters, means=means)
        mean = reference.run(quantized, {"x": data})[0]["y"].mean(axis=0)
        errors.append(np.abs(mean - expected).max())
    assert errors[1] < errors[0] / 5


def test_parameters_that_are_missing_are_named(network: Graph) -> None:
    with pytest.raises(SpecError, match="there are no scale and zero point of %image"):
        insert_quantization(network, {})


@pytest.mark.parametrize("limit", [127, 64])
def test_weights_use_the_whole_range_and_zero_is_exact(limit: int) -> None:
    array = np.random.default_rng(0).standard_normal((4, 3, 2)).astype(np.float32)
    array[1] = 0
    array[2, 0] = 0
    q, scale = quantize_weight(array, 0, limit)
    assert np.abs(q).max(axis=(1, 2)).tolist() == [limit, 0, limit, limit]
    assert scale[1] == 1
    restored = q * scale[:, None, None]
    assert np.abs(restored - array).max() <= 0.5001 * scale.max()
    assert (restored[array == 0] == 0).all()


def test_equalized_layers_compute_the_same() -> None:
    kcompile.utils.set_random_seed(0)
    x = kcompile.layers.Input((6, 6, 3), name="x")
    h = kcompile.layers.Conv2D(4, 3, activation="relu", name="a")(x)
    h = kcompile.layers.DepthwiseConv2D(3, name="b")(h)
    h = kcompile.layers.Conv2D(5, 1, activation="relu", name="c")(h)
    model = kcompile.Model(x, h)
    kernel = model.get_layer("a").kernel
    kernel.assign(np.asarray(kernel) * np.float32([1, 50, 0.01, 1]))
    graph = kcompile.compile(model, verify=False).graph
    equal = equalize_layers(graph)
    data = np.random.default_rng(0).standard_normal((3, 6, 6, 3), np.float32)
    before, after = (reference.run(g, {"x": data})[0]["c"] for g in (graph, equal))
    np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-5)
    ranges = []
    for g in (graph, equal):
        (conv,) = (n for n in g.nodes if n.source == "a" and isinstance(n.op, ops.Conv))
        weight = g.producers[conv.inputs[1].name].op.value.array
        ranges.append(np.abs(weight).max(axis=(1, 2, 3)))
    assert ranges[1].max() / ranges[1].min() < 0.1 * ranges[0].max() / ranges[0].min()
