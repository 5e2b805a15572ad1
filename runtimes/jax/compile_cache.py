"""Compiled programs are kept in a folder of the user's, from process to process.

JAX does that itself: a program has a key from all that it is compiled from, the version of jaxlib
among it. What is added here is where, how much, and that nobody else may write there: what lies in
the folder is machine code, and is run.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
from jax.experimental.compilation_cache import compilation_cache

from kcompile.runtimes import cache_settings
from kcompile.runtimes.cache_settings import VARIABLE, CacheSettings
from kcompile.runtimes.jax.machine import cpu_instructions
from kcompile.utils.folders import cache_dir, make_private

#: Programs that compile in less are compiled again: reading one takes 5 ms, and each costs a file.
MIN_COMPILE_SECONDS = 0.1
_FOLDER = "jax_compilation_cache_dir"
#: What is set where the user has left JAX's default, which stands beside it.
_OPTIONS: dict[str, tuple[Any, Any]] = {
    "jax_persistent_cache_min_compile_time_secs": (1.0, MIN_COMPILE_SECONDS),
    # XLA's own caches beside JAX's know no bound.
    "jax_persistent_cache_enable_xla_caches": ("xla_gpu_per_fusion_autotune_cache_dir", "none"),
}
_MAX_SIZE, _DEFAULT_MAX_SIZE = "jax_compilation_cache_max_size", -1

_lock = threading.RLock()
_applied: CacheSettings | None = None
#: The folder, while it is ours that JAX uses.
_folder: Path | None = None


def start() -> None:
    """Let JAX keep programs as the settings say. Called before anything is compiled.

    Where the user has told JAX of a folder, or turned its cache off, all is left as it is. A folder
    that cannot be used is told of by one warning.

    Raises:
        SpecError: the environment variable has a value that it does not take.
    """
    global _applied
    settings = cache_settings.current()
    with _lock:
        if settings == _applied:
            return
        _applied = settings
        _stop()
        if settings.is_enabled and not _is_configured_by_user():
            _use(default_folder(), settings.max_bytes)


def folder_in_use() -> Path | None:
    """Where programs are kept; None if they are not, or where the user told JAX to."""
    start()
    return _folder


def default_folder() -> Path:
    """The folder for programs of this kind of processor."""
    kind = hashlib.sha256(" ".join(cpu_instructions()).encode()).hexdigest()[:12]
    return cache_dir() / f"xla-{kind}"


@contextlib.contextmanager
def bypassed() -> Iterator[None]:
    """Inside, programs are compiled and neither read nor kept, whoever configured the cache."""
    with _lock:
        before = _read(_FOLDER)
        _set_folder(None)
        try:
            yield
        finally:
            _set_folder(before)


def _is_configured_by_user() -> bool:
    return bool(_read(_FOLDER)) or not _read("jax_enable_compilation_cache")


def _use(folder: Path, max_bytes: int) -> None:
    global _folder
    try:
        make_private(folder)
        _tidy(folder)
    except OSError as error:
        warnings.warn(
            f"every process compiles anew, since there is no folder for programs: {error}."
            f" {VARIABLE}=0 turns this off",
            stacklevel=2,
        )
        return
    _folder = folder
    for name, (default, value) in _OPTIONS.items():
        if _read(name) == default:
            jax.config.update(name, value)
    if _read(_MAX_SIZE) == _DEFAULT_MAX_SIZE:
        jax.config.update(_MAX_SIZE, max_bytes)
    _set_folder(str(folder))


def _stop() -> None:
    """Let JAX's cache be as it was before `_use`, unless the user has changed it since."""
    global _folder
    if _folder is None:
        return
    if _read(_FOLDER) == str(_folder):
        for name, (default, value) in _OPTIONS.items():
            if _read(name) == value:
                jax.config.update(name, default)
        jax.config.update(_MAX_SIZE, _DEFAULT_MAX_SIZE)
        _set_folder(None)
    _folder = None


def _set_folder(folder: str | None) -> None:
    jax.config.update(_FOLDER, folder)
    compilation_cache.reset_cache()  # JAX looks at the folder once, and may have done so


def _tidy(folder: Path) -> None:
    """Remove what a killed process left: a program without its time of use may be cut short."""
    import filelock

    try:
        with filelock.FileLock(folder / ".lockfile", timeout=0):
            for path in folder.glob("*-cache"):
                if not path.with_name(path.name.removesuffix("cache") + "atime").exists():
                    path.unlink()
    except filelock.Timeout:
        return  # another process is at it, or writes just now


def _read(name: str) -> Any:
    """The value of an option of JAX's; None in versions that do not have it."""
    return getattr(jax.config, name, None)
