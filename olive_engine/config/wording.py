"""pydantic's complaints -> sentences that state the rule and what was found."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, TypeVar, get_args, get_origin

from pydantic import JsonValue, ValidationError
from pydantic_core import ErrorDetails

from olive_engine.config.findings import Findings, known, shown
from olive_engine.config.keys import checked_keys
from olive_engine.config.shapes import meaning, option_at, shape
from olive_engine.config.spelling import likely, one_of
from olive_engine.config.workflow import NAME, Workflow
from olive_engine.errors import ConfigPath
from olive_engine.options import Options, OptionsClass

O = TypeVar("O", bound=Options)  # noqa: E741 - the options class that is read

_NOUNS = {
    "int": "a whole number",
    "float": "a number",
    "decimal": "a number",
    "bool": "true or false",
    "string": "text",
    "path": "a path",
    "list": "a list",
    "tuple": "a list",
    "set": "a list",
    "frozen_set": "a list",
    "dict": "a mapping",
    "mapping": "a mapping",
    "model": "a mapping",
    "none": "nothing (null)",
    "finite": "a finite number",
}
_LIMITS = {
    "greater_than": ("greater than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
    "multiple_of": ("a multiple of", "multiple_of"),
}
_OPTION = re.compile(r"`?(\w+(?:\.\w+)*)`?(: )?")
_NUMBERED = re.compile(r"0 \w+, 1 \w+")
_YAML_WORDS = {"yes": "true", "on": "true", "no": "false", "off": "false"}


def validated(cls: type[O], raw: JsonValue, path: ConfigPath, findings: Findings) -> O | None:
    """Read `raw` as options of `cls`; every fault is reported under `path`, and None returned."""
    if not isinstance(raw, dict):
        findings.add(path, f"expected a mapping, found {shown(raw)}", f"e.g. {shape(cls)}" if cls.model_fields else "")
        return None
    before = findings.count
    raw = checked_keys(cls, raw, path, findings)
    try:
        options = cls.model_validate(raw)
    except ValidationError as error:
        report(error, raw, path, findings, cls)
        return None
    return options if findings.count == before else None


def report(
    error: ValidationError,
    raw: JsonValue,
    path: ConfigPath,
    findings: Findings,
    options: OptionsClass | None = None,
) -> None:
    """Report all faults of one failed validation of `raw`, which stands at `path` and was read as `options`."""
    faults = [_Fault.of(detail, raw) for detail in error.errors(include_url=False)]
    missing: dict[ConfigPath, list[str]] = {}
    for place in dict.fromkeys(fault.place for fault in faults):
        if any(_is_deeper_arm(fault, place) for fault in faults):
            continue  # another arm of the union got further: its complaint is the one that helps
        here = [fault for fault in faults if fault.place == place]
        kind = here[0].detail["type"]
        if (*path, *place) in (findings.incomplete | findings.unread) and kind == "value_error":
            continue  # the keys do not agree, for want of what the unknown key says
        if kind == "missing":
            missing.setdefault(place[:-1], []).append(str(place[-1]))
            continue
        what, hint = _sentence(here, _value_at(raw, place))
        if _takes_texts(options, place) and isinstance(_value_at(raw, place), str):
            hint = f"write [{_value_at(raw, place)}]"
        elif not hint and _noun(kind) == "a whole number" and isinstance(_value_at(raw, place), str):
            hint = _numbered(options if path else Workflow, place)
        if not hint and (noun := _noun(kind)) in ("a mapping", "a list"):
            hint = _example(options, place, noun)
        group = _value_at(raw, place)
        if kind == "value_error" and isinstance(group, dict):
            option, what = _of_option(what, group)
            findings.add((*path, *place, *option), what, hint, within=(*path, *place))
        else:
            findings.add((*path, *place), what, hint)
    for place, names in missing.items():
        if (*path, *place) not in findings.unread:
            what = f"{_listed(names)} {'is' if len(names) == 1 else 'are'} required"
            findings.add((*path, *place, names[0]), what, _meanings(options, place, names))


def _of_option(what: str, group: Mapping[str, JsonValue]) -> tuple[tuple[str, ...], str]:
    """Which written option a sentence about a group begins with, and the sentence; ``option: …`` without that name."""
    head = _OPTION.match(what)
    names = head[1].split(".") if head is not None else []
    at: JsonValue = dict(group)
    for name in names:
        if not isinstance(at, dict) or name not in at:
            return (), what
        at = at[name]
    return tuple(names), what[head.end() :] if head is not None and head[2] else what


def _example(options: OptionsClass | None, place: ConfigPath, noun: str) -> str:
    info = option_at(options, place) if options is not None else None
    written = shape(info.annotation) if info is not None else ""
    return f"e.g. {written}" if written.startswith("{" if noun == "a mapping" else "[") else ""


def _takes_texts(options: OptionsClass | None, place: ConfigPath) -> bool:
    """Whether a list of texts is wanted there."""
    info = option_at(options, place) if options is not None else None
    arms = (info.annotation, *get_args(info.annotation)) if info is not None else ()
    return any(get_origin(arm) in (list, tuple) and _bare(get_args(arm)[:1]) == (str,) for arm in arms)


def _bare(types: tuple[object, ...]) -> tuple[object, ...]:
    """Types without what else is said of them."""
    return tuple(get_args(each)[0] if get_origin(each) is Annotated else each for each in types)


def _numbered(options: OptionsClass | None, place: ConfigPath) -> str:
    """What the numbers of an option mean, where its description says so: ``0 debug, 1 info``."""
    info = option_at(options, place) if options is not None else None
    said = meaning(info) if info is not None else ""
    return said if _NUMBERED.match(said) else ""


def _meanings(options: OptionsClass | None, place: ConfigPath, names: Sequence[str]) -> str:
    """What the missing options mean, and how groups of them are written."""
    said = []
    for name in names:
        info = option_at(options, (*place, name)) if options is not None else None
        if info is None or not meaning(info):
            return ""
        written = f": {text}" if (text := shape(info.annotation)) else ""
        said.append((f"{name}: " if len(names) > 1 else "") + meaning(info) + written)
    return "; ".join(said)


def _listed(names: Sequence[str]) -> str:
    marked = [f"`{name}`" for name in names]
    return " and ".join(filter(None, (", ".join(marked[:-1]), marked[-1])))


@dataclass(frozen=True, slots=True)
class _Fault:
    place: ConfigPath
    """Where in the written tree: pydantic's own path names arms of unions as well."""
    in_union: bool
    detail: ErrorDetails

    @classmethod
    def of(cls, detail: ErrorDetails, raw: JsonValue) -> _Fault:
        place: list[str | int] = []
        value, in_union = raw, False
        parts = detail["loc"]
        for index, part in enumerate(parts):
            last = index == len(parts) - 1
            if isinstance(value, dict | list) and _has(value, part):
                value = _value_at(value, (part,))
            elif not (last and detail["type"] == "missing"):
                in_union = True
                continue
            place.append(part)
        return cls(tuple(place), in_union, detail)


