"""Which files each release of onnxruntime takes."""

from __future__ import annotations

import re
from dataclasses import dataclass

from kcompile.ir.errors import ExportError, SpecError
from kcompile.ir.graph import Graph
from kcompile.ir.ops.control import all_nodes
from kcompile.runtimes.onnx.emitter import place
from kcompile.runtimes.onnx.table import minimum_opset

TARGET = "onnxruntime=="
_VERSION = re.compile(r"1\.(\d{1,3})(\.\d{1,3})?")


@dataclass(frozen=True)
class Release:
    """A release of onnxruntime, and the newest files that it takes.

    Attributes:
        version: as it was asked for.
        opset: the latest opset of ONNX's own domain.
        ir_version: the latest version of the file format.
    """

    version: str
    opset: int
    ir_version: int

    @property
    def number(self) -> int:
        """The second one of the version."""
        return int(self.version.split(".")[1])


#: By the second number of the version: the latest opset and IR version. Found by loading a file of
#: each opset and each IR version in the CPU build of every release, the last patch of each; the
#: table that onnxruntime publishes (onnxruntime.ai/docs/reference/compatibility.html) agrees where
#: it has a line. All of them run every opset from 7 on.
LIMITS = {
    15: (19, 9),
    16: (19, 9),
    17: (20, 9),
    18: (21, 10),
    19: (21, 10),
    20: (21, 10),
    21: (22, 10),
    22: (22, 10),
    23: (23, 11),
    24: (25, 13),
    25: (26, 13),
    26: (26, 13),
    27: (26, 13),
    28: (26, 13),
    29: (26, 13),
    30: (26, 13),
    31: (26, 13),
    32: (28, 14),
}


def parse_release(target: str) -> Release:
    """The release that a target such as `onnxruntime==1.20.1` names.

    Raises:
        SpecError: it names none, or one that is not in the table.
    """
    version = target.removeprefix(TARGET)
    found = _VERSION.fullmatch(version)
    if not target.startswith(TARGET) or found is None or int(found[1]) not in LIMITS:
        raise SpecError(
            f"{target!r} is no release of onnxruntime that is known here",
            where="target",
            hint=f"Name one of {TARGET}1.{min(LIMITS)} to {TARGET}1.{max(LIMITS)}",
        )
    return Release(version, *LIMITS[int(found[1])])


def check_release(graph: Graph, opset: int | None, release: Release) -> None:
    """Check that a release takes `graph` in a file of `opset`, or of the lowest that will do.

    Raises:
        ExportError: it does not; names the first op that is too new.
    """
    if opset is not None and opset > release.opset:
        raise ExportError(
            f"opset {opset} is asked for, and onnxruntime {release.version} takes at most"
            f" {release.opset}",
            where=f"graph '{graph.name}'",
        )
    for node in all_nodes(graph):
        needed = minimum_opset(node.op)
        if needed > release.opset:
            raise ExportError(
                f"needs opset {needed}, and onnxruntime {release.version} takes at most"
                f" {release.opset}",
                where=place(graph, node),
                hint="Name a later release of onnxruntime",
            )
