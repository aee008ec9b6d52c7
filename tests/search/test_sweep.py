"""Searches from their beginning to their end, on toy passes."""

import json

import pytest
import yaml

from olive_engine import load_workflow, run
from olive_engine.errors import PassFailed
from olive_engine.reporting import events
from olive_engine.store import Store
from tests.search.conftest import TUNE, assignments, plain, workers

SMALL = {"max_samples": 4, "wave_size": 4, "rungs": [0.25], "pruner_config": {"min_finalists": 1}}
EXACT = {**TUNE, "tune": {"type": "ToyTrain", "steps": 8, "rank": 4, "noise": 0.0}}
"""The loss falls by (1 - learning rate)² at each of 8 steps, from 14.25 / 4."""
RATES = {"tune.learning_rate": {"type": "choice", "values": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]}}


def loss(rate, steps=8):
    return 14.25 / 4 * (1 - rate) ** (2 * steps)


def short(event):
    """An event without times, and what a run without a search tells already."""
    match event:
        case events.TrialBegan():
            return ("began", event.trial, event.options["tune.learning_rate"])
        case events.RungBegan():
            return ("rung", event.until, dict(event.steps))
        case events.StepStarted():
            return ("started", event.step)
        case events.StepFinished():
            return ("reused" if event.reused else "finished", event.step)
        case events.TrialJudged():
            return ("judged", event.trial, event.until, pytest.approx(event.value))
        case events.TrialEnded():
            return ("ended", event.trial, event.state, pytest.approx(event.values), event.spent, event.earlier)
        case events.SweepEnded():
            return ("over", event.best, event.complete, event.pruned, event.failed, event.why)
        case events.RunFinished():
            return ("run", event.executed, event.reused, event.failed)
        case _:
            return type(event).__name__


def told(ran):
    return [short(event) for event in ran.events if not isinstance(event, events.StepProgress | events.Warned)]


# --- one search ---------------------------------------------------------------------------------------------------


def test_a_whole_search_event_by_event(sweep, project):
    strategy = {**SMALL, "sampler": "sequential"}
    space = {"tune.learning_rate": {"type": "choice", "values": [0.1, 0.2, 0.3, 0.4]}}
    ran = sweep(strategy, space, passes=EXACT)
    rates = [0.1, 0.2, 0.3, 0.4]
    first = {number: f"tune#{number}@0.25" for number in range(4)}
    assert told(ran) == [
        "SweepBegan",
        *[("began", number, rate) for number, rate in enumerate(rates)],
        ("rung", 0.25, first),
        *[("started", first[number]) for number in range(4)],
        *[("finished", first[number]) for number in range(4)],
        *[("judged", number, 0.25, loss(rate, 2)) for number, rate in enumerate(rates)],
        ("ended", 0, "pruned", (), 0.25, False),
        ("ended", 1, "pruned", (), 0.25, False),
        ("rung", 1.0, {2: "tune#2", 3: "tune#3"}),
        ("reused", "tune#2@0.25"),
        ("reused", "tune#3@0.25"),
        ("started", "tune#2"),
        ("started", "tune#3"),
        ("finished", "tune#2"),
        ("finished", "tune#3"),
        ("judged", 2, 1.0, loss(0.3)),
        ("judged", 3, 1.0, loss(0.4)),
        ("ended", 2, "complete", (loss(0.3),), 1.0, False),
        ("ended", 3, "complete", (loss(0.4),), 1.0, False),
        ("over", (3,), 2, 2, 0, "max_samples: 4"),
        "PlanMade",
        ("reused", "tune"),
        ("started", "merge"),
        ("finished", "merge"),
        ("run", 7, 1, 0),
    ]
    began = ran.of(events.SweepBegan)[0]
    assert (began.wanted, began.known, began.searched) == (4, 0, ("tune.learning_rate",))
    assert (began.objectives, began.rungs) == ((("eval_loss", False),), (0.25, 1.0))
    assert began.yardstick == ("eval_loss", False)
    written = {path.relative_to(project / "output").as_posix() for path in (project / "output").rglob("*")}
    assert written == {
        *("model", "model/config.json", "model/numbers.json", "model/tokenizer.json", "model_config.json"),
        *("run.json", "workflow.lock.json", "retrain.yaml", "sweep.html", "trials.csv"),
    }
    rest = json.loads((project / "output" / "model" / "numbers.json").read_text())
    assert rest == pytest.approx([number * 0.6**8 for number in (1.0, 2.0, 3.0, 0.5)])
    table = (project / "output" / "trials.csv").read_text().splitlines()
    assert len(table) == 5


