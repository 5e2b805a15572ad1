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
        for name, variable in self._variables.items():
            variable.lend(self._reader(name))

    def present(self) -> dict[str, Any]:
        """The values, which now hold what was assigned to variables."""
        taken = {name: variable.take_assigned() for name, variable in self._variables.items()}
        assigned = {name: array for name, array in taken.items() if array is not None}
        self.arrays.update(self._copy(assigned))
        return self.arrays

    def give_back(self) -> None:
        """Let the variables have the present values; no program may use them any more."""
        present = self.present()
        for name, variable in self._variables.items():
            variable.give_back(present[name])

    def _reader(self, name: str) -> Any:
        return lambda: self._copy({name: self.arrays[name]})[name]


def copied(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Copies on the device that nobody else holds."""
    from kcompile.runtimes.jax import training as xla

    return xla.copied(arrays)


def on_device(variables: Mapping[str, Variable]) -> dict[str, Any]:
    """The values of variables."""
    from kcompile.runtimes.jax import training as xla

    return xla.to_device({name: variable.array for name, variable in variables.items()})
