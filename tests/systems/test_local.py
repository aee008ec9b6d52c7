"""What a LocalSystem does when a worker or a caller misbehaves."""

import hashlib
import json
import os
import random
import sys
import time

import pytest

from olive_engine import gpus, machine, run
from olive_engine.config.draft import parse_tree
from olive_engine.contracts import Resources, Update
from olive_engine.errors import PassFailed, SystemUnavailable
from olive_engine.testing.harness import Trial, write_job
from olive_engine.testing.system_conformance import wait
from olive_engine.testing.toys import build_toy_model
from olive_systems import InProcess, LocalSystem
from olive_systems.local import LocalSystemConfig
from olive_systems.places import places
from olive_systems.processes import WorkerHandle, WorkerProcess, death_of

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
    assert "killed by signal 40" in death_of(-40, ())


@pytest.mark.parametrize(
    ("name", "instead"), [("PYTHONPATH", "install the packages"), ("OMP_NUM_THREADS", "use `threads`")]
)
def test_variables_that_no_key_knows_are_refused(name, instead):
    with pytest.raises(ValueError, match=instead):
        LocalSystemConfig(environment_variables={name: "1"})


@pytest.mark.parametrize(
    ("name", "text", "what", "hint"),
    [
        ("A", "${TOKEN}", "`${TOKEN}`", "did you mean ${env:TOKEN}?"),
        ("A", "$TOKEN", "`$TOKEN`", "did you mean ${env:TOKEN}?"),
        ("A", "${env:HOME}:${ENV:PATH}", "`${ENV:PATH}`", "did you mean ${env:PATH}?"),
        ("A", "${{ x }}", "`${{ x }}`", "a variable is written ${env:NAME}"),
        ("A_TOKEN", "${TOKEN}", "`${TOKEN}`", "did you mean ${env:TOKEN}?"),
        ("A_TOKEN", "$TOKEN", "a `$`", "a variable is written ${env:NAME}"),  # it may be a part of the secret
    ],
)
def test_what_looks_like_a_reference_and_is_none_is_doubtful(name, text, what, hint):
    (doubt,) = LocalSystem.objections(LocalSystemConfig(environment_variables={name: text}))
    assert (doubt.option, doubt.severity, doubt.hint) == (f"environment_variables.{name}", "warning", hint)
    assert doubt.what.startswith(f"{what} is passed on as it is")


def test_a_reference_and_plain_text_raise_no_doubt():
    plain = {"A": "${env:TOKEN}", "B": "${env:X:-y}", "C": "5 $", "D": "$5"}
    assert list(LocalSystem.objections(LocalSystemConfig(environment_variables=plain))) == []


def test_a_job_in_this_process_leaves_its_random_numbers_alone(tmp_path):
    system = InProcess("here", LocalSystemConfig())
    random.seed(1)
    expected = random.random()
    random.seed(1)
    system.submit(write_job(tmp_path, "ToyScale", [Trial({})], [build_toy_model(tmp_path / "model")]))
    assert random.random() == expected


@pytest.mark.parametrize("debug", [False, True])
def test_libraries_are_told_to_report_nothing(tmp_path, monkeypatch, debug):
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY")
    monkeypatch.chdir(tmp_path)
    build_toy_model(tmp_path / "model")
    wanted = {"variable": "ORT_DISABLE_TELEMETRY", "sha256": hashlib.sha256(b"1").hexdigest()}
    tree = {
        "input_model": {"type": "HfModel", "model_path": "model"},
        "passes": {"a": {"type": "ToySecret", **wanted}},
    }
    assert run(parse_tree(tree, tmp_path).raise_if_wrong(), debug=debug).executed == ("a",)
    assert "ORT_DISABLE_TELEMETRY" not in os.environ


# --- GPUs ---------------------------------------------------------------------------------------------------------

