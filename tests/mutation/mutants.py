"""The wrong rewrites of `mutants.toml`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Mutant:
    """An edit of a pass.

    Attributes:
        file: below the root.
        what: what is wrong about it.
        old, new: source text that is there exactly once, and what stands in its place.
    """

    file: str
    what: str
    old: str
    new: str


def read_mutants() -> list[Mutant]:
    text = (Path(__file__).parent / "mutants.toml").read_text()
    return [Mutant(**entry) for entry in tomllib.loads(text)["mutant"]]
