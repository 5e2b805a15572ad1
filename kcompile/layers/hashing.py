"""Strings and integers to a fixed number of bins, by their hashes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import kcompile.ops as ops
from kcompile.ir.errors import SpecError
from kcompile.ir.literal import Literal
from kcompile.ir.ops import CrossHash, HashBucket, Lookup
from kcompile.ir.types import DType
from kcompile.layers.base import Layer
from kcompile.layers.encoding import MODES, check_mode, encode, refuse_sparse
from kcompile.layers.lookup import strings_as_array
from kcompile.ops.trace import emit


class Hashing(Layer):
    """`y = hash(x) mod num_bins`; with a mask value that one in bin 0 and the others behind it.

    The hash is FarmHash's; with a salt it is SipHash. Integers are hashed as decimal text.
    """

    uses_host = True

    def __init__(
        self,
        num_bins: int,
        mask_value: Any = None,
        salt: int | Sequence[int] | None = None,
        output_mode: str = "int",
        sparse: bool = False,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        if dtype is None:
            dtype = "int64" if output_mode == "int" else "float32"
        super().__init__(dtype=dtype, **kwargs)
        where = f"layer '{self.name}'"
        if num_bins is None or num_bins < 1:
            raise SpecError(f"num_bins must be at least 1, got {num_bins}", where=where)
        if output_mode == "int" and self.dtype not in ("int32", "int64"):
            raise SpecError(f"bins are int32 or int64, not {self.dtype}", where=where)
        self.num_bins = num_bins
        self.mask_value = mask_value
        self.output_mode = check_mode(output_mode, ("int", *MODES), where)
        self.sparse = refuse_sparse(sparse, where)
        self.salt = None if salt is None else [salt, salt] if isinstance(salt, int) else list(salt)
        if self.salt is not None and len(self.salt) != 2:
            raise SpecError(f"salt is an integer or two of them, got {salt!r}", where=where)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return super().__call__(*map(strings_as_array, args), **kwargs)

    def call(self, inputs: Any) -> Any:
        key = None if self.salt is None else (self.salt[0], self.salt[1])
        if inputs.type.dtype.is_floating:
            inputs = ops.cast(inputs, "int64")
        if self.mask_value is None or self.num_bins == 1:
            bins = emit(HashBucket(self.num_bins, key), inputs)
        else:
            is_mask = _equals(inputs, self.mask_value)
            bins = ops.add(emit(HashBucket(self.num_bins - 1, key), inputs), 1)
            bins = ops.where(is_mask, 0, bins)
        if self.output_mode == "int":
            return bins
        return encode(bins, self.output_mode, self.num_bins, self.compute_dtype)


class HashedCrossing(Layer):
    """`y = hash(x_0, x_1, ...) mod num_bins`, for inputs `[N]` or `[N, 1]`."""

    uses_host = True

    def __init__(
        self,
        num_bins: int,
        output_mode: str = "int",
        sparse: bool = False,
        name: str | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        if dtype is None and output_mode == "int":
            dtype = "int64"
        super().__init__(name=name, dtype=dtype, **kwargs)
        where = f"layer '{self.name}'"
        if num_bins < 1:
            raise SpecError(f"num_bins must be at least 1, got {num_bins}", where=where)
        self.num_bins = num_bins
        self.output_mode = check_mode(output_mode, ("int", "one_hot"), where)
        self.sparse = refuse_sparse(sparse, where)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if args and isinstance(args[0], (list, tuple)):
            args = (type(args[0])(map(strings_as_array, args[0])), *args[1:])
        return super().__call__(*args, **kwargs)

    def call(self, inputs: Any) -> Any:
        if not isinstance(inputs, (list, tuple)) or len(inputs) < 2:
            raise SpecError("needs a list of at least two inputs")
        for x in inputs:
            if x.ndim > 2 or (x.ndim == 2 and x.shape[1] != 1):
                raise SpecError(f"inputs are [N] or [N, 1], got {x.type}")
        bins = emit(CrossHash(self.num_bins), *inputs)
        if self.output_mode == "int":
            return bins
        return encode(bins, self.output_mode, self.num_bins, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["trainable"]
        return {**config, "dtype": self.dtype}


def _equals(x: Any, value: Any) -> Any:
    is_text = x.type.dtype is DType.STRING
    keys = Literal(np.asarray([value], object if is_text else np.int64))
    return ops.cast(emit(Lookup(keys, Literal(np.ones(1, np.int32)), 0), x), "bool")
