"""Builders, the verifier's invariants, and the text form."""

from __future__ import annotations

import numpy as np
import pytest

from kcompile.ir import ops
from kcompile.ir.builder import Builder
from kcompile.ir.dims import maximum, symbol
from kcompile.ir.errors import ParseError, ShapeError, SpecError, VerifyError
from kcompile.ir.graph import Graph, Input, Node, Output, Role, Update, Value
from kcompile.ir.parser import parse_graph
from kcompile.ir.printer import print_graph
from kcompile.ir.types import DType, TensorType

B, T = symbol("batch"), symbol("time")
F32 = DType.FLOAT32


def f32(*shape: object) -> TensorType:
    return TensorType(F32, shape)  # type: ignore[arg-type]


X = Value("x", f32(B, 4))
Y = Value("y", f32(B, 4))
S = Value("s", f32(4))
IN = Input(X, Role.DATA)
STATE = Input(S, Role.STATE)
RELU = Node(ops.Relu(), (X,), (Y,))
OUT = Output("out", Y)


def dense_graph() -> Graph:
    builder = Builder("mlp")
    x = builder.input("x", f32(B, 4))
    w = builder.input("fc/kernel", f32(4, 3), Role.PARAM)
    with builder.scope("fc"):
        (y,) = builder.emit(ops.Matmul(), x, w)
        (y,) = builder.emit(ops.Relu(), y)
    return builder.finish([("scores", y)])


def test_building() -> None:
    graph = dense_graph()
    assert print_graph(graph) == (
        "graph @mlp {\n"
        "  data %x : f32[batch,4]\n"
        "  param %fc/kernel : f32[4,3]\n"
        '  %fc:matmul : f32[batch,3] = matmul(%x, %fc/kernel) @"fc"\n'
        '  %fc:relu : f32[batch,3] = relu(%fc:matmul) @"fc"\n'
        '  output "scores" = %fc:relu\n'
        "}\n"
    )
    assert graph.producers["fc:relu"].op == ops.Relu()
    assert graph.uses == {"x": 1, "fc/kernel": 1, "fc:matmul": 1, "fc:relu": 1}
    assert graph.symbols == ("batch",)


def test_equal_values_are_one_and_dead_ones_are_left_out() -> None:
    builder = Builder("g")
    x = builder.input("x", f32(B, 4))
    unused = builder.input("unused/kernel", f32(4), Role.PARAM)
    (a,) = builder.emit(ops.Relu(), x)
    (b,) = builder.emit(ops.Relu(), x)
    builder.emit(ops.Add(), a, unused)
    (c,) = builder.emit(ops.Add(), a, b)
    assert a is b
    graph = builder.finish([("out", c)])
    assert [node.op.name for node in graph.nodes] == ["relu", "add"]
    assert [entry.name for entry in graph.inputs] == ["x"]


def test_updates_follow_each_other() -> None:
    builder = Builder("g")
    state = builder.input("s", f32(4), Role.STATE)
    for _ in range(2):
        (value,) = builder.emit(ops.Add(), builder.updated(state), builder.constant(np.float32(1)))
        builder.update(state, value)
    graph = builder.finish([])
    assert len(graph.nodes) == 3
    assert graph.updates[0].value is graph.nodes[-1].output


def test_errors_name_layer_rule_and_types() -> None:
    builder = Builder("g")
    x = builder.input("x", f32(B, 4))
    w = builder.input("fc1/kernel", f32(5, 8), Role.PARAM)
    with builder.scope("fc1"), pytest.raises(ShapeError) as caught:
        builder.emit(ops.Linear(), x, w)
    assert str(caught.value) == (
        "layer 'fc1': linear: needs w with 4 rows; got x f32[batch,4], w f32[5,8]"
    )


def test_an_input_has_one_type() -> None:
    builder = Builder("g")
    first = builder.input("x", f32(B, 4))
    assert builder.input("x", f32(B, 4)) is first
    with pytest.raises(SpecError, match="cannot be"):
        builder.input("x", f32(B, 5))


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (lambda: Graph("g", (IN, IN), (RELU,), (OUT,)), "defined twice"),
        (lambda: Graph("g", (Input(Value("a\nb", f32(B)), Role.DATA),), (), ()), "not a name"),
        (lambda: Graph("g", (IN,), (RELU,), (OUT, OUT)), "two outputs are named"),
        (lambda: Graph("g", (IN,), (RELU,), (Output("", Y),)), "not a name for an output"),
        (lambda: Graph("g", (Input(X, Role.PARAM),), (RELU,), (OUT,)), "needs a fixed shape"),
        (lambda: Graph("g", (IN, Input(S, Role.RNG)), (RELU,), (OUT,)), "needs the type u32"),
        (
            lambda: Graph("g", (Input(Value("x", f32(2 * T)), Role.DATA),), (), ()),
            "no input has an axis of size time on its own",
        ),
        (
            lambda: Graph(
                "g",
                (IN,),
                (Node(ops.Iota(T), (), (Value("i", TensorType(DType.INT32, (T,))),)),),
                (),
            ),
            "no input determines the symbol time",
        ),
        (lambda: Graph("g", (), (RELU,), (OUT,)), "is not defined before it"),
        (
            lambda: Graph("g", (Input(Value("x", f32(B, 5)), Role.DATA),), (RELU,), (OUT,)),
            "is defined as",
        ),
        (
            lambda: Graph("g", (IN,), (Node(ops.Matmul(), (X, X), (Y,)),), (OUT,)),
            "the operands do not fit",
        ),
        (
            lambda: Graph("g", (IN,), (Node(ops.Relu(), (X, X), (Y,)),), (OUT,)),
            "got 2 operands",
        ),
        (
            lambda: Graph("g", (IN,), (Node(ops.Relu(), (X,), (S,)),), (Output("out", S),)),
            "the op infers",
        ),
        (lambda: Graph("g", (IN,), (), ()), "neither outputs nor updates"),
        (lambda: Graph("g", (IN,), (), (OUT,)), "is not defined"),
        (lambda: Graph("g", (IN,), (), (), (Update(X, X),)), "not a state input"),
        (lambda: Graph("g", (STATE,), (), (), (Update(S, S), Update(S, S))), "two updates"),
        (lambda: Graph("g", (STATE, IN), (), (), (Update(S, X),)), "the state is f32"),
    ],
)
def test_malformed_graphs_cannot_be_made(graph: object, message: str) -> None:
    with pytest.raises(VerifyError, match=message):
        graph()  # type: ignore[operator]


