import json
from pathlib import Path
from typing import Any

import pytest

from olive_engine.config.draft import Draft, parse_tree, read
from olive_engine.config.workflow import Goal, SubMetric
from olive_engine.errors import InvalidWorkflow, Position, Problem

GOOD: dict[str, Any] = {
    "input_model": {"type": "hfmodel", "model_path": "org/name", "load_kwargs": {"revision": "main"}},
    "data_configs": [{"name": "train", "load_dataset_config": {"data_name": "json", "data_files": "rows.json"}}],
    "systems": {"here": {"type": "localsystem", "workers": 1}},
    "evaluators": {
        "quality": {
            "metrics": [
                {
                    "name": "tone",
                    "type": "Score",
                    "data_config": "train",
                    "metric_config": {"batch_size": 4},
                    "sub_types": [
                        "exact_match",
                        {"name": "accuracy_score", "priority": 1, "goal": {"type": "threshold", "value": 0.5}},
                    ],
                }
            ]
        }
    },
    "passes": {
        "tune": {"type": "TUNER", "r": 8, "train_data": "train", "training_args": {"max_steps": 10}, "host": "here"},
        "scale": [{"type": "ToyScale", "input": "input_model"}, {"type": "ToyScale", "factor": 3, "input": "tune"}],
    },
    "host": "here",
    "evaluator": "quality",
    "search_strategy": False,
    "seed": 7,
}


def changed(*path: str | int, to: object) -> Draft:
    """GOOD with one value replaced (or added)."""
    tree = json.loads(json.dumps(GOOD))
    place = tree
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = to
    return parse_tree(tree)


def only(draft: Draft) -> str:
    assert draft.workflow is None
    assert len(draft.problems) == 1, draft.problems
    return str(draft.problems[0])


def test_a_good_tree_becomes_typed_values() -> None:
    workflow = parse_tree(GOOD, Path("/somewhere")).raise_if_wrong()
    assert workflow.base_dir == Path("/somewhere")
    assert workflow.input_model.type == "HfModel"
    (tune,) = workflow.passes["tune"]
    assert (tune.type, tune.host, tune.input) == ("Tuner", "here", None)
    assert tune.options.model_dump() == {
        "r": 8,
        "alpha": 16,
        "target_modules": None,
        "patterns": {},
        "train_data": "train",
        "training_args": {"learning_rate": 1e-4, "max_steps": 10, "scheduler": "linear"},
    }
    assert [entry.input for entry in workflow.passes["scale"]] == ["input_model", "tune"]
    (metric,) = workflow.evaluators["quality"].metrics
    assert (metric.type, metric.metric_config.model_dump()) == ("score", {"batch_size": 4})
    assert metric.sub_types == (
        SubMetric(name="exact_match"),
        SubMetric(name="accuracy_score", priority=1, goal=Goal(type="threshold", value=0.5)),
    )
    assert workflow.systems["here"].type == "LocalSystem"
    assert workflow.seed == 7


def test_json_yaml_and_python_give_the_same_workflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import yaml

    monkeypatch.chdir(tmp_path)
    Path("a.json").write_text(json.dumps({"$schema": "workflow.schema.json", **GOOD}))
    Path("a.yaml").write_text(yaml.safe_dump(GOOD, sort_keys=False))
    assert read([Path("a.json")]).workflow == read([Path("a.yaml")]).workflow == parse_tree(GOOD).workflow
    assert parse_tree(GOOD).raise_if_wrong().base_dir == tmp_path