def test_the_same_command_again_trains_nothing(sweep):
    first = sweep()
    again = sweep()
    assert (again.trials, again.best) == (first.trials, first.best)
    assert again.trained == []
    assert not again.of(events.RungBegan)
    assert [event.earlier for event in again.of(events.TrialEnded)] == [True] * 8
    assert again.of(events.SweepBegan)[0].known == 8
    assert again.result.models == first.result.models


def test_the_best_trial_trained_again_alone_is_the_same(sweep, project):
    ran = sweep()
    file = project / "output" / "retrain.yaml"
    again = run(load_workflow(file, overrides=["cache_dir=other"]), debug=True)
    model = (project / "output" / "model" / "numbers.json").read_bytes()
    assert (again.output_dir / "model" / "numbers.json").read_bytes() == model
    assert again.executed == ("tune", "merge")
    assert again.steps["tune"].metrics["eval_loss"] == ran.trials[ran.best[0]].values[0]
    assert "search_strategy" not in yaml.safe_load(file.read_text())


@pytest.mark.parametrize(
    ("sampler", "count", "good"), [("sequential", 8, loss(0.8)), ("random", 24, 1e-5), ("tpe", 24, 1e-9)]
)
def test_the_best_is_found(sweep, sampler, count, good):
    space = RATES if sampler == "sequential" else {"tune.learning_rate": {"type": "float", "low": 0.01, "high": 1.9}}
    ran = sweep({"sampler": sampler, "max_samples": count, "wave_size": 4}, space, passes=EXACT)
    best = ran.trials[ran.best[0]]
    assert best.values[0] <= good * 1.0001
    assert best.values[0] == pytest.approx(loss(best.assignment["tune.learning_rate"]))
    assert best.values[0] == min(trial.values[0] for trial in ran.trials if trial.state == "complete")


def test_sequential_covers_every_combination_once(sweep):
    space = {
        "tune.learning_rate": {"type": "choice", "values": [0.1, 0.2, 0.3]},
        "tune.rank": {"type": "int", "low": 1, "high": 4},
    }
    ran = sweep({"sampler": "sequential", "max_samples": None, "wave_size": 5, "pruner": "none"}, space, passes=EXACT)
    found = [(trial.assignment["tune.learning_rate"], trial.assignment["tune.rank"]) for trial in ran.trials]
    assert found == [(rate, rank) for rate in (0.1, 0.2, 0.3) for rank in (1, 2, 3, 4)]
    assert ran.result.sweep.why == "every combination has been tried"
    assert [trial.wave for trial in ran.trials] == [0] * 5 + [1] * 5 + [2] * 2
    assert {trial.state for trial in ran.trials} == {"complete"}


def test_a_seed_gives_its_trials(sweep):
    one = sweep({"max_samples": 4})
    assert assignments(sweep({"max_samples": 4}, cache_dir="other").trials) == assignments(one.trials)
    other = sweep({"max_samples": 4, "seed": 7})
    assert other.result.sweep.study != one.result.sweep.study
    assert not any(each in assignments(one.trials) for each in assignments(other.trials))


@pytest.mark.parametrize("sampler", ["sequential", "random", "qmc", "tpe"])
def test_trials_and_results_are_the_same_whatever_the_number_of_workers(sweep, sampler):
    space = {**RATES, "tune.noise": {"type": "choice", "values": [0.0, 0.01]}}
    found = [
        sweep({"sampler": sampler}, space, **workers(count), cache_dir=f"cache-{count}", debug=False)
        for count in (1, 2, 3)
    ]
    assert plain(found[1].trials) == plain(found[0].trials)
    assert plain(found[2].trials) == plain(found[0].trials)
    assert found[0].best == found[1].best == found[2].best
    assert [trial.state for trial in found[0].trials].count("complete") >= 2


