"""The phrase-tone sample's rows are what its README says, and its base model's corpus has not seen them."""

import hashlib
import importlib.util
import itertools
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

import pytest

SAMPLE = Path(__file__).parents[2] / "samples" / "phrase_tone"
HELDOUT_SHA256 = "0ed03de5e723c7e0254656fc972bf94abb2ea5de479258b93c245ca993f7a4f8"
TONES = {"Sad", "Joy", "Fear", "Surprise"}
CORPUS_PASSAGES = 40_000
"""More than ``make_base.py`` reads with its default number of steps."""
RUN = 8
"""Length, in words, of a run of words that no two of the three texts may share."""


def _rows(name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (SAMPLE / "data" / name).read_text(encoding="utf-8").splitlines()]


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9']+", text.lower())


def _runs(text: str) -> set[tuple[str, ...]]:
    words = _words(text)
    return {tuple(words[start : start + RUN]) for start in range(len(words) - RUN + 1)}


def _all_runs(texts: Iterable[str]) -> set[tuple[str, ...]]:
    return set().union(*(_runs(text) for text in texts))


def _five_grams(text: str) -> frozenset[str]:
    return frozenset(text.lower()[start : start + 5] for start in range(len(text) - 4))


def _jaccard(left: frozenset[str], right: frozenset[str]) -> float:
    shared = len(left & right)
    return shared / (len(left) + len(right) - shared)


@pytest.fixture(scope="module")
def train() -> list[dict[str, str]]:
    return _rows("train.jsonl")


@pytest.fixture(scope="module")
def heldout() -> list[dict[str, str]]:
    return _rows("heldout.jsonl")


@pytest.fixture(scope="module")
def narratives() -> ModuleType:
    spec = importlib.util.spec_from_file_location("phrase_tone_narratives", SAMPLE / "narratives.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up by name
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def passages(narratives: ModuleType) -> list[str]:
    trained_on_and_held_back = (
        itertools.islice(narratives.passages(17), CORPUS_PASSAGES),
        itertools.islice(narratives.passages(18, held_back=True), CORPUS_PASSAGES // 20),
    )
    return list(itertools.chain(*trained_on_and_held_back))


def test_the_heldout_rows_are_the_frozen_ones() -> None:
    digest = hashlib.sha256((SAMPLE / "data" / "heldout.jsonl").read_bytes()).hexdigest()
    assert digest == HELDOUT_SHA256
    assert (SAMPLE / "data" / "heldout.sha256").read_text(encoding="utf-8") == f"{HELDOUT_SHA256}  heldout.jsonl\n"


def test_counts_and_columns(train: list[dict[str, str]], heldout: list[dict[str, str]]) -> None:
    assert Counter(row["tone"] for row in heldout) == dict.fromkeys(TONES, 40)
    assert Counter(row["tone"] for row in train) == {"Sad": 166, "Joy": 166, "Fear": 165, "Surprise": 165}
    assert all(list(row) == ["phrase", "tone"] for row in train + heldout)
    assert all(3 <= len(row["phrase"].split()) <= 30 for row in train + heldout)


def test_no_two_rows_are_near_duplicates(train: list[dict[str, str]], heldout: list[dict[str, str]]) -> None:
    grams = [_five_grams(row["phrase"]) for row in train + heldout]
    closest = max(_jaccard(left, right) for left, right in itertools.combinations(grams, 2))
    assert closest < 0.5


def test_the_splits_share_no_run_of_words(train: list[dict[str, str]], heldout: list[dict[str, str]]) -> None:
    shared = _all_runs(row["phrase"] for row in train) & _all_runs(row["phrase"] for row in heldout)
    assert shared == set()


def test_the_corpus_shares_no_run_of_words_with_a_row(
    passages: list[str], train: list[dict[str, str]], heldout: list[dict[str, str]]
) -> None:
    rows = _all_runs(row["phrase"] for row in train + heldout)
    assert [run for passage in passages for run in _runs(passage) & rows] == []


def test_no_line_of_the_corpus_is_close_to_a_row(
    narratives: ModuleType, train: list[dict[str, str]], heldout: list[dict[str, str]]
) -> None:
    rows = [_five_grams(row["phrase"]) for row in train + heldout]
    slot = re.compile(r"\{\w+\}")
    lines = [
        _five_grams(slot.sub("she", line))
        for lists in narratives.all_lists().values()
        for section in ("events", "sayings", "closings", "frames", "filler")
        for line in lists.get(section, [])
    ]
    closest = max(_jaccard(line, row) for line in lines if line for row in rows)
    assert closest < 0.4


def test_the_corpus_never_labels_a_passage(passages: list[str]) -> None:
    text = "\n".join(passages)
    assert "tone" not in {word for passage in passages for word in _words(passage)}
    assert re.search(r"^\W*(sad|joy|fear|surprise)\W*$", text, re.IGNORECASE | re.MULTILINE) is None
    assert re.search(r":\s*(sad|joy|fear|surprise)\b", text, re.IGNORECASE) is None
