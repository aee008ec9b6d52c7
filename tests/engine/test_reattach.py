"""An engine that is killed while its jobs run elsewhere: the next run takes them over instead of beginning again."""

import json
import subprocess
import sys
import time

import pytest

from olive_engine import run
from olive_engine.digests import file_digest
from olive_engine.errors import Interrupted, PassFailed
from olive_engine.models import FileEntry, Tree
from olive_engine.reporting.events import StepLog, StepStarted, Warned
from olive_engine.reporting.recorder import Recorder
from olive_engine.store import Store
from tests.engine.conftest import tree_bytes

DRIVER = "from olive_engine import load_workflow, run; run(load_workflow('workflow.json'))"
GOES_ON = "an earlier run was ended while it ran there: it goes on"


@pytest.fixture
def jobs(project):
    """The folder of the jobs elsewhere."""
    (project / "elsewhere").mkdir()
    return project / "elsewhere" / "jobs"


@pytest.fixture
def killed(project, jobs):
    """Start a workflow in an engine of its own, and kill that while the slow pass runs elsewhere."""

    def killed(passes, seconds, waits_for="scale", **more):
        tree = {
            "input_model": {"type": "HfModel", "model_path": "base"},
            "systems": {
                "away": {"type": "DetachedSystem", "root": str(project / "elsewhere")},
                "here": {"type": "LocalSystem"},
            },
            "host": "away",
            "passes": passes(seconds),
            **more,
        }
        (project / "workflow.json").write_text(json.dumps(tree))
        engine = subprocess.Popen([sys.executable, "-c", DRIVER], cwd=project)
        deadline = time.monotonic() + 60
        while not slow(jobs, waits_for) and time.monotonic() < deadline:
            time.sleep(0.02)
        engine.kill()
        engine.wait()
        return tree

    return killed


def slow(jobs, step=""):
    """The jobs that were submitted and are no probes; those of one step."""
    described = {path.parent: json.loads((path.parent / "job.json").read_text()) for path in jobs.glob("*/pid")}
    return [
        folder
        for folder, job in described.items()
        if job["kind"] == "pass" and job["items"][0]["step"].startswith(step)
    ]


def chain(seconds):
    return {"scale": {"type": "ToyScale", "seconds": seconds}, "again": {"type": "ToyScale", "factor": 3.0}}


def test_a_job_that_still_runs_is_taken_over(killed, make, project, jobs):
    tree = killed(chain, 2.0)
    (first,) = slow(jobs)
    recorder = Recorder()
    result = run(make(tree["passes"], systems=tree["systems"], host="away"), recorder)
    assert result.executed == ("scale", "again")
    started = {event.step: event.reasons for event in recorder.events if isinstance(event, StepStarted)}
    assert started["scale"] == (GOES_ON,)
    assert len(slow(jobs)) == 2  # that one, and the job of `again`
    assert first in slow(jobs)
    assert (project / "output" / "model" / "numbers.json").read_text() == "[6.0, 12.0, 18.0]"
    assert list((project / ".olive-cache" / "jobs").iterdir()) == []


def test_a_job_whose_step_has_a_twin_is_taken_over_for_both(killed, make, jobs):
    def twins(seconds):
        return {
            "scale": {"type": "ToyScale", "seconds": seconds},
            "twin": {"type": "ToyScale", "seconds": seconds, "input": "input_model"},
        }

    tree = killed(twins, 2.0)
    result = run(make(tree["passes"], systems=tree["systems"], host="away"))
    assert len(slow(jobs)) == 1
    assert sorted(result.executed + result.reused) == ["scale", "twin"]


def test_a_job_that_has_ended_meanwhile_is_collected(killed, make, jobs):
    tree = killed(chain, 0.5)
    (first,) = slow(jobs)
    deadline = time.monotonic() + 30
    while not (first / "result.json").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    result = run(make(tree["passes"], systems=tree["systems"], host="away"))
    assert result.executed == ("scale", "again")
    assert len(slow(jobs)) == 2


