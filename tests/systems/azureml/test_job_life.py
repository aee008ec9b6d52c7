"""What is said of a job that runs, and what is believed of it: a job has ended where the service says so."""

import io
import sys
import threading
import time

import pytest

from olive_engine.contracts import Log, Progress
from olive_engine.errors import SystemUnavailable, Unreachable
from olive_engine.testing.harness import Trial, write_job
from olive_engine.testing.system_conformance import wait
from olive_engine.testing.toys import build_toy_model
from olive_systems.azure_ml.jobs import JobState
from tests.emulators.azureml.faults import (
    RUN,
    Corrupt,
    ExpireToken,
    JobFails,
    Refuse,
    Requeue,
    Reset,
    Status,
)
from tests.systems.azureml.jobs import put, scale, stored

DETAILS, LOG = "*/runs/olive-*/details", "*/user_logs/std_log.txt"
LOGIN = "login.microsoftonline.com/*"
ONCE = {
    "not found": ("GET", DETAILS, Refuse(404, "UserError", "Run not found.")),
    "not allowed": ("GET", DETAILS, Refuse(403, "Forbidden", "No.")),
    "timed out": ("GET", DETAILS, Refuse(408, "Timeout", "Late.")),
    "garbled": ("GET", DETAILS, Corrupt()),
    "not responding": ("GET", DETAILS, Status("NotResponding")),
    "paused": ("GET", DETAILS, Status("Paused")),
    "unknown": ("GET", DETAILS, Status("Unknown")),
    "a status of tomorrow": ("GET", DETAILS, Status("Levitating")),
    "no log": ("GET", LOG, Refuse(404, "BlobNotFound", "No.")),
    "log not allowed": ("GET", LOG, Refuse(403, "AuthenticationFailed", "No.")),
    "no result yet": ("GET", "*/result.json", Refuse(404, "BlobNotFound", "No.")),
    "result away": ("GET", "*/result.json", Refuse(503)),
    "garbled result": ("GET", "*/result.json", Corrupt()),
}


# The clients leave the socket of a connection that was cut to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def toy(tmp_path, **config):
    return scale(tmp_path, build_toy_model(tmp_path / "model"), **config)


