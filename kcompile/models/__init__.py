"""Models: functional, sequential, and subclassed."""

from kcompile.models.cloning import clone_model
from kcompile.models.functional import Functional
from kcompile.models.model import Model
from kcompile.models.sequential import Sequential

__all__ = ["Functional", "Model", "Sequential", "clone_model"]
