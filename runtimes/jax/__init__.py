"""The JAX runtime: a graph as a pure JAX function, compiled by XLA.

Importing this package fills the table of lowerings.
"""

from kcompile.runtimes.jax import (
    activation,
    constant,
    convolution,
    elementwise,
    linear,
    loss,
    normalization,
    pooling,
    random,
    reduction,
    shape,
)
from kcompile.runtimes.jax.eager import compile_graph, run_graph
from kcompile.runtimes.jax.executable import JaxExecutable
from kcompile.runtimes.jax.lowering import lower

__all__ = [
    "JaxExecutable",
    "activation",
    "compile_graph",
    "constant",
    "convolution",
    "elementwise",
    "linear",
    "loss",
    "lower",
    "normalization",
    "pooling",
    "random",
    "reduction",
    "run_graph",
    "shape",
]
