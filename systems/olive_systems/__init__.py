"""The built-in systems, a module or a package each."""

from olive_engine.contracts import System
from olive_systems.azure_ml import AzureML
from olive_systems.docker import Docker
from olive_systems.in_process import InProcess
from olive_systems.local import LocalSystem
from olive_systems.python_environment import PythonEnvironment

SYSTEMS: tuple[type[System], ...] = (LocalSystem, InProcess, PythonEnvironment, Docker, AzureML)
