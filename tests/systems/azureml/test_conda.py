"""Conda files as people write them, and what jobs get."""

from __future__ import annotations

import json

import pytest
import yaml

from olive_engine.requirements import Requirement
from olive_systems.azure_ml.conda import Conda, CondaFault, default, rewritten
from olive_systems.azure_ml.pins import allows_python, bounded, conda_allows, conda_name, engine_extras

KNOWN = {
    "": (Requirement("click", ">=8.1"), Requirement("PyYAML", ">=6.0")),
    "search": (Requirement("optuna", ">=5"),),
    "cpu": (Requirement("onnxruntime", ">=1.23"), Requirement("optuna", ">=5"), Requirement("torch", ">=2.8")),
    "gpu": (Requirement("numpy", ">=2"), Requirement("onnxruntime-gpu", ">=1.23"), Requirement("torch", ">=2.8")),
    "dev": (Requirement("pytest", ">=8"),),
}


def made(text: str, **more: object) -> Conda:
    return rewritten(text, "1.0", known=KNOWN, **more)  # type: ignore[arg-type]


def dependencies(text: str, **more: object) -> list[object]:
    found = yaml.safe_load(made(text, **more).text)["dependencies"]
    assert isinstance(found, list)
    return found


def pip(*lines: str, **more: object) -> list[str]:
    """What becomes of lines of pip, beside a Python that will do."""
    text = yaml.safe_dump({"dependencies": ["python=3.12", {"pip": [*lines, "click>=8.1", "pyyaml>=6"]}]})
    *_, last = dependencies(text, **more)
    assert isinstance(last, dict)
    return [line for line in last["pip"] if line not in ("click>=8.1", "pyyaml>=6")]


TUTORIAL = """\
name: tuning
channels:
  - defaults
dependencies:
  - python=3.8.13   # old
  - pip=22.3.1
  - pip:
      - einops
      - torch>=2.2.0
      - git+https://github.com/microsoft/Olive@a/branch#egg=olive-ai[gpu]
"""


def test_a_file_of_a_tutorial() -> None:
    conda = made(TUTORIAL, name="envs/conda.yaml")
    assert conda.text == (
        "name: tuning\nchannels:\n  - defaults\ndependencies:\n  - python=3.11\n  - pip=22.3.1\n  - pip:\n"
        "      - einops\n      - torch>=2.8\n      - click>=8.1\n      - PyYAML>=6.0\n      - numpy>=2\n"
        "      - onnxruntime-gpu>=1.23\n"
    )
    assert conda.notices == (
        "python=3.8.13 becomes python=3.11: olive-engine 1.0 needs 3.11 or later",
        "torch: versions that olive-engine 1.0 does not work with are ruled out",
        "git+https://github.com/microsoft/Olive@a/branch#egg=olive-ai[gpu] gives way to what olive-engine 1.0 needs, "
        "with its extra gpu; the engine itself comes with every job",
    )
    changed = [line for line in conda.diff.splitlines() if line[0] in "+-"]
    assert changed == [
        *("--- envs/conda.yaml", "+++ envs/conda.yaml (as jobs get it)", "-  - python=3.8.13", "+  - python=3.11"),
        *("-      - torch>=2.2.0", "-      - git+https://github.com/microsoft/Olive@a/branch#egg=olive-ai[gpu]"),
        *("+      - torch>=2.8", "+      - click>=8.1", "+      - PyYAML>=6.0", "+      - numpy>=2"),
        "+      - onnxruntime-gpu>=1.23",
    ]


def test_what_jobs_get_is_left_as_it_is() -> None:
    once = made(TUTORIAL)
    assert made(once.text) == Conda(once.text)
    assert made(TUTORIAL) == once


def test_a_file_without_olive_gets_what_the_worker_needs_alone() -> None:
    conda = made("dependencies: [python=3.12, {pip: [einops, 'torch>=2.9']}]")
    assert yaml.safe_load(conda.text)["dependencies"] == [
        "python=3.12",
        {"pip": ["einops", "torch>=2.9", "click>=8.1", "PyYAML>=6.0"]},
    ]
    assert conda.notices == ("click>=8.1, PyYAML>=6.0 are added: the engine, which comes with every job, needs them",)


def test_a_file_without_pip_gets_it() -> None:
    assert dependencies("dependencies:\n- scikit-learn\n") == [
        *("python=3.11", "scikit-learn", "pip"),
        {"pip": ["click>=8.1", "PyYAML>=6.0"]},
    ]
    assert dependencies("dependencies: [python, pip=25, {pip: }]")[:2] == ["python", "pip=25"]