def _has(raw: dict[str, JsonValue] | list[JsonValue], part: str | int) -> bool:
    return part in raw if isinstance(raw, dict) else isinstance(part, int) and part < len(raw)


def _is_deeper_arm(fault: _Fault, place: ConfigPath) -> bool:
    return fault.in_union and len(fault.place) > len(place) and fault.place[: len(place)] == place


def _sentence(faults: Sequence[_Fault], value: JsonValue) -> tuple[str, str]:
    if len(faults) == 1:
        return _single(faults[0].detail, value)
    nouns = [noun for fault in faults if (noun := _noun(fault.detail["type"]))]
    specific = [fault for fault in faults if _noun(fault.detail["type"]) is None]
    if specific:
        return _single(specific[0].detail, value)
    return f"expected {' or '.join(dict.fromkeys(nouns))}, found {shown(value)}", ""


def _single(detail: ErrorDetails, value: JsonValue) -> tuple[str, str]:
    kind, context = detail["type"], detail.get("ctx", {})
    if noun := _noun(kind):
        return f"expected {noun}, found {shown(value)}", _type_hint(noun, value)
    if kind in _LIMITS:
        words, bound = _LIMITS[kind]
        return f"must be {words} {context[bound]}, found {shown(value)}", ""
    special = _SPECIAL.get(kind)
    if special is not None:
        return special(detail, context, value)
    return f"{detail['msg'][:1].lower()}{detail['msg'][1:]}, found {shown(value)}", ""


