"""`olive doctor`: what it finds, how it says so, and that it tells no secret."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from olive_engine import doctor, machine, providers, requirements
from olive_engine.cli.group import olive
from olive_engine.logins import azure_login, hub_login
from olive_engine.store.health import examine
from olive_engine.store.locks import Lock

METADATA = ("click>=8.1", "torch>=2.8; extra == 'cpu'", "peft>=0.18; extra == 'cpu'", "ray>=2.40; extra == 'ray'")
SOUND = {"click": "8.5.1", "torch": "2.13.0+cpu", "peft": "0.21.2"}


def call(*arguments: str) -> Result:
    return CliRunner().invoke(olive, ("doctor", *arguments), prog_name="olive", catch_exceptions=False)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What is installed, as the test says; at first all that is asked for, as tested."""
    versions = dict(SOUND)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(requirements, "requires", lambda _name: list(METADATA))
    tested = {"click": "8.5.1", "torch": "2.13.0", "peft": "0.21.2", "numpy": "2.4.6"}
    monkeypatch.setattr(doctor, "tested_versions", lambda: tested)
    for module in (doctor, machine, providers, requirements):
        monkeypatch.setattr(module, "package_version", lambda name: versions.get(name, ""))
    monkeypatch.setattr(doctor.gpus, "driver", lambda: "")
    return versions


def states(told: dict) -> dict[str, str]:
    return {library["name"]: library["state"] for library in told["libraries"]}


# --- libraries ----------------------------------------------------------------------------------------------------


def test_nothing_is_wrong(installed: dict[str, str]) -> None:
    result = call()
    assert result.exit_code == 0, result.output
    assert result.output.endswith("\nNothing is wrong.\n")
    assert re.search(r"^  torch +2\.13\.0\+cpu +2\.13\.0$", result.output, re.MULTILINE)
    assert "not installed  ray (ray)" in result.output
    told = json.loads(call("--json").stdout)
    assert (told["healthy"], told["findings"], told["extra"]) == (True, [], "cpu")
    assert states(told) == {"click": "tested", "torch": "tested", "peft": "tested"}
    assert told["optional"] == {"ray": ["ray"]}


def test_other_versions_than_tested_are_told_and_stop_nothing(installed: dict[str, str]) -> None:
    installed |= {"torch": "2.12.1", "peft": "0.30", "numpy": "2.5"}
    result = call()
    assert result.exit_code == 0
    assert re.search(r"^  torch +2\.12\.1 +2\.13\.0 +older than tested$", result.output, re.MULTILINE)
    assert re.search(r"^  peft +0\.30 +0\.21\.2 +newer than tested$", result.output, re.MULTILINE)
    assert "numpy 2.5 (tested 2.4.6)" in result.output


def test_missing_and_unfit_libraries_stop_a_run(installed: dict[str, str]) -> None:
    del installed["torch"]
    installed["peft"] = "0.17.1"
    result = call()
    assert result.exit_code == 1
    assert result.output.endswith(
        "error: torch is not installed\n"
        '  -> pip install "olive-engine[cpu]"\n'
        "error: peft 0.17.1 is installed, and >=0.18 is needed\n"
        '  -> pip install "peft>=0.18"\n'
    )
    told = json.loads(call("--json").stdout)
    assert told["healthy"] is False
    assert states(told) == {"click": "tested", "torch": "missing", "peft": "unfit"}


