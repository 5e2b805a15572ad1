"""Utilities around data and files."""

from kcompile.utils.files import ChecksumError, DownloadError, cache_dir, get_file
from kcompile.utils.numerical import normalize, to_categorical
from kcompile.utils.random import clear_session, set_random_seed

__all__ = [
    "ChecksumError",
    "DownloadError",
    "cache_dir",
    "clear_session",
    "get_file",
    "normalize",
    "set_random_seed",
    "to_categorical",
]
