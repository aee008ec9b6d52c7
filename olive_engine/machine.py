"""This machine as a worker or a key sees it: versions, device, identity. Found out without importing anything heavy."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from olive_engine import __version__
from olive_engine.contracts import Environment
from olive_engine.digests import digest

DeviceKind = Literal["cpu", "gpu", "npu"]

BF16_CPU_FLAGS = {"avx512_bf16", "amx_bf16"}


def environment(packages: Iterable[str], device: DeviceKind | None = None) -> Environment:
    """Describe this interpreter and machine.

    Args:
        packages: distribution names; those not installed are left out.
        device: what work is done on; default: the best that is found.
    """
    device = device or _device()
    return Environment(
        engine=__version__,
        python=".".join(str(part) for part in sys.version_info[:3]),
        machine=_identity(),
        device=device,
        bf16=bool(BF16_CPU_FLAGS & _cpu_flags()) if device == "cpu" else device == "gpu",
        packages={name: found for name in sorted(set(packages)) if (found := package_version(name))},
    )


def package_version(name: str) -> str:
    """The installed version of a distribution, from its metadata; empty if it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def memory() -> int:
    """The machine's memory in bytes; 0 where it cannot be told."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # not a POSIX system, or one without the name
        return 0


def memory_in_use() -> int:
    """The resident memory of this process in bytes; 0 where it cannot be told."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if statm.exists() else 0


def peak_memory() -> int:
    """The highest resident memory of this process so far, in bytes; 0 where it cannot be told."""
    try:
        import resource  # Unix only
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _device() -> Literal["cpu", "gpu"]:
    """A GPU where an NVIDIA driver is loaded and the installed torch is not a CPU build."""
    has_driver = Path("/proc/driver/nvidia/version").exists()
    return "gpu" if has_driver and not package_version("torch").endswith("+cpu") else "cpu"


@cache
def _cpu_flags() -> frozenset[str]:
    return frozenset(_cpuinfo("flags").split())


@cache
def _identity() -> str:
    """A digest of what decides how fast the machine is: its name, CPU model and cores."""
    return digest([platform.node(), platform.machine(), _cpuinfo("model name"), cores()])[:16]


def _cpuinfo(field: str) -> str:
    """The first value of a field of /proc/cpuinfo; empty on systems without that file."""
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return ""
    for line in path.read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == field:
            return value.strip()
    return ""
