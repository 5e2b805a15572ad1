"""JSON is read strictly."""

import pytest

from kcompile.formats import json_text
from kcompile.formats.json_text import parse_json
from kcompile.formats.place import Place
from kcompile.ir.errors import FormatError

HERE = Place("m.json")


def test_plain_json() -> None:
    assert parse_json('{"a": [1, 2.5, null, true, "x"]}', HERE) == {"a": [1, 2.5, None, True, "x"]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "it is not JSON"),
        ('{"a": 1, "b": 2, "a": 3}', "the key 'a' stands twice in one object"),
        ("[NaN]", "NaN is not a number of JSON"),
        ("[-Infinity]", "-Infinity is not a number of JSON"),
        ("[1e999]", "the number 1e999 is too large"),
        (f"[{'9' * 5000}]", "the number 9{20}... is too long"),
        ("[" * 100_000 + "]" * 100_000, "nested more than 200 deep"),
        ("[" * 300 + "]" * 300, "nested more than 200 deep"),
    ],
)
def test_refusals(text: str, message: str) -> None:
    with pytest.raises(FormatError, match=f"m.json: .*{message}"):
        parse_json(text, HERE)


def test_a_text_that_is_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_text, "MAX_CHARACTERS", 10)
    with pytest.raises(FormatError, match="the text has 11 characters; at most 10 are read"):
        parse_json(" " * 11, HERE)
