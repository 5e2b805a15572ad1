"""Models: functional, sequential, and subclassed."""

from kcompile.models.cloning import clone_model
from kcompile.models.files import load_model, model_from_json, save_model
from kcompile.models.functional import Functional
from kcompile.models.model import Model
from kcompile.models.sequential import Sequential

__all__ = [
    "Functional",
    "Model",
    "Sequential",
    "clone_model",
    "load_model",
    "model_from_json",
    "save_model",
]
