"""Azure ML: jobs on the computes of a workspace, each one command job."""

from olive_systems.azure_ml.system import AzureML

__all__ = ["AzureML"]
