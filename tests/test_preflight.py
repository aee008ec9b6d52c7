"""What speaks against a run, told before it: each kind of doubt, on real plans of toy passes."""

import json
import struct
from pathlib import Path
from typing import NamedTuple

import pytest

from olive_engine import api, gpus, machine, providers, requirements
from olive_engine.config.draft import parse_tree
from olive_engine.contracts import Device, Environment, Known, Needs, Objection
from olive_engine.errors import InvalidWorkflow, Problem
from olive_engine.preflight import as_warnings, tell_notes
from olive_engine.registry import find_system
from olive_engine.reporting.events import Warned
from olive_engine.reporting.recorder import Recorder
from olive_engine.requirements import Requirement, read_extras, satisfies
from olive_engine.testing.toys import ToyMerge, ToyScale, ToyTrain, build_toy_model
from olive_systems.in_process import InProcess

GB = 1_000_000_000


class Usage(NamedTuple):
    """What `shutil.disk_usage` gives."""

    total: int
    used: int
    free: int


METADATA = (
    "pydantic>=2.10",
    "torch>=2.8; extra == 'cpu'",
    "peft>=0.18; extra == 'cpu'",
    "onnxruntime>=1.23; extra == 'cpu'",
    "torch>=2.8; extra == 'gpu'",
    "onnxruntime-gpu>=1.23; (sys_platform != 'darwin') and extra == 'gpu'",
    "onnxruntime-genai-cuda>=0.18; (sys_platform != 'darwin') and extra == 'gpu'",
    "onnxruntime-directml>=1.20; (sys_platform == 'win32') and extra == 'directml'",
    "ray>=2.40; extra == 'ray'",
    "pytest; extra == 'dev'",
)


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(requirements, "requires", lambda _name: list(METADATA))
    build_toy_model(tmp_path / "base")
    return tmp_path


@pytest.fixture
def versions(monkeypatch):
    """What is installed: a dict that the test fills."""
    installed: dict[str, str] = {}
    for module in (requirements, machine, providers):
        monkeypatch.setattr(module, "package_version", lambda name: installed.get(name, ""))
    return installed


def workflow(project, passes=None, **more):
    tree = {"input_model": {"type": "HfModel", "model_path": "base"}, "passes": passes or {}, **more}
    return parse_tree(tree, project).raise_if_wrong()


SCALE = {"double": {"type": "ToyScale"}}


def problems(made):
    return api.preflight(made, api.plan(made))


# --- libraries ----------------------------------------------------------------------------------------------------


def test_a_missing_library_is_refused_by_run_and_told_by_plan(project, versions, monkeypatch):
    monkeypatch.setattr(ToyScale, "requires", ("torch", "peft"))
    versions["torch"] = "2.13.0+cpu"
    made = workflow(project, SCALE)
    expected = Problem(("systems", "local"), "peft is not installed there", 'pip install "olive-engine[cpu]"')
    assert problems(made) == (expected,)
    assert [problem.severity for problem in as_warnings(problems(made))] == ["warning"]
    with pytest.raises(InvalidWorkflow) as refused:
        api.run(made)
    assert refused.value.problems == (expected,)
    assert not (project / "output").exists()


@pytest.mark.parametrize(
    ("system", "hint"),
    [
        (
            {"type": "PythonEnvironment", "python_environment_path": "env"},
            '/env/python -m pip install "olive-engine[cpu]"',
        ),
        ({"type": "PythonEnvironment", "requirements": []}, 'add to its `requirements`: "olive-engine[cpu]"'),
        (
            {"type": "Docker", "image_name": "own"},
            'add to the image\'s Dockerfile: RUN pip install "olive-engine[cpu]"',
        ),
    ],
    ids=["given", "made", "image"],
)
def test_what_to_do_about_a_missing_library_depends_on_the_place(project, monkeypatch, system, hint):
    monkeypatch.setattr(ToyScale, "requires", ("torch",))
    there = Environment(engine="1", python="3.11", machine="m", packages={}, executable="/env/python")
    cls = find_system(system["type"])
    monkeypatch.setattr(cls, "environment", lambda self, packages: there)
    (found,) = problems(workflow(project, SCALE, systems={"far": system}, host="far"))
    assert found == Problem(("systems", "far"), "torch is not installed there", hint)


