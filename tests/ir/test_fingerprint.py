"""Hashes against those of TensorFlow 2.21: `tf.strings.to_hash_bucket_fast`, `_strong` with the
key (133, 137), and `tf.sparse.cross_hashed`, in 2**62 and 2**40 buckets."""

from __future__ import annotations

import pytest

from kcompile.ir.fingerprint import concatenated, fingerprint, siphash

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789é!?" * 5
RECORDED = [
    (0, 1936946117179621455, 316627932347062996),
    (1, 2026283707998439345, 686595483937790687),
    (3, 943055802256214587, 4414349874417146850),
    (4, 874191844575835507, 1769788609440379363),
    (7, 962681711319749987, 950830465061087707),
    (8, 3562064958987691828, 2997462175844552700),
    (15, 2699819488404868032, 3679130006997503755),
    (16, 1664082992928204848, 4574032448638857969),
    (17, 3565152947694397945, 1905211408523100992),
    (32, 4343399060944163109, 448260003763321852),
    (33, 700081919021969329, 1742762656994838965),
    (64, 614610391027504384, 800171818700374191),
    (65, 3794526522632309859, 1492781109309579401),
    (128, 629273365668001748, 1549621627061317062),
    (129, 4249494395825560383, 456019054325601103),
    (193, 315009668610902257, 4058737018782377981),
    (300, 3689496872433558460, 4049768875123115222),
]


@pytest.mark.parametrize(("length", "fast", "strong"), RECORDED)
def test_equals_tensorflow(length: int, fast: int, strong: int) -> None:
    data = LETTERS[7 : 7 + length].encode()
    assert fingerprint(data) % 2**62 == fast
    assert siphash(data, (133, 137)) % 2**62 == strong


def test_siphash_of_the_paper() -> None:
    """Appendix A: the key 00 01 ... 0f, the message 00 01 ... 0e."""
    key = tuple(int.from_bytes(bytes(range(k, k + 8)), "little") for k in (0, 8))
    assert siphash(bytes(range(15)), (key[0], key[1])) == 0xA129CA6149BE45E5


def test_concatenated() -> None:
    first = concatenated(0xDECAFCAFFE, fingerprint(b"A"))
    assert concatenated(first, 101) % 2**40 == 1081723973131
