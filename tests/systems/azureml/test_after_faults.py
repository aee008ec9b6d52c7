"""A run that met a fault, where it leaves its job, and the run after it: the right result, and no job too many."""

import json

import pytest

from olive_engine import run
from olive_engine.config.draft import parse_tree
from olive_engine.errors import PassFailed, SystemUnavailable, Unreachable
from olive_engine.testing.harness import Trial, write_job
from olive_engine.testing.system_conformance import wait
from olive_engine.testing.toys import build_toy_model
from tests.emulators.azureml.faults import RUN, Corrupt, ExpireToken, JobVanishes, Refuse, Reset
from tests.systems.azureml.jobs import scale

# The clients leave the socket of a connection that was cut to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
PUT = ("PUT", "*/workspaces/*/jobs/olive-*")
COMES_BACK = "its job may run on there, and the same command looks for it again"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A working directory with a toy model; nobody is patient."""
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setattr("olive_systems.azure_ml.handle.INTERVAL", 0.1)
    monkeypatch.setattr("olive_systems.azure_ml.watch.OUTAGE", 0.5)
    monkeypatch.setattr("olive_systems.azure_ml.watch.GRACE", 0.5)
    monkeypatch.setattr("olive_systems.azure_ml.submission.SECOND_LOOK", 0.1)
    build_toy_model(tmp_path / "project" / "base", (1.0, 2.0, 3.0))
    return tmp_path / "project"


@pytest.fixture
def again(azureml, options, project):
    """Run a workflow of one pass, whose environment is known already; which steps ran, and what came of them."""

    def again(factor=2.0, seconds=0.5):
        client = {**options["azureml_client"], "max_operation_retries": 0}
        described = {
            "input_model": {"type": "HfModel", "model_path": "base"},
            "systems": {"cloud": {"type": "AzureML", **options, "azureml_client": client}},
            "host": "cloud",
            "passes": {"scale": {"type": "ToyScale", "factor": factor, "seconds": seconds}},
        }
        executed = run(parse_tree(described, project).raise_if_wrong()).executed
        return executed, json.loads((project / "output/model/numbers.json").read_text())

    again(5.0, 0.0)  # brings the probe's answer, code and the model there
    return again


def made(azureml):
    """The jobs that came into being after the first run's two, and what became of them, the earliest first."""
    names = azureml.recorder.submitted()[2:]
    assert len(azureml.jobs.all()) == len(names) + 2
    return [azureml.job(name).status for name in names]


AWAY = {
    "service away": [("GET", "*/runs/olive-*/details", Refuse(503, "Busy", "Busy."))],
    "not allowed": [("GET", "*/runs/olive-*/details", Refuse(403, "AuthorizationFailed", "No."))],
    "garbled": [("GET", "*/runs/olive-*/details", Corrupt())],
    "login away": [
        ("GET", "*/runs/olive-*/details", ExpireToken()),
        ("POST", "login.microsoftonline.com/*/token", Reset()),
    ],
    "result away": [("GET", "*/result.json", Refuse(503, "Busy", "Busy."))],
    "result not allowed": [("GET", "*/result.json", Refuse(403, "AuthorizationFailure", "No."))],
}


@pytest.mark.parametrize("faults", AWAY.values(), ids=AWAY)
def test_a_job_that_nobody_hears_of_is_found_by_the_next_run(faults, azureml, again):
    # The first login of the run is for the service that takes the job.
    rules = [azureml.faults.add(*fault, nth=2 if fault[0] == "POST" else 1, times=None) for fault in faults]
    with pytest.raises(PassFailed, match=COMES_BACK):
        again()
    assert all(rule.hits for rule in rules)
    for rule in rules:
        rule.times = 0
    assert again() == (("scale",), [2.0, 4.0, 6.0])
    assert made(azureml) == ["Completed"]
    assert again()[0] == ()


