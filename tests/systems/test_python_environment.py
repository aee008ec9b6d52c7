"""Jobs in another Python environment: a real one that the engine makes, and what is said of those that will not do."""

import json
import os
import subprocess
import sys
import venv
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

from olive_engine import __version__, plan, run
from olive_engine.config.draft import parse_tree
from olive_engine.contracts import Probe
from olive_engine.environments import Environments, interpreter_of
from olive_engine.errors import InvalidWorkflow, SystemUnavailable
from olive_engine.implementations import implementation
from olive_engine.own_wheel import build_wheel
from olive_engine.probing import known_environment, probe
from olive_engine.reading import read_workflow
from olive_engine.store import Store
from olive_engine.testing.harness import Trial, write_job
from olive_engine.testing.system_conformance import SystemConformance, wait
from olive_engine.testing.toys import build_toy_model
from olive_systems import PythonEnvironment
from olive_systems.python_environment import PythonEnvironmentConfig, origins
from olive_systems.python_environment.interpreters import activation, fingerprint
from tests.engine.conftest import tree_bytes

SAME = (f"pydantic=={version('pydantic')}",)
"""What makes an environment equal to this one, as far as toys are concerned."""
ASKED = Probe(packages=("pydantic", "pip"), steps=(("pass", "ToyScale"),))


def system_of(**options) -> PythonEnvironment:
    return PythonEnvironment("far", PythonEnvironmentConfig(**{"workers": 2, "threads": 1, **options}))


def nothing(message: str) -> None:
    pass


@pytest.fixture
def made(home):
    """A system whose environment the engine has made."""
    system = system_of(requirements=SAME)
    system.prepare(nothing)
    yield system
    system.close()


@pytest.fixture
def folder(made) -> Path:
    """The folder of that environment, as if it were one of the user's."""
    return made._origin.described().python.parent.parent


@pytest.mark.slow
class TestPythonEnvironment(SystemConformance):
    @pytest.fixture
    def system(self, made):
        return made


# --- in the environment -------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_probe_tells_what_is_there_and_not_what_is_here(made, folder, tmp_path):
    store = Store(tmp_path / "cache")
    assert known_environment(made, ASKED, store) is None
    found = probe(made, ASKED, store, nothing)
    assert found.executable == str(interpreter_of(folder))
    assert found.engine == __version__
    assert found.packages.keys() == {"pydantic"}  # pip is here, and no environment has it that the engine makes
    assert found.implementations == {"pass:ToyScale": implementation("pass", "ToyScale")}
    assert known_environment(made, ASKED, store) == found