GPUS = tuple(gpus.Gpu(f"GPU {number}", 10, 10, f"GPU-{number}") for number in range(4))
ON_GPU = {"accelerators": [{"device": "gpu"}]}


@pytest.fixture
def four_gpus(monkeypatch):
    """A machine with 8 cores and four GPUs, or as many as CUDA_VISIBLE_DEVICES names by number."""

    def found(visible=None):
        visible = os.environ.get("CUDA_VISIBLE_DEVICES") if visible is None else visible
        if visible is None:
            return GPUS
        return tuple(gpus.Gpu(f"GPU {number}", 10, 10, number) for number in visible.split(",") if number)

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(gpus, "found", found)
    monkeypatch.setattr(machine, "cores", lambda: 8)


def bindings(config, seats):
    made = places(config, config.environment_variables)
    return [made.binding(seat).get("CUDA_VISIBLE_DEVICES") for seat in range(seats)]


@pytest.mark.parametrize(
    ("options", "workers", "threads", "bound"),
    [
        ({}, 4, 2, ["GPU-0", "GPU-1", "GPU-2", "GPU-3"]),
        ({"gpus": [2, 0]}, 2, 4, ["GPU-2", "GPU-0", "GPU-2"]),
        ({"gpus": [3]}, 1, 8, ["GPU-3"]),
        ({"gpus_per_job": 2}, 2, 4, ["GPU-0,GPU-1", "GPU-2,GPU-3"]),
        ({"gpus_per_job": 3}, 1, 8, ["GPU-0,GPU-1,GPU-2"]),
        ({"gpus_per_job": 4}, 1, 8, [None]),
        ({"workers": 6, "gpus": [0, 1], "threads": 1}, 6, 1, ["GPU-0", "GPU-1", "GPU-0"]),
        ({"workers": 2}, 2, 4, ["GPU-0", "GPU-1"]),
        ({"environment_variables": {"CUDA_VISIBLE_DEVICES": "3,1"}}, 2, 4, ["3", "1"]),
    ],
    ids=str,
)
def test_each_job_has_gpus_of_its_own(four_gpus, options, workers, threads, bound):
    config = LocalSystemConfig.model_validate({**ON_GPU, **options})
    assert bindings(config, len(bound)) == bound
    system = LocalSystem("here", config)
    assert system.capabilities.max_parallel == workers
    assert system.capabilities.cpu_slots == 2
    assert system.resources == Resources(threads=threads, device="gpu")
    assert system.for_many() is system
    system.prepare(print)


def test_what_the_user_lets_a_process_see_is_divided(four_gpus, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7,5,6")
    assert bindings(LocalSystemConfig.model_validate(ON_GPU), 3) == ["7", "5", "6"]
    assert bindings(LocalSystemConfig.model_validate({**ON_GPU, "gpus": [2, 1]}), 2) == ["6", "5"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({**ON_GPU, "gpus": [1, 4]}, "`gpus` names GPU 4, and 4 of them are here (they count from 0)"),
        ({**ON_GPU, "gpus": [1, 1]}, "`gpus` names a GPU twice"),
        ({**ON_GPU, "gpus": [0], "gpus_per_job": 2}, "a job takes 2 GPUs (`gpus_per_job`), and 1 can be used"),
        (
            {"accelerators": [{"device": "cpu"}], "gpus": [0]},
            "`gpus` and `gpus_per_job` say how GPUs are shared, and its accelerator is none: write {device: gpu}",
        ),
    ],
)
def test_gpus_that_cannot_be_had(four_gpus, options, sentence):
    system = LocalSystem("here", LocalSystemConfig.model_validate(options))
    with pytest.raises(SystemUnavailable) as caught:
        system.prepare(print)
    assert str(caught.value) == f"here: {sentence}"


def test_without_a_gpu_a_system_may_be_described_that_has_one(monkeypatch):
    monkeypatch.setattr(gpus, "found", lambda _visible=None: ())
    system = LocalSystem("here", LocalSystemConfig.model_validate(ON_GPU))
    assert system.capabilities.max_parallel == 1
    assert bindings(system.config, 1) == [None]