def test_all_that_is_missing_or_unfit_on_a_system_is_one_problem_with_one_line(project, versions, monkeypatch):
    monkeypatch.setattr(ToyScale, "requires", ("torch", "onnxruntime|onnxruntime-gpu"))
    monkeypatch.setattr(ToyTrain, "requires", ("torch", "peft", "ray", "of-a-plugin"))
    monkeypatch.setattr(ToyTrain, "extra", "ray")
    versions["torch"] = "2.7.1"
    (found,) = problems(workflow(project, {"a": {"type": "ToyScale"}, "b": {"type": "ToyTrain"}}))
    assert found.what == (
        "of-a-plugin, onnxruntime, peft, ray are not installed there, and torch 2.7.1 is installed there, "
        "and >=2.8 is needed"
    )
    assert found.hint == 'pip install "olive-engine[cpu,ray]" "of-a-plugin" "peft>=0.18" "torch>=2.8"'


def test_each_system_has_its_own_problem(project, versions, monkeypatch):
    monkeypatch.setattr(ToyScale, "requires", ("peft",))
    systems = {name: {"type": "LocalSystem"} for name in ("here", "there")}
    passes = {"a": {"type": "ToyScale", "host": "here"}, "b": {"type": "ToyScale", "host": "there"}}
    found = problems(workflow(project, passes, systems=systems))
    assert [problem.path for problem in found] == [("systems", "here"), ("systems", "there")]


def test_one_flavour_is_enough_and_its_own_bounds_count(project, versions, monkeypatch):
    monkeypatch.setattr(ToyScale, "requires", ("onnxruntime|onnxruntime-gpu",))
    made = workflow(project, SCALE)
    versions["onnxruntime-gpu"] = "1.24"
    assert problems(made) == ()
    versions["onnxruntime-gpu"] = "1.19.2"
    assert problems(made)[0].what == "onnxruntime-gpu 1.19.2 is installed there, and >=1.23 is needed"


def test_what_is_reused_needs_nothing(project, versions, monkeypatch):
    monkeypatch.setattr(ToyScale, "objections", classmethod(lambda *_: [Objection("factor", "never")]))
    made = workflow(project, SCALE)
    monkeypatch.setattr(ToyScale, "objections", classmethod(lambda *_: []))
    api.run(made)
    monkeypatch.setattr(ToyScale, "needs", classmethod(lambda *_: Needs(memory=10**18, disk=10**18)))
    assert problems(made) == ()


@pytest.mark.parametrize(
    ("found", "asked", "will_do"),
    [
        ("2.8", ">=2.8", True),
        ("2.13.0+cpu", ">=2.8", True),
        ("2.7.9", ">=2.8", False),
        ("5.0.0rc1", ">=5.0", False),
        ("2.13.0+cu130", "==2.13.0", True),
        ("3.1", ">=2.8,<3", False),
        ("2.10", "!=2.10", False),
        ("1.0", "", True),
        ("built-by-hand", ">=2", True),
    ],
)
def test_versions_are_compared_as_pip_does(found, asked, will_do):
    assert satisfies(found, asked) is will_do


def test_the_extras_are_read_for_a_platform():
    assert read_extras(METADATA, "linux")["gpu"] == (
        Requirement("torch", ">=2.8"),
        Requirement("onnxruntime-gpu", ">=1.23"),
        Requirement("onnxruntime-genai-cuda", ">=0.18"),
    )
    assert read_extras(METADATA, "linux")["directml"] == ()
    assert read_extras(METADATA, "win32")["directml"] == (Requirement("onnxruntime-directml", ">=1.20"),)
    assert read_extras(METADATA, "linux")[""] == (Requirement("pydantic", ">=2.10"),)


def test_the_real_metadata_bounds_what_passes_require():
    asked = requirements.bounds(requirements.extras())
    for name in ("torch", "transformers", "peft", "onnxruntime", "onnxruntime-genai-cuda", "datasets"):
        assert asked[name].startswith(">="), name
    assert "pytest" not in asked


# --- execution providers ------------------------------------------------------------------------------------------


