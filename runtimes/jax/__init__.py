"""The JAX runtime: a graph as a pure JAX function, compiled by XLA.

Importing this package fills the table of lowerings.
"""

from kcompile.runtimes.jax import (
    activation,
    arithmetic,
    attention,
    bitwise,
    constant,
    control,
    convolution,
    cumulative,
    elementwise,
    gradient,
    indexing,
    layer_norm,
    linear,
    loss,
    normalization,
    pooling,
    random,
    rearrangement,
    recurrent,
    reduction,
    resizing,
    shape,
    sorting,
    strings,
    transposed,
    trigonometry,
)
from kcompile.runtimes.jax.eager import compile_graph, run_graph
from kcompile.runtimes.jax.executable import JaxExecutable
from kcompile.runtimes.jax.lowering import lower

__all__ = [
    "JaxExecutable",
    "activation",
    "arithmetic",
    "attention",
    "bitwise",
    "compile_graph",
    "constant",
    "control",
    "convolution",
    "cumulative",
    "elementwise",
    "gradient",
    "indexing",
    "layer_norm",
    "linear",
    "loss",
    "lower",
    "normalization",
    "pooling",
    "random",
    "rearrangement",
    "recurrent",
    "reduction",
    "resizing",
    "run_graph",
    "shape",
    "sorting",
    "strings",
    "transposed",
    "trigonometry",
]
