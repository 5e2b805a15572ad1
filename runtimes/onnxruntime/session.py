"""ONNX models as something that runs."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as native

from kcompile.ir.errors import DataError, ExportError, ShapeError, SpecError
from kcompile.ir.op import Array
from kcompile.ir.text import text_array
from kcompile.ir.types import DType, format_shape

Optimization = Literal["all", "extended", "off"]

_LEVELS = {
    "all": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
    "extended": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "off": onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
}
_DTYPES = {
    "tensor(bool)": DType.BOOL,
    "tensor(int8)": DType.INT8,
    "tensor(int16)": DType.INT16,
    "tensor(int32)": DType.INT32,
    "tensor(int64)": DType.INT64,
    "tensor(uint8)": DType.UINT8,
    "tensor(uint16)": DType.UINT16,
    "tensor(uint32)": DType.UINT32,
    "tensor(uint64)": DType.UINT64,
    "tensor(float16)": DType.FLOAT16,
    "tensor(bfloat16)": DType.BFLOAT16,
    "tensor(float)": DType.FLOAT32,
    "tensor(double)": DType.FLOAT64,
    "tensor(string)": DType.STRING,
}
_FATAL_ONLY = 4  # onnxruntime's errors arrive as exceptions; its log would repeat them
_BFLOAT16 = 16  # onnx.TensorProto.BFLOAT16; NumPy has no such type, the bits go as uint16
_ERRORS = (
    native.EPFail,
    native.Fail,
    native.InvalidArgument,
    native.InvalidGraph,
    native.InvalidProtobuf,
    native.NotImplemented,
    native.RuntimeException,
)


def providers() -> list[str]:
    """What onnxruntime can run on here, as it names it, the preferred one first."""
    return list(onnxruntime.get_available_providers())


@dataclass(frozen=True)
class TensorInfo:
    """Name, element type and shape of an input or output; a symbolic size is its text."""

    name: str
    dtype: DType
    shape: tuple[int | str | None, ...]

    def __str__(self) -> str:
        return f"'{self.name}' {self.dtype}[{','.join(map(str, self.shape))}]"


class OnnxRuntimeExecutable:
    """An ONNX model in an onnxruntime session.

    Args:
        model: the bytes of a model, or the path of a file.
        optimization: "all" of onnxruntime's graph optimizations, "extended" for all but
            those that lay convolutions out anew, or "off".
        providers: execution providers, the preferred one first.
        threads: threads inside of an op; onnxruntime's choice if None.
        arena: whether memory is kept from one run for the next, which makes runs faster.

    Attributes:
        inputs, outputs: a `TensorInfo` each, in order.

    Raises:
        SpecError: there is no such optimization level or provider.
        ExportError: onnxruntime does not take the model.
    """

    def __init__(
        self,
        model: bytes | str | os.PathLike[str],
        *,
        optimization: Optimization = "all",
        providers: Sequence[str] = ("CPUExecutionProvider",),
        threads: int | None = None,
        arena: bool = True,
    ) -> None:
        if optimization not in _LEVELS:
            raise SpecError(f"optimization is 'extended', 'all' or 'off', not {optimization!r}")
        present = onnxruntime.get_available_providers()
        for provider in providers:
            if provider not in present:
                raise SpecError(
                    f"onnxruntime has no provider {provider!r} here",
                    hint=f"Use one of {', '.join(present)}",
                )
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = _LEVELS[optimization]
        options.log_severity_level = _FATAL_ONLY
        options.enable_cpu_mem_arena = arena
        if threads is not None:
            options.intra_op_num_threads = threads
        source = model if isinstance(model, bytes) else os.fspath(model)
        self.where = "model" if isinstance(source, bytes) else f"model '{source}'"
        try:
            self._session = onnxruntime.InferenceSession(source, options, list(providers))
        except native.NoSuchFile as error:
            raise DataError("there is no such file", where=self.where) from error
        except _ERRORS as error:
            raise ExportError(f"onnxruntime refuses it: {error}", where=self.where) from error
        self.inputs = tuple(map(_info, self._session.get_inputs()))
        self.outputs = tuple(map(_info, self._session.get_outputs()))

    def run(self, inputs: Mapping[str, Any] | Sequence[Any]) -> dict[str, Array]:
        """The outputs by name, for inputs by name or in order.

        Raises:
            DataError: an input is missing or unknown or has another element type or shape, or
                onnxruntime cannot compute the model for inputs of these shapes.
        """
        arrays = self._bind(inputs)
        try:
            results = self._compute(arrays)
        except _ERRORS as error:
            shapes = ", ".join(f"'{n}' {format_shape(a.shape)}" for n, a in arrays.items())
            raise DataError(
                f"onnxruntime cannot compute it for {shapes}: {error}", where=self.where
            ) from error
        return {info.name: array for info, array in zip(self.outputs, results, strict=True)}

    def _compute(self, arrays: Mapping[str, Array]) -> list[Array]:
        """The outputs in order. An OrtValue takes no strings from NumPy, and NumPy no bfloat16."""
        if any(info.dtype is DType.STRING for info in (*self.inputs, *self.outputs)):
            feeds = {name: _with_strings(array) for name, array in arrays.items()}
            return [np.asarray(array) for array in self._session.run(None, feeds)]
        feeds = {name: _to_ort(array) for name, array in arrays.items()}
        return [_from_ort(value) for value in self._session.run_with_ort_values(None, feeds)]

    def _bind(self, inputs: Mapping[str, Any] | Sequence[Any]) -> dict[str, Array]:
        """The arrays by name, held against the model's inputs."""
        names = [info.name for info in self.inputs]
        listed = ", ".join(map(str, self.inputs)) or "none"
        if not isinstance(inputs, Mapping):
            if len(inputs) != len(names):
                raise DataError(
                    f"takes {len(names)} inputs, got {len(inputs)}",
                    where=self.where,
                    hint=f"The inputs are {listed}",
                )
            inputs = dict(zip(names, inputs, strict=True))
        for name in inputs:
            if name not in names:
                raise DataError(
                    f"there is no input '{name}'", where=self.where, hint=f"The inputs are {listed}"
                )
        env: dict[str, int] = {}
        return {info.name: self._array(info, inputs, env) for info in self.inputs}

    def _array(self, info: TensorInfo, inputs: Mapping[str, Any], env: dict[str, int]) -> Array:
        """One array; `env` collects the numbers of the symbolic sizes."""
        if info.name not in inputs:
            raise DataError(f"the input {info} is missing", where=self.where)
        array = np.asarray(inputs[info.name])
        if info.dtype is DType.STRING and array.dtype.kind in "OSU":
            array = text_array(array)
        try:
            dtype = DType.STRING if array.dtype.kind in "OUS" else DType.of(array.dtype)
        except ShapeError:
            dtype = None
        if dtype is not info.dtype:
            raise DataError(
                f"the input {info} needs elements of type {info.dtype.keras_name}, got"
                f" {array.dtype}",
                where=self.where,
                hint=f"Cast it: numpy.asarray(values, '{info.dtype.keras_name}')",
            )
        sizes = [env.get(size, size) if isinstance(size, str) else size for size in info.shape]
        fits = len(sizes) == array.ndim and all(
            not isinstance(size, int) or size == number
            for size, number in zip(sizes, array.shape, strict=True)
        )
        if not fits:
            known = [f"{size} = {env[size]}" for size in info.shape if size in env]
            raise DataError(
                f"the input {info} got shape {format_shape(array.shape)}"
                + (f", with {', '.join(known)} from another input" if known else ""),
                where=self.where,
            )
        for size, number in zip(info.shape, array.shape, strict=True):
            if isinstance(size, str):
                env[size] = number
        return array


def _info(argument: Any) -> TensorInfo:
    if argument.type not in _DTYPES:
        raise ExportError(f"'{argument.name}' is a {argument.type}, which is no dense tensor")
    return TensorInfo(argument.name, _DTYPES[argument.type], tuple(argument.shape))


def _with_strings(array: Array) -> Any:
    """What a run that has strings takes: NumPy's arrays, but for bfloat16."""
    return _to_ort(array) if array.dtype == DType.BFLOAT16.numpy else array


def _to_ort(array: Array) -> Any:
    array = np.ascontiguousarray(array).reshape(array.shape)  # keeps rank 0
    if array.dtype == DType.BFLOAT16.numpy:
        return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(
            array.view(np.uint16), _BFLOAT16
        )
    return onnxruntime.OrtValue.ortvalue_from_numpy(array)


def _from_ort(value: Any) -> Array:
    if value.element_type() != _BFLOAT16:
        return np.asarray(value.numpy())
    shape = value.shape()
    words = np.empty(shape, np.uint16)
    ctypes.memmove(words.ctypes.data, value.data_ptr(), words.nbytes)
    return words.view(DType.BFLOAT16.numpy)
