"""Workflows with a Docker system among theirs: the same bytes, no secret anywhere, jobs taken over."""

import json
import subprocess
import sys
import time

import pytest

from olive_engine import plan, run
from olive_engine.reporting.events import SystemSaid
from olive_engine.reporting.recorder import Recorder
from tests.engine.conftest import TUNE, make, project, tree_bytes  # noqa: F401 - fixtures
from tests.systems.docker.conftest import IMAGE

CANARY = "canary-b61d02"
DRIVER = "from olive_engine import load_workflow, run; run(load_workflow('workflow.json'))"
BOX = {"box": {"type": "Docker", "image_name": IMAGE, "threads": 1}}


@pytest.mark.parametrize("there", [("tune",), ("scale", "merge")], ids="+".join)
def test_passes_in_containers_give_the_bytes_of_the_local_run(make, project, fake, there):  # noqa: F811 - fixtures
    run(make(cache_dir="local-cache", output_dir="local"))
    passes = {name: {**entry, "host": "box"} if name in there else entry for name, entry in TUNE.items()}
    workflow = make(passes, systems=BOX)
    assert run(workflow).executed == ("scale", "tune", "merge")
    assert tree_bytes(project / "output" / "model") == tree_bytes(project / "local" / "model")
    assert len(fake.calls("run")) == 1 + len(there)  # the probe, and a job for each
    assert plan(workflow).to_run == ()
    assert fake.containers() == []
    assert list((project / ".olive-cache" / "jobs").iterdir()) == []


def test_an_image_is_pulled_once_and_the_user_told(make, fake):  # noqa: F811 - fixtures
    fake.image("registry.example/other:2", id_="sha256:22", pullable=True)
    systems = {"box": {"type": "Docker", "image_name": "registry.example/other:2"}}
    workflow = make({"scale": {"type": "ToyScale"}}, systems=systems, host="box")
    assert plan(workflow).steps["scale"].reasons == ("environment not probed yet",)
    recorder = Recorder()
    run(workflow, recorder)
    said = [(event.system, event.message) for event in recorder.events if isinstance(event, SystemSaid)]
    assert said == [("box", "the image registry.example/other:2 is not here: pulling it")]
    assert len(fake.calls("pull")) == 1


def test_a_secret_for_a_container_is_kept_nowhere(make, project, fake, monkeypatch):  # noqa: F811 - fixtures
    monkeypatch.setenv("SERVICE_TOKEN", CANARY)
    box = {"box": {**BOX["box"], "environment_variables": {"SERVICE": "${env:SERVICE_TOKEN}"}}}
    recorder = Recorder()
    assert run(make(TUNE, systems=box, host="box"), recorder).executed == ("scale", "tune", "merge")
    assert all("--env=SERVICE" in argv for argv in fake.calls("run"))
    files = [path for folder in (project, fake.root) for path in folder.rglob("*") if path.is_file()]
    assert [path for path in files if CANARY.encode() in path.read_bytes()] == []
    assert CANARY not in repr(recorder.events)


def test_a_job_whose_engine_was_killed_is_taken_over(make, project, fake):  # noqa: F811 - fixtures
    passes = {"scale": {"type": "ToyScale", "seconds": 2.0}, "again": {"type": "ToyScale", "factor": 3.0}}
    tree = {
        "input_model": {"type": "HfModel", "model_path": "base"},
        "systems": BOX,
        "host": "box",
        "passes": passes,
    }
    (project / "workflow.json").write_text(json.dumps(tree))
    engine = subprocess.Popen([sys.executable, "-c", DRIVER], cwd=project)
    deadline = time.monotonic() + 60
    while len(fake.calls("wait")) < 2 and time.monotonic() < deadline:  # the probe's, and that of the first job
        time.sleep(0.02)
    engine.kill()
    engine.wait()
    assert len(fake.containers()) == 1
    assert run(make(passes, systems=BOX, host="box")).executed == ("scale", "again")
    assert len(fake.calls("run")) == 3  # probe, scale, again
    assert (project / "output" / "model" / "numbers.json").read_text() == "[6.0, 12.0, 18.0]"
    assert fake.containers() == []
