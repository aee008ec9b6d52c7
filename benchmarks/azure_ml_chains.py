"""Chains of passes on Azure ML: results that stay in the datastore, and the round trip through the client."""

# The tests have no py.typed, nor a package at their top, so mypy takes what is imported of them as untyped.
# mypy: disable-error-code="import-untyped"

from __future__ import annotations

import io
import json
import shutil
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Self

from benchmarks.azure_ml_traffic import Chain, measured
from olive_engine import api
from olive_engine.config.workflow import HfModelConfig, PassEntry, SystemEntry, Workflow
from olive_engine.reporting.events import RunEvent, StepStarted
from olive_engine.reporting.reporter import Reporter
from olive_engine.testing.toys import ToyScaleConfig, build_toy_model
from olive_systems.azure_ml.options import AzureMLConfig
from olive_systems.local import LocalSystemConfig

if TYPE_CHECKING:
    from tests.emulators.azureml.emulator import Emulator
    from tests.emulators.azureml.recording import Recorder

BALLAST = "ballast"
"""The file that makes a toy model as large as it is to be."""
HERE, THERE = "here", "there"
COMPUTE = "cpu-cluster"
OUTPUT = "pipeline_output"
IMAGE = "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04"
CONDA = {"name": "olive", "dependencies": ["python=3.11", {"pip": ["packaging"]}]}
RUNNER = '''\
"""What ToyScale does, on a compute that has nothing of the engine."""

import json
import random
import shutil
import sys
from pathlib import Path

model, _, described, out = map(Path, sys.argv[1:])
options = json.loads(described.read_text())
shutil.copytree(model, out / "output_model", ignore=shutil.ignore_patterns("ballast"))
numbers = out / "output_model" / "numbers.json"
numbers.write_text(json.dumps([number * options["factor"] for number in json.loads(numbers.read_text())]))
piece = random.Random(options["factor"]).randbytes(min(options["ballast"], 1 << 20))
with (out / "output_model" / "ballast").open("wb") as ballast:
    for start in range(0, options["ballast"], len(piece)):
        ballast.write(piece[: options["ballast"] - start])
(out / "output_model_config.json").write_text(json.dumps({"type": "HfModel", "model_path": "output_model"}))
'''


def build_base(folder: Path, size: int) -> Path:
    """A toy model of about `size` bytes."""
    build_toy_model(folder)
    (folder / BALLAST).write_bytes(bytes(size))
    return folder


def run_chain(
    emulator: Emulator, project: Path, passes: Sequence[ToyScaleConfig], label: str, *, every_second_here: bool = False
) -> tuple[Chain, Path]:
    """Run a workflow of the passes, one after another, on one AzureML system.

    Args:
        emulator: the cloud.
        project: has the model, as ``base``; cache and output are made in it.
        passes: the options of each.
        label: what the exchanges are recorded under.
        every_second_here: the second, the fourth and so on run on this machine.

    Returns:
        What it needed, and the folder of the last model.
    """
    names = [f"pass{index}" for index in range(len(passes))]
    hosts = [HERE if every_second_here and index % 2 else THERE for index in range(len(passes))]
    client = {
        "subscription_id": emulator.subscription_id,
        "resource_group": emulator.resource_group,
        "workspace_name": emulator.workspace_name,
    }
    there = AzureMLConfig.model_validate({"azureml_client": client, "aml_compute": COMPUTE})
    workflow = Workflow(
        input_model=HfModelConfig(model_path="base"),
        passes={
            name: PassEntry(type="ToyScale", options=options, host=host)
            for name, options, host in zip(names, passes, hosts, strict=True)
        },
        systems={
            THERE: SystemEntry(type="AzureML", options=there),
            HERE: SystemEntry(type="LocalSystem", options=LocalSystemConfig(workers=1, threads=1)),
        },
        base_dir=project,
    )
    with _Labels(emulator.recorder, label) as labels:
        began = time.perf_counter()
        api.run(workflow, labels)
        ended = time.perf_counter()
    chain = measured(emulator.recorder, names, label, ended - (labels.first_step or began))
    return chain, project / "output" / "model"


