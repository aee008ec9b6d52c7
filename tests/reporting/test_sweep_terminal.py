"""What a search looks like in a terminal."""

import io
import re
from collections.abc import Callable

import pytest
from rich.console import Console

from olive_engine.reporting.console import console
from olive_engine.reporting.events import RunEvent, SweepBegan, TrialEnded
from olive_engine.reporting.sweep import Sweep
from olive_engine.reporting.sweep_view import SweepView, chosen
from olive_engine.reporting.terminal import Terminal
from olive_engine.reporting.trials import Scheme, TrialRow, ranked
from tests.reporting.conftest import Clock
from tests.reporting.sweeps import sweep


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def terminal_of_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)


def kept(text: str) -> list[str]:
    """The lines that stay when all that is drawn live has been wiped."""
    screen: list[str] = []
    at = 0
    for line in re.split(r"\n", re.sub(r"\x1b\[\??[0-9;]*[hlm]", "", text)):
        ups = line.count("\x1b[1A")
        rest = re.sub(r"\x1b\[[0-9]*[A-Z]", "", line).rpartition("\r")[2]
        at -= ups
        if ups:
            del screen[at:]
        screen[at:] = [rest.rstrip()]
        at += 1
    return screen


@pytest.fixture
def played(clock: Clock) -> Callable[..., str]:
    def at_level(level: int = 1, until: type[RunEvent] | None = None) -> str:
        started, stream = clock.now, Tty()

        def tick(seconds: float) -> float:
            clock.now += seconds
            return clock.now - started

        with console(stream, level, clock) as reporter:
            assert isinstance(reporter, Terminal)
            for event in sweep(tick, trials=6, doomed=5):
                reporter.on_event(event)
                if until is not None and isinstance(event, until):
                    break
        return stream.getvalue()

    return at_level


FAILED = [
    "  ✗ trial 5               the loss became nan at step 7 of 120; a smaller",
    "                          learning_rate may help, and so may a longer warmup",
]
WARNED = [
    "  · data:train            warning: 3 rows were cut",
    "  · tune#0@0.125          warning: the rank is more than the data needs",
]


def test_what_stays_of_a_search(played: Callable[..., str]) -> None:
    assert [line for line in kept(played()) if line] == [
        "Sweep over r, learning_rate, per_device_train_batch_size: 6 trials",
        "  trials are judged by eval_loss at 12.5 %, 25 %, 50 % of their training",
        "  those that come to their end are compared by accuracy_score",
        "  study 5f1e09ac in cache/studies/5f1e09ac.journal",
        *WARNED,
        *FAILED,
        "  trial   r       lr  …batch_size  trained  eval_loss  …score  state",
        "     4*   2  1.4e-04            8    100 %      0.950  0.8040  complete",
        "     3   16  1.1e-04            4    100 %      1.000  0.8030  complete",
        "     2    8  8.5e-05           12   12.5 %      1.750          pruned at 12.5 %",
        "     1    4  6.5e-05            8   12.5 %      1.800          pruned at 12.5 %",
        "     0    2  5.0e-05            4   12.5 %      1.850          pruned at 12.5 %",
        "     5    4  1.9e-04           12                              failed",
        "6 trials: 2 complete, 3 pruned, 1 failed in 0:28; best: trial 4 (accuracy_score",
        "0.804)",
    ]


def test_the_cursor_comes_back(played: Callable[..., str]) -> None:
    text = played()
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")


def test_a_search_that_is_cut_short_keeps_its_trials(played: Callable[..., str]) -> None:
    text = played(until=TrialEnded)
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
    assert [line for line in kept(text) if line][-8:] == [
        "  trial   r  learning_rate  per_device_train_batch_size  trained  state",
        "     0    2        5.0e-05                            4   12.5 %  waiting",
        "     1    4        6.5e-05                            8   12.5 %  waiting",
        "     2    8        8.5e-05                           12   12.5 %  waiting",
        "     3   16        1.1e-04                            4   12.5 %  waiting",
        "     4    2        1.4e-04                            8   12.5 %  waiting",
        "     5    4        1.9e-04                           12           failed",
        "Stopped after 0:08: 1 of 6 trials ended",
    ]


def test_levels(played: Callable[..., str]) -> None:
    quiet = played(level=2)
    assert "\x1b[?25l" not in quiet
    assert [line for line in kept(quiet) if line][:4] == [*WARNED, *FAILED]
    assert len([line for line in kept(quiet) if line]) == 6
    assert [line for line in kept(played(level=3)) if line] == FAILED
    assert played(level=4) == ""


def test_debug_shows_steps_and_the_traceback(played: Callable[..., str]) -> None:
    lines = kept(played(level=0))
    at = next(index for index, line in enumerate(lines) if line.startswith("  ✗ tune#5@0.125"))
    assert lines[at + 2 : at + 4] == ["    Traceback: …", "    Diverged: nan"]
    assert sum(line.startswith("  ✓ tune#") for line in lines) == 5 + 2 * 3