def test_nothing_but_an_input_model_is_a_workflow() -> None:
    tree = {"input_model": {"type": "HfModel", "model_path": "org/name"}, "passes": None, "data_configs": None}
    assert parse_tree(tree).raise_if_wrong().passes == {}


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("passes", "tune", "r"), -1, "passes.tune.r: must be greater than 0, found -1"),
        (("passes", "tune", "r"), "eight", "passes.tune.r: expected a whole number, found 'eight'"),
        (("passes", "tune", "r"), None, "passes.tune.r: expected a whole number, found nothing (null)"),
        (
            ("passes", "tune", "alpah"),
            3,
            "passes.tune.alpah: unknown option `alpah`; did you mean `alpha`?",
        ),
        (
            ("passes", "tune", "max_steps"),
            3,
            "passes.tune.max_steps: unknown option `max_steps`; did you mean `training_args.max_steps`?",
        ),
        (
            ("passes", "tune", "training_args", "max_stpes"),
            3,
            "passes.tune.training_args.max_stpes: unknown option `max_stpes`; "
            "did you mean `max_steps`, which is there already?",
        ),
        (
            ("passes", "tune", "training_args", "learning_rate"),
            False,
            "passes.tune.training_args.learning_rate: expected a number, found false",
        ),
        (
            ("passes", "tune", "training_args", "scheduler"),
            "cosin",
            "passes.tune.training_args.scheduler: must be 'linear' or 'cosine', found 'cosin'; did you mean `cosine`?",
        ),
        (
            ("passes", "tune", "target_modules"),
            5,
            "passes.tune.target_modules: expected text or a list, found 5",
        ),
        (
            ("passes", "tune", "target_modules"),
            ["q_proj", 5],
            "passes.tune.target_modules[1]: expected text, found 5; put it in quotes",
        ),
        (
            ("passes", "tune", "patterns"),
            {"q_proj": "x"},
            "passes.tune.patterns.q_proj: expected a whole number, found 'x'",
        ),
        (
            ("passes", "tune", "alpha"),
            1e6,
            "passes.tune.alpha: alpha must be at most 1000 times r, found 1000000.0 and 8",
        ),
        (
            ("passes", "tune", "train_data"),
            "tran",
            "passes.tune.train_data: no data config is called 'tran'; did you mean `train`?",
        ),
        (("passes", "tune", "type"), "tunr", "passes.tune.type: no pass is called 'tunr'; did you mean `Tuner`?"),
        (
            ("passes", "scale", 1, "input"),
            "tne",
            "passes.scale[1].input: no pass is called 'tne'; did you mean `tune`?",
        ),
        (("passes", "scale", 1, "host"), 3, "passes.scale[1].host: expected text, found 3; put it in quotes"),
        (
            ("evaluators", "quality", "metrics", 0, "type"),
            "scor",
            "evaluators.quality.metrics[0].type: no metric is called 'scor'; did you mean `score`?",
        ),
        (
            ("evaluators", "quality", "metrics", 0, "data_config"),
            None,
            "evaluators.quality.metrics[0].data_config: `data_config` is required: score is measured on data; "
            "e.g. `data_config: train`",
        ),
        (
            ("evaluators", "quality", "metrics", 0, "metric_config", "batch_size"),
            0,
            "evaluators.quality.metrics[0].metric_config.batch_size: must be greater than 0, found 0",
        ),
        (
            ("evaluators", "quality", "metrics", 0, "sub_types", 0),
            "exactmatch",
            "evaluators.quality.metrics[0].sub_types[0]: no sub-type of score is called 'exactmatch'; "
            "did you mean `exact_match`?",
        ),
        (
            ("evaluators", "quality", "metrics", 0, "sub_types", 1, "goal", "value"),
            "high",
            "evaluators.quality.metrics[0].sub_types[1].goal.value: expected a number, found 'high'",
        ),
        (
            ("evaluators", "quality", "metrics", 0, "sub_types", 1, "name"),
            "exact_match",
            "evaluators.quality.metrics[0].sub_types[1]: the sub-type 'exact_match' is named twice",
        ),
        (("data_configs", 0, "name"), "a b", "data_configs[0].name: a name holds letters, digits, `_`, `.` and `-`"),
        (("base_dir",), "/", "base_dir: unknown key `base_dir`"),
    ],
)
def test_one_wrong_value_is_one_sentence(path: tuple[str | int, ...], value: object, message: str) -> None:
    draft = changed(*path, to=value)
    problems = [problem for problem in draft.problems if "no data config is called 'train'" not in problem.what]
    assert [str(problem)[: len(message)] for problem in problems] == [message]
    assert draft.workflow is None


