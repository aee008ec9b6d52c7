"""The axes of a space, and every combination of it."""

import pytest

from olive_engine.config.search.describe import combinations
from olive_engine.config.search.values import Case, Choice, Conditional, FloatRange, IntRange
from olive_engine.search.exhaustive import axes, grid, members, order, walk

PLAIN = {"t.r": Choice(values=(8, 16)), "t.lr": FloatRange(low=0.1, high=0.3, step=0.1), "t.n": IntRange(low=1, high=2)}
DEPENDENT = {
    "t.alpha": Conditional(
        cases=(
            Case(when={"t.r": (8,)}, search=Choice(values=(8, 16, 32))),
            Case(when={"t.r": (16,), "t.m": ("a", "b")}, search=IntRange(low=16, high=48, step=16)),
        ),
        otherwise=Choice(values=(1,)),
    ),
    "t.beta": Conditional(cases=(Case(when={"t.m": ("a",)}, search=Choice(values=(0.0, 0.5))),)),
    "t.r": Choice(values=(8, 16, 24)),
    "t.m": Choice(values=("a", "b", None)),
}
SLOTS = {"tune": ("LoRA", "QLoRA"), "shrink": ("A", "B")}
WITH_SLOTS = {
    "tune[0].r": Choice(values=(4, 8)),
    "tune[1].bits": Choice(values=(4,)),
    "tune[1].r": IntRange(low=1, high=3),
    "shrink[1].x": Conditional(
        cases=(Case(when={"tune[0].r": (4,)}, search=Choice(values=("few", "some"))),),
        otherwise=Choice(values=(True, 1)),
    ),
    "last.y": Choice(values=(None, ("q", "v"))),
}


def test_the_last_option_changes_fastest():
    found = [tuple(each.values()) for each in grid(PLAIN, {})]
    assert found == [(r, lr, n) for r in (8, 16) for lr in (0.1, 0.2, 0.3) for n in (1, 2)]


def test_an_option_comes_after_those_it_depends_on():
    assert order(DEPENDENT, {}) == ["t.r", "t.m", "t.alpha", "t.beta"]
    assert order(PLAIN, SLOTS) == ["tune", "shrink", "t.r", "t.lr", "t.n"]


@pytest.mark.parametrize(("space", "slots"), [(PLAIN, {}), (DEPENDENT, {}), (WITH_SLOTS, SLOTS), (PLAIN, SLOTS)])
def test_every_combination_is_there_once_and_they_are_as_many_as_a_plan_says(space, slots):
    found = [repr(sorted(each.items())) for each in grid(space, slots)]
    assert len(set(found)) == len(found) == combinations(space, slots)


def test_counts_by_hand():
    # r=8: 3 alphas; r=16: 3 for m in (a, b), else 1; r=24: 1. beta: 2 where m is a, else its own value.
    assert combinations(DEPENDENT) == (3 * 2 + 3 + 3) + (3 * 2 + 3 + 1) + (1 * 2 + 1 + 1)
    # tune[0] (2 ranks) or tune[1] (3); shrink[0], or shrink[1] with 2 values either way; y has 2.
    assert combinations(WITH_SLOTS, SLOTS) == (2 + 2 * 2 + 3 + 3 * 2) * 2


def test_options_of_what_is_not_taken_are_absent():
    for each in grid(WITH_SLOTS, SLOTS):
        assert ("tune[0].r" in each) == (each["tune"] == 0)
        assert ("tune[1].r" in each) == ("tune[1].bits" in each) == (each["tune"] == 1)
        assert ("shrink[1].x" in each) == (each["shrink"] == 1)
    few = {each["shrink[1].x"] for each in grid(WITH_SLOTS, SLOTS) if each.get("tune[0].r") == 4 and each["shrink"]}
    assert few == {"few", "some"}


def test_the_first_case_that_holds_decides_and_names_the_axis():
    names = []
    walk(DEPENDENT, {}, lambda axis: names.append(axis.name) or next(iter(members(axis.values))))
    assert names == ["t.r", "t.m", "t.alpha (case 1)", "t.beta (case 1)"]
    found = walk(DEPENDENT, {}, lambda axis: list(members(axis.values))[-1])
    assert found == {"t.r": 24, "t.m": None, "t.alpha": 1}
    assert len({axis.name for axis in axes(DEPENDENT, {})}) == len(axes(DEPENDENT, {})) == 6


def test_steps_are_what_one_would_write():
    assert list(members(FloatRange(low=0.1, high=0.7, step=0.2))) == [0.1, 0.3, 0.5, 0.7]
    assert list(members(FloatRange(low=1e-5, high=5e-5, step=1e-5))) == [1e-5, 2e-5, 3e-5, 4e-5, 5e-5]
    with pytest.raises(ValueError, match="no step"):
        list(members(FloatRange(low=0.1, high=0.7)))
