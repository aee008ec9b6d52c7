from pathlib import Path

import pytest

from olive_engine.config.draft import parse_tree, read
from olive_engine.config.overrides import apply_override
from olive_engine.config.tree import from_python, plain
from olive_engine.errors import InvalidWorkflow, Position

TREE = {
    "passes": {"lora": {"r": 1, "args": None}, "a.b": {"x": 1}, "either": [{"type": "A"}, {"type": "B"}]},
    "data_configs": [{"name": "train", "n": 1}, {"name": "test.set"}],
}


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("passes.lora.r=8", ("passes", "lora", "r"), 8),
        ("passes.lora.r = 1e-4", ("passes", "lora", "r"), 1e-4),
        ("passes.lora.r=no", ("passes", "lora", "r"), "no"),
        ("passes.lora.r=", ("passes", "lora", "r"), None),
        ("passes.lora.r='8'", ("passes", "lora", "r"), "8"),
        ("passes.lora.r=[q_proj, 2]", ("passes", "lora", "r"), ["q_proj", 2]),
        ("passes.lora.r={a: {b: null}}", ("passes", "lora", "r"), {"a": {"b": None}}),
        ("passes.lora.t=User: {x} = y", ("passes", "lora", "t"), "User: {x} = y"),
        ("passes.lora.args.steps=5", ("passes", "lora", "args"), {"steps": 5}),
        ("passes.lora.new.deep.er=5", ("passes", "lora", "new"), {"deep": {"er": 5}}),
        ("passes.a.b.x=2", ("passes", "a.b"), {"x": 2}),
        ("passes.either[1].type=C", ("passes", "either", 1, "type"), "C"),
        ("data_configs[0].n=2", ("data_configs", 0, "n"), 2),
        ("data_configs.train.n=2", ("data_configs", 0, "n"), 2),
        ("host=here", ("host",), "here"),
    ],
)
def test_values_are_put_where_the_path_leads(override: str, path: tuple[str | int, ...], value: object) -> None:
    tree: object = plain(apply_override(from_python(TREE), override))
    for part in path:
        tree = tree[part]  # type: ignore[index]
    assert tree == value
    assert TREE["passes"]["lora"]["r"] == 1  # type: ignore[index,call-overload]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("passes", "expected path=value; e.g. passes.lora.r=8 or data_configs[0].name=train"),
        ("=3", "expected path=value; e.g. passes.lora.r=8 or data_configs[0].name=train"),
        ("[0].a=3", "expected path=value; e.g. passes.lora.r=8 or data_configs[0].name=train"),
        ("a..b=3", "expected path=value; e.g. passes.lora.r=8 or data_configs[0].name=train"),
        ("a[x]=3", "expected path=value; e.g. passes.lora.r=8 or data_configs[0].name=train"),
        ("passes.lora.r.x=3", "passes.lora.r: has no member x: it is a single value"),
        ("passes.lora[0].x=3", "passes.lora: has no member [0]: it is a mapping, not a list"),
        ("data_configs[2].n=3", "data_configs: no item [2]: the list has 2"),
        ("data_configs.trian.n=3", "data_configs: no item of this list has the name 'trian'; did you mean `train`?"),
        (
            "passes.either.type=3",
            "passes.either: no item of this list has the name 'type'; items are written passes.either[0]",
        ),
        ("passes.x=[1", "passes.x: the value cannot be read: a list or mapping in brackets without"),
        (
            "passes.x=99999999999999999999",
            "passes.x: the value cannot be read: the number 99999999999999999999 does not",
        ),
    ],
)
def test_what_cannot_be_set_is_explained(override: str, message: str) -> None:
    with pytest.raises(InvalidWorkflow) as caught:
        apply_override(from_python(TREE), override)
    assert str(caught.value).startswith(f"--set {override}: {message}")


def test_a_wrong_value_is_located_at_its_override(tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_text("input_model: {type: HfModel, model_path: org/name}\npasses: {scale: {type: ToyScale}}\n")
    draft = read([path], ["passes.scale.factor=much", "passes.scale.fctor=1", "seed=[1, x]", "pases.x=1"])
    assert [str(problem) for problem in draft.problems] == [
        "--set pases.x=1: pases: unknown key `pases`; did you mean `passes`, which is there already?",
        "--set passes.scale.factor=much: passes.scale.factor: expected a number, found 'much'",
        "--set passes.scale.fctor=1: passes.scale.fctor: unknown option `fctor`; "
        "did you mean `factor`, which is there already?",
        "--set seed=[1, x]: seed: expected a whole number, found a list",
    ]
    assert draft.problems[1].position == Position("--set passes.scale.factor=much", 0, 0)


def test_overrides_come_last() -> None:
    tree = {"input_model": {"type": "HfModel", "model_path": "org/name"}, "seed": 1}
    assert parse_tree(tree, overrides=["seed=2", "seed=3"]).raise_if_wrong().seed == 3
