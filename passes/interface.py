"""The ends of a graph, as a user wants them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kcompile.ir.graph import Graph
from kcompile.passes.give_shapes import Shape, give_shapes
from kcompile.passes.rename_interface import rename_interface
from kcompile.passes.specialize import specialize
from kcompile.passes.take_channels_first import take_channels_first


@dataclass(frozen=True)
class Interface:
    """What differs at the ends of a graph from what the model says.

    Attributes:
        sizes: numbers for symbolic sizes.
        shapes: of inputs, by the model's names and in the model's layout.
        channels_first: inputs that are given channels first, by the model's names.
        names: new names of inputs and outputs, by the model's.
    """

    sizes: Mapping[str, int] = field(default_factory=dict)
    shapes: Mapping[str, Shape] = field(default_factory=dict)
    channels_first: Sequence[str] = ()
    names: Mapping[str, str] = field(default_factory=dict)

    def apply(self, graph: Graph) -> Graph:
        """`graph` with these ends.

        Raises:
            SpecError: an input, output or size is not there, or a shape does not fit.
            ShapeError: the ops do not accept these sizes.
        """
        graph = give_shapes(specialize(graph, self.sizes), self.shapes)
        return rename_interface(take_channels_first(graph, self.channels_first), self.names)
