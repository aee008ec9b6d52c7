"""What a run says at Ctrl-C while it stops."""

import signal
import sys
import time
from collections.abc import Iterator

import click
import pytest

from olive_engine.cli import interrupts
from olive_engine.cli.group import olive
from olive_engine.cli.interrupts import Interrupts
from olive_engine.cli.session import Session
from olive_engine.errors import LeftRunning
from olive_engine.reporting.reporter import Reporter

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")


class Screen(Reporter):
    """Knows whether something is drawn."""

    drawn = True

    def pause(self) -> None:
        self.drawn = False


@pytest.fixture(autouse=True)
def command() -> Iterator[None]:
    with click.Context(olive, obj=Session("olive", ("run", "w.yaml"))):
        yield


def stop(seconds: float, way: str = "ask", times: int = 1) -> Screen:
    """A run that is interrupted, and takes so long to stop each time."""
    screen = Screen()
    with Interrupts(way, screen).watching():
        for _ in range(times):
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
            time.sleep(seconds)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    return screen


@pytest.mark.parametrize("times", [1, 2])
def test_what_takes_longer_is_told_once(
    times: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(interrupts, "PATIENCE", 0.05)
    assert not stop(0.3, times=times).drawn
    assert capsys.readouterr().err == "stopping …\n"


def test_what_takes_a_moment_is_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert stop(0.01).drawn
    time.sleep(interrupts.PATIENCE)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("way", "told"), [("ask", "stopping …\n"), ("cancel", "stopping …\n"), ("detach", "")])
def test_jobs_elsewhere_are_told_to_be_stopped_at_once(
    way: str, told: str, capsys: pytest.CaptureFixture[str], tmp_path
) -> None:
    goes_on = Interrupts(way, Screen()).detach([LeftRunning("aml", ("tune",), tmp_path)])
    assert goes_on == (not told)  # nobody can be asked here
    assert capsys.readouterr().err == told


def test_another_handler_is_left_alone() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interrupts("ask", Screen()).watching():
            assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
