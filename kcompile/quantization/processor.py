"""What the processor does with products of small integers."""

from __future__ import annotations

import platform
from pathlib import Path

_CPU_INFO = Path("/proc/cpuinfo")
#: Flags of x86 processors that add four products of u8 and i8 in 32 bits (VNNI).
_EXACT = {"avx512_vnni", "avx_vnni", "avx_vnni_int8", "amx_int8"}
_X86 = ("x86_64", "amd64", "i386", "i686", "x86")


def saturates() -> bool:
    """Whether sums of two products of u8 and i8 saturate at 16 bits, as by `vpmaddubsw`.

    True for an x86 processor that does not say that it has VNNI.
    """
    if platform.machine().lower() not in _X86:
        return False
    if not _CPU_INFO.exists():
        return True
    lines = _CPU_INFO.read_text(errors="replace").splitlines()
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    return not _EXACT.intersection(flags)
