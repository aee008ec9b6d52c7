"""Reading a search: its strategy, what is written of each searched option, and whether it can come to an end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from olive_engine.config.findings import Findings, known, shown
from olive_engine.config.keys import Mapped
from olive_engine.config.search.conditions import resolve_conditions
from olive_engine.config.search.fitting import Written, offers_values, read_value
from olive_engine.config.search.inline import refuse_elsewhere, take_out
from olive_engine.config.search.methods import PRUNERS, SAMPLERS
from olive_engine.config.search.placeholders import settle
from olive_engine.config.search.points import PassOptions
from olive_engine.config.search.strategy import SearchStrategy
from olive_engine.config.search.taking import Search
from olive_engine.config.search.values import SearchValue, endless
from olive_engine.config.wording import validated
from olive_engine.errors import ConfigPath, Problem, dotted

STRATEGY: ConfigPath = ("search_strategy",)
SPACE: ConfigPath = ("search_space",)
SUGGESTED = "search_strategy: {sampler: tpe, max_samples: 20}"
"""A strategy to copy."""


def read_search(raw: Mapped, findings: Findings) -> Search:
    """Read a workflow that says something of a search; `take_search` calls it."""
    options = PassOptions(raw.get("passes"))
    searching = raw.get("search_strategy") not in (None, False)
    taken = take_out(options, findings, searching=searching)
    rest = {key: value for key, value in raw.items() if key not in ("search_strategy", "search_space")}
    refuse_elsewhere(rest, findings)
    if not searching:
        _refuse(raw, taken.points, findings)
        return Search(_with_entries(rest, taken.entries))

    strategy = _strategy(raw["search_strategy"], findings)
    written = _named_once([*taken.points, *_named(raw.get("search_space"), options, findings)], findings)
    read: dict[str, tuple[Written, SearchValue]] = {}
    sound: set[str] = set()
    for each in written:
        before = findings.count
        value = read_value(each, findings)
        if value is not None:
            read[each.option.name] = (each, value)
        if value is not None and findings.count == before:
            sound.add(each.option.name)
        else:
            findings.judge(each.option.place)  # that it has no value is no news
    read = resolve_conditions(read, [each.option.name for each in written], options, findings)
    for entry in options.entries:
        own = [pair for name, pair in read.items() if name in sound and pair[0].option.entry is entry]
        taken.entries[entry.path] = settle(entry, taken.entries[entry.path], own, findings)
    space = {name: value for name, (_, value) in read.items()}
    notices: list[Problem] = []
    if strategy is not None and len(sound) == len(written):
        notices = _judge_whole(strategy, space, raw.get("passes"), options, findings)
        space = space if strategy.include_pass_params else {}
    return Search(_with_entries(rest, taken.entries), strategy, space, tuple(notices))


# --- the parts ----------------------------------------------------------------------------------------------------


def _strategy(raw: JsonValue, findings: Findings) -> SearchStrategy | None:
    if raw is True:
        return SearchStrategy()
    if not isinstance(raw, dict):
        findings.add(STRATEGY, f"expected a mapping, or false for no search, found {shown(raw)}", f"e.g. {SUGGESTED}")
        return None
    before = findings.count
    own = dict(raw)
    for kind, methods in (("sampler", SAMPLERS), ("pruner", PRUNERS)):
        name = raw.get(kind, SearchStrategy.model_fields[kind].default)
        method = next((each for called, each in methods.items() if called == name), None)
        arguments = raw.get(f"{kind}_config")
        if method is not None and isinstance(arguments, dict):
            place = (*STRATEGY, f"{kind}_config")
            own[f"{kind}_config"] = _known_arguments(arguments, method.arguments, place, findings)
    for key in raw:
        if key not in SearchStrategy.model_fields and (hint := _argument_hint(key, raw)):
            findings.add((*STRATEGY, key), f"unknown option `{key}`", hint, at_key=True)
            own.pop(key)
    strategy = validated(SearchStrategy, own, STRATEGY, findings)
    return strategy if findings.count == before else None


def _argument_hint(key: str, raw: Mapped) -> str:
    """Where an argument of a sampler or pruner belongs that stands in the strategy itself; empty: it is none."""
    value = raw[key]
    pair = f"{{{key}: {'…' if isinstance(value, dict | list | str) or value is None else shown(value)}}}"
    elsewhere = ""
    for kind, methods in (("pruner", PRUNERS), ("sampler", SAMPLERS)):
        chosen = raw.get(kind, SearchStrategy.model_fields[kind].default)
        knowing = [name for name, method in methods.items() if key in method.arguments]
        if chosen in knowing:
            return f"write `{kind}_config: {pair}`"
        if knowing and not elsewhere:
            elsewhere = (
                f"it is an argument of the {kind} {knowing[0]}: `{{{kind}: {knowing[0]}, {kind}_config: {pair}}}`"
            )
    return elsewhere


def _known_arguments(raw: Mapped, valid: Sequence[str], place: ConfigPath, findings: Findings) -> Mapped:
    """`raw` with misspelt names as they are meant, and without unknown ones; both are reported."""
    known: Mapped = {}
    for key, value in raw.items():
        name = key if key in valid else findings.unknown_key((*place, key), valid, "argument")
        if name is not None:
            known[name] = value
    return known


def _named(raw: JsonValue, options: PassOptions, findings: Findings) -> list[Written]:
    """What `search_space` says."""
    if raw is None:
        return []
    if not isinstance(raw, dict):
        what = f"expected a mapping from options to their values, found {shown(raw)}"
        findings.add(SPACE, what, "e.g. {learning_rate: {type: float, low: 1e-5, high: 1e-3, log: true}}")
        return []
    if raw and not options.entries and options.complete:
        findings.add(SPACE, "there is no pass whose options could be searched", "add one to `passes`", at_key=True)
        return []
    found: list[Written] = []
    for name, value in raw.items():
        place = (*SPACE, name)
        option = options.resolve(name, place, findings)
        if option is not None:
            found.append(Written(option, value, place, place))
    return found


def _named_once(written: Sequence[Written], findings: Findings) -> list[Written]:
    first: dict[str, Written] = {}
    for each in written:
        other = first.setdefault(each.option.name, each)
        if other is not each:
            what = f"`{each.option.name}` is searched twice: {dotted(other.key)} says its values too"
            findings.add(each.key, what, "keep one of them", at_key=True)
    return list(first.values())


def _refuse(raw: Mapped, points: Sequence[Written], findings: Findings) -> None:
    """Without a strategy nothing is searched: one problem for all that asks for it."""
    off = raw.get("search_strategy") is False
    said = "`search_strategy: false` says not to search" if off else "there is no `search_strategy`"
    add = f"write `{SUGGESTED}`"
    whole = [each for each in points if not each.bare]
    if raw.get("search_space") not in (None, {}):
        what = f"there are values to search, but {said}"
        findings.add(SPACE, what, f"{add}, or remove `search_space`", at_key=True)
    elif whole:
        what = f"`{whole[0].option.path[-1]}` is to be searched, but {said}"
        findings.add(whole[0].key, what, f"{add}, or give it one value", at_key=True)
    for each in points:
        if each.bare:
            what = f"expected one value, found a list: that is searched, but {said}"
            findings.add(each.place, what, f"write one value, or {add}")


def _with_entries(raw: Mapped, entries: Mapping[ConfigPath, Mapped]) -> Mapped:
    """`raw` with passes replaced."""
    passes = raw.get("passes")
    if not isinstance(passes, dict):
        return raw
    slots: Mapped = {}
    for slot, value in passes.items():
        if isinstance(value, list):
            slots[slot] = [entries.get(("passes", slot, index), each) for index, each in enumerate(value)]
        else:
            slots[slot] = entries.get(("passes", slot), value)
    return {**raw, "passes": slots}


# --- the whole ----------------------------------------------------------------------------------------------------


def _judge_whole(
    strategy: SearchStrategy,
    space: Mapping[str, SearchValue],
    passes: JsonValue,
    options: PassOptions,
    findings: Findings,
) -> list[Problem]:
    """Report a search that cannot end; give what is worth saying of one that can."""
    alternatives = any(isinstance(each, list) and len(each) > 1 for each in _members(passes))
    where = findings.locate(STRATEGY, at_key=True)
    if not strategy.include_pass_params:
        if not space:
            return []
        what = f"with `include_pass_params: false` the values of {', '.join(space)} are not searched"
        hint = "each keeps the value that it has without a search"
        path = (*STRATEGY, "include_pass_params")
        return [Problem(path, what, hint, findings.locate(path, at_key=True), "warning")]
    if not space and not alternatives:
        offered = [option.name for option in options.searchable() if offers_values(option)]
        hint = known(offered, "options that have values of their own to search") if offered else ""
        example_of = offered[0] if offered else "an option of a pass"
        what = f"there is nothing to search: no alternatives, and no `{{search: …}}` for {example_of}"
        return [Problem(STRATEGY, what, hint, where, "warning")]
    open_ = next((name for name, value in space.items() if endless(value)), None)
    if open_ is not None and strategy.sampler == "sequential":
        what = f"sequential tries every combination, and {open_} is a range without a step"
        findings.add((*STRATEGY, "sampler"), what, "give it a step, or take another sampler, e.g. tpe")
    elif open_ is not None and strategy.max_samples is None and strategy.max_iter is None and strategy.max_time is None:
        what = f"the search would never end: {open_} is a range without a step"
        findings.add(STRATEGY, what, "say how many trials, e.g. `max_samples: 20`", at_key=True)
    return []


def _members(value: JsonValue) -> list[JsonValue]:
    return list(value.values()) if isinstance(value, dict) else []
