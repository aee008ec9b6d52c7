"""``${env:NAME}`` in a workflow: values, defaults, what kind a value is, and secrets that are never read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import pytest
from pydantic import Field, JsonValue

from olive_engine import api, registry
from olive_engine.config.draft import Draft, read
from olive_engine.config.tree import find, from_python, plain
from olive_engine.config.variables import as_meant, filled_in
from olive_engine.contracts import Pass, PassContext
from olive_engine.errors import Problem
from olive_engine.models import HfModel
from olive_engine.options import Options
from olive_engine.reading import load_workflow
from olive_engine.testing.toys import build_toy_model

MODEL = "input_model: {type: HfModel, model_path: a/b}\n"


class Inner(Options):
    bits: Literal[4, 8] = 4
    seed: int = 0


class TypedConfig(Options):
    """An option of each kind."""

    whole: int = Field(1, gt=0)
    real: float = 0.5
    truth: bool = False
    text: str = ""
    bits: Literal[4, 8] = 4
    word: Literal["linear", "cosine"] = "linear"
    either: Literal["auto"] | int = "auto"
    share: int | float | None = None
    names: str | tuple[str, ...] | None = None
    sizes: tuple[int, ...] = ()
    by_name: dict[str, float] = {}
    free: dict[str, JsonValue] = {}
    inner: Annotated[Inner, Field(description="A group.")] = Inner()


class Typed(Pass[TypedConfig, HfModel, HfModel]):
    type: ClassVar[str] = "Typed"

    def run(self, model: HfModel, config: TypedConfig, context: PassContext) -> HfModel:
        return model


@pytest.fixture(autouse=True)
def plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is installed, and a pass with an option of each kind."""
    find_pass, passes = registry.find_pass, registry.passes()
    monkeypatch.setattr(registry, "find_pass", lambda name: Typed if name == "Typed" else find_pass(name))
    monkeypatch.setattr(registry, "passes", lambda: {**passes, "Typed": Typed})


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "WHOLE": "8",
        "REAL": "1e-4",
        "TRUE": "true",
        "BITS": "8",
        "WORD": "cosine",
        "SHARE": "0.3",
        "EMPTY": "",
        "TEXT": "one two",
        "DIGITS": "2024",
        "ODD": 'a: [b, "c"] # {d}\n\tü \\ ${x} $1',
        "NESTED": "${env:WHOLE}",
        "TOKEN": "hunter2",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("UNSET", raising=False)


def filled(value: object) -> tuple[JsonValue, list[Problem]]:
    problems: list[Problem] = []
    return plain(filled_in(from_python(value), {"hf_token"}, problems)), problems


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${env:TEXT}", "one two"),
        ("a ${env:WHOLE}b${env:TEXT}", "a 8bone two"),
        ("${env:UNSET:-there}", "there"),
        ("${env:UNSET:-}", ""),
        ("${env:EMPTY:-there}", "there"),
        ("${env:EMPTY}", ""),
        ("${env:TEXT:-there}", "one two"),
        ("${env:UNSET:-a:-b ${x}", "a:-b ${x"),
        ("${env:ODD}", 'a: [b, "c"] # {d}\n\tü \\ ${x} $1'),
        ("${env:NESTED}", "${env:WHOLE}"),
        ("$env:TEXT ${TEXT} {env:TEXT}", "$env:TEXT ${TEXT} {env:TEXT}"),
    ],
)
def test_what_a_reference_stands_for(text: str, value: str) -> None:
    assert filled(text) == (value, [])
    assert filled({"a": [1, {"b": text}]}) == ({"a": [1, {"b": value}]}, [])


def test_a_value_is_not_filled_in_again() -> None:
    root = filled_in(from_python({"a": "${env:NESTED}"}), (), [])
    assert filled_in(root, (), []) is root


@pytest.mark.parametrize("text", ["${env:}", "${env:A-B}", "${env:TEXT", "${env:1A}", "${env: TEXT} ${env:TEXT}"])
def test_what_is_no_reference(text: str) -> None:
    _, (problem,) = filled({"a": [text]})
    assert problem.path == ("a", 0)
    assert problem.what == "a reference that is not of the form ${env:NAME} or ${env:NAME:-default}"


def test_a_key_is_no_place_for_one() -> None:
    value, (problem,) = filled({"passes": {"${env:TEXT}": 1}})
    assert value == {"passes": {"${env:TEXT}": 1}}
    assert (problem.path, problem.what) == (("passes", "${env:TEXT}"), "a key cannot hold a variable")


# --- in a workflow ------------------------------------------------------------------------------------------------


def options(folder: Path, text: str, *overrides: str, suffix: str = ".yaml") -> dict[str, object]:
    """The options of the pass in a workflow."""
    file = folder / f"w{suffix}"
    file.write_text(text)
    workflow = read([file], overrides).raise_if_wrong()
    return workflow.passes["a"][0].options.model_dump(exclude_unset=True)


