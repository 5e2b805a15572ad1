"""Dtype policies: the element types that a layer computes in and keeps its weights in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kcompile.ir.errors import ShapeError, SpecError
from kcompile.ir.types import DType
from kcompile.ops.missing import missing

_MIXED = {"mixed_float16": DType.FLOAT16, "mixed_bfloat16": DType.BFLOAT16}
_QUANTIZED = ("int8", "int4", "float8", "gptq", "awq")
_MODULE = "keras"


class DTypePolicy:
    """The element types of a layer.

    Args:
        name: an element type for both, or `mixed_float16` or `mixed_bfloat16`, which compute in 16
            bits and keep weights in float32; the global policy's by default.

    Raises:
        SpecError: there is no such policy.
    """

    quantization_mode: None = None

    def __init__(self, name: str | None = None) -> None:
        name = dtype_policy().name if name is None else name
        if not isinstance(name, str):
            raise SpecError(f"the name of a dtype policy is a string, got {name!r}")
        self._name = name
        try:
            self.computation = _MIXED[name] if name in _MIXED else DType.of(name)
        except ShapeError:
            raise SpecError(
                f"there is no dtype policy {name!r}",
                hint=f"Name an element type, or one of {', '.join(_MIXED)}",
            ) from None
        self.storage = DType.FLOAT32 if name in _MIXED else self.computation

    @property
    def name(self) -> str:
        return self._name

    @property
    def compute_dtype(self) -> str:
        """The element type of a layer's computation and outputs."""
        return self.computation.keras_name

    @property
    def variable_dtype(self) -> str:
        """The element type of a layer's weights."""
        return self.storage.keras_name

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> DTypePolicy:
        return cls(**config)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DTypePolicy) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f'<DTypePolicy "{self.name}">'


class FloatDTypePolicy(DTypePolicy):
    """Another name of `DTypePolicy`."""


_global = DTypePolicy("float32")


def dtype_policy() -> DTypePolicy:
    """The policy of layers that are not given one."""
    return _global


def set_dtype_policy(policy: Any) -> None:
    """Set the policy of the layers made from here on that are not given one."""
    global _global
    _global = get(policy)


def get(identifier: Any) -> DTypePolicy:
    """The policy that a name, element type, config or policy stands for; the global one for None.

    Raises:
        SpecError: it stands for none.
        NotImplementedError: it is a policy of quantization, or one by layer paths.
    """
    if identifier is None:
        return dtype_policy()
    if isinstance(identifier, DTypePolicy):
        return identifier
    if isinstance(identifier, Mapping):
        return deserialize(identifier)
    if isinstance(identifier, str):
        if identifier.startswith(_QUANTIZED) and "_from_" in identifier:
            raise NotImplementedError(f"the dtype policy {identifier!r} is not there yet")
        return DTypePolicy(identifier)
    try:
        return DTypePolicy(DType.of(identifier).keras_name)
    except ShapeError:
        raise SpecError(f"{identifier!r} is not a dtype policy") from None


def serialize(dtype_policy: DTypePolicy) -> dict[str, Any]:
    """The config dict of a policy, in Keras 3's form."""
    return {
        "module": _MODULE,
        "class_name": type(dtype_policy).__name__,
        "config": dtype_policy.get_config(),
        "registered_name": None,
    }


def deserialize(
    config: Mapping[str, Any], custom_objects: Mapping[str, type] | None = None
) -> DTypePolicy:
    """The policy that a config dict describes.

    Raises:
        SpecError: it describes none.
        NotImplementedError: it is a policy of quantization, or one by layer paths.
    """
    table = {"DTypePolicy": DTypePolicy, "FloatDTypePolicy": FloatDTypePolicy}
    name, arguments = config.get("class_name"), config.get("config")
    if isinstance(name, str) and custom_objects and name in custom_objects:
        policy: DTypePolicy = custom_objects[name](**(arguments or {}))
        return policy
    if isinstance(name, str) and name not in table and name.endswith(("Policy", "PolicyMap")):
        raise NotImplementedError(f"the dtype policy class {name!r} is not there yet")
    if name not in table or not isinstance(arguments, Mapping) or set(arguments) != {"name"}:
        raise SpecError(f"the dtype policy {dict(config)} is not known")
    return table[name](**arguments)


_NOT_QUANTIZED = "layers do not compute with quantized weights"
AWQDTypePolicy = missing("dtype_policies.AWQDTypePolicy", _NOT_QUANTIZED)
GPTQDTypePolicy = missing("dtype_policies.GPTQDTypePolicy", _NOT_QUANTIZED)
Int4DTypePolicy = missing("dtype_policies.Int4DTypePolicy", _NOT_QUANTIZED)
QuantizedDTypePolicy = missing("dtype_policies.QuantizedDTypePolicy", _NOT_QUANTIZED)
QuantizedFloat8DTypePolicy = missing("dtype_policies.QuantizedFloat8DTypePolicy", _NOT_QUANTIZED)
DTypePolicyMap = missing(
    "dtype_policies.DTypePolicyMap",
    "policies by layer paths are not there; give each layer its own",
)

__all__ = [
    "AWQDTypePolicy",
    "DTypePolicyMap",
    "GPTQDTypePolicy",
    "Int4DTypePolicy",
    "QuantizedDTypePolicy",
    "QuantizedFloat8DTypePolicy",
    "DTypePolicy",
    "FloatDTypePolicy",
    "deserialize",
    "get",
    "serialize",
]
