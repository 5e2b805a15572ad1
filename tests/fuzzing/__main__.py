"""`python -m tests.fuzzing --budget 600`: random graphs for so many seconds.

Each failure is shrunk and written to `--output`, as text that `tests/fuzzing/found` keeps once it
is fixed. The exit code is 1 if there was one.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from pathlib import Path

from kcompile.ir.printer import print_graph
from tests.fuzzing.generator import Program, generate
from tests.fuzzing.runner import Failure, Runner
from tests.fuzzing.shrinker import shrink

#: JAX compiles each graph, which takes longer than all the rest.
JAX_EVERY = 10


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", type=float, default=600, help="seconds")
    parser.add_argument("--seed", type=int, default=0, help="the first; the others follow")
    parser.add_argument("--output", type=Path, default=Path("build/fuzz"))
    parser.add_argument("--same", type=int, default=3, help="of one kind of failure, keep so many")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + arguments.budget
    runner, kinds, seed = Runner(), Counter[str](), arguments.seed
    while time.monotonic() < deadline:
        try:
            program = generate(seed)
        except Exception as error:  # of a reference, while the graph grew
            kinds[f"generation: {type(error).__name__}: {error}"] += 1
            seed += 1
            continue
        runner.with_jax = seed % JAX_EVERY == 0
        failure = runner.check(program, seed)
        if failure is not None:
            kind = f"{failure.stage}: {failure.message[:60]}"
            kinds[kind] += 1
            if kinds[kind] <= arguments.same:
                _report(arguments.output, program, failure, seed)
        seed += 1
        if seed % 500 == 0:
            _summarize(runner, kinds, seed)
    _summarize(runner, kinds, seed)
    return 1 if kinds else 0


def _report(folder: Path, program: Program, failure: Failure, seed: int) -> None:
    checker = Runner(with_jax=failure.stage == "jax")

    def fails(candidate: Program) -> bool:
        found = checker.check(candidate, seed)
        return found is not None and found.stage == failure.stage

    small = shrink(program, fails)
    last = checker.check(small, seed) or failure
    head = f"# seed {seed}, {last.stage}\n# " + last.message.replace("\n", "\n# ")
    text = f"{head}\n{print_graph(small.graph)}"
    (folder / f"{seed}.txt").write_text(text)
    print(text, flush=True)


def _summarize(runner: Runner, kinds: Counter[str], seed: int) -> None:
    statistics = runner.statistics
    summary = {
        "next_seed": seed,
        "graphs": statistics.graphs,
        "nodes": statistics.nodes,
        "ops": len(statistics.ops),
        "outputs_compared": statistics.compared,
        "outputs_unsteady": statistics.unsteady,
        "pipeline_unfinished": statistics.unfinished,
        "refused": dict(statistics.refused.most_common(8)),
        "failures": dict(kinds),
    }
    print(json.dumps(summary, indent=1), flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
