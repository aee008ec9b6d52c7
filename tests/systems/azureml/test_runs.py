"""Whole runs: workflows of toys on Azure ML alone, along with this machine, and taken over from a dead engine."""

import hashlib
import json
import subprocess
import sys
import time

import pytest

from olive_engine import run
from olive_engine.config.draft import parse_tree
from olive_engine.reporting.events import StepProgress, StepStarted
from olive_engine.reporting.recorder import Recorder
from olive_engine.store import Store
from tests.emulators.azureml.faults import Refuse
from tests.engine.conftest import TUNE, tree_bytes

SECRET = "canary-7f3a91c2d4e5"
DRIVER = "from olive_engine import load_workflow, run; run(load_workflow('workflow.json'))"


@pytest.fixture
def tree(options):
    """A workflow whose steps run in the cloud if nothing else is said."""

    def tree(passes=TUNE, **more):
        systems = {"cloud": {"type": "AzureML", **options, **more.pop("cloud", {})}}
        model = {"type": "HfModel", "model_path": "base"}
        return {"input_model": model, "systems": systems, "host": "cloud", "passes": passes, **more}

    return tree


@pytest.mark.slow
def test_a_chain_in_the_cloud_and_one_that_alternates_give_the_local_bytes(azureml, tree, project):
    here = {"type": "LocalSystem", "workers": 1, "threads": 1}

    def made(name, hosts):
        passes = {step: {**entry, "host": host} for (step, entry), host in zip(TUNE.items(), hosts, strict=True)}
        workflow = tree(passes, cache_dir=f"{name}-cache", output_dir=name)
        workflow["systems"]["here"] = here
        recorder = Recorder()
        with azureml.recorder.label(name):
            executed = run(parse_tree(workflow, project).raise_if_wrong(), recorder).executed
        assert executed == ("scale", "tune", "merge")
        return tree_bytes(project / name / "model"), recorder.events

    local, _ = made("local", ("here", "here", "here"))
    alternating, _ = made("alternating", ("cloud", "here", "cloud"))
    cloud, events = made("cloud", ("cloud", "cloud", "cloud"))
    assert alternating == cloud == local
    assert [event.step for event in events if isinstance(event, StepProgress)][-1] == "tune"
    base = sum(path.stat().st_size for path in (project / "base").iterdir())
    trees = [azureml.recorder.traffic("PUT", "*/olive-engine/trees/*", label=name).up for name in ("local", "cloud")]
    assert trees == [0, 0]  # the alternating run had brought the base there already
    records = [record for _, record in Store(project / "alternating-cache").records.each() if record]
    (adapter,) = [record.output.parts["adapter_path"] for record in records if record.step == "tune"]
    up = azureml.recorder.traffic("PUT", "*/olive-engine/trees/*", label="alternating").up
    assert up == base + adapter.size  # what `scale` made there came here for `tune`, and did not go back for `merge`
    brought = azureml.recorder.traffic("GET", "*/olive-engine/results/*/outputs/*", label="cloud").down
    assert brought == sum(map(len, cloud.values()))  # the last model, for output_dir
    assert azureml.recorder.refused_hosts == []


@pytest.mark.slow
def test_a_killed_engines_job_is_taken_over(azureml, tree, project):
    passes = {"scale": {"type": "ToyScale", "seconds": 2.0}, "again": {"type": "ToyScale", "factor": 3.0}}
    described = tree(passes)
    (project / "workflow.json").write_text(json.dumps(described))
    engine = subprocess.Popen([sys.executable, "-W", "ignore", "-c", DRIVER], cwd=project)
    deadline = time.monotonic() + 60
    while len(azureml.recorder.submitted()) < 2 and engine.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)  # the probe, and the slow pass
    engine.kill()
    engine.wait()
    assert len(azureml.recorder.submitted()) == 2
    recorder = Recorder()
    result = run(parse_tree(described, project).raise_if_wrong(), recorder)
    assert result.executed == ("scale", "again")
    started = {event.step: event.reasons for event in recorder.events if isinstance(event, StepStarted)}
    assert started["scale"] == ("an earlier run was ended while it ran there: it goes on",)
    assert len(azureml.recorder.submitted()) == 3
    assert (project / "output/model/numbers.json").read_text() == "[6.0, 12.0, 18.0]"


def test_no_secret_goes_to_the_service(azureml, tree, project, monkeypatch):
    """The hub's token comes from the key vault, in the job alone; nothing of this machine's secrets is sent."""
    azureml.vaults["safe"] = {"hf-token": SECRET}
    monkeypatch.setenv("HF_TOKEN", f"{SECRET}-here")
    monkeypatch.setenv("OTHER_TOKEN", f"{SECRET}-other")
    subprocess.run(["git", "init", "--quiet"], check=True)
    subprocess.run(["git", "remote", "add", "origin", f"https://user:{SECRET}@example.com/repo.git"], check=True)
    passes = {
        "use": {"type": "ToySecret", "variable": "HF_TOKEN", "sha256": hashlib.sha256(SECRET.encode()).hexdigest()}
    }
    described = tree(passes, cloud={"hf_token": True})
    described["systems"]["cloud"]["azureml_client"]["keyvault_name"] = "safe"
    result = run(parse_tree(described, project).raise_if_wrong())
    assert result.executed == ("use",)
    assert all(SECRET.encode() not in body for _, body in azureml.recorder.bodies())
    names = azureml.recorder.submitted()
    assert len(names) == 2
    assert "printed: ****" in azureml.log(names[-1])
    assert all(SECRET not in azureml.log(name) for name in names)
    for container in azureml.datastores.values():
        for path in azureml.storage.paths(container):
            assert SECRET.encode() not in azureml.storage.read(container, path), path
    files = [path for path in (project / ".olive-cache").rglob("*") if path.is_file()]
    assert all(SECRET.encode() not in path.read_bytes() for path in files)
    variables = azureml.jobs[names[-1]].properties["environmentVariables"]
    assert variables == {"KEYVAULT_NAME": "safe"}
    assert "https://user" not in json.dumps(azureml.jobs[names[-1]].properties)


def test_a_vault_that_gives_nothing_fails_in_words(azureml, tree, project):
    """What is not there is another matter than what may not be read."""
    from olive_engine.errors import SystemUnavailable

    azureml.vaults["safe"] = {}
    described = tree({"scale": {"type": "ToyScale"}}, cloud={"hf_token": True})
    described["systems"]["cloud"]["azureml_client"]["keyvault_name"] = "safe"
    said = r"the key vault safe has no secret hf-token; put the token there: az keyvault secret set --vault-name safe"
    with pytest.raises(SystemUnavailable, match=said):
        run(parse_tree(described, project).raise_if_wrong())
    azureml.vaults["safe"] = {"hf-token": SECRET}
    azureml.faults.add("GET", "safe.vault.azure.net/*", Refuse(403, "Forbidden", "No."))
    said = r"cannot be read \(HTTP Error 403: .*\); give the compute's identity the right to get secrets there"
    with pytest.raises(SystemUnavailable, match=said):
        run(parse_tree(described, project).raise_if_wrong())
