"""Which study a search goes on with, and the parts of a search pass by pass."""

import pytest

from olive_engine import planning
from olive_engine.ground import Ground
from olive_engine.reporting import events
from olive_engine.reporting.recorder import Recorder
from olive_engine.search.objectives import objectives_of
from olive_engine.search.searching import name_of
from olive_engine.testing.toys import build_toy_model
from tests.search.conftest import SPACE, TUNE


@pytest.fixture
def name(make, judged):
    """The name of the study of a search."""
    evaluators = judged({"type": "ToyNumbers"})

    def of(strategy=None, space=None, **more):
        workflow = make(strategy, space, **{**evaluators, **more})
        with planning.opened(workflow, debug=True) as (store, systems):
            return name_of(workflow, objectives_of(workflow), Ground(store, systems, Recorder()))

    return of


@pytest.mark.parametrize(
    "change",
    [
        {"strategy": {"max_samples": 99, "max_iter": 3, "max_time": 5.0}},
        {"strategy": {"pruner": "top_k", "pruner_config": {"keep": 3}}},
        {"strategy": {"wave_size": 2, "rungs": [0.5]}},
        {"strategy": {"output_model_num": 3}},
        {"output_dir": "elsewhere", "cache_dir": "other"},
        {"systems": {"here": {"type": "LocalSystem", "workers": 3}}, "host": "here"},
    ],
    ids=str,
)
def test_how_far_a_search_goes_makes_no_other_study(name, change):
    assert name(**change) == name()


@pytest.mark.parametrize(
    "change",
    [
        {"strategy": {"sampler": "tpe"}},
        {"strategy": {"sampler": "tpe", "sampler_config": {"n_startup_trials": 3}}},
        {"strategy": {"seed": 7}},
        {"strategy": {"objectives": "pareto"}},
        {"seed": 7},
        {"space": {**SPACE, "tune.rank": {"type": "int", "low": 1, "high": 4}}},
        {"space": {name: value for name, value in SPACE.items() if name != "tune.noise"}},
        {"passes": {**TUNE, "tune": {**TUNE["tune"], "steps": 41}}},
        {"passes": {**TUNE, "merge": [{"type": "ToyMerge"}, {"type": "ToyMerge"}]}},
    ],
    ids=str,
)
def test_what_decides_on_trials_makes_another_study(name, change):
    assert name(**change) != name()


def test_how_trials_are_judged_makes_another_study(name, judged):
    found = []
    for sub in ("largest", "smallest"):
        for goal in (None, {"type": "threshold", "value": 1.0}, {"type": "threshold", "value": 2.0}):
            subs = [{"name": sub, "priority": 1, **({"goal": goal} if goal else {})}]
            found.append(name(**judged({"type": "ToyNumbers", "sub_types": subs})))
    assert len(set(found)) == 6


def test_another_input_model_makes_another_study(name, project):
    before = name()
    build_toy_model(project / "base", (1.0, 2.0, 3.0, 0.6))
    assert name() != before
    build_toy_model(project / "base", (1.0, 2.0, 3.0, 0.5))
    assert name() == before


# --- pass by pass -------------------------------------------------------------------------------------------------


def test_conditions_on_a_pass_that_is_settled_hold_or_not(sweep, judged):
    passes = {
        "scale": [{"type": "ToyScale", "factor": 2.0}, {"type": "ToyScale", "factor": 0.5}],
        "tune": {"type": "ToyTrain", "steps": 8, "rank": 4, "noise": 0.0, "learning_rate": 0.9},
    }
    case = {"when": {"tune.rank": [4]}, "search": {"type": "choice", "values": [0.2, 0.4]}}
    space = {
        "tune.rank": {"type": "choice", "values": [3, 4]},
        "tune.learning_rate": {"type": "conditional", "cases": [case]},
    }
    strategy = {"execution_order": "pass-by-pass", "sampler": "sequential", "max_samples": None, "pruner": "none"}
    more = judged({"type": "ToyNumbers", "sub_types": [{"name": "largest", "priority": 1}]})
    ran = sweep(strategy, space, passes=passes, **more)
    assert [event.searched for event in ran.of(events.SweepBegan)] == [("scale",), ("tune.rank", "tune.learning_rate")]
    assert [dict(event.options) for event in ran.of(events.TrialBegan)] == [
        {"scale": "ToyScale"},
        {"scale": "ToyScale"},
        {"tune.rank": 3},
        {"tune.rank": 4, "tune.learning_rate": 0.2},
        {"tune.rank": 4, "tune.learning_rate": 0.4},
    ]
    # The rank of 3 leaves the last number as it is, 0.5 halved.
    assert [event.values[0] for event in ran.of(events.TrialEnded)] == pytest.approx(
        [6.0, 1.5, 0.25, 1.5 * 0.8**8, 1.5 * 0.6**8]
    )
    assert ran.best == (2,)


def test_a_condition_may_ask_for_an_option_of_an_earlier_pass(sweep, judged):
    passes = {"scale": {"type": "ToyScale", "factor": 2.0}, **TUNE}
    case = {"when": {"scale.factor": [0.5]}, "search": {"type": "choice", "values": [1, 2]}}
    space = {
        "scale.factor": {"type": "choice", "values": [2.0, 0.5]},
        "tune.rank": {"type": "conditional", "cases": [case]},
        "tune.noise": {"type": "choice", "values": [0.0, 0.01]},
    }
    more = judged({"type": "ToyNumbers", "sub_types": [{"name": "largest", "priority": 1}]})
    strategy = {"sampler": "sequential", "max_samples": None, "pruner": "none"}
    joint = sweep({**strategy}, space, passes=passes, **more)
    assert [trial.assignment.get("tune.rank") for trial in joint.trials] == [None, None, 1, 1, 2, 2]
    by_pass = sweep({**strategy, "execution_order": "pass-by-pass"}, space, passes=passes, **more)
    assert [trial.assignment.get("tune.rank") for trial in by_pass.trials] == [1, 1, 2, 2]


def test_a_pass_of_which_nothing_is_left_to_search_is_tried_as_it_is(sweep, judged):
    passes = {"scale": {"type": "ToyScale", "factor": 2.0}, "tune": {**TUNE["tune"], "noise": 0.0, "steps": 8}}
    case = {"when": {"scale.factor": [2.0]}, "search": {"type": "choice", "values": [1, 2]}}
    space = {
        "scale.factor": {"type": "choice", "values": [2.0, 0.5]},
        "tune.rank": {"type": "conditional", "cases": [case]},
    }
    more = judged({"type": "ToyNumbers", "sub_types": [{"name": "largest", "priority": 1}]})
    for sampler in ("sequential", "random", "tpe"):
        strategy = {"sampler": sampler, "execution_order": "pass-by-pass", "max_samples": 8}
        ran = sweep(strategy, space, passes=passes, **more)
        assert [(dict(trial.assignment), trial.state) for trial in ran.trials] == [({}, "complete")]
        assert ran.trials[0].values == pytest.approx((1.5 * 0.7**8,))
        assert sweep(strategy, space, passes=passes, **more).trained == []
