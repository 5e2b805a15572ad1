"""Element types: their numbers in ONNX, and which of them onnxruntime computes each ONNX op for.

The sets are those of onnxruntime's CPU kernels (1.32; `OperatorKernels.md` of that project).
float16 counts as present wherever float32 is: onnxruntime puts the casts in by itself at every
optimization level, and other devices compute it natively. Of bfloat16 it does neither.
"""

from __future__ import annotations

from onnx import TensorProto

from kcompile.ir.types import DType

ELEMENT_TYPES: dict[DType, int] = {
    DType.BOOL: TensorProto.BOOL,
    DType.INT8: TensorProto.INT8,
    DType.INT16: TensorProto.INT16,
    DType.INT32: TensorProto.INT32,
    DType.INT64: TensorProto.INT64,
    DType.UINT8: TensorProto.UINT8,
    DType.UINT16: TensorProto.UINT16,
    DType.UINT32: TensorProto.UINT32,
    DType.UINT64: TensorProto.UINT64,
    DType.FLOAT16: TensorProto.FLOAT16,
    DType.BFLOAT16: TensorProto.BFLOAT16,
    DType.FLOAT32: TensorProto.FLOAT,
    DType.FLOAT64: TensorProto.DOUBLE,
    DType.STRING: TensorProto.STRING,
}


def _types(text: str) -> frozenset[DType]:
    return frozenset(map(DType, text.split()))


_SINGLE = _types("f16 f32")
_FLOATS = _types("f16 f32 f64")
_SIGNED = _FLOATS | _types("i8 i16 i32 i64")
_NUMBERS = _SIGNED | _types("u8 u16 u32 u64")
_EXTREMES = _FLOATS | _types("i8 i32 i64 u8")

#: Element types of an ONNX op's data operands; an op that isn't here takes all of them.
KERNELS: dict[str, frozenset[DType]] = {
    **dict.fromkeys(("GRU", "LSTM", "RNN"), _SINGLE),
    **dict.fromkeys(("AveragePool", "Conv", "ConvTranspose", "Elu", "Erf"), _SINGLE),
    **dict.fromkeys(("Gelu", "HardSigmoid", "HardSwish", "LeakyRelu"), _SINGLE),
    **dict.fromkeys(("Softplus", "Softsign"), _SINGLE),
    **dict.fromkeys(
        ("BatchNormalization", "Ceil", "Cos", "Exp", "Floor", "Gemm", "IsNaN"), _FLOATS
    ),
    **dict.fromkeys(("Log", "LogSoftmax", "MaxPool", "Pow", "Reciprocal", "Relu"), _FLOATS),
    **dict.fromkeys(("PRelu", "Round", "Sigmoid", "Sin", "Softmax", "Sqrt", "Tanh"), _FLOATS),
    **dict.fromkeys(("Abs", "Add", "Div", "Mod", "Mul", "Sign", "Sub", "Sum"), _NUMBERS),
    **dict.fromkeys(("Greater", "GreaterOrEqual", "Less", "LessOrEqual"), _NUMBERS),
    # Their kernels for integers compute in double: they saturate, and lose digits above 2^53.
    **dict.fromkeys(("ReduceMean", "ReduceProd", "ReduceSum"), _FLOATS),
    **dict.fromkeys(("ArgMax", "ArgMin", "ReduceMax", "ReduceMin"), _EXTREMES),
    **dict.fromkeys(("Clip", "Max", "Min"), _EXTREMES | _types("u32 u64")),
    **dict.fromkeys(("Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh"), _SINGLE),
    **dict.fromkeys(("Cosh", "Sinh", "Tan"), _SINGLE),
    **dict.fromkeys(("CumSum", "TopK"), _FLOATS | _types("i32 i64")),
    "BitShift": _types("u8 u32 u64"),
    "Equal": _NUMBERS | _types("bool"),
    "Expand": _NUMBERS | _types("bool string"),
    "MatMul": _FLOATS | _types("i32 i64 u32 u64"),
    "Neg": _SIGNED,
    "Pad": _EXTREMES | _types("bool u32 u64"),
    "Resize": _SINGLE | _types("i8 i32 u8"),
    "Tile": _NUMBERS | _types("bool string"),
    "Trilu": _FLOATS | _types("bool i32 i64"),
    "Where": _EXTREMES | _types("u32 string"),
}

#: Positions of the operands that share the data's element type, where it isn't all of them.
DATA_OPERANDS: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(("CumSum", "GatherElements", "Tile", "Trilu"), (0,)),
    "ScatterND": (0, 2),
    **dict.fromkeys(("Expand", "ReduceMax", "ReduceMean", "ReduceMin"), (0,)),
    **dict.fromkeys(("ReduceProd", "ReduceSum"), (0,)),
    "Pad": (0, 2),
    "Resize": (0,),
    "Where": (1, 2),
}

#: Types that hold every value of a type, the smallest first.
_WIDER: dict[DType, tuple[DType, ...]] = {
    DType.BOOL: (DType.UINT8,),
    DType.INT8: (DType.INT32,),
    DType.INT16: (DType.INT32,),
    DType.UINT8: (DType.INT32,),
    DType.UINT16: (DType.INT32,),
    DType.UINT32: (DType.INT64,),
    DType.BFLOAT16: (DType.FLOAT32,),
}


def compute_type(op_type: str, dtype: DType) -> DType | None:
    """The type to compute `op_type` in so that a cast back gives the result of `dtype`.

    None if there is none: onnxruntime has no kernel for `dtype` nor for a type that holds it.
    """
    supported = KERNELS.get(op_type)
    if supported is None or dtype in supported:
        return dtype
    candidates = _WIDER.get(dtype, ())
    if dtype is DType.UINT64 and op_type in ("Trilu", "Where"):  # they move bits, as the casts do
        candidates = (DType.INT64,)
    return next((wide for wide in candidates if wide in supported), None)
