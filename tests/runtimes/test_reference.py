"""The reference runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kcompile.ir import ops
from kcompile.ir.builder import Builder
from kcompile.ir.dims import symbol
from kcompile.ir.errors import DataError, VerifyError
from kcompile.ir.graph import Graph, Role
from kcompile.ir.types import DType, TensorType
from kcompile.runtimes import reference

F32 = DType.FLOAT32
Array = np.ndarray[Any, Any]


def _counting() -> Graph:
    """Output x + w; the state `steps` goes up by one, `kept` has no update."""
    builder = Builder("counting")
    x = builder.input("x", TensorType(F32, (symbol("batch"), 2)))
    w = builder.input("w", TensorType(F32, (2,)), Role.PARAM)
    steps = builder.input("steps", TensorType(DType.INT32, ()), Role.STATE)
    kept = builder.input("kept", TensorType(F32, (2,)), Role.STATE)
    one = builder.constant(np.int32(1))
    builder.update(steps, builder.emit(ops.Add(), steps, one)[0])
    (y,) = builder.emit(ops.Add(), x, w)
    return builder.finish([("sum", builder.emit(ops.Add(), y, kept)[0])])


ARRAYS: dict[str, Any] = {
    "x": np.zeros((3, 2), np.float32),
    "w": np.array([1, 2], np.float32),
    "steps": np.int32(4),
    "kept": np.ones(2, np.float32),
}


def test_outputs_and_next_states_by_name() -> None:
    outputs, states = reference.run(_counting(), ARRAYS)
    assert outputs["sum"].tolist() == [[2, 3]] * 3
    assert {name: int(state) for name, state in states.items()} == {"steps": 5}


def test_a_reference_of_another_type_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ops.Add, "reference", lambda self, a, b: np.zeros(7))
    with pytest.raises(VerifyError, match=r"%add_?\d* = add: the reference made f64\[7\], the "):
        reference.run(_counting(), ARRAYS)


def test_sizes_that_an_op_is_not_defined_for() -> None:
    builder = Builder("sliced")
    x = builder.input("x", TensorType(F32, (symbol("batch"),)))
    graph = builder.finish([("y", builder.emit(ops.Slice((0,), (4,), (1,)), x)[0])])
    assert reference.run(graph, {"x": np.zeros(5, np.float32)})[0]["y"].shape == (4,)
    message = (
        r"'sliced': %slice = slice: not defined for batch = 3: 0:4 is outside axis 0 of size 3"
    )
    with pytest.raises(DataError, match=message):
        reference.run(graph, {"x": np.zeros(3, np.float32)})
