"""The SDK, imported once: its dependencies warn of each other when they are, and warnings are errors in these tests."""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from azure.ai.ml import Input, MLClient, Output, command
    from azure.ai.ml.constants import AssetTypes
    from azure.ai.ml.entities import Command, Data, Environment, Model
    from azure.identity import DefaultAzureCredential

__all__ = [
    "AssetTypes",
    "Command",
    "Data",
    "DefaultAzureCredential",
    "Environment",
    "Input",
    "MLClient",
    "Model",
    "Output",
    "command",
]