def until(condition, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("fault", ONCE.values(), ids=ONCE)
def test_one_bad_answer_ends_no_job(fault, azureml, make, options, tmp_path):
    rule = azureml.faults.add(*fault)
    client = {**options["azureml_client"], "max_operation_retries": 0}
    handle = make(azureml_client=client).submit(toy(tmp_path, seconds=0.5))
    update = wait(handle)
    assert (update.state, update.detail, rule.hits) == ("done", "", 1)
    assert handle.collect(fetch=True).items[0].status == "done"
    assert [job.status for job in azureml.jobs.all()] == ["Completed"]


def test_a_login_that_is_away_at_renewal_ends_no_job(azureml, make, options, tmp_path):
    client = {**options["azureml_client"], "max_operation_retries": 0}
    handle = put(make(azureml_client=client).submit(toy(tmp_path, seconds=1.0)))
    until(lambda: "Running" in azureml.jobs[handle.name].statuses)
    away = azureml.faults.add("POST", LOGIN, Reset(), times=None)
    renewed = azureml.faults.add("GET", DETAILS, ExpireToken())
    until(lambda: away.hits > 2)
    assert renewed.hits == 1
    assert handle.poll().state == "running"
    away.times = 0
    assert wait(handle).state == "done"
    assert len(azureml.jobs.all()) == 1


def test_a_job_that_the_run_history_does_not_know_is_looked_up_itself(azureml, make, tmp_path, monkeypatch):
    monkeypatch.setattr("olive_systems.azure_ml.watch.GRACE", 0.3)
    azureml.faults.add("GET", DETAILS, Refuse(404, "UserError", "Run not found."), times=None)
    handle = make().submit(toy(tmp_path, seconds=0.5))
    assert wait(handle).state == "done"
    assert handle.collect(fetch=False).items[0].status == "done"


def test_what_cannot_be_told_for_long_is_not_lost(azureml, make, tmp_path, monkeypatch):
    monkeypatch.setattr("olive_systems.azure_ml.watch.GRACE", 0.3)
    rule = azureml.faults.add("GET", DETAILS, Refuse(403, "AuthorizationFailed", "You may not read runs."), times=None)
    system, job = make(), toy(tmp_path)
    handle = system.submit(job)
    with pytest.raises(Unreachable, match=f"the job {handle.name} cannot be followed: You may not read runs"):
        wait(handle)
    rule.times = 0
    assert stored(azureml, "submitted/")  # which the job may still read
    again = system.attach(job)
    assert wait(again).state == "done"
    assert len(azureml.jobs.all()) == 1


# --- attempts -----------------------------------------------------------------------------------------------------

PREEMPTED = JobFails("UserError", "AzureMLCompute job failed. PreemptionError: Nodes of this job got pre-empted.")


@pytest.mark.parametrize("fault", [JobFails(), JobFails("NodeFailure", "Gone."), PREEMPTED], ids=str)
def test_a_job_that_the_service_fails_is_put_again(fault, azureml, make, tmp_path):
    azureml.faults.add(RUN, "*", fault)
    job = toy(tmp_path, seconds=0.3)
    handle = make().submit(job)
    update = wait(handle)
    assert (update.state, update.detail) == ("done", "")
    names = azureml.recorder.submitted()
    assert names == [names[0], f"{names[0]}-2"]
    assert handle.name == names[1]
    assert [azureml.jobs[name].status for name in names] == ["Failed", "Completed"]
    said = [
        line.event.message for line in update.events if isinstance(line.event, Log) and line.event.level == "warning"
    ]
    assert len(said) == 1
    assert said[0].endswith(f"it is put once more, as {names[1]}")
    handle.collect(fetch=True)
    assert (job / "outputs/0/model/numbers.json").read_text() == "[2.0, 4.0, 6.0]"
    handle.join(5.0)
    assert stored(azureml, "submitted/") == []


def test_a_job_that_the_service_fails_each_time_is_lost(azureml, make, tmp_path):
    rule = azureml.faults.add(RUN, "*", PREEMPTED, times=None)
    system, job = make(), toy(tmp_path, seconds=0.3)
    handle = system.submit(job)
    update = wait(handle)
    assert update.state == "lost"
    assert "PreemptionError: Nodes of this job got pre-empted" in update.detail
    assert [name[-2:] for name in azureml.recorder.submitted()][1:] == ["-2", "-3"]
    rule.times = 0
    assert system.attach(job) is None  # so that the next run begins anew
    assert len(azureml.jobs.all()) == 3


@pytest.mark.parametrize(
    "fault", [JobFails("UserError", "ImageBuildFailure"), None], ids=["by the service", "by a pass"]
)
def test_what_the_job_is_to_blame_for_is_not_tried_again(fault, azureml, make, tmp_path):
    if fault:
        azureml.faults.add(RUN, "*", fault)
    update = wait(make().submit(toy(tmp_path, misbehave="" if fault else "kill", seconds=0.3 if fault else 0.0)))
    assert update.state == "lost"
    assert len(azureml.jobs.all()) == 1


def test_the_latest_attempt_is_attached_to(azureml, make, tmp_path):
    azureml.faults.add(RUN, "*", JobFails())
    system, job = make(), toy(tmp_path, seconds=2.0)
    handle = system.submit(job)
    until(lambda: len(azureml.recorder.submitted()) == 2)
    system.close()
    again = make().attach(job)
    assert again.name == azureml.recorder.submitted()[1] != azureml.recorder.submitted()[0]
    assert wait(again).state == "done"
    assert again.collect(fetch=False).items[0].status == "done"
    assert len(azureml.jobs.all()) == 2
    assert handle.name == again.name


def test_a_job_that_lost_its_node_is_heard_from_its_new_beginning(azureml, make, tmp_path):
    azureml.faults.add(RUN, "*", Requeue())
    job = write_job(tmp_path, "ToyTrain", [Trial({"steps": 20})], [build_toy_model(tmp_path / "model")])
    handle = make().submit(job)
    update = wait(handle)
    assert update.state == "done"
    (name,) = azureml.recorder.submitted()
    assert azureml.jobs[name].statuses.count("Running") == 2
    steps = [line.event.step for line in update.events if isinstance(line.event, Progress)]
    assert steps[-1] == 20
    assert handle.collect(fetch=False).items[0].status == "done"


class Script:
    """A workspace whose one job has the states and the log that a test says."""

    def __init__(self, *moments):
        self.moments, self.looks = moments, 0
        self.jobs, self.datastores = self, self

    def state(self, name):
        state, self.log = self.moments[min(self.looks, len(self.moments) - 1)]
        self.looks += 1
        return state

    def read_log(self, address, start):
        return (self.log if address == "log" else b"Solving\nno such package\n")[start:]

    def container(self, name):
        raise SystemUnavailable("there is none")


def followed(script, tmp_path, monkeypatch):
    from olive_systems.azure_ml.handle import AzureMLHandle

    monkeypatch.setattr("olive_systems.azure_ml.handle.INTERVAL", 0.01)
    return wait(AzureMLHandle(script, "j", tmp_path, "d", lambda *_: ""))


NAMED = {"user_logs/std_log.txt": "log"}


@pytest.mark.parametrize("requeued", [True, False])
def test_an_earlier_beginning_gives_no_cause(requeued, tmp_path, monkeypatch):
    first = b"".join(b"first %d\n" % line for line in range(100)) + b"@lost its worker was preempted\n"
    second = b"".join(b"second %d\n" % line for line in range(20)) + b"ModuleNotFoundError: No module named 'x'\n"
    between = [(JobState("Queued"), b"")] if requeued else []
    ended = JobState("Failed", "UserError", "exit code 1", NAMED)
    update = followed(
        Script((JobState("Running", logs=NAMED), first), *between, (ended, second)), tmp_path, monkeypatch
    )
    assert update.detail == "the environment lacks x, which olive-engine needs; add it to the conda file"
    assert update.log[0].startswith("second")


def test_a_failed_build_of_the_image_shows_its_end(tmp_path, monkeypatch):
    built = {"azureml-logs/20_image_build_log.txt": "build"}
    failed = JobState("Failed", "UserError", "The image could not be built.", built)
    update = followed(Script((failed, b"")), tmp_path, monkeypatch)
    assert update.detail.endswith("with the status Failed: UserError: The image could not be built.")
    assert update.log == ("Solving", "no such package")


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["user_logs/std_log.txt", "system_logs/x.txt"], "user_logs/std_log.txt"),
        (["user_logs/std_log_0.txt", "user_logs/std_log_1.txt"], "user_logs/std_log_0.txt"),
        (["user_logs/std_log_process_00.txt", "user_logs/std_log_process_01.txt"], "user_logs/std_log_process_00.txt"),
        (
            ["azureml-logs/55_azureml-execution-x.txt", "azureml-logs/70_driver_log.txt"],
            "azureml-logs/70_driver_log.txt",
        ),
        (["azureml-logs/20_image_build_log.txt"], ""),
    ],
)
def test_the_log_of_a_job_has_several_names(names, chosen):
    assert JobState("Running", logs=dict.fromkeys(names, "address")).log == chosen


