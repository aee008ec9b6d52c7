"""What goes over the wire for a job, and what becomes of jobs that do not end well."""

import hashlib
import json
import time

import pytest

from olive_engine.contracts import Log
from olive_engine.errors import StoreCorrupt, SystemUnavailable
from olive_engine.models import Tree
from olive_engine.testing.harness import Trial, manifest_of, tree_of, write_job
from olive_engine.testing.system_conformance import wait
from olive_engine.testing.toys import build_toy_model
from tests.emulators.azureml.faults import RUN, Corrupt, JobFails, JobVanishes
from tests.systems.azureml.jobs import on, put, scale, stored, trees_up


def done(handle, *, fetch=False):
    update = wait(handle)
    assert (update.state, update.detail) == ("done", "")
    return handle.collect(fetch=fetch).items[0]


def statuses(azureml, handle):
    return azureml.jobs[handle.name].statuses


# --- what is uploaded ---------------------------------------------------------------------------------------------


def test_inputs_are_uploaded_once_by_content(azureml, make, tmp_path):
    model = build_toy_model(tmp_path / "model", (1.0, -2.0, 0.5))
    twin = build_toy_model(tmp_path / "twin", (1.0, -2.0, 0.5))
    size = tree_of(model.model_path).size
    system = make()
    with azureml.recorder.label("first"):
        first = done(system.submit(scale(tmp_path, model)))
    with azureml.recorder.label("second"):
        second = done(system.submit(scale(tmp_path, twin, factor=3.0)))
    with azureml.recorder.label("another run"):
        third = done(make().submit(scale(tmp_path, twin)))
    assert [trees_up(azureml, label) for label in ("first", "second", "another run")] == [size, 0, 0]
    assert manifest_of(first).digest == manifest_of(third).digest != manifest_of(second).digest
    assert len(set(azureml.recorder.submitted())) == 3


def test_a_later_job_costs_few_requests(azureml, make, tmp_path, monkeypatch):
    """The code goes along once; then a job is its description, itself, questions about it, and its result."""
    system, model = make(), build_toy_model(tmp_path / "model")
    done(system.submit(scale(tmp_path, model)))
    monkeypatch.setattr("olive_systems.azure_ml.handle.INTERVAL", 30.0)
    with azureml.recorder.label("submit"):
        handle = put(system.submit(job := scale(tmp_path, model, factor=3.0)))
    sent = azureml.recorder.exchanges("PUT", label="submit", caller="client")
    assert [each.path.rsplit("/", 2)[1] for each in sent] == [handle.name, "jobs"]
    assert sum(each.up for each in sent) < 6_000
    azureml.job(handle.name)
    with azureml.recorder.label("collect"):
        system.attach(job).collect(fetch=False)
    assert azureml.recorder.traffic("GET", label="collect").requests == 4  # the job, its state, its log, its result


def test_what_is_torn_is_completed(azureml, make, tmp_path):
    model = build_toy_model(tmp_path / "model")
    tree = tree_of(model.model_path)
    container, place = azureml.datastores["workspaceblobstore"], f"olive-engine/trees/{tree.digest}"
    noted = {"sha256": tree.files["config.json"].sha256}
    azureml.storage.write(container, f"{place}/config.json", (model.model_path / "config.json").read_bytes(), noted)
    azureml.storage.write(container, f"{place}/numbers.json", b"[1.")
    with azureml.recorder.label("submit"):
        done(make().submit(scale(tmp_path, model)))
    entries = tree.files
    assert trees_up(azureml, "submit") == entries["numbers.json"].size + entries["tokenizer.json"].size
    assert azureml.storage.read(container, f"{place}/numbers.json") == b"[1.0, 2.0, 3.0]"


def test_a_file_that_has_changed_is_not_stored_under_what_it_was(azureml, make, tmp_path):
    model = build_toy_model(tmp_path / "model")
    job = scale(tmp_path, model)
    (model.model_path / "numbers.json").write_text("[9.0, 9.0, 9.0]")
    with pytest.raises(SystemUnavailable) as raised:
        wait(make().submit(job))
    assert str(raised.value) == f"{model.model_path / 'numbers.json'} was changed since the run began; run again"
    assert not [path for path in stored(azureml, "trees/") if path.endswith("numbers.json")]
    assert azureml.recorder.submitted() == []


