"""One searched option: what is written of its values -> a `SearchValue` that holds only values the option takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import ConfigDict, JsonValue, TypeAdapter, ValidationError

from olive_engine.config.findings import Findings, known, shown
from olive_engine.config.keys import Mapped, check_truth
from olive_engine.config.search.kinds import listed_values, number_types, unsearchable
from olive_engine.config.search.points import Option
from olive_engine.config.search.values import (
    Candidate,
    Case,
    Choice,
    Conditional,
    FloatRange,
    IntRange,
    PlainValue,
    SearchValue,
    first_twin,
)
from olive_engine.config.spelling import nearest
from olive_engine.config.wording import report, validated
from olive_engine.errors import ConfigPath
from olive_engine.options import SearchDefault

DEFAULT = "default"
"""What is written for the values that the option itself offers."""
KINDS: Mapping[str, type[FloatRange | IntRange | Choice | Conditional]] = {
    "float": FloatRange,
    "int": IntRange,
    "choice": Choice,
    "conditional": Conditional,
}
"""The kinds of values by the `type` that is written."""


@dataclass(frozen=True, slots=True)
class Written:
    """What a workflow says of one searched option."""

    option: Option
    value: JsonValue
    place: ConfigPath
    """Where `value` stands."""
    key: ConfigPath
    """Where the option's name stands."""
    bare: bool = False
    """A list stands in the place of the option's value."""


def read_value(written: Written, findings: Findings) -> SearchValue | None:
    """The values that a searched option may take, though some may not fit it; None if they cannot be read at all."""
    option, value = written.option, written.value
    reason = unsearchable(option.info)
    if reason:
        findings.add(
            written.key,
            f"`{option.path[-1]}` cannot be searched: it {reason}",
            "a search chooses numbers, texts, truth values and lists of them",
            at_key=True,
        )
        return None
    made: SearchValue | None = None
    if value == DEFAULT:
        made = default(option)
        if made is None:
            what = f"`{option.path[-1]}` has no values of its own to search"
            findings.add(written.place, what, f"write them, e.g. {example(option)}")
    elif isinstance(value, list):
        made = _choice(value, option, written.place, findings)
    elif isinstance(value, dict):
        made = _typed(value, option, written.place, findings)
    else:
        what = f"expected the values to search, found {shown(value)}"
        findings.add(written.place, what, f"e.g. {example(option)}")
    return made


def offers_values(option: Option) -> bool:
    """Whether ``search: default`` means something for an option."""
    return any(isinstance(each, SearchDefault) for each in option.info.metadata)


def default(option: Option) -> SearchValue | None:
    """What ``search: default`` means for an option."""
    mark = next((each for each in option.info.metadata if isinstance(each, SearchDefault)), None)
    if mark is None:
        return None
    if mark.values:
        return Choice(values=tuple(fitted_default(each, option) for each in mark.values))
    if mark.low is None or mark.high is None:
        raise TypeError(f"{option.name}: a SearchDefault needs values, or low and high")
    if float in number_types(option.info):
        return FloatRange(low=mark.low, high=mark.high, log=mark.log)
    return IntRange(low=int(mark.low), high=int(mark.high), log=mark.log)


def fitted_default(value: Candidate, option: Option) -> Candidate:
    """One of an option's own candidates, as the option holds it."""
    adapter = _adapter(option)
    return _as_candidate(adapter.dump_python(adapter.validate_python(value), mode="json"))


def example(option: Option) -> str:
    """Search values that would fit an option, to copy."""
    listed = listed_values(option.info)
    if listed:
        return f"{{type: choice, values: [{', '.join(_plain(each) for each in listed)}]}}"
    numbers = number_types(option.info)
    if float in numbers:
        return "{type: float, low: 1e-5, high: 1e-3, log: true}"
    if numbers:
        return "{type: int, low: 8, high: 64}"
    return "{type: choice, values: […]}"


def fits(value: JsonValue, option: Option, place: ConfigPath, findings: Findings) -> Candidate:
    """`value` as the option holds it; a problem at `place` if it does not take it."""
    before = findings.count
    check_truth(option.info.annotation, value, place, findings)
    if findings.count > before:
        return None
    adapter = _adapter(option)
    try:
        return _as_candidate(adapter.dump_python(adapter.validate_python(value), mode="json"))
    except ValidationError as error:
        report(error, value, place, findings)
        return None


