"""Runtimes: a graph made executable, imported as `kcompile.runtimes`."""
