"""What all losses share: ranks that are made to agree, weights, masks and reductions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import kcompile.ops as ops
from kcompile import dtype_policies
from kcompile.ir.errors import SpecError
from kcompile.ir.types import DType
from kcompile.losses.calling import one_graph
from kcompile.ops.configs import argument_names
from kcompile.ops.naming import automatic_name
from kcompile.ops.structure import leaves, map_leaves
from kcompile.ops.tensor import SymbolicTensor

_MEANS = ("sum_over_batch_size", "mean", "mean_with_sample_weight")
REDUCTIONS = (*_MEANS, "sum", "none", None)

_BASE_ARGUMENTS = frozenset({"name", "reduction", "dtype"})


class Loss:
    """A function of labels and predictions to minimize.

    A subclass gives one loss for each sample (or element) in `call`.

    Args:
        name: made from the class's name by default.
        reduction: `sum_over_batch_size` and `mean` divide the sum by the number of losses,
            `mean_with_sample_weight` by the sum of the weights, `sum` does not divide, `none` (or
            None) leaves the losses as they are.
        dtype: element type to compute in; float32 by default.

    Raises:
        SpecError: there is no such reduction.
    """

    #: Whether labels are class numbers, which floats would not hold exactly.
    labels_are_classes: ClassVar[bool] = False

    def __init__(
        self,
        name: str | None = None,
        reduction: str | None = "sum_over_batch_size",
        dtype: Any = None,
    ) -> None:
        self.name = name or automatic_name(type(self).__name__)
        self.reduction = check_reduction(reduction, f"loss '{self.name}'")
        self.dtype = computation_dtype(dtype, f"loss '{self.name}'")

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss of each sample."""
        raise NotImplementedError(f"{type(self).__name__} has no call")

    def mask(self, y_true: Any, y_pred: Any, losses: Any) -> Any:
        """Which of the losses count; None for all."""
        return None

    @one_graph
    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """The reduced loss.

        Args:
            y_true: labels.
            y_pred: predictions.
            sample_weight: one weight for each loss, or a tensor that broadcasts to the losses.
        """
        attached = mask_of(y_pred)
        y_pred = _as_tensors(y_pred, self.dtype)
        y_true = _as_tensors(y_true, None if self.labels_are_classes else self.dtype)
        losses = ops.convert_to_tensor(self.call(y_true, y_pred), self.dtype)
        mask = both_masks(attached, self.mask(y_true, y_pred, losses))
        return reduce_weighted(losses, sample_weight, mask, self.reduction)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make the same loss, as JSON values."""
        return {"name": self.name, "reduction": self.reduction}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Any:
        """The loss that `get_config` describes."""
        return cls(**config)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, reduction={self.reduction}>"


class FunctionLoss(Loss):
    """A loss that is a function, with the arguments that the class keeps under their names."""

    function: ClassVar[Callable[..., Any]]
    default_name: ClassVar[str]

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name or self.default_name, reduction, dtype)

    @property
    def arguments(self) -> dict[str, Any]:
        """What the function is called with besides labels and predictions."""
        names = argument_names(type(self))
        return {name: getattr(self, name) for name in names if name not in _BASE_ARGUMENTS}

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return type(self).function(*to_same_rank(y_true, y_pred), **self.arguments)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self.arguments}


class LossFunctionWrapper(Loss):
    """A function of (y_true, y_pred) as a loss.

    Args:
        fn: gives one loss for each sample.
        reduction, name, dtype: as in `Loss`.
        **kwargs: further arguments of `fn`.
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.fn = fn
        self.arguments = kwargs

    def call(self, y_true: Any, y_pred: Any) -> Any:
        if isinstance(y_true, SymbolicTensor) and isinstance(y_pred, SymbolicTensor):
            y_true, y_pred = to_same_rank(y_true, y_pred)
        return self.fn(y_true, y_pred, **self.arguments)

    def get_config(self) -> dict[str, Any]:
        raise SpecError(
            f"the function {self.fn!r} cannot be written as a config",
            where=f"loss '{self.name}'",
            hint="Make it a subclass of Loss with get_config",
        )


