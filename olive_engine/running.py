"""Running a workflow: reuse what the cache has, compute the rest, write the final models and the report."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from pydantic import JsonValue

from olive_engine import graph, hub, outputs
from olive_engine.config.workflow import Workflow
from olive_engine.contracts import System
from olive_engine.errors import Interrupted, InvalidWorkflow, PassFailed, Problem, StoreCorrupt, SystemUnavailable
from olive_engine.evaluation.verdicts import Verdict, judge_all
from olive_engine.executor import Outcome, execute
from olive_engine.models import HfAdapterModel, HfModel, OnnxModel
from olive_engine.outputs import Written
from olive_engine.planner import Plan
from olive_engine.planning import made_plan, opened, planned_steps
from olive_engine.preflight import check as check_hosts
from olive_engine.preflight import not_yet, probe_unknown
from olive_engine.reading import reread
from olive_engine.reporting import events
from olive_engine.reporting.reporter import Reporter
from olive_engine.store import Store

FinalModel = HfModel | HfAdapterModel | OnnxModel
"""What a workflow ends with. A pass of another package may give a kind of its own, which has a `model_path` too."""
REPLANS = 3
"""How often damaged cache files may make a run plan again."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """What became of one step."""

    name: str
    """``lora``; ``data:train`` of a data preparation; ``lora:accuracy`` of a metric."""
    kind: str
    """``pass``, ``data`` or ``evaluate``."""
    type: str
    """The pass or the metric; empty for a data preparation."""
    key: str
    """The sha256 of all that its result depends on."""
    reused: bool
    reasons: tuple[str, ...]
    """Why it ran; empty if its result was reused."""
    seconds: float
    """The time it took when it was computed."""
    metrics: Mapping[str, float]
    """What it measured itself: a training its losses, a metric its values."""
    size: int
    """Bytes of its output."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a finished run has made."""

    output_dir: Path
    models: Mapping[str, FinalModel]
    """Final pass -> its model, with paths in the output folder."""
    steps: Mapping[str, StepResult]
    metrics: Mapping[str, Mapping[str, float]]
    """Pass or `input_model` -> ``metric.value``, as in ``accuracy.accuracy_score`` -> the number."""
    predictions: Mapping[str, Path]
    """Evaluation step -> the file of its answers, row by row (`olive_engine.evaluation.comparison` reads it)."""
    goals: tuple[Verdict, ...]
    seconds: float
    """The time that the run took."""

    @property
    def executed(self) -> tuple[str, ...]:
        """The steps that were computed in this run."""
        return tuple(name for name, step in self.steps.items() if not step.reused)

    @property
    def reused(self) -> tuple[str, ...]:
        """The steps whose earlier results were taken."""
        return tuple(name for name, step in self.steps.items() if step.reused)


def run(workflow: Workflow, reporter: Reporter | None = None, *, debug: bool = False) -> RunResult:
    """Run a workflow: reuse what the cache has, compute the rest, write the final models to `output_dir`.

    It returns when all is done; steps run in worker processes meanwhile. It may be called in any thread, several times
    at once on one cache too (each step is then computed once), but each run at a time needs an `output_dir` of its own.

    Args:
        workflow: what to run.
        reporter: hears every event, in this thread. An exception that it raises stops the run and comes out of it.
        debug: run one step at a time in this process, where a debugger reaches.

    Raises:
        InvalidWorkflow: nothing was run; the workflow must be changed, or packages installed.
        PassFailed: steps failed; independent ones were finished and are in the cache.
        SystemUnavailable: a system cannot run its steps.
        Interrupted: Ctrl-C; finished steps are in the cache.
    """
    listener, started = reporter or Reporter(), time.perf_counter()
    draft = reread(workflow)
    workflow = draft.raise_if_wrong()
    outputs.check_output_dir(workflow)
    if unavailable := not_yet(workflow):  # before a hub or a system is asked
        raise InvalidWorkflow(unavailable)
    try:
        pinned = hub.pin(workflow, online=True)
        with opened(pinned, debug=debug) as (store, systems), store.in_use():
            current, outcome, written = _carry_out(pinned, store, systems, _Heard(listener), draft.problems)
    except KeyboardInterrupt:
        raise Interrupted("stopped; finished steps are kept") from None
    except _ReporterRaised as raised:
        raise raised.error from None
    result = _result(pinned, current, outcome, written, time.perf_counter() - started)
    try:
        outputs.write_run(pinned, _report(result, current, outcome))
    except OSError as error:
        if not outcome.failures:  # else the failed step is the better news
            raise SystemUnavailable(f"the report could not be written: {error}") from error
    listener.on_event(
        events.RunFinished(
            executed=len(outcome.executed),
            reused=len(outcome.records) - len(outcome.executed),
            failed=len(outcome.failures),
            seconds=result.seconds,
            output_dir=None if outcome.failures else result.output_dir,
        )
    )
    if outcome.failures:
        raise PassFailed(outcome.failures)
    return result


