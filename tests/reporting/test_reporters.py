"""The reporter's contract, the recorder, and JSON lines."""

import dataclasses
import io
import json
import math
import typing
from pathlib import Path

import pytest

from olive_engine.reporting import events
from olive_engine.reporting.jsonl import JsonLines, event_to_json, to_json
from olive_engine.reporting.levels import INFO
from olive_engine.reporting.plain import PlainLines
from olive_engine.reporting.progress import RunningStep
from olive_engine.reporting.recorder import Recorder
from olive_engine.reporting.reporter import Reporter, Tee
from tests.reporting.sweeps import DIVERGED, OPTIONS, sweep


def test_recorder_keeps_all_events_in_order(script, clock) -> None:
    recorder = Recorder()
    with recorder:
        for event in script(clock):
            recorder.on_event(event)
    assert recorder.events == list(script(clock))


def test_tee_tells_and_closes_everyone() -> None:
    closed = []

    class Closing(Recorder):
        def close(self) -> None:
            closed.append(self)

    first, second = Closing(), Closing()
    with Tee(first, second) as tee:
        tee.on_event(events.StepSkipped("b", "a"))
        assert closed == []
    assert first.events == second.events == [events.StepSkipped("b", "a")]
    assert closed == [first, second]


def test_the_plain_reporter_takes_every_event(script, clock) -> None:
    with Reporter() as reporter:
        for event in script(clock):
            reporter.on_event(event)


def test_every_event_is_one_json_line_with_all_its_fields(script, clock) -> None:
    stream = io.StringIO()
    reporter = JsonLines(stream)
    searched = sweep(lambda _: 0.0, trials=2, doomed=1)
    others = [
        events.Warned("cache_dir: little room"),
        events.SystemSaid("box", "made"),
        events.StepStage("lora", "queued on gpu-cluster"),
        events.RunFinished(1, 0, 0, 2.5, Path("output")),
    ]
    script = [*script(clock), *searched, *others]
    for event in script:
        reporter.on_event(event)
    lines = stream.getvalue().splitlines()
    assert len(lines) == len(script)
    for line, event in zip(lines, script, strict=True):
        assert json.loads(line).keys() == {"event", *(field.name for field in dataclasses.fields(event))}
    assert {json.loads(line)["event"] for line in lines} == {
        "plan_made", "warned", "system_said", "step_started", "step_progress", "step_log", "step_waiting",
        "step_stage", "step_finished", "step_failed", "step_skipped", "run_finished",
        "sweep_began", "trial_began", "rung_began", "trial_judged", "trial_ended", "sweep_ended",
    }  # fmt: skip
    assert len(typing.get_args(events.RunEvent)) == 18
    assert json.loads(lines[-1]) == {
        "event": "run_finished", "executed": 1, "reused": 0, "failed": 0, "seconds": 2.5, "output_dir": "output",
    }  # fmt: skip


def test_a_search_as_json() -> None:
    told = [event_to_json(event) for event in sweep(lambda _: 12.5, trials=2, doomed=1)]
    of_sweep = [event for event in told if not str(event["event"]).startswith("step_")]
    of_0, of_1 = dict(zip(OPTIONS, (2, 0.00005, 4), strict=True)), dict(zip(OPTIONS, (4, 0.000065, 8), strict=True))
    assert of_sweep[:6] == [
        {
            "event": "sweep_began", "study": "5f1e09ac", "storage": "cache/studies/5f1e09ac.journal", "wanted": 2,
            "known": 0, "searched": list(OPTIONS), "objectives": [["accuracy.accuracy_score", True]],
            "rungs": [0.125, 0.25, 0.5, 1.0], "yardstick": ["eval_loss", False],
        },
        {"event": "trial_began", "trial": 0, "options": pytest.approx(of_0), "again": None},
        {"event": "trial_began", "trial": 1, "options": pytest.approx(of_1), "again": None},
        {"event": "rung_began", "until": 0.125, "steps": {"0": "tune#0@0.125", "1": "tune#1@0.125"}},
        {
            "event": "trial_ended", "trial": 1, "state": "failed", "values": [], "spent": 0.0, "cause": DIVERGED,
            "earlier": False,
        },
        {"event": "trial_judged", "trial": 0, "until": 0.125, "value": pytest.approx(1.85)},
    ]  # fmt: skip
    assert of_sweep[-1] == {
        "event": "sweep_ended", "best": [0], "complete": 1, "pruned": 0, "failed": 1, "seconds": 12.5,
        "why": "2 trials",
    }  # fmt: skip


def test_a_line_is_there_as_soon_as_the_event_is_heard() -> None:
    class Stream(io.StringIO):
        flushed = 0

        def flush(self) -> None:
            self.flushed = len(self.getvalue())

    stream = Stream()
    JsonLines(stream).on_event(events.StepWaiting("lora"))
    assert stream.flushed == len('{"event": "step_waiting", "step": "lora"}\n')


def test_numbers_that_json_lacks_become_strings() -> None:
    event = events.StepProgress("lora", 1, 2, "steps", {"a": math.nan, "b": math.inf, "c": -math.inf, "d": 1.5})
    assert event_to_json(event)["values"] == {"a": "NaN", "b": "Infinity", "c": "-Infinity", "d": 1.5}


def test_what_cannot_be_json_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="of type object as JSON"):
        to_json(object())


def test_where_a_job_waits_is_shown_until_it_works(clock) -> None:
    stream = io.StringIO()
    plain = PlainLines(stream, INFO, clock)
    for event in (
        events.StepStarted("lora", "aml"),
        events.StepStage("lora", "queued on gpu-cluster"),
        events.StepProgress("lora", 1, 4),
    ):
        plain.on_event(event)
    assert stream.getvalue().splitlines()[:2] == ["lora: started", "lora: queued on gpu-cluster"]
    step = RunningStep("lora", clock(), stage="queued on gpu-cluster")
    assert step.phrases(clock()) == ["queued on gpu-cluster"]
    step.take(events.StepProgress("lora", 1, 4, values={"loss": 2.0}), clock())
    assert step.phrases(clock()) == ["loss 2"]
