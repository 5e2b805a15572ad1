"""Graphs compiled ahead of time: bytes of machine code, and what runs them without compiling."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jaxlib import xla_client

from kcompile.ir.errors import DataError, ExportError, FormatError, ShapeError
from kcompile.ir.graph import Graph
from kcompile.ir.types import DType
from kcompile.runtimes.binding import bind_arrays
from kcompile.runtimes.executable import GraphExecutable
from kcompile.runtimes.jax import compile_cache
from kcompile.runtimes.jax.executable import on_device
from kcompile.runtimes.jax.lowering import first_wide_value, lower

#: The one symbolic size that there may be programs for several numbers of.
BATCH = "batch"


@dataclass(frozen=True)
class SavedProgram:
    """A graph as machine code.

    Attributes:
        batch_size: the number of rows that it is for; None where the graph has no such size.
        code: what XLA serializes.
    """

    batch_size: int | None
    code: bytes


def compile_ahead(graph: Graph, batch_sizes: Sequence[int] = ()) -> list[SavedProgram]:
    """A program for each number of rows.

    Args:
        graph: without updates.
        batch_sizes: none for a graph without symbolic sizes.

    Raises:
        ExportError: the graph holds strings, or symbolic sizes that no number is said for.
    """
    _require_numbers(graph)
    sizes = _checked_sizes(graph, batch_sizes)
    return [SavedProgram(size, _code(graph, size)) for size in sizes]


def _require_numbers(graph: Graph) -> None:
    values = [entry.value for entry in graph.inputs]
    values += [value for node in graph.nodes for value in node.outputs]
    for value in values:
        if value.type.dtype is DType.STRING:
            raise ExportError(
                f"an XLA program has no strings, which {value} needs",
                where=f"graph '{graph.name}'",
                hint="Compile for onnx, or for reference",
            )


def _checked_sizes(graph: Graph, batch_sizes: Sequence[int]) -> list[int | None]:
    """The numbers of rows; None alone where the graph has no symbolic size."""
    where = f"graph '{graph.name}'"
    open_sizes = [name for name in graph.symbols if name != BATCH]
    if open_sizes:
        raise ExportError(
            f"the size '{open_sizes[0]}' is open, and a saved XLA program has one number for it",
            where=where,
            hint=f"Compile with sizes={{'{open_sizes[0]}': N}} or shapes={{input: shape}}",
        )
    if BATCH not in graph.symbols:
        if batch_sizes:
            raise ExportError(
                "its number of rows is fixed", where=where, hint="Leave out batch_sizes"
            )
        return [None]
    if not batch_sizes:
        raise ExportError(
            "the number of rows is open, and a saved XLA program has one",
            where=where,
            hint=f"Save with batch_sizes=[1, 32], or compile with sizes={{'{BATCH}': 1}}",
        )
    for size in batch_sizes:
        if type(size) is not int or size < 1:
            raise ExportError(f"a number of rows cannot be {size!r}", where=where)
    return list(dict.fromkeys(batch_sizes))


def _code(graph: Graph, batch_size: int | None) -> bytes:
    sizes = {} if batch_size is None else {BATCH: batch_size}
    run = lower(graph)
    names = [entry.name for entry in graph.inputs]

    def function(*arrays: Any) -> list[Any]:
        outputs, _ = run(dict(zip(names, arrays, strict=True)))
        # The barrier keeps JAX from taking out outputs that are inputs.
        return jax.lax.optimization_barrier([outputs[output.name] for output in graph.outputs])

    # XLA serializes no program whole that was itself read from a cache.
    with _mode(graph), compile_cache.bypassed():
        types = (entry.type.substitute(sizes) for entry in graph.inputs)
        shapes = [jax.ShapeDtypeStruct(type.shape, type.dtype.numpy) for type in types]
        compiled = jax.jit(function, keep_unused=True).lower(*shapes).compile()
    program = compiled.runtime_executable()
    assert program is not None  # XLA has one for all that JAX compiles
    return bytes(program.serialize())


def _mode(graph: Graph) -> contextlib.AbstractContextManager[Any]:
    """What a graph is traced in: x64 mode, if it has 64-bit types."""
    wide = first_wide_value(graph) is not None
    return jax.enable_x64(True) if wide else contextlib.nullcontext()


class SavedExecutable(GraphExecutable):
    """Programs of a graph that were compiled ahead of time. Machine code: it is run as it is.

    Args:
        graph: what the programs compute; it tells the inputs and outputs.
        weights: arrays by input name.
        programs: one for each number of rows.

    Raises:
        FormatError: the code is damaged.
        ExportError: the graph has updates.
    """

    def __init__(
        self, graph: Graph, weights: Mapping[str, Any], programs: Sequence[SavedProgram]
    ) -> None:
        super().__init__(graph, on_device(weights), self._execute)
        self._programs = {entry.batch_size: _loaded(entry.code) for entry in programs}

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        """The numbers of rows that there are programs for; empty if the graph fixes it."""
        return tuple(size for size in self._programs if size is not None)

    def _execute(
        self, arrays: Mapping[str, Any]
    ) -> tuple[dict[str, np.ndarray[Any, Any]], dict[str, Any]]:
        bound, sizes = bind_arrays(self.graph, arrays)
        program = self._programs.get(sizes.get(BATCH))
        if program is None:
            raise DataError(
                f"there is no program for {sizes.get(BATCH)} rows",
                where=f"graph '{self.graph.name}'",
                hint=f"There are some for {', '.join(map(str, self.batch_sizes))} rows; save the"
                " executable with others in batch_sizes",
            )
        given = {name: a for name, a in bound.items() if self.weights.get(name) is not a}
        results = _run(program, list({**bound, **on_device(given)}.values()))
        outputs = zip(self.graph.outputs, results, strict=True)
        return {output.name: _checked(output.value, array, sizes) for output, array in outputs}, {}


def _loaded(code: bytes) -> Any:
    """The program, on the first device."""
    device = jax.devices()[0]
    devices = xla_client.DeviceList((device,))
    try:
        return device.client.deserialize_executable(code, executable_devices=devices)
    except jax.errors.JaxRuntimeError as error:
        raise FormatError(f"XLA does not take the program: {error}") from error


def _run(program: Any, arguments: Sequence[Any]) -> list[Any]:
    try:
        return program.execute(arguments)
    except jax.errors.JaxRuntimeError as error:
        if "INVALID_ARGUMENT" not in str(error):  # such as too little memory
            raise
        raise FormatError(f"the program is not that of its graph: {error}") from error


def _checked(value: Any, array: Any, sizes: Mapping[str, int]) -> np.ndarray[Any, Any]:
    """An output, held against what the graph says of it."""
    expected = value.type.substitute(sizes)
    found = np.asarray(array)
    try:
        fits = DType.of(found.dtype) is expected.dtype and found.shape == expected.shape
    except ShapeError:
        fits = False
    if not fits:
        raise FormatError(f"the program gives {found.dtype}{found.shape}, its graph {expected}")
    return found
