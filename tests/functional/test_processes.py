"""The command as a process: streams, signals, pipes."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest


def test_exit_codes(olive) -> None:
    assert olive("run", "workflow.yaml").returncode == 0
    assert olive("run", "workflow.yaml", "--set", "passes.triple.misbehave=raise").returncode == 1
    assert olive("run", "nowhere.yaml").returncode == 2
    assert olive("run").returncode == 2


def test_output_in_a_pipe_has_no_escape_sequences(olive) -> None:
    for arguments in (["run", "workflow.yaml"], ["plan", "workflow.yaml"], ["passes"], ["validate", "nowhere.yaml"]):
        done = olive(*arguments)
        assert "\x1b" not in done.stdout + done.stderr
        assert "\r" not in done.stdout + done.stderr


def test_a_dead_worker_is_told_in_a_sentence(olive) -> None:
    done = olive("run", "workflow.yaml", "--set", "passes.double.misbehave=kill")
    assert done.returncode == 1
    assert "error: double: " in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_debug_says_which_steps_a_debugger_does_not_reach(folder: Path, olive) -> None:
    (folder / "elsewhere").mkdir()
    away = ("--set", "systems.away={type: DetachedSystem, root: elsewhere}", "--set", "passes.other.host=away")
    done = olive("run", "workflow.yaml", "--debug", *away)
    assert done.returncode == 0
    assert done.stderr.splitlines()[0] == (
        "--debug: 1 step runs on away, where no debugger reaches; only steps of a LocalSystem run in this process, one "
        "at a time"
    )
    assert "reaches" not in olive("run", "workflow.yaml", "--debug").stderr
    assert "reaches" not in olive("plan", "workflow.yaml", *away).stderr


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_ctrl_c_says_how_to_go_on_and_the_same_command_does(folder: Path) -> None:
    words = [sys.executable, "-P", "-m", "olive_engine", "run", "workflow.yaml", "--cache-dir", "the cache", "--json"]
    slow = [*words, "--set", "passes.triple.seconds=30"]
    process = subprocess.Popen(slow, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    while json.loads(process.stdout.readline()).get("step") != "triple":
        pass
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert json.loads(stdout.splitlines()[-1])["type"] == "Interrupted"
    assert [line for line in stderr.splitlines() if line != "stopping …"] == [  # said where it takes a second
        "",
        "error: interrupted; finished steps are kept, and this goes on from there:",
        "  python -P -m olive_engine run workflow.yaml --cache-dir 'the cache' --json --set passes.triple.seconds=30",
    ]
    again = subprocess.run([*words, "--set", "passes.triple.seconds=0"], cwd=folder, capture_output=True, text=True)
    assert again.returncode == 0
    plan = json.loads(again.stdout.splitlines()[0])["steps"]
    assert [step["action"] for step in plan if step["step"] == "double"] == ["reuse"]


@pytest.mark.skipif(sys.platform == "win32", reason="closes the reading end of a pipe")
@pytest.mark.parametrize("arguments", [["schema"], ["systems"], ["metrics", "accuracy"], ["cache", "--help"]])
def test_a_closed_pipe_ends_the_command_quietly(folder: Path, arguments: list[str]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "olive_engine", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(timeout=30) in (0, 1)


def test_an_encoding_that_lacks_a_character_does_not_end_the_command(folder: Path) -> None:
    (folder / "wörk✓.yaml").write_text((folder / "workflow.yaml").read_text())
    done = subprocess.run(
        [sys.executable, "-X", "utf8=0", "-P", "-m", "olive_engine", "validate", "wörk✓.yaml"],
        cwd=folder,
        env={"PYTHONIOENCODING": "latin-1", "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
        capture_output=True,
    )
    assert (done.returncode, done.stdout) == (0, "wörk?.yaml is valid: 3 passes\n".encode("latin-1")), done.stderr


def test_decoy_folders_in_the_working_directory_do_no_harm(folder: Path, olive) -> None:
    for name in ("olive_engine", "click", "passes", "schemas"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("raise RuntimeError('the wrong one')")
    assert olive("validate", "workflow.yaml").stdout == "workflow.yaml is valid: 3 passes\n"
