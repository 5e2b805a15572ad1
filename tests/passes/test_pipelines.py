"""Tests of pipelines, and of the passes working together."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager

import numpy as np
import pytest

from kcompile.ir import ops
from kcompile.ir.builder import Builder
from kcompile.ir.dims import symbol
from kcompile.ir.errors import PassError, SpecError
from kcompile.ir.graph import Graph, Role, Value
from kcompile.ir.ops.windows import CHANNELS_FIRST
from kcompile.ir.types import DType, TensorType
from kcompile.passes.eliminate_common_subexpressions import eliminate_common_subexpressions
from kcompile.passes.pipelines import (
    INFERENCE,
    ONNX,
    TRAINING,
    Insertion,
    Step,
    run_pipeline,
    step_names,
)
from kcompile.passes.push_transposes import num_transposes
from kcompile.passes.to_inference import to_inference
from tests.passes.helpers import Arrays, assert_same_numbers, graph_of, random_arrays

FLOAT = DType.FLOAT32


class Net:
    """Builds channels_last networks with Keras's layers."""

    def __init__(self) -> None:
        self.builder = Builder("net")
        self.rng = self.builder.input("rng", TensorType(DType.UINT32, (2,)), Role.RNG)
        self.count = 0

    def image(self, name: str, size: int, channels: int) -> Value:
        shape = (symbol("batch"), size, size, channels)
        return self.builder.input(name, TensorType(FLOAT, shape))

    def emit(self, op: ops.Op, *operands: Value | None) -> Value:
        return self.builder.emit(op, *operands)[0]

    def weight(self, name: str, *shape: int, role: Role = Role.PARAM) -> Value:
        path = f"{self.builder.source}/{name}"
        return self.builder.input(path, TensorType(FLOAT, shape), role)

    def scope(self, kind: str) -> AbstractContextManager[None]:
        self.count += 1
        return self.builder.scope(f"{kind}_{self.count}")

    def conv(self, x: Value, filters: int, size: int = 3, strides: int = 1) -> Value:
        with self.scope("conv"):
            kernel = self.weight("kernel", size, size, int(x.type.shape[-1]), filters)
            y = self.emit(ops.Conv((strides, strides), "same", (1, 1)), x, kernel)
            return self.emit(ops.Add(), y, self.weight("bias", filters))

    def batch_norm(self, x: Value) -> Value:
        channels = int(x.type.shape[-1])
        with self.scope("bn"):
            gamma, beta = self.weight("gamma", channels), self.weight("beta", channels)
            y, *batch = self.builder.emit(ops.BatchNormTraining(), x, gamma, beta)
            for name, value in zip(("mean", "variance"), batch, strict=True):
                state = self.weight(f"moving_{name}", channels, role=Role.STATE)
                old = self.emit(ops.Multiply(), state, self.builder.constant(np.float32(0.9)))
                new = self.emit(ops.Multiply(), value, self.builder.constant(np.float32(0.1)))
                self.builder.update(state, self.emit(ops.Add(), old, new))
            return y

    def dropout(self, x: Value) -> Value:
        with self.scope("dropout"):
            return self.emit(ops.Dropout(0.5, self.count), x, self.rng)

    def dense(self, x: Value, units: int) -> Value:
        with self.scope("dense"):
            y = self.emit(ops.Matmul(), x, self.weight("kernel", int(x.type.shape[-1]), units))
            return self.emit(ops.Add(), y, self.weight("bias", units))

    def relu(self, x: Value) -> Value:
        with self.scope("relu"):
            return self.emit(ops.Relu(), x)

    def residual_block(self, x: Value) -> Value:
        channels = int(x.type.shape[-1])
        y = self.relu(self.batch_norm(self.conv(x, channels)))
        y = self.batch_norm(self.conv(self.dropout(y), channels))
        return self.relu(self.emit(ops.Add(), y, x))

    def max_pool(self, x: Value) -> Value:
        return self.emit(ops.MaxPool((2, 2), (2, 2), "same"), x)

    def average(self, x: Value) -> Value:
        return self.emit(ops.ReduceMean((1, 2)), x)


