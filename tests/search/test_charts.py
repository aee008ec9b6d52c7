"""Charts as plotly figures: which are drawn of what, and what they hold."""

import json
import random
from dataclasses import replace

import pytest

from olive_engine.config.search.values import Choice, Conditional, FloatRange, IntRange
from olive_engine.search.chart_study import study_of
from olive_engine.search.chart_views import early_view, ranks
from olive_engine.search.charts import charts
from olive_engine.search.summary import budgets
from olive_engine.search.trials import Trial

from .sweeps import RUNGS, SEARCHED, halving, loss, pareto

LR = "tune.training_args.learning_rate"
BATCH = "tune.training_args.per_device_train_batch_size"


def drawn(sweep):
    return {chart.title: chart for chart in charts(sweep)}


def test_a_pruned_sweep_has_every_chart_of_one_objective():
    sweep = halving()
    shown = drawn(sweep)
    assert {title: len(chart.drawings) for title, chart in shown.items()} == {
        "Optimization history": 2,  # the loss at the end, and at the rung that all reached
        "Learning curves": 1,
        "Importance of the options": 1,
        "Parallel coordinates": 1,
        "Options one by one": 4,
        "Saved by pruning": 1,
    }


def test_history_holds_the_complete_trials_and_the_early_rung_all_of_them():
    sweep = halving()
    whole, early = drawn(sweep)["Optimization history"].drawings
    done = [trial for trial in sweep.trials if trial.state == "complete"]
    judged = [trial for trial in sweep.trials if trial.curve]
    assert list(whole.figure.data[0].x) == [trial.number for trial in done]
    assert list(whole.figure.data[0].y) == [trial.values[0] for trial in done]
    assert early.name == "eval_loss at 12.5 % of the budget (lower is better)"
    assert list(early.figure.data[0].y) == [trial.curve[0.125] for trial in judged]
    best = [min(trial.curve[0.125] for trial in judged if trial.number <= at.number) for at in sweep.trials]
    assert list(early.figure.data[1].y) == best


def test_learning_curves_go_as_far_as_each_trial_and_mark_the_best():
    sweep = halving()
    figure = drawn(sweep)["Learning curves"].drawings[0].figure
    curves = sorted(tuple(zip(trace.x, trace.y, strict=True)) for trace in figure.data)
    assert curves == sorted(tuple(trial.curve.items()) for trial in sweep.trials if trial.curve)
    last = figure.data[-1]
    assert (last.name, list(last.y)) == ("best", list(sweep.trials[sweep.best[0]].curve.values()))
    assert max(trace.opacity for trace in figure.data if trace.name == "pruned") < 0.6
    assert sorted(trace.name for trace in figure.data if trace.showlegend) == ["best", "complete", "pruned"]


def test_importance_finds_the_option_that_matters_though_most_trials_were_pruned():
    for seed in range(4):
        sweep = halving(seed=seed)
        bars = drawn(sweep)["Importance of the options"].drawings[0].figure.data[0]
        assert bars.y[-1] == "learning_rate"
        assert sum(bars.x) == pytest.approx(1)


def test_importance_follows_the_direction_of_the_objective():
    draw = random.Random(3)
    trials = []
    for number in range(40):
        options = {"a.x": draw.random(), "a.y": draw.random()}
        # Only the best trials depend on x alone, the worst on y alone.
        value = 10 + options["a.x"] if options["a.x"] > 0.75 else -options["a.y"]
        trials.append(Trial(number, number, options, state="complete", values=(value,)))
    searched = {"a.x": FloatRange(low=0, high=1), "a.y": FloatRange(low=0, high=1)}
    for up, first in ((True, "x"), (False, "y")):
        sweep = halving(
            trials=tuple(trials), searched=searched, objectives=(("score", up),), yardstick=None, best=(), retrain={}
        )
        bars = drawn(sweep)["Importance of the options"].drawings[0].figure.data[0]
        assert bars.y[-1] == first