def test_a_chain_moves_no_model_through_the_client(azureml, make, tmp_path):
    system, model = make(), build_toy_model(tmp_path / "model")
    with azureml.recorder.label("chain"):
        first = done(system.submit(scale(tmp_path, model, ballast=2_000_000)))
        given = manifest_of(first)
        second = done(system.submit(on(tmp_path, given, config={"factor": 5.0})))
    tree = given.parts["model_path"]
    assert tree.location.startswith(
        f"azureml://subscriptions/{azureml.subscription_id}/resourcegroups/olive-tests/workspaces/emulated/datastores/"
        "workspaceblobstore/paths/olive-engine/results/olive-job-"
    )
    assert tree.size > 2_000_000
    traffic = azureml.recorder.traffic(path="*/olive-engine/*", label="chain")
    assert traffic.up < 10_000
    assert traffic.down < 10_000
    system.fetch(manifest_of(second).parts["model_path"], tmp_path / "fetched")
    assert json.loads((tmp_path / "fetched/numbers.json").read_text()) == [10.0, 20.0, 30.0]


def test_a_tree_of_some_files_of_a_folder_shows_the_job_those_alone(azureml, make, tmp_path):
    system, model = make(), build_toy_model(tmp_path / "model")
    given = manifest_of(done(system.submit(scale(tmp_path, model, ballast=1000))))
    tree = given.parts["model_path"]
    files = {"moved.json": tree.files["numbers.json"], **{n: e for n, e in tree.files.items() if n == "config.json"}}
    some = Tree(files=files, location=tree.location, places={"moved.json": "numbers.json"})
    job = on(tmp_path, given.model_copy(update={"parts": {"model_path": some}}))
    failed = done(system.submit(job))
    assert failed.error is not None
    assert failed.error.type == "FileNotFoundError"  # there is no numbers.json in that tree
    system.fetch(some, tmp_path / "fetched")
    assert sorted(path.name for path in (tmp_path / "fetched").iterdir()) == ["config.json", "moved.json"]


def test_a_tree_of_another_workspace_is_not_held(make, tmp_path):
    system = make()
    where = "azureml://subscriptions/s/resourcegroups/g/workspaces/w/datastores/d/paths/p"
    assert not system.holds(Tree(files={}, location=where))
    assert not system.holds(Tree(files={}, location=(tmp_path / "model").as_uri()))
    with pytest.raises(SystemUnavailable, match="is not in a datastore of its workspace"):
        system.fetch(Tree(files={}, location=where), tmp_path)


# --- jobs that do not end well ------------------------------------------------------------------------------------


def test_a_job_goes_on_without_its_handle(azureml, make, tmp_path):
    model = build_toy_model(tmp_path / "model")
    job = scale(tmp_path, model, seconds=1.0)
    first = make()
    name = put(first.submit(job)).name
    first.close()
    handle = make().attach(job)
    assert handle.name == name
    assert done(handle, fetch=True).status == "done"
    assert (job / "outputs/0/model/numbers.json").read_text() == "[2.0, 4.0, 6.0]"
    assert azureml.recorder.submitted() == [name]


def test_a_job_that_was_never_taken_is_not_attached_to(make, tmp_path):
    assert make().attach(scale(tmp_path, build_toy_model(tmp_path / "model"))) is None


def test_a_canceled_job_has_ended(azureml, make, tmp_path):
    handle = put(make().submit(scale(tmp_path, build_toy_model(tmp_path / "model"), seconds=60.0)))
    while "Running" not in statuses(azureml, handle):
        time.sleep(0.02)
    handle.stop()
    update = handle.poll()
    assert (update.state, update.detail) == ("lost", f"the job {handle.name} was cancelled")
    assert azureml.job(handle.name).status == "Canceled"
    assert stored(azureml, "results/") == []


