"""The invariants of the IR. Every graph is held against them when it is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kcompile.ir.dims import Dim
from kcompile.ir.errors import ShapeError, VerifyError
from kcompile.ir.op import infer_types
from kcompile.ir.types import DType, TensorType

if TYPE_CHECKING:
    from kcompile.ir.graph import Graph, Node, Value

RNG_TYPE = TensorType(DType.UINT32, (2,))


def verify(graph: Graph) -> None:
    """Check every invariant of `graph`.

    1. Names of values are non-empty, printable, and unique; so are names of outputs.
    2. PARAM and STATE inputs have fixed shapes; RNG inputs are `u32[2]`.
    3. Every symbol is the whole size of some axis of an input, so that arrays determine it.
    4. A node's operands are defined before it, with the type that it sees.
    5. A node's results have the types that its op infers.
    6. Outputs and updates use defined values; there is at least one of either.
    7. An update is of a STATE input, at most one for each, and keeps its type.

    Raises:
        VerifyError: naming the graph, the place and the invariant.
    """
    where = f"graph '{graph.name}'"
    defined: dict[str, TensorType] = {}
    _verify_inputs(graph, where, defined)
    symbols = _determined_symbols(graph, where)
    for node in graph.nodes:
        _verify_node(node, where, defined, symbols)
    _verify_outputs(graph, where, defined)
    _verify_updates(graph, where, defined)


def _define(value: Value, where: str, defined: dict[str, TensorType]) -> None:
    if not value.name or not value.name.isprintable() or '"' in value.name:
        raise VerifyError(f"{value.name!r} is not a name for a value", where=where)
    if value.name in defined:
        raise VerifyError(f"the value %{value.name} is defined twice", where=where)
    defined[value.name] = value.type


def _verify_inputs(graph: Graph, where: str, defined: dict[str, TensorType]) -> None:
    for entry in graph.inputs:
        _define(entry.value, where, defined)
        role = entry.role.value
        if role in ("param", "state") and not entry.type.is_static:
            raise VerifyError(f"{role} {entry.value} needs a fixed shape", where=where)
        if role == "rng" and entry.type != RNG_TYPE:
            raise VerifyError(f"rng {entry.value} needs the type {RNG_TYPE}", where=where)


def _determined_symbols(graph: Graph, where: str) -> frozenset[str]:
    sizes = [size for entry in graph.inputs for size in entry.type.shape if isinstance(size, Dim)]
    bare = frozenset(str(size) for size in sizes if size.is_symbol)
    for entry in graph.inputs:
        if loose := entry.type.symbols - bare:
            raise VerifyError(
                f"no input has an axis of size {min(loose)} on its own, which {entry.value} needs",
                where=where,
            )
    return bare


def _verify_node(
    node: Node, where: str, defined: dict[str, TensorType], symbols: frozenset[str]
) -> None:
    made = ", ".join(f"%{value.name}" for value in node.outputs)
    place = f"{where}: {made} = {node.op.name}"
    for value in node.inputs:
        if value is not None and defined.get(value.name) != value.type:
            known = defined.get(value.name)
            problem = "is not defined before it" if known is None else f"is defined as {known}"
            raise VerifyError(f"the operand {value} {problem}", where=place)
    if loose := node.op.symbols - symbols:
        raise VerifyError(f"no input determines the symbol {min(loose)}", where=place)
    if not node.is_typed:
        _verify_types(node, place)
    for value in node.outputs:
        _define(value, where, defined)


def _verify_types(node: Node, place: str) -> None:
    try:
        types = infer_types(node.op, tuple(v.type if v is not None else None for v in node.inputs))
    except ShapeError as error:
        raise VerifyError(f"the operands do not fit: {error}", where=place) from error
    if types != tuple(value.type for value in node.outputs):
        found = ", ".join(str(value.type) for value in node.outputs)
        raise VerifyError(
            f"the op infers {', '.join(map(str, types))}, the node says {found}", where=place
        )
    object.__setattr__(node, "is_typed", True)


def _verify_outputs(graph: Graph, where: str, defined: dict[str, TensorType]) -> None:
    if not graph.outputs and not graph.updates:
        raise VerifyError("it has neither outputs nor updates", where=where)
    names: set[str] = set()
    for output in graph.outputs:
        if not output.name or not output.name.isprintable() or '"' in output.name:
            raise VerifyError(f"{output.name!r} is not a name for an output", where=where)
        if output.name in names:
            raise VerifyError(f"two outputs are named '{output.name}'", where=where)
        names.add(output.name)
        _require_defined(output.value, f"{where}: output '{output.name}'", defined)


def _verify_updates(graph: Graph, where: str, defined: dict[str, TensorType]) -> None:
    states = {entry.value for entry in graph.inputs if entry.role.value == "state"}
    updated: set[str] = set()
    for update in graph.updates:
        place = f"{where}: update of %{update.state.name}"
        if update.state not in states:
            raise VerifyError("it is not a state input", where=place)
        if update.state.name in updated:
            raise VerifyError("the state has two updates", where=place)
        updated.add(update.state.name)
        _require_defined(update.value, place, defined)
        if update.value.type != update.state.type:
            raise VerifyError(
                f"the state is {update.state.type}, its next value {update.value.type}", where=place
            )


def _require_defined(value: Value, where: str, defined: dict[str, TensorType]) -> None:
    if defined.get(value.name) != value.type:
        raise VerifyError(f"the value {value} is not defined", where=where)