@pytest.fixture
def onnx(project, versions):
    """A workflow that runs an ONNX model on providers that the test names."""
    versions.update({"onnxruntime": "1.31.1", "onnxruntime-genai": "0.18.0", "torch": "2.13"})
    versions.update(dict.fromkeys(("numpy", "peft", "safetensors", "transformers"), "9"))
    (project / "onnx").mkdir()
    (project / "onnx" / "model.onnx").write_bytes(b"weights")

    def make(*named, metric="throughput"):
        systems = {"edge": {"type": "LocalSystem", "accelerators": [{"device": "cpu", "execution_providers": named}]}}
        metrics = [{"name": "m", "type": metric}]
        return workflow(
            project,
            input_model={"type": "OnnxModel", "model_path": "onnx"},
            systems=systems,
            target="edge",
            evaluators={"e": {"metrics": metrics}},
            evaluator="e",
        )

    return make


@pytest.fixture
def module(tmp_path, monkeypatch):
    """The files of an ONNX Runtime, of the flavour that the test says."""
    folder = tmp_path / "onnxruntime"
    (folder / "capi").mkdir(parents=True)
    monkeypatch.setattr(providers, "_module_folder", lambda: folder)

    def write(flavour, *libraries):
        (folder / "capi" / "build_and_package_info.py").write_text(f"package_name = '{flavour}'\n")
        for name in libraries:
            (folder / "capi" / f"libonnxruntime_providers_{name}.so").touch()
        return folder

    return write


def test_a_provider_that_is_not_there_names_the_distribution_that_brings_it(onnx, module):
    module("onnxruntime")
    (found,) = problems(onnx("cuda", "CPUExecutionProvider", "cpu"))
    assert found.path == ("systems", "edge", "accelerators", 0, "execution_providers", 0)
    assert found.what == (
        "the ONNX Runtime there has no CUDAExecutionProvider (it has AzureExecutionProvider, CPUExecutionProvider)"
    )
    assert found.hint == (
        "pip uninstall onnxruntime onnxruntime-genai and then "
        'pip install "onnxruntime-gpu>=1.23" "onnxruntime-genai-cuda>=0.18"'
    )
    assert found.severity == "error"


def test_a_provider_counts_only_where_an_onnx_model_runs(onnx, module):
    module("onnxruntime")
    assert problems(onnx("cuda", metric="size_on_disk")) == ()
    assert problems(onnx("cpu")) == ()


def test_a_provider_that_nobody_brings(onnx, module):
    module("onnxruntime")
    (found,) = problems(onnx("FooExecutionProvider"))
    assert found.hint.startswith("no distribution is known to bring it")


def test_a_missing_runtime_is_one_problem_and_not_two(onnx, module, versions, monkeypatch):
    monkeypatch.setattr(providers, "_module_folder", lambda: None)
    del versions["onnxruntime"], versions["onnxruntime-genai"]
    (found,) = problems(onnx("cuda"))
    assert found.path == ("systems", "edge")


@pytest.mark.parametrize(
    ("flavour", "libraries", "expected"),
    [
        ("onnxruntime", (), {"Azure", "CPU"}),
        ("onnxruntime-gpu", (), {"CUDA", "Tensorrt", "CPU"}),
        ("onnxruntime-directml", (), {"Dml", "CPU"}),
        ("onnxruntime-openvino", (), {"OpenVINO", "CPU"}),
        ("of-my-own", ("cuda", "shared"), {"CUDA", "CPU"}),
    ],
)
def test_the_providers_of_each_flavour(module, versions, flavour, libraries, expected):
    found = providers.available(module(flavour, *libraries))
    assert {name.removesuffix("ExecutionProvider") for name in found} == expected
    assert found[-1] == "CPUExecutionProvider"


def test_libraries_that_an_overwritten_flavour_left_do_not_count(module, versions):
    versions.update({"onnxruntime": "1.31", "onnxruntime-gpu": "1.31"})
    assert "CUDAExecutionProvider" not in providers.available(module("onnxruntime", "cuda"))
    assert providers.flavour_in_place() == "onnxruntime"


@pytest.mark.parametrize("name", ["cuda", "CUDA", "CUDAExecutionProvider", "cudaexecutionprovider"])
def test_providers_have_short_names(name):
    assert providers.full_name(name) == "CUDAExecutionProvider"


def test_the_providers_of_this_machine_are_those_that_onnxruntime_itself_tells():
    import onnxruntime

    assert set(providers.available()) == set(onnxruntime.get_available_providers())


# --- devices ------------------------------------------------------------------------------------------------------