def test_failures_are_red_and_no_color_is_honoured(played: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b[1;31m✗" in played()
    monkeypatch.setenv("NO_COLOR", "1")
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", played())


# --- the live part ------------------------------------------------------------------------------------------------


@pytest.fixture
def view(clock: Clock) -> Callable[[float], SweepView]:
    def at(seconds: float, trials: int = 16) -> SweepView:
        """The made-up search after that time."""
        started = clock.now

        class Late(Exception):
            pass

        def tick(passed: float) -> float:
            if clock.now + passed - started > seconds:
                raise Late
            clock.now += passed
            return clock.now - started

        found = None
        try:
            for event in sweep(tick, trials):
                found = Sweep(event, clock.now) if isinstance(event, SweepBegan) else found
                assert found is not None
                found.follow(event, clock.now)
        except Late:
            pass
        assert found is not None
        return SweepView(found, clock)

    return at


def render(shown: SweepView, width: int, height: int = 30, encoding: str = "utf-8") -> list[str]:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="replace", newline="")
    Console(file=stream, width=width, height=height, force_terminal=False).print(shown)
    stream.seek(0)
    return [re.sub("[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏]", "@", line.rstrip()) for line in stream.read().splitlines()]


def test_live_lines_at_80_columns(view: Callable[[float], SweepView]) -> None:
    assert render(view(20), 80) == [
        "     trial   r       lr  …size         trained  …loss  state",
        "  -     0    2  5.0e-05      4  ━───────  12 %  1.850  pruned at 12.5 %",
        "  -     1    4  6.5e-05      8  ━───────  12 %  1.800  pruned at 12.5 %",
        "  -     2    8  8.5e-05     12  ━───────  12 %  1.750  pruned at 12.5 %",
        "  -     3   16  1.1e-04      4  ━───────  12 %  1.700  pruned at 12.5 %",
        "  -     4    2  1.4e-04      8  ━───────  12 %  1.650  pruned at 12.5 %",
        "  -     5    4  1.9e-04     12  ━───────  12 %  1.600  pruned at 12.5 %",
        "  -     6    8  2.4e-04      4  ━───────  12 %  1.550  pruned at 12.5 %",
        "  -     7   16  3.1e-04      8  ━───────  12 %  1.500  pruned at 12.5 %",
        "  @     8    2  4.1e-04     12  ━━──────  19 %  1.450  loss 1.45 · 3,480 tok/s",
        "  @     9    4  5.3e-04      4  ━━──────  19 %  1.400  loss 1.4 · 3,490 tok/s",
        "  @    10    8  6.9e-04      8  ━━──────  19 %  1.350  loss 1.35 · 3,500 tok/s",
        "       11*  16  9.0e-04     12  ━───────  12 %  1.300  waiting",
        "       12    2  1.2e-03      4  ━───────  12 %  1.350  waiting",
        "       13    4  1.5e-03      8  ━───────  12 %  1.400  waiting",
        "       14    8  2.0e-03     12  ━───────  12 %  1.450  waiting",
        "  ✗    15   16  2.6e-03      4  ────────   0 %         failed",
        "  9 of 16 trials ended · rung 25 % · 0:20 · about 0:22 left",
    ]


def test_live_lines_at_120_columns(view: Callable[[float], SweepView]) -> None:
    lines = render(view(44), 120)
    assert [line[:45] for line in lines[:1] + lines[11:14]] == [
        "     trial   r  learning_rate  …batch_size   ",
        "  ✓    10*   8        6.9e-04            8  ━",
        "  @    11   16        9.0e-04           12  ━",
        "  -    12    2        1.2e-03            4  ━",
    ]
    assert [line[44:] for line in lines[:1] + lines[11:14]] == [
        "               trained  eval_loss  accuracy_score  state",
        "━━━━━━━━━━━━━━━━ 100 %      0.650          0.8100  complete",
        "━━━━━━━━━━━━━━━━ 100 %      0.600                  accuracy 40/128 answers",
        "━━━━━━━━────────  50 %      1.050                  pruned at 50 %",
    ]
    assert lines[-1] == "  15 of 16 trials ended · rung 100 % · 0:44"


def test_shared_steps_have_a_line(view: Callable[[float], SweepView]) -> None:
    assert render(view(1), 80)[-2:] == ["  for all trials: data:train 600/1,200 rows", "  0 of 16 trials ended · 0:01"]


def test_more_trials_than_lines(view: Callable[[float], SweepView]) -> None:
    lines = render(view(20), 80, height=12)
    assert [line.split()[:2] for line in lines[1:8]] == [
        ["@", "8"], ["@", "9"], ["@", "10"], ["11*", "16"], ["12", "2"], ["13", "4"], ["14", "8"],
    ]  # fmt: skip
    assert lines[8] == "  … and 9 more (8 pruned, 1 failed)"
    assert len(lines) == 10


def test_no_frame_is_wider_or_higher_than_the_terminal(view: Callable[[float], SweepView]) -> None:
    for seconds in (0, 1, 5, 20, 44, 99):
        shown = view(seconds)
        for width in (40, 52, 80, 100, 200):
            for height in (6, 10, 24, 60):
                lines = render(shown, width, height)
                assert max(map(len, lines)) <= width
                assert len(lines) < height


def test_bars_where_the_encoding_has_none(view: Callable[[float], SweepView]) -> None:
    lines = render(view(20), 80, encoding="ascii")
    assert lines[9].split()[5:7] == ["##......", "19"]


def test_those_at_work_and_the_best_are_shown_first() -> None:
    scheme = Scheme((), (("loss", False),))
    states = ["failed", "pruned", "complete", "complete", "running", "waiting", "running", "complete"]
    rows = [
        TrialRow(trial, {}, state, {}, (float(trial),) if state == "complete" else ())  # type: ignore[arg-type]  # a state
        for trial, state in enumerate(states)
    ]
    for room, numbers in {3: [2, 4, 6], 4: [2, 4, 5, 6], 6: [2, 3, 4, 5, 6, 7], 8: list(range(8))}.items():
        shown, rest = chosen(rows, ranked(rows, scheme), room)
        assert [row.trial for row in shown] == numbers
        assert len(shown) + len(rest) == 8
