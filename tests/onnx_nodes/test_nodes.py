"""Our references against the node tests of ONNX, for every op that our files hold."""

from __future__ import annotations

import ast
import functools
from collections import Counter
from pathlib import Path

import onnx

from tests.onnx_nodes import importing_layers, importing_shapes
from tests.onnx_nodes.collecting import NodeTest, node_tests
from tests.onnx_nodes.importing import IMPORTERS, PLAIN, NotHeld, outputs_of
from tests.ops.tolerances import assert_same

ROOT = Path(__file__).parents[2]
assert importing_layers and importing_shapes  # they fill the table

#: ONNX ops of our files that none of our ops is by itself, and where they are tested.
REASONS = {
    "GatherND": "a part of scatter_nd's and gather_elements' lowerings: tests/ops",
    "If": "ONNX's tests have bodies of other nodes: tests/ops/control_cases.py",
    "LabelEncoder": "of ai.onnx.ml, without a test of plain tensors: tests/ops/string_cases.py",
    "Loop": "as If",
    "Scan": "as If",
    "ScatterElements": "a part of scatter_nd's lowering: tests/ops",
    "StringConcat": "a part of split_string's lowering: tests/ops/string_cases.py",
    "StringNormalizer": "every test of ONNX leaves out words: tests/ops/string_cases.py",
}


@functools.cache
def written_ops() -> frozenset[str]:
    """The ONNX ops that our lowerings name."""
    known = {schema.name for schema in onnx.defs.get_all_schemas()}
    named = set[str]()
    for path in (ROOT / "runtimes" / "onnx").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                named.add(node.value)
    return frozenset(known & named)


def test_every_op_that_we_write_is_imported_or_has_a_reason() -> None:
    assert written_ops() <= set(PLAIN) | set(IMPORTERS) | set(REASONS)


def _tests() -> tuple[NodeTest, ...]:
    return node_tests(frozenset({*PLAIN, *IMPORTERS}))


def test_references_equal_what_onnx_expects() -> None:
    held, refused, wrong = Counter[str](), Counter[str](), []
    for test in _tests():
        try:
            actual = outputs_of(test)
        except NotHeld as reason:
            refused[str(reason)] += 1
            continue
        held[test.op_type] += 1
        for position, expected in enumerate(test.outputs):
            if expected is None or position >= len(actual):
                continue
            try:
                assert_same(actual[position], expected, test.name)
            except AssertionError as error:
                wrong.append(f"{test.name}: {error}")
    assert not wrong, "\n".join(wrong)
    assert {*PLAIN, *IMPORTERS} - set(held) <= set(REASONS)
    assert sum(held.values()) >= 600, f"{sum(held.values())} held, not held: {refused}"
