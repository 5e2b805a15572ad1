"""What a layer of one's own says about its inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kcompile.ir.errors import ShapeError, SpecError
from kcompile.ops.structure import leaves
from kcompile.ops.tensor import SymbolicTensor


class InputSpec:
    """Rank, sizes and element type of an input; kept by a layer as `input_spec`.

    Args:
        dtype: the element type.
        shape: the sizes, None for any.
        ndim, max_ndim, min_ndim: the number of axes.
        axes: sizes by axis, None for any.
        allow_last_axis_squeeze: whether a last axis of size 1 may be there or not.
        name: of the input.
        optional: whether the input may be None.
    """

    def __init__(
        self,
        dtype: Any = None,
        shape: Sequence[int | None] | None = None,
        ndim: int | None = None,
        max_ndim: int | None = None,
        min_ndim: int | None = None,
        axes: Mapping[int, int | None] | None = None,
        allow_last_axis_squeeze: bool = False,
        name: str | None = None,
        optional: bool = False,
    ) -> None:
        self.dtype = dtype
        self.shape = None if shape is None else tuple(shape)
        self.ndim = ndim if self.shape is None else len(self.shape)
        self.max_ndim = max_ndim
        self.min_ndim = min_ndim
        self.axes = {int(axis): size for axis, size in (axes or {}).items()}
        self.allow_last_axis_squeeze = allow_last_axis_squeeze
        self.name = name
        self.optional = optional
        known = self.ndim if self.ndim is not None else max_ndim
        for axis in self.axes:
            if known is not None and not -known <= axis < known:
                raise SpecError(f"axis {axis} is out of range for {known} axes", where="InputSpec")

    def get_config(self) -> dict[str, Any]:
        names = ("dtype", "shape", "ndim", "max_ndim", "min_ndim", "axes", "optional")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> InputSpec:
        return cls(**config)

    def __repr__(self) -> str:
        told = ((key, value) for key, value in self.get_config().items() if value)
        return f"InputSpec({', '.join(f'{key}={value}' for key, value in told)})"

    def problem(self, x: SymbolicTensor) -> str | None:
        """Why x is not such an input; None if it is."""
        shape, wanted = x.shape, self.shape
        if self.allow_last_axis_squeeze:
            shape = shape[:-1] if shape and shape[-1] == 1 else shape
            wanted = wanted[:-1] if wanted and wanted[-1] == 1 else wanted
        elif self.ndim is not None and x.ndim != self.ndim:
            return f"needs {self.ndim} axes"
        if self.max_ndim is not None and x.ndim > self.max_ndim:
            return f"needs at most {self.max_ndim} axes"
        if self.min_ndim is not None and x.ndim < self.min_ndim:
            return f"needs at least {self.min_ndim} axes"
        if self.dtype is not None and x.dtype != str(self.dtype):
            return f"needs elements of type {self.dtype}"
        for axis, size in self.axes.items():
            if not -x.ndim <= axis < x.ndim or not _fits(x.shape[axis], size):
                return f"needs size {size} on axis {axis}"
        if wanted is not None and (len(wanted) != len(shape) or not all(map(_fits, shape, wanted))):
            return f"needs the shape {wanted}"
        return None


def _fits(size: int | None, wanted: int | None) -> bool:
    return None in (size, wanted) or size == wanted


def check_inputs(spec: Any, inputs: Any) -> None:
    """Hold the inputs of a layer against its `input_spec`: one, or a structure of them.

    Raises:
        ShapeError: an input is not as it says.
    """
    specs = [entry for entry in leaves(spec) if entry is not None]
    if not specs:
        return
    given = list(leaves(inputs))
    if len(given) != len(specs):
        raise ShapeError(f"input_spec tells of {len(specs)} inputs, got {len(given)}")
    for entry, x in zip(specs, given, strict=True):
        if x is None and entry.optional:
            continue
        problem = entry.problem(x) if isinstance(x, SymbolicTensor) else "needs a tensor"
        if problem is not None:
            got = x.type if isinstance(x, SymbolicTensor) else repr(x)
            raise ShapeError(f"{problem}, as its input_spec says; got {got}")
