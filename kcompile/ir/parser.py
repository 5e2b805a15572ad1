"""Text to graphs: the inverse of `kcompile.ir.printer`."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import numpy as np

import kcompile.ir.ops  # noqa: F401  (registers the ops)
from kcompile.ir import dims
from kcompile.ir.dims import Size
from kcompile.ir.errors import KCompileError, ParseError
from kcompile.ir.graph import Graph, Input, Node, Output, Role, Update, Value
from kcompile.ir.literal import Literal
from kcompile.ir.op import OPS, Op
from kcompile.ir.types import DType, TensorType

_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<value>%(?:[A-Za-z0-9_.:/\-]+|"(?:[^"\\]|\\.)*"))
      | (?P<name>@(?:[A-Za-z0-9_.:/\-]+|"(?:[^"\\]|\\.)*"))
      | (?P<string>"(?:[^"\\]|\\.)*")
      | (?P<number>-?(?:inf\b|nan\b|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?))
      | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<symbol>//|[-+*(){}\[\]<>=:,])
    """,
    re.VERBOSE,
)
_DTYPES = {dtype.value: dtype for dtype in DType}
_ROLES = {role.value: role for role in Role}
_WORDS = {"none": None, "true": True, "false": False}


def parse_graph(text: str, literals: Mapping[str, Literal] | None = None) -> Graph:
    """The graph that `text` is the text form of.

    Args:
        text: what `print_graph` writes.
        literals: the big constants, by their digest.

    Raises:
        ParseError: with the line, what was expected and what stands there.
        VerifyError: the text is well-formed and the graph is not.
    """
    parser = _Parser(text, literals or {})
    graph = parser.graph()
    parser.expect_end()
    return graph


def parse_size(text: str) -> Size:
    """The size written as `text`: `28`, `batch`, `2*time+1`, `(height-3)//2+1`, `max(a, 3)`."""
    parser = _Parser(text, {})
    size = parser.size()
    parser.expect_end()
    return size


def parse_type(text: str) -> TensorType:
    """The tensor type written as `text`: `f32[batch,784]`."""
    parser = _Parser(text, {})
    found = parser.tensor_type()
    parser.expect_end()
    return found


