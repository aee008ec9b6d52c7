"""What `olive passes`, `systems`, `metrics` and `schema` tell of what is installed."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner, Result
from jsonschema import Draft202012Validator

from olive_engine import registry
from olive_engine.cli.group import COMMANDS, LazyGroup, olive

WIDTH = 80


def call(*arguments: str) -> Result:
    return CliRunner().invoke(olive, arguments, prog_name="olive", catch_exceptions=False)


def told(*arguments: str) -> dict:
    result = call(*arguments, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    return json.loads(result.stdout)


# --- lists --------------------------------------------------------------------------------------------------------


def test_passes_are_grouped_by_what_they_take_and_give() -> None:
    lines = call("passes").stdout.splitlines()
    heading = lines.index("HfModel -> HfAdapterModel")
    assert lines[heading + 1] == "  LoRA                 Fine-tune low-rank adapters on a frozen model."
    below = lines.index("HfAdapterModel -> HfModel")
    assert lines[below + 1].startswith("  MergeAdapterWeights  Fold an adapter into")
    assert lines[-1] == "`olive passes NAME` shows one with its options"
    assert {line.split()[0] for line in lines if line.startswith("  ")} == set(registry.passes())


@pytest.mark.parametrize(
    ("command", "known"),
    [("passes", registry.passes()), ("systems", registry.systems()), ("metrics", registry.metrics())],
)
def test_lists_as_json(command: str, known: dict[str, object]) -> None:
    listed = told(command)[command]
    assert [each["name"] for each in listed] == list(known)
    assert all(each["summary"].endswith(".") and "http" not in each["summary"] for each in listed)


def test_what_a_program_learns_of_a_pass() -> None:
    (merge,) = [each for each in told("passes")["passes"] if each["name"] == "MergeAdapterWeights"]
    assert (merge["takes"], merge["gives"]) == (["HfAdapterModel"], ["HfModel"])
    assert (merge["takes_several"], merge["extra"]) == (False, "cpu")
    assert "peft" in merge["requires"]


# --- one of them --------------------------------------------------------------------------------------------------


def test_data_that_must_be_named_must_be_given() -> None:
    page = call("passes", "lora").stdout
    assert "  train_data_config  name of a data config, must be given\n" in page
    assert "  eval_data_config  name of a data config, default null\n" in page
    assert re.search(r"^  training_args\.seed  int >= 0 and < 2\*\*32, default null$", page, re.MULTILINE)
    assert "e+0" not in page


def test_a_page_shows_the_pass_in_a_workflow() -> None:
    page = call("passes", "LoRA").stdout
    assert (
        "In a workflow:\n  passes:\n    lora:\n      type: LoRA\n      train_data_config: train\n\nOptions:\n" in page
    )


def test_builds_of_one_library_are_alternatives() -> None:
    page = call("passes", "ModelBuilder").stdout
    assert (
        'onnxruntime (or -gpu, -directml), onnxruntime-genai (or -cuda, -directml): pip install "olive-engine' in page
    )


def test_a_page_as_json() -> None:
    lora = told("passes", "lora")
    options = {option["name"]: option for option in lora["options"]}
    assert options["train_data_config"]["required"]
    assert "default" not in options["train_data_config"]
    assert options["alpha"]["default"] == 16
    assert options["lora_dropout"] == {
        "name": "lora_dropout",
        "type": "float >= 0 and < 1",
        "required": False,
        "default": 0.05,
        "description": "Share of an adapter's inputs that are dropped in training.",
    }
    assert options["training_args.learning_rate"]["default"] == 2e-4
    assert lora["example"] == {"type": "LoRA", "train_data_config": "train"}


def test_metrics_and_systems_as_json() -> None:
    latency = told("metrics", "latency")
    assert {"name": "p50", "higher_is_better": False} in latency["sub_types"]
    assert (latency["measures_time"], latency["needs_data"]) == (True, False)
    assert [option["name"] for option in latency["options"]][:2] == ["prompt_tokens", "new_tokens"]
    assert "workers" in {option["name"] for option in told("systems", "localsystem")["options"]}


def test_the_example_fits_the_schema_of_the_pass() -> None:
    for name in registry.passes():
        schema = json.loads(call("schema", "--pass", name).stdout)
        Draft202012Validator(schema).validate(told("passes", name)["example"])


@pytest.mark.parametrize("command", ["passes", "systems", "metrics"])
def test_an_unknown_name_is_told_to_people_and_programs_and_exits_with_2(command: str) -> None:
    result = call(command, "LoRe", "--json")
    assert result.exit_code == 2
    said = json.loads(result.stdout)
    assert (said["event"], said["type"]) == ("error", "UsageError")
    assert "is called `LoRe`" in said["message"]
    assert "is called `LoRe`" in result.stderr


# --- stopped --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop", [KeyboardInterrupt, click.Abort])
@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_ends_with_130_when_it_is_stopped(
    name: str, stop: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    @click.command(name)
    def stopped() -> None:
        raise stop

    monkeypatch.setattr(LazyGroup, "get_command", lambda *_: stopped)
    result = call(name)
    assert (result.exit_code, result.stdout) == (130, "")
    assert ("this goes on from there" in result.stderr) is (name == "run")
    assert "interrupted" in result.stderr
    assert "Aborted" not in result.stderr


# --- in a terminal of 80 columns ----------------------------------------------------------------------------------


def shown(*arguments: str, kind: str = "xterm-256color") -> list[str]:
    """What a terminal of 80 columns gets, without colours."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, WIDTH, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "olive_engine", *arguments],
        env={**environment, "TERM": kind},
        stdin=subprocess.DEVNULL,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    found = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:  # Linux's way of saying that the other side is closed
            break
        if not part:
            break
        found += part
    os.close(master)
    assert process.wait(timeout=60) == 0, found
    assert (b"\x1b[" in found) is (kind != "dumb")
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", found.decode())
    return [line.rstrip() for line in text.replace("\r\n", "\n").splitlines()]