# --- the strategy's fields ----------------------------------------------------------------------------------------


def test_max_iter_limits_one_run(sweep):
    whole = sweep({"pruner": "none"}, cache_dir="other")
    first = sweep({"pruner": "none", "max_iter": 3})
    assert [trial.number for trial in first.trials] == [0, 1, 2]
    assert first.result.sweep.why == "max_iter: 3"
    second = sweep({"pruner": "none", "max_iter": 3})
    assert [trial.number for trial in second.trials] == [0, 1, 2, 3, 4, 5]
    last = sweep({"pruner": "none", "max_iter": 3})
    assert last.result.sweep.why == "max_samples: 8"
    assert assignments(last.trials) == assignments(whole.trials)
    assert [trial.values for trial in last.trials] == [trial.values for trial in whole.trials]
    assert last.best == whole.best


@pytest.mark.parametrize("sampler", ["random", "tpe", "qmc", "sequential"])
def test_more_samples_extend_a_search(sweep, sampler):
    space = {**RATES, "tune.noise": {"type": "choice", "values": [0.0, 0.01]}}
    sweep({"sampler": sampler, "max_samples": 8}, space)
    extended = sweep({"sampler": sampler, "max_samples": 12}, space)
    at_once = sweep({"sampler": sampler, "max_samples": 12}, space, cache_dir="other")
    assert plain(extended.trials) == plain(at_once.trials)
    assert extended.best == at_once.best
    assert not any("#0" in step for step in extended.trained)


def test_max_time_begins_no_further_wave(sweep):
    passes = {"scale": {"type": "ToyScale", "seconds": 0.1}, **TUNE}
    first = sweep({"max_time": 0.2, "wave_size": 2}, passes=passes)
    assert (len(first.trials), first.result.sweep.why) == (2, "max_time: 0.2 s")
    with pytest.raises(PassFailed, match=r"^search: no trial was completed \(max_time: 1e-09 s\)$"):
        sweep({"max_time": 1e-9, "seed": 7})


def test_stop_when_the_goals_are_met(sweep, judged):
    goal = {"type": "threshold", "value": 0.1}
    metric = {"type": "ToyNumbers", "sub_types": [{"name": "largest", "priority": 1, "goal": goal}]}
    strategy = {
        "sampler": "sequential",
        "wave_size": 2,
        "max_samples": 8,
        "stop_when_goals_met": True,
        "pruner": "none",
    }
    ran = sweep(strategy, RATES, passes=EXACT, **judged(metric))
    assert [(trial.met, trial.values) for trial in ran.trials] == [
        (False, (pytest.approx(3.0 * 0.9**8),)),
        (False, (pytest.approx(3.0 * 0.8**8),)),
        (False, (pytest.approx(3.0 * 0.7**8),)),
        (True, (pytest.approx(3.0 * 0.6**8),)),
    ]
    assert ran.result.sweep.why == "the goals are met"
    assert ran.best == (3,)


def test_several_models_are_written_and_withdrawn(sweep, project):
    two = sweep({"output_model_num": 2})
    out = project / "output"
    order = sorted((trial for trial in two.trials if trial.values), key=lambda trial: trial.values)
    assert two.best == (order[0].number, order[1].number)
    folders = [f"trial-{number}" for number in two.best]
    assert sorted(path.name for path in out.iterdir()) == sorted([*folders, "run.json", "sweep.html", "trials.csv"])
    assert list(json.loads((out / "run.json").read_text())["models"]) == folders
    for number, folder in zip(two.best, folders, strict=True):
        rest = json.loads((out / folder / "model" / "numbers.json").read_text())
        assert sum(x * x for x in rest) / 4 == pytest.approx(two.trials[number].values[0], abs=1e-12)
        assert (out / folder / "retrain.yaml").exists()
    sweep({"output_model_num": 1})
    assert not list(out.glob("trial-*"))
    assert (out / "model" / "numbers.json").exists()
    assert sweep({"output_model_num": 2}).best == two.best
    assert not (out / "model").exists()


