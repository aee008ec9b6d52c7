"""A run that is interrupted while jobs run elsewhere: the user may leave them, and comes back."""

import json
import threading
from types import SimpleNamespace

import pytest

from olive_engine import run
from olive_engine.contracts import Item, Job, Resources, Update
from olive_engine.errors import Interrupted, PassFailed, StoreCorrupt, Unreachable
from olive_engine.executor import _Execution
from olive_engine.left_jobs import is_marked, mark_submitted, stop_superseded
from olive_engine.reporting.events import StepStarted, StepWaiting
from olive_engine.reporting.recorder import Recorder
from olive_engine.running_jobs import RunningJobs
from olive_engine.store import Store
from olive_engine.testing.detached import DetachedHandle, DetachedSystem

GOES_ON = "an earlier run was ended while it ran there: it goes on"
SLOW = 1.5


class Interrupting(Recorder):
    """Presses Ctrl-C once all of some steps run."""

    def __init__(self, *steps):
        super().__init__()
        self._awaited = set(steps)

    def on_event(self, event):
        super().on_event(event)
        if isinstance(event, StepStarted):
            self._awaited.discard(event.step)
            if not self._awaited:
                raise KeyboardInterrupt


@pytest.fixture
def workflow(make, project):
    """A chain of a slow pass elsewhere and a quick one, beside a slow one here."""
    (project / "elsewhere").mkdir()
    systems = {
        "away": {"type": "DetachedSystem", "root": str(project / "elsewhere")},
        "here": {"type": "LocalSystem"},
    }
    passes = {
        "scale": {"type": "ToyScale", "seconds": SLOW},
        "again": {"type": "ToyScale", "factor": 3.0},
        "beside": {"type": "ToyScale", "factor": 7.0, "seconds": SLOW, "host": "here", "input": "input_model"},
    }
    return make(passes, systems=systems, host="away")


def left(workflow, detach, *steps):
    """The jobs that an interrupted run says that it has left."""
    with pytest.raises(Interrupted) as stopped:
        run(workflow, Interrupting(*(steps or ("scale", "beside"))), detach=detach)
    return stopped.value.left


def submitted(project):
    return [path.parent for path in (project / "elsewhere").glob("jobs/*/job.json")]


def works_on(folder):
    return json.loads((folder / "job.json").read_text())["items"][0].get("step")


def test_a_job_that_was_left_goes_on_and_the_next_run_takes_it_over(workflow, project):
    asked = []
    (job,) = left(workflow, lambda jobs: asked.append(jobs) or True)
    assert asked == [(job,)]
    assert (job.system, job.steps) == ("away", ("scale",))
    assert is_marked(job.folder)
    recorder = Recorder()
    result = run(workflow, recorder)
    reasons = {event.step: event.reasons for event in recorder.events if isinstance(event, StepStarted)}
    assert reasons["scale"] == (GOES_ON,)
    assert result.executed.count("scale") == 1
    assert len([folder for folder in submitted(project) if works_on(folder) == "scale"]) == 1
    assert not is_marked(job.folder)


def test_a_job_that_cannot_go_on_alone_is_stopped_and_not_asked_about(workflow, project):
    (job,) = left(workflow, lambda _: True)
    assert "beside" not in job.steps
    kept = [path.parent for path in (project / ".olive-cache" / "jobs").glob("*/job.json")]
    assert [works_on(folder) for folder in kept if is_marked(folder)] == ["scale"]


def test_nothing_is_asked_where_nothing_runs_elsewhere(make):
    here = make({"scale": {"type": "ToyScale", "seconds": 30.0}})
    assert left(here, lambda _: pytest.fail("asked"), "scale") == ()


@pytest.mark.parametrize("detach", [None, lambda _: False], ids=["not asked", "no"])
def test_jobs_are_stopped_where_nobody_wants_them_left(workflow, monkeypatch, detach):
    stopped = []
    monkeypatch.setattr(
        "olive_engine.testing.detached.DetachedHandle.stop", lambda self: stopped.append(self), raising=True
    )
    assert left(workflow, detach) == ()
    assert len(stopped) == 1


def test_ctrl_c_at_the_question_stops_them(workflow):
    def impatient(_):
        raise KeyboardInterrupt

    assert left(workflow, impatient) == ()


def test_a_job_that_its_system_does_not_know_yet_is_stopped_and_not_said_to_go_on(workflow, monkeypatch):
    monkeypatch.setattr(DetachedSystem, "attach", lambda _self, _folder: None)
    assert left(workflow, lambda _: True) == ()


def test_the_trials_of_a_search_are_left_and_taken_over_too(make, project):
    (project / "elsewhere").mkdir()
    workflow = make(
        {"scale": {"type": "ToyScale", "seconds": SLOW}},
        systems={"away": {"type": "DetachedSystem", "root": str(project / "elsewhere")}},
        host="away",
        evaluators={"judge": {"metrics": [{"name": "size", "type": "size_on_disk"}]}},
        evaluator="judge",
        search_strategy={"sampler": "sequential", "max_samples": 2, "wave_size": 2},
        search_space={"scale.factor": {"type": "choice", "values": [2.0, 3.0]}},
    )
    (job,) = left(workflow, lambda _: True, "scale#0", "scale#1")
    assert job.steps == ("scale#0",)
    result = run(workflow)
    assert result.sweep is not None
    assert [trial.state for trial in result.sweep.trials] == ["complete", "complete"]
    trained = [name for name in map(works_on, submitted(project)) if name in ("scale#0", "scale#1")]
    assert sorted(trained) == ["scale#0", "scale#1"]