def _carry_out(
    workflow: Workflow, store: Store, systems: Mapping[str, System], listener: Reporter, said: tuple[Problem, ...]
) -> tuple[Plan, Outcome, Written]:
    """Plan, execute, write; again from the plan when a cached file turns out to be damaged.

    `said` is what speaks against the workflow whatever the machine, and is told with what speaks against it here.
    """
    for attempt in range(1, REPLANS + 1):
        current, doubts = _preflight(workflow, store, systems)
        listener.on_event(events.PlanMade(planned_steps(current)))
        for doubt in (*said, *doubts) if attempt == 1 else ():
            listener.on_event(events.Warned(str(doubt)))
        try:
            outcome = execute(current, store, systems, listener)
            if outcome.failures:
                return current, outcome, Written({}, {})
            return current, outcome, outputs.write_results(workflow, current, outcome, store, systems)
        except StoreCorrupt:
            if attempt == REPLANS:
                raise
        except OSError as error:
            raise SystemUnavailable(f"the results could not be written: {error}") from error
    raise AssertionError("unreachable: the last attempt returns or raises")


def _preflight(workflow: Workflow, store: Store, systems: Mapping[str, System]) -> tuple[Plan, tuple[Problem, ...]]:
    """The plan with everything known that only a run may ask for, and what speaks against it without forbidding it.

    Raises:
        InvalidWorkflow: the systems cannot do what is asked of them.
    """
    probe_unknown(graph.build(workflow), systems, store)
    current = made_plan(workflow, store, systems, online=True)
    problems = check_hosts(workflow, current)
    if errors := tuple(problem for problem in problems if problem.severity == "error"):
        raise InvalidWorkflow(errors)
    return current, problems


class _ReporterRaised(BaseException):
    """A reporter's own exception, on its way out: nobody may take it for a step's, or for a disk's."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


class _Heard(Reporter):
    """A reporter of whose exceptions it is known that they are its own."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter

    def on_event(self, event: events.RunEvent) -> None:
        try:
            self._reporter.on_event(event)
        except Exception as error:
            raise _ReporterRaised(error) from error


# --- results ------------------------------------------------------------------------------------------------------


def _result(workflow: Workflow, current: Plan, outcome: Outcome, written: Written, seconds: float) -> RunResult:
    steps = {
        name: StepResult(
            name=name,
            kind=record.kind,
            type=record.type,
            key=record.key,
            reused=name not in outcome.executed,
            reasons=current.steps[name].reasons,
            seconds=record.provenance.seconds,
            metrics=record.metrics,
            size=record.size,
        )
        for name in current.steps
        if (record := outcome.records.get(name))
    }
    metrics: dict[str, dict[str, float]] = {}
    for name in steps:  # in the order of the plan, not in that in which they were done
        record = outcome.records[name]
        if record.kind == "evaluate":
            subject, _, metric = name.partition(":")
            metrics.setdefault(subject, {}).update({f"{metric}.{sub}": value for sub, value in record.metrics.items()})
    return RunResult(
        output_dir=outputs.output_dir(workflow),
        models=cast(Mapping[str, FinalModel], written.models),
        steps=steps,
        metrics=metrics,
        predictions=written.predictions,
        goals=judge_all(workflow, metrics),
        seconds=seconds,
    )


def _report(result: RunResult, current: Plan, outcome: Outcome) -> dict[str, JsonValue]:
    """What ``run.json`` says."""
    steps: list[JsonValue] = []
    for name, step in current.steps.items():
        record = outcome.records.get(name)
        failure = next((failure for failure in outcome.failures if failure.step == name), None)
        row: dict[str, JsonValue] = {
            "step": name,
            "kind": step.node.kind,
            "type": step.node.type,
            "inputs": list(step.node.inputs),
            "data": dict(step.node.data),
            "system": step.node.system,
            "key": step.key,
        }
        if record:
            row |= {
                "status": "executed" if name in outcome.executed else "reused",
                "reasons": list(step.reasons),
                "seconds": round(record.provenance.seconds, 3),
                "metrics": dict(record.metrics),
                "size": record.size,
                "output": record.output.digest if record.output else None,
                "provenance": record.provenance.model_dump(mode="json"),
            }
        elif failure:
            row |= {"status": "failed", "cause": failure.cause}
        else:
            row |= {"status": "skipped", "because": outcome.skipped.get(name, "")}
        steps.append(row)
    return {
        "status": "failed" if outcome.failures else "done",
        "seconds": round(result.seconds, 3),
        "finals": list(current.graph.finals),
        "metrics": {subject: dict(values) for subject, values in result.metrics.items()},
        "goals": [goal.as_json() for goal in result.goals],
        "steps": steps,
    }
