"""How the jobs of a system on this machine share its cores and its GPUs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import Field

from olive_engine import machine
from olive_engine.contracts import Accelerator, Resources
from olive_engine.errors import SystemUnavailable
from olive_engine.gpus import VISIBLE, Gpu
from olive_engine.options import Options

DEFAULT_WORKERS = 2


class PlacesConfig(Options):
    """Options of every system that starts its workers on this machine."""

    accelerators: tuple[Accelerator, ...] = Field(
        default=(), description="The device to use, and how ONNX models run on it; default: what is found here."
    )
    workers: int | None = Field(
        default=None,
        ge=1,
        description="Jobs that run at once; default: as many as the GPUs, each having `gpus_per_job` of them; without "
        "a GPU 2, or 1 on a single core, and in a search one for each core, 8 at the most. More than that share GPUs.",
    )
    threads: int | None = Field(
        default=None,
        ge=1,
        description="CPU threads of each job; default: the cores divided by `workers`. Results are bit-identical for "
        "equal threads.",
    )
    gpus: tuple[int, ...] | None = Field(
        default=None,
        min_length=1,
        description="The GPUs to use, by number as `nvidia-smi` counts them, or within CUDA_VISIBLE_DEVICES where that "
        "is set; default: all.",
    )
    gpus_per_job: int = Field(
        default=1,
        ge=1,
        description="GPUs that each job has for itself, within this system and one run: two systems, or two runs on "
        "one machine, do not know of each other. Where both are to be used at once, give them different `gpus`.",
    )


@dataclass(frozen=True, slots=True)
class Places:
    """What jobs get."""

    workers: int
    """How many run at once."""
    cpu_workers: int
    """How many more, of those that need no accelerator; 0: these count like any other."""
    resources: Resources
    """Of each job."""
    groups: tuple[tuple[str, ...], ...] = ()
    """The GPUs that go together, each as `VISIBLE` calls it; none: nothing is bound to any."""
    lacking: str = ""
    """Why jobs cannot have what the options say; empty: they can."""

    def binding(self, seat: int) -> dict[str, str]:
        """What binds the worker in a seat to its GPUs."""
        return {VISIBLE: ",".join(self.groups[seat % len(self.groups)])} if self.groups else {}

    def require(self, name: str) -> None:
        """Refuse a system that lacks what its options say.

        Raises:
            SystemUnavailable: it does.
        """
        if self.lacking:
            raise SystemUnavailable(f"{name}: {self.lacking}")


NO_GPU: Mapping[str, str] = {VISIBLE: ""}
"""What keeps a worker away from GPUs."""


def places(config: PlacesConfig, own: Mapping[str, str]) -> Places:
    """Divide the machine.

    Args:
        config: what the system's options say.
        own: the environment variables that it sets for its workers; they may restrict the GPUs.
    """
    first = config.accelerators[0] if config.accelerators else Accelerator(device=machine.environment(()).device)
    gpus = _found(own) if first.device == "gpu" else ()
    chosen, lacking = _chosen(config, gpus) if first.device == "gpu" else ((), _idle(config))
    size = config.gpus_per_job
    groups = tuple(tuple(gpu.id for gpu in chosen[at : at + size]) for at in range(0, len(chosen) - size + 1, size))
    if first.device == "gpu":
        workers = config.workers or max(1, len(groups))
        cpu_workers = min(DEFAULT_WORKERS, machine.cores())
    else:
        workers, cpu_workers = config.workers or min(DEFAULT_WORKERS, machine.cores()), 0
    threads = config.threads or max(1, machine.cores() // workers)
    resources = Resources(threads=threads, device=first.device, execution_providers=first.execution_providers)
    if len(groups) == 1 and groups[0] == tuple(gpu.id for gpu in gpus):
        groups = ()  # there is nothing to keep from anybody
    return Places(workers, cpu_workers, resources, groups, lacking)


def _found(own: Mapping[str, str]) -> Sequence[Gpu]:
    from olive_engine import gpus

    return gpus.found(own.get(VISIBLE))


def _chosen(config: PlacesConfig, gpus: Sequence[Gpu]) -> tuple[Sequence[Gpu], str]:
    """The GPUs to use, and what is wrong with the choice."""
    there = f"{len(gpus)} of them {'is' if len(gpus) == 1 else 'are'} here"
    if config.gpus is not None:
        missing = [number for number in config.gpus if not 0 <= number < len(gpus)]
        if missing:
            return (), f"`gpus` names GPU {missing[0]}, and {there} (they count from 0)"
        if len(set(config.gpus)) < len(config.gpus):
            return (), "`gpus` names a GPU twice"
        gpus = [gpus[number] for number in config.gpus]
    if config.gpus_per_job > 1 and len(gpus) < config.gpus_per_job:
        return (), f"a job takes {config.gpus_per_job} GPUs (`gpus_per_job`), and {len(gpus)} can be used"
    return gpus, ""


def _idle(config: PlacesConfig) -> str:
    if config.gpus is None and config.gpus_per_job == 1:
        return ""
    return "`gpus` and `gpus_per_job` say how GPUs are shared, and its accelerator is none: write {device: gpu}"
