"""Calls between layers as Keras 1 and 2 wrote them, in the form of Keras 3.

A call is a list of `[layer, call, result]` or `[layer, call, result, keyword arguments]`, one for
each tensor; tensors among keyword arguments are written in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kcompile.formats.place import Place, require_list, shorten

Config = dict[str, Any]
#: In the place of a layer's name: the value itself stands where the result's number would.
CONSTANT = "_CONSTANT_VALUE"


@dataclass(frozen=True)
class Names:
    """How the layers of a model are called and counted now.

    Attributes:
        renamed: today's name of each layer, by that in the file.
        first_calls: the number that a model's first call has in the file, where it is not 0:
            its own definition counted as a call.
    """

    renamed: Mapping[str, str] = field(default_factory=dict)
    first_calls: Mapping[str, int] = field(default_factory=dict)

    def history(self, value: list[Any], place: Place) -> list[Any]:
        """`[layer, call, result]`, counted as today."""
        name, call, result = value[:3]
        if any(type(index) is not int for index in (call, result)):
            raise place.error(f"needs [layer, call, result], got {shorten(value)}")
        return [self.renamed.get(name, name), call - self.first_calls.get(name, 0), result]


def is_history(value: Any) -> bool:
    """Whether it is `[layer, call, result]`, with or without keyword arguments."""
    if not isinstance(value, list) or len(value) not in (3, 4) or not isinstance(value[0], str):
        return False
    if value[0] == CONSTANT:
        return value[1] == -1
    return all(type(index) is int for index in value[1:3])


def histories(value: Any) -> Iterator[list[Any]]:
    """Every `[layer, call, result]` in a structure, keyword arguments included."""
    stack = [value]
    while stack:
        entry = stack.pop()
        if is_history(entry):
            if entry[0] != CONSTANT:
                yield entry
            stack += entry[3:]
        elif isinstance(entry, dict):
            stack += entry.values()
        elif isinstance(entry, list):
            stack += entry


def first_calls(entries: list[Config], outputs: Any) -> dict[str, int]:
    """Where the calls of models are counted from, in the calls and outputs of a model around them.

    Keras 1 and 2 counted a model's own definition as its first call, in some cases.

    Args:
        entries: of the models among the layers.
        outputs: whatever refers to them.
    """
    used: dict[str, set[int]] = {}
    for name, call, *_ in histories(outputs):
        used.setdefault(name, set()).add(call)
    return {
        entry["name"]: 1
        for entry in entries
        if entry["name"] in used and 0 not in used[entry["name"]]
    }


def upgrade_node(node: Any, names: Names, place: Place) -> tuple[list[Any], Config]:
    """The arguments of a call: of a list of tensors, and by name.

    Returns:
        The tensors, each in the form of Keras 3, or an object of them; and keyword arguments.

    Raises:
        FormatError: it is malformed.
    """
    keywords: Config = {}

    def tensor(entry: list[Any], at: Place) -> Any:
        if len(entry) == 4:
            given = entry[3]
            if not isinstance(given, dict):
                raise at.error(f"needs an object of keyword arguments, got {shorten(given)}")
            keywords.update(given)
        return entry[2] if entry[0] == CONSTANT else _keras_tensor(names.history(entry, at))

    if isinstance(node, dict):
        tensors = [_mapped(tensor, node, place)]
    elif is_history(node):
        tensors = [tensor(node, place)]
    else:
        tensors = [
            _mapped(tensor, entry, place[index])
            for index, entry in enumerate(require_list(node, place))
        ]
    given = {key: _keyword(value, names, place / key) for key, value in keywords.items()}
    return tensors, given


def _mapped(function: Callable[[list[Any], Place], Any], value: Any, place: Place) -> Any:
    """A structure with `function` applied to each tensor in it."""
    if is_history(value):
        return function(value, place)
    if isinstance(value, dict) and value:
        return {key: _mapped(function, entry, place / key) for key, entry in value.items()}
    if isinstance(value, list) and value:
        return [_mapped(function, entry, place[i]) for i, entry in enumerate(value)]
    raise place.error(f"needs [layer, call, result], got {shorten(value)}")


def _keyword(value: Any, names: Names, place: Place) -> Any:
    if is_history(value):
        return _keras_tensor(names.history(value, place))
    if isinstance(value, list):
        return [_keyword(entry, names, place[index]) for index, entry in enumerate(value)]
    if isinstance(value, dict):
        return {key: _keyword(entry, names, place / key) for key, entry in value.items()}
    return value


def _keras_tensor(history: list[Any]) -> Config:
    # Files of these eras do not tell the shapes between layers.
    config = {"shape": None, "dtype": "float32", "keras_history": history}
    return {"class_name": "__keras_tensor__", "config": config}


def upgrade_ends(value: Any, names: Names, functional: set[str], place: Place) -> Any:
    """`input_layers` or `output_layers`; a list of one tensor is that tensor.

    Args:
        value: as it stands in the file.
        names: of the layers.
        functional: today's names of functional models among the layers. Keras 3 counts their own
            definition as the first call, but only here.
        place: of the value.

    Raises:
        FormatError: it is malformed.
    """

    def end(entry: list[Any], at: Place) -> list[Any]:
        name, call, result = names.history(entry, at)
        return [name, call + (name in functional), result]

    ends = _mapped(end, value, place)
    return ends[0] if isinstance(ends, list) and len(ends) == 1 else ends
