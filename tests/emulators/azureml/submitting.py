"""Small command jobs for the tests of the emulator."""

from __future__ import annotations

from typing import Any

from tests.emulators.azureml.sdk import Command, Environment, command

IMAGE = "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04"
CONDA = {"name": "e", "dependencies": ["python>=3.11", {"pip": ["packaging"]}]}


def shell(name: str, text: str, **more: Any) -> Command:
    """A job that runs a line of shell on the cluster."""
    given: dict[str, Any] = {"compute": "cpu-cluster", "environment": environment(), **more}
    return command(name=name, command=text, **given)


def environment(**conda: object) -> Environment:
    """An anonymous environment, with other entries in its conda file where they are given."""
    return Environment(image=IMAGE, conda_file={**CONDA, **conda})
