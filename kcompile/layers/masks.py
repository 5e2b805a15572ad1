"""Masks: which steps of a sequence count. They go along with the tensors that a trace passes on.

A mask is a tensor of bools, `[N, T]` for x `[N, T, ...]`, false where a step is to be skipped. A
layer that makes one, or passes one on, says so by `supports_masking` and `compute_mask`; one that
uses the mask of its input takes it as the argument `mask` of `call`. Arrays carry no masks.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from kcompile.ops.structure import leaves, map_leaves
from kcompile.ops.tensor import TracedTensor


def mask_of(structure: Any) -> Any:
    """The masks of tensors, in their structure; None for what has none."""
    return map_leaves(lambda leaf: leaf.mask if isinstance(leaf, TracedTensor) else None, structure)


def has_mask(masks: Any) -> bool:
    """Whether any of the masks is one."""
    return any(mask is not None for mask in leaves(masks))


def with_mask(tensor: TracedTensor, mask: TracedTensor | None) -> TracedTensor:
    """The same value with a mask of its own; `tensor` keeps the one that it has."""
    masked = TracedTensor(tensor.trace, tensor.value)
    masked.mask = mask
    return masked


def fill_mask_arguments(
    names: tuple[str, ...], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """`kwargs` with the masks of tensors that `call` asks for and the caller does not give.

    The argument `mask` gets the mask of the only tensor (or structure of them) among the arguments;
    where there are several, `query_mask` gets the mask of `query`.

    Args:
        names: of the parameters of `call`.
        args, kwargs: what `call` is given.
    """
    given = dict(zip(names, args, strict=False)) | dict(kwargs)
    tensors = {key: value for key, value in given.items() if _has_tensor(value)}
    only = len(tensors) == 1
    wanted = {"mask" if only else f"{key}_mask": value for key, value in tensors.items()}
    found = {
        key: mask_of(value)
        for key, value in wanted.items()
        if key in names and given.get(key) is None
    }
    return {**kwargs, **{key: masks for key, masks in found.items() if has_mask(masks)}}


def _has_tensor(value: Any) -> bool:
    return any(isinstance(leaf, TracedTensor) for leaf in leaves(value))


def carry_masks(layer: Any, inputs: Any, previous: Any, outputs: Any) -> Any:
    """`outputs` of a layer with their masks.

    Args:
        layer: was called.
        inputs: its first argument.
        previous: the masks of `inputs`.
        outputs: what `call` returned; tensors that have a mask there keep it.
    """
    flat = [leaf for leaf in leaves(outputs) if leaf is not None]
    if flat and all(isinstance(leaf, TracedTensor) and leaf.mask is not None for leaf in flat):
        return outputs
    if not layer.supports_masking:
        if has_mask(previous) and not has_mask(mask_of(outputs)):
            warnings.warn(
                f"layer '{layer.name}' ({type(layer).__name__}) does not pass on the mask of its"
                " input: the layers after it will not skip the masked steps",
                stacklevel=2,
            )
        return outputs
    computed = layer.compute_mask(inputs, previous)
    if computed is None:
        return outputs
    masks = iter(leaves(computed))

    def attach(leaf: Any) -> Any:
        mask = next(masks, None)
        if mask is None or not isinstance(leaf, TracedTensor) or leaf.mask is not None:
            return leaf
        return with_mask(leaf, mask)

    return map_leaves(attach, outputs)
