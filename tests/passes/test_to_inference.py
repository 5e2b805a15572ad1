"""Tests of `to_inference`."""

import textwrap

import numpy as np
import pytest

from kcompile.ir.errors import SpecError
from kcompile.passes.to_inference import to_inference
from kcompile.runtimes.reference import run
from tests.passes.helpers import Pass, body_of, check, graph_of


def check_text(run_pass: Pass, before: str, after: str) -> None:
    """For graphs that give other numbers afterwards."""
    result = run_pass(graph_of(before))
    assert body_of(result) == textwrap.dedent(after).strip()
    assert run_pass(result) == result


def test_batch_norm_and_dropout() -> None:
    check_text(
        to_inference,
        """
        data %x : f32[batch,2]
        param %gamma : f32[2]
        state %bn/moving_mean : f32[2]
        state %bn/moving_variance : f32[2]
        rng %rng : u32[2]
        %keep : f32[] = constant() {value=f32[]<0.9>}
        %take : f32[] = constant() {value=f32[]<0.1>}
        %bn:y : f32[batch,2], %bn:mean : f32[2], %bn:variance : f32[2] = batch_norm_training(%x, %gamma) {epsilon=0.01} @"bn"
        %a : f32[2] = multiply(%bn/moving_mean, %keep) @"bn"
        %b : f32[2] = multiply(%bn:mean, %take) @"bn"
        %c : f32[2] = add(%a, %b) @"bn"
        %d : f32[2] = subtract(%bn/moving_variance, %bn:variance) @"bn"
        %e : f32[2] = multiply(%d, %take) @"bn"
        %f : f32[2] = subtract(%bn/moving_variance, %e) @"bn"
        %g : f32[batch,2] = dropout(%bn:y, %rng) {rate=0.5, stream=1} @"dropout"
        %h : f32[batch,2] = relu(%g) @"relu"
        output "y" = %h
        update %bn/moving_mean = %c
        update %bn/moving_variance = %f
        """,  # noqa: E501
        """
        data %x : f32[batch,2]
        param %gamma : f32[2]
        state %bn/moving_mean : f32[2]
        state %bn/moving_variance : f32[2]
        %bn:batch_norm : f32[batch,2] = batch_norm(%x, %bn/moving_mean, %bn/moving_variance, %gamma) {epsilon=0.01} @"bn"
        %h : f32[batch,2] = relu(%bn:batch_norm) @"relu"
        output "y" = %h
        """,  # noqa: E501
    )


def test_the_normalized_axis_stays() -> None:
    graph = graph_of("""
        data %x : f32[batch,2,2]
        state %m : f32[2]
        state %v : f32[2]
        %y : f32[batch,2,2], %mean : f32[2], %w : f32[2] = batch_norm_training(%x) {axis=1}
        output "y" = %y
        update %m = %mean
        update %v = %w
    """)
    assert "%batch_norm : f32[batch,2,2] = batch_norm(%x, %m, %v) {axis=1}" in body_of(
        to_inference(graph)
    )


def test_a_shared_layer_has_one_pair_of_statistics() -> None:
    check_text(
        to_inference,
        """
        data %x : f32[batch,2]
        state %m : f32[2]
        state %v : f32[2]
        %y1 : f32[batch,2], %m1 : f32[2], %v1 : f32[2] = batch_norm_training(%x) @"bn"
        %y2 : f32[batch,2], %m2 : f32[2], %v2 : f32[2] = batch_norm_training(%y1) @"bn"
        %a : f32[2] = add(%m, %m1)
        %b : f32[2] = add(%a, %m2)
        %c : f32[2] = add(%v, %v1)
        %d : f32[2] = add(%c, %v2)
        output "y" = %y2
        update %m = %b
        update %v = %d
        """,
        """
        data %x : f32[batch,2]
        state %m : f32[2]
        state %v : f32[2]
        %bn:batch_norm : f32[batch,2] = batch_norm(%x, %m, %v) @"bn"
        %bn:batch_norm_1 : f32[batch,2] = batch_norm(%bn:batch_norm, %m, %v) @"bn"
        output "y" = %bn:batch_norm_1
        """,
    )


