"""An examination of the place where this runs: what is installed, what there is to work with, and what is wrong."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from olive_engine import __version__, gpus, machine, providers, registry
from olive_engine.logins import AzureLogin, HubLogin, azure_login, hub_login
from olive_engine.reporting.phrases import size
from olive_engine.requirements import (
    FOR_DEVELOPERS,
    Requirement,
    canonical,
    extras,
    package_version,
    pip_line,
    satisfies,
    tested_versions,
)
from olive_engine.store.health import Health, examine

LITTLE_DISK = 1_000_000_000
"""Free bytes below which a disk is worth a warning."""
CPU_FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16", "asimd", "bf16")
"""What of the CPU's abilities decides how fast a model runs, in the words of Linux."""
SUITED_TO = {"onnxruntime": "cpu", "onnxruntime-gpu": "gpu", "onnxruntime-directml": "directml"}
"""The ONNX Runtime that is installed -> the extra that it belongs to."""

State = Literal["tested", "older", "newer", "unfit", "missing", "untested"]


@dataclass(frozen=True, slots=True)
class Library:
    """A distribution that this one asks for."""

    name: str
    installed: str
    """Empty: it is not."""
    tested: str
    """Empty: it is not in the tested set."""
    bounds: str
    state: State


@dataclass(frozen=True, slots=True)
class Finding:
    """Something worth knowing: an error would stop a run, a warning may."""

    severity: Literal["error", "warning", "note"]
    what: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Disk:
    """A folder's disk, in bytes."""

    folder: Path
    free: int
    total: int


@dataclass(frozen=True, slots=True)
class Devices:
    """What computes here, and what it has to hold models in, in bytes."""

    used: str
    """The kind of device that steps are done on unless a system says otherwise."""
    cpu: str
    cores: int
    features: tuple[str, ...]
    fast_bf16: bool
    driver: str
    """Version of the NVIDIA driver; empty: none is loaded."""
    gpus: tuple[gpus.Gpu, ...]
    providers: tuple[str, ...]
    memory: int
    memory_available: int


@dataclass(frozen=True, slots=True)
class Examination:
    """All that was looked at, and what was found."""

    engine: str
    python: str
    executable: str
    platform: str
    extra: str
    """The extra of this distribution that suits this machine."""
    libraries: tuple[Library, ...]
    others: tuple[Library, ...]
    """The libraries of these that are at another version than tested."""
    optional: Mapping[str, tuple[str, ...]]
    """Other extra -> what of it is missing."""
    devices: Devices
    disks: tuple[Disk, ...]
    cache: Health
    hub: HubLogin
    azure: AzureLogin
    findings: tuple[Finding, ...]

    @property
    def healthy(self) -> bool:
        """Whether nothing was found that would stop a run."""
        return all(finding.severity != "error" for finding in self.findings)


def diagnose(cache_dir: Path) -> Examination:
    """Look at everything. Nothing is changed, nothing heavy imported, and no network asked."""
    known = {name: asked for name, asked in extras().items() if name != FOR_DEVELOPERS}
    extra = _suited_extra()
    tested = tested_versions()
    libraries = tuple(_library(each, tested) for each in (*known.get("", ()), *known.get(extra, ())))
    optional = {name: tuple(_absent(asked)) for name, asked in known.items() if name not in ("", *_ALTERNATIVES)}
    devices, cache = _devices(), examine(cache_dir)
    disks = _disks(Path.cwd(), cache.folder)
    findings = (
        *_about_libraries(libraries, extra),
        *_about_runtimes(devices),
        *_about_devices(devices),
        *_about_plugins(),
        *_about_disks(disks),
        *_about_cache(cache),
    )
    return Examination(
        engine=__version__,
        python=platform.python_version(),
        executable=sys.executable,
        platform=platform.platform(terse=True) + f" {platform.machine()}",
        extra=extra,
        libraries=libraries,
        others=tuple(_others(tested, libraries)),
        optional={name: absent for name, absent in optional.items() if absent},
        devices=devices,
        disks=disks,
        cache=cache,
        hub=hub_login(),
        azure=azure_login(),
        findings=tuple(sorted(findings, key=lambda finding: ("error", "warning", "note").index(finding.severity))),
    )


# --- libraries ----------------------------------------------------------------------------------------------------

_ALTERNATIVES = ("cpu", "gpu", "directml", "auto-opt")
"""The extras of which a machine takes one."""


def _suited_extra() -> str:
    """By the ONNX Runtime that is installed, else by the device."""
    for name in providers.flavours_installed():
        if name in SUITED_TO:
            return SUITED_TO[name]
    return "gpu" if machine.environment(()).device == "gpu" else "cpu"


def _library(asked: Requirement, tested: Mapping[str, str]) -> Library:
    installed, wanted = package_version(asked.name), tested.get(canonical(asked.name), "")
    state: State = "tested"
    if not installed:
        state = "missing"
    elif not satisfies(installed, asked.bounds):
        state = "unfit"
    elif not wanted:
        state = "untested"
    elif not satisfies(installed, f"=={wanted}"):
        state = "newer" if satisfies(installed, f">{wanted}") else "older"
    return Library(asked.name, installed, wanted, asked.bounds, state)


