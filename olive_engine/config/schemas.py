"""JSON Schema (2020-12) of everything that is written in a file: the workflow, each pass, jobs, results, events.

``python -m olive_engine.config.schemas FOLDER`` writes them; `load_schema` reads the published ones.
"""

from __future__ import annotations

import copy
import inspect
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, JsonValue, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, models_json_schema
from pydantic_core.core_schema import FloatSchema

from olive_engine import registry
from olive_engine.config.parse import EDITOR_KEY, MODELS
from olive_engine.config.workflow import NAME, MetricEntry, PassEntry, SubMetric, SystemEntry, Workflow
from olive_engine.contracts import AnyMetric, AnyPass, EventLine, Job, Result, System
from olive_engine.errors import InvalidWorkflow, Problem
from olive_engine.options import Options

DIALECT = "https://json-schema.org/draft/2020-12/schema"
SUFFIX = ".schema.json"

Schema = dict[str, JsonValue]

_SCHEMA: TypeAdapter[Schema] = TypeAdapter(Schema)


def workflow_schema() -> Schema:
    """The schema of a workflow file, with every installed pass, system and metric spelt out by its `type`."""
    parts = _Parts()
    schema = parts.fields(Workflow)
    properties = _mapping(schema["properties"])
    del properties["base_dir"]
    properties[EDITOR_KEY] = {"type": "string", "description": "Where editors find this schema."}
    properties["search_strategy"] = {"enum": [False, None], "description": "No search: it is not available yet."}
    parts.definitions["Pass"] = _one_of(parts.one_pass(cls) for cls in registry.passes().values())
    parts.definitions["System"] = _one_of(parts.system(cls) for cls in registry.systems().values())
    parts.definitions["Metric"] = _one_of(parts.metric(cls) for cls in registry.metrics().values())
    parts.definitions["Evaluator"] = _closed(
        {"metrics": {"type": "array", "items": _ref("Metric"), "minItems": 1, "description": "What to measure."}},
        ["metrics"],
        "A named list of metrics.",
    )
    for model in MODELS.values():
        parts.require_type(model)
    alternatives: Schema = {"type": "array", "items": _ref("Pass"), "minItems": 1, "description": "Alternatives."}
    slot: Schema = {"anyOf": [_ref("Pass"), alternatives]}
    properties["passes"] = _by_name(slot, "The passes in order; each name has one pass, or a list of alternatives.")
    properties["systems"] = _by_name(_ref("System"), "Places to run, by name.")
    properties["evaluators"] = _by_name(_ref("Evaluator"), "What to measure, by name.")
    for section in ("passes", "systems", "evaluators", "data_configs"):
        member = properties[section]
        if section == "data_configs" and isinstance(member, dict):
            member.pop("default", None)
        properties[section] = {"anyOf": [member, {"type": "null"}]}
    schema = {**schema, "properties": properties, "title": "olive-engine workflow"}
    return parts.complete(schema)


def pass_schema(name: str) -> Schema:
    """The schema of one pass as it is written in a workflow.

    Raises:
        InvalidWorkflow: there is no such pass.
    """
    cls = registry.find_pass(name)
    if cls is None:
        known = ", ".join(sorted(registry.passes()))
        raise InvalidWorkflow((Problem((), f"no pass is called {name!r}", f"available: {known}"),))
    parts = _Parts(cls)
    parts.one_pass(cls)
    flat = parts.definitions.pop(f"pass.{cls.type}")
    return parts.complete(_mapping(flat))


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
    return _SCHEMA.validate_json((schema_folder() / f"{name}{SUFFIX}").read_bytes())


