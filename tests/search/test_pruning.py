"""Optuna's pruners at our rungs: what they are known to do, and that a study made up again answers as a living one."""

from __future__ import annotations

import math
import warnings
from random import Random
from typing import Any

import optuna
import pytest
from optuna.exceptions import ExperimentalWarning
from optuna.trial import TrialState

from olive_engine.config.search.strategy import SearchStrategy
from olive_engine.contracts import Yardstick
from olive_engine.search.optuna_pruning import STUDY, make_pruner
from olive_engine.search.rungs import Rungs, Standing, rungs_of
from olive_engine.search.trials import State, Trial

EIGHTHS = tuple(eighths / 8 for eighths in range(1, 9))


def rungs(higher_is_better: bool = False, **fields: Any) -> Rungs:
    return rungs_of(SearchStrategy(**fields), Yardstick("value", higher_is_better))


def ended(number: int, values: list[float], state: State = "complete") -> Trial:
    return Trial(number, number, {}, state=state, curve=dict(zip(EIGHTHS, values, strict=False)))


def standing(number: int, *values: float) -> Standing:
    return Standing(number, number, dict(zip(EIGHTHS, values, strict=False)))


# --- median and percentile ----------------------------------------------------------------------------------------


def test_median_compares_with_complete_trials_of_earlier_waves() -> None:
    median = rungs(pruner="median", pruner_config={"n_startup_trials": 3})
    flat = [ended(number, [float(number + 1)] * 8) for number in range(3)]  # 1, 2, 3: the median is 2
    wave = [standing(5, 1.9), standing(6, 2.0), standing(7, 2.1), standing(8, 9.0)]
    assert median.survivors(0, wave, flat) == {5, 6}
    assert median.survivors(0, wave, flat[:2]) == {5, 6, 7, 8}  # fewer than n_startup_trials
    pruned = [flat[0], flat[1], ended(2, [3.0], "pruned")]
    assert median.survivors(0, wave, pruned) == {5, 6, 7, 8}  # a pruned trial is none of them


def test_median_prunes_nobody_of_the_first_wave() -> None:
    median = rungs(pruner="median", pruner_config={"n_startup_trials": 0})
    assert median.survivors(0, [standing(n, float(n)) for n in range(6)], []) == set(range(6))


def test_median_where_higher_is_better() -> None:
    median = rungs(higher_is_better=True, pruner="median", pruner_config={"n_startup_trials": 0})
    flat = [ended(number, [float(number + 1)] * 8) for number in range(3)]
    assert median.survivors(0, [standing(5, 1.9), standing(6, 2.0), standing(7, 2.1)], flat) == {6, 7}


def test_median_looks_at_the_best_value_of_a_trial_so_far() -> None:
    median = rungs(pruner="median", pruner_config={"n_startup_trials": 0})
    flat = [ended(number, [2.0] * 8) for number in range(3)]
    assert median.survivors(1, [standing(5, 1.0, 3.0), standing(6, 3.0, 3.0)], flat) == {5}


@pytest.mark.parametrize(("warmup", "judged_from"), [(0, 1), (1, 2), (3, 4)])
def test_warmup_steps_are_rungs_at_which_nobody_is_pruned(warmup: int, judged_from: int) -> None:
    config = {"n_startup_trials": 0, "n_warmup_steps": warmup}
    median, good = rungs(pruner="median", pruner_config=config), [ended(0, [0.0] * 8)]
    left = {rung: median.survivors(rung - 1, [standing(5, *[1.0] * rung)], good) for rung in range(1, 6)}
    assert [rung for rung, going in left.items() if not going] == list(range(judged_from, 6))


def test_interval_steps_count_from_the_first_rung_after_warmup() -> None:
    config = {"n_startup_trials": 0, "n_warmup_steps": 1, "interval_steps": 2}
    median, good = rungs(pruner="median", pruner_config=config), [ended(0, [0.0] * 8)]
    left = {rung: median.survivors(rung - 1, [standing(5, *[1.0] * rung)], good) for rung in range(1, 8)}
    assert [rung for rung, going in left.items() if not going] == [2, 4, 6]


def test_percentile() -> None:
    config = {"percentile": 25, "n_startup_trials": 0}
    flat = [ended(number, [float(number)] * 8) for number in range(5)]  # 0 to 4: a quarter is at 1
    wave = [standing(5, 0.9), standing(6, 1.0), standing(7, 1.1)]
    assert rungs(pruner="percentile", pruner_config=config).survivors(0, wave, flat) == {5, 6}
    assert rungs(higher_is_better=True, pruner="percentile", pruner_config=config).survivors(
        0, [standing(5, 2.9), standing(6, 3.0)], flat
    ) == {6}


