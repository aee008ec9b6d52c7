"""Whatever the bytes: a workflow, or problems. A short seeded campaign; nothing but `InvalidWorkflow` may come out."""

from __future__ import annotations

import json
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from olive_engine.config.diagnostics import render
from olive_engine.config.draft import Draft, parse_tree
from olive_engine.config.loader import Format, loads
from olive_engine.config.overrides import apply_override
from olive_engine.config.tree import from_python
from olive_engine.errors import InvalidWorkflow

from .test_draft import GOOD

FUZZ = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
FORMATS: st.SearchStrategy[Format] = st.sampled_from(["json", "yaml"])
TEXTS = {"json": json.dumps(GOOD, indent=1), "yaml": yaml.safe_dump(GOOD, sort_keys=False)}

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
known_words = st.sampled_from(
    [
        "type",
        "name",
        "passes",
        "Tuner",
        "ToySum",
        "inputs",
        "train",
        "score",
        "metrics",
        "HfModel",
        "r",
        "search",
        "here",
    ]
)
values = st.recursive(
    scalars | known_words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(known_words | st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def judged(draft: Draft) -> None:
    """Either there is a workflow, or there are errors that can be shown."""
    assert (draft.workflow is None) == bool(draft.problems)
    render(draft.problems)


def located(error: InvalidWorkflow) -> None:
    """Every problem has its place, and can be shown."""
    assert [problem for problem in error.problems if problem.position is None] == []
    render(error.problems)


def read_text(data: bytes, kind: Format) -> None:
    try:
        tree = loads(data, "fuzz", kind).tree
    except InvalidWorkflow as error:
        located(error)
        return
    if isinstance(tree, dict):
        judged(parse_tree(tree))


@FUZZ
@given(st.binary(max_size=200), FORMATS)
def test_any_bytes(data: bytes, kind: Format) -> None:
    read_text(data, kind)


@FUZZ
@given(st.text(alphabet="{}[]:,-&*!|>'\"#%@`? \n\t\r\\aA01.e+~<\u2028\ufeff\x85é", max_size=60), FORMATS)
def test_any_marks(text: str, kind: Format) -> None:
    read_text(text.encode(), kind)


@FUZZ
@given(st.data(), FORMATS)
def test_a_good_file_with_some_characters_changed(data: st.DataObject, kind: Format) -> None:
    text = TEXTS[kind]
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        length = data.draw(st.integers(0, 5))
        text = text[:start] + data.draw(st.text(max_size=4)) + text[start + length :]
    read_text(text.encode(errors="surrogatepass"), kind)


@FUZZ
@given(st.dictionaries(st.sampled_from([*GOOD, "search_space", "model"]) | st.text(max_size=8), values, max_size=5))
def test_any_tree(tree: dict[str, Any]) -> None:
    judged(parse_tree(tree))


@FUZZ
@given(st.data())
def test_a_good_tree_with_some_values_changed(data: st.DataObject) -> None:
    tree = json.loads(TEXTS["json"])
    for _ in range(data.draw(st.integers(1, 3))):
        place: Any = tree
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = data.draw(st.sampled_from(keys))
            if isinstance(place[key], dict | list) and data.draw(st.booleans()):
                place = place[key]
                continue
            if isinstance(place, dict) and data.draw(st.booleans()):
                place[data.draw(known_words | st.text(max_size=6))] = place.pop(key)
            else:
                place[key] = data.draw(values)
            break
    judged(parse_tree(tree))


@FUZZ
@given(st.text(alphabet="passesluner.[]0=:{}'\"1- ", max_size=30), values)
def test_any_override(override: str, value: Any) -> None:
    try:
        root = from_python(GOOD)
        apply_override(root, override)
        apply_override(root, f"{override}={value}")
    except InvalidWorkflow as error:
        located(error)
