"""Searches of toy passes: a whole sweep in a second."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from olive_engine import registry, run
from olive_engine.config.draft import parse_tree
from olive_engine.config.workflow import Workflow
from olive_engine.reporting import events
from olive_engine.reporting.recorder import Recorder
from olive_engine.results import RunResult
from olive_engine.search.trials import Trial
from olive_engine.testing.toys import METRICS, build_toy_model

Tree = dict[str, Any]

TUNE: Tree = {"tune": {"type": "ToyTrain", "steps": 40, "rank": 4}, "merge": {"type": "ToyMerge"}}
SPACE: Tree = {
    "tune.learning_rate": {"type": "float", "low": 0.001, "high": 1.0, "log": True},
    "tune.noise": {"type": "choice", "values": [0.0, 0.01]},
}
STRATEGY: Tree = {"sampler": "random", "max_samples": 8, "wave_size": 4}


@dataclass
class Ran:
    """A run and what it told."""

    result: RunResult
    events: list[events.RunEvent]

    @property
    def trials(self) -> tuple[Trial, ...]:
        assert self.result.sweep is not None
        return self.result.sweep.trials

    @property
    def best(self) -> tuple[int, ...]:
        assert self.result.sweep is not None
        return tuple(self.result.sweep.best)

    @property
    def trained(self) -> list[str]:
        """The steps that were started, in order."""
        return [event.step for event in self.events if isinstance(event, events.StepStarted)]

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A working directory with a toy model."""
    monkeypatch.chdir(tmp_path)
    build_toy_model(tmp_path / "base", (1.0, 2.0, 3.0, 0.5))
    return tmp_path


@pytest.fixture
def make(project):
    """Build a workflow that searches; `strategy` is laid over `STRATEGY`."""

    def workflow(strategy: Tree | None = None, space: Tree | None = None, **more: Any) -> Workflow:
        return parse_tree(tree_of(strategy, space, **more), project).raise_if_wrong()

    return workflow


@pytest.fixture
def sweep(make):
    """Run a search in this process, one step at a time (`debug`), or in workers."""

    def go(strategy: Tree | None = None, space: Tree | None = None, *, debug: bool = True, **more: Any) -> Ran:
        recorder = Recorder()
        result = run(make(strategy, space, **more), recorder, debug=debug)
        return Ran(result, recorder.events)

    return go


@pytest.fixture
def judged(monkeypatch):
    """The part of a workflow that has its final model judged by metrics, toy ones too; in this process alone."""
    found = {**registry.metrics(), **{metric.type: metric for metric in METRICS}}
    monkeypatch.setattr(registry, "metrics", lambda: found)

    def part(*metrics: Tree) -> Tree:
        named = [{"name": metric["type"].lower(), **metric} for metric in metrics]
        return {"evaluators": {"judge": {"metrics": named}}, "evaluator": "judge"}

    return part


def tree_of(strategy: Tree | None = None, space: Tree | None = None, **more: Any) -> Tree:
    """The workflow as it would be written."""
    return {
        "input_model": {"type": "HfModel", "model_path": "base"},
        "passes": TUNE,
        "search_strategy": {**STRATEGY, **(strategy or {})},
        "search_space": SPACE if space is None else space,
        **more,
    }


def workers(count: int) -> Tree:
    """The part of a workflow that gives it so many workers."""
    return {"systems": {"here": {"type": "LocalSystem", "workers": count, "threads": 1}}, "host": "here"}


def plain(trials) -> list[Trial]:
    """Trials without what is never twice the same: the time they took."""
    return [replace(trial, seconds=0.0) for trial in trials]


def assignments(trials) -> list[dict[str, Any]]:
    """What each trial chose, by index."""
    return [dict(trial.assignment) for trial in sorted(trials, key=lambda each: each.index)]


# --- engines that are killed --------------------------------------------------------------------------------------

SERVER = '''
import json, os, sys, time
from optuna.storages.journal import JournalFileBackend
from olive_engine import load_workflow, run, sweep_run
from olive_engine.errors import WorkflowError
from olive_engine.reporting.events import StepProgress, StepStarted
from olive_engine.reporting.reporter import Reporter
from olive_engine.search import charts, proposals, report, storage, study, sweep

class Witness(Reporter):
    def __init__(self, order):
        self.left, self.started = order.get("moment", 0), []
        self.kind = order.get("after")
    def on_event(self, event):
        if isinstance(event, StepStarted):
            self.started.append(event.step)
        if isinstance(event, StepProgress):
            return  # how many there are depends on the time
        if self.kind is None or type(event).__name__ == self.kind:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), 9)

def die_at_write(count):
    """Be killed in place of writing to the study for the time number `count`."""
    left = [count]
    write = JournalFileBackend.append_logs
    def counted(*given):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), 9)
        return write(*given)
    JournalFileBackend.append_logs = counted

def carry_out(order):
    os.chdir(order["folder"])
    if "write" in order:
        die_at_write(order["write"])
    witness, told = Witness(order), {}
    try:
        result = run(load_workflow(order.get("workflow", "workflow.json")), witness, debug=order.get("debug", True))
        told = {"best": list(result.sweep.best), "why": result.sweep.why}
    except WorkflowError as error:
        told = {"error": type(error).__name__, "message": str(error), "exit": error.exit_code}
    told["started"] = witness.started
    return told

for line in sys.stdin:
    children = []
    for order in json.loads(line):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            try:
                told = carry_out(order)
            except BaseException as error:
                told = {"error": repr(error)}
            with open(writing, "w") as stream:
                stream.write(json.dumps(told))
            os._exit(0)
        os.close(writing)
        children.append((child, reading))
    answers = []
    for child, reading in children:
        with open(reading) as stream:
            text = stream.read()
        _, status = os.waitpid(child, 0)
        answers.append({**(json.loads(text) if text else {}), "signal": os.WTERMSIG(status)})
    print(json.dumps(answers), flush=True)
'''


class Engines:
    """Processes that run workflows, at once, and are killed if so ordered; forked from one that has all imported."""

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, *orders: Tree) -> list[Tree]:
        """Carry orders out beside each other.

        Args:
            orders: each with a `folder` in which there is a ``workflow.json``; killed at the event number `moment`
                (of those whose type is `after`), or in place of the write number `write` to the study; with `debug`
                false, steps run in workers.
        """
        assert self._server.stdin
        assert self._server.stdout
        self._server.stdin.write(json.dumps(list(orders)) + "\n")
        self._server.stdin.flush()
        answers = json.loads(self._server.stdout.readline())
        assert isinstance(answers, list)
        return answers

    def close(self) -> None:
        """End the process from which they are forked."""
        self._server.communicate()


@pytest.fixture(scope="session")
def engines():
    """The only one of its kind: importing Optuna takes its time."""
    server = Engines()
    yield server
    server.close()
