"""Which steps are trained together, and how they are divided among jobs."""

import math

import pytest

from olive_engine import graph, planning
from olive_engine.executor import execute
from olive_engine.ground import Ground
from olive_engine.packs import LARGEST, pack_of, share
from olive_engine.planner import Plan
from olive_engine.reporting.recorder import Recorder
from olive_engine.search.merging import cut, merged
from olive_engine.staging import CachedResults

TRAIN = {"type": "ToyTrain", "steps": 8, "noise": 0.0}


@pytest.fixture
def merge_of(make):
    """One plan for several workflows, trained up to a fraction of their budgets; with its store and systems."""

    def plan_of(*passes, until=1.0, **more):
        workflows = [make(each, **more) for each in passes]
        with planning.opened(workflows[0], debug=True) as (store, systems):
            past = CachedResults(store, systems)
            known = planning.made_plan(workflows[0], store, systems, online=False).facts
            graphs = {number: cut(graph.build(each), "tune", [until]) for number, each in enumerate(workflows)}
            return merged(graphs, known, past).plan, store, systems

    return plan_of


def packs(plan: Plan):
    """Steps by the pack that they belong to."""
    found = {}
    for name, step in plan.steps.items():
        found.setdefault(pack_of(step), []).append(name)
    return list(found.values())


@pytest.mark.parametrize(
    ("options", "together"),
    [
        ({"learning_rate": 0.7}, True),
        ({"rank": 1, "steps": 20, "noise": 1.0}, True),
        ({"save_steps": 3}, False),
        ({"stop_at": 2}, False),
    ],
)
def test_steps_go_together_that_differ_in_packable_options_alone(merge_of, options, together):
    plan, _, _ = merge_of({"tune": TRAIN}, {"tune": {**TRAIN, **options}})
    assert packs(plan) == ([["tune#0", "tune#1"]] if together else [["tune#0"], ["tune#1"]])


def test_steps_go_together_that_start_from_the_same_model(merge_of):
    twice = [{"scale": {"type": "ToyScale", "factor": 2.0}, "tune": {**TRAIN, "rank": rank}} for rank in (1, 2)]
    other = {"scale": {"type": "ToyScale", "factor": 3.0}, "tune": TRAIN}
    plan, _, _ = merge_of(*twice, other)
    assert [pack for pack in packs(plan) if pack[0].startswith("tune")] == [["tune#0", "tune#1"], ["tune#2"]]


def test_what_has_no_packs_or_refuses_runs_alone(merge_of):
    alone = {"tune": {**TRAIN, "alone": True}}
    plan, _, _ = merge_of({"tune": TRAIN, "merge": {"type": "ToyMerge"}}, alone)
    assert [pack_of(plan.steps[name]) is None for name in ("tune#0", "merge#0", "tune#1")] == [False, True, True]


def test_packs_are_divided_so_that_all_end_at_about_one_time(merge_of):
    budgets = [40, 10, 10, 20, 30, 10]
    plan, _, _ = merge_of(
        *({"tune": {**TRAIN, "steps": steps, "learning_rate": 0.1 * (n + 1)}} for n, steps in enumerate(budgets))
    )
    first, *others = plan.steps.values()
    assert [step.node.name for step in share(first, others, 1)] == [
        "tune#0",
        "tune#4",
        "tune#3",
        "tune#1",
        "tune#2",
        "tune#5",
    ]
    assert [step.node.name for step in share(first, others, 2)] == ["tune#0", "tune#1", "tune#2"]
    last = list(plan.steps.values())
    assert [step.node.name for step in share(last[4], [*last[:4], last[5]], 2)] == ["tune#4", "tune#3", "tune#5"]
    assert share(first, others, 99) == (first,)


@pytest.mark.parametrize("count", [LARGEST, LARGEST + 1, 3 * LARGEST])
def test_no_pack_is_larger_than_the_largest(merge_of, count):
    plan, _, _ = merge_of(*({"tune": {**TRAIN, "learning_rate": 0.01 * (n + 1)}} for n in range(count)))
    first, *others = plan.steps.values()
    sizes = {
        len(share(step, [each for each in plan.steps.values() if each is not step], 1)) for step in (first, *others)
    }
    assert max(sizes) <= LARGEST
    assert max(sizes) == math.ceil(count / math.ceil(count / LARGEST))


@pytest.mark.parametrize(("sharers", "packed"), [(0, False), (1, True)])
def test_a_record_says_whether_it_was_made_in_a_pack(merge_of, sharers, packed):
    plan, store, systems = merge_of({"tune": TRAIN}, {"tune": {**TRAIN, "rank": 1}}, until=0.5)
    outcome = execute(plan, Ground(store, systems, Recorder()), sharers=sharers)
    assert {name: record.provenance.packed for name, record in outcome.records.items()} == {
        "tune#0@0.5": packed,
        "tune#1@0.5": packed,
    }
    assert outcome.records["tune#0@0.5"].metrics["eval_loss"] == pytest.approx(14.0 / 3 * 0.7**8)


def test_a_step_whose_result_is_there_is_in_no_pack(merge_of):
    first, store, systems = merge_of({"tune": TRAIN})
    execute(first, Ground(store, systems, Recorder()), sharers=1)
    plan, _, _ = merge_of({"tune": TRAIN}, {"tune": {**TRAIN, "rank": 1}})
    outcome = execute(plan, Ground(store, systems, Recorder()), sharers=1)
    assert outcome.executed == ("tune#1",)
    assert not outcome.records["tune#1"].provenance.packed
