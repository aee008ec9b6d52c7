"""One workflow that searches nothing, run: planned, executed, written, reported."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import cast

from pydantic import JsonValue

from olive_engine import graph, outputs
from olive_engine.config.workflow import Workflow
from olive_engine.contracts import System
from olive_engine.errors import InvalidWorkflow, PassFailed, Problem, StoreCorrupt, SystemUnavailable
from olive_engine.evaluation.verdicts import judge_all
from olive_engine.executor import Outcome, execute
from olive_engine.ground import Ground
from olive_engine.left_jobs import purpose_of, stop_superseded
from olive_engine.outputs import Written
from olive_engine.planner import Plan
from olive_engine.planning import made_plan, planned_steps
from olive_engine.preflight import check as check_hosts
from olive_engine.preflight import probe_unknown
from olive_engine.reporting import events
from olive_engine.reporting.reporter import Reporter
from olive_engine.results import FinalModel, RunResult, StepResult
from olive_engine.store import Store
from olive_engine.store.shared_contents import SharedCorrupt

REPLANS = 3
"""How many plans of a run damaged files of this machine's cache may spoil before it is given up."""


def run_plain(
    workflow: Workflow,
    ground: Ground,
    said: tuple[Problem, ...] = (),
    *,
    since: float | None = None,
    done: int = 0,
) -> RunResult:
    """Reuse what the cache has, compute the rest, write models and report to `output_dir`.

    Args:
        workflow: a judged one whose hub names are pinned.
        ground: its cache and systems, who hears of it.
        said: what speaks against the workflow whatever the machine; told with what speaks against it here.
        since: when the run began, by `time.perf_counter`; none: now.
        done: steps that were computed for it before.

    Raises:
        InvalidWorkflow: the systems cannot do what is asked of them.
        PassFailed: steps failed; independent ones were finished and are in the cache.
        SystemUnavailable: a system cannot run its steps, or the results cannot be written.
        Interrupted: Ctrl-C; finished steps are in the cache.
    """
    started = time.perf_counter() if since is None else since
    store, systems, listener = ground.store, ground.systems, ground.listener
    current, outcome, written = _carry_out(workflow, ground, said)
    result = _result(workflow, current, outcome, written, time.perf_counter() - started)
    try:
        outputs.write_run(workflow, _report(result, current, outcome))
    except OSError as error:
        if not outcome.failures:  # else the failed step is the better news
            raise SystemUnavailable(f"the report could not be written: {error}") from error
    for what in () if outcome.failures else stop_superseded(store, systems, purpose_of(workflow)):
        listener.on_event(events.Warned(what))
    store.finish_sharing()
    _tell_sharing(store, listener)
    listener.on_event(
        events.RunFinished(
            executed=done + len(outcome.executed),
            reused=len(outcome.records) - len(outcome.executed),
            failed=len(outcome.failures),
            seconds=result.seconds,
            output_dir=None if outcome.failures else result.output_dir,
        )
    )
    if outcome.failures:
        raise PassFailed(outcome.failures)
    return result


def _carry_out(workflow: Workflow, ground: Ground, said: tuple[Problem, ...]) -> tuple[Plan, Outcome, Written]:
    """Plan, execute, write; again from the plan when a cached file turns out to be damaged, here or in a shared cache.

    `said` is what speaks against the workflow whatever the machine, and is told with what speaks against it here.
    """
    damaged, doubtful = 0, True
    while damaged < REPLANS:
        current, doubts = plan_checked(workflow, ground)
        ground.listener.on_event(events.PlanMade(planned_steps(current)))
        for doubt in (*said, *doubts) if doubtful else ():
            ground.listener.on_event(events.Warned(str(doubt)))
        doubtful = False
        try:
            outcome = execute(current, ground, purpose=purpose_of(workflow))
            if outcome.failures:
                return current, outcome, Written({}, {})
            return current, outcome, outputs.write_results(workflow, current, outcome, ground.store, ground.systems)
        except SharedCorrupt:  # how often that can happen in a run is the shared cache's to limit
            pass
        except StoreCorrupt:
            damaged += 1
            if damaged == REPLANS:
                raise
        except OSError as error:
            raise SystemUnavailable(f"the results could not be written: {error}") from error
    raise AssertionError("unreachable: the last attempt returns or raises")


def plan_checked(workflow: Workflow, ground: Ground) -> tuple[Plan, tuple[Problem, ...]]:
    """The plan with everything known that only a run may ask for, and what speaks against it without forbidding it.

    Raises:
        InvalidWorkflow: the systems cannot do what is asked of them.
        SystemUnavailable: a system cannot be asked, or made ready.
    """
    store, systems, listener = ground.store, ground.systems, ground.listener
    probe_unknown(graph.build(workflow), systems, store, _tell(listener))
    if store.shared:
        store.shared.look()
    current = made_plan(workflow, store, systems, online=True)
    _tell_sharing(store, listener)  # now, and not after hours of steps that need not have run
    problems = check_hosts(workflow, current)
    if errors := tuple(problem for problem in problems if problem.severity == "error"):
        raise InvalidWorkflow(errors)
    prepare(current, systems, listener)
    return current, problems


def prepare(current: Plan, systems: Mapping[str, System], listener: Reporter) -> None:
    """Make ready the systems on which steps must run.

    Raises:
        SystemUnavailable: one of them cannot be.
    """
    for name in dict.fromkeys(current.steps[step].node.system for step in current.to_run):
        systems[name].prepare(partial(_tell(listener), name))


def _tell_sharing(store: Store, listener: Reporter) -> None:
    for what in store.sharing_news():
        listener.on_event(events.Warned(what))


def _tell(listener: Reporter) -> Callable[[str, str], None]:
    return lambda system, message: listener.on_event(events.SystemSaid(system, message))


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
