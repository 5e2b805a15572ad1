"""A wrapper that keeps the largest singular value of a weight near 1."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import kcompile.ops as ops
from kcompile import initializers
from kcompile.ir.errors import SpecError
from kcompile.layers.nesting import build_inner
from kcompile.layers.wrappers import Wrapper
from kcompile.ops.trace import require_trace
from kcompile.ops.variable import Variable


class SpectralNormalization(Wrapper):
    """In training, the layer computes with `W / sigma` (Miyato et al., 2018).

    W is its kernel (or embeddings), as a matrix with the last axis as columns, and sigma an
    estimate of its largest singular value by power iteration from the vector u, which is kept. At
    inference it computes with W. The gradient reaches W through `W / sigma`, u and v held fixed;
    optimizers change W. If the layer is frozen, W itself becomes `W / sigma`.

    Args:
        layer: the one whose weight is normalized.
        power_iterations: at each step.

    Raises:
        SpecError: power_iterations is not positive, or the layer has no such weight.
    """

    def __init__(self, layer: Any, power_iterations: int = 1, **kwargs: Any) -> None:
        super().__init__(layer, **kwargs)
        if power_iterations <= 0:
            raise SpecError(
                f"power_iterations must be positive, got {power_iterations}",
                where=f"layer '{self.name}'",
            )
        self.power_iterations = power_iterations

    def build(self, input_shape: Any) -> None:
        build_inner(self.layer, input_shape)
        kernel = self.kernel
        self.vector_u = self.add_weight(
            (1, kernel.shape[-1]),
            initializers.TruncatedNormal(stddev=0.02),
            trainable=False,
            dtype=kernel.dtype,
            name="vector_u",
        )

    def named_variables(self, prefix: str = "") -> Iterator[tuple[str, Variable]]:
        """The normalized weight, the vector u, and the layer's other weights: Keras's order."""
        named = list(super().named_variables(prefix))
        kernel = self.kernel if self.built else None
        return iter(sorted(named, key=lambda entry: entry[1] is not kernel))

    @property
    def kernel(self) -> Any:
        """The weight that is normalized; files have it here and in the layer.

        Raises:
            SpecError: the layer has none.
        """
        for name in ("kernel", "embeddings"):
            if getattr(self.layer, name, None) is not None:
                return getattr(self.layer, name)
        raise SpecError(
            f"{type(self.layer).__name__} has neither a kernel nor embeddings",
            where=f"layer '{self.name}'",
        )

    def call(self, inputs: Any, training: bool = False) -> Any:
        if not training:
            return ops.cast(self.layer(inputs), inputs.dtype)
        kernel, u = self._normalized()
        self.vector_u.assign(u)
        if not self.kernel.trainable:
            self.kernel.assign(kernel)
            return ops.cast(self.layer(inputs), inputs.dtype)
        with require_trace().replacing(self.kernel, kernel):
            return ops.cast(self.layer(inputs), inputs.dtype)

    def _normalized(self) -> tuple[Any, Any]:
        """`W / sigma` and the next u; W and u as they are if all of W is 0."""
        kernel, u = self.kernel.value, self.vector_u.value
        matrix = ops.reshape(kernel, (-1, kernel.shape[-1]))
        v = u
        for _ in range(self.power_iterations):
            v = _unit(ops.matmul(u, ops.transpose(matrix)))
            u = _unit(ops.matmul(v, matrix))
        u, v = ops.stop_gradient(u), ops.stop_gradient(v)
        sigma = ops.matmul(ops.matmul(v, matrix), ops.transpose(u))
        is_zero = ops.all(ops.equal(kernel, 0))
        # A divisor of 0 would make the gradient NaN even where its quotient is not taken.
        divisor = ops.reshape(ops.where(is_zero, 1.0, sigma), ())
        return kernel / divisor, ops.where(is_zero, self.vector_u.value, u)


def _unit(row: Any) -> Any:
    """A row `[1, C]` with length 1."""
    return ops.normalize(row, None)
