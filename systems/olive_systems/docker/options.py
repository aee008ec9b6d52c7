"""What may be written of a Docker system, and what its jobs get by that."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from olive_engine import machine
from olive_engine.contracts import Accelerator, Resources
from olive_engine.options import Options
from olive_systems.variables import Text, checked, refused

DEFAULT_WORKERS = 2
_OF_THE_COMMAND = ("PATH", "HOME", "USER")
"""Variables that the docker command reads, beside its own."""
_HOST = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[a-fA-F0-9:]+\])"
_PART = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
_IMAGE = re.compile(
    rf"(?:{_HOST}(?::\d+)?/)?{_PART}(?:/{_PART})*(?::\w[\w.-]{{0,127}})?(?:@[A-Za-z][\w+.-]*:[0-9a-fA-F]{{32,}})?",
    re.ASCII,
)
"""As Docker reads it: a registry, a name, a tag, a digest."""


def _image(text: str) -> str:
    if not _IMAGE.fullmatch(text):
        raise ValueError(
            f"expected the name of an image such as registry.example/olive-engine:cpu, in lower case and without "
            f"blanks, found {text!r}"
        )
    return text


def _not_the_commands(name: str) -> str:
    if name in _OF_THE_COMMAND or name.startswith(("DOCKER_", "LD_")):
        raise ValueError(f"{name} cannot be set here, for the docker command reads it too; set it in the image")
    return name


def _size(text: str) -> str:
    if not re.fullmatch(r"\d+(\.\d+)? ?([bkmgt](i?b)?)?", text.lower()):
        raise ValueError(f"expected a size such as 8g or 512m, found {text!r}")
    return text


Size = Annotated[str, AfterValidator(_size)]
"""Bytes, or a number with a unit of Docker's."""


ContainerVariables = dict[
    Annotated[
        str, AfterValidator(checked(refused("install the packages in the image"))), AfterValidator(_not_the_commands)
    ],
    Text,
]


class DockerSystemConfig(Options):
    """Options of a Docker system."""

    image_name: Annotated[str, AfterValidator(_image)] = Field(
        min_length=1,
        description="The image, with Python 3.11 or later and this version of olive-engine; pulled if it is missing.",
        examples=["registry.example/olive-engine:cpu"],
    )
    accelerators: tuple[Accelerator, ...] = Field(
        default=(), description="The devices to use; default: a GPU where `gpus` is given, else the CPU."
    )
    workers: int | None = Field(
        default=None,
        ge=1,
        description="Containers that run at once; default: 2, or 1 on a single core or with a GPU.",
    )
    threads: int | None = Field(
        default=None,
        ge=1,
        description="CPU threads of each job; default: `cpus`, or the cores divided by `workers`. Results are "
        "bit-identical for equal threads.",
    )
    cpus: float | None = Field(default=None, gt=0, description="The cores that a container may use; default: no limit.")
    memory: Size | None = Field(
        default=None,
        description="The memory that a container may use, in bytes or with a unit; default: no limit.",
        examples=["8g"],
    )
    shm_size: Size | None = Field(
        default=None,
        description="The size of a container's /dev/shm, in bytes or with a unit; default: Docker's own, 64m.",
        examples=["8g"],
    )
    gpus: Literal["all"] | Annotated[int, Field(ge=1)] | Annotated[tuple[str, ...], Field(min_length=1)] | None = Field(
        default=None,
        description="The GPUs of a container: all, how many, or which, by number or id; default: all with an "
        "accelerator that is one.",
        examples=["all", ["0"]],
    )
    network: str | None = Field(
        default=None,
        description="The network of a container, by name; `none` for jobs that need none; default: Docker's own.",
    )
    python: str = Field(
        default="python",
        min_length=1,
        description="The Python interpreter in the image: a name that is found there, or a path.",
    )
    environment_variables: ContainerVariables = Field(default={}, description="Set in the containers.")

    @model_validator(mode="after")
    def _one_device(self) -> DockerSystemConfig:
        devices = {accelerator.device for accelerator in self.accelerators}
        if "npu" in devices:
            raise ValueError("a container is given CPUs and GPUs; the device npu is not available in it")
        if self.gpus and devices and "gpu" not in devices:
            raise ValueError("gpus is given, and accelerators names no gpu; leave one of them out")
        return self


def shares(options: DockerSystemConfig) -> tuple[int, Resources]:
    """How many jobs run at once, and what each gets."""
    first = next(iter(options.accelerators), None)
    device = first.device if first else "gpu" if options.gpus else "cpu"
    workers = options.workers or (1 if device == "gpu" else min(DEFAULT_WORKERS, machine.cores()))
    cores = int(options.cpus) if options.cpus is not None else machine.cores() // workers
    providers = first.execution_providers if first else ()
    return workers, Resources(threads=options.threads or max(1, cores), device=device, execution_providers=providers)


def gpu_request(wanted: str | int | tuple[str, ...] | None) -> str:
    """The value of ``docker run --gpus``, a line of CSV, in which a list of devices is one field."""
    return f'"device={",".join(wanted)}"' if isinstance(wanted, tuple) else str(wanted or "all")
