"""The published schemas are those of the code as it is; they explain everything, and judge files as the reader does."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from olive_engine import registry
from olive_engine.config.loader import load
from olive_engine.config.schemas import SUFFIX, all_schemas, load_schema, schema_folder, text, workflow_schema
from olive_engine.config.tree import plain
from olive_engine.errors import InvalidWorkflow
from olive_engine.testing import toys

ROOT = Path(__file__).parents[2]
SAMPLES = sorted((ROOT / "samples").glob("*/*.yaml"))
BAD = {path.name: path for path in (ROOT / "tests" / "bad_workflows").iterdir() if path.suffix in (".yaml", ".json")}

NOT_STRUCTURAL = {
    "adapter_missing.yaml": "a file that is not there",
    "data_config_named_twice.yaml": "two names in different places",
    "lora_unknown_data.yaml": "a reference",
    "metric_named_twice.yaml": "two names in different places",
    "model_builder_idle_option.yaml": "two options that do not go together",
    "model_folder_missing.yaml": "a file that is not there",
    "model_folder_without_config.yaml": "a file that is not there",
    "model_is_a_file.yaml": "what is on the disk",
    "model_is_a_url.yaml": "what a text means",
    "onnx_model_missing.yaml": "a file that is not there",
    "lora_two_precisions.yaml": "two options that do not go together",
    "max_seq_len_beyond_positions.yaml": "what is on the disk",
    "max_seq_len_of_joined_rows.yaml": "what is on the disk",
    "mlflow_adapter.yaml": "what is on the disk",
    "mlflow_pickle.yaml": "what is on the disk",
    "mlflow_reference.yaml": "what is on the disk",
    "qlora_two_evaluation_sets.yaml": "two options that do not go together",
    "target_modules_of_another_family.yaml": "what is on the disk",
    "search_of_ruled_out_values.yaml": "two options that do not go together",
    "search_turned_off.yaml": "two options that do not go together",
    "search_without_strategy.yaml": "two options that do not go together",
    "search_range.yaml": "two options that do not go together",
    "search_sequential_without_end.yaml": "two options that do not go together",
    "search_without_end.yaml": "two options that do not go together",
    "input_and_inputs.yaml": "two options that do not go together",
    "values_that_do_not_agree.yaml": "two options that do not go together",
    "name_of_an_evaluator_misspelt.yaml": "a reference",
    "unknown_data_config.yaml": "a reference",
    "unknown_evaluator.yaml": "a reference",
    "unknown_host.yaml": "a reference",
    "unknown_input.yaml": "a reference",
}
"""Files whose defect a schema cannot see, and what it is about."""

FREE = {
    "load_kwargs": "whatever transformers' from_pretrained takes",
    "lr_scheduler_kwargs": "whatever the schedule takes",
    "default_auth_params": "whatever azure-identity's DefaultAzureCredential takes",
    "resources": "whatever Azure ML's jobs take",
}
"""Mappings that are passed on to another library as they are."""


@pytest.fixture(scope="module")
def workflow() -> Draft202012Validator:
    """The schema with the toys in it that the bad files are written with."""
    with pytest.MonkeyPatch.context() as patch:
        known = {**registry.passes(), **{cls.type: cls for cls in toys.PASSES}}
        patch.setattr(registry, "passes", lambda: known)
        return Draft202012Validator(workflow_schema())


def test_the_published_schemas_are_fresh() -> None:
    """`make schemas` rewrites them."""
    root = schema_folder()
    published = {path.relative_to(root).as_posix(): path.read_text() for path in root.rglob("*.json")}
    assert published == {f"{name}{SUFFIX}": text(schema) for name, schema in all_schemas().items()}


@pytest.mark.parametrize("name", ["workflow", "job", "result", "event", "passes/LoRA"])
def test_schemas_are_schemas(name: str) -> None:
    Draft202012Validator.check_schema(load_schema(name))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_samples_validate_by_the_published_schema(sample: Path) -> None:
    assert not list(Draft202012Validator(load_schema("workflow")).iter_errors(_tree(sample)))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_samples_name_their_schema_for_editors(sample: Path) -> None:
    first = sample.read_text().splitlines()[0]
    assert first.startswith("# yaml-language-server: $schema=")
    assert (sample.parent / first.partition("=")[2]).resolve() == schema_folder() / f"workflow{SUFFIX}"


# --- what the reader refuses the schema refuses -------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(BAD))
def test_structural_defects(name: str, workflow: Draft202012Validator) -> None:
    """Whatever can be read as a tree at all."""
    try:
        tree = _tree(BAD[name])
    except InvalidWorkflow:
        assert name not in NOT_STRUCTURAL
        return
    errors = [f"{error.json_path}: {error.message}" for error in workflow.iter_errors(tree)]
    assert bool(errors) == (name not in NOT_STRUCTURAL), errors or "a schema could see this: or name it above"


def test_the_list_of_other_defects_has_no_stale_name() -> None:
    assert set(NOT_STRUCTURAL) <= set(BAD)


def test_a_misspelt_option_is_one_error_about_that_option(workflow: Draft202012Validator) -> None:
    """Not "is not valid under any of the given schemas", and nothing about other passes."""
    tree = _tree(SAMPLES[0])
    passes = tree["passes"]
    passes["lora"]["lora_droput"] = passes["lora"].pop("r")
    passes["merge"]["type"] = "MergeAdapter"
    told = {error.json_path: error.message for error in workflow.iter_errors(tree)}
    assert told.keys() == {"$.passes.lora", "$.passes.merge.type"}
    assert told["$.passes.lora"] == "Additional properties are not allowed ('lora_droput' was unexpected)"
    assert told["$.passes.merge.type"].startswith("'MergeAdapter' is not one of ['LoRA', ")


def test_any_scalar_may_be_a_variable_of_the_environment(workflow: Draft202012Validator) -> None:
    tree = _tree(SAMPLES[0])
    tree["passes"]["lora"] |= {"r": "${env:RANK}", "bias": "${env:BIAS:-none}", "use_rslora": "${env:RS}"}
    assert workflow.is_valid(tree)
    tree["passes"]["lora"]["r"] = "${RANK}"
    assert [error.json_path for error in workflow.iter_errors(tree)] == ["$.passes.lora.r"]


def test_what_is_extended_may_say_the_rest(workflow: Draft202012Validator) -> None:
    assert workflow.is_valid({"extends": "base.yaml"})
    assert not workflow.is_valid({"seed": 1})


# --- everything is explained --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["workflow", *(f"passes/{name}" for name in registry.passes())])
def test_every_property_has_a_title_and_a_description(name: str) -> None:
    """The title is what is written, for an editor shows it as the heading of what it tells."""
    schema = all_schemas()[name]
    found = list(_properties(schema))
    assert len(found) > 3
    assert [path for path, node in found if node.get("title") != path.rpartition(".")[2]] == []
    assert [path for path, node in found if not _described(schema, node)] == []


@pytest.mark.parametrize(
    "path",
    [
        "model.HfModel.model_path",
        "model.OnnxModel.model_path",
        "LoadDatasetConfig.data_files",
        "LoadDatasetConfig.split",
        "PreProcessConfig.text_template",
        "pass.LoRA.target_modules",
    ],
)
def test_what_everyone_writes_has_an_example_that_fits(path: str) -> None:
    schema = workflow_schema()
    definition, _, name = path.rpartition(".")
    node = schema["$defs"][definition]["properties"][name]
    validator = Draft202012Validator({**node, "$defs": schema["$defs"]})
    assert node["examples"]
    assert all(validator.is_valid(example) for example in node["examples"])


def test_every_mapping_says_what_may_stand_in_it() -> None:
    open_ended = {
        path.rpartition(".")[2]
        for path, node in _nodes(workflow_schema(), "")
        if "object" in _kinds(node)
        and not ("properties" in node or isinstance(node.get("additionalProperties"), dict))
        and node.get("additionalProperties") is not False
    }
    assert open_ended <= set(FREE)


def test_required_data_has_no_default() -> None:
    lora = all_schemas()["passes/LoRA"]
    assert "train_data_config" in lora["required"]
    assert lora["properties"]["train_data_config"]["type"] == "string"
    assert "default" not in lora["properties"]["train_data_config"]


def test_no_default_is_null() -> None:
    """Absent is not null: an editor would write it."""
    schema = json.dumps(workflow_schema())
    assert '"default": null' not in schema


def _tree(path: Path) -> dict:
    tree = plain(load(path).root)
    return copy.deepcopy(tree)


def _properties(schema: dict) -> Iterator[tuple[str, dict]]:
    for path, node in _nodes(schema, ""):
        for name, child in node.get("properties", {}).items():
            yield f"{path}.{name}", child


def _described(schema: dict, node: dict) -> bool:
    """Whether an editor has something to show, here or in the definition that is referred to."""
    definition = schema.get("$defs", {}).get(str(node.get("$ref", "")).rpartition("/")[2], {})
    return bool(str(node.get("description") or definition.get("description") or "").strip())


def _nodes(node: object, path: str) -> Iterator[tuple[str, dict]]:
    """Every schema inside a schema, with the names that lead to it; conditions (`if`) say nothing of their own."""
    if not isinstance(node, dict):
        return
    yield path, node
    for key in ("properties", "$defs"):
        for name, child in node.get(key, {}).items():
            yield from _nodes(child, f"{path}.{name}")
    for key in ("items", "additionalProperties", "then", "else"):
        yield from _nodes(node.get(key), path)
    for key in ("allOf", "anyOf", "oneOf"):
        for child in node.get(key, []):
            yield from _nodes(child, path)


def _kinds(node: dict) -> list[str]:
    kind = node.get("type", [])
    return [kind] if isinstance(kind, str) else kind
