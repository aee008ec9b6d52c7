"""A secret that a workflow really uses is in no file and in no line that anybody sees."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from olive_engine import plan, run
from olive_engine.errors import InvalidWorkflow, PassFailed, SystemUnavailable
from olive_engine.reporting.events import StepFailed, StepLog
from olive_engine.reporting.recorder import Recorder
from olive_engine.secrecy import KNOWN_FORMS, LISTED, Secrets, counted, shown
from olive_engine.testing.toys import build_toy_model
from olive_systems.variables import resolved

CANARY = 'can"ary\\7fd1/e09c&b2 4a'
"""With everything in it that quoting changes."""
TOKEN = "tok_5d1c9ab07e2f"
NAMES = {"MY_PLACE": CANARY, "HF_TOKEN": TOKEN, "AZURE_CLIENT_SECRET": "azure-" + TOKEN[::-1]}
"""A variable whose name says nothing, and two whose names say it all."""


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def workflow(then: str = "", system: str = "LocalSystem") -> dict[str, object]:
    def using(variable: str, secret: str, how: str = "") -> dict[str, object]:
        return {"type": "ToySecret", "variable": variable, "sha256": digest_of(secret), "then": how}

    variables = {"GIVEN": "${env:MY_PLACE}", "HEADER": "Bearer ${env:MY_PLACE}", "UNSET": "${env:NOT_SET:-nothing}"}
    return {
        "input_model": {"type": "HfModel", "model_path": "base"},
        "systems": {"here": {"type": system, "environment_variables": variables}},
        "host": "here",
        "passes": {
            "given": using("GIVEN", CANARY),
            "header": using("HEADER", "Bearer " + CANARY),
            "token": using("HF_TOKEN", TOKEN),
            "azure": using("AZURE_CLIENT_SECRET", NAMES["AZURE_CLIENT_SECRET"]),
            "last": using("GIVEN", CANARY, then),
        },
    }


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in NAMES.items():
        monkeypatch.setenv(name, value)


def leaks(text: bytes) -> list[str]:
    """Which secrets a text holds, however they are quoted; the longest piece that quoting leaves alone counts."""
    pieces = [*NAMES.values(), "7fd1/e09c", "7fd1%2Fe09c"]
    return [piece for piece in pieces if piece.encode() in text]


def leaking_files(folder: Path) -> dict[str, list[str]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): found for path in files if (found := leaks(path.read_bytes()))}


@pytest.mark.parametrize(
    ("then", "arguments"),
    [
        ("", ["--log-level", "debug"]),
        ("", ["--json", "--log-level", "debug"]),
        ("", ["--debug"]),
        ("raise", ["--log-level", "debug"]),
        ("raise", ["--log-level", "error"]),
        ("raise", ["--json"]),
        ("raise", ["--debug"]),
        ("exit", ["--log-level", "debug"]),
        ("kill", ["--log-level", "info"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "".join(value),
)
def test_the_canary_is_nowhere(secrets, tmp_path, then, arguments):
    build_toy_model(tmp_path / "base")
    (tmp_path / "workflow.json").write_text(json.dumps(workflow(then)))
    done = subprocess.run(
        [sys.executable, "-P", "-m", "olive_engine", "run", "workflow.json", *arguments],
        cwd=tmp_path,
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == (1 if then else 0), done.stderr
    printed = done.stderr.splitlines()
    if "--debug" in arguments:  # the user's own terminal, which libraries in other languages reach past Python
        printed = [line for line in printed if not line.startswith(b"past Python: ")]
    assert leaks(done.stdout) == leaks(b"\n".join(printed)) == []
    assert leaking_files(tmp_path) == {}
    report = json.loads((tmp_path / "output" / "run.json").read_text())
    assert [step["status"] for step in report["steps"]] == ["executed"] * 4 + ["failed" if then else "executed"]
    said = done.stdout + done.stderr
    if then == "raise":
        assert report["steps"][-1]["cause"].startswith("RuntimeError: 401: https://****@host/ refused")
        assert b"401: https://****@host/" in said
    if "debug" in arguments and not then and "--json" not in arguments:
        assert b"asking with ****" in said


@pytest.mark.parametrize("command", ["validate", "plan", "doctor"])
def test_what_runs_nothing_says_nothing(secrets, tmp_path, command):
    build_toy_model(tmp_path / "base")
    (tmp_path / "workflow.json").write_text(json.dumps(workflow()))
    done = subprocess.run(
        [sys.executable, "-P", "-m", "olive_engine", command, *(["workflow.json"] if command != "doctor" else [])],
        cwd=tmp_path,
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert leaks(done.stdout + done.stderr) == []
    assert leaking_files(tmp_path) == {}


def test_where_nothing_is_shared(secrets, make, project):
    """The other place is a folder of the project here, so that it is searched too."""
    (project / "elsewhere").mkdir()
    described = workflow("raise")
    described["systems"] = {"here": {"type": "DetachedSystem", "root": str(project / "elsewhere")}}
    described["passes"] = {
        name: {**each, "variable": "HF_TOKEN", "sha256": digest_of(TOKEN)} for name, each in described["passes"].items()
    }
    recorder = Recorder()
    with pytest.raises(PassFailed, match=r"401: https://\*\*\*\*@host/ refused '\*\*\*\*'"):
        run(make(**described), recorder)
    assert leaks(repr(recorder.events).encode()) == []
    assert leaking_files(project) == {}
    assert "asking with ****" in "".join(path.read_text() for path in project.rglob("events.jsonl"))


def test_in_another_environment(secrets, make, project):
    recorder = Recorder()
    described = workflow("raise")
    described["systems"]["here"] |= {"type": "PythonEnvironment", "python_environment_path": sys.prefix}
    with pytest.raises(PassFailed):
        run(make(**described), recorder)
    (failed,) = [event for event in recorder.events if isinstance(event, StepFailed)]
    assert failed.step == "last"
    assert leaks(repr(recorder.events).encode()) == []
    assert leaking_files(project) == {}


def test_in_a_search_and_a_shared_cache(secrets, make, project):
    recorder = Recorder()
    described = workflow()
    described["passes"]["last"]["then"] = ["raise", "kill", ""]
    shared = {"url": "shared", "write": True, "storage_options": {"token": "${env:HF_TOKEN}"}}
    sizes = {"e": {"metrics": [{"name": "size", "type": "size_on_disk"}]}}
    searching = {"search_strategy": {"sampler": "sequential"}, "evaluators": sizes, "evaluator": "e"}
    run(make(**described, **searching, shared_cache=shared), recorder)
    failed = [event for event in recorder.events if isinstance(event, StepFailed)]
    assert len(failed) == 2
    assert leaks(repr(recorder.events).encode()) == []
    assert leaking_files(project) == {}
    again = (project / "output" / "retrain.yaml").read_text()
    assert "GIVEN: ${env:MY_PLACE}" in again
    assert list((project / "shared").rglob("*.json"))


def test_masked_words_are_said_and_logged(secrets, make, project):
    recorder = Recorder()
    with pytest.raises(PassFailed) as caught:
        run(make(**workflow("raise")), recorder)
    logged = [event.message for event in recorder.events if isinstance(event, StepLog) and event.step == "header"]
    assert logged == ["asking with ****", 'denied: "****"']
    (failed,) = [event for event in recorder.events if isinstance(event, StepFailed)]
    assert failed.cause.startswith("RuntimeError: 401: https://****@host/ refused")
    assert "KeyError: '****'" in failed.traceback
    assert set(failed.log) >= {"printed: ****", "printed in pieces: ****", "past Python: ****"}
    assert leaks(repr(recorder.events).encode()) == leaks(str(caught.value).encode()) == []


def test_references_are_what_is_written(secrets, make, project):
    run(make(**workflow()))
    lock = json.loads((project / "output" / "workflow.lock.json").read_text())
    assert lock["workflow"]["systems"]["here"]["options"]["environment_variables"] == {
        "GIVEN": "${env:MY_PLACE}",
        "HEADER": "Bearer ${env:MY_PLACE}",
        "UNSET": "${env:NOT_SET:-nothing}",
    }


def test_another_secret_is_no_reason_to_run_again(make, monkeypatch):
    variables = {"A_TOKEN": "${env:TEAM}", "HEADER": "Bearer ${env:TEAM_TOKEN}"}
    described = {"systems": {"here": {"type": "LocalSystem", "environment_variables": variables}}, "host": "here"}
    monkeypatch.setenv("TEAM", "a team's token")
    monkeypatch.setenv("TEAM_TOKEN", "another token of it")
    run(make({"scale": {"type": "ToyScale"}}, **described))
    monkeypatch.setenv("TEAM", "renewed")
    monkeypatch.setenv("TEAM_TOKEN", "renewed too")
    assert plan(make({"scale": {"type": "ToyScale"}}, **described)).to_run == ()


def test_another_value_that_is_no_secret_is_a_reason_to_run_again(make, monkeypatch):
    system = {"type": "LocalSystem", "environment_variables": {"TOY_MODE": "${env:MODE:-one}"}}

    def planned() -> tuple[str, ...]:
        return plan(make({"scale": {"type": "ToyScale"}}, systems={"here": system}, host="here")).to_run

    monkeypatch.delenv("MODE", raising=False)
    run(make({"scale": {"type": "ToyScale"}}, systems={"here": system}, host="here"))
    monkeypatch.setenv("MODE", "two")
    assert planned() == ("scale",)
    monkeypatch.setenv("MODE", "one")
    assert planned() == ()


def test_what_counts_of_variables():
    own = {"MODE": "one", "EMPTY": "", "MY_TOKEN": "hush"}

    def key(**variables: str) -> str:
        return json.dumps(counted(variables, own))

    assert counted({"A": "x${env:MODE}${env:NONE}", "B": "${env:MY_TOKEN}", "C_KEY": "${env:MODE}"}, own) == {
        "A": "xone${env:NONE}",
        "B": "${env:MY_TOKEN}",
        "C_KEY": "${env:MODE}",
    }
    unset = {"A": "${env:EMPTY}", "B": "${env:EMPTY:-two}", "C": "${env:NONE:-}", "D": "${env:NONE:-two}"}
    assert counted(unset, own) == {"A": "", "B": "two", "C": "", "D": "two"}
    assert resolved(unset | {"A": "plain"}) | {LISTED: ""} == counted(unset | {"A": "plain"}, own) | {LISTED: ""}
    assert key(SORT_KEY="a") != key(SORT_KEY="b")


def test_of_a_secret_references_are_shown_and_nothing_else():
    given = {
        "HF_TOKEN": "${env:HF_TOKEN}",
        "A_TOKEN": "literal-part${env:HOME}",
        "B_TOKEN": "${env:X:-literal-default}",
        "C_TOKEN": "${env:X:-}${env:Y}-end",
        "SORT_KEY": "a",
        "PLAIN": "literal${env:X:-default}",
    }
    assert shown(given) == {
        "HF_TOKEN": "${env:HF_TOKEN}",
        "A_TOKEN": "****${env:HOME}",
        "B_TOKEN": "${env:X:-****}",
        "C_TOKEN": "${env:X}${env:Y}****",
        "SORT_KEY": "****",
        "PLAIN": "literal${env:X:-default}",
    }


def test_no_part_of_a_literal_secret_is_in_a_file(make, project, monkeypatch):
    """It works, though a reference stands beside it."""
    monkeypatch.setenv("TEAM", "team-")
    secret = "literal-0123456789"
    variables = {"A_TOKEN": "${env:TEAM}" + secret, "B_TOKEN": "${env:NOT_SET:-" + secret + "}"}
    passes = {
        "a": {"type": "ToySecret", "variable": "A_TOKEN", "sha256": digest_of("team-" + secret)},
        "b": {"type": "ToySecret", "variable": "B_TOKEN", "sha256": digest_of(secret)},
    }
    recorder = Recorder()
    run(
        make(passes, systems={"here": {"type": "LocalSystem", "environment_variables": variables}}, host="here"),
        recorder,
    )
    lock = json.loads((project / "output" / "workflow.lock.json").read_text())
    assert lock["workflow"]["systems"]["here"]["options"]["environment_variables"] == {
        "A_TOKEN": "${env:TEAM}****",
        "B_TOKEN": "${env:NOT_SET:-****}",
    }
    files = [path for path in project.rglob("*") if path.is_file()]
    assert [path for path in files if secret.encode() in path.read_bytes()] == []
    assert secret not in repr(recorder.events)


def test_the_same_results_under_debug(secrets, make, project):
    """The engine's own process sets the variables for a job, and takes them back."""
    run(make(**workflow()))
    assert run(make(**workflow()), debug=True).executed == ()
    run(make(**workflow(), cache_dir="other"), debug=True)
    assert "GIVEN" not in os.environ
    assert "OLIVE_ENGINE_SECRETS" not in os.environ
    assert leaking_files(project) == {}


