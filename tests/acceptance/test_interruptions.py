"""A training that is killed, stopped by hand, or wanted twice at once."""

import json
import signal
import subprocess
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import psutil

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


def test_a_training_interrupted_in_every_way_goes_on_and_ends_with_the_same_bytes(
    fresh: Project, finished: Project
) -> None:
    name = fresh.write(unmeasured())
    _stopped_by_hand(fresh, name)
    _worker_killed(fresh, name)
    _engine_killed(fresh, name)
    done = fresh.olive("run", name, "--json")
    assert done.returncode == 0, done.stderr
    assert training_steps(done.stdout)[0] > 3 * SAVE_STEPS
    assert statuses(done.stdout) == {"reused": ["data:train"], "finished": ["lora", "merge", "int4"]}
    assert tree_bytes(fresh.folder / "output" / "model") == tree_bytes(finished.folder / "output" / "model")
    assert fresh.step("lora")["output"] == finished.step("lora")["output"]
    assert checkpoint(fresh) is None, "a finished training keeps no checkpoint"


def _stopped_by_hand(project: Project, name: str) -> None:
    """Ctrl-C after the first checkpoint: what was done is kept, and the user is told how to go on."""
    process = project.start("run", name, "--json")
    wait_for_next_checkpoint(project, process)
    started = workers(process)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert statuses(stdout) == {"finished": ["data:train"]}
    assert training_steps(stdout)[0] == 1
    assert events(stdout)[-1]["type"] == "Interrupted"
    assert stderr.splitlines()[-1].split() == ["python", "-P", "-m", "olive_engine", "run", name, "--json"]
    assert "Traceback" not in stderr
    assert started
    assert not psutil.wait_procs(started, timeout=1)[1]
    assert not (project.folder / "output").exists()


def _worker_killed(project: Project, name: str) -> None:
    """As the operating system does when memory runs out."""
    process = project.start("run", name, "--json")
    wait_for_next_checkpoint(project, process)
    for worker in workers(process):
        worker.kill()
    stdout, stderr = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "error: lora: its worker was killed (signal 9)" in stderr
    assert statuses(stdout) == {"reused": ["data:train"], "failed": ["lora"], "skipped": ["merge", "int4"]}
    assert training_steps(stdout)[0] > SAVE_STEPS, "it went on from the checkpoint"
    assert project.report()["status"] == "failed"
    assert not (project.folder / "output" / "model").exists()


def _engine_killed(project: Project, name: str) -> None:
    """Its workers end with it."""
    process = project.start("run", name, "--json")
    wait_for_next_checkpoint(project, process)
    orphans = workers(process)
    process.kill()
    stdout, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == -signal.SIGKILL
    assert training_steps(stdout)[0] > 2 * SAVE_STEPS, "it went on from the next checkpoint"
    assert orphans
    assert not psutil.wait_procs(orphans, timeout=PATIENCE)[1]


def test_two_runs_at_once_do_the_work_once(project: Project) -> None:
    tree: Tree = unmeasured()
    tree["passes"]["int4"]["int4_algo_config"] = "rtn"
    name = project.write(tree, "both.json")
    runs = [project.start("run", name, "--json", "--output-dir", "both") for _ in range(2)]
    said = [run.communicate(timeout=PATIENCE) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], said
    computed = [statuses(stdout).get("finished", []) for stdout, _ in said]
    assert sorted(computed) == [[], ["int4"]]
    for stdout, _ in said:
        assert events(stdout)[-1]["models"]["int4"]["model_path"] == str(project.folder / "both" / "model")
    assert project.report("both")["status"] == "done"
    lock = json.loads((project.folder / "both" / "workflow.lock.json").read_text())
    files = {
        f"model/{path}": sha256(data).hexdigest()
        for path, data in tree_bytes(project.folder / "both" / "model").items()
    }
    assert files == {path: digest for path, digest in lock["files"].items() if path.startswith("model/")}
    assert "model/model.onnx" in files
