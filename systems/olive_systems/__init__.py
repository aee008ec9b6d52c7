"""The built-in systems, one module each."""

from olive_engine.contracts import System
from olive_systems.azure_ml import AzureML
from olive_systems.in_process import InProcess
from olive_systems.local import LocalSystem

SYSTEMS: tuple[type[System], ...] = (LocalSystem, InProcess, AzureML)
