"""Trials that fail, and what becomes of the others."""

import json

import pytest

from olive_engine.errors import PassFailed
from olive_engine.reporting import events
from olive_engine.store import Store
from tests.search.conftest import TUNE, plain, workers

RATE = {"type": "choice", "values": [0.1, 0.2, 0.3, 0.4]}
BEST = 3
"""The highest of these rates is the best one."""
GRID = {"sampler": "sequential", "wave_size": 4, "max_samples": 4, "pruner": "none"}


def failing(how, only=None, **options):
    """A space in which the trial with the rate `only`, or every one, misbehaves; and the passes that do."""
    space = {"tune.learning_rate": RATE}
    if only is not None:
        when = {"when": {"tune.learning_rate": [only]}, "search": {"type": "choice", "values": [how]}}
        space["tune.misbehave"] = {"type": "conditional", "cases": [when]}
    tune = {"type": "ToyTrain", "steps": 8, "noise": 0.0, "rank": 4, **options}
    passes = {**TUNE, "tune": tune if only is not None else {**tune, "misbehave": how}}
    return {"space": space, "passes": passes}


def states(trials):
    return [(trial.number, trial.index, trial.state) for trial in trials]


@pytest.mark.parametrize("debug", [True, False], ids=["in process", "in workers"])
def test_one_that_fails_is_shown_and_the_others_go_on(sweep, project, debug):
    ran = sweep(GRID, **failing("raise", only=0.2), debug=debug)
    assert states(ran.trials) == [(0, 0, "complete"), (1, 1, "failed"), (2, 2, "complete"), (3, 3, "complete")]
    assert ran.trials[1].cause == "asked to fail"
    assert not ran.trials[1].hopeless
    assert ran.best == (BEST,)
    (failed,) = [event for event in ran.of(events.TrialEnded) if event.state == "failed"]
    assert (failed.trial, failed.cause, failed.spent) == (1, "asked to fail", 0.0)
    assert ran.of(events.SweepEnded)[0].failed == 1
    assert (project / "output" / "model" / "numbers.json").exists()


def test_what_failed_is_tried_again_by_the_same_command_until_it_succeeds(sweep, project):
    whole = failing("raise", only=0.2, mended_by=str(project / "mended"))
    first = sweep(GRID, **whole)
    second = sweep(GRID, **whole)
    assert states(second.trials)[4:] == [(4, 1, "failed")]
    assert second.trials[4].retry_of == 1
    assert plain(second.trials[:4]) == plain(first.trials)
    assert second.best == first.best
    assert [(event.trial, event.again) for event in second.of(events.TrialBegan)][4:] == [(4, 1)]
    (project / "mended").touch()
    third = sweep(GRID, **whole)
    assert states(third.trials)[5:] == [(5, 1, "complete")]
    assert third.trials[5].retry_of == 4
    assert third.trials[5].assignment == first.trials[1].assignment
    assert third.trials[5].values == pytest.approx((14.25 / 4 * 0.8 ** (2 * 8),))
    fourth = sweep(GRID, **whole)
    assert fourth.trials == third.trials
    assert fourth.trained == []


def test_those_that_failed_are_tried_again_within_the_limits_of_a_run(sweep, project):
    whole = failing("raise", mended_by=str(project / "mended"))
    strategy = {**GRID, "wave_size": 2}
    for _ in range(2):
        with pytest.raises(PassFailed, match="asked to fail"):
            sweep(strategy, **whole)
    (project / "mended").touch()
    ran = sweep({**strategy, "max_iter": 1}, **whole)
    assert states(ran.trials) == [
        (0, 0, "failed"),
        (1, 1, "failed"),
        (2, 0, "failed"),
        (3, 1, "failed"),
        (4, 0, "complete"),
    ]
    ran = sweep(strategy, **whole)
    assert [state[1:] for state in states(ran.trials)[5:]] == [(1, "complete"), (2, "complete"), (3, "complete")]


def test_what_diverged_is_not_tried_again(sweep):
    whole = failing("diverge", only=0.2)
    ran = sweep(GRID, **whole)
    assert (ran.trials[1].state, ran.trials[1].hopeless) == ("failed", True)
    assert ran.trials[1].cause == "FloatingPointError: the loss is not finite"
    again = sweep(GRID, **whole)
    assert again.trials == ran.trials
    assert again.trained == []