def test_another_pruner_goes_on_with_the_same_study(sweep):
    first = sweep({"max_samples": 4})
    second = sweep({"pruner": "top_k", "pruner_config": {"keep": 1, "rung": 0.5}})
    assert second.result.sweep.study == first.result.sweep.study
    assert second.trials[:4] == first.trials
    assert [trial.state for trial in second.trials[4:]].count("complete") == 1
    assert {tuple(trial.curve) for trial in second.trials[4:]} == {(0.5,), (0.5, 1.0)}


def test_rungs_and_halving_are_those_that_are_asked_for(sweep):
    strategy = {"wave_size": 8, "pruner_config": {"reduction_factor": 4, "min_finalists": 1}, "rungs": [0.5]}
    ran = sweep({"sampler": "sequential", **strategy}, RATES, passes=EXACT)
    assert [trial.state for trial in ran.trials] == ["pruned"] * 6 + ["complete"] * 2
    assert [tuple(trial.curve) for trial in ran.trials] == [(0.5,)] * 6 + [(0.5, 1.0)] * 2
    assert ran.trials[0].curve[0.5] == pytest.approx(loss(0.1, 4))


def test_include_pass_params_false_searches_slots_only(sweep, judged):
    passes = {**EXACT, "merge": [{"type": "ToyMerge"}, {"type": "ToyMerge"}]}
    more = judged({"type": "ToyNumbers"})
    ran = sweep({"include_pass_params": False, "sampler": "sequential"}, RATES, passes=passes, **more)
    assert assignments(ran.trials) == [{"merge": 0}, {"merge": 1}]


def test_trials_are_recorded_in_the_storage_that_is_named(sweep, project):
    ran = sweep({"storage": str(project / "mine.log"), "max_samples": 2})
    assert (project / "mine.log").exists()
    assert ran.result.sweep.storage == str(project / "mine.log")
    url = f"sqlite:///{project / 'mine.db'}"
    assert plain(sweep({"storage": url, "max_samples": 2}).trials) == plain(ran.trials)
    again = sweep({"storage": url, "max_samples": 2})
    assert again.trained == []


# --- what is searched ---------------------------------------------------------------------------------------------


def test_alternatives_bring_their_own_options(sweep):
    passes = {
        "scale": [{"type": "ToyScale", "factor": 1.0}, {"type": "ToyScale", "factor": 2.0}],
        **EXACT,
    }
    space = {
        "scale[1].factor": {"type": "choice", "values": [0.5, 3.0]},
        "tune.learning_rate": {"type": "choice", "values": [0.1, 0.5]},
    }
    ran = sweep({"sampler": "sequential", "pruner": "none"}, space, passes=passes)
    factor = {0: lambda _: 1.0, 1: lambda chosen: chosen["scale[1].factor"]}
    assert len(ran.trials) == 6
    for trial in ran.trials:
        scale = factor[trial.assignment["scale"]](trial.assignment)
        assert trial.values[0] == pytest.approx(scale**2 * loss(trial.assignment["tune.learning_rate"]))
    assert dict(ran.trials[ran.best[0]].assignment) == {"scale": 1, "scale[1].factor": 0.5, "tune.learning_rate": 0.5}
    assert [step for step in ran.trained if step.startswith("scale#")] == ["scale#0", "scale#2", "scale#4"]


def test_conditional_options_are_there_where_their_condition_holds(sweep):
    case = {"when": {"tune.rank": [4]}, "search": {"type": "choice", "values": [0.2, 0.5]}}
    space = {
        "tune.rank": {"type": "choice", "values": [3, 4]},
        "tune.learning_rate": {"type": "conditional", "cases": [case]},
    }
    passes = {**EXACT, "tune": {**EXACT["tune"], "learning_rate": 0.1}}
    ran = sweep({"sampler": "sequential", "pruner": "none"}, space, passes=passes)
    assert assignments(ran.trials) == [
        {"tune.rank": 3},
        {"tune.rank": 4, "tune.learning_rate": 0.2},
        {"tune.rank": 4, "tune.learning_rate": 0.5},
    ]
    assert ran.trials[0].values[0] == pytest.approx((14.0 * 0.9**16 + 0.25) / 4)
    assert [trial.values[0] for trial in ran.trials[1:]] == pytest.approx([loss(0.2), loss(0.5)])


