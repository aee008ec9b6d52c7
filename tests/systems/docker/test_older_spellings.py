"""Docker systems as Olive's files write them."""

import json

import pytest

from olive_engine.reading import read_workflow
from olive_engine.testing.toys import build_toy_model


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Read a file with one system; gives its options that are not defaults, and its errors."""
    monkeypatch.chdir(tmp_path)
    build_toy_model(tmp_path / "base")

    def read(**system):
        model = {"type": "HfModel", "model_path": "base"}
        passes = {"scale": {"type": "ToyScale"}}
        tree = {"input_model": model, "systems": {"box": {"type": "Docker", **system}}, "passes": passes}
        (tmp_path / "workflow.json").write_text(json.dumps(tree))
        draft = read_workflow([tmp_path / "workflow.json"])
        errors = [problem for problem in draft.problems if problem.severity == "error"]
        entry = draft.workflow.systems["box"] if draft.workflow and not errors else None
        return entry and entry.options.model_dump(exclude_unset=True), errors

    return read


NESTED = {"config": {"local_docker_config": {"image_name": "own", "run_params": {"shm_size": "8g"}}, "is_dev": True}}
FLAT = {"image_name": "own", "run_params": {"shm_size": "8g"}, "work_dir": "/olive-ws", "clean_image": True}


@pytest.mark.parametrize("spelling", [NESTED, FLAT], ids=["0.6", "flat"])
def test_both_of_olive_s_spellings_are_read(read, spelling):
    assert read(**spelling) == ({"image_name": "own", "shm_size": "8g"}, [])


@pytest.mark.parametrize(
    ("parameters", "options"),
    [
        ({"mem_limit": 10**9}, {"memory": "1000000000"}),
        ({"nano_cpus": 1500000000}, {"cpus": 1.5}),
        ({"network_mode": "host"}, {"network": "host"}),
        ({"environment": {"A": 1}}, {"environment_variables": {"A": "1"}}),
        ({"environment": ["A=b=c"]}, {"environment_variables": {"A": "b=c"}}),
        ({"device_requests": [{"count": -1, "capabilities": [["gpu"]]}]}, {"gpus": "all"}),
        ({"device_requests": [{"Count": 2, "Capabilities": [["gpu"]]}]}, {"gpus": 2}),
        ({"device_requests": [{"device_ids": ["0", "2"], "capabilities": [["gpu"]]}]}, {"gpus": ("0", "2")}),
        ({"runtime": "nvidia"}, {"gpus": "all"}),
        ({"detach": True, "remove": False}, {}),
    ],
    ids=lambda value: next(iter(value), ""),
)
def test_parameters_of_docker_py_are_options(read, parameters, options):
    assert read(image_name="own", run_params=parameters) == ({"image_name": "own", **options}, [])


@pytest.mark.parametrize(
    ("system", "path", "what"),
    [
        (
            {"dockerfile": "Dockerfile", "build_context_path": "docker", "build_args": {"A": "b"}},
            "dockerfile",
            "building an image is not available yet: dockerfile, build_context_path, build_args",
        ),
        ({"run_params": {"volumes": {"/a": {"bind": "/b"}}}}, "volumes", "what a job reads is mounted by itself"),
        ({"run_params": {"cap_add": ["ALL"]}}, "cap_add", "none of the parameters that can be set"),
        ({"run_params": {"environment": ["A"]}}, "environment", "it cannot be told what `environment` means here"),
        ({"olive_managed_env": True}, "olive_managed_env", "nothing is installed into an image when it runs"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " not in value else "",
)
def test_what_is_not_taken_is_refused_by_name(read, system, path, what):
    options, errors = read(image_name="own", **system)
    assert options is None
    assert [error.path[-1] for error in errors] == [path]
    assert what in errors[0].what


def test_an_image_alone_is_no_build(read):
    assert read(image_name="own", dockerfile=None, build_args={}) == ({"image_name": "own"}, [])
