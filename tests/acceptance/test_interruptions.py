"""A training that is killed, stopped by hand, or wanted twice at once."""

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.acceptance.conftest import SAVE_STEPS, Project, Tree, events, tree_bytes, unmeasured

PATIENCE = 100.0
"""Seconds to wait for something that takes two on an idle machine."""


def wait_for(what: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    """Wait until `what` holds, while the process runs."""
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert process.poll() is None, f"it was over before: {process.communicate()}"
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.002)


def checkpoint(project: Project) -> Path | None:
    """The training's checkpoint, where there is one."""
    return next((project.folder / ".olive-cache" / "state").glob("*/trial.safetensors"), None)


def workers(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    """The workers of an engine."""
    return [child for child in psutil.Process(process.pid).children() if "olive_engine.worker" in child.cmdline()]


def training_steps(stdout: str) -> list[int]:
    """The optimizer steps that were reported."""
    return [event["done"] for event in events(stdout) if event["event"] == "step_progress" and event["step"] == "lora"]


def statuses(stdout: str) -> dict[str, list[str]]:
    """What became of each step, by the lines of ``--json``."""
    told: dict[str, list[str]] = {}
    for event in events(stdout):
        if event["event"] in ("step_finished", "step_failed", "step_skipped"):
            word = event["event"].removeprefix("step_")
            told.setdefault("reused" if event.get("reused") else word, []).append(event["step"])
    return told


def wait_for_next_checkpoint(project: Project, process: "subprocess.Popen[str]") -> None:
    """Wait until a checkpoint other than the one that is there now is written."""

    def stamp() -> int:
        path = checkpoint(project)
        return path.stat().st_mtime_ns if path else 0

    before = stamp()
    wait_for(lambda: stamp() != before, process)


def test_a_training_killed_twice_goes_on_and_ends_with_the_same_bytes(fresh: Project, finished: Project) -> None:
    name = fresh.write(unmeasured())

    one = fresh.start("run", name, "--json")
    wait_for_next_checkpoint(fresh, one)
    for worker in workers(one):
        worker.kill()
    stdout, stderr = one.communicate()
    assert one.returncode == 1
    assert "error: lora: its worker was killed (signal 9)" in stderr
    assert statuses(stdout) == {"finished": ["data:train"], "failed": ["lora"], "skipped": ["merge", "int4"]}
    assert fresh.report()["status"] == "failed"
    assert not (fresh.folder / "output" / "model").exists()

    two = fresh.start("run", name, "--json")
    wait_for_next_checkpoint(fresh, two)
    orphans = workers(two)
    two.kill()
    stdout, _ = two.communicate()
    assert two.returncode == -signal.SIGKILL
    assert SAVE_STEPS < training_steps(stdout)[0] <= 2 * SAVE_STEPS, "it went on from the first checkpoint"
    _, alive = psutil.wait_procs(orphans, timeout=PATIENCE)
    assert not alive

    three = fresh.olive("run", name, "--json")
    assert three.returncode == 0, three.stderr
    assert training_steps(three.stdout)[0] > 2 * SAVE_STEPS, "it went on from the second"
    assert statuses(three.stdout) == {"reused": ["data:train"], "finished": ["lora", "merge", "int4"]}
    assert tree_bytes(fresh.folder / "output" / "model") == tree_bytes(finished.folder / "output" / "model")
    assert fresh.step("lora")["output"] == finished.step("lora")["output"]
    assert checkpoint(fresh) is None, "a finished training keeps no checkpoint"


def test_ctrl_c_keeps_what_was_done_and_says_how_to_go_on(fresh: Project, finished: Project) -> None:
    name = fresh.write(unmeasured("lora"))
    process = fresh.start("run", name, "--json")
    wait_for_next_checkpoint(fresh, process)
    started = workers(process)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert statuses(stdout) == {"finished": ["data:train"]}
    assert stderr.splitlines()[-1].split() == ["python", "-P", "-m", "olive_engine", "run", name, "--json"]
    assert started
    _, alive = psutil.wait_procs(started, timeout=1)
    assert not alive
    assert not (fresh.folder / "output").exists()

    again = fresh.olive(*stderr.splitlines()[-1].split()[4:])
    assert again.returncode == 0, again.stderr
    assert training_steps(again.stdout)[0] > SAVE_STEPS
    assert statuses(again.stdout) == {"reused": ["data:train"], "finished": ["lora"]}
    assert fresh.step("lora")["output"] == finished.step("lora")["output"]


@pytest.mark.parametrize("outputs", [("one", "two"), ("same", "same")], ids=["two folders", "one folder"])
def test_two_runs_at_once_do_the_work_once(project: Project, outputs: tuple[str, str]) -> None:
    tree: Tree = unmeasured()
    tree["passes"]["int4"]["int4_algo_config"] = "rtn"
    name = project.write(tree, "both.json")
    runs = [project.start("run", name, "--json", "--output-dir", output) for output in outputs]
    said = [run.communicate(timeout=PATIENCE) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], said
    computed = [statuses(stdout).get("finished", []) for stdout, _ in said]
    assert sorted(computed) == [[], ["int4"]]
    models = [tree_bytes(project.folder / output / "model") for output in outputs]
    assert models[0] == models[1]
    assert "model.onnx" in models[0]
    for (stdout, _), output in zip(said, outputs, strict=True):
        assert events(stdout)[-1]["models"]["int4"]["model_path"] == str(project.folder / output / "model")
        assert project.report(output)["status"] == "done"
