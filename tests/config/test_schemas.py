import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from olive_engine.config.schemas import (
    all_schemas,
    load_schema,
    pass_schema,
    schema_folder,
    text,
    write_schemas,
)
from olive_engine.contracts import EventLine, Item, ItemResult, Job, Log, Metrics, Result
from olive_engine.errors import InvalidWorkflow

from .test_draft import GOOD


@pytest.fixture(scope="module")
def canonical() -> dict[str, Any]:
    """GOOD with installed types only, in the canonical case, as a schema wants it."""
    tree: dict[str, Any] = json.loads(json.dumps(GOOD))
    tree["input_model"]["type"] = "HfModel"
    tree["systems"]["here"]["type"] = "LocalSystem"
    tree["passes"] = {"tune": {**tree["passes"]["tune"], "type": "Tuner"}, "either": [{"type": "Tuner", "r": 4}]}
    tree["evaluators"]["quality"]["metrics"][0]["type"] = "score"
    return tree


def test_every_schema_is_one() -> None:
    schemas = all_schemas()
    assert {"workflow", "job", "result", "event", "passes/Tuner"} <= set(schemas)
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
        names = set(json.dumps(schema).split('"#/$defs/')[1:])
        assert {name.partition('"')[0] for name in names} == set(schema.get("$defs", {}))  # type: ignore[arg-type]


def test_a_good_workflow_fits(canonical: dict[str, Any]) -> None:
    Draft202012Validator(all_schemas()["workflow"]).validate(canonical)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("pases",), {}),
        (("base_dir",), "/"),
        (("search_strategy",), {"sampler": 3}),
        (("input_model", "type"), "TensorFlow"),
        (("input_model", "model_pth"), "x"),
        (("systems", "here", "type"), "Nowhere"),
        (("systems", "a b"), {"type": "LocalSystem"}),
        (("passes", "tune", "r"), 0),
        (("passes", "tune", "rank"), 3),
        (("passes", "tune", "training_args", "max_step"), 3),
        (("passes", "either", 0, "type"), "Other"),
        (("passes", "either"), []),
        (("evaluators", "quality", "metrics"), []),
        (("evaluators", "quality", "metrics", 0, "sub_types"), ["speed"]),
        (("evaluators", "quality", "metrics", 0, "sub_types", 1, "name"), "speed"),
        (("evaluators", "quality", "metrics", 0, "metric_config", "size"), 1),
        (("data_configs", 0, "load_dataset_config", "data_fils"), "x"),
        (("log_severity_level",), 9),
    ],
)
def test_what_the_parser_refuses_the_schema_refuses(
    canonical: dict[str, Any], path: tuple[str | int, ...], value: object
) -> None:
    tree = json.loads(json.dumps(canonical))
    place = tree
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    assert not Draft202012Validator(all_schemas()["workflow"]).is_valid(tree)


def test_what_must_be_there(canonical: dict[str, Any]) -> None:
    validator = Draft202012Validator(all_schemas()["workflow"])
    for path in (("input_model",), ("input_model", "type"), ("passes", "tune", "type"), ("systems", "here", "type")):
        tree = json.loads(json.dumps(canonical))
        place = tree
        for part in path[:-1]:
            place = place[part]
        del place[path[-1]]
        assert not validator.is_valid(tree), path


def test_a_pass_schema_is_flat() -> None:
    schema = pass_schema("tuner")
    properties = schema["properties"]
    assert isinstance(properties, dict)
    assert isinstance(properties["type"], dict)
    assert properties["type"]["const"] == "Tuner"
    assert {"r", "alpha", "train_data", "host", "evaluator", "input", "inputs"} <= set(properties)
    with pytest.raises(InvalidWorkflow, match="no pass is called 'Tuna'; available: Tuner"):
        pass_schema("Tuna")


def test_the_wire_fits_its_schemas() -> None:
    schemas = all_schemas()
    job = Job(id="1", kind="pass", items=(Item(key="k", step="s", type="T", config={"a": [1]}),))
    result = Result(id="1", items=(ItemResult(key="k", status="done", metrics={"loss": float("nan"), "x": 1}),))
    Draft202012Validator(schemas["job"]).validate(json.loads(job.model_dump_json()))
    Draft202012Validator(schemas["result"]).validate(json.loads(result.model_dump_json()))
    for event in (Log(message="m"), Metrics(values={"a": float("inf")})):
        line = EventLine(item=0, time=1.0, event=event)
        Draft202012Validator(schemas["event"]).validate(json.loads(line.model_dump_json()))
    assert not Draft202012Validator(schemas["job"]).is_valid({**json.loads(job.model_dump_json()), "extra": 1})


def test_written_schemas_are_sorted_and_stale_ones_go(tmp_path: Path) -> None:
    (tmp_path / "passes").mkdir()
    (tmp_path / "passes" / "Gone.schema.json").write_text("{}")
    (tmp_path / "note.md").write_text("kept")
    write_schemas(tmp_path)
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert written == {"note.md", *(f"{name}.schema.json" for name in all_schemas())}
    content = (tmp_path / "job.schema.json").read_text()
    assert content == json.dumps(json.loads(content), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def test_schemas_are_read_beside_the_package_or_inside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from olive_engine.config import schemas

    package = tmp_path / "site" / "olive_engine"
    monkeypatch.setattr(schemas, "__file__", str(package / "config" / "schemas.py"))
    with pytest.raises(FileNotFoundError, match="make schemas"):
        schema_folder()
    beside, inside = tmp_path / "site" / "schemas", package / "schemas"
    for folder, title in ((beside, "beside"), (inside, "inside")):
        folder.mkdir(parents=True)
        (folder / "workflow.schema.json").write_text(text({"title": title}))
        assert load_schema("workflow") == {"title": title}
