"""Passes that are held to what the graph computes, one by one."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

import kcompile
from kcompile import layers
from kcompile.compiler import Executable
from kcompile.ir import ops
from kcompile.ir.builder import Builder
from kcompile.ir.errors import PassError
from kcompile.ir.graph import Graph, Node, Value
from kcompile.ir.types import DType, TensorType
from kcompile.passes import fold_batch_norm as folding
from kcompile.passes.pattern import ANY, CONSTANT, Match, P, apply_rules, rule
from kcompile.passes.pipelines import INFERENCE, ONNX, TRAINING, Insertion, run_pipeline
from kcompile.passes.rebuild import Operands, Rebuild, rebuild
from kcompile.runtimes.onnxruntime.translation import PassCheck
from tests.passes.test_pipelines import residual_net, weights_of

TARGETS = ("onnx", "xla", "reference")


@pytest.fixture(scope="module")
def model() -> Any:
    kcompile.utils.set_random_seed(0)
    x = layers.Input((6, 6, 2), name="image")
    y = layers.Conv2D(3, 3, use_bias=False, name="conv")(x)
    y = layers.BatchNormalization(epsilon=0.1, name="norm")(y)
    y = layers.Dropout(0.5)(layers.ReLU(name="relu")(y))
    model = kcompile.Model(x, layers.Dense(3, name="dense")(layers.Flatten()(y)))
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.5, 2, w.shape).astype("f") for w in model.get_weights()])
    return model


def compiled(model: Any, target: str = "onnx", *passes: Insertion) -> Executable:
    return kcompile.compile(model, target, passes=passes, verify=False, check_passes=True)


def negate_kernels(graph: Graph) -> Graph:
    """Wrong, where there are no weights among the constants too."""

    def transform(node: Node, operands: Operands, new: Rebuild) -> tuple[Value, ...] | None:
        if not isinstance(node.op, ops.Conv):
            return None
        kept = new.keep(node, operands)
        return new.emit(ops.Negative(), *kept, source=node.source)

    return rebuild(graph, transform)


@pytest.mark.parametrize("target", TARGETS)
def test_right_passes_pass(model: Any, target: str) -> None:
    executable = compiled(model, target)
    assert executable.log == kcompile.compile(model, target).log


@pytest.mark.parametrize("target", TARGETS)
def test_a_wrong_pass_of_the_user_is_named(model: Any, target: str) -> None:
    """Before and after the weights are bound."""
    for beside in ("bind_weights", "fuse_bias") if target == "onnx" else ("to_inference",):
        with pytest.raises(PassError, match="output 'dense': it differs by ") as caught:
            compiled(model, target, Insertion(negate_kernels, after=beside))
        assert caught.value.pass_name == "negate_kernels"
        assert beside in caught.value.passes_before


def test_the_first_value_to_differ_is_named(model: Any) -> None:
    def lose_bias(graph: Graph) -> Graph:
        @rule(P(ops.Linear, ANY("x"), CONSTANT("w"), CONSTANT("b")))
        def without(match: Match) -> Value:
            """`x w + b` is not `x w`."""
            return match.emit(ops.Matmul(), match.value("x"), match.value("w"), name="less")

        return apply_rules(graph, [without])

    def double_relu(graph: Graph) -> Graph:
        def transform(node: Node, operands: Operands, new: Rebuild) -> tuple[Value, ...] | None:
            if isinstance(node.op, ops.Relu):
                (y,) = new.keep(node, operands, ops.LeakyRelu(0.5))
                return (y,)
            return None

        return rebuild(graph, transform)

    with pytest.raises(PassError, match="output 'dense'") as caught:
        compiled(model, "onnx", Insertion(lose_bias, after="fuse_bias"))
    assert "first value" not in str(caught.value)  # it has a new name
    with pytest.raises(PassError, match="The first value to differ is %relu:relu, of layer 'relu'"):
        compiled(model, "onnx", Insertion(double_relu, after="to_inference"))


def test_a_wrong_pass_of_ours_is_named(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = folding.scale_and_shift

    def without_epsilon(match: Match, *arguments: Any) -> tuple[Value, Value]:
        norm = match.node("norm")
        match.nodes["norm"] = dataclasses.replace(norm, op=ops.BatchNorm(norm.op.axis, 1e-7))
        return exact(match, *arguments)

    monkeypatch.setattr(folding, "scale_and_shift", without_epsilon)
    with pytest.raises(PassError, match="^pass 'fold_batch_norm': output 'dense': it differs by"):
        compiled(model)
    kcompile.compile(model, verify=False)


@pytest.mark.parametrize("pipeline", [TRAINING, INFERENCE, ONNX])
def test_every_pipeline_of_a_training_graph(pipeline: Any) -> None:
    """`to_inference` changes what such a graph computes, and nothing after it does."""
    graph = residual_net(1)
    weights = weights_of(graph)
    weights |= {name: abs(array) for name, array in weights.items() if "variance" in name}
    check = PassCheck(graph, weights)
    result = run_pipeline(graph, pipeline, arguments={"weights": weights}, check=check)
    assert result.log == run_pipeline(graph, pipeline, arguments={"weights": weights}).log


def test_next_states_are_compared() -> None:
    builder = Builder("counter")
    kind = TensorType(DType.FLOAT32, (2,))
    state = builder.input("count", kind, kcompile.ir.graph.Role.STATE)
    one = builder.constant(np.float32(1), "one")
    builder.update(state, builder.emit(ops.Add(), state, one)[0])
    graph = builder.finish([("old", builder.emit(ops.Negative(), state)[0])])

    def subtract(graph: Graph) -> Graph:
        def transform(node: Node, operands: Operands, new: Rebuild) -> tuple[Value, ...] | None:
            return new.emit(ops.Subtract(), *operands) if isinstance(node.op, ops.Add) else None

        return rebuild(graph, transform)

    insertion = Insertion(subtract, before="fuse_softmax_crossentropy")
    with pytest.raises(PassError, match="next %count: it differs by 2"):
        run_pipeline(graph, TRAINING, extra=[insertion], check=PassCheck(graph, {}))


def test_sizes_that_a_pass_puts_in() -> None:
    builder = Builder("open")
    x = builder.input("x", TensorType(DType.FLOAT32, (kcompile.ir.dims.symbol("batch"), 2)))
    graph = builder.finish([("y", builder.emit(ops.Negative(), x)[0])])
    arguments = {"weights": {}, "sizes": {"batch": 5}}
    check = PassCheck(graph, {}, arguments["sizes"])
    result = run_pipeline(graph, ONNX, arguments=arguments, check=check).graph
    assert result.inputs[0].type.shape == (5, 2)


def test_rounding_that_is_magnified_is_no_mistake_of_a_pass() -> None:
    builder = Builder("magnifying")
    x = builder.input("x", TensorType(DType.FLOAT32, (4, 40)))
    numbers = [builder.constant(np.float32(number)) for number in (0.1, 7.3, 10_000.0)]
    y = builder.emit(ops.Multiply(), builder.emit(ops.Multiply(), x, numbers[0])[0], numbers[1])[0]
    y = builder.emit(ops.Subtract(), builder.emit(ops.Add(), y, numbers[2])[0], numbers[2])[0]
    graph = builder.finish([("y", y)])
    executable = kcompile.compile(graph, check_passes=True)
    changes = [change for entry in executable.log for change, _ in entry.changes]
    assert "product_of_product" in changes
