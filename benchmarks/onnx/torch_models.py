"""A Keras model of the comparison as one would write it in torch: NCHW, torch's own modules.

Each builder takes a layer and gives what its call becomes. Images go from layer to layer with the
channels first; what works on the last axis (LayerNorm, Linear) gets them last, as in ConvNeXt's own
code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

Call = Callable[..., Tensor | tuple[Tensor, ...]]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda x: x,
    "relu": F.relu,
    "relu6": F.relu6,
    "gelu": F.gelu,
    "silu": F.silu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "softmax": lambda x: F.softmax(x, -1),
}
ON_LAST_AXIS = ("LayerNormalization", "Dense", "EinsumDense")
ELEMENTWISE = ("Add", "Multiply", "Concatenate", "Dropout", "Activation")


def array(variable: Any) -> Tensor:
    return torch.tensor(keras.ops.convert_to_numpy(variable))


def parameter(tensor: Tensor) -> nn.Parameter:
    return nn.Parameter(tensor.contiguous(), requires_grad=False)


def paddings(layer: Any, window: tuple[int, int]) -> list[tuple[int, int]]:
    """Zeros before and after, for the rows and the columns, that padding="same" adds."""
    pairs = []
    for size, width, stride in zip(layer.input.shape[1:3], window, layer.strides, strict=True):
        total = max((-(-size // stride) - 1) * stride + width - size, 0)
        pairs.append((total // 2, total - total // 2))
    return pairs if layer.padding == "same" else [(0, 0), (0, 0)]


def convolution(layer: Any, kernel: Tensor, groups: int) -> nn.Module:
    """kernel: [out, in / groups, H, W]"""
    module = nn.Conv2d(
        kernel.shape[1] * groups,
        kernel.shape[0],
        layer.kernel_size,
        layer.strides,
        groups=groups,
        bias=layer.use_bias,
    )
    module.weight = parameter(kernel)
    if layer.use_bias:
        module.bias = parameter(array(layer.bias))
    (top, bottom), (left, right) = paddings(layer, layer.kernel_size)
    if (top, left) == (bottom, right):
        module.padding = (top, left)
        return module
    return nn.Sequential(nn.ZeroPad2d((left, right, top, bottom)), module)


def conv2d(layer: Any) -> Call:
    return convolution(layer, array(layer.kernel).permute(3, 2, 0, 1), 1)


def depthwise_conv2d(layer: Any) -> Call:
    kernel = array(layer.kernel).permute(2, 3, 0, 1)
    return convolution(layer, kernel, kernel.shape[0])


def conv2d_transpose(layer: Any) -> Call:
    kernel = array(layer.kernel).permute(3, 2, 0, 1)
    module = nn.ConvTranspose2d(*kernel.shape[:2], layer.kernel_size, layer.strides)
    module.weight, module.bias = parameter(kernel), parameter(array(layer.bias))
    before = max(layer.kernel_size[0] - layer.strides[0], 0) // 2
    height, width = layer.output.shape[1:3]
    return _Cut(module, before, height, width)


class _Cut(nn.Module):
    def __init__(self, inner: nn.Module, before: int, height: int, width: int) -> None:
        super().__init__()
        self.inner, self.before, self.height, self.width = inner, before, height, width

    def forward(self, x: Tensor) -> Tensor:
        y = self.inner(x)
        if y.shape[2:] == (self.height, self.width):
            return y
        start = self.before
        return y[:, :, start : start + self.height, start : start + self.width]


def batch_normalization(layer: Any) -> Call:
    module = nn.BatchNorm2d(layer.moving_mean.shape[0], eps=layer.epsilon)
    module.bias = parameter(array(layer.beta))
    if layer.scale:
        module.weight = parameter(array(layer.gamma))
    module.running_mean = array(layer.moving_mean)
    module.running_var = array(layer.moving_variance)
    return module


def layer_normalization(layer: Any) -> Call:
    module = nn.LayerNorm(layer.gamma.shape[0], eps=layer.epsilon)
    module.weight, module.bias = parameter(array(layer.gamma)), parameter(array(layer.beta))
    return module


def flattened_image(layer: Any) -> tuple[int, ...] | None:
    """[H, W, C] where what the layer gets is a flattened image."""
    producer = layer.input._keras_history.operation
    while isinstance(producer, keras.layers.Dropout):
        producer = producer.input._keras_history.operation
    is_image = isinstance(producer, keras.layers.Flatten) and len(producer.input.shape) == 4
    return producer.input.shape[1:] if is_image else None


def dense(layer: Any) -> Call:
    kernel = array(layer.kernel)
    shape = flattened_image(layer)
    if shape is not None:  # channels come first here
        kernel = kernel.reshape(*shape, -1).permute(2, 0, 1, 3).reshape(kernel.shape)
    module = nn.Linear(*kernel.shape)
    module.weight, module.bias = parameter(kernel.T), parameter(array(layer.bias))
    return module


class _Scale(nn.Module):
    def __init__(self, scale: Tensor, offset: Tensor | None = None) -> None:
        super().__init__()
        self.scale = parameter(scale)
        self.offset = None if offset is None else parameter(offset)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale if self.offset is None else x * self.scale + self.offset


def einsum_dense(layer: Any) -> Call:
    if layer.equation != "bhwc,c->bhwc":
        raise NotImplementedError(f"EinsumDense with {layer.equation}")
    return _Scale(array(layer.kernel))


def per_channel(values: Any) -> Tensor:
    return torch.tensor(np.asarray(values, np.float32)).reshape(1, -1, 1, 1)


def rescaling(layer: Any) -> Call:
    return _Scale(per_channel(layer.scale), per_channel(layer.offset))


def normalization(layer: Any) -> Call:
    mean = keras.ops.convert_to_numpy(layer.mean)
    deviation = np.maximum(np.sqrt(keras.ops.convert_to_numpy(layer.variance)), 1e-7)
    return _Scale(per_channel(1 / deviation), per_channel(-mean / deviation))


def embedding(layer: Any) -> Call:
    return nn.Embedding.from_pretrained(array(layer.embeddings))


class _SelfAttention(nn.Module):
    def __init__(self, layer: Any) -> None:
        super().__init__()
        width = layer._query_dense.kernel.shape[0]
        parts = (layer._query_dense, layer._key_dense, layer._value_dense)
        self.attention = nn.MultiheadAttention(width, layer.num_heads, batch_first=True)
        kernels = [array(part.kernel).reshape(width, width).T for part in parts]
        self.attention.in_proj_weight = parameter(torch.cat(kernels))
        biases = [array(part.bias).reshape(-1) for part in parts]
        self.attention.in_proj_bias = parameter(torch.cat(biases))
        kernel = array(layer._output_dense.kernel).reshape(width, width)
        self.attention.out_proj.weight = parameter(kernel.T)
        self.attention.out_proj.bias = parameter(array(layer._output_dense.bias))

    def forward(self, query: Tensor, value: Tensor) -> Tensor:
        return self.attention(query, value, value, need_weights=False)[0]


class _Recurrent(nn.Module):
    """A GRU or an LSTM, of one or two directions."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        both = isinstance(layer, keras.layers.Bidirectional)
        parts = [layer.forward_layer, layer.backward_layer] if both else [layer]
        self.is_lstm = isinstance(parts[0], keras.layers.LSTM)
        self.return_sequences = parts[0].return_sequences
        self.return_state = parts[0].return_state
        num_features, units = parts[0].cell.kernel.shape[0], parts[0].units
        make = nn.LSTM if self.is_lstm else nn.GRU
        self.module = make(num_features, units, batch_first=True, bidirectional=both)
        for part, suffix in zip(parts, ("", "_reverse"), strict=False):
            self._copy(part.cell, suffix)

    def _copy(self, cell: Any, suffix: str) -> None:
        kernel, recurrent, bias = map(array, (cell.kernel, cell.recurrent_kernel, cell.bias))
        bias = torch.stack([bias, torch.zeros_like(bias)]) if self.is_lstm else bias
        values = {"weight_ih": kernel.T, "weight_hh": recurrent.T}
        values |= {"bias_ih": bias[0], "bias_hh": bias[1]}
        for name, value in values.items():
            if not self.is_lstm:  # Keras: update, reset, new; torch: reset, update, new
                update, reset, new = value.chunk(3)
                value = torch.cat([reset, update, new])
            setattr(self.module, f"{name}_l0{suffix}", parameter(value))

    def forward(self, x: Tensor, *state: Tensor) -> Tensor | tuple[Tensor, ...]:
        first = tuple(tensor[None] for tensor in state) if state else None
        sequence, last = self.module(x, first)
        hidden = last[0] if self.is_lstm else last
        if self.return_state:
            return sequence, hidden[0], last[1][0]
        if self.return_sequences:
            return sequence
        return torch.cat([*hidden], -1) if self.module.bidirectional else hidden[0]


