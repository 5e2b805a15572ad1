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
#: It also drops `optimization_barrier` before it fuses, and then computes a value that is in memory
#: for a convolution again in everything else that reads it; ResNet-20 loses a quarter by that.
_CONVOLUTIONS_ON_CPU = {
    "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT",
    "xla_disable_hlo_passes": "cse_barrier_expander",
}

#: Without barriers XLA finds that what is computed again was computed before, and keeps it.
_BARRIERS_ON_CPU = {"xla_disable_hlo_passes": "cse_barrier_expander"}


def training_options(graph: Graph, recomputes: bool = False) -> dict[str, str] | None:
    """The options for the program that trains with `graph`; None for the defaults.

    Args:
        recomputes: whether some of its values are computed again for gradients.
    """
    first, end = _MEASURED
    if jax.default_backend() != "cpu" or not first <= jax.__version_info__ < end:
        return None
    if values_to_keep(graph):
        return _CONVOLUTIONS_ON_CPU
    return _BARRIERS_ON_CPU if recomputes else None


def values_to_keep(graph: Graph) -> frozenset[str]:
    """Names of the values that convolutions read, which are in memory in any case."""
    convolutions = (node for node in graph.nodes if isinstance(node.op, (Conv, ConvTranspose)))
    return frozenset(node.inputs[0].name for node in convolutions if node.inputs[0] is not None)