VALUES: Mapping[str, tuple[str, object]] = {
    "whole": ("${env:WHOLE}", 8),
    "real": ("${env:REAL}", 1e-4),
    "truth": ("${env:TRUE}", True),
    "text": ("${env:DIGITS}", "2024"),
    "bits": ("${env:BITS}", 8),
    "word": ("${env:WORD}", "cosine"),
    "either": ("${env:WHOLE}", 8),
    "share": ("${env:SHARE}", 0.3),
    "names": ("${env:DIGITS}", "2024"),
}


@pytest.mark.parametrize("name", VALUES)
def test_a_value_is_of_the_kind_that_the_option_takes(name: str, tmp_path: Path) -> None:
    reference, value = VALUES[name]
    text = MODEL + f"passes: {{a: {{type: Typed, {name}: '{reference}'}}}}"
    assert options(tmp_path, text) == {name: value}
    assert type(options(tmp_path, text)[name]) is type(value)
    assert options(tmp_path, MODEL + "passes: {a: {type: Typed}}", f"passes.a.{name}={reference}") == {name: value}
    passes = {"a": {"type": "Typed", name: reference}}
    as_json = {"input_model": {"type": "HfModel", "model_path": "a/b"}, "passes": passes}
    assert options(tmp_path, json.dumps(as_json), suffix=".json") == {name: value}


def test_values_in_lists_mappings_and_groups(tmp_path: Path) -> None:
    text = (
        MODEL
        + """\
passes:
  a:
    type: Typed
    either: ${env:UNSET:-auto}
    names: ["${env:TEXT}", "${env:DIGITS}"]
    sizes: [1, "${env:WHOLE}"]
    by_name: {x: "${env:REAL}"}
    free: {on: "${env:TRUE}", rate: "${env:REAL}", revision: "v${env:WHOLE}"}
    inner: {bits: "${env:BITS}", seed: "${env:WHOLE}"}
"""
    )
    assert options(tmp_path, text) == {
        "either": "auto",
        "names": ("one two", "2024"),
        "sizes": (1, 8),
        "by_name": {"x": 1e-4},
        "free": {"on": True, "rate": 1e-4, "revision": "v8"},
        "inner": {"bits": 8, "seed": 8},
    }


def test_values_beside_passes(tmp_path: Path) -> None:
    file = tmp_path / "w.yaml"
    file.write_text(
        "input_model: {type: '${env:UNSET:-HfModel}', model_path: 'org/${env:WORD}', "
        "load_kwargs: {trust_remote_code: '${env:TRUE}'}}\nseed: ${env:WHOLE}\nevaluate_input_model: ${env:TRUE}\n"
    )
    workflow = read([file]).raise_if_wrong()
    assert workflow.input_model.model_dump(include={"model_path", "load_kwargs"}) == {
        "model_path": "org/cosine",
        "load_kwargs": {"trust_remote_code": True},
    }
    assert (workflow.seed, workflow.evaluate_input_model) == (8, True)


def problems(folder: Path, text: str, *overrides: str) -> list[str]:
    file = folder / "w.yaml"
    file.write_text(MODEL + text)
    return [str(problem).removeprefix(f"{folder}/") for problem in read([file], overrides).problems]


def test_wrong_values_are_told_where_the_reference_is(tmp_path: Path) -> None:
    text = "passes:\n  a: {type: Typed, whole: '${env:TEXT}', bits: '${env:UNSET:-3}', truth: '${env:WHOLE}'}\n"
    assert problems(tmp_path, text) == [
        "w.yaml:3:27: passes.a.whole: expected a whole number, found 'one two'",
        "w.yaml:3:48: passes.a.bits: must be 4 or 8, found 3",
        "w.yaml:3:74: passes.a.truth: expected true or false, found 8",
    ]


def test_a_variable_that_is_not_set_is_one_problem(tmp_path: Path) -> None:
    said = "passes.a.text: the environment variable UNSET is not set; set it, or give a default: ${env:UNSET:-…}"
    assert problems(tmp_path, "passes: {a: {type: Typed, text: '${env:UNSET}'}}") == [f"w.yaml:2:33: {said}"]
    override = "passes.a.text=${env:UNSET}"
    assert problems(tmp_path, "passes: {a: {type: Typed}}", override) == [f"--set {override}: {said}"]


def test_a_malformed_reference_is_one_problem(tmp_path: Path) -> None:
    said = (
        "a reference that is not of the form ${env:NAME} or ${env:NAME:-default}; a name holds letters, digits and `_`"
    )
    text = "passes: {a: {type: Typed, text: '${env:A B}'}}"
    assert problems(tmp_path, text) == [f"w.yaml:2:33: passes.a.text: {said}"]
    assert problems(tmp_path, text, "passes.a.whole=2") == [f"w.yaml:2:33: passes.a.text: {said}"]