def test_a_dead_worker_leaves_its_last_words(azureml, make, tmp_path):
    text = hashlib.sha256(b"any").hexdigest()
    job = write_job(
        tmp_path,
        "ToySecret",
        [Trial({"variable": "WORD", "sha256": text, "then": "exit"})],
        [build_toy_model(tmp_path / "model")],
    )
    handle = make(environment_variables={"WORD": "any"}).submit(job)
    update = wait(handle)
    assert (update.state, update.detail) == (
        "lost",
        "its worker ended with exit code 3 before the result was written",
    )
    assert "printed in pieces: any" in update.log
    assert [line.event.message for line in update.events if isinstance(line.event, Log)][1:] == [
        "asking with any",
        'denied: "any"',
    ]
    assert stored(azureml, "results/") == []


def test_a_job_that_the_service_fails_is_lost_in_its_words(azureml, make, tmp_path):
    azureml.faults.add(RUN, "*", JobFails("UserError", "The disk is full."))
    handle = make().submit(train(tmp_path))
    update = wait(handle)
    words = f"Azure ML ended the job {handle.name} with the status Failed: UserError: The disk is full."
    assert (update.state, update.detail) == ("lost", words)
    assert stored(azureml, "results/") == []


def test_a_job_that_vanishes_is_lost(azureml, make, tmp_path, monkeypatch):
    monkeypatch.setattr("olive_systems.azure_ml.watch.GRACE", 0.5)
    azureml.faults.add(RUN, "*", JobVanishes())
    handle = make().submit(train(tmp_path))
    update = wait(handle)
    assert (update.state, update.detail) == ("lost", f"the job {handle.name} has vanished from the workspace")


def train(tmp_path):
    return write_job(tmp_path, "ToyTrain", [Trial({"steps": 500})], [build_toy_model(tmp_path / "model")])


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (
            "ModuleNotFoundError: No module named 'pydantic'",
            "the environment lacks pydantic, which olive-engine needs; add it to the conda file",
        ),
        (
            "unknown option: -P",
            "the environment's Python is too old for olive-engine; add Python 3.11 or later to the environment's conda "
            "file",
        ),
        (
            "/bin/bash: line 1: python: command not found",
            "the environment has no Python; add Python 3.11 or later to the environment's conda file",
        ),
        ("@lost the disk is full", "the disk is full"),
        ("no newline at the end", "Azure ML ended the job j with the status Failed: UserError: exit code 1"),
    ],
)
def test_what_an_environment_lacks_is_said(said, why, tmp_path):
    from olive_systems.azure_ml.handle import AzureMLHandle
    from olive_systems.azure_ml.jobs import JobState

    class Workspace:
        class jobs:
            @staticmethod
            def state(name):
                return JobState("Failed", "UserError", "exit code 1", {"user_logs/std_log.txt": "address"})

            @staticmethod
            def read_log(address, start):
                return f"first\n{said}".encode()[start:]

        class datastores:
            @staticmethod
            def container(name):
                raise SystemUnavailable("there is none")

    handle = AzureMLHandle(Workspace(), "j", tmp_path, "d", lambda *_: "")
    update = wait(handle)
    assert (update.state, update.detail, update.log[0]) == ("lost", why, "first")


# --- coming back --------------------------------------------------------------------------------------------------


def test_a_corrupt_download_is_asked_for_once_more(azureml, make, tmp_path):
    system, model = make(), build_toy_model(tmp_path / "model")
    tree = manifest_of(done(system.submit(scale(tmp_path, model)))).parts["model_path"]
    rule = azureml.faults.add("GET", "*/results/*/numbers.json", Corrupt())
    system.fetch(tree, tmp_path / "fetched")
    assert rule.seen == 2
    assert tree_of(tmp_path / "fetched").files == tree.files


def test_what_stays_corrupt_is_not_stored(azureml, make, tmp_path):
    system, model = make(), build_toy_model(tmp_path / "model")
    tree = manifest_of(done(system.submit(scale(tmp_path, model)))).parts["model_path"]
    azureml.faults.add("GET", "*/results/*/numbers.json", Corrupt(), times=None)
    with pytest.raises(StoreCorrupt, match="came from the datastore workspaceblobstore with other bytes"):
        system.fetch(tree, tmp_path / "fetched")
    assert not (tmp_path / "fetched/numbers.json").exists()
