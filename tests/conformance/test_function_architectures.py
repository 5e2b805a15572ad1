"""Functions between layers in architecture JSON: the table is Keras's, and calls go both ways."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import kcompile.activations  # noqa: F401  adds its functions to the table
from kcompile.formats import from_json
from kcompile.formats.function_table import BY_NAME, KerasFunction
from kcompile.ir.printer import print_graph
from kcompile.ops.dispatch import FUNCTIONS, NAMES_OF_STEPS
from kcompile.ops.naming import snake_case
from kcompile.ops.structure import leaves, map_leaves
from tests.conformance import (
    test_image_ops,
    test_ops_arrangement,
    test_ops_elements,
    test_ops_spectral,
    test_ops_statistics,
)
from tests.conformance.checks import same_architecture
from tests.conformance.ops_case import OpsCase, booleans, case, normal

#: What no file holds: functions of functions, random numbers, and what takes no tensor.
NOT_IN_FILES = {
    *("_vectorized", "associative_scan", "cond", "fori_loop", "map", "scan", "switch"),
    *("vectorized_map", "while_loop"),
    *(name for name in FUNCTIONS if name.startswith("random_")),
    *("bartlett", "blackman", "empty", "eye", "hamming", "hanning", "identity", "kaiser"),
    *("ones", "tri", "zeros"),
    # Keras makes other operations of these.
    *("extract_patches_3d", "linear", "mish"),
}
#: Keras takes no KerasTensor among the arguments of the cases.
NOT_SYMBOLIC = {"get_item", "hstack", "meshgrid"}
X = normal(2, 3, 4)
CASES: list[OpsCase] = [
    case("clip", X, -0.5, 0.5),
    *test_ops_arrangement.CASES,
    *test_ops_elements.CASES,
    *test_ops_spectral.FOURIER,
    *test_ops_spectral.OTHERS,
    *test_ops_statistics.CASES,
    *(case(name, *args, **kwargs) for name, args, kwargs in test_image_ops.CASES),
    case("any", booleans(2, 3), axis=1),
    case("einsum", "bij,bkj->bik", X, X),
    case("rearrange", X, "a (b c) d -> a b (c d)", b=3),
    case("saturate_cast", X * 100, "int8"),
    case("swish", X),
    case("trapezoid", X, dx=0.5, axis=1),
]


def test_steps_are_named_as_in_keras() -> None:
    named = {name: snake_case(function.class_name) for name, function in BY_NAME.items()}
    assert {name: step for name, step in named.items() if step != name} == NAMES_OF_STEPS


def test_every_function_is_in_the_table_or_cannot_be() -> None:
    assert set(FUNCTIONS) - set(BY_NAME) == NOT_IN_FILES
    assert not NOT_IN_FILES & set(BY_NAME) and set(BY_NAME) <= set(FUNCTIONS)


@pytest.mark.parametrize("function", BY_NAME.values(), ids=BY_NAME)
def test_the_table_has_the_arguments_of_keras(function: KerasFunction) -> None:
    operation = getattr(importlib.import_module(function.module), function.class_name)
    in_config = set(_parameters(operation.__init__)) - {"name"}
    assert in_config == {*function.attributes, *function.inert}
    of_call = list(_parameters(operation.call))
    ours = list(_parameters(FUNCTIONS[function.name]))
    assert of_call == [name for name in ours if name not in function.attributes]


def _parameters(function: Any) -> Iterator[str]:
    for name, parameter in inspect.signature(function).parameters.items():
        if name != "self" and parameter.kind is not parameter.VAR_KEYWORD:
            yield name


def first_of_each_function() -> list[OpsCase]:
    found: dict[str, OpsCase] = {}
    for entry in CASES:
        given = leaves([entry.args, entry.kwargs])
        is_written = entry.function in BY_NAME and entry.function not in NOT_SYMBOLIC
        if is_written and any(isinstance(leaf, np.ndarray) for leaf in given):
            found.setdefault(entry.function, entry)
    return list(found.values())


def symbolic_model(k: Any, entry: OpsCase) -> Any:
    """The model that makes a case's call between KerasTensors."""
    inputs: list[Any] = []

    def symbolic(leaf: Any) -> Any:
        if not isinstance(leaf, np.ndarray):
            return leaf
        name = f"x{len(inputs)}"
        inputs.append(k.Input(batch_shape=leaf.shape, dtype=str(leaf.dtype), name=name))
        return inputs[-1]

    args, kwargs = map_leaves(symbolic, entry.args), map_leaves(symbolic, entry.kwargs)
    owner = k.ops if hasattr(k.ops, entry.function) else k.ops.image
    return k.Model(inputs, getattr(owner, entry.function)(*args, **kwargs), name="m")


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(entry, id=entry.name, marks=[] if number % 10 == 0 else pytest.mark.slow)
        for number, entry in enumerate(first_of_each_function())
    ],
)
def test_calls_go_both_ways(entry: OpsCase) -> None:
    ours, theirs, loaded = same_architecture(lambda k: symbolic_model(k, entry))
    for model in (theirs, loaded):
        again = from_json(model.to_json())
        assert print_graph(again.graph()) == print_graph(ours.graph())
