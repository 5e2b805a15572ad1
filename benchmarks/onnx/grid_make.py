"""Makes the models of the grid with Keras, and what they compute, on the backend it is run with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
from grid_cases import CASES, WORDS, Case
from grid_worker import Job, serve

#: Rows of data and the length of open axes: each file is run with both.
SIZES = ((1, 5), (4, 7))


def draw(rng: np.random.Generator, tensor: Any, size: tuple[int, int], case: Case) -> Any:
    shape = (size[0], *(size[1] if length is None else length for length in tensor.shape[1:]))
    dtype = str(tensor.dtype)
    if dtype == "string":
        return rng.choice([*WORDS, "dog", "the cat", "A mat, on the DOG!"], shape)
    if dtype == "bool":
        mask = rng.integers(0, 3, shape) > 0
        mask[..., 0] = True
        return mask
    if "int" in dtype:
        return rng.integers(0 if case.has_masks else 1, 5, shape).astype(dtype)
    array = rng.normal(size=shape)
    if case.has_masks or case.name.startswith("Masking"):
        left_out = rng.random(shape[:2]) < 0.35
        left_out[:, 1] = False
        array[left_out] = 0
    return array.astype(dtype)


def randomize(model: Any, rng: np.random.Generator) -> None:
    """Weights that are constants at first, so that one that is lost would be seen."""
    for weight in model.weights:
        if weight.name in ("bias", "beta", "moving_mean"):
            weight.assign(0.3 * rng.standard_normal(weight.shape))
        elif weight.name in ("gamma", "moving_variance", "scale", "alpha"):
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
        elif weight.name == "embeddings":
            weight.assign(rng.standard_normal(weight.shape))


def outputs(model: Any, arrays: list[Any]) -> list[Any]:
    given = [a if a.dtype.kind == "U" else keras.ops.convert_to_tensor(a) for a in arrays]
    if keras.backend.backend() == "tensorflow":
        import tensorflow

        given = [tensorflow.constant(array) for array in arrays]
    found = keras.tree.flatten(model(given if len(given) > 1 else given[0], training=False))
    return [keras.ops.convert_to_numpy(array) for array in found]


def make(job: Job) -> Job:
    """Writes the model and its samples beside each other."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(42)
    rng = np.random.default_rng(7)
    case = CASES[job["name"]]
    model = case.build(keras)
    randomize(model, rng)
    target = Path(job["target"])
    model.save(target)
    samples: dict[str, Any] = {"names": [tensor.name for tensor in model.inputs]}
    for number, size in enumerate(SIZES):
        arrays = [draw(rng, tensor, size, case) for tensor in model.inputs]
        samples |= {f"in_{number}_{index}": array for index, array in enumerate(arrays)}
        found = outputs(model, arrays)
        samples |= {f"out_{number}_{index}": array for index, array in enumerate(found)}
    np.savez(target.with_suffix(".npz"), **samples)
    return {}


if __name__ == "__main__":
    serve(make)