@pytest.mark.slow
def test_a_workflow_that_changes_environments_gives_the_local_bytes(home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    build_toy_model(tmp_path / "base", (1.0, 2.0, 3.0))

    def workflow(host: str | None, output: str):
        passes = {"scale": {"type": "ToyScale"}, "tune": {"type": "ToyTrain"}, "merge": {"type": "ToyMerge"}}
        passes["tune"] |= {"host": host} if host else {}
        systems = {
            "here": {"type": "LocalSystem", "workers": 1, "threads": 1},
            "far": {"type": "PythonEnvironment", "requirements": [*SAME], "workers": 1, "threads": 1},
        }
        tree = {"input_model": {"type": "HfModel", "model_path": "base"}, "passes": passes, "systems": systems}
        tree |= {"host": "here", "output_dir": output, "cache_dir": f"cache-{output}"}
        return parse_tree(tree, tmp_path).raise_if_wrong()

    run(workflow(None, "local"))
    mixed = workflow("far", "mixed")
    result = run(mixed)
    assert result.executed == ("scale", "tune", "merge")
    assert tree_bytes(tmp_path / "mixed" / "model") == tree_bytes(tmp_path / "local" / "model")
    key = result.steps["tune"].key
    record = Store(tmp_path / "cache-mixed").records.load(key)
    assert str(home) in record.provenance.environment.executable
    assert record.output == Store(tmp_path / "cache-local").records.load(key).output  # equal environments, equal keys
    assert plan(mixed).to_run == ()
    assert run(mixed).executed == ()


@pytest.mark.slow
def test_an_environment_that_was_removed_is_made_again_only_when_a_step_runs_there(fresh_home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    build_toy_model(tmp_path / "base", (1.0, 2.0, 3.0))
    system = {"type": "PythonEnvironment", "requirements": [*SAME], "workers": 1, "threads": 1}
    passes = {"scale": {"type": "ToyScale", "factor": 2.0}}
    tree = {"input_model": {"type": "HfModel", "model_path": "base"}, "passes": passes, "systems": {"far": system}}
    tree |= {"host": "far", "output_dir": "out", "cache_dir": "cache"}
    assert run(parse_tree(tree, tmp_path).raise_if_wrong()).executed == ("scale",)
    kept = Environments()
    (made,) = kept.all()
    kept.remove(made)
    assert run(parse_tree(tree, tmp_path).raise_if_wrong()).executed == ()
    assert kept.all() == ()
    passes["scale"]["factor"] = 3.0
    assert run(parse_tree(tree, tmp_path).raise_if_wrong()).executed == ("scale",)
    assert [each.key for each in kept.all()] == [made.key]


@pytest.mark.slow
def test_an_environment_is_named_by_its_folder_its_programs_or_its_interpreter(folder, tmp_path):
    store = Store(tmp_path / "cache")
    ids, executables = set(), set()
    for place in (folder, folder / "bin", folder / "bin" / "python"):
        system = system_of(python_environment_path=place)
        system.prepare(nothing)
        ids.add(system.environment_id)
        executables.add(probe(system, ASKED, store, nothing).executable)
        system.close()
    assert len(ids) == 1
    assert executables == {str(folder / "bin" / "python")}


@pytest.mark.slow
def test_workers_see_the_programs_and_packages_of_their_environment_alone(folder, tmp_path, monkeypatch):
    (tmp_path / "first").mkdir()
    user = tmp_path / "user" / f"lib/python3.{sys.version_info[1]}/site-packages"
    (user / "olive_engine").mkdir(parents=True)
    (user / "olive_engine" / "__init__.py").write_text("raise SystemExit('decoy')")
    monkeypatch.setenv("PYTHONUSERBASE", str(tmp_path / "user"))
    monkeypatch.setenv("PYTHONPATH", str(user))
    monkeypatch.setenv("VIRTUAL_ENV", sys.prefix)
    python = interpreter_of(folder)
    system = system_of(python_environment_path=folder, prepend_to_path=[tmp_path / "first"])
    job = write_job(tmp_path, "ToyScale", [Trial({})], [build_toy_model(tmp_path / "model")])
    assert wait(system.submit(job)).state == "done"
    system.close()
    variables = activation(python, {"PATH": "/usr/bin", "VIRTUAL_ENV": sys.prefix, "A": "1"}, ["/first"])
    assert variables == {
        "PATH": f"/first:{python.parent}:/usr/bin",
        "VIRTUAL_ENV": str(folder),
        "PYTHONNOUSERSITE": "1",
        "A": "1",
    }
    assert system.variables != system_of(python_environment_path=folder).variables == ""


# --- another engine there -----------------------------------------------------------------------------------------


def with_engine(folder: Path, edits: dict[str, tuple[str, str]]) -> Path:
    """An environment with the engine that runs here, edited; what it depends on comes from here."""
    venv.create(folder, with_pip=False, symlinks=True)
    with zipfile.ZipFile(build_wheel(folder)) as archive:
        archive.extractall(site_of(folder))
    here = next(path for path in map(Path, sys.path) if (path / "pydantic").is_dir())
    (site_of(folder) / "dependencies.pth").write_text(f"{here}\n")
    for name, (old, new) in edits.items():
        path = site_of(folder) / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))
    return folder


def test_another_version_there_is_told_with_the_line_that_installs_this_one(fresh_home, tmp_path):
    edits = {"olive_engine/__init__.py": (f'__version__ = "{__version__}"', '__version__ = "0.0.1"')}
    folder = with_engine(tmp_path / "other", edits)
    system = system_of(python_environment_path=folder)
    with pytest.raises(SystemUnavailable) as refused:
        probe(system, ASKED, Store(tmp_path / "cache"), nothing)
    system.close()
    assert str(refused.value) == (
        f"far: olive-engine 0.0.1 is installed there, and {__version__} here; install the same on both sides: "
        f"{interpreter_of(folder)} -m pip install olive-engine=={__version__}"
    )


