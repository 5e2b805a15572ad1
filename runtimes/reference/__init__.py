"""The reference runtime: NumPy, node by node. Slow and plain; the judge of the others."""

from kcompile.runtimes.reference.executable import ReferenceExecutable
from kcompile.runtimes.reference.interpreter import run

__all__ = ["ReferenceExecutable", "run"]
