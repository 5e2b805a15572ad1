"""Data sets, downloaded once into `kcompile.utils.cache_dir()`."""

from kcompile.datasets import mnist

__all__ = ["mnist"]
