"""JSON Schema (2020-12) of everything that is written in a file: the workflow, each pass, jobs, results, events.

``python -m olive_engine.config.schemas FOLDER`` writes them; `load_schema` reads the published ones. They know today's
spelling only, and types in the case in which they are listed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core.core_schema import FloatSchema

from olive_engine import registry
from olive_engine.config import extends
from olive_engine.config.docstrings import summary
from olive_engine.config.keys import field_types, nested_options
from olive_engine.config.parse import EDITOR_KEY
from olive_engine.config.schema_nodes import Schema, mapping
from olive_engine.config.schema_parts import SCHEMA, Choice, Parts, closed, ref, type_of
from olive_engine.config.search.searched import Searched
from olive_engine.config.search.strategy import SearchStrategy
from olive_engine.config.shared_cache import SharedCacheConfig
from olive_engine.config.workflow import (
    INPUT_MODEL,
    NAME,
    EvaluatorConfig,
    MetricEntry,
    PassEntry,
    SubMetric,
    SystemEntry,
    Workflow,
)
from olive_engine.contracts import AnyMetric, AnyPass, EventLine, Job, Result, System
from olive_engine.errors import InvalidWorkflow, Problem
from olive_engine.options import OptionsClass

DIALECT = "https://json-schema.org/draft/2020-12/schema"
SUFFIX = ".schema.json"

_SECTIONS = {
    "input_model": "The model that the workflow starts from.",
    "data_configs": "The data sets: where the rows are, and how they become tokens. Passes and metrics name them.",
    "systems": "Places to run, by name; without any, everything runs on this machine.",
    "evaluators": "What to measure, by name: each is a list of metrics.",
    "passes": "What is done to the model, in order: each name has one pass, or a list of alternatives.",
    "shared_cache": "A cache that machines share: a folder or a URL, or {url, write, storage_options}; default: none.",
    "search_strategy": "How values for searched options are chosen; false or left out: nothing is searched.",
    "search_space": "Searched options, as `pass.option` or by a name that fits one option alone, and their values.",
    extends.KEY: "A workflow file that this one begins with, or several: what is written here counts over it.",
    EDITOR_KEY: "Where editors find this schema.",
}
_FILE: Schema = {"type": "string", "minLength": 1}
_EXTENDS: Schema = {"type": ["string", "array"], "minLength": 1, "items": _FILE, "minItems": 1}
_EXTENDS["examples"] = ["base.yaml"]


def workflow_schema() -> Schema:
    """The schema of a workflow file, with every installed pass, system and metric spelt out by its `type`."""
    parts = _parts()
    written = parts.properties(Workflow)
    own = {name: written[name] for name in field_types(Workflow)}
    models = [parts.flat(f"model.{kind}", kind, summary(cls), {}, cls) for kind, cls in _models().items()]
    parts.by_type("InputModel", "input model", models)
    parts.by_type("Pass", "pass", [_pass(parts, cls) for cls in registry.passes().values()])
    parts.by_type("System", "system", [_system(parts, cls) for cls in registry.systems().values()])
    parts.by_type("Metric", "metric", [_metric(parts, cls) for cls in registry.metrics().values()])
    judge = parts.properties(EvaluatorConfig)
    metrics = {**mapping(judge["metrics"]), "items": ref("Metric"), "minItems": 1}
    parts.definitions["Evaluator"] = closed({**judge, "metrics": metrics}, ["metrics"], summary(EvaluatorConfig))
    # One schema for both shapes rather than `anyOf`, so that what is said about a pass is about that pass.
    slot: Schema = {**mapping(parts.definitions["Pass"]), "type": ["object", "array"], "items": ref("Pass")}
    told = "A pass: its type and that type's options; or a list of alternatives."
    slot = {**slot, "minItems": 1, "title": "pass", "description": told}
    sections: Schema = {
        "input_model": ref("InputModel"),
        "data_configs": {**mapping(own["data_configs"]), "type": ["array", "null"]},
        "systems": _by_name(ref("System")),
        "evaluators": _by_name(ref("Evaluator")),
        "passes": _by_name(slot, INPUT_MODEL),
        "shared_cache": {"anyOf": [{"type": ["string", "null"], "minLength": 1}, parts.ref(SharedCacheConfig)]},
        "search_strategy": {"anyOf": [parts.ref(SearchStrategy), {"type": ["boolean", "null"]}]},
        "search_space": {**mapping(own["search_space"]), "type": ["object", "null"]},
        extends.KEY: _EXTENDS,
        EDITOR_KEY: {"type": "string"},
    }
    for name, told in _SECTIONS.items():
        sections[name] = {**mapping(sections[name]), "title": name, "description": told}
    properties = {**own, **sections}
    # What the file extends may say the rest.
    alone: Schema = {"if": {"not": {"required": [extends.KEY]}}, "then": {"required": ["input_model"]}}
    whole = {**closed(properties, [], "A workflow: a model, data, passes, and how the result is judged."), **alone}
    return {"$schema": DIALECT, **parts.complete(whole), "title": "olive-engine workflow"}


def pass_schema(name: str) -> Schema:
    """The schema of one pass as it is written in a workflow.

    Raises:
        InvalidWorkflow: there is no such pass.
    """
    cls = registry.find_pass(name)
    if cls is None:
        known = ", ".join(sorted(registry.passes()))
        raise InvalidWorkflow((Problem((), f"no pass is called {name!r}", f"available: {known}"),))
    parts = _parts(cls)
    flat = parts.definitions.pop(_pass(parts, cls).definition)
    return {"$schema": DIALECT, **parts.complete(mapping(flat))}


def all_schemas() -> Mapping[str, Schema]:
    """Every published schema by its name: ``workflow``, ``job``, ``result``, ``event``, ``passes/LoRA`` …."""
    wire: dict[str, type[BaseModel]] = {"job": Job, "result": Result, "event": EventLine}
    return {
        "workflow": workflow_schema(),
        **{name: {"$schema": DIALECT, **_wire_schema(model)} for name, model in wire.items()},
        **{f"passes/{name}": pass_schema(name) for name in registry.passes()},
    }


def write_schemas(folder: Path) -> None:
    """Write every schema into `folder`, and remove those of passes that are gone."""
    texts = {folder / f"{name}{SUFFIX}": text(schema) for name, schema in all_schemas().items()}
    for path in [*folder.rglob(f"*{SUFFIX}")]:
        if path not in texts:
            path.unlink()
    for path, content in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")


def text(schema: Schema) -> str:
    """A schema as it stands in its file."""
    return json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def schema_folder() -> Path:
    """Where the published schemas are: inside an installed package, or beside it in a checkout.

    Raises:
        FileNotFoundError: neither is there.
    """
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "schemas", package.parent / "schemas"):
        if (folder / f"workflow{SUFFIX}").is_file():
            return folder
    raise FileNotFoundError("the schemas are neither in the package nor beside it: run `make schemas`")


def load_schema(name: str) -> Schema:
    """A published schema, such as ``workflow`` or ``passes/LoRA``.

    Raises:
        FileNotFoundError: there is none of that name.
    """
    return SCHEMA.validate_json((schema_folder() / f"{name}{SUFFIX}").read_bytes())


class _WireGenerator(GenerateJsonSchema):
    """NaN and infinities travel as strings."""

    def float_schema(self, schema: FloatSchema) -> dict[str, object]:
        number = super().float_schema(schema)
        bounded = number.keys() & {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}
        return number if bounded else {"anyOf": [number, {"enum": ["NaN", "Infinity", "-Infinity"]}]}


def _parts(*unlisted: type[AnyPass]) -> Parts:
    models: list[type[BaseModel]] = [
        Workflow,
        SearchStrategy,
        SharedCacheConfig,
        Searched,
        EvaluatorConfig,
        PassEntry,
        SystemEntry,
        MetricEntry,
        SubMetric,
    ]
    models += _models().values()
    models += [cls.config_type for cls in (*registry.passes().values(), *unlisted)]
    models += [cls.config_type for cls in registry.systems().values()]
    models += [cls.config_type for cls in registry.metrics().values()]
    return Parts(models)


def _models() -> Mapping[str, OptionsClass]:
    """The kinds of input model by what is written as their type."""
    kinds = nested_options(Workflow.model_fields["input_model"].annotation)
    return {str(cls.model_fields["type"].default): cls for cls in kinds}


def _pass(parts: Parts, cls: type[AnyPass]) -> Choice:
    """A pass as it is written: its type, its options, and what may stand beside them."""
    beside = parts.properties(PassEntry)
    del beside["options"]
    parts.searchable(cls.config_type, Searched)
    return parts.flat(f"pass.{cls.type}", cls.type, summary(cls), beside, cls.config_type)


def _system(parts: Parts, cls: type[System]) -> Choice:
    return parts.flat(f"system.{cls.type}", cls.type, summary(cls), {}, cls.config_type)


def _metric(parts: Parts, cls: type[AnyMetric]) -> Choice:
    """A metric as it is written: its options stand under `metric_config`."""
    own = parts.fields(MetricEntry)
    properties = mapping(own["properties"])
    names: Schema = {
        "enum": [*cls.sub_types],
        "enumDescriptions": [f"{'higher' if up else 'lower'} is better" for up in cls.sub_types.values()],
    }
    sub_metric = parts.fields(SubMetric)
    name = mapping(mapping(sub_metric["properties"])["name"])
    mapping(sub_metric["properties"])["name"] = {**name, **names}
    properties["sub_types"] = {**mapping(properties["sub_types"]), "items": {"anyOf": [names, sub_metric]}}
    properties["metric_config"] = {**mapping(properties["metric_config"]), **parts.ref(cls.config_type)}
    properties["type"] = type_of(cls.type, summary(cls))
    required = ["name", "type"]
    if cls.needs_data:
        required.append("data_config")
        mapping(properties["data_config"])["type"] = "string"
    definition = f"metric.{cls.type}"
    parts.definitions[definition] = {**closed(properties, required, summary(cls)), "title": cls.type}
    return Choice(cls.type, summary(cls), definition)


def _by_name(member: Schema, *reserved: str) -> Schema:
    """A section of things by name; null where there are none."""
    names: Schema = {"pattern": NAME, "patternErrorMessage": "A name holds letters, digits, _, . and - only."}
    if reserved:
        names["not"] = {"enum": [*reserved]}
    return {"type": ["object", "null"], "additionalProperties": member, "propertyNames": names}


def _wire_schema(model: type[BaseModel]) -> Schema:
    return SCHEMA.validate_python(model.model_json_schema(schema_generator=_WireGenerator))


if __name__ == "__main__":
    write_schemas(Path(sys.argv[1]))
