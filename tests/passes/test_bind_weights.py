"""Tests of `bind_weights`."""

import numpy as np
import pytest

from kcompile.ir.errors import SpecError
from kcompile.passes.bind_weights import bind_weights
from kcompile.runtimes.reference import run
from tests.passes.helpers import assert_same_numbers, body_of, graph_of

TEXT = """
    data %x : f32[batch,2]
    param %dense/kernel : f32[2]
    state %bn/mean : f32[2]
    %a : f32[batch,2] = multiply(%x, %dense/kernel)
    %b : f32[batch,2] = add(%a, %bn/mean)
    output "y" = %b
    """
WEIGHTS = {
    "dense/kernel": np.array([1, 2], np.float32),
    "bn/mean": np.array([3, 4], np.float32),
    "another": np.array([5], np.float32),
}


def test_constants_keep_the_names_of_weights() -> None:
    graph = graph_of(TEXT)
    bound = bind_weights(graph, WEIGHTS)
    assert (
        body_of(bound)
        == """\
data %x : f32[batch,2]
%dense/kernel : f32[2] = constant() {value=f32[2]<1.0, 2.0>}
%bn/mean : f32[2] = constant() {value=f32[2]<3.0, 4.0>}
%a : f32[batch,2] = multiply(%x, %dense/kernel)
%b : f32[batch,2] = add(%a, %bn/mean)
output "y" = %b"""
    )
    assert bind_weights(bound, {}) is bound
    x = np.array([[1, 1], [2, 2]], np.float32)
    given = {"x": x, "dense/kernel": WEIGHTS["dense/kernel"], "bn/mean": WEIGHTS["bn/mean"]}
    assert_same_numbers(graph, bound, arrays=given)
    assert run(bound, {"x": x})[0]["y"].tolist() == [[4, 6], [5, 8]]


def test_missing_weights_are_named() -> None:
    with pytest.raises(SpecError, match="no weights for bn/mean.*Given are: dense/kernel"):
        bind_weights(graph_of(TEXT), {"dense/kernel": WEIGHTS["dense/kernel"]})


@pytest.mark.parametrize("array", [np.zeros(3, np.float32), np.zeros(2, np.float64)])
def test_weights_of_another_type_are_refused(array: np.ndarray) -> None:
    with pytest.raises(SpecError, match=r"%bn/mean : f32\[2\] was given as f"):
        bind_weights(graph_of(TEXT), {**WEIGHTS, "bn/mean": array})


def test_updated_states_are_refused() -> None:
    graph = graph_of(TEXT + "\nupdate %bn/mean = %dense/kernel")
    with pytest.raises(SpecError, match="Run to_inference first"):
        bind_weights(graph, WEIGHTS)
