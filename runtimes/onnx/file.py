"""An ONNX file whose weights are not in protocol buffers, which would copy them, but arrays."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
import onnx
from onnx import TensorProto

from kcompile.ir.op import Array
from kcompile.ir.types import DType
from kcompile.runtimes.onnx.check import check_model
from kcompile.runtimes.onnx.forms import Choice
from kcompile.runtimes.onnx.kernels import ELEMENT_TYPES

#: Weights below this may be shapes and axes, whose numbers ONNX's shape inference looks at.
SMALL_BYTES = 2**10
#: Fields in the order of their numbers (onnx.proto), as deterministic serialization has them.
_BEFORE_GRAPH = ("ir_version", "producer_name", "producer_version", "doc_string")
_BEFORE_WEIGHTS = ("node", "name")
_AFTER_WEIGHTS = ("doc_string", "input", "output", "value_info")
#: Field number and wire type 2, of the graph in a model, a weight in a graph, bytes in a weight.
_GRAPH, _WEIGHT, _RAW_DATA = b"\x3a", b"\x2a", b"\x4a"


@dataclass(frozen=True)
class OnnxFile:
    """A model and its weights.

    Attributes:
        model: without initializers.
        weights: by name, in their order in the file.
        choices: the forms of ops that were chosen, and how often.
    """

    model: onnx.ModelProto
    weights: Mapping[str, Array]
    choices: Mapping[Choice, int] = field(default_factory=dict)

    def to_model(self) -> onnx.ModelProto:
        """All of it as a protocol buffer."""
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        for name, array in self.weights.items():
            tensor = model.graph.initializer.add()
            tensor.CopyFrom(_header(name, array))
            if array.dtype != object:
                tensor.raw_data = _little_endian(array).tobytes()
        return model

    def check(self) -> None:
        """Hold it against the ONNX specification; large weights by their types alone.

        Raises:
            VerifyError: with what ONNX's checker or its shape inference says.
        """
        large = {name: array for name, array in self.weights.items() if array.nbytes > SMALL_BYTES}
        small = {name: array for name, array in self.weights.items() if name not in large}
        model = OnnxFile(self.model, small).to_model()
        for name, array in large.items():
            type = ELEMENT_TYPES[DType.of(array.dtype)]
            model.graph.input.append(onnx.helper.make_tensor_value_info(name, type, array.shape))
        check_model(model)

    def write(self, file: BinaryIO, metadata: Mapping[str, str] | None = None) -> None:
        """Write it, byte for byte as `to_model().SerializeToString(deterministic=True)`.

        Args:
            file: where to; each weight is written from its own memory.
            metadata: what `metadata_bytes` takes; it may as well be written after this.
        """
        graph = self.model.graph
        before = _part(graph, _BEFORE_WEIGHTS).SerializeToString(deterministic=True)
        after = _part(graph, _AFTER_WEIGHTS).SerializeToString(deterministic=True)
        sizes = [_weight_size(name, array) for name, array in self.weights.items()]
        num_bytes = len(before) + len(after) + sum(len(_length(_WEIGHT, n)) + n for n in sizes)
        file.write(_part(self.model, _BEFORE_GRAPH).SerializeToString(deterministic=True))
        file.write(_length(_GRAPH, num_bytes) + before)
        for size, (name, array) in zip(sizes, self.weights.items(), strict=True):
            file.write(_length(_WEIGHT, size))
            for part in _weight_parts(name, array):
                file.write(part)
        file.write(after)
        opsets = _part(self.model, ("opset_import",))
        file.write(opsets.SerializeToString(deterministic=True))
        file.write(metadata_bytes(metadata or {}))


def metadata_bytes(metadata: Mapping[str, str]) -> bytes:
    """What `metadata_props` are in a file. They are its end; more may be written behind them."""
    model = onnx.ModelProto()
    onnx.helper.set_model_props(model, dict(sorted(metadata.items())))
    return bytes(model.SerializeToString(deterministic=True))


def _part(message: Any, fields: tuple[str, ...]) -> Any:
    """A message of the same type with those fields alone."""
    part = type(message)()
    for descriptor, value in message.ListFields():
        if descriptor.name in fields:
            if isinstance(value, (int, str)):
                setattr(part, descriptor.name, value)
            else:
                getattr(part, descriptor.name).extend(value)
    return part


def _header(name: str, array: Array) -> TensorProto:
    """A weight without its bytes; with its texts, if it has any."""
    dtype = DType.of(array.dtype)
    tensor = TensorProto(name=name, data_type=ELEMENT_TYPES[dtype], dims=array.shape)
    if dtype is DType.STRING:
        tensor.string_data.extend(str(text).encode() for text in array.ravel())
    return tensor


def _weight_size(name: str, array: Array) -> int:
    size = _header(name, array).ByteSize()
    if array.dtype == object:
        return size
    return size + len(_length(_RAW_DATA, array.nbytes)) + array.nbytes


def _weight_parts(name: str, array: Array) -> Iterator[bytes | memoryview]:
    yield _header(name, array).SerializeToString(deterministic=True)
    if array.dtype != object:
        yield _length(_RAW_DATA, array.nbytes)
        yield _little_endian(array).reshape(-1).view(np.uint8).data


def _little_endian(array: Array) -> Array:
    """The array with its bytes as ONNX wants them, one after the other."""
    array = np.ascontiguousarray(array)
    return array.byteswap() if sys.byteorder == "big" else array


def _length(tag: bytes, number: int) -> bytes:
    """Tag and length of a field, the length in groups of 7 bits (protobuf.dev: encoding)."""
    encoded = bytearray(tag)
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
