"""Tests of `rebuild`."""

from kcompile.ir.graph import Graph, Node, Value
from kcompile.ir.ops import Add, Negative, Relu, Subtract, Tanh
from kcompile.passes.rebuild import Operands, Rebuild, rebuild
from tests.passes.helpers import body_of, graph_of

TEXT = """
    data %x : f32[batch,2]
    param %w : f32[2]
    state %s : f32[2]
    %a:relu : f32[batch,2] = relu(%x) @"a"
    %b:tanh : f32[batch,2] = tanh(%a:relu) @"b"
    %c:add : f32[batch,2] = add(%b:tanh, %w) @"c"
    %d:add : f32[2] = add(%s, %w) @"d"
    output "y" = %c:add
    update %s = %d:add
    """


def test_nothing_to_do_gives_the_same_graph() -> None:
    graph = graph_of(TEXT)
    assert rebuild(graph) is graph
    assert rebuild(graph, lambda node, operands, new: None) is graph


def test_the_order_of_operands_tells_nodes_apart() -> None:
    def swap(node: Node, operands: Operands, new: Rebuild) -> tuple[Value, ...] | None:
        if not isinstance(node.op, Add):
            return None
        a, b = operands
        return new.emit(Negative(), new.emit(Subtract(), b, a)[0])

    text = """
    data %x : f32[2]
    data %z : f32[2]
    %a : f32[2] = subtract(%x, %z)
    %b : f32[2] = add(%x, %z)
    output "a" = %a
    output "b" = %b
    """
    result = rebuild(graph_of(text), swap)
    assert "%subtract : f32[2] = subtract(%z, %x)" in body_of(result)


def test_kept_nodes_keep_names_and_sources() -> None:
    def transform(node: Node, operands: Operands, new: Rebuild) -> tuple[Value, ...] | None:
        if not isinstance(node.op, Relu):
            return None
        return new.emit(Negative(), *new.emit(Relu(), *operands, source="z"), source="z")

    assert (
        body_of(rebuild(graph_of(TEXT), transform))
        == """\
data %x : f32[batch,2]
param %w : f32[2]
state %s : f32[2]
%z:relu : f32[batch,2] = relu(%x) @"z"
%z:negative : f32[batch,2] = negative(%z:relu) @"z"
%b:tanh : f32[batch,2] = tanh(%z:negative) @"b"
%c:add : f32[batch,2] = add(%b:tanh, %w) @"c"
%d:add : f32[2] = add(%s, %w) @"d"
output "y" = %c:add
update %s = %d:add"""
    )


def test_new_nodes_get_the_names_of_nodes_that_are_gone_but_not_of_those_that_stay() -> None:
    def transform(node: Node, operands: Operands, new: Rebuild) -> tuple[Value, ...] | None:
        if not isinstance(node.op, Tanh):
            return None
        return new.emit(Negative(), *new.emit(Negative(), *operands, name="b:tanh"), name="c:add")

    names = [node.output.name for node in rebuild(graph_of(TEXT), transform).nodes]
    assert names == ["a:relu", "b:tanh", "c:add_1", "c:add", "d:add"]


def test_dropping_updates_drops_their_nodes_and_states() -> None:
    graph = rebuild(graph_of(TEXT), keep_updates=False)
    assert [entry.name for entry in graph.inputs] == ["x", "w"]
    assert [node.output.name for node in graph.nodes] == ["a:relu", "b:tanh", "c:add"]
    assert graph.updates == ()


def test_uses_are_known_during_the_walk() -> None:
    seen: dict[str, list[int]] = {}

    def transform(node: Node, operands: Operands, new: Rebuild) -> None:
        seen[node.output.name] = [new.num_uses(value) for value in operands if value is not None]

    rebuild(graph_of(TEXT), transform)
    # The node in hand does not count: of %w, %c:add sees the use by %d:add, and that by %c:add.
    assert seen == {"a:relu": [0], "b:tanh": [0], "c:add": [0, 1], "d:add": [0, 1]}


def test_nodes_that_a_transform_makes_in_vain_are_dropped() -> None:
    def transform(node: Node, operands: Operands, new: Rebuild) -> None:
        new.emit(Negative(), *new.emit(Negative(), *operands[:1]))

    graph = graph_of(TEXT)
    assert rebuild(graph, transform) is graph


def test_values_that_became_equal_are_one() -> None:
    graph = graph_of("""
        data %x : f32[batch]
        %a : f32[batch] = relu(%x)
        %b : f32[batch] = tanh(%x)
        %c : f32[batch] = exp(%a)
        %d : f32[batch] = exp(%b)
        %e : f32[batch] = add(%c, %d)
        output "y" = %e
        """)

    def transform(node: Node, operands: Operands, new: Rebuild) -> tuple[Value, ...] | None:
        return new.emit(Relu(), *operands) if isinstance(node.op, Tanh) else None

    after: Graph = rebuild(graph, transform)
    assert [node.op.name for node in after.nodes] == ["relu", "exp", "add"]
    assert isinstance(after.nodes[-1].op, Add)
