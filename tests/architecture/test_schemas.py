"""The published schemas are those of the code as it is; every sample validates by them too."""

import json
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from olive_engine.config.schemas import SUFFIX, all_schemas, load_schema, schema_folder, text

SAMPLES = sorted((Path(__file__).parents[2] / "samples").glob("*/*.yaml"))


def test_the_published_schemas_are_fresh():
    """`make schemas` rewrites them."""
    root = schema_folder()
    published = {path.relative_to(root).as_posix(): path.read_text() for path in root.rglob("*.json")}
    assert published == {f"{name}{SUFFIX}": text(schema) for name, schema in all_schemas().items()}


@pytest.mark.parametrize("name", ["workflow", "job", "result", "event", "passes/LoRA"])
def test_schemas_are_schemas(name):
    Draft202012Validator.check_schema(load_schema(name))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.parent.name)
def test_samples_validate_by_the_published_schema(sample):
    tree = yaml.safe_load(sample.read_text())
    errors = list(Draft202012Validator(load_schema("workflow")).iter_errors(json.loads(json.dumps(tree))))
    assert not errors
