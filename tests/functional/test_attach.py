"""Ctrl-C and a closed terminal while a job runs elsewhere, and `olive attach`."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from olive_engine.detached_runs import run_id

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends signals")

SECONDS = 4.0
WORKFLOW = """\
input_model: {type: HfModel, model_path: base}
systems:
  away: {type: DetachedSystem, root: elsewhere}
host: away
passes:
  slow: {type: ToyScale, factor: 2, seconds: %s}
  quick: {type: ToyScale, factor: 3}
"""
OLIVE = [sys.executable, "-P", "-m", "olive_engine"]
ARGUMENTS = ["run", "workflow.yaml", "--set", "passes.quick.factor=5"]


@pytest.fixture(autouse=True)
def project(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (folder / "elsewhere").mkdir()
    (folder / "workflow.yaml").write_text(WORKFLOW % SECONDS)
    monkeypatch.setenv("OLIVE_ENGINE_HOME", str(folder / "home"))
    return folder


def started(folder: Path) -> bool:
    """Whether the slow step runs elsewhere."""
    for path in (folder / "elsewhere" / "jobs").glob("*/pid"):
        (item,) = json.loads((path.parent / "job.json").read_text())["items"] or [{}]
        if item.get("step") == "slow":
            return True
    return False


def interrupted(folder: Path, *more: str, signals: tuple[int, ...] = (signal.SIGINT,)) -> tuple[int, str]:
    """The exit code and stderr of a run that gets signals while its slow step runs."""
    process = subprocess.Popen([*OLIVE, *ARGUMENTS, *more], cwd=folder, stderr=subprocess.PIPE, text=True)
    _await(folder)
    for number in signals:
        process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    return process.returncode, stderr


def _await(folder: Path) -> None:
    deadline = time.monotonic() + 60
    while not started(folder) and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.2)


def output(folder: Path) -> str:
    return (folder / "output" / "model" / "numbers.json").read_text()


def jobs_of(folder: Path, step: str) -> int:
    described = [json.loads(path.read_text()) for path in (folder / "elsewhere" / "jobs").glob("*/job.json")]
    return [item.get("step") for job in described for item in job["items"]].count(step)


def test_a_run_is_left_listed_and_come_back_to_from_another_folder(folder, olive, tmp_path_factory) -> None:
    code, stderr = interrupted(folder, "--on-interrupt", "detach")
    named = run_id([*ARGUMENTS, "--on-interrupt", "detach"], folder)
    assert code == 130
    assert stderr.splitlines()[-4:] == [
        "detached; finished steps are kept, and these jobs go on:",
        "  away: slow",
        "come back to them with:",
        f"  python -P -m olive_engine attach {named}",
    ]
    listed = olive("attach")
    assert listed.returncode == 0
    assert all(word in listed.stdout for word in (named, "away: slow", "olive run workflow.yaml"))
    (row,) = json.loads(olive("attach", "--json").stdout)["runs"]
    assert (row["id"], row["jobs"][0]["steps"], row["folder"]) == (named, ["slow"], str(folder))

    elsewhere = tmp_path_factory.mktemp("another")
    back = subprocess.run([*OLIVE, "attach", named[:4]], cwd=elsewhere, capture_output=True, text=True, timeout=60)
    assert back.returncode == 0, back.stderr
    assert output(folder) == "[10.0, 20.0, 30.0]"
    assert jobs_of(folder, "slow") == 1
    assert "no run was left" in olive("attach").stdout


def test_the_same_command_comes_back_too_and_nothing_is_left_then(folder, olive) -> None:
    assert interrupted(folder, "--on-interrupt", "detach")[0] == 130
    assert olive(*ARGUMENTS).returncode == 0
    assert jobs_of(folder, "slow") == 1
    assert json.loads(olive("attach", "--json").stdout) == {"runs": []}


def test_where_nobody_can_be_asked_jobs_are_cancelled(folder, olive) -> None:
    code, stderr = interrupted(folder)
    assert code == 130
    assert "interrupted; finished steps are kept" in stderr
    assert json.loads(olive("attach", "--json").stdout) == {"runs": []}


def test_a_program_is_told_what_was_left(folder) -> None:
    process = subprocess.Popen(
        [*OLIVE, *ARGUMENTS, "--json", "--on-interrupt", "detach"], cwd=folder, stdout=subprocess.PIPE, text=True
    )
    _await(folder)
    process.send_signal(signal.SIGINT)
    stdout, _ = process.communicate(timeout=60)
    told = json.loads(stdout.splitlines()[-1])
    assert told["type"] == "Interrupted"
    assert [(job["system"], job["steps"]) for job in told["left"]] == [("away", ["slow"])]
    assert told["attach"] == run_id([*ARGUMENTS, "--json", "--on-interrupt", "detach"], folder)


def test_an_unknown_run_is_told_with_those_that_there_are(folder, olive) -> None:
    nothing = olive("attach", "abc")
    assert nothing.returncode == 1
    assert nothing.stderr == (
        "error: no run that was left is called abc (no run was left); a run that has ended, or whose engine was "
        "killed, goes on with its own command, `olive run`\n"
    )


def test_a_folder_that_has_gone_is_told(folder, olive, tmp_path_factory) -> None:
    interrupted(folder, "--on-interrupt", "detach")
    (path,) = (folder / "home" / "runs").glob("*.json")
    run = json.loads(path.read_text())
    path.write_text(json.dumps({**run, "folder": str(folder / "gone")}))
    path.rename(path.with_name(f"{run_id(run['arguments'], folder / 'gone')}.json"))
    told = olive("attach", run_id(run["arguments"], folder / "gone"))
    assert told.returncode == 1
    assert f"error: the folder {folder / 'gone'}, where `olive run workflow.yaml" in told.stderr


def test_where_the_run_cannot_be_written_down_the_command_itself_is_named(folder) -> None:
    (folder / "home").write_text("no folder")
    code, stderr = interrupted(folder, "--on-interrupt", "detach")
    assert code == 130
    assert "`olive attach` will not know of this run: " in stderr
    assert stderr.splitlines()[-4:] == [
        "detached; finished steps are kept, and these jobs go on:",
        "  away: slow",
        "come back to them with:",
        "  python -P -m olive_engine run workflow.yaml --set passes.quick.factor=5 --on-interrupt detach",
    ]


def test_what_was_typed_is_for_the_user_s_eyes_alone(folder) -> None:
    interrupted(folder, "--on-interrupt", "detach")
    assert (folder / "home" / "runs").stat().st_mode & 0o077 == 0


# --- in a terminal ----------------------------------------------------------------------------------------------------


class Terminal:
    """A run on a real terminal."""

    def __init__(self, folder: Path) -> None:
        self.master, slave = pty.openpty()
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "30"}
        self.process = subprocess.Popen(
            [*OLIVE, *ARGUMENTS], cwd=folder, env=environment, stdin=slave, stdout=slave, stderr=slave
        )
        os.close(slave)
        self.shown = ""

    def read(self, until: str | None = None) -> None:
        """Take what is shown, until it has some words, or its end."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and (until is None or until not in self.text):
            if not select.select([self.master], [], [], 0.1)[0]:
                continue
            try:
                part = os.read(self.master, 4096)
            except OSError:  # Linux's way of saying that the other side is closed
                return
            if not part:
                return
            self.shown += part.decode()

    @property
    def text(self) -> str:
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.shown).replace("\r\n", "\n")

    def type(self, answer: str) -> None:
        os.write(self.master, f"{answer}\n".encode())


