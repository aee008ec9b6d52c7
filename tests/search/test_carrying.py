"""Where trials can be judged on the way, and what is kept of them."""

import pytest

from olive_engine import planning
from olive_engine.ground import Ground
from olive_engine.reporting.recorder import Recorder
from olive_engine.search.carrying import Carrier, Runner, targets_of, training_of
from olive_engine.search.objectives import objectives_of
from olive_engine.search.trials import Trial
from tests.search.conftest import TUNE

FRACTIONS = (0.25, 0.5, 1.0)
EXACT = {"type": "ToyTrain", "steps": 8, "rank": 4, "noise": 0.0}


@pytest.fixture
def carrier(make):
    """What carries the trials of a search, with the store and the reporter."""

    def of(passes, space, **more):
        workflow = make(space=space, passes=passes, **more)
        objectives = objectives_of(workflow)
        training = training_of(workflow, targets_of(objectives))
        with planning.opened(workflow, debug=True) as (store, systems):
            recorder = Recorder()
            ground = Ground(store, systems, recorder)
            return Carrier(workflow, ground, objectives, training, lambda: False), store, recorder

    return of


RATES = {"tune.learning_rate": {"type": "choice", "values": [0.1, 0.5]}}


@pytest.mark.parametrize(
    ("passes", "where"),
    [
        ({"tune": EXACT}, "tune"),
        ({"tune": EXACT, "merge": {"type": "ToyMerge"}}, "tune"),
        ({"tune": EXACT, "merge": {"type": "ToyMerge"}, "more": EXACT}, "more"),
        ({"tune": {**EXACT, "whole": True}}, None),
        ({"tune": [EXACT, {**EXACT, "steps": 4}]}, "tune"),
        ({"tune": [EXACT, {**EXACT, "whole": True}]}, None),
    ],
)
def test_the_last_training_on_the_way_that_can_be_cut_is_judged(make, passes, where):
    prefix = "tune[0]" if isinstance(passes["tune"], list) else "tune"
    workflow = make(space={f"{prefix}.noise": {"type": "choice", "values": [0.0, 0.1]}}, passes=passes)
    found = training_of(workflow, targets_of(objectives_of(workflow)))
    assert (found and found.step) == where


def test_trials_arrive_with_what_was_measured(carrier):
    carry, _, recorder = carrier({**TUNE, "tune": EXACT}, RATES)
    runners = [carry.ready(Trial(n, n, {"tune.learning_rate": rate})) for n, rate in enumerate((0.1, 0.5))]
    found = carry.carry(runners, FRACTIONS[:1])
    assert [found[n].value for n in (0, 1)] == pytest.approx([14.25 / 4 * 0.9**4, 14.25 / 4 * 0.5**4])
    assert found[0].group != found[1].group
    assert found[0].group == carry.group(runners[0], 0.25)
    assert (recorder.events[0].until, recorder.events[0].steps) == (0.25, {0: "tune#0@0.25", 1: "tune#1@0.25"})
    found = carry.carry(runners[1:], FRACTIONS)
    assert found[1].metrics["tune"]["eval_loss"] == pytest.approx(14.25 / 4 * 0.5**16)
    assert found[1].group == carry.group(runners[1], 1.0)
    assert found[1].seconds > 0


def test_states_are_forgotten_and_models_are_not(carrier):
    carry, store, _ = carrier({**TUNE, "tune": EXACT}, RATES)
    runners = [carry.ready(Trial(n, n, {"tune.learning_rate": rate})) for n, rate in enumerate((0.1, 0.5))]
    carry.carry(runners, FRACTIONS[:2])
    carry.carry(runners[1:], FRACTIONS)

    def kept():
        return sorted(record.step for _, record in store.records.each())

    assert kept() == ["tune#0@0.25", "tune#0@0.5", "tune#1", "tune#1@0.25", "tune#1@0.5"]
    carry.forget(runners[1], FRACTIONS)
    assert kept() == ["tune#0@0.25", "tune#0@0.5", "tune#1"]
    carry.forget(runners[0], FRACTIONS)
    assert kept() == ["tune#1"]
    assert store.verify() == []


def test_values_that_do_not_go_together_are_told(carrier):
    carry, _, _ = carrier({"tune": {**EXACT, "steps": 4}}, {"tune.rank": {"type": "choice", "values": [1, 2]}})
    assert isinstance(carry.ready(Trial(0, 0, {"tune.rank": 2})), Runner)
    told = carry.ready(Trial(0, 0, {"tune.rank": 9}))
    assert (told.cause, told.hopeless) == ("passes.tune: rank must be at most steps, which is 4; found 9", True)


def test_damaged_bytes_are_computed_again(carrier, project):
    carry, store, _ = carrier({**TUNE, "tune": EXACT}, RATES)
    runner = carry.ready(Trial(0, 0, {"tune.learning_rate": 0.5}))
    carry.carry([runner], FRACTIONS[:1])
    for path in (project / ".olive-cache" / "blobs").glob("*/*"):
        path.chmod(0o600)
        path.write_bytes(b"x" * path.stat().st_size)
    found = carry.carry([runner], FRACTIONS)
    assert found[0].metrics["tune"]["eval_loss"] == pytest.approx(14.25 / 4 * 0.5**16)
    assert store.verify() == []
