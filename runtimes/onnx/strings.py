"""Strings.

onnxruntime splits at spaces and at delimiters of a node's own, and has no other way into a string;
its StringConcat appends to what Scan's buffers hold from earlier steps, so that pieces are joined
in a Loop. StringNormalizer's locale "C" is there on every system, and changes ASCII alone.
"""

from __future__ import annotations

import numpy as np

from kcompile.ir.dims import Size, symbol
from kcompile.ir.graph import Value
from kcompile.ir.ops import AsciiLower, CountTokens, Lookup, RemoveCharacters, SplitString
from kcompile.ir.ops.strings import WHITESPACE, Tokens
from kcompile.ir.types import DType, TensorType
from kcompile.runtimes.onnx.emitter import Emitter, OnnxGraph
from kcompile.runtimes.onnx.table import lowers

_ML = "ai.onnx.ml"
_FAR = 2**40  # beyond every number of tokens


@lowers(AsciiLower)
def _ascii_lower(emitter: Emitter, op: AsciiLower, x: Value) -> Value:
    flat = _flatten(emitter, x)
    lower = emitter.emit(
        "StringNormalizer",
        [flat],
        flat.type,
        case_change_action="LOWER",
        is_case_sensitive=1,
        locale="C",
    )
    return _reshape(emitter, lower, x.type.shape)


@lowers(RemoveCharacters, opset=20)
def _remove_characters(emitter: Emitter, op: RemoveCharacters, x: Value) -> Value:
    flat = _flatten(emitter, x)
    for character in op.characters:
        flat = _replace(emitter, flat, character, "")
    return _reshape(emitter, flat, x.type.shape)


@lowers(SplitString, opset=20)
def _split_string(emitter: Emitter, op: SplitString, x: Value) -> Value:
    tokens = _tokens(emitter, op.tokens, x)
    if len(op.ngrams) > 1:
        tokens = _without_gaps(emitter, tokens)
    rows = tokens.type.shape[0]
    padded = _concatenate(emitter, [tokens, _empty(emitter, rows, op.length)])
    return _reshape(emitter, _columns(emitter, padded, 0, op.length), emitter.result.shape)


@lowers(CountTokens, opset=20)
def _count_tokens(emitter: Emitter, op: CountTokens, x: Value) -> Value:
    """Adds ones to a table of zeros; the gaps behind a row's tokens go to one column more."""
    tokens = _tokens(emitter, op.tokens, x)
    rows, width = tokens.type.shape
    index = {token: place for place, token in enumerate(op.vocabulary.array.tolist(), 1)}
    index[""] = op.depth
    ids = _encode(emitter, tokens, list(index), list(index.values()), 0)
    one = emitter.scalar(1, DType.FLOAT32)
    shape = emitter.emit("Shape", [ids], TensorType(DType.INT64, (2,)))
    ones = emitter.emit("Expand", [one, shape], TensorType(DType.FLOAT32, (rows, width)))
    zeros = emitter.filled(0, TensorType(DType.FLOAT32, (rows, op.depth + 1)))
    counts = emitter.emit_many(
        "ScatterElements", [zeros, ids, ones], [zeros.type], axis=1, reduction="add"
    )[0]
    return _reshape(emitter, _columns(emitter, counts, 0, op.depth), emitter.result.shape)


@lowers(Lookup)
def _lookup(emitter: Emitter, op: Lookup, x: Value) -> Value:
    """Where there is no default, what is not found becomes an index that Gather refuses."""
    dtype = emitter.result.dtype
    if x.type.dtype is DType.UINT64:
        raise emitter.refusal("ONNX looks up int64, which uint64 does not fit")
    if x.type.dtype is not DType.STRING:
        x = emitter.cast(x, DType.INT64)
    keys, values = op.keys.array.tolist(), op.values.array.tolist()
    if op.default is not None:
        return emitter.cast(_encode(emitter, x, keys, values, op.default), dtype)
    places = _encode(emitter, x, keys, list(range(len(keys))), len(keys))
    if dtype is DType.STRING:
        raise emitter.refusal("a string for each integer needs one for all others")
    table = emitter.constant(op.values.array, dtype)
    return emitter.emit("Gather", [table, places], emitter.result, axis=0)


def _encode(
    emitter: Emitter, x: Value, keys: list[object], values: list[object], default: int | str
) -> Value:
    """x with each key replaced by its value: int64, or strings if the default is one."""
    kind = "string" if isinstance(default, str) else "int64"
    type = x.type.with_dtype(DType(kind if kind == "string" else "i64"))
    key_kind = "string" if x.type.dtype is DType.STRING else "int64"
    attributes = {
        f"keys_{key_kind}s": keys,
        f"values_{kind}s": values,
        f"default_{kind}": default,
    }
    return emitter.emit_many("LabelEncoder", [x], [type], domain=_ML, **attributes)[0]


def _tokens(emitter: Emitter, tokens: Tokens, x: Value) -> Value:
    """The tokens `[N, T]` of all strings in x; "" where there are none."""
    if tokens.separator != "whitespace":
        raise emitter.refusal("ONNX cannot split a string into characters")
    flat = _flatten(emitter, x)
    for character in WHITESPACE.replace(" ", ""):
        flat = _replace(emitter, flat, character, " ")
    words = _split(emitter, flat, "")
    if not tokens.ngrams:
        return words
    return _concatenate(emitter, [_ngrams(emitter, words, width) for width in tokens.ngrams])