@pytest.mark.parametrize("reference", ["${env:UNSET}", "${env:UNSET"])
def test_what_follows_from_a_failed_reference_is_not_told(reference: str, tmp_path: Path) -> None:
    text = (
        f"input_model: {{type: HfModel, model_path: '{reference}'}}\n"
        f"passes: {{a: {{type: Typed, whole: '{reference}', bits: '{reference}', sizes: ['{reference}']}}}}\n"
    )
    paths = [problem.path for problem in draft(tmp_path, text).problems]
    assert paths == [
        ("input_model", "model_path"),
        ("passes", "a", "whole"),
        ("passes", "a", "bits"),
        ("passes", "a", "sizes", 0),
    ]


def test_a_reference_as_a_shell_writes_it_is_asked_about(tmp_path: Path) -> None:
    (problem,) = draft(tmp_path, "input_model: {type: HfModel, model_path: '${NOSUCH}/x'}").problems
    assert (problem.what, problem.hint) == ("no such folder: '${NOSUCH}/x'", "write ${env:NOSUCH} for a variable")


def test_only_what_comes_from_a_variable_is_taken_for_a_number(tmp_path: Path) -> None:
    assert as_meant("8", (int,)) == "8"
    assert problems(tmp_path, "passes: {a: {type: Typed, bits: '8'}}") == [
        "w.yaml:2:33: passes.a.bits: must be 4 or 8, found '8'; did you mean `8`?"
    ]


def test_a_value_counts_and_not_its_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_toy_model(tmp_path / "base")
    monkeypatch.chdir(tmp_path)
    text = "input_model: {type: HfModel, model_path: base}\npasses: {a: {type: ToyScale, factor: FACTOR}}\n"
    keys = []
    for factor in ("8", "'${env:WHOLE}'", "'${env:DIGITS}'"):
        Path("w.yaml").write_text(text.replace("FACTOR", factor))
        keys.append(api.plan(load_workflow("w.yaml")).steps["a"].key)
    assert keys[0] == keys[1] != keys[2]


# --- secrets ------------------------------------------------------------------------------------------------------

SECRET = """\
systems:
  cloud:
    type: AzureML
    aml_compute: ${env:TEXT}
    hf_token: ${env:TOKEN}
    azureml_client: {subscription_id: s, resource_group: g, workspace_name: w}
"""


def draft(folder: Path, text: str, *overrides: str) -> Draft:
    file = folder / "w.yaml"
    file.write_text(text)
    return read([file], overrides)


@pytest.mark.parametrize("unset", [False, True])
def test_a_secret_stays_a_reference(unset: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if unset:
        monkeypatch.delenv("TOKEN")
    found = draft(tmp_path, MODEL + SECRET, "seed=1")
    options_ = found.raise_if_wrong().systems["cloud"].options.model_dump()
    assert (options_["aml_compute"], options_["hf_token"]) == ("one two", "${env:TOKEN}")
    assert found.root is not None
    assert plain(find(found.root, ("systems", "cloud", "hf_token")) or found.root) == "${env:TOKEN}"


def test_a_secret_by_override_stays_a_reference(tmp_path: Path) -> None:
    text = MODEL + SECRET.replace("    hf_token: ${env:TOKEN}\n", "")
    options_ = draft(tmp_path, text, "systems.cloud.hf_token=${env:TOKEN}").raise_if_wrong().systems["cloud"].options
    assert options_.model_dump()["hf_token"] == "${env:TOKEN}"


@pytest.mark.parametrize(
    "written", ["hf_tokn: ${env:TOKEN}", "hf_token: x${env:TOKEN}", "hf_token: [a]", "hf_token: hunter2"]
)
def test_no_message_tells_a_secret(written: str, tmp_path: Path) -> None:
    found = draft(tmp_path, MODEL + SECRET.replace("hf_token: ${env:TOKEN}", written))
    assert [problem.path[:2] for problem in found.problems] == [("systems", "cloud")]
    assert "hunter2" not in " ".join(map(str, found.problems))


def test_no_file_of_a_run_holds_a_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_toy_model(tmp_path / "base")
    monkeypatch.chdir(tmp_path)
    Path("w.yaml").write_text(
        "input_model: {type: HfModel, model_path: base}\n"
        "systems: {here: {type: LocalSystem, environment_variables: {API_TOKEN: '${env:TOKEN}'}}}\n"
        "host: here\n"
        "passes: {a: {type: ToyScale, factor: 2}}\n"
    )
    workflow = load_workflow("w.yaml")
    monkeypatch.setenv("TOKEN", "another")
    assert api.plan(load_workflow("w.yaml")).steps["a"].key == api.plan(workflow).steps["a"].key
    assert "hunter2" not in workflow.model_dump_json()
    monkeypatch.setenv("TOKEN", "hunter2")
    api.run(workflow)
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert len(files) > 5
    assert [file for file in files if b"hunter2" in file.read_bytes()] == []
    lock = next(file for file in (tmp_path / "output").rglob("*") if "lock" in file.name)
    assert "${env:TOKEN}" in lock.read_text()
