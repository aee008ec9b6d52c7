"""Containers of this machine's Docker daemon: each job in one of its own."""

from olive_systems.docker.options import DockerSystemConfig
from olive_systems.docker.system import Docker

__all__ = ["Docker", "DockerSystemConfig"]
