"""One mistake is one problem, at its place, with the right name: a part of `python -m benchmarks typos edits`."""

import random
from pathlib import Path

import pytest

from benchmarks.edits import edits
from benchmarks.edits import judge as judge_edits
from benchmarks.typos import FILES, LOCATED, SUGGESTED, judge, offers, places, typos
from olive_engine.config.spelling import corrected, likely, old_names, old_values, slips_to, synonym
from olive_engine.config.tree import Node, Text, plain
from olive_engine.errors import Problem
from olive_engine.reading import read_workflow


@pytest.fixture(autouse=True)
def plugins() -> None:
    """Only what is installed: the files are for users."""


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_file_is_valid_as_it_stands(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    assert [str(each) for each in read_workflow([file]).problems if each.severity == "error"] == []


def test_the_files_have_names_of_every_kind_in_every_section() -> None:
    found = [place for file in FILES for place in places(file)]
    assert len(found) > 500
    assert {place.kind for place in found} == {"key", "type", "choice", "reference"}
    assert {place.section for place in found} == {
        "input_model",
        "data_configs",
        "systems",
        "evaluators",
        "passes",
        "search",
        "top",
    }


def test_slips_are_located_and_the_right_name_is_offered() -> None:
    outcomes = [each for each in judge(typos(150, seed=1)) if each.verdict != "valid"]
    assert len(outcomes) > 140
    missed = [each for each in outcomes if each.verdict in ("elsewhere", "not noticed", "crashed")]
    assert len(missed) <= (1 - LOCATED) * len(outcomes), missed
    other = [(each.typo.place.name, each.typo.wrong, each.errors) for each in outcomes if each.verdict != "right"]
    assert len(other) <= (1 - SUGGESTED) * len(outcomes), other
    assert [each.errors for each in outcomes if not each.alone] == []


def test_a_single_edit_is_never_more_than_one_error() -> None:
    every = [edit for file in FILES for edit in edits(file)]
    answers = judge_edits(random.Random(2).sample(every, 400))
    assert [each.crash for each in answers if each.errors is None] == []
    wrong = [
        (each.edit.path, each.edit.change, [str(one) for one in each.errors or ()]) for each in answers if each.is_wrong
    ]
    assert wrong == []
    assert sum(each.errors is not None and len(each.errors) == 1 for each in answers) > 250


@pytest.mark.parametrize(
    ("wrong", "valid", "meant"),
    [
        ("learning-rate", ["learning_rate", "learning_rat"], ("learning_rate",)),
        ("LORA", ["LoRA", "QLoRA"], ("LoRA",)),
        ("rr", ["r", "alpha"], ("r",)),
        ("q", ["r", "alpha"], ("r",)),
        ("int3", ["fp32", "int8", "int4"], ("int8", "int4")),
        ("p9", ["avg", "p50", "p90", "p95", "p99"], ("p90", "p95", "p99")),
        ("x", ["a", "b", "c", "d"], ()),
        ("trianing_agrs", ["training_args", "evaluator"], ("training_args",)),
        ("colour", ["factor", "type"], ()),
        ("t" * 101, ["t" * 100], ()),
    ],
)
def test_the_likely_names_of_a_slip(wrong: str, valid: list[str], meant: tuple[str, ...]) -> None:
    assert likely(wrong, valid) == meant


@pytest.mark.parametrize(
    ("a", "b", "near"),
    [
        ("abc", "abc", True),
        ("abc", "ab", True),
        ("abc", "bc", True),
        ("abc", "acb", True),
        ("abc", "abd", True),
        ("abc", "xabc", True),
        ("abcd", "badc", False),
        ("abc", "cab", False),
        ("abc", "a", False),
        ("", "a", True),
    ],
)
def test_one_edit_apart(a: str, b: str, near: bool) -> None:
    assert bool(slips_to(a, [b])) is bool(slips_to(b, [a])) is near


def test_what_other_tools_call_an_option() -> None:
    assert synonym("lr", ["learning_rate", "r"]) == "learning_rate"
    assert synonym("lr", ["r"]) is None
    assert synonym("colour", ["learning_rate"]) is None


def test_older_names_are_known_where_they_may_stand() -> None:
    assert old_names(("passes", "lora"))["lora_r"] == "r"
    assert old_names(("passes", "lora", 1))["lora_r"] == "r"
    assert "lora_r" not in old_names(("passes", "lora", "training_args"))
    assert "config" in old_names(("passes", "lora"))
    assert old_names(())["model"] == "input_model"
    assert "model_loading_args" in old_names(("input_model",))
    assert old_values(("data_configs", 0, "pre_process_data_config", "dataset_type")) == ("corpus", "pair")
    assert "PyTorchModel" in old_values(("input_model", "type"))


def test_misspelt_keys_are_put_right_by_their_place() -> None:
    text = Text("w.yaml", "a: {bb: 1, c: 2}")
    inner = {"bb": Node(1, text, 8, 4), "c": Node(2, text, 14, 11)}
    root = Node({"a": Node(inner, text, 3, 0)}, text, 0)
    assert plain(corrected(root, {("w.yaml", 4): "b"})) == {"a": {"b": 1, "c": 2}}
    assert plain(corrected(root, {("w.yaml", 4): "c"})) == {"a": {"bb": 1, "c": 2}}
    assert plain(corrected(root, {("other", 4): "b"})) == {"a": {"bb": 1, "c": 2}}


def test_the_names_that_a_message_offers() -> None:
    assert offers(Problem((), "", "did you mean `a.b` or `c`? the rows have `d`")) == ["a.b", "c"]
    assert offers(Problem((), "", "options here: `a`")) == []
