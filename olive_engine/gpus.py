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

VISIBLE = "CUDA_VISIBLE_DEVICES"
"""The variable that says which GPUs a process may use, and in which order it counts them."""

_LIBRARY = "nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1"
_NAME_LENGTH = 96


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU: its name, and its memory in bytes, all and what is free now."""

    name: str
    memory: int
    free: int
    id: str = ""
    """What `VISIBLE` calls it: as it stands there now, else its UUID, which is the same in any order of counting."""


def found(visible: str | None = None) -> tuple[Gpu, ...]:
    """The GPUs that CUDA may use here, in its order; none where there is no driver, or none that answers.

    Args:
        visible: what a process has in `VISIBLE`; none: what this one has.
    """
    visible = os.environ.get(VISIBLE) if visible is None else visible
    if visible is not None and not visible.strip():
        return ()
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError:
        return ()
    if library.nvmlInit_v2() != 0:
        return ()
    try:
        here = list(_each(library))
    finally:
        library.nvmlShutdown()
    return tuple(gpu for _, gpu in here) if visible is None else tuple(_chosen(here, visible))


def driver() -> str:
    """The version of the NVIDIA driver that is loaded; empty: none."""
    path = Path("/proc/driver/nvidia/version")
    if not path.exists():
        return ""
    words = path.read_text().split()
    return next((word for word in words if word[:1].isdigit() and "." in word), "unknown version")


def _chosen(here: list[tuple[int, Gpu]], visible: str) -> Iterator[Gpu]:
    """Those that a list names, by number or by the beginning of a UUID; as for CUDA, up to the first that is wrong."""
    for name in (part.strip() for part in visible.split(",")):
        gpu = next((gpu for number, gpu in here if name and (name == str(number) or gpu.id.startswith(name))), None)
        if gpu is None and name.startswith("MIG-"):  # a part of one, whose size the driver's list does not tell
            gpu = Gpu("part of a GPU", 0, 0)
        if gpu is None:
            return
        yield Gpu(gpu.name, gpu.memory, gpu.free, name)


def _each(library: ctypes.CDLL) -> Iterator[tuple[int, Gpu]]:
    """Each GPU that answers, with its number."""
    count = ctypes.c_uint()
    if library.nvmlDeviceGetCount_v2(ctypes.byref(count)) != 0:
        return
    for index in range(count.value):
        device, memory = ctypes.c_void_p(), _Memory()
        name, uuid = (ctypes.create_string_buffer(_NAME_LENGTH) for _ in range(2))
        if library.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(device)) != 0:
            continue
        library.nvmlDeviceGetName(device, name, _NAME_LENGTH)
        library.nvmlDeviceGetUUID(device, uuid, _NAME_LENGTH)
        if library.nvmlDeviceGetMemoryInfo(device, ctypes.byref(memory)) == 0:
            text = name.value.decode(errors="replace")
            yield index, Gpu(text, memory.total, memory.free, uuid.value.decode() or str(index))


class _Memory(ctypes.Structure):
    _fields_ = [("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong)]
