"""From what a user gives to fit and evaluate to checked arrays by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kcompile.ir.errors import DataError
from kcompile.losses import BinaryCrossentropy, BinaryFocalCrossentropy
from kcompile.ops.structure import map_leaves
from kcompile.training import arrays, labels, streams
from kcompile.training.data import DataSet
from kcompile.training.host_stage import HostStage, run_host_stage
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
    *,
    for_device: bool = True,
) -> tuple[DataSet, dict[str, int]]:
    """Inputs, targets and weights, and the numbers of symbolic sizes in the inputs.

    The inputs are those that the device needs; with `for_device=False` those of the model.

    Raises:
        DataError: they do not fit the model, differ in rows, or hold NaN or infinity.
        ShapeError: an input has another shape than the model takes.
    """
    inputs, sizes = prepare_inputs(model, x, where, for_device=for_device)
    names = model.output_names
    targets: Arrays = {}
    if y is not None:
        named = arrays.assign_names(y, names, "output", "y", optional=names)
        targets = {
            name: arrays.fit_to_target(value, _target(name, where))
            for name, value in named.items()
            if value is not None
        }
    weights = _sample_weights(sample_weight, class_weight, targets, names, where)
    data = DataSet(inputs.x, targets, weights)
    data.require_rows(where)
    data.require_finite(where)
    return data, sizes


def prepare_inputs(
    model: Any, x: Any, where: str, *, for_device: bool = True
) -> tuple[DataSet, dict[str, int]]:
    """The inputs alone; a sequential model without an Input makes its weights for them."""
    if x is None:
        raise DataError("there are no data", where=where, hint="Give x")
    if not model.built:
        model.build_for(_arrays(arrays.only(x), f"{where}: x"))
    types = dict(model.input_types())
    given = arrays.assign_names(_by_input_name(model, x), list(types), "input", "x")
    sizes: dict[str, int] = {}
    inputs = {
        name: arrays.fit_to_input(name, given[name], type, sizes, f"{where}: input")
        for name, type in types.items()
    }
    return DataSet(run_host_stage(model, inputs) if for_device else inputs, {}, {}), sizes


class ModelView:
    """What preparing data needs to know of a built model, found once: tracing takes time."""

    built = True

    def __init__(self, model: Any) -> None:
        self._input_types = model.input_types()
        self._output_types = model.output_types()
        self.input_structure = model.input_structure
        self.input_names = model.input_names
        self.output_names = model.output_names
        self.host_stage = HostStage(model)

    def input_types(self) -> Any:
        """As the model's."""
        return self._input_types

    def output_types(self) -> Any:
        """As the model's."""
        return self._output_types


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
            labels.require_probabilities(data.y[name], _target(name, where))
        if loss is None or not loss.labels_are_classes:
            continue
        num_classes = shapes[name][getattr(loss, "axis", -1)]
        labels.require_classes(class_weight or {}, num_classes)
        labels.require_labels_in_range(
            data.y[name], num_classes, getattr(loss, "ignore_class", None), _target(name, where)
        )


def _target(name: str, where: str) -> str:
    return f"{where}: target of output '{name}'"


def _arrays(x: Any, where: str) -> Any:
    """x with arrays in the place of what can be one; a list of arrays is several inputs."""
    if isinstance(x, Mapping):
        return {key: arrays.as_values(value, where) for key, value in x.items()}
    if isinstance(x, (list, tuple)) and all(hasattr(entry, "shape") for entry in x):
        return [arrays.as_values(value, where) for value in x]
    return arrays.as_values(x, where)


def raw_arrays(structure: Any, where: str) -> Any:
    """Arrays of at most 32 bits in the place of what can be one, for steps of a model's own."""
    if structure is None or streams.has_file_rows(structure):
        return structure
    made = _arrays(structure, where)
    return map_leaves(lambda leaf: leaf.astype(_NARROW.get(leaf.dtype.name, leaf.dtype)), made)


#: What JAX makes of them too.
_NARROW = {"float64": "float32", "int64": "int32", "uint64": "uint32"}


def named_by_output(model: Any, structure: Any) -> dict[str, Any]:
    """The leaves of a structure like the model's outputs, by output name; None leaves nothing."""
    if structure is None:
        return {}
    names = model.output_names
    return arrays.assign_names(structure, names, "output", "compute_loss", optional=names)


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
        return {name: labels.class_weights(target, class_weight)}
    if given is None:
        return {}
    place = f"{where}: sample_weight"
    if isinstance(given, Mapping) or (isinstance(given, (list, tuple)) and len(names) > 1):
        named = arrays.assign_names(given, names, "output", place, optional=names)
    else:
        named = dict.fromkeys(targets, arrays.only(given))
    return {
        name: arrays.as_array(value, place).astype(np.float32)
        for name, value in named.items()
        if value is not None
    }