def test_other_code_there_is_refused_before_anything_runs(fresh_home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    build_toy_model(tmp_path / "base", (1.0, 2.0, 3.0))
    folder = with_engine(tmp_path / "other", {})
    tree = {
        "input_model": {"type": "HfModel", "model_path": "base"},
        "passes": {"scale": {"type": "ToyScale"}},
        "systems": {"far": {"type": "PythonEnvironment", "python_environment_path": str(folder), "workers": 1}},
        "host": "far",
    }
    workflow = parse_tree(tree, tmp_path).raise_if_wrong()
    assert run(workflow).executed == ("scale",)
    toys = site_of(folder) / "olive_engine" / "testing" / "toys.py"
    toys.write_text(toys.read_text() + "# edited")
    install(site_of(folder), "anything-1.0")  # without this nobody looks: installed code is not edited in its place
    changed = parse_tree({**tree, "passes": {"scale": {"type": "ToyScale", "factor": 5.0}}}, tmp_path)
    with pytest.raises(InvalidWorkflow) as refused:
        run(changed.raise_if_wrong())
    assert "ToyScale" in str(refused.value)


# --- what it is told apart by -------------------------------------------------------------------------------------


@pytest.fixture
def given(tmp_path, monkeypatch) -> Path:
    """An environment of the user's with a stand-in for the engine, and nothing that starts a process."""
    monkeypatch.setenv("OLIVE_ENGINE_HOME", str(tmp_path / "home"))
    venv.create(tmp_path / "given", with_pip=False, symlinks=True)
    (site_of(tmp_path / "given") / f"olive_engine-{__version__}.dist-info").mkdir()

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError(f"{args} was started")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    return tmp_path / "given"


def site_of(folder: Path) -> Path:
    (site,) = folder.glob("lib/python3*/site-packages")
    return site


def install(folder: Path, name: str, record: str = "") -> Path:
    info = folder / f"{name}.dist-info"
    info.mkdir(parents=True)
    (info / "RECORD").write_text(record)
    return info


def test_whatever_is_installed_changes_its_id_and_nothing_else_does(given, tmp_path):
    system = system_of(python_environment_path=given)
    seen = [system.environment_id]

    def changed() -> bool:
        seen.append(system.environment_id)
        return seen[-1] not in seen[:-1]

    assert seen != [""]
    (site_of(given) / "notes.txt").write_text("of no concern")
    assert not changed()
    info = install(site_of(given), "numpy-2.1")
    assert changed()
    info.rename(info.with_name("numpy-2.2.dist-info"))
    assert changed()
    os.utime(info.with_name("numpy-2.2.dist-info") / "RECORD", ns=(1, 1))  # installed anew, of the same version
    assert changed()
    (tmp_path / "more").mkdir()
    (site_of(given) / "more.pth").write_text(f"# a folder\n{tmp_path / 'more'}\n")
    assert changed()
    install(tmp_path / "more", "scipy-1.0")  # in a folder that a file adds to the path
    assert changed()


def test_an_edited_checkout_changes_the_id_of_the_environment_it_is_installed_in(given, tmp_path):
    project = tmp_path / "project"
    (project / "package").mkdir(parents=True)
    (project / "package" / "code.py").write_text("x = 1")
    (project / ".venv" / "lib").mkdir(parents=True)
    info = install(site_of(given), "mine-1.0")
    (info / "direct_url.json").write_text(json.dumps({"url": project.as_uri(), "dir_info": {"editable": True}}))
    system = system_of(python_environment_path=given)
    before = system.environment_id
    (project / ".venv" / "lib" / "other.py").write_text("y = 1")
    (project / "rows.jsonl").write_text("{}")
    assert system.environment_id == before
    (project / "package" / "code.py").write_text("x = 2 ")
    edited = system.environment_id
    assert edited != before
    (project / "package" / "template.txt").write_text("what the code reads")
    assert system.environment_id not in (before, edited)


def test_two_environments_alike_are_two(given, tmp_path):
    ids = {system_of(python_environment_path=given).environment_id}
    (tmp_path / "given").rename(tmp_path / "moved")
    ids.add(system_of(python_environment_path=tmp_path / "moved").environment_id)
    assert len(ids) == 2


def test_an_interpreter_whose_files_do_not_say_what_it_is_is_asked_once(tmp_path, monkeypatch):
    monkeypatch.setenv("OLIVE_ENGINE_HOME", str(tmp_path / "home"))
    venv.create(tmp_path / "given", with_pip=False, symlinks=True, system_site_packages=True)
    system = system_of(python_environment_path=tmp_path / "given")
    assert system.environment_id == ""
    with pytest.raises(SystemUnavailable, match="olive-engine is not installed in"):
        system.prepare(nothing)
    install(site_of(tmp_path / "given"), f"olive_engine-{__version__}")
    asked = []
    monkeypatch.setattr(subprocess, "run", lambda *args, **kwargs: asked.append(args))
    assert system.environment_id != ""
    system.prepare(nothing)
    assert not asked
    found = system._origin.described()
    assert found.version == ".".join(map(str, sys.version_info[:3]))
    assert system._origin.id == fingerprint(found)
    assert system.environment_id == system_of(python_environment_path=tmp_path / "given").environment_id
    on_gpu = system_of(python_environment_path=tmp_path / "given", accelerators=[{"device": "gpu"}])
    assert on_gpu.environment_id not in ("", system.environment_id)  # a probe there answers for another device


# --- interpreters that will not do --------------------------------------------------------------------------------


def refusal(**options) -> str:
    system = system_of(**options)
    with pytest.raises(SystemUnavailable) as refused:
        system.prepare(nothing)
    return str(refused.value)


def test_an_environment_without_the_engine_is_told_the_line_that_installs_it(given, monkeypatch):
    (site_of(given) / f"olive_engine-{__version__}.dist-info").rmdir()
    python = interpreter_of(given)
    told = refusal(python_environment_path=given / "bin")
    wheel = f"wheels/olive_engine-{__version__}-py3-none-any.whl"
    assert told.splitlines() == [
        f"far: olive-engine is not installed in {python}; install the version that runs here, a checkout:",
        "  olive environments wheel --into wheels",
        f"  uv pip install --python {python} '{wheel}[cpu]'",
    ]
    install(site_of(given), "pip-24.0")
    last = refusal(python_environment_path=given).splitlines()[-1]
    assert last == f"  {python} -m pip install '{wheel}[cpu]'"
    assert build_wheel(given / "wheels") == given / wheel
    monkeypatch.setattr(origins, "is_checkout", lambda: False)
    told = refusal(python_environment_path=given)
    assert told.endswith(f"runs here: {python} -m pip install 'olive-engine[cpu]=={__version__}'")


def test_an_old_python_is_named(given):
    settings = given / "pyvenv.cfg"
    settings.write_text(settings.read_text().replace(".".join(map(str, sys.version_info[:3])), "3.9.2"))
    (given / "lib" / f"python3.{sys.version_info[1]}").rename(given / "lib" / "python3.9")
    told = refusal(python_environment_path=given)
    assert told == f"far: {interpreter_of(given)} is Python 3.9.2; olive-engine needs 3.11 or newer"


def test_what_is_no_interpreter_is_told_in_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("OLIVE_ENGINE_HOME", str(tmp_path / "home"))
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").write_text("no program")
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\necho hello\n")
    script.chmod(0o755)
    (tmp_path / "link").symlink_to(tmp_path / "gone")

    def told(name: str) -> str:
        return refusal(python_environment_path=tmp_path / name).removeprefix(f"far: {tmp_path}/")

    assert told("gone") == "gone does not exist; make the environment, or correct its path"
    assert (
        told("link") == "link does not exist (it is a link to what has gone); make the environment, or correct its path"
    )
    assert told("text") == "text cannot be executed; name a Python interpreter, or the folder of one"
    assert told("script") == "script is no Python interpreter that works: it did not say its version"
    assert told("empty").endswith(
        f"there is no Python interpreter in {tmp_path}/empty; name an environment's folder, its bin folder (on Windows "
        "Scripts), or the interpreter itself"
    )
    system = system_of(python_environment_path=tmp_path / "gone")
    assert system.environment_id == ""
    with pytest.raises(SystemUnavailable, match="gone does not exist"):
        system.submit(tmp_path)


def test_an_interpreter_that_is_not_here_is_named(fresh_home):
    assert refusal(requirements=(), python="python9.9") == (
        "far: there is no command python9.9 here; name a Python interpreter by its path"
    )


# --- options ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({}, "an environment is needed: one of yours"),
        ({"python": "python3"}, "an environment is needed: one of yours"),
        ({"python_environment_path": "a", "requirements": []}, "requirements is for one that the engine makes"),
        ({"python_environment_path": "a", "requirements_file": "b"}, "requirements_file is for one that the engine"),
        ({"python_environment_path": "a", "python": "b"}, "python is for one that the engine makes"),
        ({"requirements": ["numpy >> 2"]}, "`numpy >> 2` is no requirement as pip takes it"),
        ({"requirements": [], "environment_variables": {"PATH": "a"}}, "write `prepend_to_path` instead"),
        (
            {"requirements": [], "environment_variables": {"PYTHONPATH": "a"}},
            "PYTHONPATH cannot be set .* into that environment, or",
        ),
        ({"requirements": [], "environment_variables": {"OMP_NUM_THREADS": "1"}}, "use `threads` instead"),
        ({"requirements": [], "environment_variables": {"PYTHONNOUSERSITE": ""}}, "name another environment instead"),
    ],
)
def test_what_cannot_be_is_refused(options, what):
    with pytest.raises(ValueError, match=what):
        PythonEnvironmentConfig(**options)


