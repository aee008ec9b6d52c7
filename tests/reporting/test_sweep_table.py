"""The trials of a search as a table, and the words in it."""

import io
import math

import pytest
from rich.console import Console

from olive_engine.reporting.sweep_columns import heads, measure_name, options_text, short_names
from olive_engine.reporting.sweep_table import sweep_table
from olive_engine.reporting.tables import Table, draw, lines
from olive_engine.reporting.trials import Scheme, TrialRow, leader, numbers, percent, ranked

LOSS = Scheme(("tune.r", "tune.training_args.learning_rate"), (("eval_loss", False),), ("eval_loss", False))
SCORED = Scheme(
    ("tune.r", "merge.dtype"), (("accuracy.accuracy_score", True), ("size_on_disk.bytes", False)), ("eval_loss", False)
)


def row(trial: int, r: int, rate: float, **others: object) -> TrialRow:
    return TrialRow(trial, {"tune.r": r, "tune.training_args.learning_rate": rate}, **others)  # type: ignore[arg-type]  # any of its fields


ROWS = [
    row(0, 4, 0.001, state="pruned", curve={0.125: 1.9}, spent=0.125),
    row(1, 16, 0.00023, state="complete", curve={0.125: 1.4, 1.0: 0.71}, values=(0.71,), spent=1.0),
    row(2, 8, 0.0005, state="complete", curve={0.125: 1.2, 1.0: 0.6543}, values=(0.6543,), spent=1.0),
    row(3, 2, 0.5, state="failed", cause="the loss became nan\nat step 7"),
    row(4, 2, 0.0005, state="running", curve={0.125: 1.5}, spent=0.2, again=3),
    row(5, 32, 0.0001),
]


def rendered(table: Table, width: int) -> list[str]:
    stream = io.StringIO()
    Console(file=stream, width=width).print(draw(table, width))
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def test_the_best_first_and_one_column_where_the_objective_is_the_yardstick() -> None:
    assert lines(sweep_table(ROWS, LOSS)) == [
        "  trial   r  learning_rate  trained  eval_loss  state",
        "     2*   8        5.0e-04    100 %      0.654  complete",
        "     1   16        2.3e-04    100 %      0.710  complete",
        "     4    2        5.0e-04     20 %      1.500  running, trial 3 again",
        "     0    4        1.0e-03   12.5 %      1.900  pruned at 12.5 %",
        "     5   32        1.0e-04                      waiting",
        "     3    2        5.0e-01                      failed",
    ]


def test_the_rest_is_counted_and_causes_are_said_where_they_are_asked_for() -> None:
    assert lines(sweep_table(ROWS, LOSS, most=2))[1:] == [
        "     2*   8        5.0e-04    100 %     0.6543  complete",
        "     1   16        2.3e-04    100 %     0.7100  complete",
        "  … and 4 more (1 running, 1 pruned, 1 failed, 1 waiting)",
    ]
    assert lines(sweep_table(ROWS, LOSS, causes=True))[-1].endswith("  failed: the loss became nan at step 7")
    assert rendered(sweep_table(ROWS, LOSS, causes=True, width=72), 72)[-1].endswith("  failed: the loss became…")


def test_several_objectives_and_what_a_trial_does_not_choose() -> None:
    rows = [
        TrialRow(0, {"tune.r": 4}, "complete", {1.0: 0.7}, (0.8125, 812_345.0), 1.0),
        TrialRow(1, {"tune.r": 8, "merge.dtype": None}, "complete", {1.0: 0.6}, (0.8125, 80_000.0), 1.0),
        TrialRow(2, {"tune.r": 8, "merge.dtype": "bfloat16"}, "complete", {1.0: 0.5}, (math.nan, 70_000.0), 1.0),
    ]
    assert lines(sweep_table(rows, SCORED, best=(1, 0))) == [
        "  trial  r  dtype     trained  eval_loss  accuracy_score  size_on_disk.bytes  state",
        "     1*  8  none        100 %     0.6000          0.8125               80 kB  complete",
        "     0*  4  -           100 %     0.7000          0.8125              812 kB  complete",
        "     2   8  bfloat16    100 %     0.5000             nan               70 kB  complete",
    ]


def test_a_loss_that_explodes_costs_the_others_no_digits() -> None:
    rows = [row(0, 4, 0.1, state="pruned", curve={0.5: 3.2e11}, spent=0.5), ROWS[1]]
    assert [line[37:46] for line in lines(sweep_table(rows, LOSS))] == ["eval_loss", "   0.7100", "  3.2e+11"]


