"""Random numbers, under the names of `keras.random`; how seeds work is said in `drawn_uniform`."""

from __future__ import annotations

import functools
import inspect
import itertools
import math
import threading
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

import numpy as np

from kcompile.ir import ops as ir
from kcompile.ir.dims import Size
from kcompile.ir.errors import ShapeError, SpecError
from kcompile.ir.types import DType
from kcompile.ops import scopes
from kcompile.ops.arithmetic import erfinv
from kcompile.ops.dispatch import FUNCTIONS, FunctionOperation, has_keras_tensor
from kcompile.ops.elementwise import (
    absolute,
    cast,
    clip,
    cos,
    exp,
    greater_equal,
    less,
    log,
    logical_and,
    maximum,
    mod,
    sqrt,
    where,
)
from kcompile.ops.nn import sigmoid
from kcompile.ops.promotion import to_float, to_tensor
from kcompile.ops.reduction import argmax
from kcompile.ops.reduction import min as min_of
from kcompile.ops.reduction import sum as sum_of
from kcompile.ops.seeds import next_seed
from kcompile.ops.shape import expand_dims, one_hot, take
from kcompile.ops.sorting import argsort
from kcompile.ops.tensor import TracedTensor
from kcompile.ops.trace import current_trace, emit, require_trace, run_eagerly

P = ParamSpec("P")
R = TypeVar("R")

#: How many integers `randint` can tell apart with an error below 2^-24.
_MAX_SPAN = 2**24
#: The most trials of a binomial number, which are drawn one by one.
_MAX_TRIALS = 4096
#: A proposal for a gamma number is taken with a probability above 0.95 (Marsaglia and Tsang,
#: 2000), so that all of these are refused with one below 4e-11; the last one is then taken.
_NUM_PROPOSALS = 8