def test_files_that_are_not_here_are_told_with_the_option_that_names_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.txt").write_text("-e .\n--index-url https://me:hush@example.org/x\n./gone-1.0.zip\n")

    def told(**options) -> list[tuple[str, str, str]]:
        found = PythonEnvironment.objections(PythonEnvironmentConfig(**options))
        return [(each.option, each.severity, each.what.partition(";")[0]) for each in found]

    missing = f"the requirements file {tmp_path}/gone.txt cannot be read: No such file or directory"
    assert told(requirements=["six", "-r gone.txt"]) == [("requirements.1", "error", missing)]
    assert told(requirements_file="gone.txt") == [("requirements_file", "error", missing)]
    editable = f"{tmp_path}/r.txt: `-e .`: a folder cannot be a requirement here, for its contents may change"
    assert told(requirements_file="r.txt") == [
        ("requirements_file", "error", editable),
        (
            "requirements_file",
            "error",
            f"the required file {tmp_path}/gone-1.0.zip cannot be read: No such file or directory",
        ),
    ]
    there = ("python_environment_path", "warning", f"there is no environment {tmp_path}/gone on this machine")
    assert told(python_environment_path="gone") == [there]
    assert told(python_environment_path=tmp_path) == []


def test_a_file_that_is_not_here_is_an_error_of_the_workflow_at_its_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.yaml").write_text(
        "input_model: {type: HfModel, model_path: org/name}\n"
        "systems:\n"
        "  far: {type: PythonEnvironment, requirements_file: gone.txt, requirements: [six, -r gone.txt]}\n"
        "  mine: {type: PythonEnvironment, python_environment_path: gone}\n"
        "passes:\n  int4: {type: ModelBuilder, precision: int4}\n"
    )
    draft = read_workflow(["a.yaml"])
    assert draft.workflow is None
    assert [(each.severity, each.position.line, each.position.column) for each in draft.problems] == [
        ("error", 3, 53),
        ("error", 3, 83),
        ("warning", 4, 60),
    ]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ({"olive_managed_env": True, "requirements_file": "r.txt"}, {"requirements_file": "r.txt"}),
        ({"olive_managed_env": True}, {"requirements": []}),
        ({"olive_managed_env": True, "python_environment_path": "x/bin"}, {"requirements": []}),
        ({"olive_managed_env": False, "python_environment_path": "x/bin"}, {"python_environment_path": "x/bin"}),
    ],
)
def test_older_spellings_of_an_environment_that_is_made(written, read, tmp_path):
    system = {"type": "PythonEnvironment"}
    tree = {"input_model": {"type": "HfModel", "model_path": "base"}, "passes": {"scale": {"type": "ToyScale"}}}
    build_toy_model(tmp_path / "base")
    parsed = [parse_tree({**tree, "systems": {"far": system | each}}, tmp_path) for each in (written, read)]
    assert parsed[0].raise_if_wrong().systems == parsed[1].raise_if_wrong().systems
    assert [notice.path[:2] for notice in parsed[0].notices] != []
    assert not parsed[1].notices
