"""Tests of `fuse_softmax_crossentropy`."""

from kcompile.passes.fuse_softmax_crossentropy import fuse_softmax_crossentropy
from tests.passes.helpers import check, check_unchanged


def test_softmax_with_another_use() -> None:
    check(
        fuse_softmax_crossentropy,
        """
        data %x : f32[batch,4]
        data %labels : f32[batch,4]
        %p : f32[batch,4] = softmax(%x) @"dense"
        %l : f32[batch] = categorical_crossentropy(%labels, %p) @"loss"
        output "p" = %p
        output "loss" = %l
        """,
        """
        data %x : f32[batch,4]
        data %labels : f32[batch,4]
        %p : f32[batch,4] = softmax(%x) @"dense"
        %loss:categorical_crossentropy : f32[batch] = categorical_crossentropy(%labels, %x) {from_logits=true} @"loss"
        output "p" = %p
        output "loss" = %loss:categorical_crossentropy
        """,  # noqa: E501
        tolerance=1e-05,
    )


def test_sparse_along_another_axis() -> None:
    check(
        fuse_softmax_crossentropy,
        """
        data %x : f32[batch,4,5]
        data %labels : i32[batch,5]
        %p : f32[batch,4,5] = softmax(%x) {axis=1}
        %l : f32[batch,5] = sparse_categorical_crossentropy(%labels, %p) {axis=-2}
        output "loss" = %l
        """,
        """
        data %x : f32[batch,4,5]
        data %labels : i32[batch,5]
        %sparse_categorical_crossentropy : f32[batch,5] = sparse_categorical_crossentropy(%labels, %x) {from_logits=true, axis=-2}
        output "loss" = %sparse_categorical_crossentropy
        """,  # noqa: E501
        tolerance=1e-05,
    )


def test_sigmoid() -> None:
    check(
        fuse_softmax_crossentropy,
        """
        data %x : f32[batch,4]
        data %labels : f32[batch,4]
        %p : f32[batch,4] = sigmoid(%x)
        %l : f32[batch,4] = binary_crossentropy(%labels, %p)
        output "loss" = %l
        """,
        """
        data %x : f32[batch,4]
        data %labels : f32[batch,4]
        %binary_crossentropy : f32[batch,4] = binary_crossentropy(%labels, %x) {from_logits=true}
        output "loss" = %binary_crossentropy
        """,
        tolerance=1e-05,
    )


def test_refuses_a_softmax_along_another_axis() -> None:
    text = """
        data %x : f32[batch,4]
        data %labels : f32[batch,4]
        %p : f32[batch,4] = softmax(%x) {axis=0}
        %l : f32[batch] = categorical_crossentropy(%labels, %p)
        output "loss" = %l
        """
    reasons = check_unchanged(fuse_softmax_crossentropy, text)
    assert reasons == ["the softmax is along axis 0, the loss along 1"]


def test_a_loss_of_logits_stays() -> None:
    text = """
        data %x : f32[batch,4]
        data %labels : f32[batch,4]
        %p : f32[batch,4] = softmax(%x)
        %l : f32[batch] = categorical_crossentropy(%labels, %p) {from_logits=true}
        %q : f32[batch,4] = sigmoid(%x)
        %m : f32[batch,4] = binary_crossentropy(%labels, %q) {from_logits=true}
        output "l" = %l
        output "m" = %m
        """
    assert check_unchanged(fuse_softmax_crossentropy, text) == []


def test_a_softmax_of_labels_stays() -> None:
    text = """
        data %x : f32[batch,4]
        data %y : f32[batch,4]
        %p : f32[batch,4] = softmax(%y)
        %l : f32[batch] = categorical_crossentropy(%p, %x)
        output "loss" = %l
        """
    assert check_unchanged(fuse_softmax_crossentropy, text) == []
