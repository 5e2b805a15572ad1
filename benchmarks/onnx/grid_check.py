"""Holds ONNX files of the grid against what Keras computed."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
from grid_worker import Job, serve

NUM_SIZES = 2


def feeds(session: onnxruntime.InferenceSession, samples: Any, number: int) -> dict[str, Any]:
    """By name or, where those differ, by position."""
    names = [str(name) for name in samples["names"]]
    wanted = [value.name for value in session.get_inputs()]
    if len(wanted) != len(names):
        raise ValueError(f"the file has {len(wanted)} inputs, the model {len(names)}: {wanted}")
    is_named = set(wanted) == set(names)
    order = [names.index(name) for name in wanted] if is_named else range(len(names))
    arrays = [samples[f"in_{number}_{index}"] for index in order]
    strings = [a.astype(object) if a.dtype.kind == "U" else a for a in arrays]
    return dict(zip(wanted, strings, strict=True))


def expected(samples: Any, number: int) -> list[Any]:
    count = sum(key.startswith(f"out_{number}_") for key in samples)
    return [samples[f"out_{number}_{index}"] for index in range(count)]


def difference(found: list[Any], wanted: list[Any], tolerance: float) -> str:
    """What differs, in words; nothing where outputs are Keras's."""
    if len(found) != len(wanted):
        return f"{len(found)} outputs for {len(wanted)}"
    for index, (array, other) in enumerate(zip(found, wanted, strict=True)):
        if array.shape != other.shape:
            return f"output {index} is {array.shape} for {other.shape}"
        a, b = array.astype(np.float64), other.astype(np.float64)
        largest = float(np.max(np.abs(b), initial=0.0)) or 1.0
        error = float(np.max(np.abs(a - b), initial=0.0)) / largest
        if not error <= tolerance:
            return f"output {index} differs by {error:.1e} of the largest element"
    return ""


def check(job: Job) -> Job:
    """`outcome` and, unless that is `ok`, `detail`."""
    try:
        onnx.checker.check_model(job["file"])
    except onnx.checker.ValidationError as error:
        return {"outcome": "invalid file", "detail": str(error)}
    errors, differences = [], []
    with np.load(job["samples"]) as arrays:
        samples = dict(arrays)
    try:
        session = onnxruntime.InferenceSession(job["file"], providers=["CPUExecutionProvider"])
        feeds(session, samples, 0)
    except Exception as error:  # onnxruntime's are of many types without a common one
        return {"outcome": "refused", "detail": str(error)}
    for number in range(NUM_SIZES):
        try:
            found = session.run(None, feeds(session, samples, number))
        except Exception as error:
            errors.append(str(error))
            continue
        if different := difference(found, expected(samples, number), job["tolerance"]):
            differences.append(different)
    if len(errors) == NUM_SIZES:
        return {"outcome": "refused", "detail": errors[0]}
    if differences:
        return {"outcome": "wrong", "detail": differences[0]}
    if errors:
        return {"outcome": "one size", "detail": errors[0]}
    return {"outcome": "ok"}


if __name__ == "__main__":
    onnxruntime.set_default_logger_severity(4)
    serve(check)
