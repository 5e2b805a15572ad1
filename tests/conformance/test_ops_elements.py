"""`kcompile.ops` against `keras.ops`: functions of each element, and of bits."""

from __future__ import annotations

import numpy as np
import pytest

from kcompile import ops
from kcompile.ir.errors import SpecError
from tests.conformance.ops_case import (
    OpsCase,
    booleans,
    case,
    check,
    integers,
    normal,
    vector,
    with_slow_tail,
)
from tests.ops.tolerances import assert_same

SPECIAL = vector(np.nan, np.inf, -np.inf, 0.0, -0.0, 1.5, -1.5, 0.5)
UNIT = np.tanh(normal(3, 4))
POSITIVE = np.abs(normal(3, 4)) + np.float32(0.1)

FLOAT_FUNCTIONS = {
    **dict.fromkeys(
        ("tan", "arctan", "sinh", "cosh", "arcsinh", "deg2rad", "rad2deg", "sinc", "angle"),
        normal(3, 4),
    ),
    **dict.fromkeys(("arcsin", "arccos", "arctanh", "erfinv"), UNIT),
    **dict.fromkeys(("arccosh",), POSITIVE + 1),
    **dict.fromkeys(("log2", "log10", "cbrt"), POSITIVE),
    **dict.fromkeys(("exp2", "fabs", "trunc", "isinf", "isposinf", "isneginf"), 3 * normal(3, 4)),
    **dict.fromkeys(("isreal", "real", "imag", "conj", "conjugate", "copy"), normal(3, 4)),
    **dict.fromkeys(("signbit", "nan_to_num", "stop_gradient", "array"), normal(3, 4)),
}
TAKES_NO_INTEGERS = {"erfinv"}
ELEMENTS = [
    entry
    for function, values in FLOAT_FUNCTIONS.items()
    for entry in (
        case(function, values),
        case(function, values.astype("float16")[0]),
        case(function, np.zeros((0, 2), "float32")),
        *(
            [case(function, np.asarray(1, dtype)) for dtype in ("int8", "int32", "bool")]
            if function not in TAKES_NO_INTEGERS
            else []
        ),
    )
] + [case(function, SPECIAL) for function in sorted({*FLOAT_FUNCTIONS} - {"signbit"})]

PAIRS = [
    entry
    for function in (
        "arctan2", "hypot", "logaddexp", "logaddexp2", "heaviside", "fmax", "fmin", "isclose",
        "allclose", "logical_xor",
    )
    for entry in (
        case(function, normal(3, 1, 4), normal(2, 1, seed=1)),
        case(function, normal(5, dtype="float16"), normal(5)),
        case(function, integers(4), integers(4)[::-1].copy()),
        case(function, integers(4), normal(4)),
        case(function, booleans(4), integers(4, dtype="uint8", low=0)),
        case(function, np.repeat(SPECIAL, 8), np.tile(SPECIAL, 8)),
    )
]  # fmt: skip
QUOTIENTS = [
    entry
    for function in ("floor_divide", "fmod")
    for entry in (
        case(function, normal(20), normal(20, seed=1)),
        case(function, integers(20), integers(20, low=1)),
        case(function, integers(20, dtype="int8"), integers(20, low=-9, high=-1, dtype="int16")),
        case(function, integers(9, low=0, dtype="uint8"), integers(9, low=1, dtype="uint8")),
        case(function, integers(9), 2.5),
        case(function, normal(9), 2),
    )
]
REMAINDERS = ("floor_divide", "mod", "fmod")
BITS = (
    [
        entry
        for function in ("bitwise_and", "bitwise_or", "bitwise_xor")
        for entry in (
            case(function, integers(3, 4), integers(4)),
            case(function, integers(4, dtype="int8"), integers(4, low=0, dtype="uint8")),
            case(function, booleans(5), booleans(5)[::-1].copy()),
            case(function, integers(4), 5),
        )
    ]
    + [
        entry
        for function in ("left_shift", "right_shift", "bitwise_left_shift", "bitwise_right_shift")
        for entry in (
            case(function, integers(3, 4), integers(4, low=0)),
            case(function, integers(4, dtype="int8"), integers(4, low=0, dtype="int8")),
            case(function, integers(4, low=0, dtype="uint8"), 3),
        )
    ]
    + [
        case(function, array)
        for function in ("bitwise_not", "bitwise_invert")
        for array in (integers(4), integers(4, dtype="uint8", low=0), booleans(3))
    ]
)
OTHERS = [
    case("ldexp", normal(5), integers(5)),
    case("nan_to_num", SPECIAL, nan=2.0, posinf=7.0, neginf=-7.0),
    case("nan_to_num", SPECIAL.astype("float16")),
    case("isclose", SPECIAL, SPECIAL, equal_nan=True),
    case("isclose", vector(1, 2), vector(1.01, 2.5), rtol=0.05),
    case("allclose", vector(1, 2), vector(1, 2)),
    *(
        case("saturate_cast", array, dtype)
        for array in (vector(-300, 0.5, 300, 3e9, -3e9), integers(5, low=-400, high=400))
        for dtype in ("int8", "uint8", "int32", "float16", "float32")
        # Of int32 as float32 Keras makes -2^31.
        if array.dtype.kind == "f" or dtype != "float32"
    ),
    case("clip", normal(3, 4), normal(4), normal(3, 1, seed=1) + 1),
    case("clip", integers(9), -2, 3),
    case("clip", integers(9), -0.5, 2.5),
    case("clip", booleans(4), 0, 1),
    case("select", [booleans(4), normal(4) > 0], [normal(4), integers(4)], 7.0),
    case("select", [booleans(4)], [integers(4)]),
]
BOOLEANS = [
    *(
        case(
            function,
            booleans(9),
            np.ones(9, bool) if function in REMAINDERS else booleans(9)[::-1].copy(),
        )
        for function in ("add", "multiply", "maximum", "minimum", "fmax", "fmin", *REMAINDERS)
    ),
    case("power", booleans(9), booleans(9)[::-1].copy(), exports=False),
    *(case(function, booleans(5)) for function in ("absolute", "square", "relu", "hard_tanh")),
]
ROUNDED = [
    *(
        case("round", vector(-14, 0, 4, 5, 15, 25, 26, 35, dtype=dtype), decimals=decimals)
        for dtype in ("int8", "int32", "float32")
        for decimals in (-1, 1)
    ),
    *(case(function, integers(5, dtype="int8")) for function in ("hard_tanh", "relu")),
]
CASES = [*ELEMENTS, *PAIRS, *QUOTIENTS, *BITS, *OTHERS, *BOOLEANS, *ROUNDED]


@pytest.mark.parametrize("entry", with_slow_tail(CASES))
def test_equals_keras(entry: OpsCase) -> None:
    check(entry)


def test_integers_have_no_negative_powers() -> None:
    with pytest.raises(SpecError, match="Cast them to floats"):
        ops.power(integers(3), -1)


def test_integers_that_do_not_fit_are_refused() -> None:
    with pytest.raises(SpecError, match="do not fit int32"):
        ops.add(np.asarray([2**40]), 1)


def test_integers_round_to_thousands_without_error() -> None:
    """Keras divides floats, and loses 1 of most."""
    x = integers(40, low=-(10**6), high=10**6)
    assert_same(ops.round(x, -3), np.round(x, -3))
