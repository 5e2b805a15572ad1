"""Every case, and which of them every run looks at."""

from __future__ import annotations

import dataclasses
from collections import Counter

from tests.conformance.case import Case
from tests.conformance.tables import attention, control, core, images, recurrent, spectral

#: Of the cases of a layer, the first and every sixth are quick; the others are slow together.
STRIDE = 6


def _with_quick_ones_marked(cases: list[Case]) -> list[Case]:
    seen: Counter[str] = Counter()
    result = []
    for entry in cases:
        number = seen[entry.layer]
        seen[entry.layer] += 1
        quick = entry.quick or number % STRIDE == 0
        result.append(dataclasses.replace(entry, quick=quick, is_first=number == 0))
    return result


CASES = _with_quick_ones_marked(
    [
        *core.CASES,
        *images.CASES,
        *attention.CASES,
        *control.CASES,
        *recurrent.CASES,
        *spectral.CASES,
    ],
)
