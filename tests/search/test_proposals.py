"""What is proposed: good trials, the same ones whatever happens, and none twice."""

import math
import statistics
from dataclasses import replace
from itertools import count

import optuna
import pytest

from olive_engine.config.search.describe import combinations
from olive_engine.config.search.strategy import SearchStrategy
from olive_engine.config.search.values import Case, Choice, Conditional, FloatRange, IntRange
from olive_engine.search.proposals import Proposer
from olive_engine.search.trials import Trial

OPEN = {"t.x": FloatRange(low=-5, high=5), "t.lr": FloatRange(low=1e-5, high=1e-1, log=True)}
MIXED = {
    **OPEN,
    "t.r": IntRange(low=4, high=64, step=4),
    "t.c": Choice(values=("a", None, ("q", "v"), True, 1)),
    "t.alpha": Conditional(
        cases=(Case(when={"t.c": ("a",)}, search=FloatRange(low=0, high=1)),), otherwise=Choice(values=(0.5, 2.0))
    ),
}
SMALL = {
    "t.r": Choice(values=(8, 16, 32)),
    "t.n": IntRange(low=1, high=4),
    "t.d": FloatRange(low=0.1, high=0.3, step=0.1),
}
SLOTS = {"tune": ("LoRA", "QLoRA")}
SLOTTED = {
    "tune[0].r": IntRange(low=1, high=32),
    "tune[1].x": FloatRange(low=0, high=1),
    "t.y": FloatRange(low=0, high=1),
}
SAMPLERS = ("sequential", "random", "tpe", "qmc", "gp", "cmaes", "nsga2", "nsga3")
CONFIG = {
    "tpe": {"n_startup_trials": 4},
    "gp": {"n_startup_trials": 4},
    "nsga2": {"population_size": 4},
    "nsga3": {"population_size": 4},
}


def strategy(sampler, **fields):
    return SearchStrategy(sampler=sampler, sampler_config=CONFIG.get(sampler, {}), **fields)


def quadratic(assignment):
    """Least, 0, at x = 1 and lr = 1e-3; other options matter little."""
    base = (assignment.get("t.x", 1.0) - 1) ** 2 + (math.log10(assignment.get("t.lr", 1e-3)) + 3) ** 2
    return base + 0.01 * sum(len(str(value)) for name, value in assignment.items() if name not in OPEN)


def outcome(trial):
    """A trial's end: mostly complete; every fifth is pruned, every seventh failed."""
    value = quadratic(trial.assignment)
    curve = {0.25: value + 2, 0.5: value + 1}
    if trial.index % 7 == 6:
        return replace(trial, state="failed", cause="out of memory")
    if trial.index % 5 == 4:
        return replace(trial, state="pruned", curve=curve)
    return replace(trial, state="complete", values=(value,), curve=curve)


def search(sampler, space, total, seed=0, slots=None, end=outcome, directions=("minimize",), **fields):
    """All trials of a search, wave by wave."""
    chosen = strategy(sampler, **fields)
    proposer = Proposer(chosen, space, slots or {}, directions, seed)
    wave = fields.get("wave_size", 8)
    history = []
    for start in range(0, total, wave):
        found = proposer.propose(history, range(start, min(total, start + wave)))
        history += [end(Trial(len(history) + at, each.index, each.assignment)) for at, each in enumerate(found)]
    return history


def complete(trial):
    return replace(trial, state="complete", values=(quadratic(trial.assignment),))


def plans(history):
    return [(trial.index, dict(trial.assignment)) for trial in history]


# --- they are good ------------------------------------------------------------------------------------------------


def best(history):
    return min(trial.values[0] for trial in history if trial.values)


@pytest.mark.parametrize("sampler", ["tpe", "cmaes"])
def test_a_known_optimum_is_found_better_than_by_chance(sampler):
    learnt = [best(search(sampler, OPEN, 48, seed, end=complete)) for seed in range(6)]
    chance = [best(search("random", OPEN, 48, seed, end=complete)) for seed in range(6)]
    assert statistics.mean(learnt) < 0.5 * statistics.mean(chance)
    assert statistics.median(learnt) < 0.1


def test_gp_finds_the_optimum_in_few_trials():
    assert best(search("gp", OPEN, 20, 0, end=complete)) < 0.05


def test_two_objectives_end_up_near_their_front():
    space = {"t.x": OPEN["t.x"], "t.y": OPEN["t.x"]}

    def end(trial):
        x, y = trial.assignment.values()
        return replace(trial, state="complete", values=(x**2 + y**2, -((x - 2) ** 2) - y**2))

    def distance(trial):
        """From the front, where 0 <= x <= 2 and y = 0."""
        x, y = trial.assignment.values()
        return math.hypot(max(0.0, -x, x - 2), y)

    def distances(seed):
        history = search("nsga2", space, 160, seed, end=end, directions=("minimize", "maximize"))
        return statistics.median(map(distance, history[:32])), statistics.median(map(distance, history[-32:]))

    early, late = map(statistics.mean, zip(*map(distances, range(3)), strict=True))
    assert late < 0.8 * early