def test_a_variable_that_is_not_set_is_said_before_anything_runs(secrets, make, project, monkeypatch):
    monkeypatch.delenv("MY_PLACE")
    made = make(**workflow())
    recorder = Recorder()
    with pytest.raises(InvalidWorkflow) as caught:
        run(made, recorder)
    assert [str(problem) for problem in caught.value.problems] == [
        f"systems.here.environment_variables.{name}: the environment variable MY_PLACE is not set; set it, or give a "
        "default: ${env:MY_PLACE:-…}"
        for name in ("GIVEN", "HEADER")
    ]
    assert recorder.events == []
    assert len(plan(made).to_run) == 5  # and planning needs no secret


@pytest.mark.parametrize("text", ["${env:1X}", "${env:A-B}", "a ${env:", "${env:A} ${env:B"])
def test_what_looks_like_a_reference_and_is_none(make, text):
    systems = {"here": {"type": "LocalSystem", "environment_variables": {"A_TOKEN": text}}}
    with pytest.raises(InvalidWorkflow, match=r"A_TOKEN: a reference that is not of the form \$\{env:NAME\}"):
        make({"scale": {"type": "ToyScale"}}, systems=systems)


def test_variables_are_resolved_when_a_worker_starts(monkeypatch):
    monkeypatch.setenv("ONE", "1")
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.delenv("NONE", raising=False)
    found = resolved({"A": "${env:ONE}${env:ONE}", "B": "${env:EMPTY:-two}", "C": "${env:EMPTY}", "D": "plain $ONE"})
    assert found == {"A": "11", "B": "two", "C": "", "D": "plain $ONE", LISTED: "A,B,C,EMPTY,ONE"}
    assert resolved(found) == found
    assert resolved({"D": "plain"}) == {"D": "plain"}
    with pytest.raises(SystemUnavailable, match=r"variable NONE, which E of `environment_variables` refers to, is not"):
        resolved({"E": "${env:NONE}"})