# --- what is shown ------------------------------------------------------------------------------------------------


def test_waiting_is_shown_and_costs_few_questions(azureml, make, tmp_path):
    cluster = azureml.computes["cpu-cluster"]
    cluster.take(2, threading.Event())
    system = make()
    handle = put(system.submit(toy(tmp_path)))
    until(lambda: handle.poll().stage)
    update = handle.poll()
    assert (update.stage, update.job) == ("queued on cpu-cluster", handle.name)
    time.sleep(0.5)
    assert azureml.recorder.exchanges("GET", LOG) == []
    azureml.runner.settle_s = 0.5
    cluster.give_back(2)
    stages, said = [], []
    while (update := handle.poll()).state == "running":
        stages += [update.stage] if update.stage not in stages else []
        said += [line.event.message for line in update.events if isinstance(line.event, Log)]
        time.sleep(0.005)
    assert update.state == "done"
    assert stages[-1] == "leaving its results in the datastore"
    assert azureml.jobs[handle.name].properties["tags"].keys() == {"olive-step", "olive-key"}


def test_the_job_and_its_page_are_told(azureml, make, tmp_path):
    handle = make().submit(toy(tmp_path))
    update = wait(handle)
    told = [line.event.message for line in update.events if isinstance(line.event, Log)]
    assert told[0].startswith(f"its job is {handle.name}: https://ml.azure.com/runs/{handle.name}?wsid=")


