"""What a file says of a model, before there is one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kcompile.formats.place import Place

if TYPE_CHECKING:
    from kcompile.models import Model


@dataclass(frozen=True)
class Spec:
    """A file that was read and checked, of whatever era, in the form of Keras 3.15.

    Attributes:
        config: of the model: `module`, `class_name`, `config`, `registered_name`.
        place: of the config in the file, for messages.
        made_by: what wrote the file: `Keras 2.2.4 (tensorflow)`.
        fill: gives a model that was made of the config its weights: all of them, or it raises and
            none; None if the file has no weights.
        training: the `compile_config` in the form of Keras 3; None if there is none.
        fill_optimizer: gives the optimizer of a compiled model its state; None if there is none.
        origins, renamed: of layers that had another class or name in the file, as `upgrade` gives
            them; for weights that come from another file.
    """

    config: dict[str, Any]
    place: Place
    made_by: str
    fill: Callable[[Model], None] | None = None
    training: dict[str, Any] | None = None
    fill_optimizer: Callable[[Model], None] | None = None
    origins: Mapping[tuple[str, ...], str] = field(default_factory=dict)
    renamed: Mapping[tuple[str, ...], str] = field(default_factory=dict)