class _Parser:
    def __init__(self, text: str, literals: Mapping[str, Literal]) -> None:
        self.text = text
        self.literals = literals
        self.tokens: list[tuple[str, str, int]] = []
        self.position = 0
        at = 0
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise self._error(f"{text[at]!r} is not part of the text form", at)
            kind = match.lastgroup or ""
            if kind != "space":
                self.tokens.append((kind, match.group(), at))
            at = match.end()
        self.tokens.append(("end", "the end", len(text)))

    # Tokens

    def _error(self, message: str, at: int) -> ParseError:
        return ParseError(message, where=f"line {self.text.count(chr(10), 0, at) + 1}")

    def fail(self, expected: str) -> NoReturn:
        _, text, at = self.tokens[self.position]
        raise self._error(f"expected {expected}, got {text}", at)

    @property
    def kind(self) -> str:
        return self.tokens[self.position][0]

    def peek(self, *texts: str) -> bool:
        return self.tokens[self.position][1] in texts and self.kind != "string"

    def take(self, kind: str, expected: str | None = None) -> str:
        if self.kind != kind:
            self.fail(expected or f"a {kind}")
        self.position += 1
        return self.tokens[self.position - 1][1]

    def accept(self, text: str) -> bool:
        if self.peek(text):
            self.position += 1
            return True
        return False

    def expect(self, text: str) -> None:
        if not self.accept(text):
            self.fail(f"'{text}'")

    def expect_end(self) -> None:
        if self.kind != "end":
            self.fail("the end")

    def list_of(self, entry: Callable[[], Any], closing: str) -> list[Any]:
        """Entries with commas between them, up to and with `closing`."""
        entries: list[Any] = []
        while not self.accept(closing):
            if entries:
                self.expect(",")
            entries.append(entry())
        return entries

    def string(self) -> str:
        return str(json.loads(self.take("string")))

    def named(self, kind: str) -> str:
        text = self.take(kind)[1:]
        return str(json.loads(text)) if text.startswith('"') else text

    # Sizes and types

    def size(self) -> Size:
        negative = self.accept("-")
        total = self._product()
        total = -total if negative else total
        while True:
            if self.accept("+"):
                total = total + self._product()
            elif self.accept("-"):
                total = total - self._product()
            elif self.kind == "number" and self.tokens[self.position][1].startswith("-"):
                total = total + self._product()
            else:
                return total

    def _product(self) -> Size:
        value = self._factor()
        while self.peek("*", "//"):
            multiplies = self.accept("*")
            if not multiplies:
                self.expect("//")
            factor = self._factor()
            value = value * factor if multiplies else dims.floor_div(value, factor)
        return value

    def _factor(self) -> Size:
        if self.accept("("):
            value = self.size()
            self.expect(")")
            return value
        if self.kind == "number":
            text = self.take("number")
            if not text.lstrip("-").isdigit():
                self.position -= 1
                self.fail("a whole number")
            return int(text)
        word = self.take("word", "a size")
        if word in ("max", "min"):
            self.expect("(")
            operands = self.list_of(self.size, ")")
            return dims.maximum(*operands) if word == "max" else dims.minimum(*operands)
        return dims.symbol(word)

    def tensor_type(self) -> TensorType:
        dtype = self.dtype()
        self.expect("[")
        return TensorType(dtype, tuple(self.list_of(self.size, "]")))

    def dtype(self) -> DType:
        word = self.take("word", "an element type")
        if word not in _DTYPES:
            self.position -= 1
            self.fail("an element type")
        return _DTYPES[word]

    # Attributes

    def attributes(self, op_class: type[Op]) -> Op:
        fields = {field.name: field for field in dataclasses.fields(op_class)}  # type: ignore[arg-type]
        values: dict[str, Any] = {}
        if self.accept("{"):
            while not self.accept("}"):
                if values:
                    self.expect(",")
                name = self.take("word", "an attribute's name")
                if name not in fields or name in values:
                    self.position -= 1
                    self.fail(f"an attribute of {op_class.name} that is not yet given")
                self.expect("=")
                is_dtype = "DType" in str(fields[name].type)
                values[name] = self.dtype() if is_dtype else self.attribute()
        try:
            return op_class(**values)
        except TypeError as error:
            raise self._error(f"{op_class.name}: {error}", self.tokens[self.position][2]) from None

    def attribute(self) -> Any:
        kind, text, _ = self.tokens[self.position]
        if kind == "string":
            return self.string()
        if kind == "number" and not re.fullmatch(r"-?\d+", text):
            return float(self.take("number"))
        if self.accept("["):
            return tuple(self.list_of(self.attribute, "]"))
        if kind == "word" and text in _WORDS:
            self.position += 1
            return _WORDS[text]
        if kind == "word" and text == "graph":
            return self.graph()
        if kind == "word" and text in _DTYPES and self.tokens[self.position + 1][1] == "[":
            return self.literal()
        return self.size()

    def literal(self) -> Literal:
        type = self.tensor_type()
        self.expect("<")
        if self.accept("sha256"):
            digest = self.string()
            self.expect(">")
            if digest not in self.literals:
                raise ParseError(
                    f"the constant {type} with digest {digest} is not in the text",
                    hint="Pass it in `literals`",
                )
            return self.literals[digest]
        elements = self.list_of(self._element, ">")
        array = np.array(elements, dtype=type.dtype.numpy)
        return Literal(array.reshape(type.static_shape))

    def _element(self) -> Any:
        if self.kind == "string":
            return self.string()
        if self.peek("true", "false"):
            return _WORDS[self.take("word")]
        text = self.take("number")
        return int(text) if re.fullmatch(r"-?\d+", text) else float(text)

    # Graphs

    def graph(self) -> Graph:
        self.expect("graph")
        name = self.named("name")
        self.expect("{")
        values: dict[str, Value] = {}
        inputs: list[Input] = []
        while self.peek(*_ROLES):
            role = _ROLES[self.take("word")]
            inputs.append(Input(self.definition(values), role))
        nodes = []
        while self.kind == "value":
            nodes.append(self.node(values))
        outputs = []
        while self.accept("output"):
            label = self.string()
            self.expect("=")
            outputs.append(Output(label, self.use(values)))
        updates = []
        while self.accept("update"):
            state = self.use(values)
            self.expect("=")
            updates.append(Update(state, self.use(values)))
        self.expect("}")
        return Graph(name, tuple(inputs), tuple(nodes), tuple(outputs), tuple(updates))

    def definition(self, values: dict[str, Value]) -> Value:
        name = self.named("value")
        self.expect(":")
        value = Value(name, self.tensor_type())
        values.setdefault(name, value)
        return value

    def use(self, values: dict[str, Value]) -> Value:
        at = self.tokens[self.position][2]
        name = self.named("value")
        if name not in values:
            raise self._error(f"the value %{name} is not defined before it", at)
        return values[name]

    def operand(self, values: dict[str, Value]) -> Value | None:
        return None if self.accept("_") else self.use(values)

    def node(self, values: dict[str, Value]) -> Node:
        made: dict[str, Value] = {}
        results = [self.definition(made)]
        while self.accept(","):
            results.append(self.definition(made))
        self.expect("=")
        name = self.take("word", "an op")
        if name not in OPS:
            self.position -= 1
            self.fail("an op")
        self.expect("(")
        operands = tuple(self.list_of(lambda: self.operand(values), ")"))
        try:
            op = self.attributes(OPS[name])
        except KCompileError as error:
            raise error.located(f"%{results[0].name} = {name}") from None
        source = self.named("name") if self.kind == "name" else ""
        for result in results:
            values.setdefault(result.name, result)
        return Node(op, operands, tuple(results), source)
