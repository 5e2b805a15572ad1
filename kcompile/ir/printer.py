"""Graphs to text. `kcompile.ir.parser` reads the text back to an equal graph.

    graph @name {
      data %x : f32[batch,784]
      param %dense/kernel : f32[784,10]
      %dense:matmul : f32[batch,10] = matmul(%x, %dense/kernel) @"dense"
      output "scores" = %dense:matmul
    }

An operand that is left out is `_`. Attributes that have their default are not written. Constants
with more than 64 elements are written as the SHA-256 digest of their type and bytes; the parser
takes those arrays separately.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from kcompile.ir.dims import Dim
from kcompile.ir.errors import VerifyError
from kcompile.ir.graph import PLAIN_NAME, Graph, Node, Value
from kcompile.ir.literal import Literal
from kcompile.ir.op import Op
from kcompile.ir.types import DType

MAX_INLINE_ELEMENTS = 64


def print_graph(graph: Graph) -> str:
    """The text form of `graph`, ending in a newline."""
    return "\n".join(_graph_lines(graph, "")) + "\n"


def _graph_lines(graph: Graph, indent: str) -> list[str]:
    inner = indent + "  "
    lines = [f"graph @{_name(graph.name)} {{"]
    lines += [f"{inner}{entry.role} %{_name(entry.name)} : {entry.type}" for entry in graph.inputs]
    lines += [f"{inner}{_print_node(node, inner)}" for node in graph.nodes]
    lines += [
        f"{inner}output {json.dumps(output.name)} = %{_name(output.value.name)}"
        for output in graph.outputs
    ]
    lines += [
        f"{inner}update %{_name(update.state.name)} = %{_name(update.value.name)}"
        for update in graph.updates
    ]
    return [*lines, f"{indent}}}"]


def _name(name: str) -> str:
    return name if PLAIN_NAME.match(name) else json.dumps(name)


def print_op(op: Op, indent: str = "") -> str:
    """The attributes of `op` that are not their default: `{strides=[1,1]}`, or ""."""
    written = []
    for field in dataclasses.fields(op):  # type: ignore[arg-type]
        value = getattr(op, field.name)
        if field.default is not dataclasses.MISSING and _same(value, field.default):
            continue
        written.append(f"{field.name}={_print_attribute(value, indent)}")
    return f"{{{', '.join(written)}}}" if written else ""


def _same(value: Any, default: Any) -> bool:
    return type(value) is type(default) and value == default


def _print_node(node: Node, indent: str) -> str:
    results = ", ".join(f"%{_name(value.name)} : {value.type}" for value in node.outputs)
    operands = ", ".join(_print_operand(value) for value in node.inputs)
    attributes = print_op(node.op, indent)
    source = f" @{json.dumps(node.source)}" if node.source else ""
    return f"{results} = {node.op.name}({operands}){attributes and ' ' + attributes}{source}"


def _print_operand(value: Value | None) -> str:
    return "_" if value is None else f"%{_name(value.name)}"


def _print_attribute(value: Any, indent: str) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return "true" if value else "false"
        case int() | float() | DType() | Dim():
            return str(value)
        case str():
            return json.dumps(value)
        case tuple():
            return f"[{','.join(_print_attribute(entry, indent) for entry in value)}]"
        case Literal():
            return print_literal(value)
        case Graph():
            return "\n".join(_graph_lines(value, indent))
        case _:
            raise VerifyError(f"an attribute cannot be {value!r}: it has no text form")


def print_literal(literal: Literal) -> str:
    """`f32[2]<1.0, 2.0>`, or the digest of a big array."""
    if literal.array.size > MAX_INLINE_ELEMENTS:
        return f'{literal.type}<sha256 "{literal.digest}">'
    return f"{literal.type}<{', '.join(map(_print_element, literal.array.ravel()))}>"


def _print_element(element: Any) -> str:
    if isinstance(element, str):
        return json.dumps(element)
    text = str(float(element) if element.dtype == DType.BFLOAT16.numpy else element)
    return text.lower() if text in ("True", "False") else text
