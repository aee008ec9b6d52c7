"""A run's result for the reader: as a table, or as one JSON object."""

from __future__ import annotations

from typing import TYPE_CHECKING

from olive_engine.config.workflow import INPUT_MODEL, Workflow
from olive_engine.evaluation.verdicts import directions
from olive_engine.registry import find_metric
from olive_engine.reporting.jsonl import to_json
from olive_engine.reporting.results import Measured, ModelScores, Score

if TYPE_CHECKING:
    from olive_engine.api import RunResult


def scores(workflow: Workflow, result: RunResult) -> tuple[list[ModelScores], list[Measured]]:
    """What was measured on each model, and the columns for it: the values that the evaluators are to report."""
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
    return [f"{goal.subject}: {goal.result.why}" for goal in result.goals if not goal.result.met]


def as_json(result: RunResult) -> dict[str, object]:
    """The last line of ``--json``: models, metrics and goals."""
    return {
        "event": "result",
        "output_dir": str(result.output_dir),
        "models": {
            name: {"kind": type(model).__name__, **model.model_dump(mode="json")}
            for name, model in result.models.items()
        },
        "metrics": to_json(result.metrics),
        "goals": [goal.as_json() for goal in result.goals],
        "seconds": round(result.seconds, 3),
    }


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
