"""Compiled models as objects, and as files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from kcompile.ir.errors import ExportError, FormatError, KCompileError
from kcompile.ir.graph import Graph

if TYPE_CHECKING:
    from kcompile.formats.executables import Contents
    from kcompile.passes.pipelines import LogEntry


class Runtime(Protocol):
    """Something that runs a compiled model."""

    def run(self, inputs: Any) -> dict[str, np.ndarray[Any, Any]]:
        """The outputs by name."""


class Executable:
    """A compiled model.

    Attributes:
        target: `onnx`, `xla` or `reference`.
        report: what was done: `target`, `graph` (name), `parameters`, `nodes`, `passes`, and for
            onnx `opset`, `ir_version`, `file_bytes`, `ops`, `verification`.
        log: what each pass did; empty if it comes from a file.
    """

    def __init__(
        self,
        target: str,
        graph: Graph | None,
        runtime: Runtime,
        report: dict[str, Any],
        log: tuple[LogEntry, ...],
        data: bytes | None = None,
    ) -> None:
        self.target = target
        self._graph = graph
        self.report = report
        self.log = log
        self.runtime = runtime
        self._data = data
        #: Keys of a dict of inputs, and the names of these inputs.
        self.input_names: dict[str, str] = {}

    @property
    def graph(self) -> Graph:
        """The graph that the target got, after the passes.

        Raises:
            FormatError: the executable comes from an ONNX file, which does not hold it.
        """
        if self._graph is None:
            raise FormatError("an ONNX file does not hold the graph that it was made from")
        return self._graph

    def run(self, inputs: Any) -> dict[str, np.ndarray[Any, Any]]:
        """The outputs by name.

        Args:
            inputs: an array, a sequence of arrays, or arrays by input name; for a model that was
                defined with a dict of inputs also by its keys.

        Raises:
            DataError: they do not fit the inputs, or a saved XLA program is for other sizes.
        """
        if not isinstance(inputs, (Mapping, list, tuple)):
            inputs = [inputs]
        if isinstance(inputs, Mapping) and set(inputs) == set(self.input_names):
            inputs = {self.input_names[key]: array for key, array in inputs.items()}
        return self.runtime.run(inputs)

    def to_bytes(self, batch_sizes: Sequence[int] = ()) -> bytes:
        """The file's contents; see `save`."""
        if batch_sizes and self.target != "xla":
            raise ExportError(f"an executable of '{self.target}' takes any number of rows")
        if self._data is not None:
            return self._data
        return _pack(self, batch_sizes)

    def save(self, path: str | Path, *, batch_sizes: Sequence[int] = ()) -> None:
        """Write the file, or leave what was there as it was.

        An `onnx` executable is an ONNX file. The others are files of kcompile's own, which
        `load_executable` reads; one of `xla` holds machine code for this kind of machine and these
        versions of kcompile and jax, and runs without compiling.

        Args:
            path: of the file.
            batch_sizes: for `xla`, the numbers of rows to compile for, unless compiling fixed it.

        Raises:
            ExportError: a symbolic size of an XLA program has no number, or the model has strings.
        """
        from kcompile.utils.atomic import require_folder, write_bytes

        require_folder(path)
        write_bytes(Path(path), self.to_bytes(batch_sizes))

    def __repr__(self) -> str:
        return f"<Executable {self.target} of '{self.report.get('graph', 'a file')}'>"


def load_executable(path: str | Path, *, trusted: bool = False) -> Executable:
    """The executable in a file that `Executable.save` or `kcompile compile` wrote.

    Args:
        path: of an ONNX file, or of one of kcompile's own.
        trusted: whether machine code in the file may be run; only files of `xla` hold any. It runs
            with your rights: say so of files alone that nobody else could write.

    Raises:
        FormatError: it is no executable, damaged, made for another machine or version, or holds
            machine code and is not trusted.
        OSError: it cannot be read.
    """
    from kcompile.formats.container import is_container
    from kcompile.formats.executables import read

    if not is_container(path):
        return _load_onnx(Path(path))
    contents = read(path)
    name = Path(path).name
    runtime = _load_xla(contents, name, trusted) if contents.target == "xla" else _plain(contents)
    executable = Executable(contents.target, contents.graph, runtime, dict(contents.report), ())
    executable.input_names = dict(contents.input_names)
    return executable


def _load_onnx(path: Path) -> Executable:
    from kcompile.runtimes.onnxruntime.session import OnnxRuntimeExecutable

    data = path.read_bytes()
    try:
        session = OnnxRuntimeExecutable(data)
    except KCompileError as error:
        raise FormatError(
            f"it is no executable of kcompile, and no ONNX file: {error}", where=path.name
        ) from error
    return Executable("onnx", None, session, {"target": "onnx", "file_bytes": len(data)}, (), data)


def _plain(contents: Contents) -> Runtime:
    from kcompile.runtimes.reference import ReferenceExecutable

    return ReferenceExecutable(contents.graph, contents.weights)


def _load_xla(contents: Contents, name: str, trusted: bool) -> Runtime:
    if not trusted:
        raise FormatError(
            "it holds machine code, which would be run as it is",
            where=name,
            hint="If nobody but you could write it, load it with trusted=True",
        )
    from kcompile.runtimes.jax.machine import differences, stamp
    from kcompile.runtimes.jax.saved import SavedExecutable, SavedProgram

    if found := differences(contents.stamp, stamp()):
        raise FormatError(
            f"it was made for another machine or version: {'; '.join(found)}",
            where=name,
            hint="Compile the model again, here",
        )
    programs = [SavedProgram(_rows(rows, name), code) for rows, code in contents.programs.items()]
    try:
        return SavedExecutable(contents.graph, contents.weights, programs)
    except KCompileError as error:
        raise FormatError(str(error), where=name) from error


def _pack(executable: Executable, batch_sizes: Sequence[int]) -> bytes:
    """The file of an executable of one of kcompile's own runtimes."""
    from kcompile.formats.executables import Contents, to_bytes
    from kcompile.runtimes.executable import GraphExecutable

    runtime, graph = executable.runtime, executable.graph
    if not isinstance(runtime, GraphExecutable):
        raise ExportError(f"the target '{executable.target}' has no file form")
    parts = (graph, runtime.weights, executable.report, executable.input_names)
    if executable.target != "xla":
        return to_bytes(Contents(executable.target, *parts))
    from kcompile.runtimes.jax.machine import stamp
    from kcompile.runtimes.jax.saved import compile_ahead

    programs = compile_ahead(graph, batch_sizes)
    code = {_ANY if p.batch_size is None else str(p.batch_size): p.code for p in programs}
    return to_bytes(Contents("xla", *parts, stamp(), code))


#: The name of the program of a graph without symbolic sizes.
_ANY = "any"


def _rows(text: str, name: str) -> int | None:
    """The number of rows that the name of a program tells."""
    if text == _ANY:
        return None
    if not text.isascii() or not text.isdecimal() or len(text) > 18:
        raise FormatError(f"a program is for {text!r} rows", where=name)
    return int(text)