def test_problems_of_all_sections_come_at_once_and_in_the_order_of_the_lines(tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_text(
        "host: nowhere\nsystems: {here: {type: LocalSystem}}\n"
        "passes:\n"
        "  tune: {type: Tuner, r: 0, evaluator: none}\n"
        "input_model: {type: HfModel}\n"
        "evaluators: {e: {metrics: [{name: a, type: score, data_config: x}, {name: a, type: score, data_config: x}]}}\n"
    )
    draft = read([path])
    assert [(problem.path, problem.position.line) for problem in draft.problems if problem.position] == [
        (("host",), 1),
        (("passes", "tune", "r"), 4),
        (("passes", "tune", "evaluator"), 4),
        (("input_model", "model_path"), 5),
        (("evaluators", "e", "metrics", 0, "data_config"), 6),
        (("evaluators", "e", "metrics", 1, "name"), 6),
    ]


def test_an_unknown_key_explains_what_else_is_wrong_in_its_mapping() -> None:
    tree = {**GOOD, "passes": {"tune": {"type": "Tuner", "scaling": 2, "alpha": 1e9}}}
    assert only(parse_tree(tree)).startswith("passes.tune.scaling: unknown option `scaling`; options here: r, alpha,")


def test_sound_data_configs_are_there_though_something_else_is_wrong() -> None:
    (config,) = GOOD["data_configs"]
    draft = parse_tree({**GOOD, "seed": -1, "data_configs": [{"name": "bad"}, config]}, Path("/base"))
    assert [problem.path for problem in draft.problems] == [
        ("data_configs", 0, "load_dataset_config"),
        ("seed",),
    ]
    assert {index: config.name for index, config in draft.data_configs.items()} == {1: "train"}
    assert draft.base_dir == Path("/base")


def test_absurdly_many_problems_are_counted() -> None:
    draft = parse_tree({**GOOD, **{f"key{index}": 1 for index in range(1000)}})
    assert len(draft.problems) == 201
    assert draft.problems[-1].what == "and 800 more problems, not shown"


def test_later_files_lie_over_earlier_ones(tmp_path: Path) -> None:
    base, over = tmp_path / "base.json", tmp_path / "over.yaml"
    base.write_text(json.dumps(GOOD))
    over.write_text("passes:\n  tune: {r: 4, training_args: {max_steps: -5}}\n  last: {type: ToyScale}\nhost: null\n")
    draft = read([base, over])
    assert only(draft) == f"{over}:2:43: passes.tune.training_args.max_steps: must be at least -1, found -5"
    workflow = read([base, over], ["passes.tune.training_args.max_steps=5"]).raise_if_wrong()
    assert list(workflow.passes) == ["tune", "scale", "last"]
    assert workflow.host is None
    assert workflow.passes["tune"][0].options.model_dump()["train_data"] == "train"
    assert draft.locate(("passes", "tune", "train_data")) is not None
    assert str(draft.locate(("passes", "tune", "train_data"))).startswith(str(base))


def test_every_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{")
    draft = read([tmp_path / "a.json", tmp_path / "b.json"])
    assert [problem.position for problem in draft.problems] == [
        Position(str(tmp_path / "a.json"), 1, 2),
        Position(str(tmp_path / "b.json"), 0, 0),
    ]


def test_later_checks_add_located_problems(tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_text(
        "input_model: {type: HfModel, model_path: org/name}\npasses:\n  scale:\n    type: ToyScale\n    factor: 3\n"
    )
    draft = read([path])
    assert draft.workflow is not None
    doubtful = draft.adding([Problem(("passes", "scale"), "slow", severity="warning")])
    assert doubtful.raise_if_wrong() == draft.workflow
    wrong = doubtful.adding([Problem(("passes", "scale", 0, "factor"), "too much")])
    assert wrong.workflow is None
    with pytest.raises(InvalidWorkflow) as caught:
        wrong.raise_if_wrong()
    assert str(caught.value) == f"{path}:5:13: passes.scale.factor: too much"
    assert str(wrong.problems[0]) == f"{path}:4:5: passes.scale: slow"


def test_python_values_that_no_file_could_hold() -> None:
    assert only(parse_tree({"input_model": object()})) == "expected plain values, found object"
    assert only(parse_tree({"input_model": {1: 2}})) == "expected text as a key, found 1"  # type: ignore[dict-item]
    loop: dict[str, object] = {}
    loop["passes"] = loop
    assert only(parse_tree(loop)) == "nested more than 64 levels deep"


def test_paths_are_relative_to_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "project" / "base").mkdir(parents=True)
    (tmp_path / "project" / "base" / "config.json").write_text("{}")
    config = tmp_path / "project" / "w.yaml"
    config.write_text("input_model: {type: HfModel, model_path: base}\n")
    monkeypatch.chdir(config.parent)
    assert read([Path("w.yaml")]).raise_if_wrong().base_dir == config.parent
    monkeypatch.chdir(tmp_path)
    assert only(read([Path("project/w.yaml")])) == (
        "project/w.yaml:1:42: input_model.model_path: no such folder: 'base'; "
        "paths are relative to the working directory; it exists as project/base"
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("./base", ""),
        ("base", ""),
        ("~/base", ""),
        ("gpt2", ""),
        ("microsoft/phi-2", ""),
        ("./bse", "no such folder: './bse'; did you mean `base`?"),
        ("a/b/c", "no such folder: 'a/b/c'; paths are relative to the working directory"),
        ("/nowhere/base", "no such folder: '/nowhere/base'"),
        ("C:\\models", "no such folder: 'C:\\\\models'; paths are relative to the working directory"),
        ("model.onnx", "no such folder: 'model.onnx'; paths are relative to the working directory"),
        ("empty", "the folder 'empty' has no config.json; expected a Hugging Face model folder"),
        ("file", "expected a folder with config.json, found the file 'file'"),
        ("x" * 5000, ""),
    ],
)
def test_model_paths(name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").write_text("{}")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HOME", str(tmp_path))
    draft = parse_tree({"input_model": {"type": "HfModel", "model_path": name}}, tmp_path)
    assert [str(problem) for problem in draft.problems] == [f"input_model.model_path: {message}"] * bool(message)


def test_onnx_models(tmp_path: Path) -> None:
    def read_onnx(**options: str) -> Draft:
        return parse_tree({"input_model": {"type": "OnnxModel", **options}}, tmp_path)

    (tmp_path / "one").mkdir()
    assert only(read_onnx(model_path="one")).endswith("the folder 'one' has no .onnx file")
    (tmp_path / "one" / "a.onnx").write_bytes(b"")
    assert read_onnx(model_path="one").problems == ()
    assert read_onnx(model_path="one/a.onnx").problems == ()
    (tmp_path / "one" / "b.onnx").write_bytes(b"")
    assert only(read_onnx(model_path="one")).endswith("has 2 .onnx files; choose with `onnx_file_name`")
    assert read_onnx(model_path="one", onnx_file_name="b.onnx").problems == ()
    assert only(read_onnx(model_path="one", onnx_file_name="zzz")) == (
        "input_model.onnx_file_name: no file there is called 'zzz'; the folder has: a.onnx, b.onnx"
    )
