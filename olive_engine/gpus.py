"""The NVIDIA GPUs of this machine, asked of the driver's own library: no CUDA is started, nothing is imported.

Interface: https://docs.nvidia.com/deploy/nvml-api (version 2 of the calls).
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_LIBRARY = "nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1"
_NAME_LENGTH = 96


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU: its name, and its memory in bytes, all and what is free now."""

    name: str
    memory: int
    free: int


class _Memory(ctypes.Structure):
    _fields_ = [("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong)]


def found() -> tuple[Gpu, ...]:
    """The GPUs that CUDA may use here; none where there is no driver, or none that answers."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in ("", "-1"):
        return ()
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError:
        return ()
    if library.nvmlInit_v2() != 0:
        return ()
    try:
        return tuple(_each(library))
    finally:
        library.nvmlShutdown()


def driver() -> str:
    """The version of the NVIDIA driver that is loaded; empty: none."""
    path = Path("/proc/driver/nvidia/version")
    if not path.exists():
        return ""
    words = path.read_text().split()
    return next((word for word in words if word[:1].isdigit() and "." in word), "unknown version")


def _each(library: ctypes.CDLL) -> Iterator[Gpu]:
    count = ctypes.c_uint()
    if library.nvmlDeviceGetCount_v2(ctypes.byref(count)) != 0:
        return
    for index in range(count.value):
        device, memory, name = ctypes.c_void_p(), _Memory(), ctypes.create_string_buffer(_NAME_LENGTH)
        if library.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(device)) != 0:
            continue
        library.nvmlDeviceGetName(device, name, _NAME_LENGTH)
        if library.nvmlDeviceGetMemoryInfo(device, ctypes.byref(memory)) == 0:
            yield Gpu(name.value.decode(errors="replace"), memory.total, memory.free)
