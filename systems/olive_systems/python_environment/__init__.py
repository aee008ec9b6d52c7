"""Another Python environment of this machine: one of the user's, or one that the engine makes and keeps."""

from olive_systems.python_environment.system import PythonEnvironment, PythonEnvironmentConfig

__all__ = ["PythonEnvironment", "PythonEnvironmentConfig"]