def test_an_objection_to_the_device_is_an_error_at_the_option(project, monkeypatch):
    def objections(cls, config, known: Known):
        yield Objection("seconds", "known from the file alone", severity="warning")
        if known.device == Device("cpu", machine.environment(()).bf16):
            yield Objection("training_args.fp16", "there is no fp16 on a CPU", "write bf16")
            yield Objection("target_modules.1", "slow", severity="warning")
            yield Objection("factor", "by the way", severity="note")

    monkeypatch.setattr(ToyScale, "objections", classmethod(objections))
    path = ("passes", "double")
    assert problems(workflow(project, SCALE)) == (
        Problem((*path, "training_args", "fp16"), "there is no fp16 on a CPU", "write bf16"),
        Problem((*path, "target_modules", 1), "slow", severity="warning"),
    )


def test_run_tells_a_warning_and_goes_on(project, monkeypatch):
    def objections(cls, config, known):
        return [Objection("factor", "slow there", severity="warning")] if known.device else []

    monkeypatch.setattr(ToyScale, "objections", classmethod(objections))
    recorder = Recorder()
    api.run(workflow(project, SCALE), recorder, debug=True)
    assert [event for event in recorder.events if isinstance(event, Warned)] == [
        Warned("passes.double.factor: slow there")
    ]


# --- room ---------------------------------------------------------------------------------------------------------


def write_weights(folder: Path, megabytes: int) -> int:
    """A safetensors file of zeros; gives the bytes of its tensors."""
    size = megabytes * 1_000_000
    header = json.dumps({"w": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}}).encode()
    with (folder / "model.safetensors").open("wb") as stream:
        stream.write(struct.pack("<Q", len(header)) + header)
        stream.truncate(8 + len(header) + size)
    return size


TUNE = {"tune": {"type": "ToyTrain"}, "merge": {"type": "ToyMerge"}}


@pytest.fixture
def disk(monkeypatch):
    """How many bytes are free on every disk."""
    free = {"bytes": 10**15}
    monkeypatch.setattr("shutil.disk_usage", lambda _path: Usage(10**15, 0, free["bytes"]))
    return free


def test_too_little_disk_for_the_results(project, disk):
    size = write_weights(project / "base", 3)
    made = workflow(project, TUNE)
    disk["bytes"] = 2 * size
    assert problems(made) == ()
    disk["bytes"] = size - 1
    (found,) = problems(made)
    assert (found.path, found.severity) == (("cache_dir",), "error")
    assert found.what == f"the results of this run take at least 3 MB, and the disk of {project} has 3 MB free"
    with pytest.raises(InvalidWorkflow, match="take at least 3 MB"):
        api.run(made)


def test_too_little_disk_for_results_and_their_copies_is_a_warning(project, disk):
    size = write_weights(project / "base", 3)
    disk["bytes"] = 2 * size - 1
    (found,) = problems(workflow(project, TUNE))
    assert (found.path, found.severity) == (("output_dir",), "warning")
    assert "take at least 6 MB" in found.what