def test_forced_ops_stay() -> None:
    check(
        to_inference,
        """
        data %x : f32[batch,2]
        state %m : f32[2]
        rng %rng : u32[2]
        %y : f32[batch,2], %mean : f32[2], %variance : f32[2] = batch_norm_training(%x) {forced=true}
        %a : f32[2] = add(%m, %mean)
        %b : f32[batch,2] = dropout(%y, %rng) {rate=0.5, stream=1, forced=true}
        output "y" = %b
        update %m = %a
        """,  # noqa: E501
        """
        data %x : f32[batch,2]
        rng %rng : u32[2]
        %y : f32[batch,2], %mean : f32[2], %variance : f32[2] = batch_norm_training(%x) {forced=true}
        %b : f32[batch,2] = dropout(%y, %rng) {rate=0.5, stream=1, forced=true}
        output "y" = %b
        """,  # noqa: E501
    )


def test_statistics_that_are_read_elsewhere_stay() -> None:
    check_text(
        to_inference,
        """
        data %x : f32[batch,2]
        state %m : f32[2]
        state %v : f32[2]
        %y : f32[batch,2], %mean : f32[2], %variance : f32[2] = batch_norm_training(%x)
        output "y" = %y
        output "mean" = %mean
        update %m = %mean
        update %v = %variance
        """,
        """
        data %x : f32[batch,2]
        state %m : f32[2]
        state %v : f32[2]
        %batch_norm : f32[batch,2] = batch_norm(%x, %m, %v)
        %y : f32[batch,2], %mean : f32[2], %variance : f32[2] = batch_norm_training(%x) {forced=true}
        output "y" = %batch_norm
        output "mean" = %mean
        """,  # noqa: E501
    )


def test_moving_statistics_take_the_place_of_the_batch() -> None:
    graph = graph_of("""
        data %x : f32[batch,2]
        state %m : f32[2]
        state %v : f32[2]
        %y : f32[batch,2], %mean : f32[2], %variance : f32[2] = batch_norm_training(%x)
        output "y" = %y
        update %m = %mean
        update %v = %variance
        """)
    x = np.array([[1, 2], [3, 4]], np.float32)
    m, v = np.array([1, 2], np.float32), np.array([4, 9], np.float32)
    outputs, states = run(to_inference(graph), {"x": x, "m": m, "v": v})
    assert states == {}
    np.testing.assert_allclose(outputs["y"], (x - m) / np.sqrt(v + 1e-3), rtol=1e-6)


def test_the_random_input_vanishes_with_the_last_dropout() -> None:
    graph = graph_of("""
        data %x : f32[batch,2]
        rng %rng : u32[2]
        %a : f32[batch,2] = dropout(%x, %rng) {rate=0.5, stream=1}
        output "y" = %a
        """)
    assert [entry.name for entry in to_inference(graph).inputs] == ["x"]


@pytest.mark.parametrize(
    ("updates", "found"),
    [
        ("update %v = %variance", "found none"),
        ("update %m = %mean\nupdate %v = %variance\nupdate %w = %mean", "found %m and %w"),
    ],
)
def test_refuses_statistics_that_cannot_be_told(updates: str, found: str) -> None:
    graph = graph_of(f"""
        data %x : f32[batch,2]
        state %m : f32[2]
        state %v : f32[2]
        state %w : f32[2]
        %y : f32[batch,2], %mean : f32[2], %variance : f32[2] = batch_norm_training(%x) @"bn"
        output "y" = %y
        {updates}
        """)
    with pytest.raises(SpecError, match=f"layer 'bn': the moving mean .*{found}"):
        to_inference(graph)


def test_updates_of_layers_behind_are_not_taken_for_it() -> None:
    graph = graph_of("""
        data %x : f32[2,2]
        state %m : f32[2]
        state %v : f32[2]
        state %seen : f32[2]
        %y : f32[2,2], %mean : f32[2], %variance : f32[2] = batch_norm_training(%x)
        %total : f32[2] = reduce_sum(%y) {axes=[0]}
        output "y" = %y
        update %m = %mean
        update %v = %variance
        update %seen = %total
        """)
    (node,) = to_inference(graph).nodes
    assert [value.name for value in node.inputs if value is not None] == ["x", "m", "v"]
