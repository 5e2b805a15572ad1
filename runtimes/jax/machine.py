"""What machine code depends on: the versions that made it, and what it runs on."""

from __future__ import annotations

import functools
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jaxlib

from kcompile import __version__

_CPU_INFO = Path("/proc/cpuinfo")
#: Of the flags that Linux tells of an x86 processor, those that say which instructions there are;
#: others come and go with the kernel.
_X86_INSTRUCTIONS = (
    *("sse", "ssse", "avx", "amx", "fma", "f16c", "bmi", "popcnt", "abm", "movbe", "aes", "vaes"),
    *("pclmul", "vpclmul", "gfni", "sha_ni", "adx", "xop", "tbm", "3dnow", "mmx", "cx16", "xsave"),
)


def stamp() -> dict[str, Any]:
    """Versions, and the device that programs are compiled for here, by what it is.

    `instructions` lists those that machine code may use beyond what every such processor has.
    """
    device = jax.devices()[0]
    return {
        "kcompile": __version__,
        "jax": jax.__version__,
        "jaxlib": jaxlib.__version__,
        "backend": device.platform,
        "backend version": device.client.platform_version,
        "device": device.device_kind,
        "system": f"{sys.platform} {platform.machine()}",
        "instructions": list(cpu_instructions()),
    }


def differences(made: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """Why code that was made with one stamp may not run with another: `jax 0.9.0, here 0.10.2`.

    A processor that has more instructions than the code may use runs it.
    """
    found = [
        f"{key} {made.get(key)}, here {value}"
        for key, value in here.items()
        if key != "instructions" and made.get(key) != value
    ]
    wanted, present = made.get("instructions"), set(here["instructions"])
    if not isinstance(wanted, list) or not all(isinstance(entry, str) for entry in wanted):
        return [*found, "instructions that it does not tell"]
    lacking = sorted(set(wanted) - present)
    return [*found, *([f"{', '.join(lacking)}, which are not here"] if lacking else [])]


@functools.cache
def cpu_instructions() -> tuple[str, ...]:
    """The instruction sets of the processor; where the system does not list them, its name."""
    if not _CPU_INFO.exists():
        return (platform.processor() or platform.machine(),)
    return _listed(_CPU_INFO.read_text(errors="replace"))


def _listed(text: str) -> tuple[str, ...]:
    """The instruction sets in the text of `/proc/cpuinfo`."""
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "flags":
            return tuple(sorted(f for f in value.split() if f.startswith(_X86_INSTRUCTIONS)))
        if key.strip() == "Features":
            return tuple(sorted(value.split()))
    return (platform.machine(),)
