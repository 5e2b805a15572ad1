"""Memory that is freed and given out again, in a process of its own."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

_ALLOCATE = """
import resource, sys
import kcompile
if sys.argv[1] == "keep":
    assert kcompile.config.keep_freed_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for number in range(8):
    bytes([number]) * 2**26
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc that is told")
def test_pages_are_used_again() -> None:
    """Eight times 64 MiB: pages are mapped for each by default, and once if they are kept."""
    faults = {
        how: int(
            subprocess.run(
                [sys.executable, "-c", _ALLOCATE, how], capture_output=True, text=True, check=True
            ).stdout
        )
        for how in ("keep", "free")
    }
    assert faults["keep"] < faults["free"] / 4
