"""Nested structures of tensors: tuples, lists and dicts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any


def leaves(structure: Any) -> Iterator[Any]:
    """The leaves in order; the entries of a dict by sorted key."""
    if isinstance(structure, (list, tuple)):
        for entry in structure:
            yield from leaves(entry)
    elif isinstance(structure, dict):
        for key in sorted(structure):
            yield from leaves(structure[key])
    else:
        yield structure


def skeleton(structure: Any) -> Any:
    """The structure without its leaves, to compare and show: 'tensor' for each that is not None.

    Lists and tuples are the same here.
    """
    if isinstance(structure, (list, tuple)):
        return tuple(skeleton(entry) for entry in structure)
    if isinstance(structure, dict):
        return {key: skeleton(structure[key]) for key in sorted(structure)}
    return None if structure is None else "tensor"


def map_leaves(function: Callable[[Any], Any], structure: Any) -> Any:
    """The same structure with `function` applied to each leaf, in the order of `leaves`."""
    if isinstance(structure, tuple) and hasattr(structure, "_fields"):
        return type(structure)(*(map_leaves(function, entry) for entry in structure))
    if isinstance(structure, (list, tuple)):
        return type(structure)(map_leaves(function, entry) for entry in structure)
    if isinstance(structure, dict):
        mapped = {key: map_leaves(function, structure[key]) for key in sorted(structure)}
        return {key: mapped[key] for key in structure}
    return function(structure)


def pack_like(structure: Any, flat: list[Any]) -> Any:
    """The leaves in `flat`, in the structure of `structure`."""
    remaining = iter(flat)
    return map_leaves(lambda _: next(remaining), structure)
