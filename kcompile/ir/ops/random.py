"""Random numbers, keyed by the RNG input and by a stream number for each op.

The generator is Threefry-2x32 with 13 rounds, the fewest that pass BigCrush (Salmon et al.,
"Parallel random numbers: as easy as 1, 2, 3", SC 2011). The key is `threefry(rng, (stream, 0))`
and element i, in row-major order, is the first word of `threefry(key, (i, 0))`: the same bits in
every runtime, on every device, in any order.

Dropout, which draws a number for each element in every step and needs one bit of it, hashes the
number of the element under that same key: see `hashed_bits`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from kcompile.ir.dims import Size
from kcompile.ir.op import Array, Op, require
from kcompile.ir.types import DType, TensorType, broadcast_shapes

NUM_ROUNDS = 13
ROTATIONS = (13, 15, 26, 6, 17, 29, 16, 24)
PARITY = 0x1BD11BDA


def threefry(key: tuple[Array, Array], counter: tuple[Array, Array]) -> tuple[Array, Array]:
    """Two random words `u32` for each counter of two words, under a key of two words."""
    schedule = (key[0], key[1], key[0] ^ key[1] ^ np.uint32(PARITY))
    first, second = counter[0] + schedule[0], counter[1] + schedule[1]
    for number in range(NUM_ROUNDS):
        rotation = ROTATIONS[number % 8]
        first = first + second
        second = (second << np.uint32(rotation)) | (second >> np.uint32(32 - rotation))
        second = second ^ first
        if number % 4 == 3:
            injection = number // 4 + 1
            first = first + schedule[injection % 3]
            second = second + schedule[(injection + 1) % 3] + np.uint32(injection)
    return first, second


def random_bits(rng: Array, stream: int, shape: tuple[int, ...]) -> Array:
    """Uniform random words `u32` of that shape; shape has fewer than 2^32 elements."""
    words = rng.astype(np.uint32).reshape(2, 1)
    zero = np.zeros(1, np.uint32)
    with np.errstate(over="ignore"):
        key = threefry((words[0], words[1]), (zero + np.uint32(stream), zero))
        counter = np.arange(math.prod(shape), dtype=np.uint32)
        return threefry(key, (counter, np.zeros_like(counter)))[0].reshape(shape)


def mix(word: Array) -> Array:
    """A permutation of the words `u32` in which each bit depends on all: MurmurHash3's last part.

    Austin Appleby, 2011, `fmix32`.
    """
    word = (word ^ (word >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    word = (word ^ (word >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return word ^ (word >> np.uint32(16))


def keyed_hash(key: tuple[Array, Array], counter: Array) -> Array:
    """`mix(mix(counter + key[0]) ^ key[1])`, words `u32`.

    One key gives different words for different counters. The words of two keys are not shifts of
    each other, since the second word of the key is in between.
    """
    return mix(mix(counter + key[0]) ^ key[1])


def hashed_bits(rng: Array, stream: int, shape: tuple[int, ...]) -> Array:
    """Random words `u32` of that shape, in a quarter of the operations of `random_bits`."""
    words = rng.astype(np.uint32).reshape(2, 1)
    zero = np.zeros(1, np.uint32)
    with np.errstate(over="ignore"):
        key = threefry((words[0], words[1]), (zero + np.uint32(stream), zero))
        return keyed_hash(key, np.arange(math.prod(shape), dtype=np.uint32)).reshape(shape)


def _check(rng: TensorType, stream: int) -> None:
    require(rng == TensorType(DType.UINT32, (2,)), "needs rng of type u32[2]")
    require(0 <= stream < 2**32, f"the stream {stream} must be in [0, 2^32)")


@dataclass(frozen=True)
class RandomUniform(Op):
    """`y`: uniform random numbers `f32` in [0, 1): the upper 24 bits of a word, times 2^-24.

    `forced` says that the model asks for them at inference too.
    """

    shape: tuple[Size, ...]
    stream: int
    forced: bool = False
    is_foldable = False

    def infer(self, rng: TensorType) -> TensorType:
        _check(rng, self.stream)
        return TensorType(DType.FLOAT32, self.shape)

    def reference(self, rng: Array) -> Array:
        bits = random_bits(rng, self.stream, self.shape)  # type: ignore[arg-type]
        return (bits >> np.uint32(8)).astype(np.float32) * np.float32(2**-24)


@dataclass(frozen=True)
class Dropout(Op):
    """`y = x / (1 - rate) where u >= rate, else 0`, u uniform in [0, 1) (Srivastava et al., 2014).

    u is the upper 24 bits of a hashed word, times 2^-24. It has the shape of x, or `noise_shape`,
    which broadcasts to it. `forced` says that the model asks for dropout at inference too.
    """

    rate: float
    stream: int
    noise_shape: tuple[Size, ...] | None = None
    forced: bool = False
    is_foldable = False

    @property
    def threshold(self) -> np.uint32:
        """The least of 2^24 equally likely numbers with which an element is kept."""
        return np.uint32(math.ceil(self.rate * 2**24))

    def infer(self, x: TensorType, rng: TensorType) -> TensorType:
        _check(rng, self.stream)
        require(x.dtype.is_floating, "needs floating-point numbers")
        require(0 <= self.rate < 1, f"the rate {self.rate} must be in [0, 1)")
        if self.noise_shape is not None:
            shape = broadcast_shapes(x.shape, self.noise_shape)
            require(shape == x.shape, "the noise shape must broadcast to the shape of x")
        return x

    def reference(self, x: Array, rng: Array) -> Array:
        shape = x.shape if self.noise_shape is None else self.noise_shape
        noise = hashed_bits(rng, self.stream, shape) >> np.uint32(8)  # type: ignore[arg-type]
        kept = x * x.dtype.type(1 / (1 - self.rate))
        return np.where(noise >= self.threshold, kept, x.dtype.type(0))