def everything_graph() -> Graph:
    """Every kind of attribute, role and name."""
    builder = Builder("every thing")
    x = builder.input("in put", f32(B, T, 3))
    state = builder.input("bn/mean", f32(3), Role.STATE)
    rng = builder.input("rng", TensorType(DType.UINT32, (2,)), Role.RNG)
    values = builder.constant(np.array([1.5, -np.inf, np.nan], np.float32))
    (y,) = builder.emit(ops.Add(), x, values)
    (y,) = builder.emit(ops.Dropout(0.1, 5, (B, 1, 3), True), y, rng)
    (y, mean, _) = builder.emit(ops.BatchNormTraining(), y, None, state)
    builder.update(state, mean)
    (y,) = builder.emit(ops.Clip(-np.inf, 6.0), y)
    (z,) = builder.emit(ops.Reshape((B, 3 * T)), y)
    (z,) = builder.emit(ops.Cast(DType.INT32), z)
    (n,) = builder.emit(ops.DimSize(maximum((T - 1) // 2, 4), DType.INT64))
    with builder.scope("la yer"):
        (c,) = builder.emit(
            ops.Conv((2,), "same", (1,)), y, builder.constant(np.ones((40, 3, 2), np.float32))
        )
    words = builder.constant(np.array(['a "quoted" word', "b"], object))
    truth = builder.constant(np.array([True, False]))
    return builder.finish([("z", z), ("n n", n), ("c", c), ("words", words), ("truth", truth)])


@pytest.mark.parametrize("make", [dense_graph, everything_graph])
def test_text_round_trips(make: object) -> None:
    graph = make()  # type: ignore[operator]
    literals = {
        node.op.value.digest: node.op.value
        for node in graph.nodes
        if isinstance(node.op, ops.Constant)
    }
    text = print_graph(graph)
    again = parse_graph(text, literals)
    assert again == graph
    assert print_graph(again) == text


def test_big_constants_are_asked_for() -> None:
    text = print_graph(everything_graph())
    with pytest.raises(ParseError, match="is not in the text"):
        parse_graph(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: expected 'graph', got the end"),
        ("graph @g {", "line 1: expected '}'"),
        ("graph @g {\n data %x : f33[2]\n}", "line 2: expected an element type, got f33"),
        ("graph @g {\n data %x : f32[2]\n %y : f32[2] = rilu(%x)\n}", "line 3: expected an op"),
        ("graph @g {\n %y : f32[2] = relu(%x)\n}", "line 2: the value %x is not defined"),
        ('graph @g {\n data %x : f32[2]\n output "o" = %y\n}', "line 3: the value %y"),
        ("graph @g {\n %y : i32[2] = iota() {sze=2}\n}", "an attribute of iota"),
        ("graph @g {\n %y : i32[2] = iota() {size=2, size=2}\n}", "an attribute of iota"),
        ("graph @g {\n %y : i32[2] = iota()\n}", "iota: .*size"),
        ('graph @g {\n data %x : f32[2]\n output "o" = %x\n}\n}', "expected the end"),
        ("graph @g { ; }", "is not part of the text form"),
    ],
)
def test_parse_errors_name_the_line(text: str, message: str) -> None:
    with pytest.raises(ParseError, match=message):
        parse_graph(text)


def test_parsed_graphs_are_verified() -> None:
    text = 'graph @g {\n data %x : f32[2]\n %y : f32[3] = relu(%x)\n output "o" = %y\n}'
    with pytest.raises(VerifyError, match="the op infers"):
        parse_graph(text)


def test_optional_operands() -> None:
    text = (
        "graph @g {\n"
        "  data %x : f32[batch,3]\n"
        "  data %b : f32[3]\n"
        "  %y : f32[batch,3], %m : f32[3], %v : f32[3] = batch_norm_training(%x, _, %b)\n"
        '  output "y" = %y\n'
        "}\n"
    )
    assert print_graph(parse_graph(text)) == text
