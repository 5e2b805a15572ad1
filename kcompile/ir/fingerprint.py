"""Hashes of bytes that are the same everywhere: FarmHash's Fingerprint64, and SipHash-2-4.

Sources: FarmHash (farmhashna, G. Pike, 2014); J.-P. Aumasson and D. J. Bernstein, "SipHash: a fast
short-input PRF", 2012.
"""

from __future__ import annotations

import struct

_MASK = 2**64 - 1
_K0 = 0xC3A5C85C97CB3127
_K1 = 0xB492B66FBE98F273
_K2 = 0x9AE16A3B2F90404F
_CONCATENATION = 0xC6A4A7935BD1E995


def fingerprint(data: bytes) -> int:
    """FarmHash's Fingerprint64, an unsigned 64-bit number."""
    length = len(data)
    if length <= 16:
        return _hash_to_16(data)
    if length <= 32:
        return _hash_to_32(data)
    if length <= 64:
        return _hash_to_64(data)
    return _hash_long(data)


def concatenated(first: int, second: int) -> int:
    """The fingerprint of a sequence of two, from theirs."""
    result = first ^ _CONCATENATION
    result ^= _shift_mix(second * _CONCATENATION & _MASK) * _CONCATENATION & _MASK
    result = result * _CONCATENATION & _MASK
    result = _shift_mix(result) * _CONCATENATION & _MASK
    return _shift_mix(result)