def average_pooling(layer: Any) -> Call:
    (top, bottom), (left, right) = paddings(layer, layer.pool_size)
    if (top, left) != (bottom, right):
        raise NotImplementedError("an average over a window that is padded on one side")
    return nn.AvgPool2d(layer.pool_size, layer.strides, (top, left), count_include_pad=False)


def zero_padding(layer: Any) -> Call:
    (top, bottom), (left, right) = layer.padding
    return nn.ZeroPad2d((left, right, top, bottom))


def reshape(layer: Any) -> Call:
    shape = layer.target_shape
    first = (shape[2], shape[0], shape[1]) if len(shape) == 3 else shape
    return lambda x: x.reshape(-1, *first)


def concatenate(layer: Any) -> Call:
    axis = 1 if len(layer.output.shape) == 4 else layer.axis
    return lambda *parts: torch.cat(parts, axis)


BUILDERS: dict[str, Callable[[Any], Call]] = {
    "Activation": lambda layer: lambda x: x,  # its function follows every call
    "Add": lambda layer: lambda x, y: x + y,
    "Attention": lambda layer: (
        lambda query, value: torch.bmm(
            F.softmax(torch.bmm(query, value.transpose(1, 2)), -1), value
        )
    ),
    "AveragePooling2D": average_pooling,
    "BatchNormalization": batch_normalization,
    "Bidirectional": _Recurrent,
    "Concatenate": concatenate,
    "Conv2D": conv2d,
    "Conv2DTranspose": conv2d_transpose,
    "Dense": dense,
    "DepthwiseConv2D": depthwise_conv2d,
    "Dropout": lambda layer: lambda x: x,
    "EinsumDense": einsum_dense,
    "Embedding": embedding,
    "Flatten": lambda layer: nn.Flatten(),
    "GRU": _Recurrent,
    "GlobalAveragePooling1D": lambda layer: lambda x: x.mean(1),
    "GlobalAveragePooling2D": lambda layer: lambda x: x.mean((2, 3), keepdim=layer.keepdims),
    "LSTM": _Recurrent,
    "LayerNormalization": layer_normalization,
    "MaxPooling2D": lambda layer: nn.MaxPool2d(layer.pool_size, layer.strides),
    "MultiHeadAttention": _SelfAttention,
    "Multiply": lambda layer: lambda x, y: x * y,
    "Normalization": normalization,
    "ReLU": lambda layer: F.relu if layer.max_value is None else F.relu6,
    "Rescaling": rescaling,
    "Reshape": reshape,
    "UpSampling2D": lambda layer: nn.Upsample(scale_factor=layer.size, mode=layer.interpolation),
    "ZeroPadding2D": zero_padding,
}


