"""Whatever is read: a workflow, or problems. A short seeded part of `python -m benchmarks fuzz`."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from benchmarks.fuzz import TARGETS, Tally, feed
from benchmarks.huge import HUGE, cost_of
from olive_engine.config.diagnostics import render
from olive_engine.config.draft import parse_tree
from olive_engine.config.loader import MAX_BYTES, loads
from olive_engine.config.overrides import apply_override
from olive_engine.config.tree import MAX_VALUES, from_python
from olive_engine.errors import InvalidWorkflow
from olive_engine.reading import read_workflow

WICKED = (
    "31 MiB, one JSON key",
    "JSON, 10 million [",
    "YAML aliases, 9 to the 29th",
    "YAML merge keys of merge keys",
    "a number of 10 million digits",
)
"""Those of `HUGE` that are quick when they are read well, and were not always."""


@pytest.fixture(autouse=True)
def plugins() -> None:
    """Only what is installed: the workflows that are changed are for users."""


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_but_problems_comes_out(name: str) -> None:
    tally = Tally()
    feed(TARGETS[name], tally, 60, 0)
    assert tally.inputs >= 60
    assert tally.problems > 30


@pytest.mark.parametrize("name", WICKED)
def test_a_wicked_file_is_read_in_bounded_time_and_memory(name: str) -> None:
    _, taken, memory = cost_of(name)
    assert taken < 20
    assert memory < 512


def test_a_file_of_fifty_megabytes_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "w.json"
    path.write_bytes(b'{"a": "' + b"x" * 50_000_000 + b'"}')
    started = time.perf_counter()
    draft = read_workflow([path])
    assert time.perf_counter() - started < 2
    assert [str(each) for each in draft.problems] == [
        f"{path}: larger than {MAX_BYTES >> 20} MiB; data belong in files of their own"
    ]


def test_the_wicked_files_are_what_they_are_called() -> None:
    bomb = HUGE["YAML aliases, 9 to the 29th"][1]()
    assert len(bomb) < 2000
    with pytest.raises(InvalidWorkflow, match=f"more than {MAX_VALUES:,} values, aliases written out"):
        loads(bomb, "bomb", "yaml")


@pytest.mark.parametrize(
    ("data", "what"),
    [
        ("{}".encode("utf-16"), "w: encoded as UTF-16 or UTF-32; save it as UTF-8"),
        ("{}".encode("utf-32"), "w: encoded as UTF-16 or UTF-32; save it as UTF-8"),
        ("{}".encode("utf-16-le"), "w: encoded as UTF-16 or UTF-32; save it as UTF-8"),
        ("{}".encode("utf-16-be"), "w: encoded as UTF-16 or UTF-32; save it as UTF-8"),
        ("a: é".encode("latin-1"), "w:1:4: not UTF-8: the byte 0xe9; save the file as UTF-8"),
        (b"a: b\x00", "w:1:5: the character '\\x00' may not stand in YAML"),
        (b'{"a": "\\u0000"}', "w:1:7: the text holds a null character or half of a surrogate pair"),
        (b'{"a": "\\ud800"}', "w:1:7: the text holds a null character or half of a surrogate pair"),
        (
            b'a: "\\ud800"',
            r"w:1:7: no YAML escape; a backslash itself is written \\ in double quotes, or \ in single ones",
        ),
        (b'a: "\\0"', "w:1:4: the text holds a null character or half of a surrogate pair"),
        (b"a:\n\t- b", "w:2:1: a tab used as indentation; YAML allows spaces only"),
        (b"a: .inf", "w:1:4: expected a finite number, found .inf"),
        (b"a: 1e999", "w:1:4: expected a finite number, found 1e999"),
        (b"a: &x [*x]", "w:1:8: *x stands inside &x itself"),
        (b"? [a]\n: b", "w:1:3: a key must be text; put text that begins with `{` or `[` in quotes"),
        (b"a: !!python/none", "w:1:4: the YAML tag !!python/none means nothing in a workflow; remove it"),
        (b"a: 1\n---\nb: 2", "w:2:1: a second document; a workflow file holds one; remove the line `---`"),
        (b"a: {<<: 1}", "w:1:5: `<<` takes a mapping, or a list of mappings"),
        (b"k" * 501 + b": 1", "w:1:1: the key has 501 characters; expected at most 500"),
    ],
)
def test_what_is_said_of_odd_files(data: bytes, what: str) -> None:
    with pytest.raises(InvalidWorkflow) as caught:
        loads(data, "w")
    assert str(caught.value) == what
    render(caught.value.problems)


@pytest.mark.parametrize(
    "override", ["=", "a", "a..b=1", "[0]=1", "a=[", "a={b: *c}", "a=\ud800", "a=\x00", "a[9999999]=1"]
)
def test_what_cannot_be_set_is_a_problem(override: str) -> None:
    with pytest.raises(InvalidWorkflow) as caught:
        apply_override(from_python({"a": [1]}), override)
    assert [problem.position is None for problem in caught.value.problems] == [False]
    render(caught.value.problems)


def test_a_tree_that_holds_itself_is_a_problem() -> None:
    tree: dict[str, object] = {}
    tree["passes"] = tree
    assert [str(each) for each in parse_tree(tree).problems] == ["nested more than 64 levels deep"]
