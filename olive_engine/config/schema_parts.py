"""What the schema of a workflow is put together from: the options of every model, as editors want to read them.

Everything that has a `type` is described by ``if``/``then``, one pair for each type, and not by ``oneOf``: an editor
then offers every type where one is missing, the options of one type where it is written, and complains about the
misspelt key or type itself rather than that no alternative fits.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, JsonValue, TypeAdapter
from pydantic.json_schema import models_json_schema

from olive_engine.config.keys import nested_options
from olive_engine.config.schema_nodes import Schema, mapping, readable, searchable, strings
from olive_engine.config.search.kinds import unsearchable
from olive_engine.options import DataRef, Options, marked

SCHEMA: TypeAdapter[Schema] = TypeAdapter(Schema)

_SEARCH = "SearchedValues"
_TOLD = ("title", "description")
_PREFIX = "#/$defs/"


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the things that a `type` tells apart: its name, what it is in a sentence, and its definition."""

    type: str
    summary: str
    definition: str


class Parts:
    """The definitions that a schema under construction refers to, made of pydantic models."""

    def __init__(self, models: Iterable[type[BaseModel]]) -> None:
        every = dict.fromkeys(each for model in models for each in _with_groups(model))
        refs, schema = models_json_schema([(each, "validation") for each in every])
        self._refs = {model: str(ref["$ref"]).removeprefix(_PREFIX) for (model, _), ref in refs.items()}
        self._searchable: set[type[Options]] = set()
        definitions = SCHEMA.validate_python(schema.get("$defs", {}))
        self.definitions: Schema = {name: readable(mapping(node)) for name, node in definitions.items()}

    def fields(self, model: type[BaseModel]) -> Schema:
        """A copy of a model's own schema; a data set that must be named is required."""
        found = copy.deepcopy(mapping(self.definitions[self._refs[model]]))
        if issubclass(model, Options):
            for name in [name for name, mark in marked(model, DataRef) if mark.required and "." not in name]:
                found["required"] = [*strings(found.get("required")), name]
                mapping(mapping(found["properties"])[name])["type"] = "string"
        return found

    def searchable(self, options: type[Options], searched: type[Options]) -> None:
        """Let the values of a search stand for every option that can be searched, at any depth."""
        if options in self._searchable:
            return
        written = mapping(self.properties(searched)["search"])
        self.definitions[_SEARCH] = {name: value for name, value in written.items() if name not in _TOLD}
        told: Schema = {name: written[name] for name in _TOLD}
        one = {**closed({"search": {**told, **ref(_SEARCH)}}, ["search"], str(written["description"]))}
        self._searchable.add(options)
        properties = mapping(mapping(self.definitions[self._refs[options]]).get("properties", {}))
        for name, info in options.model_fields.items():
            for group in nested_options(info.annotation):
                self.searchable(group, searched)
            if name in properties and not unsearchable(info):
                properties[name] = searchable(mapping(properties[name]), one)

    def properties(self, model: type[BaseModel]) -> Schema:
        """A copy of the properties of a model's schema."""
        return mapping(self.fields(model).get("properties", {}))

    def ref(self, model: type[BaseModel]) -> Schema:
        """A reference to a model's definition."""
        return ref(self._refs[model])

    def flat(self, name: str, choice: str, summary: str, beside: Schema, options: type[BaseModel]) -> Choice:
        """Define what a `type` and its options are, written flat beside what all types have."""
        own = self.fields(options)
        properties = {**beside, **mapping(own.get("properties", {})), "type": type_of(choice, summary)}
        required = ["type", *(each for each in strings(own.get("required")) if each != "type")]
        self.definitions[name] = {**own, **closed(properties, required, summary), "title": choice}
        return Choice(choice, summary, name)

    def by_type(self, name: str, noun: str, choices: Sequence[Choice]) -> Schema:
        """Define a mapping whose `type` says what else may stand in it, and return a reference to it."""
        self.definitions[name] = _by_type(noun, choices) if choices else {"not": {}, "description": f"No {noun}."}
        return ref(name)

    def complete(self, schema: Schema) -> Schema:
        """`schema` with the definitions that it reaches, and no others."""
        reached: Schema = {}
        waiting = [schema]
        while waiting:
            for name in _references(waiting.pop()):
                if name not in reached:
                    reached[name] = self.definitions[name]
                    waiting.append(mapping(self.definitions[name]))
        return {**schema, **({"$defs": reached} if reached else {})}


def type_of(choice: str, summary: str) -> Schema:
    """The property `type` of something whose type is known."""
    return {"title": "type", "description": summary, "const": choice}


def closed(properties: Schema, required: Sequence[str], description: str) -> Schema:
    """A mapping with these keys and no others."""
    return {
        "description": description,
        "type": "object",
        "properties": properties,
        "required": [*required],
        "additionalProperties": False,
    }


def ref(name: str) -> Schema:
    """A reference to a definition."""
    return {"$ref": f"{_PREFIX}{name}"}


def _with_groups(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """A model, and the groups of options in it."""
    yield model
    for info in model.model_fields.values():
        for group in nested_options(info.annotation):
            yield from _with_groups(group)


def _by_type(noun: str, choices: Sequence[Choice]) -> Schema:
    kinds: Schema = {
        "title": "type",
        "description": f"Which {noun}.",
        "enum": [choice.type for choice in choices],
        "enumDescriptions": [choice.summary for choice in choices],
    }
    article = "An" if noun[0] in "aeiou" else "A"
    return {
        "description": f"{article} {noun}: its type, and the options of that type.",
        "type": "object",
        "properties": {"type": kinds},
        "required": ["type"],
        "allOf": [
            {
                "if": {"type": "object", "properties": {"type": {"const": choice.type}}, "required": ["type"]},
                "then": ref(choice.definition),
            }
            for choice in choices
        ],
    }


def _references(node: JsonValue) -> Iterator[str]:
    if isinstance(node, dict):
        reference = node.get("$ref")
        if isinstance(reference, str):
            yield reference.removeprefix(_PREFIX)
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)
