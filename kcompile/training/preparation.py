"""From what a user gives to fit and evaluate to checked arrays by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kcompile.ir.errors import DataError
from kcompile.losses import BinaryCrossentropy, BinaryFocalCrossentropy
from kcompile.training import data as datasets
from kcompile.training.data import DataSet
from kcompile.training.objective import Objective
from kcompile.training.programs import output_shapes

Arrays = dict[str, np.ndarray[Any, Any]]


def prepare(
    model: Any,
    x: Any,
    y: Any,
    sample_weight: Any,
    class_weight: Mapping[int, float] | None,
    where: str,
) -> tuple[DataSet, dict[str, int]]:
    """Inputs, targets and weights, and the numbers of symbolic sizes in the inputs.

    Raises:
        DataError: they do not fit the model, differ in rows, or hold NaN or infinity.
        ShapeError: an input has another shape than the model takes.
    """
    inputs, sizes = prepare_inputs(model, x, where)
    names = model.output_names
    targets: Arrays = {}
    if y is not None:
        named = datasets.assign_names(y, names, "output", "y", optional=names)
        targets = {
            name: datasets.fit_to_target(value, _target(name, where))
            for name, value in named.items()
            if value is not None
        }
    weights = _sample_weights(sample_weight, class_weight, targets, names, where)
    data = DataSet(inputs.x, targets, weights)
    data.require_rows(where)
    data.require_finite(where)
    return data, sizes


def prepare_inputs(model: Any, x: Any, where: str) -> tuple[DataSet, dict[str, int]]:
    """The inputs alone; a sequential model without an Input makes its weights for them."""
    if x is None:
        raise DataError("there are no data", where=where, hint="Give x")
    if not model.built:
        model.build_for(_arrays(datasets.only(x), f"{where}: x"))
    types = dict(model.input_types())
    given = datasets.assign_names(_by_input_name(model, x), list(types), "input", "x")
    sizes: dict[str, int] = {}
    arrays = {
        name: datasets.fit_to_input(name, given[name], type, sizes, f"{where}: input")
        for name, type in types.items()
    }
    return DataSet(arrays, {}, {}), sizes


def require_known_labels(
    model: Any,
    objective: Objective,
    data: DataSet,
    class_weight: Mapping[int, float] | None,
    where: str,
) -> None:
    """Check that labels, and the keys of class_weight, are ones that losses and outputs have.

    Raises:
        DataError: one is not; names the row.
    """
    shapes = output_shapes(model)
    for output in objective.outputs:
        loss, name = output.loss, output.output
        if isinstance(loss, (BinaryCrossentropy, BinaryFocalCrossentropy)):
            datasets.require_probabilities(data.y[name], _target(name, where))
        if loss is None or not loss.labels_are_classes:
            continue
        num_classes = shapes[name][getattr(loss, "axis", -1)]
        datasets.require_classes(class_weight or {}, num_classes)
        datasets.require_labels_in_range(
            data.y[name], num_classes, getattr(loss, "ignore_class", None), _target(name, where)
        )


def _target(name: str, where: str) -> str:
    return f"{where}: target of output '{name}'"


def _arrays(x: Any, where: str) -> Any:
    """x with arrays in the place of what can be one; a list of arrays is several inputs."""
    if isinstance(x, Mapping):
        return {key: datasets.as_array(value, where) for key, value in x.items()}
    if isinstance(x, (list, tuple)) and all(hasattr(entry, "shape") for entry in x):
        return [datasets.as_array(value, where) for value in x]
    return datasets.as_array(x, where)


def _by_input_name(model: Any, x: Any) -> Any:
    """A dict by the keys of the model's own dict of inputs, as one by input names."""
    structure = model.input_structure
    if not isinstance(structure, dict) or not isinstance(x, Mapping):
        return x
    if set(x) == set(structure) != set(model.input_names):
        return {structure[key].node.operation.name: value for key, value in x.items()}
    return x


def _sample_weights(
    given: Any,
    class_weight: Mapping[int, float] | None,
    targets: Arrays,
    names: Sequence[str],
    where: str,
) -> Arrays:
    """Weights by output name, float32; one array is for all outputs."""
    if class_weight is not None:
        if given is not None:
            raise DataError("takes class_weight or sample_weight, not both", where=where)
        if len(targets) != 1:
            raise DataError("class_weight is for models with one output", where=where)
        name, target = next(iter(targets.items()))
        return {name: datasets.class_weights(target, class_weight)}
    if given is None:
        return {}
    place = f"{where}: sample_weight"
    if isinstance(given, Mapping) or (isinstance(given, (list, tuple)) and len(names) > 1):
        named = datasets.assign_names(given, names, "output", place, optional=names)
    else:
        named = dict.fromkeys(targets, datasets.only(given))
    return {
        name: datasets.as_array(value, place).astype(np.float32)
        for name, value in named.items()
        if value is not None
    }