def test_pruned_trials_teach_in_the_direction_of_their_curves():
    """All are pruned, by a score where more is better, at an x near 4: more of what comes then is there."""

    def end(trial):
        return replace(trial, state="pruned", curve={0.25: -abs(trial.assignment["t.x"] - 4)})

    def middle(curve_direction):
        proposer = Proposer(strategy("tpe"), {"t.x": OPEN["t.x"]}, {}, ("minimize",), 0, curve_direction)
        history = []
        for start in range(0, 40, 8):
            history += [
                end(Trial(each.index, each.index, each.assignment))
                for each in proposer.propose(history, range(start, start + 8))
            ]
        return statistics.mean(trial.assignment["t.x"] for trial in history[-16:])

    assert middle("maximize") > 2.5
    assert middle("minimize") < 0


# --- they are the same --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_seed_gives_the_same_trials_and_another_seed_others(sampler):
    space = {"sequential": SMALL, "gp": OPEN}.get(sampler, MIXED)
    once, again, other = (search(sampler, space, 12, seed, wave_size=6) for seed in (1, 1, 2))
    assert plans(once) == plans(again)
    assert len(once) == 12
    assert (plans(other) == plans(once)) == (sampler in ("sequential", "qmc"))  # those two draw nothing


@pytest.mark.parametrize("sampler", ["sequential", "random", "qmc"])
def test_the_size_of_a_wave_does_not_matter_to_samplers_that_learn_nothing(sampler):
    found = [plans(search(sampler, SMALL, 20, 3, wave_size=size)) for size in (1, 4, 7, 20)]
    assert found[1:] == found[:-1]