def test_a_quiet_job_is_left_alone(azureml, make, tmp_path, monkeypatch):
    """A tenth of the time that it was quiet for, up to a bound."""
    system = make()
    monkeypatch.setattr("olive_systems.azure_ml.handle.INTERVAL", 0.01)
    monkeypatch.setattr("olive_systems.azure_ml.handle.QUIET", 1.0)
    handle = system.submit(toy(tmp_path, seconds=2.0))
    until(lambda: azureml.jobs.all() and azureml.jobs.all()[0].status == "Running")
    with azureml.recorder.label("quiet"):
        assert wait(handle).state == "done"
    assert 3 <= azureml.recorder.traffic("GET", DETAILS, label="quiet").requests <= 40  # two hundred, if evenly


def test_a_long_name_is_cut(tmp_path):
    from olive_systems.azure_ml.submission import LONGEST_NAME, _cut

    steps = [f"lora[r={number}]" for number in range(50)]
    assert _cut(steps[:2], LONGEST_NAME) == "lora[r=0], lora[r=1]"
    assert _cut(steps, LONGEST_NAME) == ", ".join(steps[:8]) + " and 42 more"
    assert len(_cut(steps, LONGEST_NAME)) <= LONGEST_NAME
    assert _cut(["x" * 300], LONGEST_NAME) == "x" * (LONGEST_NAME - 1) + "…"


# --- stopping -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [Reset(), Reset(done=True), Refuse(429), Refuse(500)], ids=str)
def test_a_cancel_whose_answer_is_lost_is_asked_again(fault, azureml, make, tmp_path):
    rule = azureml.faults.add("POST", "*/cancel", fault, times=2)
    handle = put(make().submit(toy(tmp_path, seconds=60.0)))
    handle.stop()
    assert rule.hits == 2
    assert azureml.job(handle.name).status == "Canceled"


def test_a_cancel_that_cannot_be_asked_leaves_it_open(azureml, make, options, tmp_path):
    rule = azureml.faults.add("POST", "*/cancel", Reset(), times=None)
    client = {**options["azureml_client"], "max_operation_retries": 1}
    handle = put(make(azureml_client=client).submit(toy(tmp_path, seconds=60.0)))
    with pytest.raises(Unreachable, match=f"the job {handle.name} cannot be cancelled, for Azure cannot be reached"):
        handle.stop()
    rule.times = 0
    handle.stop()
    assert azureml.job(handle.name).status == "Canceled"


def test_a_job_that_has_ended_need_not_be_stopped(azureml, make, tmp_path):
    azureml.jobs.refuses_late = True
    system, job = make(), toy(tmp_path)
    wait(system.submit(job))
    again = make().attach(job)
    assert again.poll().state == "done"
    again.stop()
    assert azureml.recorder.exchanges("POST", "*/cancel") == []
    system._connection.workspace().jobs.cancel(again.name)  # the service says that it is over
    assert len(azureml.recorder.exchanges("POST", "*/cancel")) == 1


def test_a_job_of_which_nothing_is_known_is_not_said_to_be_stopped(azureml, make, tmp_path, monkeypatch):
    monkeypatch.setattr("olive_systems.azure_ml.watch.Watch.look", lambda _: 1 / 0)
    handle = put(make().submit(toy(tmp_path)))
    with pytest.raises(Unreachable, match="cannot be followed: ZeroDivisionError"):
        handle.stop()


