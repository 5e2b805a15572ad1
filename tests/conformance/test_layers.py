"""Every layer against Keras and in every runtime: see `checks` for what holds for each case."""

from __future__ import annotations

from typing import Any

import pytest

from kcompile import layers
from kcompile.layers import LAYERS, InputLayer, Layer, Wrapper
from kcompile.ops.missing import is_missing
from tests.conformance import checks
from tests.conformance.case import Case
from tests.conformance.tables import CASES
from tests.conformance.tables.elsewhere import ELSEWHERE


def parameters(*, but: Any = lambda case: False, only_first: bool = False) -> Any:
    """The cases; slow are those that are not quick, or not the first of their layer."""
    chosen = [case for case in CASES if not but(case)]
    return pytest.mark.parametrize(
        "case",
        [
            pytest.param(
                case, id=str(case), marks=() if _is_quick(case, only_first) else pytest.mark.slow
            )
            for case in chosen
        ],
    )


def _is_quick(case: Case, only_first: bool) -> bool:
    return case.is_first if only_first else case.quick


@parameters()
def test_outputs_and_gradients_equal_keras(case: Case) -> None:
    checks.outputs_and_gradients(case)


def has_nothing_to_train(case: Case) -> bool:
    """Keras draws other random numbers; and without `build` a layer has no weights."""
    plain = case.make is None and LAYERS[case.layer].build is Layer.build
    return plain or case.is_random


@parameters(but=has_nothing_to_train, only_first=True)
def test_three_training_steps_equal_keras(case: Case) -> None:
    checks.three_training_steps(case)


@parameters()
def test_the_exported_file_equals_keras(case: Case) -> None:
    checks.exported_file(case)


def once_for_each_config() -> Any:
    """A predicate that is true of a case with a config that was there before."""
    seen: set[str] = set()

    def is_known(case: Case) -> bool:
        key = f"{case.layer} {case.config}"
        known = case.make is not None or key in seen
        seen.add(key)
        return known

    return is_known


@parameters(but=once_for_each_config())
def test_configs_go_both_ways(case: Case) -> None:
    checks.configs(case)


@parameters(only_first=True)
def test_architectures_go_both_ways(case: Case) -> None:
    checks.architecture(case)


def test_every_layer_has_a_case() -> None:
    """In the tables, or in the file that `elsewhere` names."""
    shown = {case.layer for case in [*CASES, *(c for found in ELSEWHERE.values() for c in found)]}
    here = {layer for layer in LAYERS.values() if not is_missing(layer)}
    left = here - {getattr(layers, name) for name in shown}
    assert left == {InputLayer, Wrapper}