def test_clashing_runtimes(installed: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed |= {"onnxruntime": "1.31.1", "onnxruntime-gpu": "1.31.1"}
    (tmp_path / "capi").mkdir()
    (tmp_path / "capi" / "build_and_package_info.py").write_text("package_name = 'onnxruntime'\n")
    monkeypatch.setattr(providers, "_module_folder", lambda: tmp_path)
    result = call()
    assert result.exit_code == 1
    assert result.output.endswith(
        "error: onnxruntime, onnxruntime-gpu are installed at once and overwrite each other's files; those in place "
        "are of onnxruntime\n"
        "  -> pip uninstall --yes onnxruntime onnxruntime-gpu and then pip install onnxruntime\n"
    )


def test_a_gpu_that_torch_cannot_use(installed: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.gpus, "driver", lambda: "570.86")
    (finding,) = json.loads(call("--json").stdout)["findings"]
    assert finding["severity"] == "warning"
    assert finding["what"].startswith("there is an NVIDIA driver, and torch 2.13.0+cpu is built for CPUs")


def test_a_broken_plugin(installed: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken():
        raise ImportError("plugin 'mine' (my_package:PASSES) cannot be imported: SyntaxError: invalid syntax")

    monkeypatch.setattr(doctor.registry, "passes", broken)
    result = call()
    assert result.exit_code == 1
    assert "error: plugin 'mine' (my_package:PASSES) cannot be imported" in result.output


def test_the_tested_versions_are_those_that_are_installed_here() -> None:
    tested = requirements.tested_versions()
    assert len(tested) > 50
    assert tested["huggingface-hub"].count(".") == 2
    assert {"torch", "transformers", "pydantic", "onnxruntime-genai"} <= tested.keys()


# --- the cache ----------------------------------------------------------------------------------------------------


@pytest.fixture
def cache(folder: Path) -> Path:
    """A cache with the results of a run."""
    done = CliRunner().invoke(olive, ("run", "workflow.yaml", "--debug", "--log-level", "critical"))
    assert done.exit_code == 0, done.output
    return folder / ".olive-cache"


def test_a_sound_cache(cache: Path) -> None:
    health = examine(cache)
    assert (health.exists, health.writable, health.results, health.files) == (True, True, 3, 5)
    assert health.file_bytes == sum(path.stat().st_size for path in cache.glob("blobs/*/*"))
    assert (health.damaged_records, health.incomplete_results, health.quarantined, health.runs) == (0, 0, 0, 0)
    assert re.search(r"^  cache +3 results in 5 files of \d+ B, in .*/\.olive-cache$", call().output, re.MULTILINE)


def test_a_damaged_cache(cache: Path) -> None:
    record, other = sorted(cache.glob("records/by_key/*/*.json"))[:2]
    record.write_text(record.read_text().replace("ToyScale", "ToyScalp"))
    kept = json.loads(other.read_text())["record"]["output"]["parts"]["model_path"]["files"]["numbers.json"]["sha256"]
    blob = cache / "blobs" / kept[:2] / kept
    blob.chmod(0o644)
    blob.write_text("[0]")
    (cache / "quarantine").mkdir()
    (cache / "quarantine" / "0123").touch()
    health = examine(cache)
    assert (health.results, health.damaged_records, health.incomplete_results, health.quarantined) == (2, 1, 1, 1)
    told = json.loads(call("--cache-dir", str(cache), "--json").stdout)["findings"]
    assert [finding["what"] for finding in told if "cache" in finding["what"]] == [
        "results in the cache are damaged, and their steps run again: 2",
        "damaged files of the cache were moved away: 1",
    ]
    assert blob.read_text() == "[0]", "an examination changes nothing"


def test_runs_on_the_cache(cache: Path) -> None:
    held, left = cache / "runs" / "a.lock", cache / "runs" / "b.lock"
    lock = Lock(held)
    assert lock.try_acquire()
    left.touch()
    health = examine(cache)
    lock.release()
    assert (health.runs, health.broken_runs) == (1, 1)
    assert left.exists()


def test_no_cache_yet_and_one_that_cannot_be(tmp_path: Path, installed: dict[str, str]) -> None:
    assert f"none yet in {tmp_path / '.olive-cache'}" in call().output
    assert not (tmp_path / ".olive-cache").exists()
    (tmp_path / "file").touch()
    result = call("--cache-dir", "file")
    assert result.exit_code == 1
    assert f"error: the cache {tmp_path / 'file'} is a file\n" in result.output


# --- log-ins ------------------------------------------------------------------------------------------------------


def test_the_hub_login_is_told_and_never_the_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "hf_" + "x" * 34
    environ = {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    assert hub_login(environ).token == ""
    (tmp_path / "token").write_text(secret)
    assert hub_login(environ).token == str(tmp_path / "token")
    assert hub_login(environ).offline == ("HF_HUB_OFFLINE",)
    assert hub_login(environ).cache == tmp_path / "hub"
    assert hub_login(environ | {"HF_TOKEN": secret, "HF_HUB_OFFLINE": "0"}).token == "HF_TOKEN"
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("AZURE_CLIENT_SECRET", secret)
    for output in (call().output, call("--json").output):
        assert secret not in output
        assert "AZURE_CLIENT_SECRET" in output


def test_the_azure_login(tmp_path: Path) -> None:
    environ = {"AZURE_CONFIG_DIR": str(tmp_path)}
    assert azure_login(environ).cli is False
    (tmp_path / "azureProfile.json").write_text('{"subscriptions": [{}, {}]}', encoding="utf-8-sig")
    assert azure_login(environ).cli is False, "a profile without tokens is of somebody who has logged out"
    (tmp_path / "msal_token_cache.json").write_text("{}")
    assert (azure_login(environ).cli, azure_login(environ).subscriptions) == (True, 2)


# --- how it looks and what it costs -------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="there are pseudo-terminals on Unix only")
def test_in_a_terminal_of_80_columns_only_commands_are_longer(tmp_path: Path) -> None:
    import fcntl
    import pty
    import struct
    import termios

    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 80, 0, 0))
    hidden = ("COLUMNS", "NO_COLOR", "LINES")
    variables = {name: value for name, value in os.environ.items() if name not in hidden} | {"TERM": "xterm-256color"}
    command = [sys.executable, "-P", "-m", "olive_engine", "doctor"]
    process = subprocess.Popen(command, stdout=follower, stderr=follower, stdin=follower, cwd=tmp_path, env=variables)
    os.close(follower)
    shown = b""
    try:
        while piece := os.read(leader, 65536):
            shown += piece
    except OSError:  # the terminal was closed at its other end
        pass
    finally:
        os.close(leader)
    assert process.wait() in (0, 1)
    text = shown.decode()
    assert "\x1b[1m" in text, "headings are bold"
    lines = re.sub(r"\x1b\[[0-9;]*m", "", text).split("\r\n")
    assert len(lines) > 20
    assert [line for line in lines if len(line.rstrip()) > 80 and not line.lstrip().startswith("->")] == []


def test_it_imports_nothing_heavy(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-X", "importtime", "-m", "olive_engine", "doctor"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    imported = {line.split("|")[-1].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert not {"torch", "transformers", "onnxruntime", "numpy", "datasets", "azure", "huggingface_hub"} & imported
