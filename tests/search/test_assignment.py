"""What a trial chooses, put into the workflow."""

import pytest

from olive_engine.errors import InvalidWorkflow
from olive_engine.search.assignment import applied, settled, shown
from tests.search.conftest import SPACE, TUNE

PASSES = {
    "scale": [{"type": "ToyScale", "factor": 1.5}, {"type": "ToyScale", "factor": 2.0}, {"type": "ToySum"}],
    **TUNE,
    "tuned": {"type": "ToyScale"},
}
MORE = {
    **SPACE,
    "scale[1].factor": {"type": "choice", "values": [3.0, 4.0]},
    "tuned.factor": {"type": "choice", "values": [5.0]},
}


@pytest.fixture
def workflow(make):
    return make(space=MORE, passes=PASSES)


def options(found):
    return {
        slot: (len(entries), entries[0].type, entries[0].options.model_dump()) for slot, entries in found.passes.items()
    }


def test_every_option_has_the_value_that_was_chosen(workflow):
    found = applied(workflow, {"scale": 1, "scale[1].factor": 4.0, "tune.learning_rate": 0.5, "tuned.factor": 5.0})
    assert found.passes["scale"][0].options.factor == 4.0
    assert (found.passes["tune"][0].options.learning_rate, found.passes["tune"][0].options.rank) == (0.5, 4)
    assert found.passes["tune"][0].options.steps == 40
    assert found.passes["tuned"][0].options.factor == 5.0
    assert {len(entries) for entries in found.passes.values()} == {1}
    assert (found.search_strategy, dict(found.search_space)) == (None, {})
    assert found.passes["merge"] == workflow.passes["merge"]


@pytest.mark.parametrize(("index", "type_", "given"), [(0, "ToyScale", {"factor": 1.5}), (2, "ToySum", {})])
def test_a_slot_has_the_pass_that_was_taken_and_it_its_own_options(workflow, index, type_, given):
    entry = applied(workflow, {"scale": index}).passes["scale"][0]
    assert entry.type == type_
    assert {name: getattr(entry.options, name) for name in given} == given


def test_values_are_checked_together(workflow):
    with pytest.raises(InvalidWorkflow) as found:
        applied(workflow, {"tune.steps": 3, "tune.rank": 4})
    assert str(found.value) == "passes.tune: rank must be at most steps, which is 3; found 4"
    with pytest.raises(InvalidWorkflow, match=r"^passes\.tune\.learning_rate: Input should be greater than 0$"):
        applied(workflow, {"tune.learning_rate": 0.0})


def test_settled_slots_are_no_longer_searched(workflow):
    found = settled(workflow, {"scale": 1, "scale[1].factor": 4.0, "tune.noise": 0.5}, ["scale"])
    assert options(found)["scale"][0] == 1
    assert found.passes["scale"][0].options.factor == 4.0
    assert found.passes["tune"] == workflow.passes["tune"]
    assert set(found.search_space) == {*SPACE, "tuned.factor"}
    assert found.alternatives == {}
    assert found.search_strategy == workflow.search_strategy


def test_an_option_belongs_to_its_slot_though_names_begin_alike(workflow):
    assert [workflow.slot_of(name) for name in ("tune.noise", "tuned.factor", "scale[1].factor")] == [
        *("tune", "tuned", "scale"),
    ]


def test_an_assignment_is_shown_as_it_would_be_written(workflow):
    assert shown(workflow, {"scale": 2, "tune.noise": 0.01, "tune.x": ("a", "b")}) == {
        "scale": "ToySum",
        "tune.noise": 0.01,
        "tune.x": ["a", "b"],
    }


@pytest.mark.parametrize(
    ("factor", "left"),
    [
        (1.0, {"type": "choice", "values": (1,)}),
        (2.0, {"when": {"tune.steps": (40,)}, "otherwise": (4,)}),
        (3.0, {"when": None, "otherwise": (4,)}),
    ],
)
def test_what_depends_on_settled_options_is_decided(make, factor, left):
    def choice(*values):
        return {"type": "choice", "values": list(values)}

    cases = [
        {"when": {"scale.factor": [1.0]}, "search": choice(1)},
        {"when": {"scale.factor": [1.0, 2.0], "tune.steps": [40]}, "search": choice(2, 3)},
    ]
    space = {
        "scale.factor": choice(1.0, 2.0, 3.0),
        "tune.steps": choice(20, 40),
        "tune.rank": {"type": "conditional", "cases": cases, "otherwise": choice(4)},
    }
    workflow = make(space=space, passes={"scale": {"type": "ToyScale"}, **TUNE})
    found = settled(workflow, {"scale.factor": factor}, ["scale"]).search_space
    assert set(found) == {"tune.steps", "tune.rank"}
    rank = found["tune.rank"]
    if "type" in left:
        assert rank.model_dump() == left
    elif left["when"] is None:
        assert rank.values == left["otherwise"]
    else:
        assert [case.when for case in rank.cases] == [left["when"]]
        assert rank.otherwise.values == left["otherwise"]