def residual_net(num_blocks: int) -> Graph:
    """Stem, residual blocks, a branch to concatenate, pooling, and a dense head."""
    net = Net()
    x = net.relu(net.conv(net.image("x", 8, 3), 4))
    for _ in range(num_blocks):
        x = net.residual_block(x)
    x = net.emit(ops.Concatenate(-1), x, net.batch_norm(net.conv(x, 2, size=1)))
    x = net.average(net.max_pool(x))
    return net.builder.finish([("p", net.emit(ops.Softmax(), net.dense(x, 3)))])


def weights_of(graph: Graph, seed: int = 0) -> Arrays:
    names = {entry.name for entry in graph.inputs_with(Role.PARAM, Role.STATE)}
    return {name: a for name, a in random_arrays(graph, seed).items() if name in names}


def compiled(graph: Graph) -> Graph:
    """`graph` after the ONNX pipeline, with the same numbers as before."""
    arrays = random_arrays(graph)
    result = run_pipeline(graph, ONNX, arguments={"weights": weights_of(graph)}).graph
    inference = to_inference(graph)
    given = {entry.name: arrays[entry.name] for entry in inference.inputs}
    assert_same_numbers(inference, result, tolerance=2e-5, arrays=given)
    return result


def ops_in(graph: Graph) -> list[str]:
    return [node.op.name for node in graph.nodes if not isinstance(node.op, ops.Constant)]


def test_residual_net_has_one_transpose() -> None:
    graph = compiled(residual_net(2))
    names = ops_in(graph)
    assert names.count("transpose") == 1
    assert names[0] == "transpose"
    assert "batch_norm" not in names and "add" in names and "dropout" not in names
    for node in graph.nodes:
        if isinstance(node.op, ops.Conv):
            assert node.op.data_format == CHANNELS_FIRST
            assert len(node.inputs) == 3
    assert len(names) == 19


def test_weights_of_the_file_have_the_paths_of_the_model() -> None:
    graph = compiled(residual_net(1))
    names = [node.output.name for node in graph.nodes if isinstance(node.op, ops.Constant)]
    assert sorted(names) == sorted(
        f"{layer}/{kind}"
        for layer in ("conv_1", "conv_3", "conv_7", "conv_10", "dense_12")
        for kind in ("kernel", "bias")
    )


def test_two_images_have_one_transpose_each() -> None:
    net = Net()
    x, z = net.image("x", 8, 3), net.image("z", 8, 3)
    x = net.emit(ops.Multiply(), x, net.builder.constant(np.float32(1 / 255)))
    shared = [net.relu(net.conv(x, 4)), net.relu(net.conv(z, 4)), net.relu(net.conv(x, 4, size=1))]
    y = net.emit(ops.Concatenate(3), *shared)
    y = net.emit(ops.Add(), y, net.conv(net.dropout(y), 12))
    flat = net.emit(ops.Reshape((symbol("batch"), 12 * 16)), net.max_pool(y))
    graph = net.builder.finish([("p", net.dense(flat, 3)), ("q", net.dense(net.average(y), 2))])
    names = ops_in(compiled(graph))
    # One for each image; the one before the flatten is in the order of the weights behind it.
    assert names.count("transpose") == 2


def test_flatten_of_single_pixels_needs_no_transpose() -> None:
    net = Net()
    x = net.conv(net.image("x", 2, 3), 4)
    x = net.emit(ops.MaxPool((2, 2), (2, 2), ((0, 0), (0, 0))), x)
    flat = net.emit(ops.Reshape((symbol("batch"), 4)), x)
    graph = compiled(net.builder.finish([("p", net.dense(flat, 3))]))
    assert ops_in(graph) == ["transpose", "conv", "max_pool", "reshape", "linear"]