class SeedGenerator:
    """Seeds, another one at each use.

    In a layer's `call` the numbers differ from step to step, as those of Dropout do.

    Args:
        seed: an int; drawn from the global seed if not given.
        name: accepted as in Keras.
    """

    def __init__(self, seed: int | None = None, name: str | None = None, **kwargs: Any) -> None:
        if kwargs:
            raise SpecError(f"SeedGenerator has no argument {sorted(kwargs)[0]!r}")
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, (int, np.integer))):
            raise SpecError(f"a seed is an integer or None, got {seed!r}")
        self._initial_seed = seed
        self.seed = next_seed() if seed is None else int(seed)
        self.name = name or "seed_generator"
        self._count = 0
        self._lock = threading.Lock()

    def next(self, ordered: bool = True) -> np.ndarray[Any, Any]:
        """The next seed, `u32[2]`; any function here takes it."""
        with self._lock:
            self._count += 1
            return _words(self.seed, self._count - 1)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make the same generator."""
        return {"seed": self._initial_seed}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> SeedGenerator:
        """The generator that `get_config` describes."""
        return cls(**config)


class SeedParts:
    """One seed for several functions in a trace, each draw of which has numbers of its own."""

    def __init__(self, seed: Any) -> None:
        self.seed = seed
        self._parts = itertools.count()

    def next_part(self) -> int:
        """The next `part` of `drawn_uniform`."""
        return next(self._parts)


def _words(seed: int, count: int = 0) -> np.ndarray[Any, Any]:
    """A key for random ops: equal for equal seeds and counts."""
    return np.array([(seed ^ (seed >> 32)) & 0xFFFFFFFF, count & 0xFFFFFFFF], np.uint32)


def _random(function: Callable[P, R]) -> Callable[P, R]:
    """Make `function`, written with traced tensors, take arrays and KerasTensors as well."""
    operation = f"random_{function.__name__}"
    FUNCTIONS[operation] = function
    signature = inspect.signature(function)

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        if has_keras_tensor(args, kwargs):
            return FunctionOperation(operation)(*args, **kwargs)
        if current_trace() is not None:
            return function(*args, **kwargs)
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        # As an input of the graph, so that another seed needs no other program.
        bound.arguments["seed"] = eager_key(bound.arguments["seed"])
        return run_eagerly(operation, function, bound.args, bound.kwargs)

    return run


def eager_key(seed: Any) -> Any:
    """The key `u32[2]` that `seed` stands for outside of a trace; a generator advances."""
    if seed is None or isinstance(seed, SeedGenerator):
        key = scopes.next_key()  # of a training step that is compiled: a traced array
        if key is not None:
            return key if seed is None else key + _words(seed.seed)
        return _words(next_seed()) if seed is None else seed.next()
    return _words(int(seed)) if isinstance(seed, (int, np.integer)) else seed


def drawn_uniform(shape: Sequence[Size], seed: Any, part: int = 0) -> TracedTensor:
    """Uniform numbers `f32` in [0, 1), in a trace.

    Args:
        shape: sizes; symbolic ones too.
        seed: an int or `u32[2]` gives the same numbers every time; None and a `SeedGenerator`
            take the graph's RNG input, so that numbers differ from step to step.
        part: tells apart what one function draws; `SeedParts` count it themselves.
    """
    trace = require_trace()
    sizes = tuple(int(n) if isinstance(n, np.integer) else n for n in shape)
    if isinstance(seed, SeedParts):
        seed, part = seed.seed, seed.next_part()
    if seed is None or isinstance(seed, SeedGenerator):
        # What stands in a trace for inference is asked for there.
        forced = trace.mode.forced or not trace.mode.training
        number = seed.seed if isinstance(seed, SeedGenerator) else None
        op = ir.RandomUniform(sizes, trace.stream(number), forced)
        return emit(op, TracedTensor(trace, trace.rng()))
    key = trace.convert(_words(int(seed)) if isinstance(seed, (int, np.integer)) else seed)
    return emit(ir.RandomUniform(sizes, part, True), key)


def _float_type(dtype: Any) -> str:
    kind = DType.of(dtype or "float32")
    if not kind.is_floating:
        raise SpecError(f"dtype is a floating-point type, not {kind.keras_name}")
    return kind.keras_name


@_random
def uniform(
    shape: Sequence[Size],
    minval: Any = 0.0,
    maxval: Any = 1.0,
    dtype: str | None = None,
    seed: Any = None,
) -> Any:
    """Uniform numbers in [minval, maxval), as the dtype has these two."""
    kind = DType.of(_float_type(dtype))
    numbers = drawn_uniform(shape, seed)
    is_unit = _are_numbers(minval, maxval) and (minval, maxval) == (0.0, 1.0)
    if not is_unit:
        numbers = numbers * (maxval - minval) + minval
    if not is_unit or kind.numpy.itemsize < 4:  # those drawn are below 1 in float32
        numbers = clip(numbers, *_half_open(minval, maxval, kind))
    return cast(numbers, kind.keras_name)


def _are_numbers(*values: Any) -> bool:
    return all(isinstance(value, (int, float, np.number)) for value in values)


def _half_open(minval: Any, maxval: Any, kind: DType) -> tuple[Any, Any]:
    """The least number of [minval, maxval) and the greatest below its end, to which sums round.

    Of tensors, one up to two numbers below the end.
    """
    number = kind.numpy.type if kind.numpy.itemsize < 4 else np.float32
    if _are_numbers(minval, maxval):
        low = float(number(minval))
        return low, max(low, float(np.nextafter(number(maxval), number(-np.inf))))
    step = float(np.nextafter(number(1), number(2))) - 1.0
    end = cast(to_tensor(maxval), "float32")
    least = float(np.finfo(np.float16 if number is np.float16 else np.float32).tiny)
    low = cast(to_tensor(minval), "float32")
    return low, maximum(low, end - absolute(end) * step - least)


def _standard_normal(shape: Sequence[Size], seed: Any, part: int = 0) -> Any:
    """Standard normal numbers `f32`, by the transformation of Box and Muller (1958)."""
    # 1 - u is in (0, 1], whose logarithm is finite.
    radius = sqrt(-2.0 * log(1.0 - drawn_uniform(shape, seed, part)))
    return radius * cos(2 * math.pi * drawn_uniform(shape, seed, part + 1))


@_random
def normal(
    shape: Sequence[Size],
    mean: Any = 0.0,
    stddev: Any = 1.0,
    dtype: str | None = None,
    seed: Any = None,
) -> Any:
    """Numbers of the normal distribution."""
    kind = _float_type(dtype)
    return cast(_standard_normal(shape, seed) * stddev + mean, kind)


@_random
def truncated_normal(
    shape: Sequence[Size],
    mean: Any = 0.0,
    stddev: Any = 1.0,
    dtype: str | None = None,
    seed: Any = None,
) -> Any:
    """Numbers of the normal distribution that lie within two standard deviations."""
    kind = _float_type(dtype)
    # The distribution function, inverted, between its values there.
    half = math.erf(math.sqrt(2.0))
    share = (drawn_uniform(shape, seed) * 2.0 - 1.0) * half
    numbers = clip(math.sqrt(2.0) * erfinv(share), -2.0, 2.0)
    return cast(numbers * stddev + mean, kind)


@_random
def randint(
    shape: Sequence[Size], minval: int, maxval: int, dtype: str = "int32", seed: Any = None
) -> Any:
    """Integers in [minval, maxval), at most 2^24 different ones."""
    kind = DType.of(dtype)
    if not kind.is_integer:
        raise SpecError(f"dtype is an integer type, not {kind.keras_name}")
    span = int(maxval) - int(minval)
    if span < 1:
        raise SpecError(f"minval {minval} must be less than maxval {maxval}")
    if span > _MAX_SPAN:
        raise NotImplementedError(
            f"random.randint: {span} different integers; more than 2^24 are not there yet"
        )
    # 48 bits modulo the span, eight at a time, in unsigned arithmetic that does not overflow.
    rest = mod(_bits(shape, seed, 0), np.uint32(span))
    low = _bits(shape, seed, 1)
    for shift in (16, 8, 0):
        byte = mod(emit(ir.FloorDivide(), low, np.uint32(2**shift)), np.uint32(256))
        rest = mod(rest * np.uint32(256) + byte, np.uint32(span))
    return cast(cast(rest, "int32") + int(minval), kind.keras_name)


def _bits(shape: Sequence[Size], seed: Any, part: int) -> Any:
    """24 random bits `u32` for each element."""
    return cast(drawn_uniform(shape, seed, part) * 2.0**24, "uint32")


@_random
def categorical(logits: Any, num_samples: int, dtype: str = "int32", seed: Any = None) -> Any:
    """`[N, num_samples]`: class k with the probability softmax(logits)[k]; logits are `[N, C]`.

    By the greatest of logits plus Gumbel numbers.
    """
    x = to_float(logits)
    if x.type.rank != 2:
        raise ShapeError(f"needs logits [N, C], got {x.type}")
    batch, classes = x.type.shape
    # Both logarithms are of numbers in (0, 1], and the inner one's is not 0.
    share = drawn_uniform((batch, num_samples, classes), seed) * (1 - 2.0**-23) + 2.0**-25
    gumbel = -log(-log(share))
    return cast(argmax(expand_dims(cast(x, "float32"), 1) + gumbel, -1), dtype)


@_random
def dropout(
    inputs: Any, rate: float, noise_shape: Sequence[Size | None] | None = None, seed: Any = None
) -> Any:
    """`x / (1 - rate)` where a uniform number is at least rate, 0 elsewhere."""
    if not 0 <= rate < 1:
        raise SpecError(f"rate must be in [0, 1), got {rate!r}")
    x = to_tensor(inputs)
    if rate == 0:
        return x
    sizes = x.type.shape
    if noise_shape is not None:
        pairs = zip(sizes, noise_shape, strict=True)
        sizes = tuple(size if wanted is None else wanted for size, wanted in pairs)
    kept = greater_equal(drawn_uniform(sizes, seed), rate)
    return where(kept, x * (1 / (1 - rate)), 0.0)


@_random
def shuffle(x: Any, axis: int = 0, seed: Any = None) -> Any:
    """x with its parts along an axis in a random order."""
    tensor = to_tensor(x)
    axis = axis % tensor.type.rank
    return take(tensor, permutation(tensor.type.shape[axis], seed), axis)


def permutation(size: Size, seed: Any, part: int = 0) -> Any:
    """The numbers 0 to size - 1 in a random order, i32, in a trace."""
    return argsort(drawn_uniform((size,), seed, part))


def _log_gamma_number(shape: Sequence[Size], alpha: Any, seed: Any, part: int) -> Any:
    """Logarithms of gamma numbers of scale 1; those of alpha below 1 by a power of a uniform one.

    (Marsaglia and Tsang, "A simple method for generating gamma variables", 2000)
    """
    small = less(alpha, 1.0)
    d = where(small, alpha + 1.0, alpha) - 1 / 3
    x = _standard_normal((_NUM_PROPOSALS, *shape), seed, part)
    root = 1.0 + x / sqrt(9.0 * d)
    positive = root > 0
    root = where(positive, root, 1.0)
    cube = root * root * root
    share = 1.0 - drawn_uniform((_NUM_PROPOSALS, *shape), seed, part + 2)
    taken = logical_and(positive, log(share) < 0.5 * x * x + d * (1.0 - cube + log(cube)))
    # 1 for the first that is taken, or for the last; 0 for the others.
    chosen = one_hot(_first(taken), _NUM_PROPOSALS, 0)
    boost = log(1.0 - drawn_uniform(shape, seed, part + 3)) / alpha
    return log(d) + sum_of(chosen * log(cube), 0) + where(small, boost, 0.0)


def _first(taken: Any) -> Any:
    """The index along the first axis of the first true element; that of the last if none is."""
    order = np.arange(_NUM_PROPOSALS, dtype=np.int32).reshape(-1, *[1] * (taken.ndim - 1))
    return min_of(where(taken, order, _NUM_PROPOSALS - 1), 0)


@_random
def gamma(shape: Sequence[Size], alpha: Any, dtype: str | None = None, seed: Any = None) -> Any:
    """Numbers of the gamma distribution of shape alpha and scale 1."""
    kind = _float_type(dtype)
    return cast(exp(_log_gamma_number(shape, cast(to_tensor(alpha), "float32"), seed, 0)), kind)


@_random
def beta(
    shape: Sequence[Size], alpha: Any, beta: Any, dtype: str | None = None, seed: Any = None
) -> Any:
    """Numbers of the beta distribution: `g / (g + h)` of two gamma numbers."""
    kind = _float_type(dtype)
    a, b = (cast(to_tensor(parameter), "float32") for parameter in (alpha, beta))
    # In logarithms: with a small alpha both numbers are often too small for a float.
    first = _log_gamma_number(shape, a, seed, 0)
    second = _log_gamma_number(shape, b, seed, 4)
    return cast(sigmoid(first - second), kind)


@_random
def binomial(
    shape: Sequence[Size],
    counts: Any,
    probabilities: Any,
    dtype: str | None = None,
    seed: Any = None,
) -> Any:
    """How many of `counts` trials succeed, each with its probability."""
    kind = _float_type(dtype)
    if not isinstance(counts, (int, float, np.ndarray, np.generic, list, tuple)):
        raise NotImplementedError("random.binomial: counts that are tensors are not there yet")
    trials = np.asarray(counts, np.float32)
    most = int(trials.max(initial=0))
    if most > _MAX_TRIALS:
        raise NotImplementedError(
            f"random.binomial: {most} trials; more than {_MAX_TRIALS} are not there yet"
        )
    share = expand_dims(cast(to_tensor(probabilities), "float32"), -1)
    succeeds = less(drawn_uniform((*shape, most), seed), share)
    counted = np.arange(most, dtype=np.float32) < trials[..., None]
    return cast(sum_of(cast(logical_and(succeeds, counted), "float32"), -1), kind)
