"""Recurrent ops with dropout, which training alone has."""

from __future__ import annotations

import pytest

from kcompile.ir.errors import ExportError
from kcompile.runtimes.onnx import export_graph
from tests.ops.case import Case
from tests.ops.recurrent_cases import DROPOUT_CASES
from tests.runtimes import test_jax


@pytest.mark.parametrize("case", DROPOUT_CASES, ids=lambda case: str(case.graph.nodes[0].op))
def test_jax_equals_the_reference_and_its_gradients(case: Case) -> None:
    test_jax.test_equals_the_reference(case)
    test_jax.test_gradients_equal_finite_differences(case)


@pytest.mark.parametrize("case", DROPOUT_CASES, ids=lambda case: str(case.graph.nodes[0].op))
def test_onnx_has_none(case: Case) -> None:
    with pytest.raises(ExportError, match="dropout inside of a recurrent layer"):
        export_graph(case.graph)
