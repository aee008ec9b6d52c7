"""Which GPUs are found, in which order, and by what name they are given to a process."""

import pytest

from olive_engine import gpus, machine

GB = 1_000_000_000
UUIDS = ("GPU-0aaa", "GPU-1bbb", "GPU-2ccc", "GPU-3ddd")


class Nvml:
    """The driver's library, as far as it is called: four GPUs, of which number 3 has no memory to tell of."""

    def __init__(self, _name: str) -> None:
        pass

    def nvmlInit_v2(self) -> int:
        return 0

    def nvmlShutdown(self) -> int:
        return 0

    def nvmlDeviceGetCount_v2(self, count) -> int:
        count._obj.value = len(UUIDS)
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, index, device) -> int:
        device._obj.value = 1 + index
        return 0

    def nvmlDeviceGetName(self, device, name, length) -> int:
        name.value = b"GPU %d" % (device.value - 1)
        return 0

    def nvmlDeviceGetUUID(self, device, uuid, length) -> int:
        uuid.value = UUIDS[device.value - 1].encode()
        return 0

    def nvmlDeviceGetMemoryInfo(self, device, memory) -> int:
        memory._obj.total, memory._obj.free = device.value * 10 * GB, device.value * GB
        return 3 if device.value == 4 else 0


@pytest.fixture(autouse=True)
def driver(monkeypatch):
    monkeypatch.setattr(gpus.ctypes, "CDLL", Nvml)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_all_are_found_under_names_that_no_order_changes():
    assert gpus.found() == tuple(
        gpus.Gpu(f"GPU {number}", (number + 1) * 10 * GB, (number + 1) * GB, UUIDS[number]) for number in range(3)
    )


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        ("2,0", [("GPU 2", "2"), ("GPU 0", "0")]),
        (" 1 ", [("GPU 1", "1")]),
        ("GPU-2c,GPU-0aaa", [("GPU 2", "GPU-2c"), ("GPU 0", "GPU-0aaa")]),
        ("1,9,0", [("GPU 1", "1")]),  # as for CUDA, what follows a wrong one does not count
        ("0,-1,1", [("GPU 0", "0")]),
        ("MIG-77", [("part of a GPU", "MIG-77")]),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
    ],
)
def test_what_the_user_allows_is_what_there_is(monkeypatch, visible, expected):
    assert [(gpu.name, gpu.id) for gpu in gpus.found(visible)] == expected
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [(gpu.name, gpu.id) for gpu in gpus.found()] == expected


def test_the_memory_that_counts_is_that_of_the_gpus_that_may_be_used(monkeypatch):
    assert machine.device_memory("gpu") == 30 * GB
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert machine.device_memory("gpu") == 20 * GB
    assert machine.device_memory_available("gpu") == 2 * GB
