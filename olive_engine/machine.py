"""This machine as a worker or a key sees it: versions, device, identity. Found out without importing anything heavy."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from olive_engine import __version__, providers
from olive_engine.contracts import Environment
from olive_engine.digests import digest
from olive_engine.requirements import package_version

if TYPE_CHECKING:
    from olive_engine.gpus import Gpu

DeviceKind = Literal["cpu", "gpu", "npu"]

BF16_CPU_FLAGS = {"avx512_bf16", "amx_bf16"}


def environment(packages: Iterable[str], device: DeviceKind | None = None) -> Environment:
    """Describe this interpreter and machine.

    Args:
        packages: distribution names; those not installed are left out. Those of ONNX Runtime are always told.
        device: what work is done on; default: the best that is found.
    """
    device = device or best_device(package_version("torch"))
    return Environment(
        engine=__version__,
        python=".".join(str(part) for part in sys.version_info[:3]),
        machine=identity(),
        device=device,
        bf16=bool(BF16_CPU_FLAGS & cpu_flags()) if device == "cpu" else device == "gpu",
        memory=device_memory(device),
        providers=providers.available(),
        packages={name: found for name in sorted({*packages, *providers.FLAVOURS}) if (found := package_version(name))},
    )


def best_device(torch: str) -> Literal["cpu", "gpu"]:
    """What work is done on if nothing is said: a GPU where an NVIDIA driver is loaded, unless torch is a CPU build.

    Args:
        torch: the version of it that is installed; empty: none is.
    """
    has_driver = Path("/proc/driver/nvidia/version").exists()
    return "gpu" if has_driver and not torch.endswith("+cpu") else "cpu"


def identity() -> str:
    """A digest of what decides how fast the machine is: its name, CPU model and cores."""
    return digest([platform.node(), platform.machine(), cpu_model(), cores()])[:16]


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def memory() -> int:
    """The memory in bytes that this machine, or the container around this process, has; 0 where it cannot be told."""
    try:
        physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # not a POSIX system, or one without the name
        return 0
    return min(physical, _container_limit() or physical)


def memory_available() -> int:
    """The memory in bytes that can be had now without swapping; 0 where it cannot be told."""
    free = _first_number(Path("/proc/meminfo"), "MemAvailable:") * 1024
    if not (limit := _container_limit()):
        return free
    folder = _container_folder()
    reclaimable = _first_number(folder / "memory.stat", "inactive_file")
    return max(0, min(free, limit - _number(folder / "memory.current") + reclaimable))


def device_memory(device: DeviceKind) -> int:
    """The memory in bytes that a model must fit into, of the largest GPU or the machine; 0 where it cannot be told."""
    return memory() if device == "cpu" else max((gpu.memory for gpu in _gpus(device)), default=0)


def device_memory_available(device: DeviceKind) -> int:
    """How much of that can be had now, in bytes; 0 where it cannot be told."""
    return memory_available() if device == "cpu" else max((gpu.free for gpu in _gpus(device)), default=0)


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


def _gpus(device: DeviceKind) -> tuple[Gpu, ...]:
    from olive_engine import gpus  # ctypes, which nobody else takes

    return gpus.found() if device == "gpu" else ()


@cache
def cpu_flags() -> frozenset[str]:
    """What the CPU can do, in the words of Linux: ``avx512f``, ``amx_bf16``; empty on other systems."""
    return frozenset((_cpuinfo("flags") or _cpuinfo("Features")).split())


@cache
def cpu_model() -> str:
    """The name of the CPU's model; empty where it cannot be told."""
    return _cpuinfo("model name")


@cache
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


def _container_limit() -> int:
    """The memory limit in bytes of the control group that this process is in (version 2); 0: none is set."""
    return _number(_container_folder() / "memory.max")


def _container_folder() -> Path:
    root, groups = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
    lines = groups.read_text().splitlines() if groups.exists() else []
    path = next((line[3:] for line in lines if line.startswith("0::")), "/")
    folder = root / path.lstrip("/")
    return folder if (folder / "memory.max").exists() else root


def _number(file: Path) -> int:
    """The number that a file holds; 0 if there is no such file, or a word such as ``max`` in it."""
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return 0


def _first_number(file: Path, name: str) -> int:
    """The number after a name at the start of a line; 0: there is none."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.split()[:1] == [name]), 0)
