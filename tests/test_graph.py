"""What the graph refuses before any work, and the order it gives."""

import pytest

from olive_engine.config.draft import parse_tree
from olive_engine.errors import InvalidWorkflow
from olive_engine.graph import build
from olive_engine.testing.toys import build_toy_model

SCALE, TRAIN, MERGE = {"type": "ToyScale"}, {"type": "ToyTrain"}, {"type": "ToyMerge"}


@pytest.fixture
def graph(tmp_path):
    build_toy_model(tmp_path / "base")

    def make(passes, **more):
        tree = {"input_model": {"type": "HfModel", "model_path": "base"}, "passes": passes, **more}
        return build(parse_tree(tree, tmp_path).raise_if_wrong())

    return make


def refusal(graph, passes, **more):
    with pytest.raises(InvalidWorkflow) as caught:
        graph(passes, **more)
    return [str(problem) for problem in caught.value.problems]


def test_a_chain_follows_the_file(graph):
    built = graph({"a": SCALE, "b": TRAIN, "c": MERGE})
    assert [(node.name, node.inputs) for node in built.nodes.values()] == [
        ("a", ("input_model",)),
        ("b", ("a",)),
        ("c", ("b",)),
    ]
    assert built.finals == ("c",)


def test_a_later_pass_may_come_first(graph):
    built = graph({"last": {**SCALE, "input": "first"}, "first": {**SCALE, "input": "input_model"}})
    assert list(built.nodes) == ["first", "last"]


def test_a_circle_is_shown_as_a_path(graph):
    passes = {"a": {**SCALE, "input": "c"}, "b": {**SCALE, "input": "a"}, "c": {**SCALE, "input": "b"}}
    (told,) = refusal(graph, passes)
    assert "in a circle: " in told
    path = told.split("in a circle: ")[1].split(" -> ")
    assert path[0] == path[-1]
    assert set(path) == {"a", "b", "c"}


def test_a_merge_of_what_is_no_adapter_is_refused(graph):
    assert refusal(graph, {"scale": SCALE, "merge": MERGE}) == [
        "passes.merge: ToyMerge takes an HfAdapterModel, but `scale` gives an HfModel; "
        "put a pass that trains an adapter before it"
    ]


def test_an_adapter_where_a_whole_model_is_wanted_is_refused(graph):
    (told,) = refusal(graph, {"train": TRAIN, "scale": SCALE})
    assert told == (
        "passes.scale: ToyScale takes an HfModel, but `train` gives an HfAdapterModel; "
        "put a pass that merges the adapter before it"
    )


def test_several_models_for_a_pass_that_takes_one(graph):
    passes = {"a": SCALE, "b": {**SCALE, "input": "input_model"}, "c": {**SCALE, "inputs": ["a", "b"]}}
    assert refusal(graph, passes) == ["passes.c.inputs: ToyScale takes one model, not 2"]


def test_every_alternative_is_checked_and_needs_a_search(graph):
    told = refusal(graph, {"a": [SCALE, TRAIN]})
    assert told == [
        "passes.a: has 2 alternatives (ToyScale, ToyTrain), and only a search can choose among them; keep one of them"
    ]


def test_nothing_to_do_is_refused(graph):
    (told,) = refusal(graph, {})
    assert "there is nothing to do" in told


def test_all_misfits_are_told_at_once(graph):
    passes = {"x": {**MERGE, "input": "input_model"}, "y": {**MERGE, "input": "input_model"}}
    assert len(refusal(graph, passes)) == 2


EVALUATOR = {"e": {"metrics": [{"name": "bytes", "type": "size_on_disk"}]}}


def test_the_final_models_and_the_input_model_are_evaluated(graph):
    built = graph({"a": SCALE, "b": SCALE}, evaluators=EVALUATOR, evaluator="e")
    assert {name for name, node in built.nodes.items() if node.kind == "evaluate"} == {"input_model:bytes", "b:bytes"}


def test_evaluate_input_model_can_be_turned_off(graph):
    built = graph({"a": SCALE}, evaluators=EVALUATOR, evaluator="e", evaluate_input_model=False)
    assert [name for name, node in built.nodes.items() if node.kind == "evaluate"] == ["a:bytes"]


def test_a_pass_may_name_its_own_evaluator(graph):
    built = graph({"a": {**SCALE, "evaluator": "e"}, "b": SCALE}, evaluators=EVALUATOR)
    assert {name for name, node in built.nodes.items() if node.kind == "evaluate"} == {"input_model:bytes", "a:bytes"}


def test_host_and_target(graph):
    systems = {"here": {"type": "LocalSystem"}, "there": {"type": "LocalSystem"}}
    passes = {"a": SCALE, "b": {**SCALE, "host": "there"}}
    built = graph(passes, evaluators=EVALUATOR, evaluator="e", systems=systems, host="here", target="there")
    assert {name: node.system for name, node in built.nodes.items()} == {
        "a": "here",
        "b": "there",
        "input_model:bytes": "there",
        "b:bytes": "there",
    }


def test_an_evaluator_and_a_pass_may_name_their_own_target(graph):
    systems = {name: {"type": "LocalSystem"} for name in ("here", "there", "phone")}
    evaluators = {"e": {**EVALUATOR["e"], "target": "there"}}
    passes = {"a": {**SCALE, "evaluator": "e", "target": "phone"}, "b": {**SCALE, "evaluator": "e"}}
    built = graph(passes, evaluators=evaluators, systems=systems, host="here", target="here")
    assert {name: node.system for name, node in built.nodes.items() if node.kind == "evaluate"} == {
        "input_model:bytes": "there",
        "a:bytes": "phone",
        "b:bytes": "there",
    }
    assert built.nodes["a"].system == "here"


@pytest.mark.parametrize("place", ["a pass", "an evaluator"])
def test_a_target_that_is_not_there_is_refused(graph, place):
    passes = {"a": {**SCALE, "evaluator": "e"} | ({"target": "there"} if place == "a pass" else {})}
    evaluators = {"e": EVALUATOR["e"] | ({"target": "there"} if place == "an evaluator" else {})}
    (problem,) = refusal(graph, passes, evaluators=evaluators, systems={"here": {"type": "LocalSystem"}})
    path = "passes.a.target" if place == "a pass" else "evaluators.e.target"
    assert problem == f"{path}: no system is called 'there'; did you mean `here`?"