# --- a system that cannot be asked ------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", ["poll", "collect"])
def test_a_job_of_which_nothing_can_be_heard_is_looked_for_again(workflow, project, monkeypatch, asked):
    """It is not begun a second time beside itself."""
    real = getattr(DetachedHandle, asked)

    def unreachable(self, *arguments, **more):
        if works_on(self._there) == "scale":
            raise Unreachable("the network is down")
        return real(self, *arguments, **more)

    with monkeypatch.context() as patched:
        patched.setattr(DetachedHandle, asked, unreachable)
        with pytest.raises(PassFailed) as failed:
            run(workflow)
    assert [str(failure) for failure in failed.value.failures] == [
        "scale: the network is down; its job may run on there, and the same command looks for it again"
    ]
    run(workflow)
    assert [works_on(folder) for folder in submitted(project)].count("scale") == 1


def test_a_job_that_may_have_been_taken_is_looked_for_again(workflow, project, monkeypatch):
    real = DetachedSystem.submit

    def submit(self, job):
        handle = real(self, job)
        if works_on(job) == "scale":
            raise Unreachable("the answer was lost")
        return handle

    with monkeypatch.context() as patched:
        patched.setattr(DetachedSystem, "submit", submit)
        with pytest.raises(PassFailed, match="scale: the answer was lost; its job may run on there"):
            run(workflow)
    run(workflow)
    assert [works_on(folder) for folder in submitted(project)].count("scale") == 1


# --- several runs, and Ctrl-C again -----------------------------------------------------------------------------------


def test_a_run_that_waited_for_another_takes_over_the_job_that_was_left_meanwhile(make, project, monkeypatch):
    (project / "elsewhere").mkdir()
    waiting, begun = threading.Event(), threading.Event()
    asked = _Execution._stop_if_asked

    def interrupted(self):
        if threading.current_thread().name == "first" and waiting.is_set():
            raise KeyboardInterrupt
        asked(self)

    class Told(Recorder):
        def on_event(self, event):
            super().on_event(event)
            if isinstance(event, StepStarted):
                begun.set()
            if isinstance(event, StepWaiting) and event.step == "scale":
                waiting.set()

    def workflow(output):
        return make(
            {
                "before": {"type": "ToyScale", "factor": 5.0, "seconds": 0.8},
                "scale": {"type": "ToyScale", "seconds": 3.0},
            },
            systems={"away": {"type": "DetachedSystem", "root": str(project / "elsewhere")}},
            host="away",
            output_dir=output,
        )

    def first():
        with pytest.raises(Interrupted) as stopped:
            run(workflow("one"), Told(), detach=lambda _: True)
        left.extend(stopped.value.left)

    left = []
    monkeypatch.setattr(_Execution, "_stop_if_asked", interrupted)
    thread = threading.Thread(target=first, name="first")
    thread.start()
    assert begun.wait(30)
    recorder = Told()
    run(workflow("two"), recorder)
    thread.join()
    assert [job.steps for job in left] == [("scale",)]
    assert [event.reasons for event in recorder.events if isinstance(event, StepStarted)] == [(GOES_ON,)]
    assert [works_on(folder) for folder in submitted(project)].count("scale") == 1


def test_ctrl_c_while_others_are_stopped_forgets_none_that_was_left(workflow, monkeypatch):
    real = RunningJobs.stop

    def stop(self):
        if self:
            real(self)
            raise KeyboardInterrupt
        return real(self)

    monkeypatch.setattr(RunningJobs, "stop", stop)
    (job,) = left(workflow, lambda _: True)
    assert job.steps == ("scale",)


def test_a_left_job_that_could_not_read_its_input_is_nobodys_and_no_error(tmp_path):
    class Spoilt:
        def __init__(self):
            self.polls = 0

        def poll(self):
            self.polls += 1
            if self.polls == 1:
                return Update("running")
            raise StoreCorrupt("sha", "a file of its input is missing")

        def stop(self):
            """It is over."""

    store = Store(tmp_path)
    folder = store.new_job()
    items = (Item(key="k" * 64, step="tune", type="ToyScale", config={}),)
    job = Job(id=folder.name, kind="pass", items=items, resources=Resources())
    (folder / "job.json").write_text(job.model_dump_json())
    system = SimpleNamespace(name="aml", type="AzureML", attach=lambda _: Spoilt())
    mark_submitted(folder, system, "output")
    assert list(stop_superseded(store, {"aml": system}, "output")) == []
    assert not folder.exists()


def test_cleaning_up_keeps_the_folders_of_jobs_that_may_run(tmp_path):
    store = Store(tmp_path)
    folder = store.new_job()
    (folder / "job.json").write_text('{"items": [{"key": "k"}]}')
    mark_submitted(folder, SimpleNamespace(name="aml", type="AzureML"), "output")
    store.collect_garbage(0)
    assert is_marked(folder)