@pytest.mark.parametrize(
    ("line", "extras"),
    [
        ("olive-ai", set()),
        ("olive_ai[gpu,docker]==0.6.2", {"gpu", "docker"}),
        ("olive-ai[cpu] @ git+https://github.com/microsoft/Olive", {"cpu"}),
        ("git+https://github.com/microsoft/Olive.git@main#egg=olive_ai", set()),
        ("git+https://github.com/microsoft/Olive", set()),
        ("git+https://github.com/microsoft/Olive#subdirectory=a&egg=olive-ai%5Bazureml%5D", {"azureml"}),
        ("olive-engine[auto-opt]>=0.1", {"auto-opt"}),
    ],
)
def test_mentions_of_olive_and_of_this_engine(line: str, extras: set[str]) -> None:
    assert engine_extras(line) == extras
    assert line not in pip(line)
    assert "torch>=2.8" in pip(line)


@pytest.mark.parametrize("line", ["git+https://github.com/microsoft/Olive-recipes", "olives", "-f https://a.example/"])
def test_what_only_sounds_like_it(line: str) -> None:
    assert engine_extras(line) is None


def test_which_extra_is_meant() -> None:
    assert "onnxruntime-gpu>=1.23" in pip("olive-ai", extra="gpu")
    assert "onnxruntime>=1.23" in pip("olive-ai", extra="cpu")
    assert "onnxruntime>=1.23" in pip("olive-ai[cpu]", extra="gpu"), "the file knows better"
    assert pip("olive-ai", "onnxruntime-gpu==1.24", extra="cpu") == ["numpy>=2", "torch>=2.8", "onnxruntime-gpu==1.24"]


def test_another_flavour_would_overwrite_files() -> None:
    assert pip("onnxruntime", "olive-ai[gpu]") == ["numpy>=2", "onnxruntime-gpu>=1.23", "torch>=2.8"]
    text = "dependencies: [python=3.12, {pip: [onnxruntime, 'olive-ai[gpu]']}]"
    assert "onnxruntime is left out: it would overwrite files of onnxruntime-gpu" in made(text).notices


def test_what_only_a_search_needs_is_left_out() -> None:
    assert pip("olive-ai[cpu]") == ["onnxruntime>=1.23", "torch>=2.8"]
    assert pip("optuna==4.0", "pytest==7") == ["optuna==4.0", "pytest==7"]


@pytest.mark.parametrize(
    ("line", "becomes", "fits"),
    [
        ("torch", "torch>=2.8", True),
        ("torch>=2.2.0", "torch>=2.8", True),
        ("torch>=2.2,<3", "torch<3,>=2.8", True),
        ("torch~=2.2", "torch>=2.8,~=2.2", True),
        ("torch!=2.8", "torch!=2.8,>=2.8", True),
        ("torch==2.9.1", "torch==2.9.1", True),
        ("torch==2.9.1+cu128", "torch==2.9.1+cu128", True),
        ("torch==2.9.*", "torch==2.9.*", True),
        ("torch >= 2.9 ; sys_platform == 'linux'", "torch >= 2.9 ; sys_platform == 'linux'", True),
        ("torch[opt-einsum]==2.2; sys_platform == 'linux'", 'torch[opt-einsum]>=2.8; sys_platform == "linux"', False),
        ("torch==2.2.0", "torch>=2.8", False),
        ("torch<2.8", "torch>=2.8", False),
        ("torch<=2.8", "torch<=2.8,>=2.8", True),
        ("torch @ https://a.example/t.whl", "torch @ https://a.example/t.whl", True),
    ],
)  # fmt: skip
def test_pins(line: str, becomes: str, fits: bool) -> None:
    assert bounded(line, ">=2.8") == (becomes, fits)
    assert bounded(line, "") == (line, True)
    assert pip(line) == [becomes]


def test_a_pin_that_cannot_stay_is_said_to_go() -> None:
    conda = made("dependencies: [python=3.12, {pip: ['torch==2.2.0', click, PyYAML]}]")
    assert conda.notices == (
        "torch==2.2.0 becomes torch>=2.8, which olive-engine 1.0 needs",
        "click, pyyaml: versions that olive-engine 1.0 does not work with are ruled out",
    )


@pytest.mark.parametrize(
    ("entry", "stays"),
    [
        *(("python=3.8.13", False), ("python 3.10.*", False), ("python>=3.8,<3.11", False), ("python==3.10.4", False)),
        *(("python", True), ("python=3", True), ("python>=3.8", True), ("python=3.12", True), ("python ?", True)),
        *(("conda-forge::python=3.13", True), ("python=3.9|3.12.*", True), ("python >=3.9,<4", True)),
        ("python=3.11.9=h1", True),
    ],
)  # fmt: skip
def test_pythons(entry: str, stays: bool) -> None:
    assert conda_name(entry) == "python"
    assert allows_python(entry, (3, 11)) == stays
    assert dependencies(json.dumps({"dependencies": [entry]}))[0] == (entry if stays else "python=3.11")


