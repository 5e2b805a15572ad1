"""Graphs as something to call with data, on NumPy and on XLA."""

from __future__ import annotations

import numpy as np
import pytest

from kcompile.ir import ops
from kcompile.ir.builder import Builder
from kcompile.ir.dims import symbol
from kcompile.ir.errors import DataError, ExportError
from kcompile.ir.graph import Graph, Role
from kcompile.ir.types import DType, TensorType
from kcompile.runtimes.executable import GraphExecutable
from kcompile.runtimes.jax import JaxExecutable
from kcompile.runtimes.reference import ReferenceExecutable

F32 = DType.FLOAT32
X, W = np.ones((2, 3), np.float32), np.full((3, 1), 2, np.float32)
both = pytest.mark.parametrize("executable_class", [JaxExecutable, ReferenceExecutable])


def _linear() -> Graph:
    builder = Builder("linear")
    x = builder.input("x", TensorType(F32, (symbol("batch"), 3)))
    w = builder.input("w", TensorType(F32, (3, 1)), Role.PARAM)
    return builder.finish([("y", builder.emit(ops.Linear(), x, w)[0])])


@both
def test_takes_arrays_by_name_or_in_order(executable_class: type[GraphExecutable]) -> None:
    executable = executable_class(_linear())  # type: ignore[call-arg]
    by_name = executable.run({"w": W, "x": X})["y"]
    in_order = executable.run([X, W])["y"]
    assert type(by_name) is np.ndarray
    assert by_name.tolist() == in_order.tolist() == [[6.0], [6.0]]
    assert by_name.flags.writeable


@both
def test_keeps_weights(executable_class: type[GraphExecutable]) -> None:
    executable = executable_class(_linear(), {"w": W})  # type: ignore[call-arg]
    assert executable.input_names == ("x",)
    assert executable.run([X])["y"].tolist() == [[6.0], [6.0]]


@both
def test_counts_its_inputs(executable_class: type[GraphExecutable]) -> None:
    with pytest.raises(DataError, match=r"takes 2 arrays, got 1. The inputs are x, w"):
        executable_class(_linear()).run([X])  # type: ignore[call-arg]


@both
def test_refuses_to_lose_states(executable_class: type[GraphExecutable]) -> None:
    builder = Builder("stepping")
    steps = builder.input("steps", TensorType(F32, ()), Role.STATE)
    builder.update(steps, builder.emit(ops.Add(), steps, builder.constant(np.float32(1)))[0])
    with pytest.raises(ExportError, match="the next value of %steps would be lost"):
        executable_class(builder.finish([]))  # type: ignore[call-arg]