@pytest.mark.parametrize("space", [MIXED, SMALL], ids=["mixed", "small"])
@pytest.mark.parametrize("sampler", [each for each in SAMPLERS if each != "sequential"])
def test_a_search_killed_anywhere_goes_on_as_if_nothing_had_happened(sampler, space):
    total, wave = 18, 6
    if sampler == "gp":
        space = {name: space[name] for name in list(space)[:2]}  # it is slow to fit
    whole = search(sampler, space, total, 5, wave_size=wave)
    for killed in range(0, total, 5 if sampler == "gp" else 1):
        # Trials up to this one were recorded; of its wave some had ended already.
        history = [
            trial if trial.index % 2 else replace(trial, state="running", values=(), curve={})
            for trial in whole[:killed]
        ]
        history[: killed // wave * wave] = whole[: killed // wave * wave]
        end = (killed // wave + 1) * wave
        found = Proposer(strategy(sampler, wave_size=wave), space, {}, ("minimize",), 5).propose(
            history, range(killed, end)
        )
        assert [(each.index, dict(each.assignment)) for each in found] == plans(whole[killed:end])


@pytest.mark.parametrize("sampler", ["tpe", "qmc", "cmaes", "nsga2"])
def test_one_of_a_wave_may_be_asked_for_by_itself(sampler):
    whole = search(sampler, MIXED, 24)
    alone = Proposer(strategy(sampler), MIXED, {}, ("minimize",), 0).propose(whole[:16], [21, 18])
    assert [(each.index, dict(each.assignment)) for each in alone] == [plans(whole)[18], plans(whole)[21]]


@pytest.mark.parametrize("sampler", ["tpe", "qmc", "cmaes", "nsga2"])
def test_what_is_recorded_counts(sampler):
    """Trials that another version of a sampler proposed are learnt from like any."""
    other = search("random", MIXED, 16, 9)
    proposer = Proposer(strategy(sampler), MIXED, {}, ("minimize",), 0)
    first = [dict(each.assignment) for each in proposer.propose(other, range(16, 24))]
    assert len(first) == 8
    # A proposer that made trials of its own before gives the same once it sees what is recorded.
    warm = Proposer(strategy(sampler), MIXED, {}, ("minimize",), 0)
    warm.propose([], range(8))
    assert [dict(each.assignment) for each in warm.propose(other, range(16, 24))] == first


def test_the_trial_that_tries_again_counts_for_its_index():
    whole = search("tpe", OPEN, 16)
    failed = [replace(each, state="failed", values=(), curve={}) if each.index == 3 else each for each in whole]
    retried = [*failed, replace(whole[3], number=16)]
    proposer = Proposer(strategy("tpe"), OPEN, {}, ("minimize",), 0)
    then = [each.assignment for each in proposer.propose(retried, range(16, 24))]
    assert then == [each.assignment for each in proposer.propose(whole, range(16, 24))]
    assert then != [each.assignment for each in proposer.propose(failed, range(16, 24))]


def test_trials_of_another_space_are_passed_over():
    strange = [Trial(n, n, {"t.x": 99.0, "t.gone": 1}, state="complete", values=(0.0,)) for n in range(8)]
    for sampler in ("tpe", "nsga2", "cmaes"):
        found = Proposer(strategy(sampler), OPEN, {}, ("minimize",), 0).propose(strange, range(8, 12))
        assert [set(each.assignment) for each in found] == [set(OPEN)] * 4


# --- each once ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_small_space_is_covered_without_a_repetition(sampler):
    space = {**SMALL, "t.n": Choice(values=(1,))} if sampler == "gp" else SMALL
    every = combinations(space)
    found = search(sampler, space, every + 8, 2)
    assert len({repr(sorted(each.assignment.items())) for each in found}) == len(found) == every
    assert [each.index for each in found] == list(range(every))


def test_the_grid_goes_in_order_and_begins_anywhere():
    proposer = Proposer(strategy("sequential"), SMALL, {}, ("minimize",), 0)
    found = [each.assignment for each in proposer.propose([], range(36))]
    assert found[:4] == [{"t.r": 8, "t.n": n, "t.d": d} for n, d in [(1, 0.1), (1, 0.2), (1, 0.3), (2, 0.1)]]
    assert found[-1] == {"t.r": 32, "t.n": 4, "t.d": 0.3}
    assert [each.assignment for each in proposer.propose([], [30, 7, 40])] == [found[7], found[30]]
    assert proposer.propose([], [36]) == []
    assert [each.assignment for each in proposer.propose([], [0])] == [found[0]]


# --- their form ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", [each for each in SAMPLERS if each not in ("sequential", "gp")])
def test_values_are_exactly_those_that_were_written(sampler):
    found = search(sampler, MIXED, 48)
    kinds = set()
    for each in found:
        taken = each.assignment
        assert any(taken["t.c"] is value or taken["t.c"] == value for value in ("a", None, ("q", "v"), True, 1))
        kinds.add((type(taken["t.c"]), taken["t.c"]))
        assert taken["t.r"] in range(4, 65, 4)
        assert (0 <= taken["t.alpha"] <= 1) if taken["t.c"] == "a" else taken["t.alpha"] in (0.5, 2.0)
    assert len(kinds) > 3


def test_in_optuna_each_name_has_one_distribution():
    known = {}
    proposer = Proposer(strategy("random"), MIXED, {}, ("minimize",), 0)
    for each in proposer.propose([], range(32)):
        assert each.params.keys() == each.distributions.keys()
        for name, distribution in each.distributions.items():
            assert known.setdefault(name, distribution) == distribution
            assert distribution._contains(distribution.to_internal_repr(each.params[name]))
    assert {"t.alpha (case 1)", "t.alpha (otherwise)"} < set(known)
    assert known["t.c"].choices == ('"a"', "null", '["q", "v"]', "true", "1")  # true and 1 are one to Optuna
    assert known["t.lr"] == optuna.distributions.FloatDistribution(1e-5, 1e-1, log=True)


@pytest.mark.parametrize("sampler", [each for each in SAMPLERS if each != "sequential"])
def test_a_slot_brings_the_options_of_its_alternative_alone(sampler):
    found = search(sampler, SLOTTED, 10 if sampler == "gp" else 24, slots=SLOTS)
    for each in found:
        own = {"tune[0].r"} if each.assignment["tune"] == 0 else {"tune[1].x"}
        assert set(each.assignment) == {"tune", "t.y"} | own
    assert {each.assignment["tune"] for each in found} == {0, 1}


@pytest.mark.parametrize("sampler", ["random", "tpe", "qmc", "nsga2", "nsga3"])
def test_several_objectives_with_pruned_and_failed_trials(sampler):
    def end(trial):
        ended = outcome(trial)
        return replace(ended, values=(*ended.values, 1.0 - trial.assignment["t.x"])) if ended.values else ended

    found = search(sampler, OPEN, 24, end=end, directions=("minimize", "maximize"))
    assert len({repr(each.assignment) for each in found}) == 24  # a genetic one would have given some twice


def test_values_that_are_no_number_are_not_learnt_from():
    numbers = count()

    def end(trial):
        return replace(trial, state="complete", values=(math.nan if next(numbers) % 2 else math.inf,))

    for sampler in ("tpe", "cmaes", "nsga2"):
        assert len(search(sampler, OPEN, 24, end=end)) == 24