@pytest.mark.parametrize(("answers", "left"), [(["d"], True), (["", None], False), (["x", "detach"], True)])
def test_the_user_is_asked(folder, olive, answers, left) -> None:
    terminal = Terminal(folder)
    terminal.read("slow")
    _await(folder)
    terminal.process.send_signal(signal.SIGINT)
    terminal.read("come back with `olive attach`? [c]:")
    for answer in filter(lambda each: each is not None, answers):
        terminal.type(answer)
        if answer == "x":
            terminal.read("expected c (cancel) or d (detach), found x")
    terminal.read()
    assert terminal.process.wait(30) == 130
    assert "this job can go on without olive:\n  away: slow\n" in terminal.text
    assert ("olive_engine attach" in terminal.text) is left
    assert bool(json.loads(olive("attach", "--json").stdout)["runs"]) is left


def test_ctrl_c_at_the_question_cancels(folder, olive) -> None:
    terminal = Terminal(folder)
    terminal.read("slow")
    _await(folder)
    terminal.process.send_signal(signal.SIGINT)
    terminal.read("come back with `olive attach`? [c]:")
    terminal.process.send_signal(signal.SIGINT)
    terminal.read()
    assert terminal.process.wait(30) == 130
    assert json.loads(olive("attach", "--json").stdout) == {"runs": []}


@pytest.mark.parametrize("late", [False, True])
def test_a_closed_terminal_leaves_the_jobs(folder, olive, late) -> None:
    text = (folder / "workflow.yaml").read_text()
    (folder / "workflow.yaml").write_text(text.replace("factor: 3", "factor: 3, seconds: 1, input: input_model"))
    terminal = Terminal(folder)
    terminal.read("slow")
    _await(folder)
    os.close(terminal.master)
    if late:  # meanwhile there is something to tell
        time.sleep(1.5)
    terminal.process.send_signal(signal.SIGHUP)  # the test's terminal is not the process's controlling one
    terminal.process.send_signal(signal.SIGHUP)
    assert terminal.process.wait(30) == 130
    (row,) = json.loads(olive("attach", "--json").stdout)["runs"]
    assert olive("attach", row["id"]).returncode == 0
    assert jobs_of(folder, "slow") == 1
    assert (folder / "output" / "slow" / "model" / "numbers.json").read_text() == "[2.0, 4.0, 6.0]"
