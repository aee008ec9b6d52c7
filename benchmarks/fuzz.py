"""Whatever is read: a workflow, or problems, within bounded time and memory. Nothing else may ever come out."""

from __future__ import annotations

import contextlib
import copy
import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from benchmarks.edits import edits
from benchmarks.huge import HUGE, MEMORY, SECONDS, cost_of
from benchmarks.report import Machine, Report
from benchmarks.typos import FILES, known_keys
from olive_engine.config.diagnostics import render
from olive_engine.config.draft import Draft, parse_tree
from olive_engine.config.loader import load
from olive_engine.reading import read_workflow
from olive_engine.reporting.jsonl import to_json

MINUTES = 10.0
SLOWEST = 5.0
"""Seconds that any one small input may take."""

MARKS = "{}[]:,-&*!|>'\"#%@`? \n\t\r\\aA01.e+~<$=_\u2028\ufeff\x85\x00é"
SCALARS = (
    *("no", "off", "on", "y", "12:30", "0o7", "0x1F", "1_000", "007", "1e3", ".5", "5.", "1e999", "-0", "~", "null"),
    *(".inf", "-.INF", ".nan", "NaN", "Infinity", "2001-01-01", "=", "<<", "9" * 30, "-9223372036854775809"),
    *("!!str 5", "!!int x", "!!python/object:os.system x", "!x y", "&a 1", "*a", "*b", "[*a, *a]", "{<<: *a}"),
    *("|", ">-", "? x", "? [a]: 1", "- x", "'", '"', '"\\x"', '"\\ud800"', "%YAML 1.1", "---", "...", "@x", "`x"),
    *("${env:HOME}", "${env:NOT_SET_ANYWHERE}", "${env:X:-y}", "${env:", "{search: 1}", "[[[[]]]]", "", " ", "\t"),
)
"""What YAML 1.1, templates and people's habits make of a scalar."""
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "utf-32-be", "latin-1", "cp1252", "utf-7")


@dataclass
class Tally:
    """What a target has been through."""

    inputs: int = 0
    valid: int = 0
    problems: int = 0
    slowest: float = 0.0
    started: float = field(default_factory=time.perf_counter)

    def add(self, draft: Draft, taken: float) -> None:
        """Count one input, and hold what was said of it to what is promised.

        Raises:
            AssertionError: there is neither a workflow nor an error, or an error cannot be shown.
        """
        self.inputs += 1
        self.valid += draft.workflow is not None
        self.problems += len(draft.problems)
        self.slowest = max(self.slowest, taken)
        errors = [problem for problem in draft.problems if problem.severity == "error"]
        if (draft.workflow is None) != bool(errors):
            raise AssertionError(f"workflow: {draft.workflow is not None}, errors: {errors}")
        shown = render((*draft.problems, *draft.notices))
        if not all(char.isprintable() or char == "\n" for char in shown):
            raise AssertionError(f"not fit for a terminal: {shown!r}")
        json.dumps(to_json((draft.problems, draft.notices)))
        if taken > SLOWEST:
            raise AssertionError(f"took {taken:.1f} s")


def measure(*, quick: bool = False, minutes: float = MINUTES) -> Report:
    """Feed every target for its share of the time, with another seed in each round; then read huge inputs."""
    machine, tallies = Machine(), {name: Tally() for name in TARGETS}
    until = time.perf_counter() + (0.2 if quick else minutes) * 60
    number = 0
    while time.perf_counter() < until:
        for name, target in TARGETS.items():
            feed(target, tallies[name], 100, number)
        number += 1
    rows: list[tuple[str, ...]] = []
    for name, each in tallies.items():
        limit = f"< {SLOWEST:g} s, no crash  ok"
        rows.append(
            (name, f"{each.inputs:,}", f"{each.valid:,}", f"{each.problems:,}", f"{each.slowest:.2f} s", "", limit)
        )
    for name in HUGE:
        size, taken, memory = cost_of(name)
        verdict = "ok" if taken < SECONDS and memory < MEMORY else "OVER"
        limit = f"< {SECONDS:g} s, {MEMORY} MiB  {verdict}"
        rows.append((name, f"{size / 2**20:.1f} MiB", "", "", f"{taken:.2f} s", f"{memory:.0f} MiB", limit))
    columns = ("input", "amount", "valid", "problems", "slowest", "memory", "wanted")
    note = f"{sum(each.inputs for each in tallies.values()):,} inputs in {number} rounds"
    return Report("Fuzzing", columns, rows, notes=(note,), machine=machine)


