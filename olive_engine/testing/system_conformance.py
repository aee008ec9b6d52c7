"""What every system promises, as tests.

A system's own test is a subclass that gives the fixture `system`:

class TestMySystem(SystemConformance):
    @pytest.fixture
    def system(self, tmp_path):
        system = MySystem("mine", MySystemConfig(...))
        yield system
        system.close()
"""

from __future__ import annotations

import json
import time
from importlib.metadata import version
from pathlib import Path

import pytest

from olive_engine import __version__
from olive_engine.contracts import EventLine, Handle, Metrics, Probe, Progress, Segment, System, Update
from olive_engine.errors import SystemUnavailable
from olive_engine.implementations import implementation
from olive_engine.probing import known_environment, probe
from olive_engine.store import Store
from olive_engine.testing.harness import Trial, manifest_of, output_of, run_pass, tree_of, write_job
from olive_engine.testing.toys import build_toy_model

PATIENCE = 60.0
"""Seconds that a job of milliseconds may take on a busy machine."""


def wait(handle: Handle) -> Update:
    """Poll until the job is over; the update holds all its events."""
    events: list[EventLine] = []
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        update = handle.poll()
        events += update.events
        if update.state != "running":
            return Update(update.state, tuple(events), update.detail, update.log)
        time.sleep(0.01)
    raise AssertionError(f"the job was not over after {PATIENCE} seconds")