NARROWER = {
    62: [
        "  trial   r  learning_rate  trained  eval_loss  state",
        "     2*   8        5.0e-04    100 %     0.6543  complete",
        "     1   16        2.3e-04    100 %     0.7100  complete",
        "  … and 4 more (1 running, 1 pruned, 1 failed, 1 waiting)",
    ],
    54: [
        "  trial   r       lr  trained   …loss  state",
        "     2*   8  5.0e-04    100 %  0.6543  complete",
        "     1   16  2.3e-04    100 %  0.7100  complete",
        "  … and 4 more (1 running, 1 pruned, 1 failed, 1 wait…",
    ],
    50: [
        "  trial   r  trained  eval_loss  state",
        "     2*   8    100 %     0.6543  complete",
        "     1   16    100 %     0.7100  complete",
        "  … and 4 more (1 running, 1 pruned, 1 failed, 1 …",
    ],
}


@pytest.mark.parametrize("width", NARROWER)
def test_titles_grow_short_before_options_go(width: int) -> None:
    assert rendered(sweep_table(ROWS, LOSS, most=2, width=width), width) == NARROWER[width]


def test_what_there_is_no_room_for_is_named() -> None:
    assert rendered(sweep_table(ROWS[1:3], LOSS, width=45), 45)[-1] == "  no room for learning_rate"


def test_no_line_is_wider_than_the_terminal() -> None:
    for width in range(44, 120):
        assert max(map(len, rendered(sweep_table(ROWS, LOSS, causes=True, width=width), width))) <= width


def test_no_trials_are_a_table_without_rows() -> None:
    assert lines(sweep_table([], LOSS)) == ["  trial  r  learning_rate  trained  state"]


def test_ranking_prefers_complete_then_far_then_good() -> None:
    assert [found.trial for found in ranked(ROWS, LOSS)] == [2, 1, 4, 0, 5, 3]
    assert leader(ROWS, LOSS) == 2
    assert leader(ROWS[3:], LOSS) == 4
    assert leader([ROWS[3]], LOSS) is None
    assert leader([ROWS[5]], LOSS) is None


def test_what_is_no_number_never_leads() -> None:
    broken = [TrialRow(trial, {}, "complete", {}, (math.nan,), 1.0) for trial in (0, 1)]
    assert leader(broken, SCORED) is None
    worst = TrialRow(2, {}, "complete", {}, (-1e9,), 1.0)
    assert [found.trial for found in ranked([*broken, worst], SCORED)] == [2, 0, 1]


def test_higher_is_better_where_it_is_said() -> None:
    rising = Scheme((), (("a", True), ("b", False)), ("a", True))
    rows = [TrialRow(n, {}, "complete", {}, values, 1.0) for n, values in enumerate([(0.5, 1), (0.8, 9), (0.8, 3)])]
    assert [found.trial for found in ranked(rows, rising)] == [2, 1, 0]
    judged = [TrialRow(n, {}, "running", {0.5: value}, (), 0.5) for n, value in enumerate([0.2, 0.9])]
    assert leader(judged, rising) == 1


def test_short_names() -> None:
    assert short_names(["tune.r", "tune.training_args.learning_rate", "quant"]) == {
        "tune.r": "r", "tune.training_args.learning_rate": "learning_rate", "quant": "quant",
    }  # fmt: skip
    assert short_names(["tune.r", "again.r", "quant[0].bits", "quant[1].bits"]) == {
        "tune.r": "tune.r", "again.r": "again.r", "quant[0].bits": "quant[0].bits", "quant[1].bits": "quant[1].bits",
    }  # fmt: skip


def test_titles_keep_their_ends() -> None:
    assert heads("learning_rate") == ("learning_rate", "lr")
    assert heads("train_batch_size") == ("train_batch_size", "…batch_size", "…size")
    assert heads("r") == ("r",)


def test_metrics_are_named_once() -> None:
    assert [measure_name(name) for name in ("accuracy.accuracy_score", "latency.mean", "eval_loss", "m:f1.f1")] == [
        "accuracy_score", "latency.mean", "eval_loss", "f1",
    ]  # fmt: skip


def test_options_in_a_line() -> None:
    chosen = {"tune.r": 8, "tune.lr": 0.00023, "tune.targets": ("q_proj", "v_proj"), "tune.bf16": False, "d": 0.05}
    assert options_text(chosen, {"tune.r": "r", "tune.lr": "lr"}) == (
        "r 8, lr 2.3e-04, tune.targets [q_proj, v_proj], tune.bf16 false, d 0.05"
    )


@pytest.mark.parametrize(
    ("fraction", "text"), [(0.0, "0 %"), (0.004, "0.4 %"), (0.125, "12.5 %"), (1 / 3, "33 %"), (1.0, "100 %")]
)
def test_percent(fraction: float, text: str) -> None:
    assert percent(fraction) == text


def test_trial_numbers_in_few_words() -> None:
    assert numbers([9, 3, 4, 5, 0]) == "0, 3-5, 9"
    assert numbers([]) == ""
