"""Convolutional recurrent layers, and cells of one's own in loops."""

from __future__ import annotations

from typing import Any

from tests.conformance.case import FIRST, Case

SEQUENCES = {"return_sequences": True}
BACKWARDS = {"go_backwards": True}
ALL = {**SEQUENCES, "return_state": True}
LINE = ((None, 6, 2),)
IMAGE = ((None, 5, 4, 2),)


def _line(*, masked: bool = False, **config: Any) -> Case:
    return Case("ConvLSTM1D", {"filters": 2, "kernel_size": 3, **config}, LINE, masked=masked)


def _image(*, masked: bool = False, **config: Any) -> Case:
    return Case("ConvLSTM2D", {"filters": 3, "kernel_size": 2, **config}, IMAGE, masked=masked)


CASES = [
    _line(),
    _line(**ALL, padding="same", strides=2),
    _line(**ALL, **BACKWARDS, use_bias=False, activation="relu", recurrent_activation="sigmoid"),
    _line(dilation_rate=2, **SEQUENCES),
    _line(unit_forget_bias=False, kernel_size=1, recurrent_activation="hard_sigmoid"),
    Case("ConvLSTM1D", {"filters": 2, "kernel_size": 3, "unroll": True, **ALL}, ((3, 6, 2),)),
    Case("ConvLSTM1D", {"filters": 1, "kernel_size": 1}, ((1, 1, 1),)),
    _image(**ALL),
    _image(kernel_size=(3, 2), strides=(2, 1), padding="same", **BACKWARDS),
    _image(dilation_rate=(1, 2), **SEQUENCES, activation=None),
    Case("ConvLSTM2D", {"filters": 2, "kernel_size": 3, **FIRST, **ALL}, ((None, 2, 5, 4),)),
    Case("ConvLSTM3D", {"filters": 2, "kernel_size": 2, **SEQUENCES}, ((None, 3, 4, 3, 2),)),
    Case(
        "ConvLSTM3D",
        {"filters": 1, "kernel_size": 1, "strides": 2, "padding": "same"},
        ((2, 3, 4, 3, 1),),
    ),
]