def test_squeeze_and_excite_has_no_inner_transpose() -> None:
    net = Net()
    x = net.relu(net.conv(net.image("x", 8, 3), 4))
    gate = net.emit(ops.Sigmoid(), net.dense(net.average(x), 4))
    gate = net.emit(ops.Reshape((symbol("batch"), 1, 1, 4)), gate)
    x = net.emit(ops.Multiply(), x, gate)
    graph = compiled(net.builder.finish([("y", net.average(net.conv(x, 2)))]))
    assert num_transposes(graph) == 1
    assert ops_in(graph).count("reshape") == 1


def test_preactivation_and_normalized_input() -> None:
    net = Net()
    x = net.batch_norm(net.image("x", 8, 3))
    x = net.conv(net.relu(net.batch_norm(net.conv(x, 4))), 4)
    graph = compiled(net.builder.finish([("y", x)]))
    # The first normalization stays: the convolution behind it pads.
    assert ops_in(graph) == ["transpose", "batch_norm", "conv", "relu", "conv", "transpose"]


def test_a_normalization_away_from_convolutions_is_arithmetic() -> None:
    net = Net()
    x = net.builder.input("x", TensorType(FLOAT, (symbol("batch"), symbol("time"), 3)))
    x = net.relu(net.batch_norm(net.relu(net.dense(x, 4))))
    graph = compiled(net.builder.finish([("y", x)]))
    assert ops_in(graph) == ["linear", "relu", "multiply", "add", "relu"]


def test_the_pipeline_is_repeatable_and_idempotent() -> None:
    graph = residual_net(1)
    arguments = {"weights": weights_of(graph)}
    first = run_pipeline(graph, ONNX, arguments=arguments)
    assert run_pipeline(graph, ONNX, arguments=arguments) == first
    again = run_pipeline(first.graph, ONNX, arguments=arguments)
    assert again.graph == first.graph
    assert all(entry.changes == () for entry in again.log)


def test_a_large_graph_takes_linear_time() -> None:
    seconds = []
    for num_blocks in (5, 20):
        graph = residual_net(num_blocks)
        weights = weights_of(graph)
        start = time.process_time()
        run_pipeline(graph, ONNX, arguments={"weights": weights})
        seconds.append(time.process_time() - start)
    assert seconds[1] < 12 * seconds[0]


def test_sizes_are_specialized_when_they_are_given() -> None:
    graph = residual_net(1)
    arguments = {"weights": weights_of(graph), "sizes": {"batch": 3}}
    result = run_pipeline(graph, ONNX, arguments=arguments)
    assert result.graph.symbols == ()
    assert [entry.name for entry in result.log][:3] == [
        "to_inference",
        "specialize",
        "bind_weights",
    ]
    names = [entry.name for entry in run_pipeline(graph, ONNX).log]
    assert "specialize" not in names and "bind_weights" not in names


def test_weights_may_stay_arguments() -> None:
    graph = residual_net(1)
    result = run_pipeline(graph, ONNX).graph
    arrays = random_arrays(graph)
    inference = to_inference(graph)
    given = {entry.name: arrays[entry.name] for entry in inference.inputs}
    assert_same_numbers(inference, result, tolerance=2e-5, arrays=given)
    assert num_transposes(result) == 1


def test_inference_freezes_and_shares() -> None:
    graph = residual_net(1)
    names = ops_in(run_pipeline(graph, INFERENCE).graph)
    assert names.count("batch_norm") == 3
    assert "dropout" not in names and "batch_norm_training" not in names


def test_training_takes_the_loss_from_logits() -> None:
    graph = graph_of("""
        data %x : f32[batch,4]
        data %labels : i32[batch]
        %p : f32[batch,4] = softmax(%x)
        %l : f32[batch] = sparse_categorical_crossentropy(%labels, %p)
        output "p" = %p
        output "loss" = %l
        """)
    result = run_pipeline(graph, TRAINING)
    assert result.log[0].changes == (("crossentropy_of_softmax", 1),)
    assert_same_numbers(graph, result.graph, tolerance=1e-6)


# The runner

SMALL = """
    data %x : f32[batch]
    %a : f32[batch] = relu(%x)
    %b : f32[batch] = relu(%x)
    %c : f32[batch] = add(%a, %b)
    output "y" = %c
    """


