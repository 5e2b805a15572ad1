"""First values of weights, under Keras's names.

`initializer(shape, dtype="float32", *, rng=None)` gives a NumPy array.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from kcompile.initializers.base import Initializer, initial_value
from kcompile.initializers.constant import Constant, Identity, Ones, Zeros
from kcompile.initializers.fourier import STFT
from kcompile.initializers.random import (
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    LecunNormal,
    LecunUniform,
    Orthogonal,
    RandomInitializer,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    VarianceScaling,
    compute_fans,
)
from kcompile.ir.errors import SpecError
from kcompile.ops import configs, naming, seeds

_CLASSES: tuple[type[Initializer], ...] = (
    Constant,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    Identity,
    LecunNormal,
    LecunUniform,
    Ones,
    Orthogonal,
    RandomNormal,
    RandomUniform,
    STFT,
    TruncatedNormal,
    VarianceScaling,
    Zeros,
)
_TABLE: dict[str, type[Initializer]] = {
    **{cls.__name__: cls for cls in _CLASSES},
    **{naming.snake_case(cls.__name__): cls for cls in _CLASSES},
    "IdentityInitializer": Identity,
    "OrthogonalInitializer": Orthogonal,
    "STFTInitializer": STFT,
    "normal": RandomNormal,
    "uniform": RandomUniform,
    "one": Ones,
    "zero": Zeros,
}

IdentityInitializer = identity = Identity
OrthogonalInitializer = orthogonal = Orthogonal
STFTInitializer = stft = STFT
constant = Constant
glorot_normal = GlorotNormal
glorot_uniform = GlorotUniform
he_normal = HeNormal
he_uniform = HeUniform
lecun_normal = LecunNormal
lecun_uniform = LecunUniform
ones = Ones
random_normal = RandomNormal
random_uniform = RandomUniform
truncated_normal = TruncatedNormal
variance_scaling = VarianceScaling
zeros = Zeros


def serialize(initializer: Any) -> dict[str, Any]:
    """The config dict of an initializer.

    Raises:
        SpecError: the initializer is a plain function, which has no config.
    """
    return configs.serialize(initializer, "keras.initializers", _TABLE)


def deserialize(
    config: Mapping[str, Any], custom_objects: Mapping[str, type] | None = None
) -> Initializer:
    """The initializer that a config dict describes.

    Raises:
        SpecError: the class is unknown, or a config key is.
    """
    name, arguments = configs.open_envelope(config, "initializer")
    return configs.construct(_find(name, custom_objects or {}), arguments, "initializer")


def get(identifier: Any) -> Callable[..., np.ndarray] | None:
    """The initializer that a name, config dict, class, instance or function stands for.

    Raises:
        SpecError: it stands for none.
    """
    if identifier is None:
        return None
    if isinstance(identifier, str):
        return _find(identifier, {})()
    if isinstance(identifier, Mapping):
        return deserialize(identifier)
    if isinstance(identifier, type) and issubclass(identifier, Initializer):
        return identifier()
    if callable(identifier) and not isinstance(identifier, type):
        return identifier
    raise SpecError(
        f"{identifier!r} is not an initializer",
        hint="Pass a name, a config dict, an Initializer or a function of (shape, dtype)",
    )


def _find(name: str, custom_objects: Mapping[str, type]) -> type:
    table = {**_TABLE, **custom_objects}
    return configs.find_class(name, table, "initializer")


__all__ = [
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Identity",
    "IdentityInitializer",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "Ones",
    "Orthogonal",
    "OrthogonalInitializer",
    "RandomInitializer",
    "RandomNormal",
    "RandomUniform",
    "STFT",
    "STFTInitializer",
    "TruncatedNormal",
    "VarianceScaling",
    "Zeros",
    "compute_fans",
    "constant",
    "deserialize",
    "get",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "identity",
    "initial_value",
    "lecun_normal",
    "lecun_uniform",
    "ones",
    "orthogonal",
    "random_normal",
    "random_uniform",
    "seeds",
    "serialize",
    "stft",
    "truncated_normal",
    "variance_scaling",
    "zeros",
]
