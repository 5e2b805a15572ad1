"""Tests of patterns and rules."""

import pytest

from kcompile.ir.errors import VerifyError
from kcompile.ir.graph import Graph, Value
from kcompile.ir.ops import Add, Exp, Multiply, Negative, Relu, Sigmoid, Softmax, Tanh
from kcompile.passes import pattern
from kcompile.passes.journal import recording
from kcompile.passes.pattern import ANY, CONSTANT, Match, P, Refused, apply_rules, rule
from tests.passes.helpers import graph_of

TWO = "%two : f32[] = constant() {value=f32[]<2.0>}"


def ops_of(graph: Graph) -> list[str]:
    return [node.op.name for node in graph.nodes]


@rule(P(Relu, P(Relu, ANY("x"))))
def once(match: Match) -> Value:
    """`relu(relu(x)) = relu(x)`."""
    return match.emit(Relu(), match.value("x"))


def test_a_rule_has_its_equation() -> None:
    assert (once.name, once.equation) == ("once", "`relu(relu(x)) = relu(x)`.")
    with pytest.raises(TypeError, match="equation"):
        rule(P(Relu))(lambda match: None)


def test_a_chain_is_rewritten_to_its_end() -> None:
    lines = [f"%v{i + 1} : f32[batch] = relu(%v{i})" for i in range(200)]
    graph = graph_of("\n".join(["data %v0 : f32[batch]", *lines, 'output "y" = %v200']))
    with recording() as journal:
        assert ops_of(apply_rules(graph, [once])) == ["relu"]
    assert journal.changes == {"once": 199}


def test_interior_values_have_no_other_use() -> None:
    graph = graph_of("""
        data %x : f32[batch]
        %a : f32[batch] = relu(%x)
        %b : f32[batch] = relu(%a)
        %c : f32[batch] = add(%a, %b)
        output "y" = %c
        """)
    with recording() as journal:
        assert apply_rules(graph, [once]) is graph
    assert [(r.rule, r.node, r.reason) for r in journal.refusals] == [
        ("once", "b", "%a has other uses")
    ]


def test_an_output_is_a_use() -> None:
    graph = graph_of("""
        data %x : f32[batch]
        %a : f32[batch] = relu(%x)
        %b : f32[batch] = relu(%a)
        output "a" = %a
        output "b" = %b
        """)
    assert apply_rules(graph, [once]) is graph


def test_the_same_name_is_the_same_value_in_either_order() -> None:
    @rule(P(Multiply, ANY("x"), P(Sigmoid, ANY("x")), commutative=True))
    def swish(match: Match) -> Value:
        """`x * sigmoid(x) = tanh(x)`, for this test."""
        return match.emit(Tanh(), match.value("x"))

    graph = graph_of("""
        data %x : f32[batch]
        data %z : f32[batch]
        %a : f32[batch] = sigmoid(%x)
        %b : f32[batch] = multiply(%a, %x)
        %c : f32[batch] = sigmoid(%x)
        %d : f32[batch] = multiply(%z, %c)
        output "b" = %b
        output "d" = %d
        """)
    assert ops_of(apply_rules(graph, [swish])) == ["tanh", "sigmoid", "multiply"]


def test_constants_may_be_expressions_of_constants() -> None:
    @rule(P(Add, ANY("x"), CONSTANT("c"), commutative=True))
    def swap(match: Match) -> Value:
        """`x + c = c x`, for this test."""
        return match.emit(Multiply(), match.value("c"), match.value("x"))

    graph = graph_of(f"""
        data %x : f32[batch]
        param %w : f32[]
        {TWO}
        %four : f32[] = exp(%two)
        %key : u32[2] = constant() {{value=u32[2]<1, 2>}}
        %chance : f32[1] = random_uniform(%key) {{shape=[1], stream=1}}
        %a : f32[batch] = add(%four, %x)
        %b : f32[batch] = add(%a, %w)
        %c : f32[batch] = add(%b, %chance)
        output "y" = %c
        """)
    names = ["constant", "exp", "constant", "random_uniform", "multiply", "add", "add"]
    assert ops_of(apply_rules(graph, [swap])) == names


def test_guards_on_attributes_and_optional_operands() -> None:
    @rule(P(Softmax, ANY("x"), ANY("none", optional=True), where=lambda op: op.axis == 0))
    def first_axis(match: Match) -> Value:
        """`softmax(x, 0) = tanh(x)`, for this test."""
        assert match.optional("none") is None
        return match.emit(Tanh(), match.value("x"))

    graph = graph_of("""
        data %x : f32[batch,2]
        %a : f32[batch,2] = softmax(%x) {axis=0}
        %b : f32[batch,2] = softmax(%a)
        output "y" = %b
        """)
    assert ops_of(apply_rules(graph, [first_axis])) == ["tanh", "softmax"]


def test_what_a_refused_rewrite_made_is_dropped() -> None:
    @rule(P(Relu, ANY("x")))
    def never(match: Match) -> Value:
        """`relu(x) = exp(x)`, never."""
        match.emit(Exp(), match.value("x"))
        raise Refused("never")

    graph = graph_of("""
        data %x : f32[batch]
        %a : f32[batch] = relu(%x)
        output "y" = %a
        """)
    with recording() as journal:
        assert apply_rules(graph, [never]) is graph
    assert [refusal.reason for refusal in journal.refusals] == ["never"]
    assert not journal.changes


def test_rules_without_end_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pattern, "MAX_ROUNDS", 5)

    @rule(P((Relu, Tanh), ANY("x"), name="node"))
    def flip(match: Match) -> Value:
        """`relu(x) = tanh(-x)`, and back."""
        other = Tanh() if isinstance(match.node("node").op, Relu) else Relu()
        return match.emit(other, match.emit(Negative(), match.value("x")))

    graph = graph_of("""
        data %x : f32[batch]
        %a : f32[batch] = relu(%x)
        output "y" = %a
        """)
    with pytest.raises(VerifyError, match="the rules flip do not come to an end"):
        apply_rules(graph, [flip])


def test_a_match_knows_what_it_is_asked_for() -> None:
    @rule(P(Relu, ANY("x"), name="relu"))
    def ask(match: Match) -> None:
        """`relu(x)`: nothing."""
        with pytest.raises(TypeError, match="relu is relu, not tanh"):
            match.op("relu", Tanh)
        with pytest.raises(KeyError):
            match.value("y")

    graph = graph_of("""
        data %x : f32[batch]
        %a : f32[batch] = relu(%x)
        output "y" = %a
        """)
    assert apply_rules(graph, [ask]) is graph


def test_a_node_that_is_used_is_not_rewritten_for_a_later_one_only() -> None:
    @rule(P(Tanh, ANY("x")))
    def drop(match: Match) -> Value:
        """`tanh(x) = x`, for this test."""
        return match.value("x")

    graph = graph_of("""
        data %x : f32[batch]
        %a : f32[batch] = relu(%x)
        %b : f32[batch] = relu(%a)
        %c : f32[batch] = exp(%b)
        %d : f32[batch] = relu(%a)
        %e : f32[batch] = add(%c, %d)
        output "y" = %e
        """)
    # While %d is still to come, %a has two uses; then %d is %b, and both are rewritten as one.
    assert ops_of(apply_rules(graph, [once, drop])) == ["relu", "exp", "add"]
