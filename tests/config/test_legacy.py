from pathlib import Path

from olive_engine.config.draft import read
from olive_engine.config.legacy import ANY, Rewrite, rewrite
from olive_engine.config.loader import loads
from olive_engine.errors import Position

TABLE = (
    Rewrite(("passes", ANY, "lora_r"), ("passes", ANY, "r"), "`lora_r` is called `r`"),
    Rewrite(("passes", ANY, "kind"), ("passes", ANY, "kind"), "`old` is called `new`", {"old": "new"}),
    Rewrite(("engine", "host"), ("host",), "`engine.host` is called `host`"),
)
TEXT = """\
engine: {host: here, other: 1}
passes:
  one: {a: 1, lora_r: 8, b: 2}
  two: {lora_r: 4, r: 5, kind: OLD}
"""


def test_rewrites_keep_order_and_positions_and_are_noticed() -> None:
    source, notices = rewrite(loads(TEXT.encode(), "w.yaml", "yaml"), TABLE)
    assert source.tree == {
        "engine": {"other": 1},
        "passes": {"one": {"a": 1, "r": 8, "b": 2}, "two": {"lora_r": 4, "r": 5, "kind": "new"}},
        "host": "here",
    }
    assert list(source.tree["passes"]["one"]) == ["a", "r", "b"]  # type: ignore[index,call-overload,arg-type]
    assert source.locate(("passes", "one", "r")) == Position("w.yaml", 3, 23)
    assert source.locate(("host",)) == Position("w.yaml", 1, 16)
    assert [str(notice) for notice in notices] == [
        "w.yaml:3:15: passes.one.r: `lora_r` is called `r`",
        "w.yaml:4:26: passes.two.kind: `old` is called `new`",
        "w.yaml:1:10: host: `engine.host` is called `host`",
    ]
    assert {notice.severity for notice in notices} == {"warning"}


def test_todays_spelling_is_left_alone() -> None:
    source = loads(b"input_model: {type: HfModel}", "w.yaml", "yaml")
    assert rewrite(source) == (source, ())


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


def test_with_both_spellings_the_older_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_text("model: {}\ninput_model: {type: HfModel, model_path: org/name}\n")
    (problem,) = read([path]).problems
    assert str(problem).startswith(
        f"{path}:1:1: model: unknown key `model`; did you mean `input_model`, which is there"
    )
