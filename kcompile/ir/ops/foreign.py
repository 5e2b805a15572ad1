"""Calls of functions that are Python code of a runtime's, such as JAX's."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from kcompile.ir.dims import Size
from kcompile.ir.errors import ExportError, SpecError
from kcompile.ir.graph import Graph
from kcompile.ir.op import Array, Op, require
from kcompile.ir.ops.control import _check_graph, _Control, _result_types, run_graph
from kcompile.ir.types import DType, TensorType

_functions: dict[str, Callable[..., Any]] = {}
_names: dict[Hashable, str] = {}


def register_function(name: str, identity: Hashable, function: Callable[..., Any]) -> str:
    """The name under which ops hold `function`; one `identity` has one name.

    Functions stay for as long as the process runs, as graphs that name them may.
    """
    if identity not in _names:
        _names[identity] = f"{name}#{len(_names)}"
        _functions[_names[identity]] = function
    return _names[identity]


def find_function(name: str) -> Callable[..., Any]:
    """The function of that name: arrays to a sequence of arrays.

    Raises:
        SpecError: there is none in this process, as the graph was made in another one.
    """
    if name not in _functions:
        raise SpecError(
            f"the function '{name}' is Python code, which the text of a graph does not hold",
            hint="Make the model in this process",
        )
    return _functions[name]


@dataclass(frozen=True)
class ForeignCall(Op):
    """`ys = function(xs)`, for a JAX function that has no form in the IR.

    Attributes:
        function: its name; see `register_function`.
        obstacle: what has no form: the name of a JAX primitive.
        dtypes, ranks, sizes: of the results: spellings of element types, numbers of axes, and the
            sizes of all of them, one after the other.
    """

    function: str
    obstacle: str
    dtypes: tuple[str, ...]
    ranks: tuple[int, ...]
    sizes: tuple[Size, ...]

    is_foldable = False

    def infer(self, *xs: TensorType) -> tuple[TensorType, ...]:
        require(len(self.dtypes) == len(self.ranks), "needs a rank for each element type")
        require(sum(self.ranks) == len(self.sizes), "needs as many sizes as the ranks say")
        types, start = [], 0
        for dtype, rank in zip(self.dtypes, self.ranks, strict=True):
            types.append(TensorType(DType(dtype), self.sizes[start : start + rank]))
            start += rank
        return tuple(types)

    @property
    def refusal(self) -> str:
        """Why there is no such op in an exported file."""
        return (
            f"the JAX primitive '{self.obstacle}' in the function '{self.function}' has no form in"
            " the IR, so that it trains but is not exported"
        )

    def reference(self, *xs: Array) -> tuple[Array, ...]:
        raise ExportError(self.refusal, hint="Write it with kcompile.ops")


@dataclass(frozen=True)
class CustomGradient(_Control):
    """`ys = body(xs)`, whose gradients are those of the function `function`.

    It stands for a JAX function with derivatives of its own (`jax.custom_jvp`, `jax.custom_vjp`).
    The function takes the first `num_arguments` operands.
    """

    function: str
    num_arguments: int
    body: Graph

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        require(self.num_arguments <= len(operands), f"needs {self.num_arguments} operands")
        _check_graph(self.body, operands, "body")
        return _result_types(self.body)

    def reference(self, *operands: Array) -> tuple[Array, ...]:
        return run_graph(self.body, operands)
