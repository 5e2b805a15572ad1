"""How Keras writes each function of `kcompile.ops` that stands between layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class KerasFunction:
    """How Keras writes a function.

    Attributes:
        name: the function's name in `kcompile.ops`.
        module, class_name: of Keras's operation.
        attributes: parameters that stand in the config; the others are arguments of the call.
        inert: config keys that say nothing here, and the value that they must have.
    """

    name: str
    module: str
    class_name: str
    attributes: tuple[str, ...] = ()
    inert: Mapping[str, Any] = field(default_factory=dict)


def _function(
    name: str, module: str, *attributes: str, class_name: str = "", **inert: Any
) -> KerasFunction:
    camel = "".join(part.capitalize() for part in name.split("_"))
    return KerasFunction(name, f"keras.src.ops.{module}", class_name or camel, attributes, inert)


_WINDOW = ("pool_size", "strides", "padding", "data_format")
_REDUCTION = ("axis", "keepdims")
_NO_ATTRIBUTES = {
    "core": "slice_update stop_gradient",
    "einops": "rearrange",
    "math": "erf erfc erfinv rsqrt",
    "nn": "hard_sigmoid hard_silu hard_tanh log_sigmoid relu relu6 selu sigmoid silu softplus"
    " softsign sparse_plus sparse_sigmoid tanh_shrink",
    "numpy": "absolute add angle arccos arccosh arcsin arcsinh arctan arctan2 arctanh bitwise_and"
    " bitwise_invert bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift"
    " bitwise_xor cbrt ceil conjugate copy corrcoef cos cosh deg2rad digitize divide"
    " divide_no_nan dot dstack equal exp exp2 expm1 fabs fliplr flipud floor floor_divide"
    " fmax fmin fmod gcd get_item greater greater_equal heaviside hstack hypot i0 imag"
    " inner isfinite isinf isnan isneginf isposinf isreal kron lcm ldexp left_shift less"
    " less_equal log log10 log1p log2 logaddexp logaddexp2 logical_and logical_not"
    " logical_or logical_xor matmul maximum minimum mod multiply negative"
    " not_equal outer power rad2deg ravel real reciprocal right_shift select sign signbit"
    " sin sinc sinh sqrt square subtract tan tanh true_divide trunc vdot vstack where",
}
_TABLE = (
    # Other names of functions that stand further down, where reading finds them.
    _function("abs", "numpy", class_name="Absolute"),
    _function("exponential", "numpy", class_name="Exp"),
    _function("conj", "numpy", class_name="Conjugate"),
    _function("hard_swish", "nn", class_name="HardSilu"),
    _function("swish", "nn", class_name="Silu"),
    *(
        _function(name, module)
        for module, names in _NO_ATTRIBUTES.items()
        for name in names.split()
    ),
    _function("adaptive_average_pool", "nn", "output_size", "data_format"),
    _function("adaptive_max_pool", "nn", "output_size", "data_format"),
    _function(
        "affine_transform", "image", "interpolation", "fill_mode", "fill_value", "data_format"
    ),
    _function("all", "numpy", *_REDUCTION),
    _function("allclose", "numpy", "rtol", "atol", "equal_nan", class_name="AllClose"),
    _function("amax", "numpy", *_REDUCTION),
    _function("amin", "numpy", *_REDUCTION),
    _function("any", "numpy", *_REDUCTION),
    _function("append", "numpy", "axis"),
    _function("arange", "numpy", "dtype"),
    _function("argmax", "numpy", *_REDUCTION),
    _function("argmin", "numpy", *_REDUCTION),
    _function("argpartition", "numpy", "kth", "axis"),
    _function("argsort", "numpy", "axis"),
    _function("array", "numpy", "dtype"),
    _function("array_split", "numpy", "indices_or_sections", "axis"),
    _function("average", "numpy", "axis"),
    _function("average_pool", "nn", *_WINDOW),
    _function("batch_normalization", "nn", "axis", "epsilon", class_name="BatchNorm"),
    _function("binary_crossentropy", "nn", "from_logits"),
    _function("broadcast_to", "numpy", "shape"),
    _function("cast", "core", "dtype"),
    _function("categorical_crossentropy", "nn", "from_logits", "axis"),
    _function("cdist", "math", class_name="CDist"),
    _function("celu", "nn", "alpha"),
    _function("clip", "numpy", "x_min", "x_max"),
    _function("concatenate", "numpy", "axis"),
    _function("conv", "nn", "strides", "padding", "data_format", "dilation_rate"),
    _function(
        "conv_transpose",
        "nn",
        "strides",
        "padding",
        "output_padding",
        "data_format",
        "dilation_rate",
    ),
    _function("convert_to_tensor", "core", "dtype", sparse=None, ragged=None),
    _function("correlate", "numpy", "mode"),
    _function("count_nonzero", "numpy", "axis"),
    _function(
        "crop_images",
        "image",
        "top_cropping",
        "left_cropping",
        "bottom_cropping",
        "right_cropping",
        "target_height",
        "target_width",
        "data_format",
    ),
    _function("cross", "numpy", "axisa", "axisb", "axisc", "axis"),
    _function(
        "ctc_decode",
        "nn",
        "strategy",
        "beam_width",
        "top_paths",
        "merge_repeated",
        "mask_index",
        class_name="CTCDecode",
    ),
    _function("ctc_loss", "nn", "mask_index", class_name="CTCLoss"),
    _function("cumprod", "numpy", "axis", "dtype"),
    _function("cumsum", "numpy", "axis", "dtype"),
    _function("depth_to_space", "nn", "block_size", "data_format"),
    _function("depthwise_conv", "nn", "strides", "padding", "data_format", "dilation_rate"),
    _function("diag", "numpy", "k"),
    _function("diagflat", "numpy", "k"),
    _function("diagonal", "numpy", "offset", "axis1", "axis2"),
    _function("diff", "numpy", "n", "axis"),
    _function(
        "dot_product_attention", "nn", "is_causal", "flash_attention", "attn_logits_soft_cap"
    ),
    _function("dsplit", "numpy", "indices_or_sections"),
    _function("einsum", "numpy", "subscripts"),
    _function(
        "elastic_transform",
        "image",
        "alpha",
        "sigma",
        "interpolation",
        "fill_mode",
        "fill_value",
        "seed",
        "data_format",
    ),
    _function("elu", "nn", "alpha"),
    _function("empty_like", "numpy", "dtype"),
    _function("expand_dims", "numpy", "axis"),
    _function(
        "extract_patches", "image", "size", "strides", "dilation_rate", "padding", "data_format"
    ),
    _function("extract_sequences", "math", "sequence_length", "sequence_stride"),
    _function("fft", "math", class_name="FFT"),
    _function("fft2", "math", class_name="FFT2"),
    _function("flip", "numpy", "axis"),
    _function("fold", "nn", "output_size", "kernel_size", "dilation", "padding", "stride"),
    _function("full", "numpy", "shape", "dtype"),
    _function("full_like", "numpy", "dtype"),
    _function("gaussian_blur", "image", "kernel_size", "sigma", "data_format"),
    _function("gelu", "nn", "approximate"),
    _function("geomspace", "numpy", "num", "endpoint", "dtype", "axis"),
    _function("glu", "nn", "axis"),
    _function("hard_shrink", "nn", "threshold"),
    _function("histogram", "numpy", "bins", "range"),
    _function("hsplit", "numpy", "indices_or_sections"),
    _function("hsv_to_rgb", "image", "data_format", class_name="HSVToRGB"),
    _function("ifft2", "math", class_name="IFFT2"),
    _function("in_top_k", "math", "k"),
    _function("irfft", "math", "fft_length", class_name="IRFFT"),
    _function("isclose", "numpy", "equal_nan"),
    _function("isin", "numpy", "assume_unique", "invert", class_name="IsIn"),
    _function(
        "istft",
        "math",
        "sequence_length",
        "sequence_stride",
        "fft_length",
        "length",
        "window",
        "center",
        class_name="ISTFT",
    ),
    _function(
        "layer_normalization", "nn", "axis", "epsilon", "rms_scaling", class_name="LayerNorm"
    ),
    _function("leaky_relu", "nn", "negative_slope"),
    _function("linspace", "numpy", "num", "endpoint", "retstep", "dtype", "axis"),
    _function("log_softmax", "nn", "axis"),
    _function("logspace", "numpy", "num", "endpoint", "base", "dtype", "axis"),
    _function("logsumexp", "math", *_REDUCTION),
    _function("map_coordinates", "image", "order", "fill_mode", "fill_value"),
    _function("max", "numpy", *_REDUCTION, "initial"),
    _function("max_pool", "nn", *_WINDOW),
    _function("mean", "numpy", *_REDUCTION),
    _function("median", "numpy", *_REDUCTION),
    _function("meshgrid", "numpy", "indexing"),
    _function("min", "numpy", *_REDUCTION, "initial"),
    _function("moments", "nn", "axes", "keepdims", "synchronized"),
    _function("moveaxis", "numpy", "source", "destination"),
    _function("multi_hot", "nn", "num_classes", "axis", "dtype", "sparse"),
    _function("nan_to_num", "numpy", "nan", "posinf", "neginf"),
    _function("nanargmax", "numpy", *_REDUCTION),
    _function("nanargmin", "numpy", *_REDUCTION),
    _function("nancumprod", "numpy", "axis", "dtype"),
    _function("nancumsum", "numpy", "axis", "dtype"),
    _function("nanmax", "numpy", *_REDUCTION),
    _function("nanmean", "numpy", *_REDUCTION),
    _function("nanmedian", "numpy", *_REDUCTION),
    _function("nanmin", "numpy", *_REDUCTION),
    _function("nanpercentile", "numpy", "axis", "method", "keepdims"),
    _function("nanprod", "numpy", *_REDUCTION),
    _function("nanquantile", "numpy", "axis", "method", "keepdims"),
    _function("nanstd", "numpy", *_REDUCTION),
    _function("nansum", "numpy", *_REDUCTION),
    _function("nanvar", "numpy", *_REDUCTION),
    _function("norm", "linalg", "ord", *_REDUCTION),
    _function("normalize", "nn", "axis", "order", "epsilon"),
    _function("one_hot", "nn", "num_classes", "axis", "dtype", sparse=False),
    _function("ones_like", "numpy", "dtype"),
    _function("pad", "numpy", "pad_width", "mode"),
    _function(
        "pad_images",
        "image",
        "top_padding",
        "left_padding",
        "bottom_padding",
        "right_padding",
        "target_height",
        "target_width",
        "data_format",
    ),
    _function("percentile", "numpy", "axis", "method", "keepdims"),
    _function("perspective_transform", "image", "interpolation", "fill_value", "data_format"),
    _function("prod", "numpy", *_REDUCTION, "dtype"),
    _function("psnr", "nn", "max_val", class_name="PSNR"),
    _function("ptp", "numpy", *_REDUCTION),
    _function("quantile", "numpy", "axis", "method", "keepdims"),
    _function("repeat", "numpy", "repeats", "axis"),
    _function("reshape", "numpy", "newshape"),
    _function(
        "resize",
        "image",
        "size",
        "interpolation",
        "antialias",
        "data_format",
        "crop_to_aspect_ratio",
        "pad_to_aspect_ratio",
        "fill_mode",
        "fill_value",
    ),
    _function("rfft", "math", "fft_length", class_name="RFFT"),
    _function("rgb_to_grayscale", "image", "data_format", class_name="RGBToGrayscale"),
    _function("rgb_to_hsv", "image", "data_format", class_name="RGBToHSV"),
    _function("rms_normalization", "nn", "axis", "epsilon", class_name="RMSNorm"),
    _function("roll", "numpy", "shift", "axis"),
    _function("rot90", "numpy", "k", "axes"),
    _function("round", "numpy", "decimals"),
    _function("saturate_cast", "core", "dtype"),
    _function("scale_and_translate", "image", "spatial_dims", "method", "antialias"),
    _function("scatter", "core", "shape"),
    _function("scatter_update", "core", "reduction"),
    _function("searchsorted", "numpy", "side", class_name="SearchSorted"),
    _function("segment_max", "math", "num_segments", "sorted"),
    _function("segment_min", "math", "num_segments", "sorted"),
    _function("segment_prod", "math", "num_segments", "sorted"),
    _function("segment_sum", "math", "num_segments", "sorted"),
    _function("separable_conv", "nn", "strides", "padding", "data_format", "dilation_rate"),
    _function("slice", "core", "shape"),
    _function("sobel_edges", "image", "data_format"),
    _function("soft_shrink", "nn", "threshold"),
    _function("softmax", "nn", "axis"),
    _function("sort", "numpy", "axis"),
    _function("space_to_depth", "nn", "block_size", "data_format"),
    _function("sparse_categorical_crossentropy", "nn", "from_logits", "axis"),
    _function("sparsemax", "nn", "axis"),
    _function("split", "numpy", "indices_or_sections", "axis"),
    _function("squareplus", "nn", "b"),
    _function("squeeze", "numpy", "axis"),
    _function(
        "ssim",
        "image",
        "max_val",
        "filter_size",
        "filter_sigma",
        "k1",
        "k2",
        "data_format",
        class_name="SSIM",
    ),
    _function("stack", "numpy", "axis"),
    _function("std", "numpy", *_REDUCTION),
    _function(
        "stft",
        "math",
        "sequence_length",
        "sequence_stride",
        "fft_length",
        "window",
        "center",
        class_name="STFT",
    ),
    _function("sum", "numpy", *_REDUCTION),
    _function("swapaxes", "numpy", "axis1", "axis2"),
    _function("take", "numpy", "axis"),
    _function("take_along_axis", "numpy", "axis"),
    _function("tensordot", "numpy", "axes"),
    _function("threshold", "nn", "threshold", "default_value"),
    _function("tile", "numpy", "repeats"),
    _function("top_k", "math", "k", "sorted"),
    _function("trace", "numpy", "offset", "axis1", "axis2"),
    _function("transpose", "numpy", "axes"),
    _function("trapezoid", "numpy", "x", "dx", "axis"),
    _function("tril", "numpy", "k"),
    _function("triu", "numpy", "k"),
    _function("unfold", "nn", "kernel_size", "dilation", "padding", "stride"),
    _function("unravel_index", "numpy", "shape"),
    _function("unstack", "core", "num", "axis"),
    _function("vander", "numpy", "N", "increasing"),
    _function("var", "numpy", *_REDUCTION),
    _function("vsplit", "numpy", "indices_or_sections"),
    _function("zeros_like", "numpy", "dtype"),
)

BY_NAME = {function.name: function for function in _TABLE}
BY_CLASS = {(function.module, function.class_name): function for function in _TABLE}