def test_a_result_that_is_garbage_is_made_again(azureml, again):
    rule = azureml.faults.add("GET", "*/result.json", Corrupt(), times=None)
    with pytest.raises(PassFailed, match=r"the result of the job olive-.* cannot be read"):
        again()
    rule.times = 0
    assert again() == (("scale",), [2.0, 4.0, 6.0])
    assert made(azureml) == ["Completed", "Completed"]


def test_a_job_that_has_vanished_is_put_anew(azureml, again):
    azureml.faults.add(RUN, "*", JobVanishes())
    with pytest.raises(PassFailed, match="has vanished from the workspace"):
        again()
    assert again() == (("scale",), [2.0, 4.0, 6.0])
    assert len(azureml.recorder.submitted()) == 4


@pytest.mark.parametrize("refuses", [False, True], ids=["taken as the same", "refused as a second"])
@pytest.mark.parametrize("times", [1, 2])
def test_a_job_whose_answer_was_lost_is_followed(times, refuses, azureml, again):
    azureml.jobs.refuses_again = refuses
    rule = azureml.faults.add(*PUT, Reset(done=True), times=times)
    assert again() == (("scale",), [2.0, 4.0, 6.0])
    assert rule.hits == 1
    assert made(azureml) == ["Completed"]


@pytest.mark.parametrize("refuses", [False, True], ids=["taken as the same", "refused as a second"])
def test_a_put_that_is_repeated_makes_one_job(refuses, azureml, make, tmp_path):
    """By the SDK itself, which repeats it."""
    azureml.jobs.refuses_again = refuses
    rule = azureml.faults.add(*PUT, Reset(done=True))
    assert wait(make().submit(scale(tmp_path, build_toy_model(tmp_path / "model")))).state == "done"
    assert rule.seen == 2
    assert [job.status for job in azureml.jobs.all()] == ["Completed"]


def test_a_job_that_may_have_been_taken_is_found_by_the_next_run(azureml, again):
    azureml.faults.add(*PUT, Reset(done=True))
    away = azureml.faults.add("GET", "*/workspaces/*/jobs/olive-*", Refuse(503, "Busy", "Busy."), times=None)
    with pytest.raises(PassFailed, match=f"cannot be told: .*{COMES_BACK}"):
        again()
    with pytest.raises(PassFailed, match=COMES_BACK):  # nor can the next run tell: it begins nothing
        again()
    away.times = 0
    assert again() == (("scale",), [2.0, 4.0, 6.0])
    assert made(azureml) == ["Completed"]


def test_a_job_that_was_not_taken_is_put_by_the_next_run(azureml, again):
    rule = azureml.faults.add(*PUT, Reset(), times=None)
    with pytest.raises(PassFailed, match=r"the job olive-\S+ was not taken, for Azure cannot be reached"):
        again()
    assert rule.hits == 2
    rule.times = 0
    assert again() == (("scale",), [2.0, 4.0, 6.0])
    assert made(azureml) == ["Completed"]


def test_steps_of_one_job_that_cannot_be_put_fail_together(azureml, make, tmp_path):
    azureml.faults.add(*PUT, Refuse(400, "QuotaExceeded", "The quota of cores is used up."), times=None)
    job = write_job(tmp_path, "ToyScale", [Trial({}), Trial({"factor": 3.0})], [build_toy_model(tmp_path / "model")])
    handle = make().submit(job)
    with pytest.raises(SystemUnavailable, match="The quota of cores is used up; ask for more quota") as raised:
        wait(handle)
    assert not isinstance(raised.value, Unreachable)
    with pytest.raises(SystemUnavailable):
        handle.poll()
    assert azureml.jobs.all() == []


def test_a_list_that_is_cut_fails_the_step_before_its_job_is_put(azureml, again):
    rule = azureml.faults.add("GET", "olivetests.blob.core.windows.net/*", Reset())
    with pytest.raises(PassFailed, match="the datastore workspaceblobstore cannot be listed, for Azure cannot be"):
        again(3.0)
    assert rule.hits == 1
    assert again(3.0) == (("scale",), [3.0, 6.0, 9.0])
    assert made(azureml) == ["Completed"]