def test_a_job_that_has_died_meanwhile_has_failed_and_is_not_taken_over_again(killed, make, jobs):
    tree = killed(chain, 60.0)
    (first,) = slow(jobs)
    subprocess.run(["kill", "-9", (first / "pid").read_text()], check=True)
    tree["passes"]["scale"]["seconds"] = 60.0
    workflow = make(tree["passes"], systems=tree["systems"], host="away")
    with pytest.raises(PassFailed, match="its worker has gone"):
        run(workflow)
    assert len(slow(jobs)) == 1
    assert list((workflow.base_dir / ".olive-cache" / "jobs").glob("*/submitted")) == []


def test_a_changed_pass_begins_anew(killed, make, project, jobs):
    tree = killed(chain, 1.0)
    passes = {**tree["passes"], "scale": {"type": "ToyScale", "factor": 5.0}}
    result = run(make(passes, systems=tree["systems"], host="away"))
    assert result.executed == ("scale", "again")
    assert (project / "output" / "model" / "numbers.json").read_text() == "[15.0, 30.0, 45.0]"


def two(seconds):
    return {
        "first": {"type": "ToyScale", "host": "here"},
        "slow": {"type": "ToyScale", "factor": 3.0, "seconds": seconds},
    }


def test_a_job_whose_input_has_other_bytes_now_is_not_taken_over(killed, make, project, jobs):
    tree = killed(two, 3.0, waits_for="slow")
    store = Store(project / ".olive-cache")
    (record,) = [record for _, record in store.records.each() if record.step == "first"]
    store.records.save(recomputed(store, record, project / "new", "[100.0]"))
    run(make(tree["passes"], systems=tree["systems"], host="away"))
    assert (project / "output" / "model" / "numbers.json").read_text() == "[300.0]"


def recomputed(store, record, folder, numbers):
    """The record with other numbers under the same key, as another GPU may give them."""
    folder.mkdir()
    tree = record.output.parts["model_path"]
    for name, entry in tree.files.items():
        store.blobs.copy(entry, folder / name)
    (folder / "numbers.json").write_text(numbers)
    files = {
        name: FileEntry(sha256=file_digest(folder / name), size=(folder / name).stat().st_size) for name in tree.files
    }
    parts = {"model_path": store.ingest(folder, Tree(files=files))}
    return record.model_copy(update={"output": record.output.model_copy(update={"parts": parts})})


def test_a_job_that_the_run_has_no_use_for_is_told_at_the_end(killed, make, jobs):
    tree = killed(chain, 20.0)
    passes = {**tree["passes"], "scale": {"type": "ToyScale", "factor": 5.0}}
    recorder = Recorder()
    run(make(passes, systems=tree["systems"], host="away"), recorder)
    warned = [event.message for event in recorder.events if isinstance(event, Warned)]
    assert warned[-1] == ("away: a job of an earlier run (scale) may still run: its system cannot stop jobs")


def test_a_left_job_that_goes_elsewhere_now_gets_a_warning_and_a_state_of_its_own(killed, make, jobs):
    tree = killed(chain, 20.0)
    recorder = Recorder()
    passes = {**tree["passes"], "scale": {"type": "ToyScale", "seconds": 20.0}}
    here = {"here": {"type": "LocalSystem"}}

    class Impatient(Recorder):
        def on_event(self, event):
            super().on_event(event)
            if isinstance(event, StepStarted):
                raise KeyboardInterrupt

    recorder = Impatient()
    with pytest.raises(Interrupted):
        run(make(passes, systems=here, host="here"), recorder)
    assert [event.message for event in recorder.events if isinstance(event, StepLog)] == [
        "begun anew; a job of an earlier run may still run: "
        "away (DetachedSystem) is no system of this workflow any more"
    ]


def test_the_bytes_are_those_of_an_undisturbed_run(killed, make, project):
    training = lambda seconds: {**chain(seconds), "tune": {"type": "ToyTrain"}, "merge": {"type": "ToyMerge"}}  # noqa: E731 - a value
    tree = killed(training, 1.0)
    run(make(tree["passes"], systems=tree["systems"], host="away"))
    run(make(tree["passes"], cache_dir="other", output_dir="undisturbed"))
    assert tree_bytes(project / "output" / "model") == tree_bytes(project / "undisturbed" / "model")