@pytest.mark.parametrize(
    ("how", "cause"), [("measure nothing", "it gave no eval_loss"), ("nan", "its eval_loss was nan")]
)
@pytest.mark.parametrize("pruner", ["none", "successive_halving"])
def test_what_measures_nothing_has_failed_for_good(sweep, how, cause, pruner):
    ran = sweep({**GRID, "pruner": pruner, "rungs": [0.5]}, **failing(how, only=0.4))
    assert (ran.trials[3].state, ran.trials[3].cause, ran.trials[3].hopeless) == ("failed", cause, True)
    assert ran.trials[3].curve == {}
    assert ran.best == (2,)


def test_what_measures_nothing_in_the_end_has_failed(sweep):
    ran = sweep({**GRID}, **failing("nan", only=0.4))
    assert (ran.trials[3].state, ran.trials[3].cause) == ("failed", "it has no number for eval_loss")


def test_a_wave_in_which_all_fail_ends_the_search(sweep, make, project):
    strategy = {**GRID, "wave_size": 2}
    with pytest.raises(PassFailed, match=r"^trial 0: asked to fail$"):
        sweep(strategy, **failing("raise", mended_by=str(project / "mended")))
    (project / "mended").touch()
    ran = sweep(strategy, **failing("raise", mended_by=str(project / "mended")))
    assert [trial.state for trial in ran.trials] == ["failed"] * 2 + ["complete"] * 4
    assert [trial.index for trial in ran.trials] == [0, 1, 0, 1, 2, 3]


def test_a_search_of_which_nothing_is_left_fails_and_can_be_run_again(sweep, project):
    whole = failing("diverge")
    for _ in range(2):  # the reports that the first one leaves are known for ours
        with pytest.raises(PassFailed, match="FloatingPointError: the loss is not finite"):
            sweep({**GRID, "wave_size": 2}, **whole)
    assert json.loads((project / "output" / "run.json").read_text())["status"] == "failed"


def test_an_earlier_pass_that_fails_fails_the_trials_that_need_it(sweep):
    passes = {"scale": {"type": "ToyScale", "factor": 1.0}, **TUNE}
    space = {
        "scale.misbehave": {"type": "choice", "values": ["", "raise"]},
        "tune.learning_rate": {"type": "choice", "values": [0.1, 0.2]},
    }
    ran = sweep(GRID, space, passes=passes)
    assert [(trial.state, trial.cause) for trial in ran.trials] == [
        ("complete", ""),
        ("complete", ""),
        ("failed", "scale: RuntimeError: asked to fail"),
        ("failed", "scale: RuntimeError: asked to fail"),
    ]
    assert len(ran.of(events.StepFailed)) == 1
    assert ran.best == (1,)


def test_values_that_do_not_go_together_fail_their_own_trial(sweep):
    space = {"tune.rank": {"type": "choice", "values": [2, 4]}, "tune.steps": {"type": "choice", "values": [3, 8]}}
    ran = sweep(GRID, space)
    assert states(ran.trials) == [(0, 0, "complete"), (1, 1, "complete"), (2, 2, "failed"), (3, 3, "complete")]
    assert ran.trials[2].cause == "passes.tune: rank must be at most steps, which is 3; found 4"
    assert ran.trials[2].hopeless
    assert sweep(GRID, space).trials == ran.trials


@pytest.mark.parametrize("how", ["kill", "exit"])
def test_what_kills_its_worker_takes_no_other_trial_of_its_pack_with_it(sweep, project, how):
    ran = sweep(GRID, **failing(how, only=0.2), **workers(1), debug=False)
    assert [trial.state for trial in ran.trials] == ["complete", "failed", "complete", "complete"]
    cause = {"kill": "its worker was killed (signal 9)", "exit": "RuntimeError: the pass ended its process (exit 3)"}[
        how
    ]
    assert cause in ran.trials[1].cause
    store = Store(project / ".olive-cache")
    packed = {record.step: record.provenance.packed for _, record in store.records.each() if record.type == "ToyTrain"}
    assert set(packed.values()) == {False}  # they were tried alone


def test_a_failure_on_the_way_leaves_the_rungs_that_were_reached(sweep):
    ran = sweep({**GRID, "rungs": [0.25, 0.5]}, **failing("raise", only=0.3, misbehave_at=3))
    assert list(ran.trials[2].curve) == [0.25]
    assert (ran.trials[2].state, ran.trials[2].spent) == ("failed", 0.25)
    assert ran.best == (BEST,)
