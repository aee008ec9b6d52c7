"""What trials are compared by, and the goals they should reach."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import JsonValue

from olive_engine import registry
from olive_engine.config.draft import parse_tree
from olive_engine.config.workflow import Goal, Workflow
from olive_engine.contracts import Pass, PassContext, Yardstick
from olive_engine.errors import InvalidWorkflow
from olive_engine.models import HfModel
from olive_engine.options import Options
from olive_engine.search.objectives import Objective, goal_results, meets_goals, objectives_of, values_of
from olive_engine.testing.toys import build_toy_model

NAN, INF = math.nan, math.inf

SIZE: dict[str, Any] = {"name": "size", "type": "size_on_disk"}
LATENCY: dict[str, Any] = {"name": "latency", "type": "latency"}
TRAIN, SCALE, MERGE = {"type": "ToyTrain"}, {"type": "ToyScale"}, {"type": "ToyMerge"}

Make = Callable[..., Workflow]


class TuneConfig(Options):
    eval_dataset_size: float = 0.0


class Tune(Pass[TuneConfig, HfModel, HfModel]):
    """Measures itself only where it has rows to do so."""

    type = "Tune"

    def run(self, model: HfModel, config: TuneConfig, context: PassContext) -> HfModel:
        return model

    @classmethod
    def yardstick(cls, config: TuneConfig) -> Yardstick | None:
        return Yardstick("reward", higher_is_better=True) if config.eval_dataset_size else None


@pytest.fixture
def workflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    find = registry.find_pass
    for module in ("olive_engine.registry", "olive_engine.graph", "olive_engine.search.objectives"):
        monkeypatch.setattr(f"{module}.find_pass", lambda name: Tune if name == "Tune" else find(name))
    build_toy_model(tmp_path / "base")

    def make(passes: Mapping[str, Any], metrics: list[dict[str, Any]] | None = None, **more: Any) -> Workflow:
        tree: dict[str, JsonValue] = {
            "input_model": {"type": "HfModel", "model_path": "base"},
            "passes": dict(passes),
            "search_strategy": {"sampler": "random", "max_samples": 4, **more.pop("strategy", {})},
            **more,
        }
        if metrics is not None:
            tree = {"evaluators": {"e": {"metrics": list(metrics)}}, "evaluator": "e", **tree}
        return parse_tree(tree, tmp_path).raise_if_wrong()

    return make


def sub(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, **more}


def refusal(make: Make, *arguments: Any, **more: Any) -> list[str]:
    with pytest.raises(InvalidWorkflow) as caught:
        objectives_of(make(*arguments, **more))
    return [str(problem) for problem in caught.value.problems]


# --- which --------------------------------------------------------------------------------------------------------


def test_priorities_come_first_in_their_order(workflow: Make) -> None:
    latency = {**LATENCY, "sub_types": [sub("avg", priority=2), sub("p50", priority=1), sub("p90")]}
    found = objectives_of(
        workflow({"tune": TRAIN, "merge": MERGE}, [latency, {**SIZE, "sub_types": [sub("bytes", priority=2)]}])
    )
    assert found.parts == (
        Objective("latency.p50", "merge:latency", "p50", higher_is_better=False),
        Objective("latency.avg", "merge:latency", "avg", higher_is_better=False),
        Objective("size", "merge:size", "bytes", higher_is_better=False),
    )
    assert (found.mode, found.goals) == ("priority", ())


def test_a_sub_type_may_turn_its_direction(workflow: Make) -> None:
    size = {**SIZE, "sub_types": [sub("bytes", priority=1, higher_is_better=True)]}
    found = objectives_of(workflow({"scale": SCALE}, [size], strategy={"objectives": "pareto"}))
    assert found.parts == (Objective("size", "scale:size", "bytes", higher_is_better=True),)
    assert found.mode == "pareto"


def test_without_priorities_the_yardstick_of_the_last_pass_that_has_one(workflow: Make) -> None:
    passes = {"one": TRAIN, "merge": MERGE, "two": TRAIN, "whole": MERGE}
    own = (Objective("eval_loss", "two", "eval_loss", higher_is_better=False),)
    assert objectives_of(workflow(passes, [SIZE])).parts == own
    assert objectives_of(workflow(passes)).parts == own


def test_a_yardstick_may_grow(workflow: Make) -> None:
    found = objectives_of(workflow({"tune": {"type": "Tune", "eval_dataset_size": 0.1}, "scale": SCALE}))
    assert found.parts == (Objective("reward", "tune", "reward", higher_is_better=True),)


def test_all_alternatives_of_a_slot_must_have_the_yardstick(workflow: Make) -> None:
    tuned = {"type": "Tune", "eval_dataset_size": 0.1}
    reward = Objective("reward", "b", "reward", higher_is_better=True)
    assert objectives_of(workflow({"a": TRAIN, "m": MERGE, "b": [tuned, tuned]})).parts == (reward,)
    # One of b's alternatives measures nothing: a's loss counts, if something is searched that has an effect on it.
    loss = Objective("eval_loss", "a", "eval_loss", higher_is_better=False)
    searched = {**TRAIN, "rank": {"search": [1, 2]}}
    assert objectives_of(workflow({"a": searched, "m": MERGE, "b": [tuned, SCALE]})).parts == (loss,)
    with pytest.raises(InvalidWorkflow, match="nothing to judge trials by"):
        objectives_of(workflow({"a": TRAIN, "m": MERGE, "b": [tuned, SCALE]}))


def test_else_the_first_value_of_the_evaluator(workflow: Make) -> None:
    found = objectives_of(workflow({"scale": SCALE}, [LATENCY, SIZE]))
    assert found.parts == (Objective("latency", "scale:latency", "avg", higher_is_better=False),)
    listed = {**LATENCY, "sub_types": [sub("p90"), sub("avg")]}
    found = objectives_of(workflow({"scale": SCALE}, [listed, SIZE]))
    assert found.parts == (Objective("latency.p90", "scale:latency", "p90", higher_is_better=False),)


def test_of_several_final_models_the_first_that_is_judged(workflow: Make) -> None:
    passes = {"a": SCALE, "b": {**SCALE, "input": "input_model", "evaluator": "x"}, "c": {**SCALE, "input": "a"}}
    evaluators: dict[str, Any] = {"x": {"metrics": [{**SIZE, "sub_types": [sub("bytes", priority=1)]}]}}
    found = objectives_of(workflow(passes, evaluators=evaluators))
    assert [part.step for part in found.parts] == ["b:size"]
    assert [part.step for part in objectives_of(workflow(passes, evaluators=evaluators, evaluator="x")).parts] == [
        "b:size"
    ]


def test_where_no_final_model_is_judged_the_last_that_is(workflow: Make) -> None:
    passes = {"a": {**SCALE, "evaluator": "x"}, "b": {**SCALE, "evaluator": "x"}, "c": SCALE}
    evaluators: dict[str, Any] = {"x": {"metrics": [{**SIZE, "sub_types": [sub("bytes", priority=1)]}]}}
    assert [part.step for part in objectives_of(workflow(passes, evaluators=evaluators)).parts] == ["b:size"]


def test_nothing_to_judge_by_names_what_to_add(workflow: Make) -> None:
    assert refusal(workflow, {"scale": SCALE}) == [
        "search_strategy: there is nothing to judge trials by: no evaluator judges the final model, and no pass on "
        "which the search has an effect measures its result; name an evaluator"
    ]
    assert refusal(workflow, {"scale": SCALE, "tune": {"type": "Tune"}}) == [
        "search_strategy: there is nothing to judge trials by: no evaluator judges the final model, and no pass on "
        "which the search has an effect measures its result; give `tune` eval_dataset_size, or name an evaluator"
    ]


def test_alternatives_under_different_evaluators_are_refused(workflow: Make) -> None:
    evaluators: dict[str, Any] = {name: {"metrics": [SIZE]} for name in "xy"}
    passes = {"a": [{**SCALE, "evaluator": "x"}, {**TRAIN, "evaluator": "y"}]}
    assert refusal(workflow, passes, evaluators=evaluators) == [
        "passes.a: its alternatives are judged by different evaluators (x and y), so trials could not be compared; let "
        "them name the same one"
    ]


# --- goals --------------------------------------------------------------------------------------------------------


def goal(kind: str, value: float) -> dict[str, Any]:
    return {"type": kind, "value": value}


def test_all_goals_count_with_a_priority_or_without(workflow: Make) -> None:
    latency = {
        **LATENCY,
        "sub_types": [
            sub("avg"),  # no goal: those after it count all the same
            sub("p50", priority=1, goal=goal("threshold", 10)),
            sub("p90", goal=goal("percent-max-degradation", 10)),
        ],
    }
    found = objectives_of(workflow({"tune": TRAIN, "merge": MERGE}, [latency]))
    assert [part.name for part in found.parts] == ["latency.p50"]
    assert [(each.name, each.goal) for each in found.goals] == [
        ("latency.p50", Goal(type="threshold", value=10)),
        ("latency.p90", Goal(type="percent-max-degradation", value=10)),
    ]
    base = {"input_model:latency": {"avg": 5.0, "p50": 5.0, "p90": 20.0}}
    assert meets_goals(found, {**base, "merge:latency": {"avg": 99.0, "p50": 10.0, "p90": 22.0}})
    assert not meets_goals(found, {**base, "merge:latency": {"avg": 1.0, "p50": 10.1, "p90": 1.0}})
    assert not meets_goals(found, {**base, "merge:latency": {"avg": 1.0, "p50": 1.0, "p90": 22.1}})
    assert not meets_goals(found, {**base, "merge:latency": {"p50": 1.0}})
    assert not meets_goals(found, {**base, "merge:latency": {"p50": NAN, "p90": 1.0}})
    assert not meets_goals(found, base)
    assert not meets_goals(found, {"merge:latency": {"p50": 1.0, "p90": 1.0}})  # nothing to compare with


def test_why_a_goal_is_missed_is_said(workflow: Make) -> None:
    size = {**SIZE, "sub_types": [sub("bytes", higher_is_better=True, goal=goal("percent-min-improvement", 10))]}
    found = objectives_of(workflow({"scale": SCALE}, [size]))
    # A negative baseline: better is nearer to zero.
    metrics = {"input_model:size": {"bytes": -2.0}, "scale:size": {"bytes": -1.9}}
    assert [result.why for result in goal_results(found, metrics)] == [
        "size.bytes -1.9 misses its goal of at least -1.8"
    ]
    metrics["scale:size"]["bytes"] = -1.8
    assert meets_goals(found, metrics)


def test_without_goals_every_trial_meets_them(workflow: Make) -> None:
    found = objectives_of(workflow({"tune": TRAIN}))
    assert goal_results(found, {}) == []
    assert meets_goals(found, {})


def test_to_stop_when_goals_are_met_takes_goals(workflow: Make) -> None:
    strategy = {"stop_when_goals_met": True}
    assert refusal(workflow, {"scale": SCALE}, [SIZE], strategy=strategy) == [
        "search_strategy.stop_when_goals_met: there are no goals to be met; give a value of the evaluator a `goal`"
    ]
    size = {**SIZE, "sub_types": [sub("bytes", goal=goal("threshold", 5))]}
    assert len(objectives_of(workflow({"scale": SCALE}, [size], strategy=strategy)).goals) == 1


def test_a_relative_goal_takes_the_input_models_value(workflow: Make) -> None:
    size = {**SIZE, "sub_types": [sub("bytes", goal=goal("min-improvement", 5))]}
    assert refusal(workflow, {"scale": SCALE}, [size], evaluate_input_model=False) == [
        "evaluate_input_model: the goal of size compares with the input model, which is not evaluated; set it to true, "
        "or give a goal of type threshold"
    ]
    size = {**SIZE, "sub_types": [sub("bytes", goal=goal("threshold", 5))]}
    assert len(objectives_of(workflow({"scale": SCALE}, [size], evaluate_input_model=False)).goals) == 1


# --- values -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metrics", "values"),
    [
        ({"a:size": {"bytes": 7.0}, "a:latency": {"avg": 2}}, (2.0, 7.0)),
        ({"a:size": {"bytes": 7.0}, "a:latency": {"avg": INF}}, (INF, 7.0)),  # bad, and comparable
        ({"a:size": {"bytes": 7.0}, "a:latency": {"avg": -INF}}, None),  # too good to be true
        ({"a:size": {"bytes": NAN}, "a:latency": {"avg": 2.0}}, None),
        ({"a:size": {"bytes": 7.0}, "a:latency": {"p50": 2.0}}, None),
        ({"a:size": {"bytes": 7.0}}, None),
        ({}, None),
    ],
)
def test_values_of(workflow: Make, metrics: dict[str, dict[str, float]], values: tuple[float, ...] | None) -> None:
    latency = {**LATENCY, "sub_types": [sub("avg", priority=1)]}
    found = objectives_of(workflow({"a": SCALE}, [{**SIZE, "sub_types": [sub("bytes", priority=2)]}, latency]))
    assert values_of(found, metrics) == values


def test_infinitely_high_is_as_good_where_higher_is_better(workflow: Make) -> None:
    size = {**SIZE, "sub_types": [sub("bytes", priority=1, higher_is_better=True)]}
    found = objectives_of(workflow({"a": SCALE}, [size]))
    assert values_of(found, {"a:size": {"bytes": INF}}) is None
    assert values_of(found, {"a:size": {"bytes": -INF}}) == (-INF,)