def _typed(raw: dict[str, JsonValue], option: Option, place: ConfigPath, findings: Findings) -> SearchValue | None:
    kind = raw.get("type")
    slip = next((key for key in raw if nearest(key, ["type"])), None) if "type" not in raw else None
    if slip is not None and findings.unknown_key((*place, slip), ["type"]) is not None:
        kind = raw[slip]
        raw = {"type" if key == slip else key: value for key, value in raw.items()}
    if kind is None:
        findings.add((*place, "type"), "`type` is required", _likely_type(raw, option))
        return None
    if not isinstance(kind, str):
        findings.add((*place, "type"), f"expected {' or '.join(KINDS)}, found {shown(kind)}")
        return None
    if kind not in KINDS:
        near = nearest(kind, KINDS)
        hint = f"did you mean `{near}`?" if near else known(KINDS, "there are")
        findings.add((*place, "type"), f"no kind of search values is called {shown(kind)}", hint)
        return None
    value = validated(KINDS[kind], _with_choices(raw) if kind == "conditional" else raw, place, findings)
    if not isinstance(value, Conditional):
        return _fitted(value, option, place, findings) if value is not None else None
    written = raw["cases"] if isinstance(raw["cases"], list) else []
    cases: list[Case] = []
    for index, (case, of) in enumerate(zip(value.cases, written, strict=True)):
        listed = isinstance(of, dict) and isinstance(of["search"], list)
        found = _fitted(case.search, option, (*place, "cases", index, "search"), findings, listed=listed)
        cases.append(case.model_copy(update={"search": found}))
    rest = value.otherwise
    if rest is not None:
        listed = isinstance(raw["otherwise"], list)
        rest = _fitted(rest, option, (*place, "otherwise"), findings, listed=listed)
    return value.model_copy(update={"cases": tuple(cases), "otherwise": rest})


def _likely_type(raw: Mapped, option: Option) -> str:
    """The type that fits what else is written, in a hint."""
    if "values" in raw:
        return "write `type: choice`"
    if "cases" in raw:
        return "write `type: conditional`"
    numbers = number_types(option.info)
    if numbers and raw.keys() & {"low", "high"}:
        return f"write `type: {'float' if float in numbers else 'int'}`"
    return f"e.g. {example(option)}"


def _with_choices(raw: Mapped) -> Mapped:
    """`raw`, a conditional value, with each list of values as the choice that it stands for."""
    made = dict(raw)
    cases = raw.get("cases")
    if isinstance(cases, list):
        made["cases"] = [
            {**case, "search": _choice_of(case["search"])} if isinstance(case, dict) and "search" in case else case
            for case in cases
        ]
    if "otherwise" in raw:
        made["otherwise"] = _choice_of(raw["otherwise"])
    return made


def _choice_of(value: JsonValue) -> JsonValue:
    return {"type": "choice", "values": value} if isinstance(value, list) else value


def _fitted(
    value: PlainValue, option: Option, place: ConfigPath, findings: Findings, *, listed: bool = False
) -> PlainValue:
    """`value` with candidates as the option holds them; every candidate that it does not take is a problem."""
    if isinstance(value, Choice):
        return _choice(list(value.values), option, place if listed else (*place, "values"), findings) or value
    numbers, name = number_types(option.info), option.path[-1]
    if not numbers:
        findings.add((*place, "type"), f"`{name}` takes no numbers of a range", f"write {example(option)}")
    elif isinstance(value, FloatRange) and float not in numbers:
        findings.add((*place, "type"), f"`{name}` takes whole numbers only", "write `type: int`")
    else:
        for end in ("low", "high"):
            fits(getattr(value, end), option, (*place, end), findings)
    return value


def _choice(
    values: list[JsonValue] | list[Candidate], option: Option, place: ConfigPath, findings: Findings
) -> Choice | None:
    if not values:
        findings.add(place, "an empty list has nothing to choose from", f"e.g. {example(option)}")
        return None
    before = findings.count
    found = tuple(fits(_as_json(each), option, (*place, index), findings) for index, each in enumerate(values))
    if findings.count > before:
        return None
    twin = first_twin(found)
    if twin is not None:
        findings.add((*place, twin), f"{shown(_as_json(found[twin]))} is there twice")
        return None
    return Choice(values=found)


def _adapter(option: Option) -> TypeAdapter[object]:
    """What reads one value of an option, with the option's limits."""
    marked = Annotated[(option.info.annotation, None, *option.info.metadata)]  # type: ignore[name-defined]  # run time
    return TypeAdapter(marked, config=ConfigDict(allow_inf_nan=False))


def _as_candidate(value: object) -> Candidate:
    if isinstance(value, list | tuple):
        return tuple(each for each in value if each is None or isinstance(each, bool | int | float | str))
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"no value of a search: {value!r}")


def _as_json(value: JsonValue | Candidate) -> JsonValue:
    return list(value) if isinstance(value, tuple) else value


def _plain(value: Candidate) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