def feed(target: Target, tally: Tally, count: int, number: int) -> None:
    """Give a target so many inputs; the same number gives the same inputs.

    Raises:
        Exception: whatever escapes the reading of an input; hypothesis adds the smallest such input.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)

        @seed(number)
        @settings(
            max_examples=count,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.generate, Phase.shrink),
        )
        @given(st.data())
        def run(data: st.DataObject) -> None:
            made = target(data.draw, place)
            started = time.perf_counter()
            draft = made()
            tally.add(draft, time.perf_counter() - started)

        with contextlib.chdir(FILES[0].parent):
            run()


# --- targets: how an input is drawn, and how it is read ---------------------------------------------------------

Draw = Callable[[st.SearchStrategy[Any]], Any]
Reading = Callable[[], Draft]
Target = Callable[[Draw, Path], Reading]
"""Draws an input, and gives what reads it."""

names = st.sampled_from([".json", ".yaml", ".conf"])
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(SCALARS)


def _file(folder: Path, data: bytes, suffix: str, overrides: Sequence[str] = ()) -> Reading:
    path = folder / f"fuzz{suffix}"
    path.write_bytes(data)
    return lambda: read_workflow([path], overrides)


def _any_bytes(draw: Draw, folder: Path) -> Reading:
    return _file(folder, draw(st.binary(max_size=300)), draw(names))


def _any_marks(draw: Draw, folder: Path) -> Reading:
    return _file(folder, draw(st.text(alphabet=MARKS, max_size=80)).encode(), draw(names))


def _changed_text(draw: Draw, folder: Path) -> Reading:
    """Bytes flipped, put in and taken out; lines left out, doubled, changed for others, indented otherwise."""
    file = draw(st.sampled_from(FILES))
    data = bytearray(file.read_bytes())
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        match draw(st.sampled_from(("flip", "put", "take", "odd", "lines", "splice"))):
            case "flip" if data:
                data[at] ^= 1 << draw(st.integers(0, 7))
            case "put":
                data[at:at] = draw(st.binary(min_size=1, max_size=4))
            case "take":
                del data[at : at + draw(st.integers(1, 40))]
            case "odd":
                end = data.find(b"\n", at)
                data[at:end] = draw(st.sampled_from(SCALARS)).encode(errors="replace")
            case "lines":
                data = bytearray(b"".join(_lines_changed(draw, bytes(data).splitlines(keepends=True))))
            case _:
                other = draw(st.sampled_from(FILES)).read_bytes()
                start = draw(st.integers(0, len(other)))
                data[at:at] = other[start : start + draw(st.integers(1, 200))]
    return _file(folder, bytes(data), file.suffix)


def _lines_changed(draw: Draw, lines: list[bytes]) -> list[bytes]:
    if not lines:
        return lines
    first, second = (draw(st.integers(0, len(lines) - 1)) for _ in range(2))
    match draw(st.sampled_from(("out", "double", "swap", "indent", "tab"))):
        case "out":
            del lines[first]
        case "double":
            lines.insert(second, lines[first])
        case "swap":
            lines[first], lines[second] = lines[second], lines[first]
        case "indent":
            lines[first] = b" " * draw(st.integers(1, 3)) + lines[first]
        case _:
            lines[first] = b"\t" + lines[first]
    return lines


def _encoded(draw: Draw, folder: Path) -> Reading:
    file = draw(st.sampled_from(FILES))
    text = file.read_text(encoding="utf-8").replace("example", draw(st.text(max_size=5)) or "é")
    data = text.encode(draw(st.sampled_from(ENCODINGS)), errors="replace")
    cut = draw(st.integers(0, 8))
    return _file(folder, data[: len(data) - cut], draw(names))


@cache
def _words() -> st.SearchStrategy[str]:
    references = ("train", "here", "score", "LoRA", "ToySum", "HfModel", "AzureML", "accuracy", "input_model", "search")
    return st.sampled_from([*sorted(known_keys()), *references])


@cache
def _trees() -> st.SearchStrategy[Any]:
    return st.recursive(
        scalars | _words(),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(_words() | st.text(max_size=8) | st.sampled_from(SCALARS), inner, max_size=5)
        ),
        max_leaves=20,
    )


def _any_tree(draw: Draw, folder: Path) -> Reading:
    tree = draw(st.dictionaries(_words() | st.text(max_size=8), _trees(), max_size=6))
    return _read_tree(draw, folder, tree)


def _changed_tree(draw: Draw, folder: Path) -> Reading:
    """Values of a workflow replaced, moved, renamed, and exchanged for parts of other workflows."""
    tree = load(draw(st.sampled_from(FILES))).tree
    for _ in range(draw(st.integers(1, 4))):
        place: Any = tree
        while isinstance(place, dict | list) and place:
            key = draw(st.sampled_from(list(place) if isinstance(place, dict) else list(range(len(place)))))
            if isinstance(place[key], dict | list) and draw(st.integers(0, 3)):
                place = place[key]
                continue
            match draw(st.sampled_from(("value", "name", "part", "out"))):
                case "name" if isinstance(place, dict):
                    place[draw(_words() | st.text(max_size=6))] = place.pop(key)
                case "part":
                    place[key] = copy.deepcopy(draw(st.sampled_from(_parts())))
                case "out":
                    del place[key]
                case _:
                    place[key] = draw(_trees())
            break
    return _read_tree(draw, folder, json.loads(json.dumps(tree)))


@cache
def _parts() -> list[Any]:
    """Parts of the workflows, to stand in the place of others."""
    found: list[Any] = []
    for file in FILES:
        stack = [load(file).tree]
        while stack:
            value = stack.pop()
            found.append(value)
            stack += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return found


def _read_tree(draw: Draw, folder: Path, tree: dict[str, Any]) -> Reading:
    """As a Python value, as JSON or as YAML."""
    match draw(st.sampled_from(("python", "json", "yaml"))):
        case "python":
            return lambda: parse_tree(tree)
        case "json":
            return _file(folder, json.dumps(tree).encode(), ".json")
        case _:
            text = yaml.safe_dump(tree, sort_keys=False, allow_unicode=draw(st.booleans()))
            return _file(folder, text.encode(errors="surrogatepass"), ".yaml")


def _odd_scalar(draw: Draw, folder: Path) -> Reading:
    """A scalar of a YAML workflow written as people, YAML 1.1 and templates do."""
    file = draw(st.sampled_from([file for file in FILES if file.suffix == ".yaml"]))
    lines = file.read_text(encoding="utf-8").splitlines()
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(lines) - 1))
        key, colon, _ = lines[at].partition(": ")
        lines[at] = f"{key}{colon or ': '}{draw(st.sampled_from(SCALARS))}"
    return _file(folder, "\n".join(lines).encode(), ".yaml")


def _overrides(draw: Draw, folder: Path) -> Reading:  # noqa: ARG001 - as every target is called
    """``--set`` with paths that are there, nearly there, or no paths at all."""
    file = draw(st.sampled_from(FILES))
    made: list[str] = []
    for _ in range(draw(st.integers(1, 3))):
        edit = draw(st.sampled_from(_paths(file)))
        path = draw(
            st.sampled_from((edit, edit + draw(st.text(alphabet=".[]0=ab", max_size=4)), draw(st.text(max_size=9))))
        )
        made.append(
            f"{path}={draw(st.sampled_from(SCALARS) | st.text(max_size=9))}" if draw(st.integers(0, 9)) else path
        )
    return lambda: read_workflow([file], made)


@cache
def _paths(file: Path) -> list[str]:
    from olive_engine.errors import dotted

    return sorted({dotted(edit.path) for edit in edits(file)})


def _several_files(draw: Draw, folder: Path) -> Reading:
    """Files that lie over each other, and that extend each other."""
    files = []
    for number in range(draw(st.integers(2, 3))):
        tree: dict[str, Any] = dict(draw(st.sampled_from(_parts_that_are_workflows())))
        for key in draw(st.lists(st.sampled_from(sorted(tree)), max_size=3)):
            tree.pop(key, None)
        if draw(st.booleans()):
            tree["extends"] = draw(st.sampled_from(["f0.json", "f1.json", ["f0.json", "f1.json"], "none", 3, [], "."]))
        files.append(folder / f"f{number}.json")
        files[-1].write_text(json.dumps(tree))
    return lambda: read_workflow(files)


@cache
def _parts_that_are_workflows() -> list[dict[str, Any]]:
    return [tree for file in FILES if isinstance(tree := load(file).tree, dict)]


TARGETS: Mapping[str, Target] = {
    "any bytes": _any_bytes,
    "any marks": _any_marks,
    "changed texts": _changed_text,
    "encodings": _encoded,
    "any trees": _any_tree,
    "changed trees": _changed_tree,
    "odd scalars": _odd_scalar,
    "--set": _overrides,
    "several files": _several_files,
}
