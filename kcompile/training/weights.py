"""Who holds the weights while programs change them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kcompile.ops.variable import Variable


class BorrowedWeights:
    """The values of variables, held by a running program.

    Programs overwrite the arrays that they are given, so no variable may point to them. While the
    weights are borrowed, reading a variable gives a copy of its present value, and what is assigned
    to a variable reaches the program before its next step.

    Args:
        variables: by the names that the program uses.
    """

    def __init__(self, variables: Mapping[str, Variable]) -> None:
        from kcompile.runtimes.jax import training as xla

        self._variables = dict(variables)
        self._copy = xla.copied
        self.arrays = xla.copied({name: v.array for name, v in variables.items()})
        self._makers = {name: v._make for name, v in variables.items()}
        self._read: dict[str, Any] = {}
        for name, variable in self._variables.items():
            variable._make = self._reader(name)
            variable._value = None

    def assigned(self) -> dict[str, Any]:
        """Copies of what was assigned to variables since the last call."""
        changed = {}
        for name, variable in self._variables.items():
            if variable._value is None:
                continue
            if variable._value is not self._read.get(name):
                changed[name] = variable._value
            variable._value = None
        self._read.clear()
        return self._copy(changed)

    def give_back(self) -> None:
        """Let the variables have the present values; no program may use them any more."""
        changed = self.assigned()
        for name, variable in self._variables.items():
            variable._make = self._makers[name]
            variable._value = changed.get(name, self.arrays[name])

    def _reader(self, name: str) -> Any:
        def read() -> Any:
            self._read[name] = self._copy({name: self.arrays[name]})[name]
            return self._read[name]

        return read