class _Parts:
    """The definitions that a schema under construction refers to."""

    def __init__(self, *unlisted: type[AnyPass]) -> None:
        models: list[type[BaseModel]] = [Workflow, PassEntry, SystemEntry, MetricEntry, SubMetric, *MODELS.values()]
        models += [cls.config_type for cls in (*registry.passes().values(), *unlisted)]
        models += [cls.config_type for cls in registry.systems().values()]
        models += [cls.config_type for cls in registry.metrics().values()]
        refs, schema = models_json_schema(
            [(each, "validation") for each in dict.fromkeys(models)], ref_template="{model}"
        )
        self._refs = {model: str(ref["$ref"]) for (model, _), ref in refs.items()}
        definitions = json.loads(json.dumps(schema["$defs"]), object_hook=_adapted)
        self.definitions: Schema = _SCHEMA.validate_python(definitions)

    def fields(self, model: type[BaseModel]) -> Schema:
        """A copy of a model's own schema."""
        return copy.deepcopy(_mapping(self.definitions[self._refs[model]]))

    def require_type(self, model: type[BaseModel]) -> None:
        """A file must name the type, which the class itself has as its default."""
        schema = self.fields(model)
        required = schema.get("required", [])
        schema["required"] = ["type", *(required if isinstance(required, list) else [])]
        self.definitions[self._refs[model]] = schema

    def one_pass(self, cls: type[AnyPass]) -> Schema:
        """A pass as it is written: its type, its options, and what may stand beside them."""
        return self._flat(f"pass.{cls.type}", cls, PassEntry, cls.config_type)

    def system(self, cls: type[System]) -> Schema:
        """A system as it is written."""
        return self._flat(f"system.{cls.type}", cls, SystemEntry, cls.config_type)

    def metric(self, cls: type[AnyMetric]) -> Schema:
        """A metric as it is written: its options stand under `metric_config`."""
        fields = self.fields(MetricEntry)
        properties = _mapping(fields["properties"])
        names: Schema = {"enum": [*cls.sub_types]}
        sub_metric = self.fields(SubMetric)
        _mapping(sub_metric["properties"])["name"] = names
        properties["sub_types"] = {"type": "array", "items": {"anyOf": [names, sub_metric]}}
        properties["metric_config"] = _ref(self._refs[cls.config_type])
        required = ["name", "type", *(["data_config"] if cls.needs_data else [])]
        properties["type"] = {"const": cls.type}
        name = f"metric.{cls.type}"
        self.definitions[name] = _closed(properties, required, _summary(cls), cls.type)
        return _ref(name)

    def complete(self, schema: Schema) -> Schema:
        """`schema` with the definitions that it reaches, and no others."""
        reached: Schema = {}
        waiting = [schema]
        while waiting:
            for name in _references(waiting.pop()):
                if name not in reached:
                    reached[name] = self.definitions[name]
                    waiting.append(_mapping(self.definitions[name]))
        return {"$schema": DIALECT, **schema, **({"$defs": reached} if reached else {})}

    def _flat(self, name: str, cls: type[object], entry: type[BaseModel], options: type[Options]) -> Schema:
        beside, own = _mapping(self.fields(entry)["properties"]), self.fields(options)
        del beside["options"]
        title = name.partition(".")[2]
        properties: Schema = {**beside, **_mapping(own.get("properties", {}))}
        properties["type"] = {"const": title}
        required = own.get("required", [])
        flat = _closed(properties, ["type", *(required if isinstance(required, list) else [])], _summary(cls), title)
        self.definitions[name] = {**own, **flat}
        return _ref(name)


class _WireGenerator(GenerateJsonSchema):
    """NaN and infinities travel as strings."""

    def float_schema(self, schema: FloatSchema) -> dict[str, object]:
        number = super().float_schema(schema)
        bounded = number.keys() & {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}
        return number if bounded else {"anyOf": [number, {"enum": ["NaN", "Infinity", "-Infinity"]}]}


def _wire_schema(model: type[BaseModel]) -> Schema:
    return _SCHEMA.validate_python(model.model_json_schema(schema_generator=_WireGenerator))


def _closed(properties: Schema, required: Sequence[JsonValue], description: str, title: str = "") -> Schema:
    return {
        **({"title": title} if title else {}),
        "description": description,
        "type": "object",
        "properties": properties,
        "required": [*required],
        "additionalProperties": False,
    }


def _by_name(member: Schema, description: str) -> Schema:
    return {
        "type": "object",
        "description": description,
        "additionalProperties": member,
        "propertyNames": {"pattern": NAME},
    }


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _one_of(schemas: Iterable[Schema]) -> Schema:
    found: list[JsonValue] = [*schemas]
    return {"oneOf": found} if found else {"not": {}}


def _adapted(node: dict[str, object]) -> dict[str, object]:
    """Make pydantic's bare names references into ``$defs``, and drop OpenAPI's discriminators."""
    discriminator = node.get("discriminator")
    if isinstance(discriminator, dict) and "propertyName" in discriminator:
        node = {key: value for key, value in node.items() if key != "discriminator"}
    return {**node, "$ref": f"#/$defs/{node['$ref']}"} if isinstance(node.get("$ref"), str) else node


def _references(node: JsonValue) -> Iterator[str]:
    if isinstance(node, dict):
        reference = node.get("$ref")
        if isinstance(reference, str):
            yield reference.removeprefix("#/$defs/")
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def _summary(cls: type[object]) -> str:
    """The first paragraph of a class's docstring, on one line."""
    return " ".join((inspect.getdoc(cls) or "").split("\n\n")[0].split())


def _mapping(value: JsonValue) -> Schema:
    if not isinstance(value, dict):
        raise TypeError(f"a schema must be a mapping, not {type(value).__name__}")
    return value


if __name__ == "__main__":
    write_schemas(Path(sys.argv[1]))
