"""Strings are set apart; the parts together compute what the graph did."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from kcompile.ir.builder import Builder
from kcompile.ir.dims import symbol
from kcompile.ir.errors import ExportError
from kcompile.ir.graph import Graph, Role, Value
from kcompile.ir.literal import Literal
from kcompile.ir.ops import Add, AsciiLower, Cast, CountTokens, HashBucket, Lookup, Multiply
from kcompile.ir.types import DType, TensorType
from kcompile.passes.split_host import needs_host, split_host
from kcompile.runtimes import reference
from kcompile.runtimes.hosted import on_host

BATCH = symbol("batch")
TEXT = TensorType(DType.STRING, (BATCH,))
NUMBERS = TensorType(DType.INT32, (BATCH,))
WORDS = Literal(["a", "b"])
INDEX = Lookup(WORDS, Literal(np.array([1, 2], np.int32)), 0)
NAME = Lookup(Literal(np.array([1, 2], np.int64)), WORDS, "?")


def names(graph: Graph | None) -> tuple[list[str], list[str], list[str]] | None:
    """Inputs, ops and outputs."""
    if graph is None:
        return None
    return (
        [entry.name for entry in graph.inputs],
        [node.op.name for node in graph.nodes],
        [output.name for output in graph.outputs],
    )


def built(make: Callable[[Builder, Value, Value], Mapping[str, Value]]) -> Graph:
    """Inputs `text` and `x`, and outputs by name."""
    builder = Builder("model")
    text, x = builder.input("text", TEXT), builder.input("x", NUMBERS)
    return builder.finish(make(builder, text, x).items())


def before_device_after(builder: Builder, text: Value, x: Value) -> dict[str, Value]:
    (index,) = builder.emit(INDEX, builder.emit(AsciiLower(), text)[0], name="index")
    weight = builder.input("weight", TensorType(DType.INT32, ()), Role.PARAM)
    (total,) = builder.emit(Add(), builder.emit(Add(), index, x)[0], weight, name="total")
    (label,) = builder.emit(NAME, total, name="label")
    return {"label": label, "total": total, "index": index, "text": text}


ARRAYS: dict[str, Any] = {
    "text": np.array(["B", "c", "a"], object),
    "x": np.array([0, 1, 5], np.int32),
}
WEIGHT = {"weight": np.array(0, np.int32)}


def test_a_graph_without_strings_stays_as_it_is() -> None:
    graph = built(lambda builder, text, x: {"y": builder.emit(Add(), x, x)[0]})
    without = Graph("model", graph.inputs[1:], graph.nodes, graph.outputs, ())
    assert not needs_host(without)
    split = split_host(without)
    assert split.device is without
    assert split.before is None and split.after is None


def test_three_parts() -> None:
    split = split_host(built(before_device_after))
    assert names(split.before) == (["text"], ["ascii_lower", "lookup"], ["index"])
    assert names(split.device) == (
        ["x", "weight", "index"],
        ["add", "add"],
        ["total", "index", "total to host"],
    )
    assert names(split.after) == (["total", "text"], ["lookup"], ["label", "text"])


def test_the_parts_compute_what_the_graph_does() -> None:
    graph = built(before_device_after)
    expected, _ = reference.run(graph, ARRAYS | WEIGHT)
    seen: list[Graph] = []

    def compile_device(part: Graph) -> Any:
        seen.append(part)
        return lambda arrays: reference.run(part, arrays)

    actual, states = on_host(graph, compile_device)(ARRAYS | WEIGHT)
    assert len(seen) == 1 and not needs_host(seen[0])
    assert states == {}
    assert list(actual) == list(expected) == ["label", "total", "index", "text"]
    for name, value in expected.items():
        np.testing.assert_array_equal(actual[name], value)
    assert expected["label"].tolist() == ["b", "a", "?"]


def test_the_host_may_compute_everything() -> None:
    graph = built(lambda builder, text, x: {"label": builder.emit(NAME, x)[0]})
    split = split_host(graph)
    assert split.device is None and split.before is not None
    results, _ = on_host(graph, lambda part: pytest.fail("there is no such part"))(ARRAYS)
    assert results["label"].tolist() == ["?", "a", "?"]


def test_hashes_of_integers_are_the_host_s() -> None:
    def make(builder: Builder, text: Value, x: Value) -> dict[str, Value]:
        (bucket,) = builder.emit(HashBucket(5), x, name="bucket")
        return {"y": builder.emit(Multiply(), bucket, x, name="y")[0]}

    split = split_host(built(make))
    assert names(split.before) == (["x"], ["hash_bucket"], ["bucket"])
    assert names(split.device) == (["x", "bucket"], ["multiply"], ["y"])
    assert split.after is None


def test_a_state_that_strings_decide_is_refused() -> None:
    builder = Builder("model")
    text = builder.input("text", TensorType(DType.STRING, (2,)))
    state = builder.input("state", TensorType(DType.FLOAT32, (2, 3)), Role.STATE)
    (number,) = builder.emit(Cast(DType.INT32), state)
    (bucket,) = builder.emit(HashBucket(5), number)
    (next_state,) = builder.emit(Cast(DType.FLOAT32), bucket)
    builder.update(state, next_state)
    (counts,) = builder.emit(CountTokens(WORDS), text)
    with pytest.raises(ExportError, match="next value of %state is computed from strings"):
        split_host(builder.finish([("y", counts)]))


def test_a_state_may_follow_from_what_the_host_counted() -> None:
    builder = Builder("model")
    text = builder.input("text", TensorType(DType.STRING, (2,)))
    state = builder.input("state", TensorType(DType.FLOAT32, (2, 3)), Role.STATE)
    (counts,) = builder.emit(CountTokens(WORDS), text, name="counts")
    builder.update(state, builder.emit(Add(), state, counts, name="next")[0])
    split = split_host(builder.finish([("y", counts)]))
    assert names(split.device) == (["state", "counts"], ["add"], ["y"])
    assert split.device is not None and split.device.updates[0].value.name == "next"
