"""A run's result for the reader: as a table, or as one JSON object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from olive_engine.config.workflow import INPUT_MODEL, Workflow
from olive_engine.evaluation.verdicts import directions
from olive_engine.registry import find_metric
from olive_engine.reporting.jsonl import to_json
from olive_engine.reporting.results import Measured, ModelScores, Score

if TYPE_CHECKING:
    from olive_engine.api import RunResult, SweepResult


def scores(workflow: Workflow, result: RunResult) -> tuple[list[ModelScores], list[Measured]]:
    """What was measured on each model, and the columns for it: the values that the evaluators are to report.

    Of a search that gives several models each, these have the trial's number with their name.
    """
    each = [_scores(workflow, one) for one in _results(result).values()]
    models, columns = each[0]
    if len(each) == 1:
        return models, columns
    baseline = [model for model in models if model.model == INPUT_MODEL]
    of_trials = [
        replace(model, model=f"{model.model} (trial {number})")
        for number, (measured, _) in zip(_results(result), each, strict=True)
        for model in measured
        if model.model != INPUT_MODEL
    ]
    return [*baseline, *of_trials], columns


def _scores(workflow: Workflow, result: RunResult) -> tuple[list[ModelScores], list[Measured]]:
    reported, ways = _reported(workflow), directions(workflow)
    met = {(goal.subject, goal.result.name): goal.result.met for goal in result.goals}
    models = [
        ModelScores(
            name,
            {
                value: Score(number, met.get((name, value)))
                for value, number in result.metrics[name].items()
                if value in reported
            },
        )
        for name in (INPUT_MODEL, *workflow.passes)
        if name in result.metrics
    ]
    columns = [
        Measured(value, title, higher_is_better=ways[value], in_bytes=value.endswith(".bytes"))
        for value, title in reported.items()
    ]
    return models, columns


def missed_goals(result: RunResult) -> list[str]:
    """A sentence for each goal that was missed."""
    several = len(_results(result)) > 1
    return [
        f"trial {number}: {goal.subject}: {goal.result.why}" if several else f"{goal.subject}: {goal.result.why}"
        for number, one in _results(result).items()
        for goal in one.goals
        if not goal.result.met
    ]


def as_json(result: RunResult) -> dict[str, object]:
    """The last line of ``--json``: models, metrics and goals; of a search what it came to, too."""
    told = {"event": "result", "output_dir": str(result.output_dir), **_made(result)}
    if result.sweep is not None:
        told["sweep"] = _sweep(result.sweep)
    return told | {"seconds": round(result.seconds, 3)}


def _made(result: RunResult) -> dict[str, object]:
    return {
        "models": {
            name: {"kind": type(model).__name__, **model.model_dump(mode="json")}
            for name, model in result.models.items()
        },
        "metrics": to_json(result.metrics),
        "goals": [goal.as_json() for goal in result.goals],
    }


def _sweep(sweep: SweepResult) -> dict[str, object]:
    from olive_engine.cli.sweep_report import trial_json
    from olive_engine.search.retraining import retrain_command

    trials = {trial.number: trial for trial in sweep.trials}
    states = [trial.state for trial in sweep.trials]
    best = [
        {
            **trial_json(trials[number], sweep.objectives, sweep.options[number]),
            "output_dir": str(result.output_dir),
            **_made(result),
            "retrain": {
                "file": str(sweep.retrain[number]),
                "command": retrain_command(sweep.retrain[number]),
            },
        }
        for number, result in sweep.best.items()
    ]
    return {
        "study": sweep.study,
        "storage": sweep.storage,
        "why": sweep.why,
        "trials": {state: states.count(state) for state in ("complete", "pruned", "failed", "running")},
        "best": best,
        "report": str(sweep.report) if sweep.report else None,
    }


def _results(result: RunResult) -> Mapping[int, RunResult]:
    """The results of the best trials by their numbers; without a search the one result."""
    return {0: result} if result.sweep is None else result.sweep.best


def _reported(workflow: Workflow) -> dict[str, str]:
    """``metric.sub_type`` of each value that is to be reported -> its title: the metric's name where that is enough."""
    reported: dict[str, str] = {}
    for evaluator in workflow.evaluators.values():
        for entry in evaluator.metrics:
            cls = find_metric(entry.type)
            names = [sub.name for sub in entry.sub_types] or list(cls.sub_types if cls else ())[:1]
            for name in names:
                reported[f"{entry.name}.{name}"] = entry.name if len(names) == 1 else f"{entry.name}.{name}"
    return reported