# --- which values are masked --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        *("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "AZURE_STORAGE_KEY", "AZURE_CLIENT_SECRET"),
        *("OPENAI_API_KEY", "PGPASSWORD", "AZURE_STORAGE_CONNECTION_STRING", "my_key", "SAS", "GITHUB_TOKEN_2"),
    ],
)
def test_names_of_secrets(name):
    assert Secrets.among({name: "hush-hush-hush"}).masked("say hush-hush-hush!") == "say ****!"


@pytest.mark.parametrize("name", ["TOKENIZERS_PARALLELISM", "MAX_TOKENS", "KEYBOARD", "PATH", "HOME", "SASSY"])
def test_names_of_others(name):
    assert Secrets.among({name: "hush-hush-hush"}).masked("hush-hush-hush") == "hush-hush-hush"


def test_short_values_and_paths_are_left_alone(tmp_path):
    held = {"A_TOKEN": "true", "B_TOKEN_FILE": str(tmp_path), "C_TOKEN": "long enough"}
    text = f"true of {tmp_path}: long enough"
    assert Secrets.among(held).masked(text) == f"true of {tmp_path}: ****"


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("git+https://ghp_abcdefghijklmnop@github.com/x/y", "git+https://****@github.com/x/y"),
        ("https://me:secret@host/x, http://me:@host/y", "https://****@host/x, http://****@host/y"),
        ("redis://:secret@host:1", "redis://****@host:1"),
        ("git+ssh://git@host/x ssh://me:secret@host", "git+ssh://git@host/x ssh://****@host"),
        ("abfss://team@account.dfs.core.windows.net/x", "abfss://team@account.dfs.core.windows.net/x"),
        ("https://${env:TOKEN}@host https://${TOKEN}@host", "https://${env:TOKEN}@host https://${TOKEN}@host"),
        ("https://${env:TOKEN}:x@host", "https://****@host"),
        ("https://host/a@b me@host", "https://host/a@b me@host"),
    ],
)
def test_who_asks_is_masked_in_a_url(text, seen):
    assert KNOWN_FORMS.sub("****", text) == seen
    assert Secrets().masked(text) == seen


def test_the_longest_is_masked_first_and_each_line_of_a_key():
    held = {"A_KEY": "12345678", "B_KEY": "12345678-and-more", "C_KEY": "-----BEGIN-----\nMIIEvQIBADAN\n"}
    masked = Secrets.among(held).masked("12345678-and-more, 12345678, MIIEvQIBADAN, hf_ABCDEFGHIJKLMNOPQRST")
    assert masked == "****, ****, ****, ****"
