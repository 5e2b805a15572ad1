"""The node tests that the onnx package brings: nodes, inputs and expected outputs."""

from __future__ import annotations

import functools
import importlib
import pkgutil
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx.backend.test.case import node as cases

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class NodeTest:
    """One node.

    Attributes:
        name: of the test.
        op_type: the ONNX op.
        attributes: by name.
        inputs: None for one that is left out.
        outputs: what is expected; None for one that is not there.
    """

    name: str
    op_type: str
    attributes: dict[str, Any]
    inputs: tuple[Array | None, ...]
    outputs: tuple[Array | None, ...]

    def __str__(self) -> str:
        return self.name


@functools.cache
def node_tests(op_types: frozenset[str]) -> tuple[NodeTest, ...]:
    """The tests of these ops.

    Each module of the package hands its tests to a function as it is imported. The function that
    builds models of them takes long; another one stands in its place here.
    """
    found: list[NodeTest] = []

    def expect(
        node: onnx.NodeProto, inputs: Iterable[Any], outputs: Iterable[Any], name: str, **_: Any
    ) -> None:
        if node.op_type in op_types and not node.domain:
            attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            given = _aligned(node.input, inputs), _aligned(node.output, outputs)
            found.append(NodeTest(name, node.op_type, attributes, *given))

    own, cases.expect = cases.expect, expect
    state = np.random.get_state()
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            for module in pkgutil.iter_modules(cases.__path__):
                if module.name not in _SLOW and not module.name.startswith("ai_onnx"):
                    np.random.seed(0)
                    importlib.import_module(f"{cases.__name__}.{module.name}")
    finally:
        cases.expect = own
        np.random.set_state(state)
    return tuple(found)


#: Modules of ops that we do not write, and that take seconds.
_SLOW = {"lppool", "deformconv"}


def _aligned(names: Iterable[str], arrays: Iterable[Any]) -> tuple[Array | None, ...]:
    given = iter(arrays)
    return tuple(_array(next(given, None)) if name else None for name in names)


def _array(value: Any) -> Any:
    if isinstance(value, onnx.TensorProto):
        return onnx.numpy_helper.to_array(value)
    return value if value is None or isinstance(value, list) else np.asarray(value)
