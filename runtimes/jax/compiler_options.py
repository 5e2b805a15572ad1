"""Options of XLA's compiler for a program, by backend and version of JAX.

An option stands here where it was measured; every other backend and version gets XLA's defaults.
"""

from __future__ import annotations

import jax

from kcompile.ir.graph import Graph
from kcompile.ir.ops import Conv, ConvTranspose

#: Versions of JAX, from and below, that know the options below and were measured with them.
_MEASURED = ((0, 10), (0, 11))

#: By default XLA's CPU backend fuses convolutions into loops that run on one thread; with library
#: calls for single dots only, it computes them 1.2 to 15 times faster. Programs without
#: convolutions lose by it: softmax 2 to 4 times, LSTM 10-19 %.
_CONVOLUTIONS_ON_CPU = {
    "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT"
}


def training_options(graph: Graph) -> dict[str, str] | None:
    """The options for the program that trains with `graph`; None for the defaults."""
    has_convolution = any(isinstance(node.op, (Conv, ConvTranspose)) for node in graph.nodes)
    if jax.default_backend() != "cpu" or not has_convolution:
        return None
    first, end = _MEASURED
    return _CONVOLUTIONS_ON_CPU if first <= jax.__version_info__ < end else None