def test_every_step_has_a_reason_and_a_name_of_its_own() -> None:
    for pipeline in (TRAINING, INFERENCE, ONNX):
        names = step_names(pipeline)
        assert len(set(names)) == len(names)
        assert all(step.reason for step in pipeline)


def test_the_log_says_what_happened() -> None:
    log = run_pipeline(graph_of(SMALL), INFERENCE).log
    assert [(e.name, e.num_nodes_before, e.num_nodes_after) for e in log] == [
        ("to_inference", 3, 2),
        ("eliminate_common_subexpressions", 2, 2),
    ]
    assert all(entry.seconds >= 0 for entry in log)


def test_refusals_are_in_the_log() -> None:
    graph = graph_of("""
        data %x : f32[batch]
        %zero : f32[] = constant() {value=f32[]<0.0>}
        %a : f32[batch] = add(%x, %zero)
        output "y" = %a
        """)
    log = run_pipeline(graph, ONNX, stop_after="eliminate_identities").log
    (refusal,) = log[-1].refusals
    assert (refusal.rule, refusal.node) == ("add_zero", "a")


def test_stops_after_a_named_pass() -> None:
    graph = residual_net(1)
    names = [e.name for e in run_pipeline(graph, ONNX, stop_after="fold_constants:2").log]
    assert names[-1] == "fold_constants:2"
    assert "push_transposes" not in names


def test_a_pass_of_the_users_runs_in_its_place() -> None:
    seen: list[int] = []

    def look(graph: Graph) -> Graph:
        seen.append(len(graph.nodes))
        return graph

    extra = [
        Insertion(look, before="to_inference"),
        Insertion(look, after="eliminate_common_subexpressions"),
    ]
    log = run_pipeline(graph_of(SMALL), INFERENCE, extra=extra).log
    names = ["look", "to_inference", "eliminate_common_subexpressions", "look"]
    assert [entry.name for entry in log] == names
    assert seen == [3, 2]


def test_unknown_places_are_refused() -> None:
    graph = graph_of(SMALL)
    with pytest.raises(SpecError, match="no pass is named 'nothing'.*to_inference"):
        run_pipeline(graph, INFERENCE, stop_after="nothing")
    with pytest.raises(SpecError, match="no pass is named 'nothing'"):
        run_pipeline(graph, INFERENCE, extra=[Insertion(to_inference, before="nothing")])
    with pytest.raises(SpecError, match="either 'before' or 'after'"):
        run_pipeline(graph, INFERENCE, extra=[Insertion(to_inference)])


def test_a_failing_pass_is_named_with_what_came_before() -> None:
    def fail(graph: Graph) -> Graph:
        raise ZeroDivisionError("by design")

    graph = graph_of(SMALL)
    extra = [Insertion(fail, after="to_inference")]
    with pytest.raises(PassError, match="pass 'fail': by design") as caught:
        run_pipeline(graph, INFERENCE, extra=extra)
    error = caught.value
    assert (error.pass_name, error.passes_before) == ("fail", ("to_inference",))
    assert error.graph == eliminate_common_subexpressions(graph)
    assert isinstance(error.__cause__, ZeroDivisionError)


def test_a_pass_keeps_the_calling_convention() -> None:
    other = graph_of('data %z : f32[batch]\noutput "y" = %z')
    renamed = graph_of('data %x : f32[batch]\noutput "z" = %x')
    graph = graph_of(SMALL)
    for result, message in (
        (other, "data inputs"),
        (renamed, "the outputs"),
        (None, "it returned NoneType"),
    ):
        with pytest.raises(PassError, match=message):
            run_pipeline(graph, (Step(lambda g, r=result: r, "to fail"),))


def test_missing_weights_are_a_pass_error() -> None:
    with pytest.raises(PassError, match="pass 'bind_weights': .*no weights for conv_1/kernel"):
        run_pipeline(residual_net(1), ONNX, arguments={"weights": {}})