def test_packages_of_conda_that_are_too_old_come_from_pip() -> None:
    text = "dependencies: [python=3.12, pytorch=2.2=py3, numpy>=1.26, scipy=1, {pip: [click>=9, pyyaml>=7]}]"
    conda = made(text)
    assert yaml.safe_load(conda.text)["dependencies"] == [
        *("python=3.12", "numpy>=1.26", "scipy=1"),
        {"pip": ["click>=9", "pyyaml>=7", "torch>=2.8"]},
    ]
    assert conda.notices == ("pytorch=2.2=py3 gives way to pip's torch>=2.8, which olive-engine needs",)
    assert conda_allows("pytorch", ">=2.8")
    assert conda_allows("pytorch=2.9.1=cuda_1", ">=2.8")
    assert not conda_allows("numpy==1.26.4", ">=2")


def test_the_key_vault_s_package() -> None:
    assert pip(key_vault=True) == ["azure-identity>=1.17"]
    assert pip("azure-identity==1.20", key_vault=True) == ["azure-identity==1.20"]


def test_everything_else_stays_in_its_order() -> None:
    lines = [
        "--extra-index-url https://a.example/cpu",
        "-r /in/the/image.txt",
        "--pre",
        "z",
        "a @ https://a.example/a.zip",
    ]
    assert pip(*lines) == lines
    text = "variables: {LEVEL: 1}\nname: x\nprefix: /a\ndependencies: [git, python=3.9, {pip: [b, a]}]\n"
    conda = made(text)
    assert list(yaml.safe_load(conda.text)) == ["variables", "name", "prefix", "dependencies"]
    assert dependencies(text)[:2] == ["git", "python=3.11"]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("dependencies: [", "c.yaml is not YAML: "),
        ("a: 1\n b: 2\n", "c.yaml is not YAML: mapping values are not allowed here (line 2, column 3)"),
        ("", "c.yaml has no list of `dependencies`, as a conda file must"),
        ("[numpy]", "c.yaml has no list of `dependencies`, as a conda file must"),
        ("dependencies: numpy", "c.yaml has no list of `dependencies`, as a conda file must"),
        ("dependencies: [3.11]", "c.yaml has 3.11 among its dependencies; expected packages such as numpy=2.1, and"),
        ("dependencies: [{pip: numpy}]", "c.yaml has {'pip': 'numpy'} among its dependencies; expected packages"),
        ("dependencies: [{pip: [numpy=>2]}]", "c.yaml: `numpy=>2` is no requirement as pip takes it"),
        ("dependencies: [{pip: [-r requirements.txt]}]", "c.yaml: `-r requirements.txt` names a file of this machine"),
        ("dependencies: [{pip: [-e .]}]", "c.yaml: `-e .` names a file of this machine"),
        ("dependencies: [{pip: [dist/a-1-py3-none-any.whl]}]", "c.yaml: `dist/a-1-py3-none-any.whl` names a file of"),
        ("dependencies: [{pip: [--index-url https://me:hunter22@a.example/]}]", "c.yaml: it holds a password or token"),
        ("dependencies: [{pip: [git+https://abcdef0123@a.example/b]}]", "c.yaml: it holds a password or token"),
        ("variables: {HF_TOKEN: something}\ndependencies: []", "c.yaml: `variables` sets HF_TOKEN, which is stored"),
    ],
)  # fmt: skip
def test_faults_are_a_sentence_with_the_file(text: str, what: str) -> None:
    with pytest.raises(CondaFault) as raised:
        made(text, name="c.yaml")
    assert str(raised.value).startswith(what)
    assert "\n" not in str(raised.value)
    assert not any(secret in str(raised.value) for secret in ("hunter22", "abcdef0123", "something"))


def test_a_login_that_the_service_fills_in_is_no_secret() -> None:
    line = "--index-url https://${FEED_USER}:${FEED_TOKEN}@a.example/simple"
    assert pip(line, "git+ssh://git@a.example/b") == [line, "git+ssh://git@a.example/b"]


def test_the_environment_that_nobody_described() -> None:
    assert yaml.safe_load(default("gpu", key_vault=True, known=KNOWN)) == {
        "name": "olive-engine",
        "channels": ["conda-forge"],
        "dependencies": [
            *("python=3.11", "pip"),
            {
                "pip": [
                    *("click>=8.1", "PyYAML>=6.0", "numpy>=2", "onnxruntime-gpu>=1.23", "torch>=2.8"),
                    "azure-identity>=1.17",
                ]
            },
        ],
    }
    own = default("cpu")
    assert rewritten(own, "1.0") == Conda(own)
    assert "transformers>=" in own
    assert "onnxruntime-gpu" not in own