def test_pruned_trials_rank_behind_those_that_came_further():
    trials = (
        Trial(0, 0, {}, state="pruned", curve={0.5: 0.1}),
        Trial(1, 1, {}, state="complete", values=(9.0,)),
        Trial(2, 2, {}, state="pruned", curve={0.5: 0.2}),
        Trial(3, 3, {}, state="pruned", curve={0.25: 0.01}),
        Trial(4, 4, {}, state="failed", curve={0.25: 0.001}),
        Trial(5, 5, {}, state="complete", values=(float("nan"),)),
    )
    assert ranks(halving(trials=trials, best=(), retrain={}), 0) == {1: 0, 0: 1, 2: 2, 3: 3}


def test_parallel_lines_are_bluest_for_the_best_and_keep_long_names():
    sweep = halving()
    figure = drawn(sweep)["Parallel coordinates"].drawings[0].figure
    assert "per_device_train_batch_size" in figure.layout.xaxis.ticktext
    lines = [trace for trace in figure.data if trace.mode == "lines"]
    assert len(lines) == 15
    by_loss = sorted(lines, key=lambda line: line.y[0])
    assert by_loss[0].line.color == "#3f7df5"
    assert by_loss[-1].line.color == "#9aa3b2"


def test_slices_show_plain_texts_and_numbers_in_order():
    drawings = {drawing.name: drawing.figure for drawing in drawn(halving())["Options one by one"].drawings}
    modules = drawings["eval_loss at 12.5 % of the budget by target_modules"]
    assert list(modules.layout.xaxis.categoryarray) == ["[q_proj, v_proj]", "all-linear", "none"]
    assert set(modules.data[0].x) == {"[q_proj, v_proj]", "all-linear", "none"}
    rates = drawings["eval_loss at 12.5 % of the budget by learning_rate"]
    assert rates.layout.xaxis.type == "log"
    assert sorted(rates.data[0].x) == sorted(trial.assignment[LR] for trial in halving().trials if trial.curve)


def test_saved_tokens_add_up():
    sweep = halving()
    told = budgets(sweep.trials)
    judged = [trial for trial in sweep.trials if trial.curve]
    assert told.in_tokens
    assert sum(told.spent.values()) == sum(trial.tokens for trial in judged)
    assert sum(told.spent.values()) + sum(told.saved.values()) == 40_000 * len(judged)
    assert told.in_words() == "Pruning saved 420,000 of 600,000 training tokens (70%)."
    bars = drawn(sweep)["Saved by pruning"].drawings[0].figure.data
    assert {bar.name: sum(bar.y) for bar in bars} == {
        "spent, complete": 80_000,
        "spent, pruned": 100_000,
        "saved": 420_000,
    }


def test_what_a_pruned_trial_would_have_spent_is_what_complete_trials_of_one_budget_did():
    done = [Trial(n, n, {}, state="complete", values=(1.0,), curve={1.0: 1.0}, tokens=4000 + n) for n in range(3)]
    pruned = Trial(3, 3, {}, state="pruned", curve={0.125: 2.0}, tokens=560)  # its stretch ended after the rung
    assert budgets([*done, pruned]).saved == {3: 4001 - 560}
    other = replace(done[0], number=4, tokens=8000)  # no common budget: its own fraction tells
    assert budgets([*done, other, pruned]).saved == {3: 560 * 7}


def test_without_tokens_what_is_saved_is_told_in_budgets():
    trials = tuple(replace(trial, tokens=0) for trial in halving().trials)
    told = budgets(trials)
    assert (told.in_tokens, sum(told.saved.values()), sum(told.spent.values())) == (False, 10.5, 4.5)
    assert told.in_words() == "Pruning saved 10.5 of 15 trial budgets (70%)."


def test_several_objectives_have_a_front_and_a_history_each():
    sweep = pareto()
    shown = drawn(sweep)
    figure = shown["Pareto front"].drawings[0].figure
    front = {tuple(point) for point in zip(figure.data[1].x, figure.data[1].y, strict=True)}
    points = [trial.values for trial in sweep.trials]
    expected = {
        mine
        for mine in points
        if not any(other[0] >= mine[0] and other[1] <= mine[1] and other != mine for other in points)
    }
    assert front == expected
    assert len(figure.data[0].x) == len(points) - len(expected)
    assert [drawing.name for drawing in shown["Optimization history"].drawings] == [
        "quality.accuracy_score (higher is better)",
        "size_on_disk.bytes (lower is better)",
    ]
    # Best so far rises for the one, and falls for the other.
    first, second = (drawing.figure.data[1].y for drawing in shown["Optimization history"].drawings)
    assert (first[-1], second[-1]) == (max(p[0] for p in points), min(p[1] for p in points))
    assert len(shown["Importance of the options"].drawings) == 2
    assert len(shown["Options one by one"].drawings) == 8