def _noun(kind: str) -> str | None:
    """The noun for an error about a value's type, as ``int_parsing``, ``int_type`` and ``int_from_float`` are."""
    if kind == "finite_number":
        return _NOUNS["finite"]
    if kind in ("none_required", "is_instance_of"):
        return _NOUNS["none"] if kind == "none_required" else None
    for suffix in ("_type", "_parsing", "_from_float", "_parsing_size", "_attributes_type"):
        if kind.endswith(suffix) and kind.removesuffix(suffix) in _NOUNS:
            return _NOUNS[kind.removesuffix(suffix)]
    return None


def _type_hint(noun: str, value: JsonValue) -> str:
    if noun == "true or false" and isinstance(value, str) and value.lower() in _YAML_WORDS:
        return f"write {_YAML_WORDS[value.lower()]}"
    if noun == "text" and isinstance(value, dict) and value and all(each is None for each in value.values()):
        return "put text that begins with `{` in quotes"
    if noun == "text" and isinstance(value, bool | int | float):
        return "put it in quotes"
    return ""


def _literal(detail: ErrorDetails, context: Mapping[str, object], value: JsonValue) -> tuple[str, str]:  # noqa: ARG001
    expected = str(context["expected"])
    names = [name.strip().strip("'") for name in expected.replace(" or ", ", ").split(",")]
    near = likely(value, names) if isinstance(value, str) else ()
    return f"must be {expected}, found {shown(value)}", f"did you mean {one_of(near)}?" if near else ""


def _tag(detail: ErrorDetails, context: Mapping[str, object], value: JsonValue) -> tuple[str, str]:  # noqa: ARG001
    names = [name.strip().strip("'") for name in str(context.get("expected_tags", "")).split(",")]
    key = str(context["discriminator"]).strip("'")
    tag = value.get(key) if isinstance(value, dict) else None
    near = likely(tag, names) if isinstance(tag, str) else ()
    hint = f"did you mean {one_of(near)}?" if near else known(names, "known")
    return f"`{key}` is unknown: {shown(tag)}", hint


def _no_tag(detail: ErrorDetails, context: Mapping[str, object], value: JsonValue) -> tuple[str, str]:  # noqa: ARG001
    key = str(context["discriminator"]).strip("'")
    return f"`{key}` is required", ""


def _pattern(detail: ErrorDetails, context: Mapping[str, object], value: JsonValue) -> tuple[str, str]:  # noqa: ARG001
    if context["pattern"] == NAME:
        return f"a name holds letters, digits, `_`, `.` and `-` only, found {shown(value)}", ""
    return f"must match the pattern {context['pattern']}, found {shown(value)}", ""


def _length(detail: ErrorDetails, context: Mapping[str, object], value: JsonValue) -> tuple[str, str]:
    low, high = context.get("min_length"), context.get("max_length")
    bound = f"at least {low}" if low is not None else f"at most {high}"
    unit = "characters" if detail["type"].startswith("string") else "items"
    if (low if low is not None else high) == 1:
        unit = unit.removesuffix("s")
    found = len(value) if isinstance(value, str | list | dict) else 0
    return f"must have {bound} {unit}, found {found}", ""


def _own(detail: ErrorDetails, context: Mapping[str, object], value: JsonValue) -> tuple[str, str]:  # noqa: ARG001
    """A validator of ours (or of a plugin) raised ValueError: its message is a sentence already."""
    return str(context["error"]), ""


_SPECIAL: Mapping[str, Callable[[ErrorDetails, Mapping[str, object], JsonValue], tuple[str, str]]] = {
    "literal_error": _literal,
    "enum": _literal,
    "union_tag_invalid": _tag,
    "union_tag_not_found": _no_tag,
    "string_pattern_mismatch": _pattern,
    "too_short": _length,
    "too_long": _length,
    "string_too_short": _length,
    "string_too_long": _length,
    "value_error": _own,
    "assertion_error": _own,
}


def _value_at(raw: JsonValue, place: ConfigPath) -> JsonValue:
    for part in place:
        if isinstance(raw, dict) and isinstance(part, str):
            raw = raw.get(part)
        elif isinstance(raw, list) and isinstance(part, int) and part < len(raw):
            raw = raw[part]
        else:
            return None
    return raw
