"""How well a slip of one character is explained: whether it is noticed, where, and with the right name offered."""

from __future__ import annotations

import contextlib
import random
import re
import tempfile
import typing
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal

from benchmarks.report import Machine, Report
from olive_engine import registry
from olive_engine.config.keys import field_types, nested_options
from olive_engine.config.legacy.table import FILE_RULES
from olive_engine.config.loader import load
from olive_engine.config.parse import EDITOR_KEY, MODELS, PASS_KEYS
from olive_engine.config.spelling import every_old_name
from olive_engine.config.tree import Node
from olive_engine.config.workflow import MetricEntry, SubMetric, Workflow
from olive_engine.errors import ConfigPath, Position, Problem
from olive_engine.options import DataRef, Options, marked
from olive_engine.reading import read_workflow

Kind = Literal["key", "type", "choice", "reference"]
Verdict = Literal["right", "another name", "no name", "elsewhere", "not noticed", "crashed", "valid"]

FILES = tuple(
    sorted(
        path
        for folder in ("samples/*/workflow*", "benchmarks/typo_workflows/*")
        for path in Path(__file__).parents[1].glob(folder)
        if path.suffix in (".json", ".yaml")
    )
)
"""The workflows that slips are made in; each is valid as it stands."""
COUNT = 1_000
LOCATED, SUGGESTED = 1.0, 0.95
"""What is wanted: the shares of slips that are noticed at the right place, and that the right name is offered for."""

_NAMED = ("passes", "systems", "evaluators", "data_configs")
"""Sections whose keys are names that the user gives."""
_FREE = (
    *("load_kwargs", "model_loading_args", "from_pretrained_args", "lr_scheduler_kwargs", "environment_variables"),
    *("tags", "resources", "default_auth_params", "extra_options"),
)
"""Mappings whose keys are not ours to know."""
_REFERENCES = ("host", "target", "evaluator", "input", "inputs", "data_config", "pass_flows")
_OLD_CHOICES = ("corpus_strategy", "evaluation_strategy", "dataset_type", "sampler", "execution_order")
_MARKS = "abcdefghijklmnopqrstuvwxyz0123456789_"


@dataclass(frozen=True, slots=True)
class Place:
    """A name in a file that can be misspelt: a key, or a value that is one of a few."""

    file: Path
    path: ConfigPath
    kind: Kind
    name: str
    start: int
    """Offset of the name's first character in the file's text."""
    position: Position
    """Where a message should point: at the quote before the name, where there is one."""

    @property
    def section(self) -> str:
        """The part of the workflow that it is in, by today's name."""
        part = str(self.path[1] if self.path[0] == "engine" and len(self.path) > 1 else self.path[0])
        part = {"model": "input_model", "training_config": "passes", "azureml_client": "systems"}.get(part, part)
        if part.startswith("search_") or "search" in self.path:
            part = "search"
        return part if len(self.path) > 1 and part in (*_NAMED, "input_model", "search") else "top"


@dataclass(frozen=True, slots=True)
class Typo:
    """A name with one character inserted, left out or replaced, or two that changed places."""

    place: Place
    wrong: str
    text: str
    """The whole file with it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was said about a slip."""

    typo: Typo
    verdict: Verdict
    errors: tuple[Problem, ...]

    @property
    def alone(self) -> bool:
        """Whether it is the only error, as it should be: everything else follows from it."""
        return len(self.errors) == 1