def test_pass_by_pass_settles_one_pass_after_another(sweep, judged):
    passes = {"scale": {"type": "ToyScale", "factor": 1.0}, **EXACT}
    space = {
        "scale.factor": {"type": "choice", "values": [2.0, 0.5, 1.0]},
        "tune.learning_rate": {"type": "choice", "values": [0.1, 0.4, 0.2]},
    }
    strategy = {"execution_order": "pass-by-pass", "sampler": "sequential", "max_samples": None, "pruner": "none"}
    ran = sweep(
        strategy,
        space,
        passes=passes,
        **judged({"type": "ToyNumbers", "sub_types": [{"name": "largest", "priority": 1}]}),
    )
    began = ran.of(events.SweepBegan)
    assert [each.searched for each in began] == [("scale.factor",), ("tune.learning_rate",)]
    ended = ran.of(events.TrialEnded)
    assert [event.values for event in ended[:3]] == [(6.0,), (1.5,), (3.0,)]
    assert [event.values[0] for event in ended[3:]] == pytest.approx([1.5 * 0.9**8, 1.5 * 0.6**8, 1.5 * 0.8**8])
    assert ran.best == (1,)
    assert ran.result.metrics["merge"]["toynumbers.largest"] == pytest.approx(1.5 * 0.6**8)


def test_pass_by_pass_shares_the_limits_of_one_run(sweep, judged, project):
    passes = {"scale": {"type": "ToyScale", "factor": 1.0}, **EXACT}
    space = {
        "scale.factor": {"type": "choice", "values": [2.0, 0.5, 1.0]},
        "tune.learning_rate": {"type": "choice", "values": [0.1, 0.4, 0.2]},
    }
    more = judged({"type": "ToyNumbers", "sub_types": [{"name": "largest", "priority": 1}]})
    strategy = {"execution_order": "pass-by-pass", "sampler": "sequential", "max_samples": 3, "max_iter": 2}
    counts, best = [], []
    for _ in range(3):
        ran = sweep(strategy, space, passes=passes, **more)
        counts.append([len([e for e in ran.of(events.TrialEnded) if not e.earlier]), len(ran.of(events.SweepBegan))])
        best.append(json.loads((project / "output" / "model" / "numbers.json").read_text())[2])
    assert counts == [[2, 1], [2, 2], [2, 2]]
    assert best == pytest.approx([1.5 * 0.7**8, 1.5 * 0.9**8, 1.5 * 0.6**8])


def test_of_several_objectives_the_first_decides_or_all_alike(sweep, judged):
    subs = [{"name": "largest", "priority": 1}, {"name": "smallest", "priority": 2, "higher_is_better": True}]
    more = judged({"type": "ToyNumbers", "sub_types": subs})
    space = {"scale.factor": {"type": "choice", "values": [1.0, 2.0, 0.5]}}
    passes = {"scale": {"type": "ToyScale", "factor": 1.0}}
    strategy = {"sampler": "sequential", "max_samples": None}
    by_priority = sweep(strategy, space, passes=passes, **more)
    assert [trial.values for trial in by_priority.trials] == [(3.0, 0.5), (6.0, 1.0), (1.5, 0.25)]
    assert by_priority.best == (2,)
    pareto = sweep({**strategy, "objectives": "pareto"}, space, passes=passes, **more)
    assert pareto.best == (2, 0, 1)
    assert sweep({**strategy, "objectives": "pareto", "output_model_num": 1}, space, passes=passes, **more).best == (2,)


