"""Jobs are submitted by threads of their own: nothing else waits, an upload can be stopped, nothing goes twice."""

import sys
import time
from threading import Thread

import pytest

from olive_engine import run
from olive_engine.config.draft import parse_tree
from olive_engine.contracts import Log, Progress
from olive_engine.errors import SystemUnavailable
from olive_engine.reporting.events import StepFinished, StepLog, StepProgress, StepStarted
from olive_engine.reporting.recorder import Recorder
from olive_engine.testing.harness import tree_of
from olive_engine.testing.system_conformance import wait
from olive_engine.testing.toys import build_toy_model
from olive_systems.azure_ml.quiet import quiet
from tests.emulators.azureml.faults import Refuse, Slow
from tests.systems.azureml.jobs import scale, stored, trees_up

TREES = "olivetests.blob.core.windows.net/*/olive-engine/trees/*"


@pytest.fixture
def big(tmp_path):
    """A model with a file of 20 MB beside its small ones."""
    model = build_toy_model(tmp_path / "big")
    (model.model_path / "ballast.data").write_bytes(bytes(20_000_000))
    return model


def until(happened, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_an_upload_says_how_far_it_is(azureml, make, big, tmp_path, monkeypatch):
    monkeypatch.setattr("olive_systems.azure_ml.uploads.TOLD_EVERY", 0.0)
    monkeypatch.setattr("olive_systems.azure_ml.datastore.BLOCK", 4 << 20)
    handle = make().submit(scale(tmp_path, big))
    update = wait(handle)
    assert update.state == "done"
    said = [line.event for line in update.events if isinstance(line.event, Log)]
    assert said[:1] == [Log(message="uploading 20.0 MB to the datastore workspaceblobstore")]
    progress = [line.event for line in update.events if isinstance(line.event, Progress)]
    assert progress[-1] == Progress(step=20, total=20, unit="MB uploaded")
    assert len(progress) >= 5
    assert {line.item for line in update.events} == {0}


def test_submitting_waits_for_nothing(azureml, make, big, tmp_path):
    system = make()
    system.prepare(lambda _: None)
    rule = azureml.faults.add("PUT", TREES, Slow(2_000_000), times=None)
    job = scale(tmp_path, big)
    begun = time.monotonic()
    handle = system.submit(job)
    assert time.monotonic() - begun < 0.5
    until(lambda: rule.hits)
    assert handle.poll().state == "running"
    assert system.attach(job) is None  # an engine that comes after one that died now begins anew
    begun = time.monotonic()
    handle.stop()
    assert time.monotonic() - begun < 2.0


def test_a_stopped_upload_leaves_no_job(azureml, make, big, tmp_path):
    system = make()
    system.prepare(lambda _: None)
    rule = azureml.faults.add("PUT", f"{TREES}ballast.data", Slow(1_000_000))
    handle = system.submit(scale(tmp_path, big))
    until(lambda: rule.hits)
    begun = time.monotonic()
    handle.stop()
    assert time.monotonic() - begun < 2.0  # the rest would take twenty seconds
    update = handle.poll()
    assert (update.state, update.detail) == ("lost", "it was stopped before it was submitted")
    handle.join(5.0)
    assert not handle.is_busy
    assert azureml.jobs.all() == []
    assert not [path for path in stored(azureml) if not path.startswith("olive-engine/trees/")]
    assert not [path for path in stored(azureml, "trees/") if path.endswith("ballast.data")]
    done = wait(system.submit(scale(tmp_path, big, factor=3.0)))  # another job brings the rest
    assert (done.state, done.detail) == ("done", "")


def test_a_closed_system_puts_no_job_any_more(azureml, make, big, tmp_path):
    system = make()
    system.prepare(lambda _: None)
    rule = azureml.faults.add("PUT", f"{TREES}ballast.data", Slow(1_000_000))
    handle = system.submit(scale(tmp_path, big))
    until(lambda: rule.hits)
    system.close()
    assert not handle.is_busy
    assert azureml.jobs.all() == []


def test_a_job_that_is_put_while_it_is_stopped_is_cancelled(azureml, make, tmp_path):
    system = make()
    system.prepare(lambda _: None)
    azureml.faults.add("PUT", "*/workspaces/*/jobs/olive-*", Slow(4_000))
    rule = azureml.faults.add("PUT", "*/workspaces/*/jobs/olive-*", Slow(4_000))
    handle = system.submit(scale(tmp_path, build_toy_model(tmp_path / "model"), seconds=60.0))
    until(lambda: stored(azureml, "submitted/"))
    time.sleep(0.2)
    handle.stop()
    assert handle.poll().state == "lost"
    assert [job.status for job in azureml.jobs.all()] in ([], ["Canceled"])
    assert rule.hits == 0


def test_what_two_jobs_read_is_uploaded_once(azureml, make, big, tmp_path):
    system = make()
    system.prepare(lambda _: None)
    azureml.faults.add("PUT", f"{TREES}ballast.data", Slow(20_000_000), times=None)
    with azureml.recorder.label("both"):
        handles = [system.submit(scale(tmp_path, big, factor=factor)) for factor in (2.0, 3.0)]
        assert [wait(handle).state for handle in handles] == ["done", "done"]
    assert trees_up(azureml, "both") == tree_of(big.model_path).size
    assert len(set(azureml.recorder.submitted())) == 2


def test_an_upload_that_fails_leaves_the_tree_to_the_next(azureml, make, options, big, tmp_path):
    """The second waits for the first one's upload, and goes on with it where that fails."""
    client = {**options["azureml_client"], "max_operation_retries": 0}
    system = make(azureml_client=client)
    system.prepare(lambda _: None)
    azureml.faults.add("PUT", f"{TREES}ballast.data", Refuse(500))
    handles = [system.submit(scale(tmp_path, big, factor=factor)) for factor in (2.0, 3.0)]
    ends = [end_of(handle) for handle in handles]
    (lost,) = [end for end in ends if end != "done"]
    assert lost.startswith("ballast.data cannot be uploaded to the datastore workspaceblobstore, for Azure")


def end_of(handle):
    try:
        return wait(handle).state
    except SystemUnavailable as error:
        return str(error)


def test_a_local_step_runs_while_another_one_is_uploaded(azureml, big, options, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("olive_systems.azure_ml.handle.INTERVAL", 0.1)
    monkeypatch.setattr("olive_systems.azure_ml.uploads.TOLD_EVERY", 0.2)
    monkeypatch.setattr("olive_systems.azure_ml.datastore.BLOCK", 1 << 20)
    systems = {"cloud": {"type": "AzureML", **options}, "here": {"type": "LocalSystem", "workers": 1, "threads": 1}}
    passes = {
        "there": {"type": "ToyScale", "host": "cloud"},
        "slow": {"type": "ToyScale", "host": "here", "input": "input_model", "seconds": 0.5},
    }
    described = {"input_model": {"type": "HfModel", "model_path": "big"}, "systems": systems, "passes": passes}
    azureml.faults.add("PUT", f"{TREES}ballast.data", Slow(1_500_000), times=None)
    recorder = Recorder()
    result = run(parse_tree(described, tmp_path).raise_if_wrong(), recorder)
    assert set(result.executed) == {"there", "slow"}
    order = [event for event in recorder.events if getattr(event, "step", "") in ("there", "slow")]
    local = next(n for n, event in enumerate(order) if isinstance(event, StepFinished) and event.step == "slow")
    started = next(n for n, event in enumerate(order) if isinstance(event, StepStarted) and event.step == "there")
    uploaded = [n for n, event in enumerate(order) if isinstance(event, StepProgress) and event.unit == "MB uploaded"]
    assert started < local < uploaded[-1]
    said = [event.message for event in order if isinstance(event, StepLog)]
    assert said[0] == "uploading 20.0 MB to the datastore workspaceblobstore"


def test_what_the_sdk_prints_is_not_seen_and_what_others_write_is(capsys):
    with quiet():
        sys.stderr.write("the SDK\n")
        other = Thread(target=lambda: sys.stderr.write("the engine\n"))
        other.start()
        other.join()
    sys.stderr.write("afterwards\n")
    assert capsys.readouterr().err == "the engine\nafterwards\n"