def test_three_objectives_are_drawn_in_space_and_of_four_the_first_two():
    three = drawn(pareto(objectives=3))["Pareto front"]
    assert {trace.type for trace in three.drawings[0].figure.data} == {"scatter3d"}
    four = drawn(pareto(objectives=4))["Pareto front"]
    assert {trace.type for trace in four.drawings[0].figure.data} == {"scatter"}
    assert "Of the 4 objectives these are the first two." in four.note


def test_by_priority_options_are_weighed_by_the_first_objective():
    shown = drawn(pareto(mode="priority"))
    assert [drawing.name for drawing in shown["Importance of the options"].drawings] == [
        "quality.accuracy_score (higher is better)"
    ]
    assert len(shown["Pareto front"].drawings) == 1


def test_an_option_that_some_trials_lack_is_said_to_be_not_set():
    figure = drawn(pareto())["Parallel coordinates"].drawings[0].figure
    texts = [tick.text for tick in figure.layout.annotations]
    assert texts.count("not set") == 2  # alpha and symmetric
    assert "None" not in texts
    alpha = next(
        drawing.figure
        for drawing in drawn(pareto())["Options one by one"].drawings
        if drawing.name == "quality.accuracy_score by alpha"
    )
    assert len(alpha.data[0].x) == sum("tune.alpha" in trial.assignment for trial in pareto().trials)


@pytest.mark.parametrize("states", [(), ("running",), ("failed",), ("failed", "running")], ids=str)
def test_without_measured_trials_each_chart_says_why_it_is_not_there(states):
    options = {"tune.r": 8, LR: 1e-4}
    trials = tuple(Trial(number, number, options, state=state) for number, state in enumerate(states))
    shown = charts(halving(trials=trials, best=(), retrain={}, correlations=()))
    assert [(chart.title, chart.note) for chart in shown] == [
        ("Optimization history", "Not drawn: no trial has a value yet."),
        ("Learning curves", "Not drawn: no trial was measured more than once."),
        ("Importance of the options", "Not drawn: it takes 8 trials that were measured, and so far there are 0."),
        ("Parallel coordinates", "Not drawn: it takes two trials with a value."),
        ("Options one by one", "Not drawn: it takes two trials with a value."),
        ("Saved by pruning", "No trial was pruned."),
    ]
    assert not any(chart.drawings for chart in shown)


def test_one_option_has_no_importance():
    trials = tuple(Trial(n, n, {"tune.r": 8}, state="complete", values=(float(n),)) for n in range(10))
    shown = drawn(halving(trials=trials, searched={"tune.r": SEARCHED["tune.r"]}, best=(), retrain={}))
    assert shown["Importance of the options"].note == "Not drawn: fewer than two options were searched."
    assert len(shown["Parallel coordinates"].drawings) == 1


def test_options_that_never_differ_have_no_importance():
    trials = tuple(
        Trial(n, n, {"tune.r": 8, "tune.b": 1}, state="complete", values=(float(n),), curve={1.0: float(n)})
        for n in range(10)
    )
    searched = {"tune.r": Choice(values=(8,)), "tune.b": Choice(values=(1,))}
    shown = drawn(halving(trials=trials, searched=searched, best=(0,), retrain={}))
    note = "Not drawn: no option tells the best trials from the others."
    assert shown["Importance of the options"].note == note


def test_values_that_are_no_numbers_are_left_out():
    values = (0.5, float("nan"), float("inf"), 0.25)
    trials = tuple(
        Trial(n, n, {"tune.r": 8, LR: 1e-3}, state="complete", values=(value,), curve={0.5: value, 1.0: value})
        for n, value in enumerate(values)
    )
    shown = drawn(halving(trials=trials, best=(3,), retrain={}))
    assert list(shown["Optimization history"].drawings[0].figure.data[0].y) == [0.5, 0.25]
    for chart in shown.values():
        for drawing in chart.drawings:
            json.loads(drawing.figure.to_json(), parse_constant=lambda constant: pytest.fail(constant))
    assert len(shown["Learning curves"].drawings[0].figure.data) == 2


