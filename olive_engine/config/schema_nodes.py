"""A JSON Schema of pydantic's as editors show it best."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import JsonValue

from olive_engine.config import variables

Schema = dict[str, JsonValue]

REFERENCE = f"^{variables.REFERENCE.pattern}$"
"""What may stand for any value: a variable of the environment, with a default or without."""

_COMPOUND = {"$ref", "enum", "const", "anyOf", "oneOf", "allOf"}
_REFERRING: Schema = {"type": "string", "pattern": REFERENCE}
_SCALARS = {"integer": "a whole number", "number": "a number", "boolean": "true or false"}


def readable(node: Schema, name: str = "", *, arm: bool = False) -> Schema:
    """A schema of pydantic's as an editor shows it best.

    Titles are the names that are written, an absent value is no default, null stands beside the type that it may
    replace, and a number may be a reference to the environment (where it is no `arm` of something that has that).
    """
    made: Schema = {"title": name} if name else {}
    for key, value in node.items():
        match value:
            case _ if key in ("title", "discriminator"):
                continue
            case dict() if key in ("properties", "patternProperties"):
                made[key] = {each: readable(mapping(child), each) for each, child in value.items()}
            case dict() if key in ("items", "additionalProperties", "propertyNames"):
                made[key] = readable(value)
            case list() if key in ("anyOf", "oneOf", "allOf", "prefixItems"):
                made[key] = [readable(mapping(child), arm=True) for child in value]
            case _:
                made[key] = value
    if "default" in made and (made["default"] is None or _is_group(made)):
        del made["default"]
    made = _joined(made)
    return made if arm else _with_reference(made)


def searchable(node: Schema, searched: Schema) -> Schema:
    """A schema of an option's value in whose place the values of a search may stand too."""
    for key in ("anyOf", "oneOf"):
        if arms := _list(node.get(key)):
            return {**node, key: [*arms, searched]}
    kinds = _kinds(node)
    if not kinds or node.keys() & _COMPOUND or "object" in kinds:
        told: Schema = {key: node[key] for key in ("title", "description", "default") if key in node}
        return {**told, "anyOf": [{key: value for key, value in node.items() if key not in told}, searched]}
    only: Schema = {key: searched[key] for key in ("properties", "required", "additionalProperties")}
    return {**node, "type": [*kinds, "object"], **only}


def mapping(value: JsonValue) -> Schema:
    """`value`, which is a mapping."""
    if not isinstance(value, dict):
        raise TypeError(f"a schema must be a mapping, not {type(value).__name__}")
    return value


def strings(value: JsonValue) -> list[str]:
    """`value` as a list of texts; none if it is no list."""
    return [str(each) for each in value] if isinstance(value, list) else []


def _is_group(node: Schema) -> bool:
    """A group of options: its defaults are those of its members."""
    return "$ref" in node or any("$ref" in mapping(arm) for arm in _list(node.get("anyOf")))


def _joined(node: Schema) -> Schema:
    """``anyOf`` as one schema where that can be, else as ``oneOf`` if no two arms overlap.

    Editors tell the types of one schema in one sentence, and YAML's shows the titles of all arms of an ``anyOf``.
    """
    arms = [mapping(arm) for arm in _list(node.get("anyOf"))]
    if not arms:
        return node
    rest = {key: value for key, value in node.items() if key != "anyOf"}
    plain: Schema = {}
    others: list[Schema] = []
    for arm in arms:
        kinds, keywords = _kinds(arm), arm.keys() - {"type"}
        if kinds and not keywords & _COMPOUND and not keywords & plain.keys() and not {*kinds} & {*_kinds(plain)}:
            plain = {**plain, **arm, "type": [*_kinds(plain), *kinds]}
        else:
            others.append(arm)
    if len(others) == 1 and _kinds(plain) == ["null"] and isinstance(values := others[0].get("enum"), list):
        return {**others[0], "type": [*_kinds(others[0]), "null"], "enum": [*values, None], **rest}
    if not others:
        return {**plain, **rest}
    joined: list[JsonValue] = [*others, plain] if plain else [*others]
    return {**rest, "anyOf" if _overlap([*others, plain]) else "oneOf": joined}


def _overlap(arms: Sequence[Schema]) -> bool:
    """Whether a value may fit several; of a reference it is only known that it is no list and no number."""
    seen: set[str] = set()
    for arm in arms:
        kinds = {"object", "string"} if "$ref" in arm else {*_kinds(arm)}
        kinds |= {"number"} if "integer" in kinds else set()
        if seen & kinds:
            return True
        seen |= kinds
    return False


def _with_reference(node: Schema) -> Schema:
    """Where a scalar is wanted that is no free text, a reference to the environment may stand too."""
    for key in ("anyOf", "oneOf"):
        if arms := [mapping(arm) for arm in _list(node.get(key))]:
            wanted = any(map(_is_scalar, arms)) and not any(map(_is_text, arms))
            return {**node, key: [*arms, _REFERRING]} if wanted else node
    if not _is_scalar(node) or node.get("title") == "type":
        return node
    if "enum" in node or "const" in node:
        moved = ("enum", "const", "type")
        rest = {key: value for key, value in node.items() if key not in moved}
        told: Schema = {"description": rest["description"]} if "description" in rest else {}
        named: Schema = {**told, **{key: node[key] for key in moved if key in node}}
        return {**rest, "oneOf": [named, _REFERRING]}
    nouns = " or ".join(_SCALARS[kind] for kind in _kinds(node) if kind in _SCALARS)
    message = f"Expected {nouns}, or a reference such as ${{env:NAME}}."
    return {**node, "type": [*_kinds(node), "string"], "pattern": REFERENCE, "patternErrorMessage": message}


def _is_scalar(node: Schema) -> bool:
    """Whether it describes a number, true or false, or one of some names."""
    return "enum" in node or "const" in node or (bool(_SCALARS.keys() & _kinds(node)) and "string" not in _kinds(node))


def _is_text(node: Schema) -> bool:
    return "string" in _kinds(node) and "enum" not in node and "const" not in node


def _kinds(node: Schema) -> list[str]:
    kind = node.get("type", [])
    return [kind] if isinstance(kind, str) else strings(kind)


def _list(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else []
