"""Arrays held against the inputs of a graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kcompile.ir import ops
from kcompile.ir.builder import Builder
from kcompile.ir.dims import symbol
from kcompile.ir.errors import DataError
from kcompile.ir.graph import Graph, Role
from kcompile.ir.types import DType, TensorType
from kcompile.runtimes import reference
from kcompile.runtimes.binding import bind_arrays

F32 = DType.FLOAT32
ARRAYS: dict[str, Any] = {"x": np.zeros((3, 2), np.float32), "w": np.array([1, 2], np.float32)}


def _adding() -> Graph:
    builder = Builder("adding")
    x = builder.input("x", TensorType(F32, (symbol("batch"), 2)))
    w = builder.input("w", TensorType(F32, (2,)), Role.PARAM)
    return builder.finish([("sum", builder.emit(ops.Add(), x, w)[0])])


def _refusal(**changes: Any) -> str:
    given = {name: array for name, array in {**ARRAYS, **changes}.items() if array is not None}
    with pytest.raises(DataError) as caught:
        bind_arrays(_adding(), given)
    return str(caught.value)


def test_bind_gives_arrays_and_sizes() -> None:
    bound, env = bind_arrays(_adding(), ARRAYS)
    assert list(bound) == ["x", "w"]
    assert bound["x"] is ARRAYS["x"]
    assert env == {"batch": 3}


def test_bind_names_what_is_missing() -> None:
    assert _refusal(w=None) == "graph 'adding': the param input %w : f32[2] is missing"


def test_bind_names_what_is_unknown() -> None:
    assert _refusal(z=ARRAYS["x"]) == (
        "graph 'adding': there is no input %z. The inputs are %x, %w"
    )


def test_bind_compares_element_types() -> None:
    assert _refusal(x=np.zeros((3, 2))) == (
        "graph 'adding': the input %x : f32[batch,2] needs elements of type float32, got float64."
        " Cast it: %x = numpy.asarray(values).astype('float32')"
    )
    assert "got complex64" in _refusal(x=np.zeros((3, 2), np.complex64))
    assert "got <U1" in _refusal(x=np.array([["a", "b"]]))
    assert "got float64" in _refusal(x=[[1.0, 2.0]])


def test_bind_compares_shapes() -> None:
    where = "graph 'adding': the input %"
    assert _refusal(x=np.zeros(2, np.float32)) == f"{where}x needs f32[batch,2], got shape [2]"
    assert _refusal(w=np.zeros(3, np.float32)) == f"{where}w needs f32[2], got shape [3]"


def test_bind_refuses_an_empty_symbolic_axis() -> None:
    assert "has batch = 0, which must be positive" in _refusal(x=np.zeros((0, 2), np.float32))


def _two_lengths(first: Any, second: Any) -> Graph:
    builder = Builder("two")
    x = builder.input("x", TensorType(F32, (first,)))
    builder.input("z", TensorType(F32, (second,)))
    return builder.finish([("y", x)])


def test_bind_compares_symbols_across_inputs() -> None:
    time = symbol("time")
    three, six = np.zeros(3, np.float32), np.zeros(6, np.float32)
    with pytest.raises(DataError, match=r"%z needs f32\[time\] with time = 3, got shape \[6\]"):
        bind_arrays(_two_lengths(time, time), {"x": three, "z": six})
    # the symbol's own axis may come after the one that is computed from it
    assert bind_arrays(_two_lengths(time * 2, time), {"x": six, "z": three})[1] == {"time": 3}
    with pytest.raises(DataError, match=r"%x needs f32\[2\*time\] with 2\*time = 12, got"):
        bind_arrays(_two_lengths(time * 2, time), {"x": three, "z": six})


def test_bind_takes_strings() -> None:
    builder = Builder("strings")
    x = builder.input("x", TensorType(DType.STRING, (2,)))
    graph = builder.finish([("y", builder.emit(ops.Equal(), x, x)[0])])
    assert reference.run(graph, {"x": np.array(["a", "b"])})[0]["y"].tolist() == [True, True]
