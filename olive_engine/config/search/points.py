"""The options of a workflow's passes, by the names that a search may call them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice

from pydantic import JsonValue
from pydantic.fields import FieldInfo

from olive_engine import registry
from olive_engine.config.findings import MAX_NAMES, Findings, known
from olive_engine.config.keys import Mapped, nested_options
from olive_engine.config.search.kinds import unsearchable
from olive_engine.config.spelling import SYNONYMS, nearest, one_of
from olive_engine.errors import ConfigPath
from olive_engine.options import OptionsClass

SHORT_FORMS: Mapping[str, str] = {**SYNONYMS, "lora_r": "r", "lora_alpha": "alpha"}
"""What a searched option is called elsewhere -> what it is called here. Used only where no option has the name."""
MAX_COMPARED = 2000
"""How many options a misspelt name is compared with."""
MAX_GROUPS = 5
"""How deep groups of options are looked into."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One pass of the workflow, or one of a slot's alternatives, as it is written."""

    slot: str
    index: int | None
    """In the written list; None: no list."""
    name: str
    """`slot`, or where there are several alternatives `slot[index]`."""
    cls: OptionsClass
    raw: Mapped

    @property
    def path(self) -> ConfigPath:
        """Where it is written."""
        return ("passes", self.slot) if self.index is None else ("passes", self.slot, self.index)


@dataclass(frozen=True, slots=True)
class Option:
    """An option of a pass."""

    entry: Entry
    path: tuple[str, ...]
    info: FieldInfo

    @property
    def name(self) -> str:
        """``tune.training_args.learning_rate``, ``slot[1].option``."""
        return ".".join((self.entry.name, *self.path))

    @property
    def place(self) -> ConfigPath:
        """Where its value is, or would be, written."""
        return (*self.entry.path, *self.path)


class PassOptions:
    """Every option of every pass whose type is known."""

    def __init__(self, passes: JsonValue) -> None:
        self.entries: list[Entry] = []
        self.complete = passes is None or isinstance(passes, dict)
        """Whether all passes are known; if not, a name that fits nothing may be theirs."""
        for slot, value in passes.items() if isinstance(passes, dict) else ():
            self._add(slot, value)

    def named(self, name: str) -> list[Option]:
        """The options that `name` may mean, by its whole name or its end; those that can be searched, if any can."""
        found = self._fitting(name)
        if not found:
            head, _, last = name.rpartition(".")
            short = SHORT_FORMS.get(last.lower())
            found = self._fitting(f"{head}.{short}" if head else short) if short else []
        return [option for option in found if not unsearchable(option.info)] or found

    def resolve(self, name: str, at: ConfigPath, findings: Findings) -> Option | None:
        """The one option that `name` means; otherwise a problem with the key at `at`, with names to copy."""
        found = self.named(name)
        if len(found) == 1:
            return found[0]
        if found:
            listed = one_of([option.name for option in found[:MAX_NAMES]])
            findings.add(at, f"`{name}` fits {len(found)} options", f"write {listed}", at_key=True)
        elif self.complete:
            findings.add(at, f"no pass has an option `{name}`", self._suggestion(name), at_key=True)
        return None

    def searchable(self) -> Iterator[Option]:
        """Those that a search may choose a value for."""
        for entry in self.entries:
            for path, info in all_options(entry.cls):
                if not unsearchable(info):
                    yield Option(entry, path, info)

    def _add(self, slot: str, value: JsonValue) -> None:
        several = isinstance(value, list)
        written = value if isinstance(value, list) else [value]
        for index, each in enumerate(written):
            kind = each.get("type") if isinstance(each, dict) else None
            cls = registry.find_pass(kind) if isinstance(kind, str) else None
            if cls is None or not isinstance(each, dict):
                self.complete = False
                continue
            name = f"{slot}[{index}]" if len(written) > 1 else slot
            self.entries.append(Entry(slot, index if several else None, name, cls.config_type, each))

    def _fitting(self, name: str) -> list[Option]:
        last = name.rpartition(".")[2]
        ending = [
            Option(entry, path, info) for entry in self.entries for path, info in _by_last(entry.cls).get(last, ())
        ]
        exact = [option for option in ending if name in _whole_names(option)]
        if exact:
            return exact
        inside = [option for option in ending if any(_ends(option.path, rest) for rest in _rests(name, option.entry))]
        return inside or [option for option in ending if _ends(option.path, name)]

    def _suggestion(self, name: str) -> str:
        called: dict[str, list[str]] = {}
        for option in islice(self.searchable(), MAX_COMPARED):
            called.setdefault(option.path[-1], []).append(option.name)
            called.setdefault(option.name, []).append(option.name)
        near = nearest(name, called) or nearest(name.rpartition(".")[2], called)
        if near is None:
            return known((each for each in called if "." in each), "what can be searched")
        return f"did you mean {one_of(tuple(dict.fromkeys(called[near]))[:MAX_NAMES])}?"


@cache
def own_options(cls: OptionsClass) -> Mapping[str, FieldInfo]:
    """The options of a class, without those inside groups, by the names that are written."""
    return {info.alias or name: info for name, info in cls.model_fields.items() if not info.exclude}


def all_options(cls: OptionsClass, depth: int = 0) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    """Every option of a class, those of groups with the names of the groups before theirs."""
    for key, info in own_options(cls).items():
        yield (key,), info
        groups = nested_options(info.annotation)
        if len(groups) == 1 and depth < MAX_GROUPS:
            yield from (((key, *path), inner) for path, inner in all_options(groups[0], depth + 1))


@cache
def _by_last(cls: OptionsClass) -> Mapping[str, Sequence[tuple[tuple[str, ...], FieldInfo]]]:
    """The options of a class by the last part of their names."""
    found: dict[str, list[tuple[tuple[str, ...], FieldInfo]]] = {}
    for path, info in all_options(cls):
        found.setdefault(path[-1], []).append((path, info))
    return found


def _whole_names(option: Option) -> Iterable[str]:
    path = ".".join(option.path)
    return {option.name, f"{option.entry.slot}.{path}", f"{option.entry.slot}[{option.entry.index or 0}].{path}"}


def _rests(name: str, entry: Entry) -> Iterator[str]:
    """What is left of `name` after the name of the pass."""
    for head in {entry.name, entry.slot, f"{entry.slot}[{entry.index or 0}]"}:
        if name.startswith(f"{head}."):
            yield name.removeprefix(f"{head}.")


def _ends(path: tuple[str, ...], name: str) -> bool:
    parts = tuple(name.split("."))
    return path[-len(parts) :] == parts
