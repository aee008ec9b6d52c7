from pathlib import Path

from olive_engine.config.draft import read
from olive_engine.config.legacy.edits import Revision
from olive_engine.config.legacy.rules import Lifted, Moved, Valued
from olive_engine.config.loader import loads
from olive_engine.config.tree import locate, plain
from olive_engine.errors import Position

RULES = (
    Lifted("engine", "what `engine` holds stands at the top"),
    Moved("passes.*.@.lora_r", "passes.*.@.r", "`lora_r` is called `r`"),
    Valued("passes.*.@.kind", {"old": "new"}, "`{old}` is called `{new}`"),
)
TEXT = """\
engine: {host: here, other: 1}
passes:
  one: {a: 1, lora_r: 8, b: 2}
  two: {lora_r: 4, kind: OLD}
"""


def test_rewrites_keep_order_and_positions_and_are_noticed() -> None:
    revision = Revision(loads(TEXT.encode(), "w.yaml", "yaml").root)
    for rule in RULES:
        rule.apply(revision)
    tree = plain(revision.root)
    assert tree == {
        "host": "here",
        "other": 1,
        "passes": {"one": {"a": 1, "r": 8, "b": 2}, "two": {"r": 4, "kind": "new"}},
    }
    assert list(tree) == ["host", "other", "passes"]
    assert list(tree["passes"]["one"]) == ["a", "r", "b"]  # type: ignore[index,call-overload,arg-type]
    assert locate(revision.root, ("passes", "one", "r")) == Position("w.yaml", 3, 23)
    assert locate(revision.root, ("host",)) == Position("w.yaml", 1, 16)
    assert [str(notice) for notice in revision.notices] == [
        "w.yaml:1:1: engine: what `engine` holds stands at the top",
        "w.yaml:3:15: passes.one.lora_r: `lora_r` is called `r`",
        "w.yaml:4:9: passes.two.lora_r: `lora_r` is called `r`",
        "w.yaml:4:20: passes.two.kind: `OLD` is called `new`",
    ]
    assert {notice.severity for notice in revision.notices} == {"warning"}


def test_todays_spelling_is_left_alone() -> None:
    for sample in Path("samples").glob("*/workflow*.yaml"):
        assert read([sample]).notices == ()


def test_each_file_is_rewritten_by_itself_before_the_merge(tmp_path: Path) -> None:
    old, new = tmp_path / "old.yaml", tmp_path / "new.yaml"
    old.write_text("model: {type: PyTorchModel, model_path: org/name}\n")
    new.write_text("input_model: {model_path: org/other}\n")
    draft = read([old, new])
    workflow = draft.raise_if_wrong()
    assert (workflow.input_model.type, workflow.input_model.model_path) == ("HfModel", "org/other")
    assert [notice.what for notice in draft.notices] == [
        "`model` is called `input_model`",
        "`PyTorchModel` is called `HfModel`",
    ]


def test_both_spellings_with_different_values_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_text("model: {type: HfModel, model_path: a/b}\ninput_model: {type: HfModel, model_path: org/name}\n")
    (problem,) = read([path]).problems
    assert str(problem) == (
        f"{path}:1:24: model.model_path: `input_model.model_path` is written too, with another value; "
        "keep `input_model.model_path` only"
    )
