"""Every runtime lowers every op, or names the ones that it does not."""

from __future__ import annotations

import importlib

import pytest

from kcompile.ir import ops
from kcompile.ir.op import OPS, Op

#: Ops that a runtime does not lower, by the name of its package below `kcompile.runtimes`.
EXCEPTIONS: dict[str, frozenset[type[Op]]] = {
    # What the host computes: strings and 64-bit hashes.
    "jax": frozenset(
        {
            ops.AsciiLower,
            ops.CountTokens,
            ops.CrossHash,
            ops.HashBucket,
            ops.RemoveCharacters,
            ops.SplitString,
        }
    ),
    # What only training has, and hashes.
    "onnx": frozenset(
        {
            ops.BatchNormTraining,
            ops.BinaryCrossentropy,
            ops.CategoricalCrossentropy,
            ops.CrossHash,
            ops.Dropout,
            ops.ForeignCall,  # Python code
            ops.HashBucket,
            ops.RandomUniform,
            ops.SparseCategoricalCrossentropy,
        }
    ),
}


def _lowerings(runtime: str) -> dict[type[Op], object]:
    importlib.import_module(f"kcompile.runtimes.{runtime}")
    return importlib.import_module(f"kcompile.runtimes.{runtime}.table").LOWERINGS


@pytest.mark.parametrize("runtime", EXCEPTIONS)
def test_the_table_holds_every_op(runtime: str) -> None:
    assert set(_lowerings(runtime)) == set(OPS.values()) - EXCEPTIONS[runtime]


@pytest.mark.parametrize("runtime", EXCEPTIONS)
def test_there_is_a_file_for_each_family(runtime: str) -> None:
    package = f"kcompile.runtimes.{runtime}"
    for op in _lowerings(runtime):
        family = op.__module__.rpartition(".")[2]
        assert importlib.import_module(f"{package}.{family}"), op