# --- the others ---------------------------------------------------------------------------------------------------


def test_threshold_is_about_the_value_alone() -> None:
    config = {"upper": 2.0, "lower": 1.0}
    wave = [standing(0, 0.9), standing(1, 1.0), standing(2, 2.0), standing(3, 2.1)]
    assert rungs(pruner="threshold", pruner_config=config).survivors(0, wave, []) == {1, 2}
    assert rungs(higher_is_better=True, pruner="threshold", pruner_config=config).survivors(0, wave, []) == {1, 2}
    assert rungs(pruner="threshold", pruner_config={"upper": 1.5}).survivors(0, wave, []) == {0, 1}


def test_patient_stops_a_trial_that_grows_worse() -> None:
    patient = rungs(pruner="patient", pruner_config={"patience": 1})
    worse, better = standing(0, 1.0, 1.1, 1.2), standing(1, 3.0, 2.0, 1.9)
    assert patient.survivors(1, [standing(0, 1.0, 1.1), standing(1, 3.0, 2.0)], []) == {0, 1}  # still patient
    assert patient.survivors(2, [worse, better], []) == {1}
    tolerant = rungs(pruner="patient", pruner_config={"patience": 1, "min_delta": 0.5})
    assert tolerant.survivors(2, [worse, better], []) == {0, 1}


@pytest.mark.parametrize("wrapped", ["median", {"name": "median", "n_startup_trials": 0}])
def test_patient_holds_another_pruner_back(wrapped: object) -> None:
    patient = rungs(pruner="patient", pruner_config={"patience": 0, "wrapped_pruner": wrapped})
    good, bad = [ended(number, [0.0] * 8) for number in range(4)], [ended(number, [9.0] * 8) for number in range(4)]
    wave = [standing(5, 1.0, 2.0), standing(6, 2.0, 1.0)]
    # The median prunes both at 0, neither at 9; the one that still improves is not asked about.
    assert patient.survivors(1, wave, bad) == {5, 6}
    assert patient.survivors(1, wave, good) == ({5, 6} if wrapped == "median" else {6})  # 5 startup trials by default


def test_wilcoxon_needs_four_rungs_at_its_default_threshold() -> None:
    wilcoxon, best = rungs(pruner="wilcoxon"), [ended(0, [1.0] * 8), ended(1, [5.0] * 8)]
    left = {n: wilcoxon.survivors(n - 1, [standing(5, *[2.0 + r / 9 for r in range(n)])], best) for n in range(1, 6)}
    assert {rung: bool(going) for rung, going in left.items()} == {1: True, 2: True, 3: True, 4: False, 5: False}
    assert wilcoxon.survivors(4, [standing(5, *[2.0] * 5)], []) == {5}  # no complete trial, nothing to compare with


def test_hyperbands_resource_is_the_number_of_a_rung() -> None:
    """At eta 2 and four rungs there are three brackets, whose first rungs are 1, 2 and 4."""
    hyperband = rungs(pruner="hyperband", pruner_config={"reduction_factor": 2}, rungs=[0.25, 0.5, 0.75])
    first_judged: dict[int, int] = {}
    fractions = hyperband.fractions
    assert len(fractions) == 4
    for number in range(24):
        for rung in range(1, 4):
            # Everyone else, of whichever bracket, has been better everywhere.
            good = [
                Trial(n, n, {}, state="complete", curve=dict.fromkeys(fractions, 0.0)) for n in range(24) if n != number
            ]
            curve = dict.fromkeys(fractions[:rung], 1.0)
            if not hyperband.survivors(rung - 1, [Standing(number, number, curve)], good):
                first_judged[number] = rung
                break
    assert set(first_judged.values()) == {1, 2}
    # The third bracket's first rung is the end, where nobody is pruned.
    assert 0 < len(first_judged) < 24


def test_an_explicit_max_resource_counts() -> None:
    def brackets(**config: int | str) -> int:
        pruner = make_pruner("hyperband", {"reduction_factor": 2, **config}, 8)
        pruner.prune(study := optuna.create_study(study_name=STUDY), optuna.trial.create_trial(value=0.0))
        assert study.study_name == STUDY
        return len(pruner._pruners)  # type: ignore[attr-defined]  # Optuna does not tell otherwise

    assert brackets() == brackets(max_resource="auto") == 4  # 8 rungs: 1, 2, 4, 8
    assert brackets(max_resource=2) == 2
    assert brackets(min_resource=2) == 3