def _ngrams(emitter: Emitter, words: Value, width: int) -> Value:
    """`width` words in a row, as many as there are words; "" where one is missing."""
    if width == 1:
        return words
    rows, _ = words.type.shape
    padded = _concatenate(emitter, [words, _empty(emitter, rows, width - 1)])
    joined = words
    for start in range(1, width):
        last = _columns(emitter, padded, start, start - width + 1 or None, words.type)
        joined = _concat(emitter, _concat(emitter, joined, _text(emitter, " ")), last)
    nothing = _text(emitter, "")
    return emitter.where(_equal(emitter, last, nothing), nothing, joined)


def _without_gaps(emitter: Emitter, tokens: Value) -> Value:
    """Each row's tokens in their order, and then what is empty."""
    is_gap = emitter.cast(_equal(emitter, tokens, _text(emitter, "")), DType.INT64)
    shape = emitter.emit("Shape", [tokens], TensorType(DType.INT64, (2,)))
    axis = emitter.constant(np.asarray(1))
    width = emitter.emit("Gather", [shape, axis], TensorType(DType.INT64, ()), axis=0)
    places = emitter.emit(
        "Range",
        [emitter.constant(np.asarray(0)), width, emitter.constant(np.asarray(1))],
        TensorType(DType.INT64, (tokens.type.shape[1],)),
    )
    far = emitter.elementwise("Mul", is_gap, emitter.constant(np.asarray(_FAR)))
    keys = emitter.elementwise("Add", far, places)
    _, order = emitter.emit_many(
        "TopK",
        [keys, emitter.unsqueeze(width, 0)],
        [keys.type, keys.type],
        axis=1,
        largest=0,
        sorted=1,
    )
    return emitter.emit_many("GatherElements", [tokens, order], [tokens.type], axis=1)[0]


def _replace(emitter: Emitter, flat: Value, character: str, by: str) -> Value:
    """Strings `[N]` with `by` in the place of a character, and perhaps behind them."""
    pieces = _split(emitter, flat, character)
    number, go_on = (
        emitter.formal(TensorType(DType.INT64, ()), "piece"),
        emitter.formal(TensorType(DType.BOOL, ()), "condition"),
    )
    before = emitter.formal(flat.type, "joined")
    given = [emitter.values[entry.name] for entry in emitter.graph.inputs]
    inner = emitter.enter(emitter.graph, given, [])
    piece = inner.emit("Gather", [pieces, number], flat.type, axis=1)
    after = _concat(inner, before, piece)
    if by:
        after = _concat(inner, after, _text(inner, by))
    again = inner.emit("Identity", [go_on], go_on.type)
    body = OnnxGraph("join", (number, go_on, before), tuple(inner.nodes), (again, after))
    shape = emitter.emit("Shape", [pieces], TensorType(DType.INT64, (2,)))
    axis = emitter.constant(np.asarray(1))
    count = emitter.emit("Gather", [shape, axis], TensorType(DType.INT64, ()), axis=0)
    start = emitter.emit("Expand", [_text(emitter, ""), emitter.shape(flat.type.shape)], flat.type)
    return emitter.emit_many("Loop", [count, None, start], [flat.type], body=body)[0]


def _split(emitter: Emitter, flat: Value, delimiter: str) -> Value:
    """The pieces `[N, T]` of strings `[N]`; "" splits at spaces."""
    width = symbol(f"pieces_{len(emitter.wishes)}")
    counts = flat.type.with_dtype(DType.INT64)
    pieces = flat.type.with_shape((*flat.type.shape, width))
    return emitter.emit_many("StringSplit", [flat], [pieces, counts], delimiter=delimiter)[0]


def _flatten(emitter: Emitter, x: Value) -> Value:
    if x.type.rank == 1:
        return x
    return emitter.emit("Reshape", [x, emitter.constant([-1])], x.type.with_shape((x.type.size,)))


def _reshape(emitter: Emitter, x: Value, shape: tuple[Size, ...]) -> Value:
    if x.type.shape == shape:
        return x
    return emitter.emit("Reshape", [x, emitter.shape(shape)], x.type.with_shape(shape))


def _columns(
    emitter: Emitter, x: Value, start: int, end: int | None, type: TensorType | None = None
) -> Value:
    """`x[:, start:end]`."""
    width = end - start if type is None and end is not None else None
    result = type if width is None else x.type.with_shape((x.type.shape[0], width))
    assert result is not None
    ends = [np.iinfo(np.int64).max if end is None else end]
    axes = emitter.constant([1])
    return emitter.emit(
        "Slice", [x, emitter.constant([start]), emitter.constant(ends), axes], result
    )


def _concatenate(emitter: Emitter, parts: list[Value]) -> Value:
    if len(parts) == 1:
        return parts[0]
    first = parts[0].type
    width = sum((part.type.shape[1] for part in parts[1:]), parts[0].type.shape[1])
    return emitter.emit("Concat", parts, first.with_shape((first.shape[0], width)), axis=1)


def _concat(emitter: Emitter, a: Value, b: Value) -> Value:
    return emitter.emit("StringConcat", [a, b], a.type)


def _equal(emitter: Emitter, a: Value, b: Value) -> Value:
    return emitter.emit_many("Equal", [a, b], [a.type.with_dtype(DType.BOOL)])[0]


def _text(emitter: Emitter, text: str) -> Value:
    """A constant of rank 0."""
    return emitter.emit_many("Constant", [], [TensorType(DType.STRING, ())], value_string=text)[0]


def _empty(emitter: Emitter, rows: Size, width: int) -> Value:
    """Empty strings `[rows, width]`."""
    type = TensorType(DType.STRING, (rows, width))
    return emitter.emit("Expand", [_text(emitter, ""), emitter.shape(type.shape)], type)