def test_a_job_that_was_cancelled_is_begun_anew(azureml, make, tmp_path):
    job = toy(tmp_path, seconds=60.0)
    put(make().submit(job)).stop()
    assert make().attach(job) is None


def test_a_job_is_found_where_it_wrote_to_whatever_the_options_say_now(azureml, make, tmp_path):
    job = toy(tmp_path)
    wait(make().submit(job))
    found = make(datastores="another").attach(job)
    assert found.poll().state == "done"
    assert found.collect(fetch=False).items[0].status == "done"


def test_an_upload_of_the_code_that_is_cut_is_begun_again(azureml, make, tmp_path):
    rule = azureml.faults.add("POST", "*/startPendingUpload", Reset())
    assert wait(make().submit(toy(tmp_path))).state == "done"
    assert rule.hits == 1
    assert len(azureml.jobs.all()) == 1


def test_standard_error_is_whole_after_four_have_kept_the_sdk_quiet():
    from olive_systems.azure_ml.quiet import quiet

    before, barrier, seen = sys.stderr, threading.Barrier(4), io.StringIO()
    sys.stderr = seen

    def speak(number):
        barrier.wait()
        for _ in range(20):
            with quiet():
                sys.stderr.write("unheard\n")
        sys.stderr.write(f"heard {number}\n")

    try:
        threads = [threading.Thread(target=speak, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sys.stderr is seen
    finally:
        sys.stderr = before
    assert sorted(seen.getvalue().splitlines()) == [f"heard {number}" for number in range(4)]


# --- before a job is put ------------------------------------------------------------------------------------------


def test_a_stopped_instance_is_said_before_an_upload(azureml, make, tmp_path):
    azureml.computes["workstation"].state = "Stopped"
    with pytest.raises(SystemUnavailable, match=r"workstation is stopped, .*az ml compute start --name workstation"):
        make(aml_compute="workstation").submit(toy(tmp_path))
    assert stored(azureml) == []


def test_a_service_may_not_ask_for_hours(azureml, make, monkeypatch):
    monkeypatch.setattr("olive_systems.azure_ml.workspace.LONGEST_WAIT", 1)
    for path in ("*/computes/cpu-cluster", "*/discovery/workspaces/*"):
        azureml.faults.add("GET", path, Refuse(429, "TooManyRequests", retry_after_s=3600))
    begun = time.monotonic()
    make().prepare(lambda _: None)
    assert 2.0 <= time.monotonic() - begun < 12.0


def test_a_garbled_discovery_is_said_in_words(azureml, make):
    azureml.faults.add("GET", "*/discovery/workspaces/*", Corrupt())
    said = r"the workspace emulated cannot be looked up, for Azure's answer cannot be read \(it is no JSON: .*try again"
    with pytest.raises(SystemUnavailable, match=said):
        make().prepare(lambda _: None)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        (
            "AZURE_CLIENT_SECRET",
            "guessed",
            r"Azure's login refuses who asks \(AADSTS7000215.*\); correct AZURE_TENANT_ID",
        ),
        ("AZURE_TENANT_ID", "Your Tenant", r"Azure's login cannot be used; .*AZURE_…: Invalid tenant ID provided"),
        ("HTTPS_PROXY", "http://127.0.0.1:9", r"Azure's login cannot be reached \(.*\); try again later$"),
    ],
)
def test_a_login_that_fails_says_why(name, value, said, azureml, make, options, monkeypatch):
    for each in (name, name.lower()):
        monkeypatch.setenv(each, value)
    client = {**options["azureml_client"], "max_operation_retries": 0}
    with pytest.raises(SystemUnavailable, match=f"^cloud: {said}") as raised:
        make(azureml_client=client).prepare(lambda _: None)
    assert "guessed" not in str(raised.value)
    assert "DefaultAzureCredential" not in str(raised.value)
    assert "\n" not in str(raised.value)
