"""Tables, and the words in them."""

import io
import math

import pytest
from rich.console import Console

from olive_engine.reporting import phrases
from olive_engine.reporting.events import PlannedStep
from olive_engine.reporting.plan import plan_heading, plan_table
from olive_engine.reporting.results import Measured, ModelScores, Score, result_table
from olive_engine.reporting.tables import Cell, Column, Table, draw, lines

MEASURED = [
    Measured("accuracy.accuracy_score", "accuracy", higher_is_better=True),
    Measured("perplexity.perplexity", "perplexity", higher_is_better=False),
    Measured("latency.mean", "latency", higher_is_better=False),
    Measured("size_on_disk.bytes", "size", higher_is_better=False, in_bytes=True),
]


def scores(accuracy: Score, perplexity: Score | None, size: int) -> dict[str, Score]:
    found = {"accuracy.accuracy_score": accuracy, "size_on_disk.bytes": Score(size)}
    return found | ({"perplexity.perplexity": perplexity} if perplexity else {})


MODELS = [
    ModelScores("input_model", scores(Score(0.2625), Score(41.234), 8_123_456)),
    ModelScores("lora", scores(Score(0.8125, goal_met=True), None, 8_935_801)),
    ModelScores("int4", scores(Score(0.2625), Score(9.9, goal_met=False), 2_123_456)),
]


def test_result_table_compares_with_the_baseline_and_marks_goals() -> None:
    assert lines(result_table(MODELS, MEASURED, "input_model")) == [
        "  model                   accuracy            perplexity              size",
        "  input_model (baseline)    0.2625                 41.23           8.12 MB",
        "  lora                    ✓ 0.8125 (+0.5500)           -           8.94 MB (+812 kB)",
        "  int4                      0.2625 (±0.0000)      ✗ 9.90 (-31.33)  2.12 MB (-6 MB)",
    ]


def test_result_table_without_a_baseline_has_no_differences() -> None:
    assert lines(result_table(MODELS[1:], MEASURED[:1], "input_model")) == [
        "  model  accuracy",
        "  lora   ✓ 0.8125",
        "  int4     0.2625",
    ]


def rendered(table: Table, width: int) -> list[str]:
    stream = io.StringIO()
    Console(file=stream, width=width).print(draw(table, width))
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def test_a_wide_terminal_shows_the_same_lines() -> None:
    table = result_table(MODELS, MEASURED, "input_model")
    assert rendered(table, 100) == lines(table)


def test_a_narrow_terminal_shows_differences_below() -> None:
    assert rendered(result_table(MODELS, MEASURED, "input_model"), 60) == [
        "  model         accuracy  perplexity       size",
        "  input_model     0.2625       41.23    8.12 MB",
        "  (baseline)",
        "  lora          ✓ 0.8125           -    8.94 MB",
        "               (+0.5500)              (+812 kB)",
        "  int4            0.2625      ✗ 9.90    2.12 MB",
        "               (±0.0000)    (-31.33)    (-6 MB)",
    ]


def test_good_and_bad_differences_have_their_colours() -> None:
    worse = [MODELS[0], ModelScores("bad", scores(Score(0.1), Score(50.0), 8_123_456))]
    styles = [[cell.note_style for cell in row[1:]] for row in result_table(worse, MEASURED, "input_model").rows]
    assert styles[1] == ["yellow", "yellow", "dim"]
    assert result_table(MODELS, MEASURED, "input_model").rows[2][2].note_style == "green"


def test_a_nan_is_shown_and_not_compared() -> None:
    models = [ModelScores("base", {"a": Score(1.0)}), ModelScores("bad", {"a": Score(math.nan)})]
    table = result_table(models, [Measured("a", "a", higher_is_better=True)], "base")
    assert lines(table)[2].split() == ["bad", "nan"]


def test_markup_in_a_text_is_text() -> None:
    table = Table((Column("why", flexible=True),), ((Cell("[red]x[/red] :smile:"),),), "… and 2 more")
    assert rendered(table, 60) == ["  why", "  [red]x[/red] :smile:", "  … and 2 more"]


def steps(run: int, reuse: int) -> list[PlannedStep]:
    reused = [PlannedStep(f"old{index}", "data", "", "reuse") for index in range(reuse)]
    return [*reused, *(PlannedStep(f"new{index}", "pass", "Toy", "run", ("no result yet",)) for index in range(run))]


@pytest.mark.parametrize(
    ("run", "reuse", "heading"),
    [
        (9, 3, "Plan: 12 steps, 9 to run, 3 reused"),
        (2, 0, "Plan: 2 steps, all to run"),
        (0, 1, "Plan: 1 step, all reused"),
        (9_000, 1_000, "Plan: 10,000 steps, 9,000 to run, 1,000 reused"),
    ],
)
def test_plan_heading(run: int, reuse: int, heading: str) -> None:
    assert plan_heading(steps(run, reuse)) == heading


def test_a_long_plan_shows_the_steps_that_run() -> None:
    table = plan_table(steps(run=60, reuse=60))
    assert [row[0].text for row in table.rows] == [f"new{index}" for index in range(50)]
    assert table.foot == "… and 70 more"
    assert len(plan_table(steps(60, 60), most=1000).rows) == 120


def test_the_system_is_shown_where_there_are_several() -> None:
    several = [
        PlannedStep("a", "pass", "Toy", "reuse", system="local"),
        PlannedStep("b", "evaluate", "accuracy", "run", ("no result yet",), system="gpu"),
    ]
    assert lines(plan_table(several)) == [
        "  step  what              where  action  why",
        "  a     Toy               local  reuse",
        "  b     measure accuracy  gpu    run     no result yet",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.412345, "0.4123"),
        (12.3456, "12.35"),
        (1234.5, "1,234"),
        (0.00002, "2e-05"),
        (0, "0"),
        (math.nan, "nan"),
        (-3.0, "-3"),
    ],
)
def test_number(value: float, text: str) -> None:
    assert phrases.number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (12.34, "12.3 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (125, "2 min 05 s"),
        (3720, "1 h 02 min"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert phrases.duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (999_600, "1 MB"), (8_123_456, "8.12 MB"), (3 * 10**15, "3e+03 TB")],
)
def test_size(count: int, text: str) -> None:
    assert phrases.size(count) == text


def test_fitting_never_cuts_a_phrase() -> None:
    told = ["loss 1.2", "0:42 left", "3,400 tok/s"]
    assert phrases.fitting(told, 100) == "loss 1.2 · 0:42 left · 3,400 tok/s"
    assert phrases.fitting(told, 20) == "loss 1.2 · 0:42 left"
    assert phrases.fitting(told, 19) == "loss 1.2"
    assert phrases.fitting(told, 3) == ""