def siphash(data: bytes, key: tuple[int, int]) -> int:
    """SipHash-2-4 under a key of two 64-bit words."""
    k0, k1 = (word & _MASK for word in key)
    v = (
        k0 ^ 0x736F6D6570736575,
        k1 ^ 0x646F72616E646F6D,
        k0 ^ 0x6C7967656E657261,
        k1 ^ 0x7465646279746573,
    )
    padded = data + b"\0" * (7 - len(data) % 8) + bytes([len(data) & 0xFF])
    for (word,) in struct.iter_unpack("<Q", padded):
        v = (v[0], v[1], v[2], v[3] ^ word)
        v = _sip_round(_sip_round(v))
        v = (v[0] ^ word, v[1], v[2], v[3])
    v = (v[0], v[1], v[2] ^ 0xFF, v[3])
    for _ in range(4):
        v = _sip_round(v)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def _sip_round(v: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    v0, v1, v2, v3 = v
    v0 = (v0 + v1) & _MASK
    v1 = _left(v1, 13) ^ v0
    v0 = _left(v0, 32)
    v2 = (v2 + v3) & _MASK
    v3 = _left(v3, 16) ^ v2
    v0 = (v0 + v3) & _MASK
    v3 = _left(v3, 21) ^ v0
    v2 = (v2 + v1) & _MASK
    v1 = _left(v1, 17) ^ v2
    return v0, v1, _left(v2, 32), v3


def _left(value: int, bits: int) -> int:
    return (value << bits | value >> 64 - bits) & _MASK


def _right(value: int, bits: int) -> int:
    value &= _MASK
    return (value >> bits | value << 64 - bits) & _MASK


def _shift_mix(value: int) -> int:
    return value ^ value >> 47


def _word(data: bytes, offset: int) -> int:
    return int.from_bytes(data[offset : offset + 8], "little")


def _mix(u: int, v: int, factor: int) -> int:
    """Two words to one."""
    a = _shift_mix(((u ^ v) & _MASK) * factor & _MASK)
    b = _shift_mix(((v ^ a) & _MASK) * factor & _MASK)
    return b * factor & _MASK


def _hash_to_16(data: bytes) -> int:
    length = len(data)
    factor = _K2 + length * 2
    if length >= 8:
        a = _word(data, 0) + _K2
        b = _word(data, length - 8)
        c = _right(b, 37) * factor + a
        d = (_right(a, 25) + b) * factor
        return _mix(c & _MASK, d & _MASK, factor)
    if length >= 4:
        first = int.from_bytes(data[:4], "little")
        last = int.from_bytes(data[-4:], "little")
        return _mix(length + (first << 3), last, factor)
    if length:
        y = data[0] + (data[length >> 1] << 8)
        z = length + (data[-1] << 2)
        return _shift_mix((y * _K2 ^ z * _K0) & _MASK) * _K2 & _MASK
    return _K2


def _hash_to_32(data: bytes) -> int:
    length = len(data)
    factor = _K2 + length * 2
    a = _word(data, 0) * _K1 & _MASK
    b = _word(data, 8)
    c = _word(data, length - 8) * factor & _MASK
    d = _word(data, length - 16) * _K2
    left = (_right(a + b, 43) + _right(c, 30) + d) & _MASK
    return _mix(left, (a + _right(b + _K2, 18) + c) & _MASK, factor)


def _hash_to_64(data: bytes) -> int:
    length = len(data)
    factor = _K2 + length * 2
    a = _word(data, 0) * _K2 & _MASK
    b = _word(data, 8)
    c = _word(data, length - 8) * factor & _MASK
    d = _word(data, length - 16) * _K2
    y = (_right(a + b, 43) + _right(c, 30) + d) & _MASK
    z = _mix(y, (a + _right(b + _K2, 18) + c) & _MASK, factor)
    e = _word(data, 16) * factor & _MASK
    f = _word(data, 24)
    g = (y + _word(data, length - 32)) * factor & _MASK
    h = (z + _word(data, length - 24)) * factor
    left = (_right(e + f, 43) + _right(g, 30) + h) & _MASK
    return _mix(left, (e + _right(f + a, 18) + g) & _MASK, factor)


def _hash_long(data: bytes) -> int:
    length = len(data)
    x = 81
    y = (81 * _K1 + 113) & _MASK
    z = _shift_mix((y * _K2 + 113) & _MASK) * _K2 & _MASK
    v = w = (0, 0)
    x = (x * _K2 + _word(data, 0)) & _MASK
    for offset in range(0, (length - 1) // 64 * 64, 64):
        x = _right(x + y + v[0] + _word(data, offset + 8), 37) * _K1 & _MASK
        y = _right(y + v[1] + _word(data, offset + 48), 42) * _K1 & _MASK
        x ^= w[1]
        y = (y + v[0] + _word(data, offset + 40)) & _MASK
        z = _right(z + w[0], 33) * _K1 & _MASK
        v = _weak_hash(data, offset, v[1] * _K1, x + w[0])
        w = _weak_hash(data, offset + 32, z + w[1], y + _word(data, offset + 16))
        z, x = x, z
    factor = _K1 + ((z & 0xFF) << 1)
    offset = length - 64
    w = (w[0] + ((length - 1) & 63), w[1])
    v = (v[0] + w[0], v[1])
    w = (w[0] + v[0], w[1])
    x = _right(x + y + v[0] + _word(data, offset + 8), 37) * factor & _MASK
    y = _right(y + v[1] + _word(data, offset + 48), 42) * factor & _MASK
    x ^= w[1] * 9 & _MASK
    y = (y + v[0] * 9 + _word(data, offset + 40)) & _MASK
    z = _right(z + w[0], 33) * factor & _MASK
    v = _weak_hash(data, offset, v[1] * factor, x + w[0])
    w = _weak_hash(data, offset + 32, z + w[1], y + _word(data, offset + 16))
    z, x = x, z
    left = _mix(v[0], w[0], factor) + _shift_mix(y) * _K0 + z
    return _mix(left & _MASK, (_mix(v[1], w[1], factor) + x) & _MASK, factor)


def _weak_hash(data: bytes, offset: int, a: int, b: int) -> tuple[int, int]:
    """Two words from 32 bytes and two seeds."""
    w, x, y, z = (_word(data, offset + step) for step in (0, 8, 16, 24))
    a = (a + w) & _MASK
    b = _right(b + a + z, 21)
    c = a
    a = (a + x + y) & _MASK
    b = (b + _right(a, 44)) & _MASK
    return (a + z) & _MASK, (b + c) & _MASK