def computation_dtype(dtype: Any, where: str) -> str:
    """The element type to compute in: float32 by default.

    Raises:
        SpecError: it is not a floating-point type.
    """
    element = DType.FLOAT32 if dtype is None else dtype_policies.get(dtype).computation
    if not element.is_floating:
        raise SpecError(f"computes in floating-point numbers, not in {element}", where=where)
    return element.keras_name


def check_reduction(reduction: Any, where: str) -> str | None:
    """The reduction, if it is one.

    Raises:
        SpecError: it is not.
    """
    if reduction not in REDUCTIONS:
        raise SpecError(
            f"{reduction!r} is not a reduction",
            where=where,
            hint=f"Use one of {', '.join(map(repr, REDUCTIONS))}",
        )
    return reduction


def to_same_rank(a: Any, b: Any, expand_rank_1: bool = True) -> tuple[Any, Any]:
    """a and b with one rank, where theirs differ by 1 and the last axis of the higher has size 1.

    That axis is taken off; or, with `expand_rank_1`, put onto the other one if that is a vector.
    """
    if len(a.shape) == len(b.shape) + 1 and a.shape[-1] == 1:
        if len(b.shape) == 1 and expand_rank_1:
            return a, ops.expand_dims(b, -1)
        return ops.squeeze(a, -1), b
    if len(b.shape) == len(a.shape) + 1 and b.shape[-1] == 1:
        if len(a.shape) == 1 and expand_rank_1:
            return ops.expand_dims(a, -1), b
        return a, ops.squeeze(b, -1)
    return a, b


def reduce_weighted(values: Any, sample_weight: Any, mask: Any, reduction: str | None) -> Any:
    """The reduction of values times weights; what the mask leaves out counts for nothing."""
    weight = weight_of(sample_weight, mask, values.dtype, reduction)
    if weight is not None:
        values, weight = to_same_rank(values, weight)
        values = values * weight
    if reduction in (None, "none") or len(values.shape) == 0:
        return values
    if reduction == "sum":
        return ops.sum(values)
    if reduction == "mean_with_sample_weight" and weight is not None:
        return ops.divide_no_nan(ops.sum(values), ops.sum(weight))
    return ops.mean(values)


def weight_of(sample_weight: Any, mask: Any, dtype: str, reduction: str | None) -> Any:
    """The weights with the mask in them; None without both.

    Where a mean divides by the number of all values, those that the mask keeps weigh
    `all / kept`, so that the mean is over the kept ones.
    """
    if sample_weight is not None:
        sample_weight = ops.convert_to_tensor(sample_weight, dtype)
    if mask is None:
        return sample_weight
    kept = ops.cast(mask, dtype)
    if reduction in ("sum_over_batch_size", "mean"):
        kept = kept * ops.divide_no_nan(1.0, ops.mean(kept))
    if sample_weight is None:
        return kept
    kept, sample_weight = to_same_rank(kept, sample_weight)
    return sample_weight * kept


def mask_of(y_pred: Any) -> Any:
    """The mask that a layer gave its output; None for none, and for several outputs."""
    return getattr(y_pred, "mask", None) if isinstance(y_pred, SymbolicTensor) else None


def both_masks(a: Any, b: Any) -> Any:
    """What both masks keep; None is no mask."""
    if a is None or b is None:
        return b if a is None else a
    return ops.logical_and(*to_same_rank(a, b))


def _as_tensors(structure: Any, dtype: str | None) -> Any:
    """Each tensor in a structure of them converted; nested lists of numbers are one tensor."""
    if isinstance(structure, dict) or any(hasattr(leaf, "dtype") for leaf in leaves(structure)):
        return map_leaves(lambda leaf: ops.convert_to_tensor(leaf, dtype), structure)
    return ops.convert_to_tensor(structure, dtype)