def finds(root, name, model):
    """A job that fails unless CUDA_VISIBLE_DEVICES is this."""
    digest = hashlib.sha256(name.encode()).hexdigest()
    return write_job(root, "ToySecret", [Trial({"variable": "CUDA_VISIBLE_DEVICES", "sha256": digest})], [model])


def test_workers_are_bound_and_their_successors_too(four_gpus, tmp_path):
    model = build_toy_model(tmp_path / "model")
    system = LocalSystem("here", LocalSystemConfig.model_validate({**ON_GPU, "gpus": [3, 1], "threads": 1}))

    def status(handle):
        assert wait(handle).state == "done"
        return handle.collect(fetch=True).items[0].status

    try:
        system.submit(write_job(tmp_path, "ToyScale", [Trial({"seconds": 60.0})], [model]))
        killed = system.submit(write_job(tmp_path, "ToyScale", [Trial({"misbehave": "kill"})], [model]))
        assert wait(killed).state == "lost"
        assert status(system.submit(finds(tmp_path, "GPU-1", model))) == "done"  # the successor in its seat
        assert status(system.submit(finds(tmp_path, "GPU-3", model))) == "failed"  # the same worker again
        job = finds(tmp_path, "", model)
        described = json.loads((job / "job.json").read_text())
        (job / "job.json").write_text(json.dumps({**described, "kind": "data"}))
        handle = system.submit(job)  # no data preparation at all: what counts is which worker gets it
        wait(handle)
        assert len(system._crew._cpu_workers._seats) == 1
        assert len(system._crew._workers._seats) == 2
    finally:
        system.close()


def test_data_is_prepared_beside_what_has_the_gpus(four_gpus, tmp_path, monkeypatch):
    """With two GPUs two passes run at once, and data is prepared beside them from the beginning."""
    at_once = []
    running = []

    class Slow:
        """A job that is lost after a while."""

        def __init__(self, job):
            self.kind, self.left = json.loads((job / "job.json").read_text())["kind"], 20
            running.append(self)
            at_once.append(sorted(each.kind for each in running))

        def poll(self):
            self.left -= 1
            if self.left:
                return Update("running")
            running.remove(self)
            return Update("lost", detail="lost on purpose")

        def stop(self):
            pass

    monkeypatch.setattr(LocalSystem, "submit", lambda _self, job: Slow(job))
    build_toy_model(tmp_path / "base")
    (tmp_path / "rows.jsonl").write_text('{"text": "one two"}\n')
    reading = {"data_name": "json", "data_files": "rows.jsonl"}
    datasets = [
        {
            "name": name,
            "type": "HuggingfaceContainer",
            "load_dataset_config": reading,
            "pre_process_data_config": {"max_seq_len": n},
        }
        for name, n in (("a", 8), ("b", 9), ("c", 10))
    ]
    metrics = [{"name": name, "type": "perplexity", "data_config": name} for name in "abc"]
    tree = {
        "input_model": {"type": "HfModel", "model_path": "base"},
        "systems": {"box": {"type": "LocalSystem", **ON_GPU, "gpus": [0, 1]}},
        "host": "box",
        "target": "box",
        "data_configs": datasets,
        "evaluators": {"e": {"metrics": metrics}},
        "evaluator": "e",
        "passes": {f"p{n}": {"type": "ToyScale", "factor": 1 + n, "input": "input_model"} for n in range(4)},
    }
    with pytest.raises(PassFailed) as caught:
        run(parse_tree(tree, tmp_path).raise_if_wrong())
    assert {failure.cause for failure in caught.value.failures} == {"lost on purpose"}
    assert max(kinds.count("pass") for kinds in at_once) == 2
    assert max(kinds.count("data") for kinds in at_once) == 2
    assert max(len(kinds) for kinds in at_once) == 4
