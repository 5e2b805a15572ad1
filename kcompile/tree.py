"""Nested structures: tuples, lists and dicts, whose entries are ordered by key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kcompile.ir.errors import SpecError
from kcompile.ops.missing import missing
from kcompile.ops.structure import leaves, map_leaves, pack_like

_NOT_NEEDED = "flatten, map_structure and pack_sequence_as are there"


def flatten(structure: Any) -> list[Any]:
    """The leaves in order."""
    return list(leaves(structure))


def is_nested(structure: Any) -> bool:
    """Whether it is a tuple, list or dict."""
    return isinstance(structure, (tuple, list, dict))


def map_structure(func: Callable[..., Any], *structures: Any, none_is_leaf: bool = True) -> Any:
    """The structure of what `func` gives for the leaves of the structures at each place.

    Args:
        func: takes a leaf of each structure.
        structures: of the same form.
        none_is_leaf: whether `func` gets None too; else it stays None.

    Raises:
        SpecError: there is no structure, or one has another form.
    """
    if not structures:
        raise SpecError("map_structure needs a structure")
    first, *others = structures
    for other in others:
        assert_same_structure(first, other)
    columns = [leaves(other) for other in others]

    def call(leaf: Any) -> Any:
        rest = [next(column) for column in columns]
        return None if leaf is None and not none_is_leaf else func(leaf, *rest)

    return map_leaves(call, first)


def assert_same_structure(a: Any, b: Any) -> None:
    """Check that two structures have the same form.

    Raises:
        SpecError: they have not.
    """
    forms = [map_leaves(lambda _: None, structure) for structure in (a, b)]
    if forms[0] != forms[1]:
        raise SpecError(f"the structures differ: {a!r} and {b!r}")


def pack_sequence_as(structure: Any, flat_sequence: Any) -> Any:
    """The entries of `flat_sequence` in the form of `structure`.

    Raises:
        SpecError: there are more or fewer of them than leaves.
    """
    flat = list(flat_sequence)
    count = len(flatten(structure))
    if len(flat) != count:
        raise SpecError(f"the structure has {count} leaves, got {len(flat)}")
    return pack_like(structure, flat)


def lists_to_tuples(structure: Any) -> Any:
    """The structure with tuples in the place of lists."""
    if isinstance(structure, dict):
        return {key: lists_to_tuples(entry) for key, entry in structure.items()}
    if isinstance(structure, (list, tuple)):
        return tuple(lists_to_tuples(entry) for entry in structure)
    return structure


MAP_TO_NONE = missing("tree.MAP_TO_NONE", "only traverse takes it")
assert_same_paths = missing("tree.assert_same_paths", _NOT_NEEDED)
flatten_with_path = missing("tree.flatten_with_path", _NOT_NEEDED)
map_shape_structure = missing("tree.map_shape_structure", _NOT_NEEDED)
map_structure_up_to = missing("tree.map_structure_up_to", _NOT_NEEDED)
traverse = missing("tree.traverse", _NOT_NEEDED)

__all__ = [
    "MAP_TO_NONE",
    "assert_same_paths",
    "assert_same_structure",
    "flatten",
    "flatten_with_path",
    "is_nested",
    "lists_to_tuples",
    "map_shape_structure",
    "map_structure",
    "map_structure_up_to",
    "pack_sequence_as",
    "traverse",
]
