"""Jobs of toys for the tests of the system."""

import time
from collections.abc import Mapping
from pathlib import Path

from olive_engine.contracts import Job
from olive_engine.models import Artifact, Manifest
from olive_engine.testing.harness import Trial, write_job
from olive_systems.azure_ml.handle import AzureMLHandle
from tests.emulators.azureml.emulator import Emulator


def scale(folder: Path, model: Artifact, **config: object) -> Path:
    """A job that multiplies a model's numbers."""
    return write_job(folder, "ToyScale", [Trial(config)], [model])  # type: ignore[arg-type]  # JSON values all


def on(folder: Path, given: Manifest, type_: str = "ToyScale", config: Mapping[str, object] | None = None) -> Path:
    """A job that reads what another one left in the workspace: nothing of it is staged here."""
    job = write_job(folder, type_, [Trial(config or {})], [])  # type: ignore[arg-type]  # JSON values all
    described = Job.model_validate_json((job / "job.json").read_bytes()).model_copy(update={"models": (given,)})
    (job / "job.json").write_text(described.model_dump_json())
    return job


def trees_up(azureml: Emulator, label: str) -> int:
    """The bytes of trees that the client sent, without the lists of the blocks that they went in."""
    sent = azureml.recorder.exchanges("PUT", "*/olive-engine/trees/*", label=label, caller="client")
    return sum(each.up for each in sent if "comp=blocklist" not in each.query)


def stored(azureml: Emulator, prefix: str = "") -> list[str]:
    """What lies in the datastore, without what every job has."""
    return azureml.storage.paths(azureml.datastores["workspaceblobstore"], f"olive-engine/{prefix}")


def put(handle: AzureMLHandle) -> AzureMLHandle:
    """Wait until the job that was submitted is in the workspace."""
    deadline = time.monotonic() + 30
    while not handle.is_submitted:
        assert handle.is_busy
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return handle