def _others(tested: Mapping[str, str], libraries: tuple[Library, ...]) -> Iterator[Library]:
    own = {canonical(each.name) for each in libraries}
    found = (_library(Requirement(name), tested) for name in tested if name not in own)
    return (each for each in found if each.state in ("older", "newer"))


def _absent(asked: tuple[Requirement, ...]) -> Iterator[str]:
    return (each.name for each in asked if not package_version(each.name))


def _about_libraries(libraries: tuple[Library, ...], extra: str) -> Iterator[Finding]:
    if missing := [each.name for each in libraries if each.state == "missing"]:
        verb = "is" if len(missing) == 1 else "are"
        yield Finding("error", f"{', '.join(missing)} {verb} not installed", pip_line((extra,)))
    for each in libraries:
        if each.state == "unfit":
            needs = f"{each.name} {each.installed} is installed, and {each.bounds} is needed"
            yield Finding("error", needs, pip_line((), (Requirement(each.name, each.bounds),)))


def _about_runtimes(devices: Devices) -> Iterator[Finding]:
    """Distributions that overwrite each other, and one for a device that is not here."""
    flavours = providers.flavours_installed()
    if len(flavours) > 1:
        names = ", ".join(flavours)
        kept = "onnxruntime-gpu" if devices.driver and "onnxruntime-gpu" in flavours else next(iter(flavours))
        place = providers.flavour_in_place()
        yield Finding(
            "error",
            f"{names} are installed at once and overwrite each other's files; those in place are of {place}",
            f"pip uninstall --yes {' '.join(flavours)} and then pip install {kept}",
        )
    elif "onnxruntime-gpu" in flavours and not devices.driver:
        yield Finding(
            "warning", "onnxruntime-gpu is installed, and no NVIDIA driver is loaded", "ONNX models run on the CPU"
        )


def _about_plugins() -> Iterator[Finding]:
    for load in (registry.passes, registry.systems, registry.metrics):
        try:
            load()
        except (ImportError, TypeError) as error:
            yield Finding("error", str(error), "mend that distribution, or uninstall it")


# --- devices and disks --------------------------------------------------------------------------------------------


def _devices() -> Devices:
    here = machine.environment(("torch",))
    flags = machine.cpu_flags()
    return Devices(
        used=here.device,
        cpu=machine.cpu_model() or platform.processor() or platform.machine(),
        cores=machine.cores(),
        features=tuple(name for name in CPU_FEATURES if name in flags),
        fast_bf16=bool(machine.BF16_CPU_FLAGS & flags),
        driver=gpus.driver(),
        gpus=gpus.found(),
        providers=providers.available(),
        memory=machine.memory(),
        memory_available=machine.memory_available(),
    )


def _about_devices(devices: Devices) -> Iterator[Finding]:
    torch = package_version("torch")
    if devices.driver and torch.endswith("+cpu"):
        yield Finding(
            "warning",
            f"there is an NVIDIA driver, and torch {torch} is built for CPUs: nothing is done on the GPU",
            "install a CUDA build of torch, as https://pytorch.org/get-started/locally says",
        )
    elif devices.driver and not devices.gpus:
        yield Finding("warning", "an NVIDIA driver is loaded, and it shows no GPU", "see `nvidia-smi`")


def _disks(*folders: Path) -> tuple[Disk, ...]:
    """The disks of these folders, each once."""
    found: dict[int, Disk] = {}
    for folder in folders:
        there = next(each for each in (folder, *folder.parents) if each.is_dir())
        usage = shutil.disk_usage(there)
        found.setdefault(there.stat().st_dev, Disk(there, usage.free, usage.total))
    return tuple(found.values())


def _about_disks(disks: tuple[Disk, ...]) -> Iterator[Finding]:
    for disk in disks:
        if disk.free < LITTLE_DISK:
            yield Finding("warning", f"the disk of {disk.folder} has {size(disk.free)} free", "free some of it")


def _about_cache(cache: Health) -> Iterator[Finding]:
    verify = f"`olive cache verify --cache-dir {cache.folder}` reads everything"
    if not cache.writable:
        what = "cannot be written to" if cache.exists or not cache.folder.exists() else "is a file"
        yield Finding("error", f"the cache {cache.folder} {what}", "name another folder with --cache-dir")
    if damaged := cache.damaged_records + cache.incomplete_results:
        what = f"results in the cache are damaged, and their steps run again: {damaged:,}"
        yield Finding("warning", what, verify)
    if cache.quarantined:
        what = f"damaged files of the cache were moved away: {cache.quarantined:,}"
        yield Finding("note", what, "check the disk if there are more and more")
    if cache.broken_runs:
        what = f"runs on the cache were killed: {cache.broken_runs:,}"
        yield Finding("note", what, "the same command goes on from where it was")
