"""A run that is interrupted while jobs run elsewhere: the user may leave them, and comes back."""

import json

import pytest

from olive_engine import run
from olive_engine.errors import Interrupted, PassFailed, Unreachable
from olive_engine.left_jobs import is_marked
from olive_engine.reporting.events import StepStarted
from olive_engine.reporting.recorder import Recorder
from olive_engine.testing.detached import DetachedHandle, DetachedSystem

# A job that is left is, on this system, a child of the test's process.
pytestmark = pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")

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
