"""Unknown keys at every depth of an `Options` class, reported with the nearest valid name before values are read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import JsonValue

from olive_engine.config.findings import Findings
from olive_engine.config.spelling import SYNONYMS, synonym
from olive_engine.config.variables import as_meant
from olive_engine.errors import ConfigPath
from olive_engine.options import Options

Mapped = dict[str, JsonValue]


def checked_keys(
    options: type[Options], raw: Mapped, path: ConfigPath, findings: Findings, *, also: Iterable[str] = ()
) -> Mapped:
    """`raw` without keys that `options` does not know; a misspelt key is reported and then read as the one meant.

    `also` names keys that are valid here beside the fields.
    """
    fields = field_types(options)
    if options.model_config.get("extra") == "allow":
        return {key: as_meant(value, tuple(_arms(fields.get(key)))) for key, value in raw.items()}
    valid = [*fields, *also]
    result: Mapped = {}
    for key, value in raw.items():
        name: str | None = key
        if key not in valid:
            inner = _nested_home(key, fields)
            if inner is not None:
                findings.add((*path, key), f"unknown option `{key}`", f"did you mean `{inner}`?", at_key=True)
                name = None
            else:
                name = findings.unknown_key((*path, key), valid)
        if name is not None:
            result[name] = _checked(fields[name], value, (*path, name), findings) if name in fields else value
    return result


def field_types(options: type[Options]) -> dict[str, Any]:
    """The names that may be written for `options`, with the annotation of each; excluded fields are not for users."""
    return {info.alias or name: info.annotation for name, info in options.model_fields.items() if not info.exclude}


def nested_options(annotation: object) -> list[type[Options]]:
    """The `Options` classes that a mapping of this annotation may be read as."""
    if isinstance(annotation, type) and issubclass(annotation, Options):
        return [annotation]
    origin = get_origin(annotation)
    if origin is Annotated:
        return nested_options(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return [each for arm in get_args(annotation) for each in nested_options(arm)]
    return []


def chosen(classes: Sequence[type[Options]], raw: Mapping[str, JsonValue]) -> type[Options] | None:
    """The one class that `raw` is meant for: the only one, or the one whose literal `type` it bears."""
    if len(classes) == 1:
        return classes[0]
    for cls in classes:
        info = cls.model_fields.get("type")
        if info is not None and get_origin(info.annotation) is Literal and raw.get("type") in get_args(info.annotation):
            return cls
    return None


def check_truth(annotation: object, value: JsonValue, path: ConfigPath, findings: Findings) -> JsonValue:
    """Refuse true and false where a number is wanted: pydantic would make 1 and 0 of them.

    Returns:
        The value; where it was refused a text, which is no number either.
    """
    if isinstance(value, bool):
        scalars = set(_arms(annotation))
        if scalars & {int, float} and bool not in scalars:
            noun = "a number" if float in scalars else "a whole number"
            findings.add(path, f"expected {noun}, found {str(value).lower()}")
            return str(value).lower()
    return value


def _checked(annotation: object, value: JsonValue, path: ConfigPath, findings: Findings) -> JsonValue:
    value = check_truth(annotation, as_meant(value, tuple(_arms(annotation))), path, findings)
    if isinstance(value, dict):
        if cls := chosen(nested_options(annotation), value):
            return checked_keys(cls, value, path, findings)
        if item := _item_type(annotation, keyed=True):
            return {key: _checked(item, each, (*path, key), findings) for key, each in value.items()}
    if isinstance(value, list) and (item := _item_type(annotation, keyed=False)):
        return [_checked(item, each, (*path, index), findings) for index, each in enumerate(value)]
    return value


def _arms(annotation: object) -> Iterator[object]:
    """The types that a union, marked or not, consists of."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _arms(get_args(annotation)[0])
    elif origin in (Union, UnionType):
        for arm in get_args(annotation):
            yield from _arms(arm)
    else:
        yield annotation


def _item_type(annotation: object, *, keyed: bool) -> object | None:
    """What a mapping (or else a list) of this annotation holds; looks through unions and `Annotated`."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _item_type(get_args(annotation)[0], keyed=keyed)
    if origin in (Union, UnionType):
        found = [_item_type(arm, keyed=keyed) for arm in get_args(annotation)]
        return next((each for each in found if each is not None), None)
    if keyed and origin in (dict, Mapping):
        held: object = get_args(annotation)[1]
        return held
    return get_args(annotation)[0] if not keyed and origin in (list, tuple, Sequence) else None


def _nested_home(key: str, fields: Mapping[str, object]) -> str | None:
    """``group.option`` where a group knows `key`, by this name or another tool's, and no field is called so there."""
    if synonym(key, fields):
        return None
    for wanted in (key, SYNONYMS.get(key)):
        for name, annotation in fields.items():
            if any(wanted in field_types(cls) for cls in nested_options(annotation)):
                return f"{name}.{wanted}"
    return None
