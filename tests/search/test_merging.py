"""The plans of several trials as one."""

import pytest

from olive_engine import graph, planning
from olive_engine.executor import execute
from olive_engine.ground import Ground
from olive_engine.reporting.recorder import Recorder
from olive_engine.search.assignment import applied
from olive_engine.search.merging import cut, merged, stretch_name, towards, trial_of
from olive_engine.staging import CachedResults
from tests.search.conftest import TUNE

PASSES = {"scale": {"type": "ToyScale", "factor": 1.0}, **TUNE, "again": {"type": "ToyScale", "factor": 1.0}}
SPACE = {
    "scale.factor": {"type": "choice", "values": [1.0, 2.0]},
    "tune.rank": {"type": "choice", "values": [1, 2]},
    "again.factor": {"type": "choice", "values": [1.0, 2.0]},
}


@pytest.fixture
def merge(make):
    """Merge the graphs of some assignments, with the store and the systems."""

    def together(*assignments, fractions=(1.0,), targets=("again",), numbers=None):
        workflow = make(space=SPACE, passes=PASSES)
        plain = [applied(workflow, assignment) for assignment in assignments]
        with planning.opened(plain[0], debug=True) as (store, systems):
            known = planning.made_plan(plain[0], store, systems, online=False).facts
            graphs = {
                number: cut(towards(graph.build(each), targets), "tune", fractions)
                for number, each in zip(numbers or range(len(plain)), plain, strict=True)
            }
            return merged(graphs, known, CachedResults(store, systems)), store, systems

    return together


def chosen(scale, rank, again):
    return {"scale.factor": scale, "tune.rank": rank, "again.factor": again}


def test_the_part_that_a_step_needs(make):
    built = graph.build(make(space=SPACE, passes=PASSES))
    assert list(towards(built, ["tune"]).nodes) == ["scale", "tune"]
    assert towards(built, ["tune"]).finals == ("tune",)


def test_a_training_is_cut_into_a_chain(make):
    built = cut(graph.build(make(space=SPACE, passes=PASSES)), "tune", [0.25, 0.5, 1.0])
    assert list(built.nodes) == ["scale", "tune@0.25", "tune@0.5", "tune", "merge", "again"]
    chain = [(built.nodes[name].until, built.nodes[name].after) for name in ("tune@0.25", "tune@0.5", "tune")]
    assert chain == [(0.25, None), (0.5, "tune@0.25"), (1.0, "tune@0.5")]
    assert [built.nodes[name].inputs for name in ("tune@0.5", "tune", "merge")] == [("scale",), ("scale",), ("tune",)]
    short = cut(towards(built, ["scale"]), "tune", [0.25])
    assert list(short.nodes) == ["scale"]
    assert (stretch_name("tune", 0.125), stretch_name("tune", 1.0)) == ("tune@0.125", "tune")


def test_what_trials_have_in_common_is_one_step(merge):
    made, _, _ = merge(chosen(1.0, 1, 1.0), chosen(1.0, 1, 2.0), chosen(1.0, 2, 1.0), numbers=(4, 7, 9))
    assert list(made.plan.steps) == [
        *("scale#4", "tune#4", "merge#4", "again#4"),
        "again#7",
        *("tune#9", "merge#9", "again#9"),
    ]
    assert made.names[7] == {"scale": "scale#4", "tune": "tune#4", "merge": "merge#4", "again": "again#7"}
    assert made.plan.steps["again#7"].node.inputs == ("merge#4",)
    assert made.plan.steps["tune#9"].node.inputs == ("scale#4",)
    assert made.plan.graph.finals == ("again#4", "again#7", "again#9")
    assert [trial_of(name) for name in made.plan.steps] == [4, 4, 4, 4, 7, 9, 9, 9]


def test_equal_trials_are_one(merge):
    made, _, _ = merge(chosen(1.0, 1, 1.0), chosen(1.0, 1, 1.0))
    assert len(made.plan.steps) == 4
    assert made.names[0] == made.names[1]
    assert made.plan.graph.finals == ("again#0",)


def test_a_stretch_that_is_there_needs_no_stretch_before_it(merge):
    both = (chosen(1.0, 1, 1.0), chosen(1.0, 2, 1.0))
    made, store, systems = merge(both[0], fractions=(0.25, 0.5), targets=("tune",))
    assert list(made.plan.steps) == ["scale#0", "tune#0@0.25", "tune#0@0.5"]
    outcome = execute(made.plan, Ground(store, systems, Recorder()), sharers=1)
    store.drop(outcome.records["tune#0@0.25"])
    made, _, _ = merge(*both, fractions=(0.25, 0.5, 1.0), targets=("tune",))
    assert list(made.plan.steps) == ["scale#0", "tune#0@0.5", "tune#0", "tune#1@0.25", "tune#1@0.5", "tune#1"]
    assert made.plan.to_run == ("tune#0", "tune#1@0.25", "tune#1@0.5", "tune#1")
    assert execute(made.plan, Ground(store, systems, Recorder())).failures == ()
    made, _, _ = merge(*both, fractions=(0.25, 0.5, 1.0), targets=("tune",))
    assert list(made.plan.steps) == ["scale#0", "tune#0", "tune#1"]
    assert made.plan.to_run == ()
