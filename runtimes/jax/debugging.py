"""Where a training step stopped being finite: the step once more, node by node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from kcompile.ir.graph import Graph, Node
from kcompile.runtimes.binding import bind_arrays
from kcompile.runtimes.jax.lowering import lower_node

Arrays = Mapping[str, jax.Array]


def find_non_finite(graph: Graph, loss: str, arrays: Arrays, trained: list[str]) -> str:
    """What made the loss or a gradient NaN or infinite, as a sentence without an end.

    A value that is infinite on purpose, as what a mask leaves out, is not what is looked for: the
    way goes back from the loss, and from the gradients of weights, along what is not finite.

    Args:
        graph: of the step.
        loss: name of the output to begin with.
        arrays: all inputs of the graph.
        trained: names of the inputs whose gradients count.
    """
    bound, env = bind_arrays(graph, arrays)
    inputs = {name: jnp.asarray(array) for name, array in bound.items()}
    output = next(out.value.name for out in graph.outputs if out.name == loss)
    values = _values(graph, inputs, env, {})
    if not _is_finite(values[output]):
        return _forward_cause(graph, values, output)
    zeros = {
        name: jnp.zeros_like(value)
        for name, value in values.items()
        if jnp.issubdtype(value.dtype, jnp.floating)
    }
    gradients = jax.grad(lambda taps: _values(graph, inputs, env, taps)[output].sum())(zeros)
    for name in trained:
        if not _is_finite(gradients[name]):
            return _backward_cause(graph, gradients, name)
    return "the loss and all gradients are finite, so the optimizer's update of a weight is not"


def _values(
    graph: Graph, inputs: Arrays, env: Mapping[str, int], taps: Arrays
) -> dict[str, jax.Array]:
    """All values by name, each with what `taps` has for it added."""
    values = {name: value + taps.get(name, 0) for name, value in inputs.items() if name in taps}
    values = {**inputs, **values}
    for node in graph.nodes:
        for value, result in zip(node.outputs, lower_node(graph, node, values, env), strict=True):
            values[value.name] = result + taps[value.name] if value.name in taps else result
    return values


def _forward_cause(graph: Graph, values: Arrays, name: str) -> str:
    """The node that makes something not finite of what is, on the way back from a value."""
    while (node := graph.producers.get(name)) is not None:
        bad = [v.name for v in node.inputs if v is not None and not _is_finite(values[v.name])]
        if not bad:
            return f"{_kind(values[name])} is made by {_described(node)}, from finite numbers"
        # NaN rather than infinity, which can be meant.
        name = min(bad, key=lambda n: not bool(jnp.isnan(values[n]).any()))
    return f"{_kind(values[name])} is in the input '{name}'"


def _backward_cause(graph: Graph, gradients: Arrays, name: str) -> str:
    """The node whose gradient is not finite though those of its results are."""
    kind = _kind(gradients[name])
    while True:
        users = [n for n in graph.nodes if any(v is not None and v.name == name for v in n.inputs)]
        bad = [
            value.name
            for node in users
            for value in node.outputs
            if value.name in gradients and not _is_finite(gradients[value.name])
        ]
        if not bad:
            node = users[-1]
            return f"{kind} is made by the gradient of {_described(node)}, from finite numbers"
        name = bad[-1]


def _described(node: Node) -> str:
    layer = f"layer '{node.source}'" if node.source else "the loss or a metric"
    return f"{layer} (op {type(node.op).__name__}, value '{node.outputs[0].name}')"


def _kind(array: jax.Array) -> str:
    return "NaN" if bool(jnp.isnan(array).any()) else "an infinity"


def _is_finite(array: Any) -> bool:
    if not jnp.issubdtype(array.dtype, jnp.floating):
        return True
    return bool(jnp.isfinite(array).all())
