"""The plain values that searched options have in the workflow itself: what it is planned with before any trial."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import JsonValue, ValidationError

from olive_engine.config.findings import Findings
from olive_engine.config.keys import Mapped
from olive_engine.config.search.fitting import Written
from olive_engine.config.search.points import Entry
from olive_engine.config.search.values import Candidate, Choice, Conditional, FloatRange, IntRange, SearchValue, first
from olive_engine.config.workflow import PassEntry
from olive_engine.errors import ConfigPath

Found = Sequence[tuple[Written, SearchValue]]
MAX_TRIED = 50
"""Of how many candidates it is tried whether they agree with the pass's other options."""


def settle(entry: Entry, raw: Mapped, found: Found, findings: Findings) -> Mapped:
    """`raw` with a plain value for each searched option that needs one.

    An option keeps the value that is written beside the search, else its default; if it has none, or the pass does not
    take its defaults together, the first value of its search. Candidates that the pass's other options rule out, where
    those are fixed, are reported: each of their trials would fail.
    """
    if not found:
        return raw
    own = {key: value for key, value in raw.items() if key not in PassEntry.model_fields or key == "options"}
    beside = {key: value for key, value in raw.items() if key not in own}
    required = [pair for pair in found if pair[0].option.info.is_required() and not _stands(own, pair[0])]
    settled = _with_firsts(own, required)
    if _faults(entry, settled):
        all_first = _with_firsts(own, [pair for pair in found if not _stands(own, pair[0])])
        settled = settled if _faults(entry, all_first) else all_first
    if len(found) == 1 and not _faults(entry, settled):
        _try_candidates(entry, settled, found[0], findings)
    return {**beside, **settled}


def _try_candidates(entry: Entry, settled: Mapped, found: tuple[Written, SearchValue], findings: Findings) -> None:
    written, value = found
    for candidate, place in [*_candidates(value, written)][:MAX_TRIED]:
        faults = _faults(entry, _put(settled, written.option.path, candidate))
        if faults:
            findings.add(place, faults[0], "the pass's other options rule this value out")


def _candidates(value: SearchValue, written: Written) -> Iterator[tuple[Candidate, ConfigPath]]:
    match value:
        case Choice(values=values) if not isinstance(written.value, dict | list):
            yield from ((each, written.place) for each in values)  # the option's own
        case Choice(values=values):
            where = written.place if isinstance(written.value, list) else (*written.place, "values")
            yield from ((each, (*where, index)) for index, each in enumerate(values))
        case FloatRange(low=low, high=high) | IntRange(low=low, high=high):
            yield low, (*written.place, "low")
            yield high, (*written.place, "high")
        case Conditional():
            return


def _faults(entry: Entry, own: Mapped) -> list[str]:
    """What a pass has against its options."""
    try:
        entry.cls.model_validate(own)
    except ValidationError as error:
        return [_said(each["type"], each["msg"], each.get("ctx", {}).get("error")) for each in error.errors()]
    return []


def _said(kind: str, message: str, error: object) -> str:
    return str(error) if kind in ("value_error", "assertion_error") else f"{message[:1].lower()}{message[1:]}"


def _with_firsts(own: Mapped, found: Found) -> Mapped:
    for written, value in found:
        own = _put(own, written.option.path, first(value))
    return own


def _stands(own: Mapped, written: Written) -> bool:
    value: JsonValue = own
    for part in written.option.path:
        if not isinstance(value, dict) or part not in value:
            return False
        value = value[part]
    return True


def _put(own: Mapped, path: tuple[str, ...], value: Candidate) -> Mapped:
    head, *rest = path
    if not rest:
        return {**own, head: list(value) if isinstance(value, tuple) else value}
    inner = own.get(head)
    return {**own, head: _put(inner if isinstance(inner, dict) else {}, tuple(rest), value)}
