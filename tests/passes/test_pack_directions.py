"""Tests of `pack_directions`."""

import pytest

from kcompile.passes.pack_directions import pack_directions
from tests.passes.helpers import check, check_unchanged

INPUTS = """
    data %x : f32[batch,5,2]
    data %z : f32[batch,5,2]
    data %mask : bool[batch,5]
    data %other : bool[batch,5]
    param %w : f32[2,3]
    param %r : f32[3,3]
    param %v : f32[2,3]
    param %u : f32[3,3]
    param %b : f32[3]
    """
FORWARD = "%y : f32[batch,5,3], %h : f32[batch,3] = simple_rnn(%x, %w, %r)\n"
BACKWARD = "%q : f32[batch,5,3], %k : f32[batch,3] = simple_rnn(%x, %v, %u) {reverse=true}\n"
BOTH = '%both : f32[batch,5,6] = concatenate(%y, %q) {axis=-1}\noutput "y" = %both\n'
STATES = '%both : f32[batch,6] = concatenate(%h, %k) {axis=-1}\noutput "y" = %both\n'


def test_sequences_and_states() -> None:
    check(
        pack_directions,
        """
        data %x : f32[batch,5,2]
        param %w : f32[2,12]
        param %r : f32[3,12]
        param %v : f32[2,12]
        param %u : f32[3,12]
        %y : f32[batch,5,3], %h : f32[batch,3], %c : f32[batch,3] = lstm(%x, %w, %r)
        %q : f32[batch,5,3], %k : f32[batch,3], %d : f32[batch,3] = lstm(%x, %v, %u) {reverse=true}
        %both : f32[batch,5,6] = concatenate(%y, %q) {axis=-1} @"a"
        %states : f32[batch,6] = concatenate(%c, %d) {axis=1} @"b"
        output "y" = %both
        output "c" = %states
        """,
        """
        data %x : f32[batch,5,2]
        param %w : f32[2,12]
        param %r : f32[3,12]
        param %v : f32[2,12]
        param %u : f32[3,12]
        %a:bidirectional_lstm : f32[batch,5,6], %a:bidirectional_lstm_1 : f32[batch,6], %a:bidirectional_lstm_2 : f32[batch,6] = bidirectional_lstm(%x, %w, %r, %v, %u) @"a"
        output "y" = %a:bidirectional_lstm
        output "c" = %a:bidirectional_lstm_2
        """,  # noqa: E501
    )


@pytest.mark.parametrize(
    ("forward", "backward", "both", "reason"),
    [
        (FORWARD, BACKWARD.replace("%x", "%z"), BOTH, "different inputs or masks"),
        (FORWARD, BACKWARD.replace("{", '{activation="relu", '), BOTH, "different attributes"),
        (FORWARD, BACKWARD.replace("%u)", "%u, %b)"), BOTH, "only one direction has a bias"),
        (FORWARD, BACKWARD, BOTH.replace("%y, %q", "%q, %y"), "backward direction comes first"),
        (FORWARD, BACKWARD, BOTH + 'output "h" = %h\n', "%h has other uses"),
        (
            FORWARD.replace("%r)", "%r, _, _, %mask)"),
            BACKWARD.replace("%u)", "%u, _, _, %mask)"),
            BOTH,
            "a masked step of the sequence is not 0",
        ),
        (
            FORWARD.replace("%r)", "%r, _, _, %mask)"),
            BACKWARD.replace("%u)", "%u, _, _, %other)"),
            STATES,
            "different inputs or masks",
        ),
    ],
)
def test_refusals(forward: str, backward: str, both: str, reason: str) -> None:
    (found,) = check_unchanged(pack_directions, INPUTS + forward + backward + both)
    assert reason in found


def test_two_forward_layers_are_no_pair() -> None:
    text = INPUTS + FORWARD + BACKWARD.replace(" {reverse=true}", "") + BOTH
    assert check_unchanged(pack_directions, text) == []
