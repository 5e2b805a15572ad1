"""Random graphs through the passes and the runtimes, and those that once failed."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from kcompile.ir import ops
from kcompile.ir.graph import Graph, Node, Role, Value
from kcompile.ir.op import OPS
from kcompile.ir.parser import parse_graph
from kcompile.ir.printer import print_graph
from kcompile.passes.rebuild import Operands, Rebuild, rebuild
from kcompile.runtimes.onnxruntime.samples import draw_inputs
from tests.fuzzing import runner as running
from tests.fuzzing.generator import SIZES, Program, generate
from tests.fuzzing.numbers import Tracked, difference, track_graph
from tests.fuzzing.rules import COVERED, EXCEPTIONS
from tests.fuzzing.runner import Runner
from tests.fuzzing.shrinker import shrink

FOUND = sorted((Path(__file__).parent / "found").glob("*.txt"))


def program_of(text: str) -> Program:
    """The program of a text form; all its inputs are drawn."""
    graph = parse_graph(re.sub(r"^#.*\n", "", text, flags=re.MULTILINE))
    runs, weights = [], {}
    for seed, sizes in enumerate(SIZES):
        drawn = draw_inputs(graph, {name: sizes.get(name, 3) for name in graph.symbols}, seed)
        runs.append({e.name: drawn[e.name] for e in graph.inputs_with(Role.DATA)})
        weights = {e.name: np.abs(drawn[e.name]) for e in graph.inputs_with(Role.PARAM)}
    return Program(graph, weights, tuple(runs))


def test_every_op_has_a_rule_or_a_reason() -> None:
    assert COVERED | set(EXCEPTIONS) == set(OPS.values())
    assert not COVERED & set(EXCEPTIONS)


@pytest.mark.parametrize("seed", range(40))
def test_random_graphs(seed: int) -> None:
    program = generate(seed)
    failure = Runner(with_jax=seed % 20 == 0).check(program, seed)
    assert failure is None, f"{failure}\n{print_graph(program.graph)}"


@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.stem)
def test_what_was_found_stays_fixed(path: Path) -> None:
    failure = Runner().check(program_of(path.read_text()), 0)
    assert failure is None, failure


def test_the_same_seed_gives_the_same_graph() -> None:
    assert generate(7).graph == generate(7).graph != generate(8).graph


def test_a_wrong_pass_is_found_and_shrunk(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(graph: Graph) -> Graph:
        def transform(node: Node, operands: Operands, new: Rebuild) -> tuple[Value, ...] | None:
            return new.emit(ops.Negative(), *operands) if type(node.op) is ops.Tanh else None

        return rebuild(graph, transform)

    text = """graph @g {
        data %x : f32[batch,3]
        %a : f32[batch,3] = negative(%x)
        %b : f32[batch,3] = tanh(%a)
        %c : f32[batch,3] = add(%b, %x)
        output "c" = %c
        output "a" = %a
      }"""
    monkeypatch.setattr(running, "PASSES", {"wrong": wrong})
    program, checker = program_of(text), Runner(with_jax=False)
    failure = checker.check(program, 0)
    assert failure is not None and failure.stage == "pass wrong"
    small = shrink(
        program, lambda p: (f := checker.check(p, 0)) is not None and f.stage == "pass wrong"
    )
    assert [node.op.name for node in small.graph.nodes] == ["tanh"]


def test_numbers_that_rounding_moves_say_nothing() -> None:
    """The sign of a difference that is rounding alone, beside one that is not."""
    graph = parse_graph("""graph @g {
        data %x : f32[4]
        %third : f32[] = constant() {value=f32[]<0.33333334>}
        %three : f32[] = constant() {value=f32[]<3.0>}
        %a : f32[4] = multiply(%x, %third)
        %b : f32[4] = multiply(%a, %three)
        %c : f32[4] = subtract(%b, %x)
        %d : f32[4] = sign(%c)
        output "d" = %d
        output "b" = %b
      }""")
    x = np.array([1.1, 2.3, 3.7, 5.9], np.float32)
    tracked = track_graph(graph, {"x": x})
    assert not tracked["d"].is_steady and difference(-tracked["d"].exact, tracked["d"]) is None
    assert tracked["b"].is_steady and difference(x, tracked["b"]) is None
    assert "off by" in str(difference(x * np.float32(1.0001), tracked["b"]))
    assert "float64" in str(difference(x.astype(np.float64), tracked["b"]))


def test_integers_are_equal_or_wrong() -> None:
    tracked = Tracked(np.arange(3), (np.arange(3),), 0.0)
    assert difference(np.arange(3), tracked) is None
    assert difference(np.array([0, 1, 3]), tracked) == "1 of 3 elements differ"