def arrange(x: Tensor, is_first: bool, wanted: bool) -> Tensor:
    """An image with the channels first, where that is wanted, or last."""
    if x.ndim != 4 or is_first == wanted:
        return x
    return x.permute(0, 3, 1, 2) if wanted else x.permute(0, 2, 3, 1)


class Network(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.inputs = [tensor.name for tensor in model.inputs]
        self.output = model.outputs[0].name
        self.steps: list[tuple[str, list[str], list[str], Call, Callable[[Tensor], Tensor]]] = []
        depths = sorted(model._nodes_by_depth, reverse=True)
        for node in [node for depth in depths for node in model._nodes_by_depth[depth]]:
            kind = type(node.operation).__name__
            if kind == "InputLayer":
                continue
            call = BUILDERS[kind](node.operation)
            if isinstance(call, nn.Module):
                self.add_module(f"step{len(self.steps)}", call)
            activation = getattr(node.operation, "activation", None)
            is_own = kind in ("LSTM", "GRU", "Bidirectional") or activation is None
            function = ACTIVATIONS["linear" if is_own else activation.__name__]
            names = ([x.name for x in xs] for xs in (node.input_tensors, node.output_tensors))
            self.steps.append((kind, *names, call, function))

    def forward(self, *inputs: Tensor) -> Tensor:
        values = {name: (x, False) for name, x in zip(self.inputs, inputs, strict=True)}
        for kind, sources, targets, call, function in self.steps:
            wanted = kind not in ON_LAST_AXIS
            if kind in ELEMENTWISE:
                wanted = values[sources[0]][1]
            result = call(*(arrange(*values[name], wanted) for name in sources))
            results = result if isinstance(result, tuple) else (function(result),)
            values |= {name: (y, wanted) for name, y in zip(targets, results, strict=True)}
        return arrange(*values[self.output], False)
