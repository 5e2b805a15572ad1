"""Batches as `fit` takes them apart and puts them together."""

from __future__ import annotations

from typing import Any

from kcompile.ir.errors import DataError


def unpack_x_y_sample_weight(data: Any) -> tuple[Any, Any, Any]:
    """`(x, y, sample_weight)` of a batch: what is not in it is None.

    A tuple or list is `(x,)`, `(x, y)` or `(x, y, sample_weight)`; anything else is x.

    Raises:
        DataError: it has another number of entries.
    """
    if isinstance(data, list):
        data = tuple(data)
    if not isinstance(data, tuple):
        return data, None, None
    if not 1 <= len(data) <= 3:
        raise DataError(
            f"a batch is x, (x, y) or (x, y, sample_weight), got {len(data)} entries",
            hint="Several inputs or outputs of a model go into one dict or tuple",
        )
    x, y, sample_weight = (*data, None, None)[:3]
    return x, y, sample_weight


def pack_x_y_sample_weight(x: Any, y: Any = None, sample_weight: Any = None) -> Any:
    """The shortest batch with these: x, `(x, y)` or `(x, y, sample_weight)`.

    A tuple or list x alone becomes `(x,)`, which `unpack_x_y_sample_weight` needs to see.
    """
    if y is None and sample_weight is None:
        return (x,) if isinstance(x, (tuple, list)) else x
    return (x, y) if sample_weight is None else (x, y, sample_weight)