@pytest.mark.parametrize(
    ("goal", "met"),
    [
        ({"type": "threshold", "value": 3.0}, [True, False, True]),
        ({"type": "max-degradation", "value": 0.0}, [True, False, True]),
        ({"type": "percent-max-degradation", "value": 100}, [True, True, True]),
        ({"type": "min-improvement", "value": 1.0}, [False, False, True]),
    ],
)
def test_goals_are_held_against_every_trial(sweep, judged, goal, met):
    more = judged({"type": "ToyNumbers", "sub_types": [{"name": "largest", "priority": 1, "goal": goal}]})
    space = {"scale.factor": {"type": "choice", "values": [1.0, 2.0, 0.5]}}
    passes = {"scale": {"type": "ToyScale", "factor": 1.0}}
    ran = sweep({"sampler": "sequential"}, space, passes=passes, **more, evaluate_input_model=True)
    assert [trial.met for trial in ran.trials] == met
    assert ran.trained.count("input_model:toynumbers") == 1


def test_another_goal_is_another_study(sweep, judged):
    space = {"scale.factor": {"type": "choice", "values": [1.0, 2.0]}}
    passes = {"scale": {"type": "ToyScale", "factor": 1.0}}
    found = []
    for bound in (3.0, 6.0):
        goal = {"type": "threshold", "value": bound}
        more = judged({"type": "ToyNumbers", "sub_types": [{"name": "largest", "priority": 1, "goal": goal}]})
        found.append(sweep({"sampler": "sequential"}, space, passes=passes, **more))
    assert [[trial.met for trial in ran.trials] for ran in found] == [[True, False], [True, True]]
    assert "scale#0" not in found[1].trained


# --- shared work --------------------------------------------------------------------------------------------------

SCALED = {**EXACT, "scale": {"type": "ToyScale", "factor": 1.0}}
DOWNSTREAM = {
    "tune.learning_rate": {"type": "choice", "values": [0.1, 0.2, 0.3, 0.4]},
    "scale.factor": {"type": "choice", "values": [1.0, 0.5, 2.0]},
}


def test_trials_that_differ_downstream_share_their_training(sweep, judged):
    more = judged({"type": "ToyNumbers", "sub_types": [{"name": "largest", "priority": 1}]})
    strategy = {"sampler": "sequential", "max_samples": 12, "wave_size": 12, "rungs": [0.5]}
    ran = sweep(strategy, DOWNSTREAM, passes=SCALED, **more)
    assert [trial.state for trial in ran.trials] == ["pruned"] * 6 + ["complete"] * 6
    assert [step for step in ran.trained if step.startswith("tune")] == [
        *(f"tune#{number}@0.5" for number in (0, 3, 6, 9)),
        *("tune#6", "tune#9"),
    ]
    assert [step for step in ran.trained if step.startswith("merge")] == ["merge#6", "merge#9"]
    assert ran.trials[7].values[0] == pytest.approx(3.0 * 0.7**8 * 0.5)
    assert ran.best == (10,)


def test_one_that_cannot_be_cut_is_never_pruned(sweep):
    space = {
        "tune.learning_rate": {"type": "choice", "values": [0.1, 0.2, 0.3, 0.4]},
        "tune.whole": {"type": "choice", "values": [False, True]},
    }
    strategy = {"sampler": "sequential", "wave_size": 8, "rungs": [0.25, 0.5], "pruner_config": {"min_finalists": 1}}
    ran = sweep(strategy, space, passes=EXACT)
    whole = [trial for trial in ran.trials if trial.assignment["tune.whole"]]
    assert [(trial.state, list(trial.curve)) for trial in whole] == [("complete", [1.0])] * 4
    others = [trial for trial in ran.trials if not trial.assignment["tune.whole"]]
    assert [list(trial.curve) for trial in others] == [[0.25], [0.25], [0.25, 0.5], [0.25, 0.5, 1.0]]
    store = Store(ran.result.output_dir.parent / ".olive-cache")
    seconds = {record.step: record.provenance.seconds for _, record in store.records.each()}
    assert whole[0].seconds == pytest.approx(seconds[f"tune#{whole[0].number}"], abs=0.001)


def test_states_between_stretches_are_removed(sweep, project):
    sweep()
    kept = [record.step for _, record in Store(project / ".olive-cache").records.each()]
    assert sorted(kept) == ["merge", "tune#1", "tune#3"]
    assert sum(path.is_file() for path in (project / ".olive-cache" / "blobs").rglob("*")) <= 8