def test_what_a_pass_says_of_its_disk_counts(project, disk, monkeypatch):
    size = write_weights(project / "base", 3)

    def needs(cls, config, known: Known):
        return Needs(disk=known.checkpoint.size // 4) if known.checkpoint else Needs()

    monkeypatch.setattr(ToyMerge, "needs", classmethod(needs))
    disk["bytes"] = size // 2
    assert problems(workflow(project, TUNE)) == ()
    disk["bytes"] = size // 4 - 1
    assert [problem.path for problem in problems(workflow(project, TUNE))] == [("cache_dir",)]


def test_an_adapter_is_no_copy_of_its_base(project, disk):
    write_weights(project / "base", 3)
    disk["bytes"] = 1_000
    assert problems(workflow(project, {"tune": {"type": "ToyTrain"}})) == ()


@pytest.fixture
def memory(monkeypatch):
    monkeypatch.setattr(machine, "memory", lambda: 8 * GB)
    monkeypatch.setattr(machine, "memory_available", lambda: 5 * GB)
    monkeypatch.setattr(ToyTrain, "needs", classmethod(lambda cls, config, known: Needs(memory=config.steps * GB)))


def test_memory_above_the_machines_is_an_error_and_above_what_is_free_a_warning(project, memory):
    def found(*steps):
        passes = {
            f"tune{index}": {"type": "ToyTrain", "input": "input_model", "steps": n, "rank": 1}
            for index, n in enumerate(steps)
        }
        return problems(workflow(project, passes))

    assert found(1, 4) == ()
    (warning,) = found(1, 6)
    assert warning == Problem(
        ("passes", "tune1"),
        "tune1 takes at least 6 GB of memory, and 5 GB of the machine's 8 GB are free now",
        "end what uses it first",
        severity="warning",
    )
    (error,) = found(9, 6)
    assert error == Problem(
        ("passes", "tune0"),
        "tune0 takes at least 9 GB of memory, and the machine has 8 GB",
        "take a smaller model, a smaller precision, or a system with more memory",
    )


def test_evaluating_a_model_takes_its_weights(project, memory, monkeypatch, versions):
    versions.update(dict.fromkeys(("numpy", "onnxruntime-genai", "peft", "safetensors", "torch", "transformers"), "9"))
    monkeypatch.setattr(machine, "memory", lambda: 2_500_000)
    write_weights(project / "base", 3)
    evaluators = {"e": {"metrics": [{"name": "speed", "type": "throughput"}, {"name": "size", "type": "size_on_disk"}]}}
    (found,) = problems(workflow(project, evaluators=evaluators, evaluator="e"))
    assert found.what == "input_model:speed takes at least 3 MB of memory, and the machine has 2.5 MB"
    assert found.path == ("evaluators", "e", "metrics", 0)


def test_memory_within_a_container(tmp_path, monkeypatch):
    for name, text in (
        ("memory.max", "1000000"),
        ("memory.current", "700000"),
        ("memory.stat", "anon 5\ninactive_file 200000\n"),
    ):
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(machine, "_container_folder", lambda: tmp_path)
    assert machine.memory() == 1_000_000
    assert machine.memory_available() == 500_000
    (tmp_path / "memory.max").write_text("max\n")
    assert machine.memory() > 100_000_000
    assert 0 < machine.memory_available() <= machine.memory()


# --- what cannot be had yet ---------------------------------------------------------------------------------------


def test_what_is_not_available_yet_can_be_planned_and_not_run(project):
    problem = Problem(("evaluators", "e", "metrics", 0), "custom metrics are not available yet")
    made = workflow(project, SCALE).model_copy(update={"unavailable": (problem,)})
    assert api.plan(made).to_run == ("double",)
    assert problems(made) == (problem,)
    with pytest.raises(InvalidWorkflow, match="custom metrics are not available yet"):
        api.run(made)


# --- GPUs ---------------------------------------------------------------------------------------------------------


class Nvml:
    """The driver's library, as far as it is called: two GPUs, of which the second answers nothing."""

    def __init__(self, _name: str) -> None:
        self.open = False

    def nvmlInit_v2(self) -> int:
        self.open = True
        return 0

    def nvmlShutdown(self) -> int:
        self.open = False
        return 0

    def nvmlDeviceGetCount_v2(self, count) -> int:
        count._obj.value = 2
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, index, device) -> int:
        device._obj.value = 100 + index
        return index

    def nvmlDeviceGetName(self, device, name, length) -> int:
        name.value = b"NVIDIA H200"
        return 0

    def nvmlDeviceGetUUID(self, device, uuid, length) -> int:
        uuid.value = b"GPU-0c"
        return 0

    def nvmlDeviceGetMemoryInfo(self, device, memory) -> int:
        memory._obj.total, memory._obj.free = 150 * GB, 140 * GB
        return 0


def test_a_gpus_memory_is_what_counts_there(monkeypatch):
    monkeypatch.setattr(gpus.ctypes, "CDLL", Nvml)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert gpus.found() == (gpus.Gpu("NVIDIA H200", 150 * GB, 140 * GB, "GPU-0c"),)
    assert machine.environment((), "gpu").memory == 150 * GB
    assert machine.device_memory_available("gpu") == 140 * GB
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpus.found() == ()
    assert machine.environment((), "gpu").memory == 0


def test_without_a_driver_there_are_no_gpus(monkeypatch):
    monkeypatch.setattr(gpus, "_LIBRARY", "no-such-library.so")
    assert gpus.found() == ()


def test_what_a_system_says_of_itself_is_told_once_in_each_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system is made for a run: it knows what this one has told, and nothing outlives it."""
    monkeypatch.setattr(InProcess, "notes", lambda _: ("one\ntwo", "three"))
    for _ in range(2):
        system, told = InProcess("here", InProcess.config_type()), list[str]()
        assert not system.notes_told
        tell_notes(system, told.append)
        tell_notes(system, told.append)
        assert told == ["one", "two", "three"]
        assert system.notes_told