def test_a_list_in_a_terminal() -> None:
    lines = shown("passes")
    assert max(map(len, lines)) <= WIDTH
    start = next(index for index, line in enumerate(lines) if line.startswith("  MergeAdapterWeights  "))
    assert lines[start + 1].startswith(" " * 23)  # the sentence goes on below itself
    assert lines[start + 1].strip().endswith("as the two did.")


def test_a_page_in_a_terminal() -> None:
    lines = shown("passes", "ModelBuilder")
    assert max(map(len, lines)) <= WIDTH
    at = lines.index("  precision  fp32 | fp16 | int8 | int4, default fp32")
    assert lines[at + 1].startswith("      How weights are stored.")
    assert yaml.safe_load("\n".join(lines[lines.index("In a workflow:") + 1 : lines.index("Options:")])) == {
        "passes": {"model_builder": {"type": "ModelBuilder"}}
    }


@pytest.mark.parametrize("arguments", [("passes",), ("passes", "LoRA")])
def test_a_terminal_that_knows_no_colours_wraps_too(arguments: tuple[str, ...]) -> None:
    lines = shown(*arguments, kind="dumb")
    assert max(map(len, lines)) <= WIDTH
    assert [line.split() for line in lines] == [line.split() for line in shown(*arguments)]
    assert max(map(len, call(*arguments).stdout.splitlines())) > WIDTH  # a pipe gets whole lines


def test_the_schema_is_what_editors_are_told_of(tmp_path: Path) -> None:
    """`olive schema > FILE` gives a schema that a sample validates by."""
    schema = json.loads(call("schema").stdout)
    assert set(schema["$defs"]["Pass"]["properties"]["type"]["enum"]) == set(registry.passes())
    assert len(schema["$defs"]["Pass"]["properties"]["type"]["enumDescriptions"]) == len(registry.passes())
    sample = Path(__file__).parents[2] / "samples/phrase_tone/workflow.yaml"
    Draft202012Validator(schema).validate(yaml.safe_load(sample.read_text()))
