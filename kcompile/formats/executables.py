"""Executables of kcompile's own runtimes as files: the graph, its arrays, and machine code."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kcompile.formats.container import pack, unpack
from kcompile.formats.json_text import parse_json
from kcompile.formats.place import Place
from kcompile.ir.errors import FormatError, KCompileError
from kcompile.ir.graph import Graph
from kcompile.ir.literal import Literal
from kcompile.ir.ops.control import all_nodes
from kcompile.ir.parser import parse_graph, parse_type
from kcompile.ir.printer import MAX_INLINE_ELEMENTS, print_graph
from kcompile.ir.types import DType, TensorType

TARGETS = ("reference", "xla")
_GRAPH, _WEIGHTS, _CONSTANTS, _PROGRAMS = "graph", "weights/", "constants/", "programs/"
_KEYS = {"target", "report", "input_names", "stamp", "constants"}
#: What Python raises where text or bytes are not what the code expects.
_BAD_VALUE = (
    *(KCompileError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError),
    *(MemoryError, RecursionError),
)


@dataclass(frozen=True)
class Contents:
    """What a file of an executable holds.

    Attributes:
        target: `reference` or `xla`.
        graph: after the passes.
        weights: arrays by input name.
        report: of compiling; values of JSON.
        input_names: names of inputs by the keys of a dict of inputs.
        stamp: what the machine code depends on; empty without any.
        programs: machine code by number of rows, as text; `any` where the graph fixes it.
    """

    target: str
    graph: Graph
    weights: Mapping[str, Any]
    report: Mapping[str, Any]
    input_names: Mapping[str, str]
    stamp: Mapping[str, Any] = field(default_factory=dict)
    programs: Mapping[str, bytes] = field(default_factory=dict)


def to_bytes(contents: Contents) -> bytes:
    """The bytes of the file."""
    constants = _large_constants(contents.graph)
    header = {
        "target": contents.target,
        "report": dict(contents.report),
        "input_names": dict(contents.input_names),
        "stamp": dict(contents.stamp),
        "constants": {digest: str(literal.type) for digest, literal in constants.items()},
    }
    blobs = {
        _GRAPH: print_graph(contents.graph).encode(),
        **{_WEIGHTS + name: _encoded(np.asarray(a)) for name, a in contents.weights.items()},
        **{_CONSTANTS + digest: _encoded(entry.array) for digest, entry in constants.items()},
        **{_PROGRAMS + name: code for name, code in contents.programs.items()},
    }
    return pack(header, blobs)


def read(path: str | Path) -> Contents:
    """What a file of an executable holds; no code in it is run.

    Raises:
        FormatError: it is no such file, damaged, or contradicts itself.
        OSError: it cannot be read.
    """
    header, blobs = unpack(path)
    place = Place(Path(path).name)
    if set(header) != _KEYS or header["target"] not in TARGETS:
        raise place.error("its header is not that of an executable")
    if not all(isinstance(header[key], dict) for key in _KEYS - {"target"}):
        raise place.error("a key of its header is no object")
    kinds = (_WEIGHTS, _CONSTANTS, _PROGRAMS)
    unknown = [name for name in blobs if name != _GRAPH and not name.startswith(kinds)]
    if unknown or _GRAPH not in blobs:
        raise place.error(f"its blob {unknown[0]!r} is unknown" if unknown else "it has no graph")
    programs = _under(blobs, _PROGRAMS)
    if bool(programs) != (header["target"] == "xla"):
        raise place.error("machine code is for xla, which needs some")
    with _reading(place / _GRAPH):
        literals = _literals(header["constants"], _under(blobs, _CONSTANTS))
        graph = parse_graph(blobs[_GRAPH].decode(), literals)
    with _reading(place / "weights"):
        weights = _weights(graph, _under(blobs, _WEIGHTS))
    return Contents(
        header["target"],
        graph,
        weights,
        header["report"],
        _input_names(header["input_names"], graph, place),
        header["stamp"],
        programs,
    )


@contextlib.contextmanager
def _reading(place: Place) -> Iterator[None]:
    """What goes wrong inside is an error of the file."""
    try:
        yield
    except _BAD_VALUE as error:
        raise place.error(f"{type(error).__name__}: {error}") from error


def _under(blobs: Mapping[str, bytes], prefix: str) -> dict[str, bytes]:
    return {n.removeprefix(prefix): blob for n, blob in blobs.items() if n.startswith(prefix)}


def _large_constants(graph: Graph) -> dict[str, Literal]:
    """The constants that the text form writes as their digest, by it."""
    found = {}
    for node in all_nodes(graph):
        for entry in dataclasses.fields(node.op):  # type: ignore[arg-type]
            value = getattr(node.op, entry.name)
            if isinstance(value, Literal) and value.array.size > MAX_INLINE_ELEMENTS:
                found[value.digest] = value
    return found


def _literals(types: Mapping[str, Any], blobs: Mapping[str, bytes]) -> dict[str, Literal]:
    if set(types) != set(blobs):
        raise FormatError("the constants of the header are not those that follow")
    literals = {d: Literal(_decoded(blob, parse_type(types[d]))) for d, blob in blobs.items()}
    for digest, literal in literals.items():
        if literal.digest != digest:
            raise FormatError(f"a constant has not the digest {digest}")
    return literals


def _weights(graph: Graph, blobs: Mapping[str, bytes]) -> dict[str, np.ndarray[Any, Any]]:
    types = {entry.name: entry.type for entry in graph.inputs}
    for name in blobs:
        if name not in types:
            raise FormatError(f"the graph has no input %{name}")
    return {name: _decoded(blob, types[name]) for name, blob in blobs.items()}


def _input_names(names: Mapping[str, Any], graph: Graph, place: Place) -> dict[str, str]:
    inputs = {entry.name for entry in graph.inputs}
    for name in names.values():
        if not isinstance(name, str) or name not in inputs:
            raise (place / "input_names").error(f"the graph has no input {name!r}")
    return dict(names)


def _encoded(array: np.ndarray[Any, Any]) -> bytes:
    """The elements, little-endian; of strings JSON."""
    if array.dtype == object:
        return json.dumps(array.ravel().tolist()).encode()
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()


def _decoded(blob: bytes, type: TensorType) -> np.ndarray[Any, Any]:
    if type.dtype is DType.STRING:
        return _strings(blob, type)
    dtype = type.dtype.numpy
    expected = int(np.prod(type.static_shape, dtype=object)) * dtype.itemsize
    if len(blob) != expected:
        raise FormatError(f"{type} takes {expected} bytes, and there are {len(blob)}")
    array = np.frombuffer(blob, dtype.newbyteorder("<")).astype(dtype, copy=False)
    return array.reshape(type.static_shape)


def _strings(blob: bytes, type: TensorType) -> np.ndarray[Any, Any]:
    entries = parse_json(blob.decode(), Place("strings"))
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        raise FormatError("strings need a list of them")
    flat = np.empty(len(entries), object)
    flat[:] = entries
    return flat.reshape(type.static_shape)