# --- against a study that lives ------------------------------------------------------------------------------------

LIVING: list[dict[str, Any]] = [
    {"pruner": "median", "pruner_config": {"n_startup_trials": 2, "n_warmup_steps": 1}},
    {"pruner": "percentile", "pruner_config": {"percentile": 60, "n_startup_trials": 1, "interval_steps": 2}},
    {"pruner": "patient", "pruner_config": {"patience": 1, "wrapped_pruner": "hyperband"}},
    {"pruner": "threshold", "pruner_config": {"upper": 2.0}},
    {"pruner": "wilcoxon", "pruner_config": {"p_threshold": 0.4}},
    {"pruner": "hyperband", "pruner_config": {"reduction_factor": 2}},
    {"pruner": "hyperband", "pruner_config": {"reduction_factor": 3, "bootstrap_count": 1, "max_resource": 8}},
]


@pytest.mark.parametrize("higher", [False, True])
@pytest.mark.parametrize("fields", LIVING, ids=lambda fields: fields["pruner"])
def test_a_study_made_up_again_answers_as_one_that_lives(fields: dict[str, Any], higher: bool) -> None:
    """Three waves of six in one Optuna study that remembers, beside ours, which is told of the curves each time."""
    random, judge = Random(7), rungs(higher, **fields)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        pruner = make_pruner(fields["pruner"], fields["pruner_config"], 8)
    direction = "maximize" if higher else "minimize"
    study = optuna.create_study(study_name=STUDY, direction=direction, pruner=pruner)  # type: ignore[arg-type]
    before: list[Trial] = []
    fewer = 0
    for wave in range(3):
        living = {trial.number: trial for trial in (study.ask() for _ in range(6))}
        assert set(living) == set(range(wave * 6, wave * 6 + 6))
        levels = {number: random.uniform(0, 3) for number in living}
        curves: dict[int, dict[float, float]] = {number: {} for number in living}
        left = set(living)
        ends: dict[int, State] = {}
        for rung, fraction in enumerate(judge.fractions):
            for number in left:
                curves[number][fraction] = levels[number] + random.uniform(-0.5, 0.5)
                living[number].report(curves[number][fraction], rung + 1)
            if fraction == 1.0:
                break
            told = {number for number in sorted(left) if not living[number].should_prune()}
            if not told and not any(trial.state == "complete" for trial in before):
                told = {min(left, key=lambda number: (-1 if higher else 1) * curves[number][fraction])}
            ours = judge.survivors(rung, [Standing(n, n, curves[n]) for n in left], before)
            assert ours == told, (wave, rung)
            for number in left - told:
                study.tell(living[number], state=TrialState.PRUNED)
                ends[number] = "pruned"
            fewer += len(left - told)
            left = told
        for number in left:
            study.tell(living[number], curves[number][1.0])
        before += [Trial(n, n, {}, state=ends.get(n, "complete"), curve=curves[n]) for n in living]
    assert fewer >= 3, "hardly anyone was pruned, so nothing was compared"


def test_numbers_may_have_gaps_and_waves_any_order() -> None:
    median = rungs(pruner="median", pruner_config={"n_startup_trials": 0})
    before = [ended(11, [2.0] * 8), ended(3, [1.0] * 8), ended(7, [math.nan] * 8), ended(8, [], "failed")]
    assert median.survivors(0, [standing(40, 1.4), standing(20, 1.6)], before) == {40}


def test_optuna_stays_silent(capfd: pytest.CaptureFixture[str]) -> None:
    """No log line about a new study, no warning of an experimental pruner; and its verbosity is as it was."""
    optuna.logging.set_verbosity(optuna.logging.INFO)
    wilcoxon = rungs(pruner="wilcoxon")
    # A trial of an earlier run that had other rungs: Optuna would warn.
    before = [Trial(0, 0, {}, state="complete", curve={0.3: 1.0, 1.0: 1.0})]
    assert wilcoxon.survivors(1, [standing(5, 1.0, 1.0)], before) == {5}
    assert capfd.readouterr() == ("", "")
    assert optuna.logging.get_verbosity() == optuna.logging.INFO
