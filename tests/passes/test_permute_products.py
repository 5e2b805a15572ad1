"""Tests of `permute_products`."""

import pytest

from kcompile.passes.fold_constants import fold_constants
from kcompile.passes.permute_products import permute_products
from tests.passes.helpers import assert_same_numbers, check_unchanged, graph_of

KERNEL = "%w : f32[{0},2] = constant() {{value=f32[{0},2]<{1}>}}"


def kernel(rows: int) -> str:
    return KERNEL.format(rows, ", ".join(f"{number}.0" for number in range(1, 2 * rows + 1)))


@pytest.mark.parametrize("product", ["linear(%f, %w, %b)", "matmul(%f, %w)"])
@pytest.mark.parametrize(
    ("permutation", "moved"), [("0,2,3,1", "3,2,2"), ("0,3,2,1", "2,3,2"), ("0,2,1,3", "3,2,2")]
)
def test_weights_take_the_order_of_what_is_flattened(
    product: str, permutation: str, moved: str
) -> None:
    before = graph_of(
        f"""
        data %x : f32[batch,2,3,2]
        data %b : f32[2]
        {kernel(12)}
        %t : f32[batch,{moved}] = transpose(%x) {{permutation=[{permutation}]}} @"pool"
        %f : f32[batch,12] = reshape(%t) {{shape=[batch,12]}} @"flatten"
        %y : f32[batch,2] = {product} @"dense"
        output "y" = %y
        output "b" = %b
        """
    )
    after = fold_constants(permute_products(before))
    assert [node.op.name for node in after.nodes if node.op.name != "constant"] == [
        "reshape",
        product.partition("(")[0],
    ]
    assert_same_numbers(before, after, tolerance=1e-6)
    assert permute_products(after) is after


@pytest.mark.parametrize(
    ("shape", "permutation", "moved", "flat"),
    [
        ("2,batch,3", "1,0,2", "batch,2,3", "batch,6"),  # the batch moves
        ("2,2,3", "1,0,2", "2,2,3", "2,6"),  # as many as there are columns
        ("batch,3,2,2", "0,1,3,2", "batch,3,2,2", "2*batch,6"),  # it is flattened too
    ],
)
def test_leaves_what_does_not_flatten_samples(
    shape: str, permutation: str, moved: str, flat: str
) -> None:
    rows = flat.partition(",")[0]
    check_unchanged(
        permute_products,
        f"""
        data %x : f32[{shape}]
        {kernel(6)}
        %t : f32[{moved}] = transpose(%x) {{permutation=[{permutation}]}}
        %f : f32[{flat}] = reshape(%t) {{shape=[{flat}]}}
        %y : f32[{rows},2] = matmul(%f, %w)
        output "y" = %y
        """,
    )


def test_refuses_a_transpose_with_another_use() -> None:
    (reason,) = check_unchanged(
        permute_products,
        f"""
        data %x : f32[batch,2,3]
        {kernel(6)}
        %t : f32[batch,3,2] = transpose(%x) {{permutation=[0,2,1]}}
        %f : f32[batch,6] = reshape(%t) {{shape=[batch,6]}}
        %y : f32[batch,2] = matmul(%f, %w)
        output "y" = %y
        output "t" = %t
        """,
    )
    assert "other uses" in reason
