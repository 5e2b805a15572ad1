"""Element types: what a layer keeps weights in, and what it computes in."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from kcompile import dtype_policies
from kcompile.layers import masks
from kcompile.ops.structure import map_leaves
from kcompile.ops.tensor import TracedTensor
from kcompile.ops.trace import Trace


class PolicyDTypes:
    """What follows from a layer's dtype policy.

    Attributes:
        autocast: whether floating-point inputs are cast to the type that the layer computes in.
    """

    autocast: bool

    @property
    def dtype(self) -> str:
        return self.dtype_policy.variable_dtype

    variable_dtype = dtype

    @property
    def compute_dtype(self) -> str:
        return self.dtype_policy.compute_dtype

    @property
    def dtype_policy(self) -> dtype_policies.DTypePolicy:
        """What the layer computes in and keeps weights in; weights there are keep their type."""
        return self._dtype_policy

    @dtype_policy.setter
    def dtype_policy(self, value: Any) -> None:
        self._dtype_policy = dtype_policies.get(value)

    def autocast_inputs(self, arguments: Any) -> Any:
        """The arguments of a call, floating-point tensors cast if the layer does that."""
        return map_leaves(self._cast, arguments) if self.autocast else arguments

    def _cast(self, leaf: Any) -> Any:
        if isinstance(leaf, TracedTensor) and leaf.type.dtype.is_floating:
            kept = leaf.trace.convert(leaf, self.dtype_policy.computation)
            return masks.with_mask(kept, leaf.mask)
        return leaf

    def computing(self, trace: Trace) -> AbstractContextManager[None]:
        """Inside, floating-point weights are read in the type that the layer computes in.

        A layer that casts no inputs leaves that to its inner layers.
        """
        policy = self.dtype_policy
        mixed = policy.computation is not policy.storage
        casts = self.autocast and policy.computation.is_floating
        nested = trace.autocast is not None
        return trace.autocasting(policy.computation if casts and (nested or mixed) else None)
