"""Pictures of models, through pydot and Graphviz."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kcompile.ir.errors import DataError, SpecError
from kcompile.layers.base import Layer
from kcompile.models import Functional, Model, Sequential
from kcompile.ops.structure import leaves


def _pydot() -> Any:
    try:
        import pydot
    except ImportError as error:
        raise DataError("pictures of models need pydot", hint="pip install pydot") from error
    return pydot


def model_to_dot(
    model: Model,
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = True,
    rankdir: str = "TB",
    expand_nested: bool = False,
    dpi: int = 200,
    subgraph: bool = False,
    show_layer_activations: bool = False,
    show_trainable: bool = False,
    splines: str = "ortho",
    **kwargs: Any,
) -> Any:
    """A `pydot.Dot` of the layers, with an edge for each tensor between two of them.

    Args:
        show_shapes, show_dtype, show_layer_names, show_layer_activations, show_trainable: what
            stands in a layer's box beside its class.
        rankdir: TB from top to bottom, LR from left to right.
        expand_nested: whether a model inside is drawn with its layers.
        dpi: dots per inch.
        subgraph: whether a `pydot.Cluster` is made instead.
        splines: how edges run, as Graphviz names it.

    Raises:
        DataError: pydot is not installed.
        SpecError: the model is not built, or an argument is unknown.
    """
    if kwargs:
        raise SpecError(f"model_to_dot has no argument {sorted(kwargs)[0]!r}")
    if not model.built:
        raise SpecError(
            "has no layers to draw yet", where=f"model '{model.name}'", hint="Build it first"
        )
    functional = model.functional if isinstance(model, Sequential) else model
    if not isinstance(functional, Functional):
        raise SpecError("only functional and sequential models can be drawn", where=model.name)
    pydot = _pydot()
    shown = {
        "show_shapes": show_shapes,
        "show_dtype": show_dtype,
        "show_layer_names": show_layer_names,
        "show_layer_activations": show_layer_activations,
        "show_trainable": show_trainable,
    }
    dot = pydot.Cluster(model.name, label=model.name) if subgraph else pydot.Dot()
    dot.set("rankdir", rankdir)
    dot.set("splines", splines)
    dot.set("dpi", dpi)
    dot.set_node_defaults(shape="record")
    for operation in functional.operations:
        inside = operation if expand_nested and isinstance(operation, Model) else None
        if inside is not None:
            below: dict[str, Any] = {**shown, "rankdir": rankdir, "dpi": dpi, "splines": splines}
            dot.add_subgraph(model_to_dot(inside, subgraph=True, expand_nested=True, **below))
        dot.add_node(pydot.Node(_key(model, operation), label=_label(operation, shown)))
    inputs = set(functional.inputs)
    for node in functional.call_nodes:
        for tensor in node.inputs:
            if tensor in inputs or tensor.node in functional.call_nodes:
                start, end = _key(model, tensor.node.operation), _key(model, node.operation)
                dot.add_edge(pydot.Edge(start, end))
    return dot


def _key(model: Model, operation: Any) -> str:
    return f'"{model.name}/{operation.name}"'


def _label(operation: Any, shown: dict[str, bool]) -> str:
    """The lines of a layer's box."""
    is_layer = isinstance(operation, Layer)
    kind = type(operation).__name__ if is_layer else operation.function_name
    lines = [f"{operation.name} ({kind})" if shown["show_layer_names"] else kind]
    activation = getattr(operation, "activation", None)
    if shown["show_layer_activations"] and activation is not None:
        lines.append(f"activation: {getattr(activation, '__name__', activation)}")
    tensors = [t for n in operation.nodes[:1] for t in leaves(n.outputs) if t is not None]
    if shown["show_shapes"]:
        lines.append("output shape: " + ", ".join(str(tensor.shape) for tensor in tensors))
    if shown["show_dtype"]:
        lines.append("output dtype: " + ", ".join(tensor.dtype for tensor in tensors))
    if shown["show_trainable"] and is_layer and operation.weights:
        lines.append("trainable" if operation.trainable else "not trainable")
    text = "|".join(lines).replace("<", r"\<").replace(">", r"\>").replace('"', "'")
    return '"{' + text + '}"'


def plot_model(
    model: Model,
    to_file: Any = "model.png",
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = False,
    rankdir: str = "TB",
    expand_nested: bool = False,
    dpi: int = 200,
    show_layer_activations: bool = False,
    show_trainable: bool = False,
    splines: str = "ortho",
    **kwargs: Any,
) -> Path:
    """Write a picture of the layers, in the format that the file's ending says; gives its path.

    Args: as of `model_to_dot`. A file that ends in .dot needs no Graphviz.

    Raises:
        DataError: pydot or Graphviz is not installed, or Graphviz fails.
    """
    dot = model_to_dot(
        model, show_shapes, show_dtype, show_layer_names, rankdir, expand_nested, dpi, False,
        show_layer_activations, show_trainable, splines, **kwargs,
    )  # fmt: skip
    path = Path(to_file)
    ending = path.suffix.removeprefix(".") or "png"
    if ending == "dot":
        path.write_text(dot.to_string(), encoding="utf-8")
        return path
    try:
        dot.write(str(path), format=ending)
    except (FileNotFoundError, AssertionError) as error:  # what pydot raises without `dot`
        raise DataError(
            f"Graphviz's program `dot` made no {ending} file",
            where=str(path),
            hint="Install Graphviz, or write a .dot file",
        ) from error
    return path