def run_round_trip(
    emulator: Emulator, project: Path, passes: Sequence[ToyScaleConfig], label: str
) -> tuple[Chain, Path]:
    """Run the same passes as Olive's AzureMLSystem did: each result comes to the client, which uploads it for the next.

    For each pass the SDK gets a command with the model's local folder and two JSON files (the model's and the pass's
    description) as inputs, a snapshot with a runner script and the workflow, and an environment of image and conda
    file; then ``create_or_update``, ``stream``, ``download``, and a copy into the client's cache. What the SDK spares
    by itself is spared: a folder whose content it has uploaded before, a snapshot that is there. Olive wrapped each
    command into a pipeline job, which takes requests that are left out here; its job imported torch, and this one has
    a script of standard library.

    Args:
        emulator: the cloud.
        project: has the model, as ``base``; models are kept in its folder ``round-trip``.
        passes: the options of each.
        label: what the exchanges are recorded under.
    """
    from tests.emulators.azureml.sdk import Environment, Input, Output, command

    kept = project / "round-trip"
    _write_snapshot(kept / "code")
    with _quiet(), emulator.recorder.label(label):
        client, model = emulator.client(), project / "base"
        began = time.perf_counter()
        for index, options in enumerate(passes):
            step = kept / f"{label}-{index}"
            step.mkdir()
            (step / "model_config.json").write_text(json.dumps({"type": "HfModel", "model_path": None}))
            (step / "pass_config.json").write_text(json.dumps(options.model_dump()))
            inputs = {
                "model_path": Input(type="uri_folder", path=str(model)),
                "model_config": Input(type="uri_file", path=str(step / "model_config.json")),
                "pass_config": Input(type="uri_file", path=str(step / "pass_config.json")),
            }
            words = " ".join(f"${{{{inputs.{name}}}}}" for name in inputs)
            job = command(
                code=str(kept / "code"),
                command=f"python runner.py {words} ${{{{outputs.{OUTPUT}}}}}",
                inputs=inputs,
                outputs={OUTPUT: Output(type="uri_folder")},
                environment=Environment(image=IMAGE, conda_file=CONDA),
                compute=COMPUTE,
                experiment_name="olive-pass",
                tags={"Pass": "ToyScale"},
            )
            with emulator.recorder.label(f"{label}/pass{index}"):
                name = str(client.jobs.create_or_update(job).name)
                client.jobs.stream(name)
                client.jobs.download(name, download_path=step / "download", output_name=OUTPUT)
            model = shutil.copytree(step / "download/named-outputs" / OUTPUT / "output_model", step / "model")
            shutil.rmtree(step / "download")
        wall = time.perf_counter() - began
    names = [f"pass{index}" for index in range(len(passes))]
    return measured(emulator.recorder, names, label, wall), model


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the SDK prints and warns of by itself from the terminal."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _write_snapshot(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "runner.py").write_text(RUNNER)
    (folder / "olive_config.json").write_text(json.dumps({"passes": {"scale": {"type": "ToyScale"}}}))


class _Labels(Reporter):
    """Gives the exchanges from a step's beginning to the next one's the label of the step."""

    def __init__(self, recorder: Recorder, label: str) -> None:
        self.first_step = 0.0
        """When it began, in seconds of the performance counter; 0: none did."""
        self._recorder = recorder
        self._label = label
        self._entered = ExitStack()

    def __enter__(self) -> Self:
        self._entered.enter_context(self._recorder.label(self._label))
        return self

    def __exit__(self, *_: object) -> None:
        self._entered.close()

    def on_event(self, event: RunEvent) -> None:
        if isinstance(event, StepStarted):
            self.first_step = self.first_step or time.perf_counter()
            self._entered.enter_context(self._recorder.label(f"{self._label}/{event.step}"))