def test_no_name_or_value_of_a_user_reaches_a_figure_as_markup():
    bad = "<script>alert(1)</script><b>x"
    trials = tuple(
        Trial(
            n, n, {"tune.<i>r": bad, "tune.b": (bad, n)}, state="complete", values=(n / 10,), curve={0.5: 1.0, 1.0: 0.5}
        )
        for n in range(9)
    )
    sweep = halving(
        trials=trials,
        objectives=(("<u>loss", False),),
        yardstick=("<u>loss", False),
        searched={"tune.<i>r": Choice(values=(bad, "other"))},
        best=(0,),
        retrain={},
    )
    for chart in charts(sweep):
        for drawing in chart.drawings:
            text = drawing.figure.to_json().replace("\\u003c", "<")
            assert not any(mark in text for mark in ("<script", "<i>", "<u>", "<b>x"))


def test_values_outside_the_declared_ones_are_shown_as_text():
    """A study may have trials of an older space, or of a case of conditions that is gone."""
    either = Conditional(
        cases=({"when": {"a.k": ("x",)}, "search": IntRange(low=1, high=4)},), otherwise=FloatRange(low=0.5, high=0.9)
    )
    searched = {"a.r": Choice(values=(8, 16)), "a.m": either, "a.flag": Choice(values=(True, 1, None))}
    chosen = [(8, 1, True), (16, 0.75, 1), (64, 3, None)]
    trials = tuple(
        Trial(n, n, dict(zip(searched, values, strict=True)), state="complete", values=(float(n),))
        for n, values in enumerate(chosen)
    )
    sweep = halving(trials=trials, searched=searched, best=(), retrain={})
    study = study_of(sweep, {n: (float(n),) for n in range(3)}, [False])
    assert [trial.params["r"] for trial in study.trials] == ["8", "16", "64"]
    assert [trial.params["m"] for trial in study.trials] == [1.0, 0.75, 3.0]
    assert [trial.params["flag"] for trial in study.trials] == ["true", "1", "none"]


def test_a_study_in_memory_has_the_states_and_rungs_of_the_trials():
    sweep = halving()
    study = study_of(sweep, {}, [True])
    assert study.direction.name == "MAXIMIZE"
    assert [trial.number for trial in study.trials] == [trial.number for trial in sweep.trials]
    names = {"complete": "FAIL", "pruned": "PRUNED", "failed": "FAIL"}  # none has a value here
    assert [trial.state.name for trial in study.trials] == [names[trial.state] for trial in sweep.trials]
    pruned = next(trial for trial in sweep.trials if trial.state == "pruned" and len(trial.curve) > 1)
    assert list(study.trials[pruned.number].intermediate_values.values()) == list(pruned.curve.values())


def test_trials_keep_their_numbers_where_others_use_the_study_too():
    trials = tuple(Trial(n, n, {"tune.r": 8, LR: 1e-3}, state="complete", values=(n / 10,)) for n in (1, 4, 5))
    history = drawn(halving(trials=trials, best=(1,), retrain={}))["Optimization history"].drawings[0].figure.data[0]
    assert (list(history.x), list(history.y)) == ([1, 4, 5], [0.1, 0.4, 0.5])


def test_the_early_rung_is_the_last_that_all_judged_trials_share():
    options = {"tune.r": 8, LR: 1e-3, BATCH: 1, "tune.target_modules": None}
    curves = [{rung: loss(options, rung) for rung in RUNGS[: 2 + number % 3]} for number in range(6)]
    trials = tuple(
        Trial(
            n,
            n,
            options,
            state="complete" if 1.0 in curve else "pruned",
            values=(curve[1.0],) if 1.0 in curve else (),
            curve=curve,
        )
        for n, curve in enumerate(curves)
    )
    view = early_view(halving(trials=trials, best=(), retrain={}))
    assert view.name == "eval_loss at 25 % of the budget"
    assert set(view.values) == set(range(6))
    assert early_view(halving(trials=tuple(t for t in trials if t.state == "complete"), best=(), retrain={})) is None
