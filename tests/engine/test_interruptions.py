"""Killed at any moment, run twice at once, stopped by hand: the next run ends as an undisturbed one does."""

import json
import signal
import subprocess
import sys
import time

import psutil
import pytest

from olive_engine import plan, run
from olive_engine.errors import Interrupted, PassFailed
from olive_engine.reporting.events import StepProgress, StepStarted
from olive_engine.reporting.recorder import Recorder
from olive_engine.reporting.reporter import Reporter
from olive_engine.store import Store
from tests.engine.conftest import TUNE, tree_bytes

DRIVER = """
import json, os, sys
from olive_engine import load_workflow, run
from olive_engine.reporting.reporter import Reporter

class Killer(Reporter):
    def __init__(self, moment):
        self.left = moment
    def on_event(self, event):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), 9)

result = run(load_workflow("workflow.json"), Killer(int(sys.argv[1])))
print(json.dumps(result.executed))
"""
EVENTS = 9
"""Events of an undisturbed run of the chain, training progress aside: plan, 3 x (started, finished), over, and some."""


def drive(project, moment=0):
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(moment)],
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def chain(project, make):
    tree = {"input_model": {"type": "HfModel", "model_path": "base"}, "passes": TUNE}
    (project / "workflow.json").write_text(json.dumps(tree))
    return make()


@pytest.fixture
def undisturbed(chain, make, project):
    run(make(cache_dir="other-cache", output_dir="undisturbed"))
    return tree_bytes(project / "undisturbed" / "model")


@pytest.mark.parametrize("moment", range(1, EVENTS))
def test_killing_the_engine_at_any_event_loses_nothing_finished(chain, undisturbed, project, moment):
    engine = drive(project, moment)
    engine.communicate()
    assert engine.returncode == -signal.SIGKILL
    assert Store(project / ".olive-cache").verify() == []
    run(chain)
    assert tree_bytes(project / "output" / "model") == undisturbed
    assert plan(chain).to_run == ()


def test_a_killed_worker_goes_on_from_its_checkpoint(make, undisturbed, project):
    killed = make({**TUNE, "tune": {"type": "ToyTrain", "stop_at": 12}})
    with pytest.raises(PassFailed, match="signal 9"):
        run(killed)
    recorder = Recorder()
    run(killed, recorder)
    steps = [event.done for event in recorder.events if isinstance(event, StepProgress)]
    assert min(steps) == 11
    assert tree_bytes(project / "output" / "model") == undisturbed


def test_two_runs_at_once_do_the_work_once(project, chain):
    slow = {"scale": {"type": "ToyScale", "seconds": 1.0}, "again": {"type": "ToyScale", "seconds": 0.5}}
    tree = {"input_model": {"type": "HfModel", "model_path": "base"}, "passes": slow}
    (project / "workflow.json").write_text(json.dumps(tree))
    engines = [drive(project) for _ in range(2)]
    printed = [engine.communicate() for engine in engines]
    assert [engine.returncode for engine in engines] == [0, 0], printed
    executed = [step for out, _ in printed for step in json.loads(out)]
    assert sorted(executed) == ["again", "scale"]
    assert (project / "output" / "model" / "numbers.json").read_text() == "[4.0, 8.0, 12.0]"


class CtrlC(Reporter):
    """Somebody who presses Ctrl-C when a step starts."""

    def __init__(self, step):
        self.step = step

    def on_event(self, event):
        if isinstance(event, StepStarted) and event.step == self.step:
            raise KeyboardInterrupt


def test_ctrl_c_stops_the_workers_and_keeps_finished_steps(make):
    before = set(psutil.Process().children(recursive=True))
    workflow = make({"quick": {"type": "ToyScale"}, "slow": {"type": "ToyScale", "seconds": 60.0}})
    with pytest.raises(Interrupted):
        run(workflow, CtrlC("slow"))
    time.sleep(0.1)
    assert set(psutil.Process().children(recursive=True)) <= before
    assert plan(workflow).to_run == ("slow",)


def test_workers_die_with_their_engine(project):
    slow = {"slow": {"type": "ToyScale", "seconds": 60.0}}
    tree = {"input_model": {"type": "HfModel", "model_path": "base"}, "passes": slow}
    (project / "workflow.json").write_text(json.dumps(tree))
    engine = drive(project)
    process = psutil.Process(engine.pid)
    deadline = time.monotonic() + 30
    while not (workers := process.children()) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    engine.kill()
    engine.communicate()
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert workers
    assert not alive
