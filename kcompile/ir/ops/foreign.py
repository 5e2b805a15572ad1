"""Calls of functions that are Python code of a runtime's, such as JAX's."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

from kcompile.ir.dims import Size
from kcompile.ir.errors import ExportError, SpecError
from kcompile.ir.graph import Graph
from kcompile.ir.op import Array, Op, require
from kcompile.ir.ops.control import _check_graph, _Control, _result_types, run_graph
from kcompile.ir.types import DType, TensorType


class FunctionName(str):
    """The name of a function, which holds it: it lives as long as a graph that names it."""

    function: Callable[..., Any]


_numbers = itertools.count()
_by_identity: WeakValueDictionary[Hashable, FunctionName] = WeakValueDictionary()
_by_name: WeakValueDictionary[str, FunctionName] = WeakValueDictionary()


def register_function(name: str, identity: Hashable, function: Callable[..., Any]) -> FunctionName:
    """The name under which ops hold `function`; one `identity` has one name.

    Args:
        identity: may have the `id` of what `function` holds.
    """
    known = _by_identity.get(identity)
    if known is None:
        known = FunctionName(f"{name}#{next(_numbers)}")
        known.function = function
        _by_identity[identity] = _by_name[str(known)] = known
    return known


def find_function(name: str) -> Callable[..., Any]:
    """The function of that name: arrays to a sequence of arrays.

    Raises:
        SpecError: there is none, as the graph was made in another process or the model is gone.
    """
    known = name if isinstance(name, FunctionName) else _by_name.get(name)
    if known is None:
        raise SpecError(
            f"the function '{name}' is Python code, which the text of a graph does not hold",
            hint="Make the model in this process, and keep it",
        )
    return known.function


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
