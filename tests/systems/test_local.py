"""What a LocalSystem does when a worker or a caller misbehaves."""

import random
import sys
import time

import pytest

from olive_engine.testing.harness import Trial, write_job
from olive_engine.testing.system_conformance import wait
from olive_engine.testing.toys import build_toy_model
from olive_systems import InProcess
from olive_systems.local import LocalSystemConfig
from olive_systems.processes import WorkerHandle, WorkerProcess, _death

LEAVES_A_CHILD = """
import os, subprocess, sys
subprocess.Popen(["sleep", "41"])
sys.stdin.readline()
os.kill(os.getpid(), 9)
"""


def test_a_child_that_holds_the_pipes_does_not_hide_a_death(tmp_path):
    process = WorkerProcess([sys.executable, "-c", LEAVES_A_CHILD], {})
    handle: WorkerHandle = process.start(tmp_path)
    started = time.monotonic()
    update = wait(handle)
    process.close()
    assert update.state == "lost"
    assert "signal 9" in update.detail
    assert time.monotonic() - started < 5
    assert process.start(tmp_path).poll().state == "lost"


def test_a_real_time_signal_has_words():
    assert "killed by signal 40" in _death(-40, ())


@pytest.mark.parametrize(
    ("name", "instead"), [("PYTHONPATH", "install the packages"), ("OMP_NUM_THREADS", "use `threads`")]
)
def test_variables_that_no_key_knows_are_refused(name, instead):
    with pytest.raises(ValueError, match=instead):
        LocalSystemConfig(environment_variables={name: "1"})


def test_a_job_in_this_process_leaves_its_random_numbers_alone(tmp_path):
    system = InProcess("here", LocalSystemConfig())
    random.seed(1)
    expected = random.random()
    random.seed(1)
    system.submit(write_job(tmp_path, "ToyScale", [Trial({})], [build_toy_model(tmp_path / "model")]))
    assert random.random() == expected
