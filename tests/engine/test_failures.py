"""Failures: one sentence of cause, the right steps skipped, the rest finished, nothing that looks like success."""

import json

import pytest

from olive_engine import plan, run
from olive_engine.errors import PassFailed
from olive_engine.reporting.events import StepFailed, StepFinished, StepSkipped
from olive_engine.reporting.recorder import Recorder


def branches(**misbehaving):
    """A good branch beside one that fails in the middle."""
    return {
        "good": {"type": "ToyScale", "factor": 5.0, "input": "input_model"},
        "bad": {"type": "ToyScale", "input": "input_model", **misbehaving},
        "after": {"type": "ToyScale", "input": "bad"},
        "last": {"type": "ToyScale", "input": "after"},
    }


@pytest.mark.parametrize(
    ("how", "cause"),
    [
        ("raise", "RuntimeError: asked to fail"),
        ("exit", "its worker ended with exit code 3 before the result was written"),
        ("kill", "its worker was killed (signal 9), as the operating system does when memory runs out"),
        ("write nothing", "the pass wrote nothing under outputs/0/model"),
    ],
)
def test_a_failing_step_leaves_the_independent_ones(make, project, how, cause):
    recorder = Recorder()
    with pytest.raises(PassFailed) as caught:
        run(make(branches(misbehave=how)), recorder)
    assert [(failure.step, failure.cause) for failure in caught.value.failures] == [("bad", cause)]
    over = [(type(e), e.step) for e in recorder.events if isinstance(e, (StepFinished, StepFailed, StepSkipped))]
    assert sorted(over, key=str) == sorted(
        [(StepFinished, "good"), (StepFailed, "bad"), (StepSkipped, "after"), (StepSkipped, "last")], key=str
    )
    assert not (project / "output" / "good").exists()
    report = json.loads((project / "output" / "run.json").read_text())
    assert report["status"] == "failed"
    assert {step["step"]: step["status"] for step in report["steps"]} == {
        "good": "executed",
        "bad": "failed",
        "after": "skipped",
        "last": "skipped",
    }


def test_a_failure_is_never_recorded_as_a_result(make):
    with pytest.raises(PassFailed):
        run(make(branches(misbehave="raise")))
    assert plan(make(branches(misbehave="raise"))).to_run == ("bad", "after", "last")


def test_the_step_after_a_dead_worker_gets_a_fresh_one(make):
    systems = {"here": {"type": "LocalSystem", "workers": 1, "threads": 1}}
    passes = {
        "bad": {"type": "ToyScale", "misbehave": "kill", "input": "input_model"},
        "good": {"type": "ToyScale", "factor": 5.0, "input": "input_model"},
    }
    with pytest.raises(PassFailed):
        run(make(passes, systems=systems, host="here"))
    assert plan(make(passes, systems=systems, host="here")).to_run == ("bad",)


def test_a_failure_keeps_its_traceback_for_who_asks(make):
    recorder = Recorder()
    with pytest.raises(PassFailed):
        run(make({"bad": {"type": "ToyScale", "misbehave": "raise"}}), recorder)
    (failed,) = [event for event in recorder.events if isinstance(event, StepFailed)]
    assert "Traceback" not in failed.cause
    assert 'raise RuntimeError("asked to fail")' in failed.traceback
