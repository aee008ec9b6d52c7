"""Searched options that are written in their place: found, and taken out of the passes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from pydantic import JsonValue

from olive_engine.config.findings import Findings
from olive_engine.config.keys import Mapped, chosen, nested_options
from olive_engine.config.search.fitting import DEFAULT, KINDS, Written, example
from olive_engine.config.search.kinds import takes_one_value, unsearchable
from olive_engine.config.search.points import Entry, Option, PassOptions, own_options
from olive_engine.config.search.taking import INLINE
from olive_engine.config.spelling import nearest
from olive_engine.config.workflow import PassEntry
from olive_engine.errors import ConfigPath
from olive_engine.options import OptionsClass


@dataclass
class Taken:
    """What was found."""

    findings: Findings
    searching: bool
    """Whether there is a search; without one a list is no choice where the option is not even searchable."""
    points: list[Written] = field(default_factory=list)
    entries: dict[ConfigPath, Mapped] = field(default_factory=dict)
    """Each pass as it is without searched options, by where it is written."""


def take_out(options: PassOptions, findings: Findings, *, searching: bool) -> Taken:
    """Find every option of a pass that has `search`, or a list where it takes one value."""
    taken = Taken(findings, searching)
    beside = [name for name in PassEntry.model_fields if name != "options"]
    for entry in options.entries:
        own = {key: value for key, value in entry.raw.items() if key not in beside}
        for name in beside:
            value = entry.raw.get(name)
            if isinstance(value, dict) and INLINE in value:
                place = (*entry.path, name)
                findings.add(place, f"`{name}` cannot be searched", "write a list of passes to choose among")
                findings.judge(place)
        rest = {key: value for key, value in entry.raw.items() if key in beside}
        taken.entries[entry.path] = {**rest, **_without_points(entry.cls, own, entry, (), taken)}
    return taken


def refuse_elsewhere(raw: Mapped, findings: Findings) -> None:
    """Report ``search`` in sections where nothing can be searched."""
    for section, value in raw.items():
        if section not in ("passes", "search_space", "search_strategy"):
            for place in _points_in(value, (section,)):
                findings.add(place, "only options of passes can be searched", "write one value")
                findings.judge(place)


def _without_points(cls: OptionsClass, raw: Mapped, entry: Entry, above: tuple[str, ...], taken: Taken) -> Mapped:
    infos = own_options(cls)
    result: Mapped = {}
    for key, value in raw.items():
        path = (*above, key)
        if key not in infos:
            result[key] = _stripped(value)  # reported as an unknown key later on: what it would hold is no news
            continue
        option = Option(entry, path, infos[key])
        inner = chosen(nested_options(infos[key].annotation), value) if isinstance(value, dict) else None
        if isinstance(value, dict) and _is_point(value, option, taken.findings):
            taken.points.append(_point(value, option, taken.findings))
        elif isinstance(value, dict) and inner is not None:
            result[key] = _without_points(inner, value, entry, path, taken)
        elif isinstance(value, list) and value and _means_choice(option, searching=taken.searching):
            taken.points.append(Written(option, value, option.place, option.place, bare=True))
        elif isinstance(value, dict) and str(value.get("type")) in KINDS and not unsearchable(option.info):
            hint = f"e.g. `{key}: {{search: {example(option)}}}`"
            taken.findings.add(option.place, "the values to search stand under `search`", hint)
        else:
            result[key] = value
    return result


def _means_choice(option: Option, *, searching: bool) -> bool:
    return takes_one_value(option.info) and (searching or not unsearchable(option.info))


def _is_point(value: Mapped, option: Option, findings: Findings) -> bool:
    """Whether a mapping says what to search; of an option that takes mappings itself, it must look like that."""
    if INLINE in value:
        return not unsearchable(option.info) or not _takes_mapping(option) or _looks_searched(value)
    if len(value) != 1 or _takes_mapping(option):
        return False
    slip = next(iter(value))
    if nearest(slip, [INLINE]) is None:
        return False
    return findings.unknown_key((*option.place, slip), [INLINE], "key") is not None


def _point(value: Mapped, option: Option, findings: Findings) -> Written:
    for key in value:
        if key != INLINE and INLINE in value:
            hint = "the search chooses the value; nothing stands beside `search`"
            findings.add((*option.place, key), f"unknown key `{key}`", hint, at_key=True)
    values = value[INLINE] if INLINE in value else next(iter(value.values()))
    return Written(option, values, (*option.place, INLINE), option.place)


def _takes_mapping(option: Option) -> bool:
    return unsearchable(option.info) in ("is a group of options", "is a mapping")


def _looks_searched(value: JsonValue) -> bool:
    if not isinstance(value, dict) or list(value) != [INLINE]:
        return False
    said = value[INLINE]
    return said == DEFAULT or (isinstance(said, dict) and said.get("type") in KINDS)


def _points_in(value: JsonValue, path: ConfigPath) -> Iterator[ConfigPath]:
    if _looks_searched(value):
        yield path
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _points_in(each, (*path, key))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _points_in(each, (*path, index))


def _stripped(value: JsonValue) -> JsonValue:
    """`value` without what is searched in it."""
    if not isinstance(value, dict):
        return value
    return {key: _stripped(each) for key, each in value.items() if not (isinstance(each, dict) and INLINE in each)}