def measure(*, quick: bool = False) -> Report:
    """Make the slips, read each file, and judge what is said."""
    machine = Machine()
    outcomes = judge(typos(COUNT // 10 if quick else COUNT))
    counted = [each for each in outcomes if each.verdict != "valid"]
    rows = [_row(f"{kind}, {section}", found) for (kind, section), found in sorted(_grouped(counted).items())]
    total = _row("all", counted)
    located = sum(each.verdict in ("right", "another name", "no name") for each in counted) / len(counted)
    suggested = sum(each.verdict == "right" for each in counted) / len(counted)
    wanted = f"{'ok' if located >= LOCATED else 'MISSED'} / {'ok' if suggested >= SUGGESTED else 'MISSED'}"
    rows = [*((*row, "") for row in rows), (*total, f"100 % / 95 %  {wanted}")]
    notes = [f"{len(outcomes) - len(counted)} more turned a name into another that is valid there: no slip to see"]
    notes += [_described(each) for each in counted if each.verdict != "right" or not each.alone]
    columns = ("what, where", "slips", "located", "right name", "only error", "wanted")
    return Report(f"Slips in {len(FILES)} workflows", columns, rows, notes=tuple(notes), machine=machine)


def places(file: Path) -> list[Place]:
    """Every name in a file that is ours to know, in the order of its text; each once, also where aliases repeat it."""
    source = load(file)
    content = source.text.content or ""
    found: dict[int, Place] = {}
    for path, node, at in _names(source.root, ()):
        key, kind = at == "key", _kind(path, at)
        offset = (node.key if key else node.offset) or 0
        name = str(path[-1]) if key else str(node.value)
        start = offset + (content[offset] in "\"'")
        if kind is not None and content.startswith(name, start):
            found[start] = Place(file, path, kind, name, start, source.text.position(offset))
    return [found[start] for start in sorted(found)]


def typos(count: int, *, seed: int = 0, files: Sequence[Path] = FILES) -> list[Typo]:
    """So many slips: every place in turn, in random order, until there are enough."""
    draw = random.Random(seed)
    every = [place for file in files for place in places(file)]
    texts = {file: _text(file) for file in files}
    made: list[Typo] = []
    while len(made) < count:
        draw.shuffle(every)
        for place in every[: count - len(made)]:
            wrong, text = _slip(place.name, draw), texts[place.file]
            end = place.start + len(place.name)
            made.append(Typo(place, wrong, text[: place.start] + wrong + text[end:]))
    return made


def judge(made: Iterable[Typo]) -> list[Outcome]:
    """Read each file with its slip, where relative paths mean what they do in the file itself."""
    with tempfile.TemporaryDirectory() as folder:
        return [_judged(typo, Path(folder)) for typo in made]


def _judged(typo: Typo, folder: Path) -> Outcome:
    place = typo.place
    copy = folder / place.file.name
    copy.write_bytes(typo.text.encode())
    try:
        with contextlib.chdir(place.file.parent):
            problems = read_workflow([copy]).problems
    except Exception as error:  # noqa: BLE001 - whatever escapes is what is looked for
        return Outcome(typo, "crashed", (Problem((), f"{type(error).__name__}: {error}"),))
    errors = tuple(problem for problem in problems if problem.severity == "error")
    here = [each for each in errors if _line_and_column(each.position) == _line_and_column(place.position)]
    if here:
        offered = [name.lower() for each in here for name in offers(each)]
        right = {place.name.lower(), *(_today().get(place.name, ()))}
        is_right = right & {*offered, *(name.rpartition(".")[2] for name in offered)}
        found: Verdict = "right" if is_right else "another name"
        return Outcome(typo, found if offered else "no name", errors)
    if typo.wrong.lower() in _valid(place):
        return Outcome(typo, "valid", errors)
    return Outcome(typo, "elsewhere" if errors else "not noticed", errors)


def offers(problem: Problem) -> list[str]:
    """The names that a message asks the reader whether they were meant."""
    _, _, question = problem.hint.partition("did you mean ")
    return re.findall(r"`([^`]+)`", question.partition("?")[0])


def _line_and_column(position: Position | None) -> tuple[int, int]:
    return (position.line, position.column) if position else (0, 0)


def _slip(name: str, draw: random.Random) -> str:
    """`name` with one edit, of the four kinds that most slips are."""
    while True:
        at, mark = draw.randrange(len(name)), draw.choice(_MARKS)
        match draw.choice(("insert", "leave out", "replace", "swap")):
            case "insert":
                wrong = name[:at] + mark + name[at:]
            case "leave out":
                wrong = name[:at] + name[at + 1 :]
            case "replace":
                wrong = name[:at] + mark + name[at + 1 :]
            case _:
                wrong = name[:at] + name[at : at + 2][::-1] + name[at + 2 :]
        if wrong and wrong.lower() != name.lower():  # some names are read in any case
            return wrong


# --- which names are ours -----------------------------------------------------------------------------------------


def _names(node: Node, path: ConfigPath) -> Iterator[tuple[ConfigPath, Node, Literal["key", "value"]]]:
    """All keys, and all texts that are values."""
    if isinstance(node.value, Mapping):
        for name, child in node.value.items():
            yield (*path, name), child, "key"
            yield from _names(child, (*path, name))
    elif isinstance(node.value, tuple):
        for index, child in enumerate(node.value):
            yield from _names(child, (*path, index))
    elif isinstance(node.value, str) and path:
        yield path, node, "value"


def _kind(path: ConfigPath, at: Literal["key", "value"]) -> Kind | None:
    """What a slip there is; None where anything may be written."""
    names = [part for part in path if isinstance(part, str)]
    inside = names[1:] if names[0] == "engine" else names
    if not inside or any(part in _FREE for part in inside[:-1]) or inside[-1] == EDITOR_KEY:
        return None
    if at == "key":
        given = len(inside) == 2 and inside[0] in _NAMED and not isinstance(path[1], int)
        return None if given else "key"
    last = inside[-1]
    if last == "type":
        return "choice" if inside[0] in ("data_configs", "search_space") or {"goal", "search"} & set(inside) else "type"
    if last in _REFERENCES or last in _data_options():
        return "reference"
    return "choice" if last in _choices() or last == "sub_types" or inside[-2:-1] == ["sub_types"] else None


@cache
def _option_classes() -> tuple[type[Options], ...]:
    found: list[type[Options]] = [Workflow, MetricEntry, SubMetric, *MODELS.values()]
    found += [each.config_type for plugins in (registry.passes(), registry.systems()) for each in plugins.values()]
    found += [each.config_type for each in registry.metrics().values()]
    for cls in found:  # grows while it is gone through
        for annotation in field_types(cls).values():
            found += [each for each in _held(annotation) if each not in found]
    return tuple(found)


def _held(annotation: object) -> list[type[Options]]:
    inner = [each for argument in typing.get_args(annotation) for each in _held(argument)]
    return [*nested_options(annotation), *inner]


@cache
def _choices() -> Mapping[str, frozenset[str]]:
    """Options that take one of a few words -> all words that any option of that name takes."""
    found: dict[str, set[str]] = {name: set() for name in _OLD_CHOICES}
    for cls in _option_classes():
        for name, annotation in field_types(cls).items():
            if words := set(_words(annotation)):
                found.setdefault(name, set()).update(words)
    return {name: frozenset(words) for name, words in found.items()}


def _words(annotation: object) -> Iterator[str]:
    if typing.get_origin(annotation) is Literal:
        yield from (word for word in typing.get_args(annotation) if isinstance(word, str))
    else:
        for argument in typing.get_args(annotation):
            yield from _words(argument)


@cache
def _data_options() -> frozenset[str]:
    return frozenset(name for cls in registry.passes().values() for name, _ in marked(cls.config_type, DataRef))


@cache
def known_keys() -> frozenset[str]:
    """Every key that means something anywhere, of today or before."""
    names = {name for cls in _option_classes() for name in field_types(cls)}
    return frozenset(names | every_old_name() | set(PASS_KEYS))


@cache
def _today() -> Mapping[str, frozenset[str]]:
    """Old names -> what they are called today: to offer that is as right."""
    found: dict[str, set[str]] = {"model_name": {"model_path"}, "corpus_strategy": {"strategy"}}
    for rule in FILE_RULES:
        if old := getattr(rule, "old", ""):
            new = getattr(rule, "new", "")
            found.setdefault(old.rpartition(".")[2], set()).update({new.rpartition(".")[2]} if new else ())
    return {name: frozenset(names) for name, names in found.items()}


@cache
def _valid(place: Place) -> frozenset[str]:
    """In lower case, the names that may stand there or stand there in other workflows."""
    if place.kind == "key":
        return frozenset(name.lower() for name in known_keys())
    if place.kind == "type":
        kinds = (registry.passes(), registry.systems(), registry.metrics(), MODELS)
        return frozenset(name.lower() for names in kinds for name in names)
    if place.kind == "choice":
        words = set(_choices().get(str(place.path[-1]), ()))
        words |= {name for metric in registry.metrics().values() for name in metric.sub_types}
        return frozenset(words)
    root = load(place.file).root
    names = {path[1] for path, _, at in _names(root, ()) if at == "key" and len(path) == 2 and path[0] in _NAMED}
    return frozenset(str(name).lower() for name in names) | {"input_model"}


@cache
def _text(file: Path) -> str:
    return load(file).text.content or ""


# --- the table ----------------------------------------------------------------------------------------------------


def _grouped(outcomes: Iterable[Outcome]) -> dict[tuple[str, str], list[Outcome]]:
    groups: dict[tuple[str, str], list[Outcome]] = {}
    for each in outcomes:
        groups.setdefault((each.typo.place.kind, each.typo.place.section), []).append(each)
    return groups


def _row(name: str, outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    verdicts = Counter(each.verdict for each in outcomes)
    located = verdicts["right"] + verdicts["another name"] + verdicts["no name"]
    alone = sum(each.alone for each in outcomes)
    shares = [f"{100 * part / len(outcomes):.1f} %" for part in (located, verdicts["right"], alone)]
    return (name, str(len(outcomes)), *shares)


def _described(outcome: Outcome) -> str:
    place = outcome.typo.place
    said = " | ".join(str(replace(problem, position=None)) for problem in outcome.errors) or "nothing"
    where = f"{place.file.name}:{place.position.line}"
    return (
        f"{outcome.verdict}, {len(outcome.errors)} errors: {place.name} -> {outcome.typo.wrong} ({where}): {said[:300]}"
    )