class SystemConformance:
    """Subclass it, and give the fixture `system`."""

    isolated = True
    """Whether a job runs in a process of its own, so that its death is not the engine's."""

    @pytest.fixture
    def system(self) -> System:
        """The system under test."""
        raise NotImplementedError("give a `system` fixture")

    def test_gives_the_bytes_of_a_run_here(self, system: System, tmp_path: Path) -> None:
        """The same job gives the same result wherever it runs."""
        model = build_toy_model(tmp_path / "model", (1.0, -2.0, 0.5))
        trial = Trial({"steps": 7}, seed=3)
        here = manifest_of(run_pass(tmp_path / "here", "ToyTrain", [trial], [model])[1][0])
        handle = system.submit(write_job(tmp_path / "there", "ToyTrain", [trial], [model]))
        assert wait(handle).state == "done"
        (there,) = handle.collect(fetch=True).items
        assert manifest_of(there).digest == here.digest

    def test_a_job_comes_back_with_all_its_files(self, system: System, tmp_path: Path) -> None:
        """With `fetch` the outputs are in the job folder, whole."""
        model = build_toy_model(tmp_path / "model")
        job = write_job(tmp_path, "ToyScale", [Trial({})], [model])
        handle = system.submit(job)
        assert wait(handle).state == "done"
        (result,) = handle.collect(fetch=True).items
        tree = manifest_of(result).parts["model_path"]
        assert tree_of(job / "outputs" / "0" / "model").files == tree.files

    def test_a_segment_goes_on_where_the_last_one_ended(self, system: System, tmp_path: Path) -> None:
        """Half, then the rest from the state where the system left it: the bytes of a whole run."""
        model = build_toy_model(tmp_path / "model", (1.0, -2.0, 0.5))
        whole = manifest_of(run_pass(tmp_path / "here", "ToyTrain", [Trial({"steps": 8}, 3)], [model])[1][0])
        job = write_job(tmp_path, "ToyTrain", [Trial({"steps": 8}, 3, Segment(until=0.5))], [model])
        handle = system.submit(job)
        assert wait(handle).state == "done"
        (half,) = handle.collect(fetch=False).items
        state = manifest_of(half) if system.capabilities.keeps_outputs else output_of(job, half)
        rest = write_job(tmp_path, "ToyTrain", [Trial({"steps": 8}, 3, Segment(until=1.0), state)], [model])
        handle = system.submit(rest)
        assert wait(handle).state == "done"
        assert manifest_of(handle.collect(fetch=True).items[0]).digest == whole.digest

    def test_outputs_left_there_can_be_fetched(self, system: System, tmp_path: Path) -> None:
        """A system that keeps outputs holds them and brings them; any other gives them at once."""
        model = build_toy_model(tmp_path / "model")
        handle = system.submit(write_job(tmp_path, "ToyScale", [Trial({})], [model]))
        assert wait(handle).state == "done"
        (result,) = handle.collect(fetch=False).items
        tree = manifest_of(result).parts["model_path"]
        assert system.holds(tree) == system.capabilities.keeps_outputs
        if system.capabilities.keeps_outputs:
            system.fetch(tree, tmp_path / "fetched")
            assert tree_of(tmp_path / "fetched").files == tree.files

    def test_streams_events_or_says_so(self, system: System, tmp_path: Path) -> None:
        """The executor shows progress only where it is streamed."""
        model = build_toy_model(tmp_path / "model")
        handle = system.submit(write_job(tmp_path, "ToyTrain", [Trial({"steps": 4})], [model]))
        lines = wait(handle).events
        if not system.capabilities.streams_events:
            assert not lines
            return
        progress = [line.event for line in lines if isinstance(line.event, Progress)]
        metrics = [line.event for line in lines if isinstance(line.event, Metrics)]
        assert progress[-1].step == progress[-1].total == 4
        assert metrics[-1].values.keys() == {"eval_loss"}

    def test_a_failed_item_is_a_result(self, system: System, tmp_path: Path) -> None:
        """The job is done, one item has failed with its cause, the other is whole."""
        model = build_toy_model(tmp_path / "model")
        trials = [Trial({"misbehave": "raise"}), Trial({"factor": 3.0})]
        handle = system.submit(write_job(tmp_path, "ToyScale", trials, [model]))
        assert wait(handle).state == "done"
        failed, whole = handle.collect(fetch=True).items
        assert (failed.status, whole.status) == ("failed", "done")
        assert failed.error is not None
        assert (failed.error.type, failed.error.message) == ("RuntimeError", "asked to fail")

    def test_a_full_disk_is_a_failed_item(self, system: System, tmp_path: Path) -> None:
        """It says so in the words that the engine has for it, and the next job runs."""
        if not Path("/dev/full").exists():
            pytest.skip("this operating system has no /dev/full")
        model = build_toy_model(tmp_path / "model")
        handle = system.submit(write_job(tmp_path, "ToyScale", [Trial({"misbehave": "fill the disk"})], [model]))
        assert wait(handle).state == "done"
        (failed,) = handle.collect(fetch=True).items
        assert (failed.status, failed.output) == ("failed", None)
        assert failed.error is not None
        assert failed.error.message.startswith("there is no space left on the disk of ")
        assert wait(system.submit(write_job(tmp_path, "ToyScale", [Trial({})], [model]))).state == "done"

    def test_a_dead_worker_is_a_lost_job(self, system: System, tmp_path: Path) -> None:
        """The engine hears that the job was lost, and why; the next job runs."""
        if not self.isolated:
            pytest.skip("a job's death is the engine's own here")
        model = build_toy_model(tmp_path / "model")
        handle = system.submit(write_job(tmp_path, "ToyScale", [Trial({"misbehave": "kill"})], [model]))
        update = wait(handle)
        assert update.state == "lost"
        assert "9" in update.detail
        assert wait(system.submit(write_job(tmp_path, "ToyScale", [Trial({})], [model]))).state == "done"

    def test_a_running_job_can_be_stopped(self, system: System, tmp_path: Path) -> None:
        """After `stop` nothing of the job runs."""
        if not system.capabilities.can_stop:
            pytest.skip("the system declares that it cannot stop a job")
        model = build_toy_model(tmp_path / "model")
        handle = system.submit(write_job(tmp_path, "ToyScale", [Trial({"seconds": 30.0})], [model]))
        time.sleep(0.5)
        started = time.monotonic()
        handle.stop()
        assert time.monotonic() - started < 15
        assert handle.poll().state in ("done", "lost")

    def test_jobs_overlap_up_to_the_declared_number(self, system: System, tmp_path: Path) -> None:
        """`max_parallel` jobs are taken at once."""
        if system.capabilities.max_parallel < 2:
            pytest.skip("one job at a time")
        model = build_toy_model(tmp_path / "model")
        jobs = [write_job(tmp_path, "ToyScale", [Trial({"seconds": 1.0})], [model]) for _ in range(2)]
        handles = [system.submit(job) for job in jobs]
        assert [handle.poll().state for handle in handles] == ["running", "running"]
        assert [wait(handle).state for handle in handles] == ["done", "done"]

    def test_imports_come_from_the_installed_engine(
        self, system: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A poisoned PYTHONPATH and a folder named like us in the working directory change nothing."""
        for place in ("decoy", "poison"):
            (tmp_path / place / "olive_engine").mkdir(parents=True)
            (tmp_path / place / "olive_engine" / "__init__.py").write_text("raise SystemExit('decoy')")
        monkeypatch.chdir(tmp_path / "decoy")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / "poison"))
        model = build_toy_model(tmp_path / "model")
        assert wait(system.submit(write_job(tmp_path, "ToyScale", [Trial({})], [model]))).state == "done"

    def test_another_protocol_is_refused_in_words(self, system: System, tmp_path: Path) -> None:
        """An engine and a worker of different versions must not misread each other."""
        model = build_toy_model(tmp_path / "model")
        job = write_job(tmp_path, "ToyScale", [Trial({})], [model])
        described = json.loads((job / "job.json").read_text())
        (job / "job.json").write_text(json.dumps({**described, "protocol": 99}))
        try:
            handle = system.submit(job)
        except SystemUnavailable as error:
            assert "protocol 99" in str(error)  # noqa: PT017 - a system may refuse at once or lose the job
            return
        update = wait(handle)
        assert update.state == "lost"
        if system.capabilities.streams_events:
            assert "protocol 99" in update.detail

    def test_tells_its_environment_or_is_probed_for_it(self, system: System, tmp_path: Path) -> None:
        """Versions and code come from the system itself, or from a probe job; equal environments give equal answers."""
        said: list[str] = []
        system.prepare(said.append)
        told = system.environment(("pydantic",))
        if told is None:
            assert system.environment_id == system.environment_id != ""
            asked = Probe(
                packages=("pydantic", "no-such-package"), steps=(("pass", "ToyScale"), ("pass", "NoSuchPass"))
            )
            told = probe(system, asked, Store(tmp_path / "cache"), said.append)
            assert told.implementations == {"pass:ToyScale": implementation("pass", "ToyScale")}
            assert known_environment(system, asked, Store(tmp_path / "cache")) == told
        assert told.packages["pydantic"] == version("pydantic")
        assert "no-such-package" not in told.packages
        assert told.engine == __version__

    def test_goes_on_without_the_engine_or_says_so(self, system: System, tmp_path: Path) -> None:
        """A job whose handle is lost is found again by its folder, still running or over."""
        model = build_toy_model(tmp_path / "model")
        job = write_job(tmp_path, "ToyScale", [Trial({"seconds": 0.5})], [model])
        assert system.attach(job) is None
        handle = system.submit(job)
        again = system.attach(job)
        if not system.capabilities.outlives_engine:
            assert again is None
            wait(handle)
            return
        while again is None and handle.poll().state == "running":  # its inputs may still be on their way
            time.sleep(0.01)
            again = system.attach(job)
        assert again is not None
        assert wait(again).state == "done"
        (result,) = again.collect(fetch=True).items
        assert result.status == "done"
        assert (job / "outputs" / "0" / "model" / "numbers.json").read_text() == "[2.0, 4.0, 6.0]"
        assert wait(handle).state == "done"

    def test_declares_itself(self, system: System) -> None:
        """Capabilities and resources make sense together."""
        assert system.capabilities.max_parallel >= 1
        assert system.resources.device in system.capabilities.accelerators
