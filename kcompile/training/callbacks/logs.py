"""Logs: numbers by name."""

from __future__ import annotations

from typing import Any

#: The names that Keras gave the same numbers before version 2.3.
_ALIASES = {"acc": "accuracy", "val_acc": "val_accuracy"}
_OTHER_NAME = _ALIASES | {new: old for old, new in _ALIASES.items()}


class LogDict(dict[str, Any]):
    """Logs by name; `acc` finds `accuracy` and `val_acc` finds `val_accuracy`, and back."""

    def __missing__(self, name: str) -> Any:
        other = _OTHER_NAME.get(name)
        if other is None or not dict.__contains__(self, other):
            raise KeyError(name)
        return dict.__getitem__(self, other)

    def __contains__(self, name: object) -> bool:
        return dict.__contains__(self, name) or dict.__contains__(self, _OTHER_NAME.get(str(name)))

    def get(self, name: str, default: Any = None) -> Any:
        try:
            return self[name]
        except KeyError:
            return default
