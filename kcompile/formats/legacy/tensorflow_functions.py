"""Functions and operations of TensorFlow that are functions of `kcompile.ops`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Rule:
    """How a function of TensorFlow is one of ours.

    Attributes:
        name: of ours.
        parameters: our parameter for each of TensorFlow's, in order.
        fixed: values of our parameters that TensorFlow's function implies.
        inert: parameters of TensorFlow's that have to have one of these values; None is one.
        is_of_list: whether the first argument is a list of tensors.
        required: our parameters that have to be given, as the default is another one.
        convert: makes our value of one of TensorFlow's, by our parameter.
    """

    name: str
    parameters: Mapping[str, str]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    inert: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    is_of_list: bool = False
    required: tuple[str, ...] = ()
    convert: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)


def _sections(value: Any) -> Any:
    """Sizes of the parts, as the places between them."""
    if not isinstance(value, list) or not all(type(size) is int for size in value):
        return value
    places, total = [], 0
    for size in value[:-1]:
        total += size
        places.append(total)
    return places


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _unary(name: str, parameter: str = "x") -> Rule:
    return Rule(name, {parameter: "x"})


def _binary(name: str) -> Rule:
    return Rule(name, {"x": "x1", "y": "x2"})


def _reduction(name: str) -> Rule:
    parameters = {"input_tensor": "x", "axis": "axis", "keepdims": "keepdims"}
    return Rule(name, parameters)


_REDUCTIONS = {"sum": "sum", "mean": "mean", "max": "max", "min": "min", "prod": "prod"}
_REDUCTIONS |= {"any": "any", "all": "all", "std": "std", "variance": "var"}
_REDUCTIONS |= {"logsumexp": "logsumexp"}
_BINARY = {
    "floordiv": "floor_divide",
    "floormod": "mod",
    "pow": "power",
    "truediv": "divide",
    **{
        name: name
        for name in (
            *("add", "divide", "divide_no_nan", "equal", "greater", "greater_equal", "less"),
            *("less_equal", "logical_and", "logical_or", "maximum", "minimum", "mod", "multiply"),
            *("not_equal", "subtract"),
        )
    },
}
_UNARY = {
    "abs": "absolute",
    **{
        name: name
        for name in (
            *("ceil", "cos", "erf", "exp", "expm1", "floor", "log", "log1p", "log_sigmoid"),
            *("logical_not", "negative", "reciprocal", "round", "rsqrt", "sigmoid", "sign", "sin"),
            *("softplus", "sqrt", "square", "tan", "tanh"),
        )
    },
}
_SOFTMAX = {"logits": "x", "axis": "axis"}
_NN = {
    "relu": _unary("relu", "features"),
    "relu6": _unary("relu6", "features"),
    "selu": _unary("selu", "features"),
    "elu": _unary("elu", "features"),
    "softsign": _unary("softsign", "features"),
    "softplus": _unary("softplus", "features"),
    "sigmoid": _unary("sigmoid"),
    "tanh": _unary("tanh"),
    "gelu": Rule("gelu", {"features": "x", "approximate": "approximate"}, {"approximate": False}),
    "silu": Rule("silu", {"features": "x"}, inert={"beta": (1, 1.0)}),
    "swish": Rule("silu", {"features": "x"}, inert={"beta": (1, 1.0)}),
    "leaky_relu": Rule("leaky_relu", {"features": "x", "alpha": "negative_slope"}),
    "softmax": Rule("softmax", _SOFTMAX),
    "log_softmax": Rule("log_softmax", _SOFTMAX),
}
_NORMALIZE = Rule(
    "normalize",
    {"x": "x", "axis": "axis", "epsilon": "epsilon"},
    {"epsilon": 1e-6},
    required=("axis",),
    # TensorFlow's bounds the square of the norm.
    convert={"epsilon": lambda value: value**0.5},
)
_PAD = Rule(
    "pad",
    {"tensor": "x", "paddings": "pad_width", "mode": "mode", "constant_values": "constant_values"},
    convert={"mode": _lower},
)
_SQUEEZE = Rule("squeeze", {"input": "x", "axis": "axis"})
_TRANSPOSE = Rule("transpose", {"a": "x", "perm": "axes"}, inert={"conjugate": (False,)})
_BLOCKS = {"input": "x", "block_size": "block_size"}
RULES: dict[str, Rule] = {
    **{f"math.{theirs}": _binary(ours) for theirs, ours in _BINARY.items()},
    **{f"math.{theirs}": _unary(ours) for theirs, ours in _UNARY.items()},
    **{f"math.reduce_{theirs}": _reduction(ours) for theirs, ours in _REDUCTIONS.items()},
    **{f"reduce_{theirs}": _reduction(ours) for theirs, ours in _REDUCTIONS.items()},
    **{f"nn.{name}": rule for name, rule in _NN.items()},
    **{f"compat.v1.nn.{name}": rule for name, rule in _NN.items()},
    **{f"__operators__.{name}": _binary(name) for name in ("add",)},
    "math.l2_normalize": _NORMALIZE,
    "nn.l2_normalize": _NORMALIZE,
    "linalg.matmul": Rule(
        "matmul",
        {"a": "x1", "b": "x2"},
        inert=dict.fromkeys(
            ("transpose_a", "transpose_b", "adjoint_a", "adjoint_b", "a_is_sparse", "b_is_sparse"),
            (False,),
        ),
    ),
    "cast": Rule("cast", {"x": "x", "dtype": "dtype"}),
    "reshape": Rule("reshape", {"tensor": "x", "shape": "newshape"}),
    "expand_dims": Rule("expand_dims", {"input": "x", "axis": "axis"}),
    "squeeze": _SQUEEZE,
    "compat.v1.squeeze": _SQUEEZE,
    "transpose": _TRANSPOSE,
    "compat.v1.transpose": _TRANSPOSE,
    "concat": Rule("concatenate", {"values": "xs", "axis": "axis"}, is_of_list=True),
    "stack": Rule("stack", {"values": "x", "axis": "axis"}, is_of_list=True),
    "split": Rule(
        "split",
        {"value": "x", "num_or_size_splits": "indices_or_sections", "axis": "axis"},
        inert={"num": ()},
        convert={"indices_or_sections": _sections},
    ),
    "unstack": Rule("unstack", {"value": "x", "num": "num", "axis": "axis"}),
    "tile": Rule("tile", {"input": "x", "multiples": "repeats"}),
    "reverse": Rule("flip", {"tensor": "x", "axis": "axis"}),
    "clip_by_value": Rule("clip", {"t": "x", "clip_value_min": "x_min", "clip_value_max": "x_max"}),
    "where": Rule("where", {"condition": "condition", "x": "x1", "y": "x2"}),
    "stop_gradient": Rule("stop_gradient", {"input": "variable"}),
    "pad": _PAD,
    "compat.v1.pad": _PAD,
    "math.cumsum": Rule(
        "cumsum",
        {"x": "x", "axis": "axis"},
        {"axis": 0},
        inert={"exclusive": (False,), "reverse": (False,)},
    ),
    "gather": Rule(
        "take",
        {"params": "x", "indices": "indices", "axis": "axis"},
        {"axis": 0},
        inert={"batch_dims": (0,)},
    ),
    "zeros_like": _unary("zeros_like", "input"),
    "ones_like": _unary("ones_like", "input"),
    **{
        f"nn.{name}": Rule(name, _BLOCKS, inert={"data_format": ("NHWC",)})
        for name in ("depth_to_space", "space_to_depth")
    },
    "image.resize": Rule(
        "resize",
        {
            "images": "images",
            "size": "size",
            "method": "interpolation",
            "antialias": "antialias",
        },
        {"data_format": "channels_last", "crop_to_aspect_ratio": False},
        inert={"preserve_aspect_ratio": (False,)},
    ),
}
#: Operations of TensorFlow's graphs: the function, and the parameters of its inputs in order and of
#: its attributes.
_BINARY_INPUTS = ("x", "y")
NODES: dict[str, tuple[str, tuple[str, ...], Mapping[str, str]]] = {
    **{
        op: (f"math.{name}", _BINARY_INPUTS, {})
        for op, name in {
            "Add": "add",
            "AddV2": "add",
            "Sub": "subtract",
            "Mul": "multiply",
            "RealDiv": "divide",
            "Maximum": "maximum",
            "Minimum": "minimum",
            "Pow": "pow",
            "FloorDiv": "floordiv",
            "FloorMod": "floormod",
        }.items()
    },
    **{
        op: (f"math.{op.lower()}", ("x",), {})
        for op in ("Exp", "Log", "Sqrt", "Rsqrt", "Square", "Abs", "Tanh", "Sigmoid", "Sin", "Cos")
    },
    "Neg": ("math.negative", ("x",), {}),
    **{op: (f"nn.{op.lower()}", ("features",), {}) for op in ("Relu", "Relu6", "Elu", "Selu")},
    "Softmax": ("nn.softmax", ("logits",), {}),
    **{
        op: (f"math.reduce_{op.lower()}", ("input_tensor", "axis"), {"keep_dims": "keepdims"})
        for op in ("Sum", "Mean", "Max", "Min", "Prod", "Any", "All")
    },
    "Reshape": ("reshape", ("tensor", "shape"), {}),
    "ExpandDims": ("expand_dims", ("input", "axis"), {}),
    "Transpose": ("transpose", ("a", "perm"), {}),
    "Tile": ("tile", ("input", "multiples"), {}),
    "StopGradient": ("stop_gradient", ("input",), {}),
    "MatMul": ("linalg.matmul", ("a", "b"), {key: key for key in ("transpose_a", "transpose_b")}),
}
#: Attributes of nodes that say nothing: element types, which follow from the inputs.
TYPES = ("T", "Tidx", "Tshape", "Tdim", "Tperm", "Tmultiples", "SrcT")
