"""`model.summary()`."""

from __future__ import annotations

from typing import Any

import pytest

import kcompile
from kcompile import layers
from kcompile.utils.summary import format_bytes


def text_of(model: Any, **options: Any) -> str:
    printed: list[str] = []
    model.summary(print_fn=printed.append, **options)
    assert len(printed) == 1
    return printed[0]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("│").split("│")]


def rows_of(text: str) -> list[list[str]]:
    return [cells(line) for line in text.splitlines() if line.startswith("│")]


def test_a_sequential_model() -> None:
    model = kcompile.Sequential(
        [
            layers.Input((4,)),
            layers.Dense(300, name="wide"),
            layers.BatchNormalization(name="norm"),
        ],
        name="small",
    )
    text = text_of(model)
    assert text.splitlines()[0] == "Model: 'small'"
    assert rows_of(text) == [
        ["Layer (type)", "Output Shape", "Param #"],
        ["wide (Dense)", "(None, 300)", "1,500"],
        ["norm (BatchNormalization)", "(None, 300)", "1,200"],
    ]
    assert text.splitlines()[-3:] == [
        " Total params: 2,700 (10.55 KB)",
        " Trainable params: 2,100 (8.20 KB)",
        " Non-trainable params: 600 (2.34 KB)",
    ]


def test_a_functional_model_shows_connections() -> None:
    a, b = layers.Input((4,), name="a"), layers.Input((4,), name="b")
    dense = layers.Dense(2, name="shared")
    model = kcompile.Model([a, b], layers.Add(name="sum")([dense(a), dense(b)]), name="m")
    assert rows_of(text_of(model)) == [
        ["Layer (type)", "Output Shape", "Param #", "Connected to"],
        ["a (InputLayer)", "(None, 4)", "0", ""],
        ["b (InputLayer)", "(None, 4)", "0", ""],
        ["shared (Dense)", "(None, 2)", "10", "a[0][0], b[0][0]"],
        ["sum (Add)", "(None, 2)", "0", "shared[0][0],"],
        ["", "", "", "shared[1][0]"],
    ]


def test_an_unbuilt_model() -> None:
    model = kcompile.Sequential([layers.Dense(2, name="d")])
    assert rows_of(text_of(model))[1] == ["d (Dense)", "?", "? (unbuilt)"]


def test_line_length_and_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    model = kcompile.Sequential([layers.Input((4,)), layers.Dense(2, name="d[0]")])
    model.summary(line_length=60)
    text = capsys.readouterr().out
    assert {len(line) for line in text.splitlines() if line.startswith("│")} == {60}
    assert "d[0] (Dense)" in text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0.00 B"), (1023, "1023.00 B"), (1536, "1.50 KB"), (2**40, "1.00 TB")],
)
def test_format_bytes(number: int, text: str) -> None:
    assert format_bytes(number) == text
