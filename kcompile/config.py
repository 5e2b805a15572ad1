"""Settings of Keras, with the values that they have here; most have one value only."""

from __future__ import annotations

from pathlib import Path

from kcompile.dtype_policies import dtype_policy, set_dtype_policy
from kcompile.ir.errors import SpecError
from kcompile.ops.missing import missing
from kcompile.runtimes import cache_settings
from kcompile.runtimes.cache_settings import DEFAULT_MAX_BYTES, CacheSettings

FLOATX = "float32"
EPSILON = 1e-7
IMAGE_DATA_FORMAT = "channels_last"


def backend() -> str:
    """What models are trained with: `jax`."""
    return "jax"


def floatx() -> str:
    """The element type of floats that are given none; layers have dtype policies instead."""
    return FLOATX


def set_floatx(value: str) -> None:
    """Accepted for float32 alone.

    Raises:
        NotImplementedError: another type is asked for.
    """
    _require("set_floatx", value, FLOATX, "give layers a dtype, or set a dtype policy for all")


def epsilon() -> float:
    """The small number in losses and metrics that keeps divisions and logarithms finite."""
    return EPSILON


def set_epsilon(value: float) -> None:
    """Accepted for 1e-7 alone.

    Raises:
        NotImplementedError: another number is asked for.
    """
    _require("set_epsilon", value, EPSILON, "the losses and layers that have one take an argument")


def image_data_format() -> str:
    """The data format of layers that are given none."""
    return IMAGE_DATA_FORMAT


def set_image_data_format(data_format: str) -> None:
    """Accepted for `channels_last` alone.

    Raises:
        NotImplementedError: another format is asked for.
    """
    hint = "give each layer its data_format"
    _require("set_image_data_format", data_format, IMAGE_DATA_FORMAT, hint)


def set_backend(backend: str) -> None:
    """Accepted for `jax` alone.

    Raises:
        NotImplementedError: another backend is asked for.
    """
    _require("set_backend", backend, "jax", "models train on XLA by JAX")


def compile_cache() -> Path | None:
    """The folder in which compiled XLA programs are kept for the next process.

    None if they are not kept, or in a folder that JAX itself was told of.
    """
    from kcompile.runtimes.jax.compile_cache import folder_in_use

    return folder_in_use()


def set_compile_cache(enabled: bool, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
    """Say whether compiled XLA programs are kept for the next process, which they are by default.

    Args:
        enabled: holds for this process, whatever `KCOMPILE_COMPILE_CACHE` says.
        max_bytes: of all programs; those that were not used for longest make place.

    Raises:
        SpecError: `max_bytes` is no positive number.
    """
    if type(max_bytes) is not int or max_bytes < 1:
        raise SpecError(f"max_bytes needs a number of bytes, got {max_bytes!r}")
    cache_settings.choose(CacheSettings(bool(enabled), max_bytes))


def keep_freed_memory() -> bool:
    """Let the process keep the memory that it frees, for training on the CPU.

    See `kcompile.utils.allocator.keep_freed_memory`, which this calls.
    """
    from kcompile.utils import allocator

    return allocator.keep_freed_memory()


def _require(name: str, value: object, only: object, hint: str) -> None:
    if value != only:
        raise NotImplementedError(f"config.{name}: it is {only!r} and cannot be {value!r}; {hint}")


def is_traceback_filtering_enabled() -> bool:
    """Whether tracebacks leave frames out, which they never do."""
    return False


def disable_traceback_filtering() -> None:
    """Tracebacks are whole already."""


def is_interactive_logging_enabled() -> bool:
    """Whether progress is shown on the standard output, which `verbose` decides."""
    return True


def enable_interactive_logging() -> None:
    """Progress is shown there already, unless `verbose=0`."""


def is_flash_attention_enabled() -> bool:
    """Whether a layer may ask for flash attention: XLA decides by itself how attention runs."""
    return False


def disable_flash_attention() -> None:
    """No layer asks for it."""


def is_nnx_enabled() -> bool:
    """Whether layers are modules of Flax, which they never are."""
    return False


def max_epochs() -> None:
    """The limit of epochs of every `fit`; there is none."""


def max_steps_per_epoch() -> None:
    """The limit of steps of every epoch; there is none."""


disable_interactive_logging = missing(
    "config.disable_interactive_logging", "give fit, evaluate and predict verbose=0"
)
enable_flash_attention = missing(
    "config.enable_flash_attention", "XLA decides by itself how attention runs"
)
enable_traceback_filtering = missing(
    "config.enable_traceback_filtering", "tracebacks are always whole"
)
enable_unsafe_deserialization = missing(
    "config.enable_unsafe_deserialization", "no code in a file is ever run"
)
set_max_epochs = missing("config.set_max_epochs", "give fit its number of epochs")
set_max_steps_per_epoch = missing("config.set_max_steps_per_epoch", "give fit its steps_per_epoch")

__all__ = [
    "backend",
    "compile_cache",
    "disable_flash_attention",
    "disable_interactive_logging",
    "disable_traceback_filtering",
    "dtype_policy",
    "enable_flash_attention",
    "enable_interactive_logging",
    "enable_traceback_filtering",
    "enable_unsafe_deserialization",
    "epsilon",
    "floatx",
    "image_data_format",
    "is_flash_attention_enabled",
    "is_interactive_logging_enabled",
    "is_nnx_enabled",
    "is_traceback_filtering_enabled",
    "max_epochs",
    "max_steps_per_epoch",
    "set_backend",
    "set_compile_cache",
    "set_dtype_policy",
    "set_epsilon",
    "set_floatx",
    "set_image_data_format",
    "set_max_epochs",
    "set_max_steps_per_epoch",
]
