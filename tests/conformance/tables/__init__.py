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
        quick = entry.quick or seen[entry.layer] % STRIDE == 0
        seen[entry.layer] += 1
        result.append(dataclasses.replace(entry, quick=quick))
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
