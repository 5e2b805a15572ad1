"""A dense layer over any axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import kcompile.ops as ops
from kcompile import activations, constraints, initializers, regularizers
from kcompile.initializers import VarianceScaling
from kcompile.ir.errors import ShapeError, SpecError
from kcompile.layers.base import Layer

_ELLIPSIS = "..."


class EinsumDense(Layer):
    """`y = activation(einsum(equation, x, kernel) + bias)`.

    Args:
        equation: of the form `ab,bc->ac`, `...ab,bc->...ac` or `ab...,bc->ac...`.
        output_shape: sizes of the result without the batch and `...`; None for those of the input.
        bias_axes: the axes of the result that the bias has; None for no bias.
        Others: as in Keras.
    """

    inert_config = {
        "quantization_config": (None,),
        "lora_rank": (None,),
        "lora_alpha": (None,),
        "gptq_unpacked_column_size": (None,),
    }

    def __init__(
        self,
        equation: str,
        output_shape: int | Sequence[int | None],
        activation: Any = None,
        bias_axes: str | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.equation = equation
        self.output_shape = (output_shape,) if isinstance(output_shape, int) else (*output_shape,)
        self.activation = activations.get(activation)
        self.bias_axes = bias_axes
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self._input, self._weights, self._result = _parse(equation, f"layer '{self.name}'")

    def build(self, input_shape: Any) -> None:
        sizes = self._sizes(tuple(input_shape))
        summed = [i for i, label in enumerate(self._weights) if label not in self._result]
        kept = [i for i, label in enumerate(self._weights) if label in self._result]
        initializer = self.kernel_initializer
        if isinstance(initializer, VarianceScaling) and initializer.input_axes is None:
            config = {**initializer.get_config(), "input_axes": summed, "output_axes": kept}
            initializer = type(initializer)(**config)
        self.kernel = self.add_weight(
            tuple(self._size(label, sizes) for label in self._weights),
            initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
            name="kernel",
        )
        self.bias: Any = None
        if self.bias_axes is not None:
            self.bias = self.add_weight(
                self._bias_shape(sizes, len(input_shape) - len(self._input.replace(_ELLIPSIS, ""))),
                self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
                name="bias",
            )

    def _sizes(self, input_shape: tuple[int | None, ...]) -> dict[str, int | None]:
        """The size of each label: the input's, and those of the result that are given."""
        where = f"layer '{self.name}'"
        labels = self._input.replace(_ELLIPSIS, "")
        if len(input_shape) < len(labels) or (
            len(input_shape) > len(labels) and _ELLIPSIS not in self._input
        ):
            raise ShapeError(f"'{self.equation}' does not fit an input {input_shape}", where=where)
        is_left = self._input.startswith(_ELLIPSIS)
        part = input_shape[-len(labels) :] if is_left else input_shape[: len(labels)]
        sizes: dict[str, int | None] = dict(zip(labels, part, strict=True))
        result = self._result.replace(_ELLIPSIS, "")
        # The batch is the first label of the result, unless `...` has it.
        elided = len(input_shape) - len(labels)
        named = result if is_left and elided else result[1:]
        if len(named) != len(self.output_shape):
            raise ShapeError(
                f"'{self.equation}' needs an output_shape of {len(named)} sizes,"
                f" got {self.output_shape}",
                where=where,
            )
        for label, size in zip(named, self.output_shape, strict=True):
            known = sizes.get(label)
            if size is not None and known is not None and size != known:
                raise ShapeError(
                    f"'{label}' is {known} in the input and {size} in output_shape", where=where
                )
            sizes[label] = known if size is None else size
        return sizes

    def _size(self, label: str, sizes: dict[str, int | None]) -> int:
        size = sizes.get(label)
        if size is None:
            raise ShapeError(
                f"the kernel needs a number for '{label}' of '{self.equation}'",
                where=f"layer '{self.name}'",
                hint="Give it in output_shape, or give the input a fixed size there",
            )
        return size

    def _bias_shape(self, sizes: dict[str, int | None], num_elided: int) -> tuple[int, ...]:
        """Sizes along the bias's axes and 1 along others, from the first of them on."""
        result = self._result.replace(_ELLIPSIS, "")
        axes = self.bias_axes or ""
        if not axes or not set(axes) <= set(result):
            raise SpecError(
                f"bias_axes {self.bias_axes!r} are not axes of '{self._result}'",
                where=f"layer '{self.name}'",
            )
        first = min(result.index(label) for label in axes)
        shape = [self._size(label, sizes) if label in axes else 1 for label in result[first:]]
        is_right = self._result.endswith(_ELLIPSIS)
        return (*shape, *[1] * (num_elided if is_right else 0))

    def call(self, inputs: Any) -> Any:
        y = ops.einsum(self.equation, inputs, self.kernel)
        return self.activation(y if self.bias is None else ops.add(y, self.bias))

    def get_config(self) -> dict[str, Any]:
        return {"activity_regularizer": None, **super().get_config()}


def _parse(equation: str, where: str) -> tuple[str, str, str]:
    """Labels of the input, the kernel and the result.

    Raises:
        SpecError: the equation has another form.
    """
    operands, arrow, result = equation.replace(" ", "").partition("->")
    x, comma, kernel = operands.partition(",")
    labels = [part.replace(_ELLIPSIS, "", 1) for part in (x, kernel, result)]
    is_elided = [
        (part.startswith(_ELLIPSIS), part.endswith(_ELLIPSIS)) for part in (x, kernel, result)
    ]
    fits = (
        bool(arrow and comma)
        and all(part.isalpha() for part in labels)
        and is_elided[0] == is_elided[2]
        and is_elided[1] == (False, False)
        and all(
            part.count(".") == (3 if any(e) else 0)
            for part, e in zip((x, kernel, result), is_elided, strict=True)
        )
    )
    if not fits or not set(labels[2]) <= {*labels[0], *labels[1]}:
        raise SpecError(
            f"the equation {equation!r} is not understood",
            where=where,
            hint="Use ab,bc->ac, ...ab,bc->...ac or ab...,bc->ac...",
        )
    return x, kernel, result
