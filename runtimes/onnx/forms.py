"""Which form of an op onnxruntime runs faster, as measured.

What ONNX has an op of its own for can also be written as several. `benchmarks/onnx/forms.py` times
both in releases of onnxruntime, on its CPU provider, and the numbers here are its results.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kcompile.runtimes.onnx.table import FLOOR


@dataclass(frozen=True)
class Form:
    """An op of ONNX, beside the several that stand for it as well.

    Attributes:
        opset: the first that has it.
        speeds: how many times as fast as the several it is, by the second number of the release of
            onnxruntime; of the sizes that were measured the geometric mean.
    """

    opset: int
    speeds: Mapping[int, float]

    def measured(self, release: int | None = None) -> tuple[int, float]:
        """The newest release measured, up to the given one where there is one, and its speed."""
        releases = [number for number in self.speeds if release is None or number <= release]
        nearest = max(releases, default=min(self.speeds))
        return nearest, self.speeds[nearest]

    def is_faster(self, release: int | None = None) -> bool:
        return self.measured(release)[1] > 1


FORMS = {
    "Attention": Form(23, {24: 1.22, 32: 1.22}),
    "Gelu": Form(20, {20: 1.46, 24: 1.47, 32: 1.43}),
    "Gelu, tanh": Form(20, {20: 2.37, 24: 2.61, 32: 2.71}),
    "GroupNormalization": Form(21, {20: 0.75, 24: 0.72, 32: 0.74}),
    "LayerNormalization": Form(FLOOR, {20: 1.64, 24: 1.33, 32: 2.72}),
    "RMSNormalization": Form(23, {24: 0.99, 32: 2.7}),
    "Sum": Form(FLOOR, {20: 0.86, 24: 0.82, 32: 3.61}),
}


@dataclass(frozen=True)
class Choice:
    """What was chosen for a node.

    Attributes:
        form: a name in `FORMS`.
        is_taken: whether ONNX's own op was.
        reason: what it was chosen by.
    """

    form: str
    is_taken: bool
    reason: str


def choose(name: str, opset: int, release: int | None = None) -> Choice:
    """Whether an op's own form is the better one.

    Args:
        name: in `FORMS`.
        opset: of the file.
        release: the second number of that of onnxruntime which has to run it; None for the newest.
    """
    form = FORMS[name]
    if opset < form.opset:
        return Choice(name, False, f"is in opset {form.opset} and later, the file is of {opset}")
    measured, speed = form.measured(release)
    reason = f"takes 1/{speed:.2g} of the time of what it stands for in onnxruntime 1.{measured}"
    return Choice(name, speed > 1, reason)


def preferred(name: str) -> int:
    """The opset from which on the better form can be had."""
    form = FORMS[name]
    return form.opset if form.is_faster() else FLOOR
