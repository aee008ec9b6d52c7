"""What each command prints, and its exit code."""

import json
import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from olive_engine import __version__
from olive_engine.cli import cache, catalogue, elsewhere
from olive_engine.cli.group import COMMANDS, olive
from olive_engine.config.workflow import Workflow


def call(*arguments: str) -> Result:
    return CliRunner().invoke(olive, arguments, prog_name="olive", catch_exceptions=False)


def _command(name: str) -> click.Command:
    command = olive.get_command(click.Context(olive), name)
    assert command is not None
    return command


# --- the group ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_agrees_with_each_command(name: str) -> None:
    command = _command(name)
    assert command.name == name
    assert command.short_help == COMMANDS[name]
    assert (command.help or "").splitlines()[0].rstrip(".") in (COMMANDS[name].rstrip("."), *_longer(name))


def _longer(name: str) -> list[str]:
    """Commands whose own first line says a little more than there is room for in the list."""
    return {
        "why": ["Say why STEP would run: what its result depends on that has changed since it last ran"],
        "passes": ["List the passes, or show the one called NAME with its options"],
        "systems": ["List the systems (places where steps run), or show the one called NAME with its options"],
        "metrics": ["List the metrics (what can be measured on a model), or show the one called NAME with its options"],
        "schema": [
            "Print the JSON Schema of the workflow file, or of one pass, with everything that is installed here"
        ],
    }.get(name, [])


def test_help_lists_every_command_and_the_exit_codes() -> None:
    result = call("--help")
    assert result.exit_code == 0
    for name, line in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(line)}$", result.output, re.MULTILINE)
    assert "0 done, 1 failed, 2 the workflow or the command line is wrong" in result.output


def test_version() -> None:
    assert call("--version").output == f"olive {__version__}\n"


def test_a_misspelt_command() -> None:
    result = call("plna")
    assert result.exit_code == 2
    assert "no command is called `plna`; did you mean `plan`?" in result.stderr
    assert "there are run, plan, validate" in call("xyzzy").stderr


def test_a_command_that_only_olive_has() -> None:
    result = call("manage-aml-compute", "--create", "--compute_name", "gpu-cluster")
    assert result.exit_code == 2
    assert result.stderr.rstrip().endswith(
        "Error: `manage-aml-compute` is a command of Olive's that is not here; create the compute with `az ml compute "
        "create --type AmlCompute --name NAME --size SIZE --min-instances 0 --max-instances 2`, and write NAME as "
        "`aml_compute`; `az ml compute delete` removes it"
    )
    assert "here; `olive init --goal adapter` writes" in call("finetune", "-m", "phi").stderr


@pytest.mark.parametrize("name", elsewhere.COMMANDS)
def test_what_is_said_of_olives_commands_is_there(name: str) -> None:
    assert name not in COMMANDS
    goal = next(param for param in _command("init").params if param.name == "goal")
    assert isinstance(goal.type, click.Choice)
    for said in re.findall(r"`olive ([a-z-]+)( [^`]*)?`", elsewhere.COMMANDS[name]):
        known = {option for param in _command(said[0]).params for option in param.opts}
        assert set(re.findall(r"--[a-z]+", said[1])) <= known
        assert set(re.findall(r"--goal ([a-z-]+)", said[1])) <= set(goal.type.choices)


# --- naming a workflow --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["run", "plan", "validate"])
def test_no_workflow_named(command: str) -> None:
    result = call(command)
    assert result.exit_code == 2
    assert f"Write for instance `olive {command} workflow.yaml`" in result.stderr


def test_a_workflow_named_in_both_ways() -> None:
    result = call("plan", "a.yaml", "--config", "b.yaml")
    assert result.exit_code == 2
    assert "write `olive plan --config a.yaml --config b.yaml`" in result.stderr


def test_later_files_and_settings_count_over_earlier_ones(folder: Path) -> None:
    (folder / "more.yaml").write_text("passes: {triple: {factor: 4}}")
    (folder / "output_elsewhere").mkdir()
    result = call(
        "run", "--config", "workflow.yaml", "--config", "more.yaml",
        "--set", "passes.other.factor=7", "--set", "passes.other.factor=8",
        "--output-dir", "1e3", "--cache-dir", "true", "--log-level", "critical",
    )  # fmt: skip
    assert (result.exit_code, result.output) == (0, "")
    numbers = {
        name: json.loads((folder / "1e3" / name / "model" / "numbers.json").read_text()) for name in ("triple", "other")
    }
    assert numbers == {"triple": [8.0, 16.0, 24.0], "other": [16.0, 32.0, 48.0]}
    assert (folder / "true" / "records").is_dir()


# --- validate -----------------------------------------------------------------------------------------------------


def test_validate_a_good_file(folder: Path) -> None:
    assert call("validate", "workflow.yaml").output == "workflow.yaml is valid: 3 passes\n"
    told = json.loads(call("validate", "workflow.yaml", "--json").stdout)
    assert told == {"valid": True, "problems": [], "notices": []}


def test_validate_shows_every_problem_with_its_line(folder: Path) -> None:
    (folder / "bad.yaml").write_text(
        "input_model: {type: HfModel, model_path: base}\n"
        "passes:\n"
        "  a: {type: ToyScale, factr: 3}\n"
        "  b: {type: ToyScale, factor: -1}\n"
    )
    result = call("validate", "bad.yaml")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.splitlines()[:3] == [
        "bad.yaml:3:23: passes.a.factr: unknown option `factr`; did you mean `factor`?",
        "    3 |   a: {type: ToyScale, factr: 3}",
        "      |                       ^^^^^",
    ]
    assert "bad.yaml:4:31: passes.b.factor: must be greater than 0" in result.stderr
    told = json.loads(call("validate", "bad.yaml", "--json").stdout)
    assert told["valid"] is False
    assert [(problem["path"], problem["position"]["line"]) for problem in told["problems"]] == [
        (["passes", "a", "factr"], 3),
        (["passes", "b", "factor"], 4),
    ]


def test_an_older_spelling_is_noticed(folder: Path) -> None:
    (folder / "old.yaml").write_text((folder / "workflow.yaml").read_text().replace("input_model:", "model:", 1))
    result = call("validate", "old.yaml")
    assert (result.exit_code, result.stdout) == (0, "old.yaml is valid: 3 passes\n")
    assert result.stderr == "note: old.yaml:1:1: model: `model` is called `input_model`\n"
    assert call("validate", "old.yaml", "--log-level", "error").stderr == ""


# --- plan, run, why -----------------------------------------------------------------------------------------------


PLAN = """\
Plan: 3 steps, all to run
  step    what      action  why
  double  ToyScale  run     no result yet
  triple  ToyScale  run     no result yet
  other   ToyScale  run     no result yet
"""


def test_plan_run_and_plan_again(folder: Path) -> None:
    assert call("plan", "workflow.yaml").output == PLAN
    first = call("run", "workflow.yaml", "--debug", "--log-level", "info")
    assert first.exit_code == 0
    assert first.output.startswith(PLAN)
    assert re.search(r"^Done in \d\.\d s: 3 steps run; output in output/$", first.output, re.MULTILINE)
    again = call("run", "workflow.yaml")
    assert re.sub(r"\d+\.\d s", "x s", again.output) == (
        "Plan: 3 steps, all reused\ndouble: reused, 38 B\ntriple: reused, 40 B\nother: reused, 41 B\n"
        "Nothing to do: all 3 steps were reused, x s; output in output/\n"
    )
    told = json.loads(call("plan", "workflow.yaml", "--json", "--set", "passes.triple.factor=4").stdout)
    assert (told["run"], told["reuse"]) == (1, 2)
    assert {step["step"]: (step["action"], step["reasons"]) for step in told["steps"]} == {
        "double": ("reuse", []),
        "triple": ("run", ["factor: 3.0 -> 4.0"]),
        "other": ("reuse", []),
    }
    assert all(len(step["key"]) == 64 for step in told["steps"])


def test_run_json_is_one_object_a_line_and_ends_with_the_result(folder: Path) -> None:
    result = call("run", "workflow.yaml", "--json", "--debug")
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert [event["event"] for event in events] == [
        "plan_made", *["step_started", "step_finished"] * 3, "run_finished", "result",
    ]  # fmt: skip
    end = events[-1]
    assert end["output_dir"] == str(folder / "output")
    assert end["models"]["triple"]["kind"] == "HfModel"
    assert Path(end["models"]["triple"]["model_path"]).joinpath("numbers.json").is_file()
    assert (end["metrics"], end["goals"]) == ({}, [])


def test_why(folder: Path) -> None:
    assert call("why", "workflow.yaml", "triple").output == "triple would run:\n  no result yet\n"
    assert call("run", "workflow.yaml", "--debug", "--log-level", "critical").exit_code == 0
    reused = "triple would be reused: nothing that it depends on has changed\n"
    assert call("why", "--config", "workflow.yaml", "triple").output == reused
    changed = call("why", "workflow.yaml", "triple", "--set", "passes.triple.factor=4", "--json")
    reasons = ["factor: 3.0 -> 4.0"]
    assert json.loads(changed.stdout) == {"step": "triple", "action": "run", "reasons": reasons, "source": ""}


def test_why_of_no_step_and_of_an_unknown_one(folder: Path) -> None:
    assert "Write `olive why workflow.yaml STEP`" in call("why", "workflow.yaml").stderr
    result = call("why", "workflow.yaml", "tripel")
    assert result.exit_code == 2
    assert "there is no step `tripel`" in result.stderr


def test_a_failing_pass(folder: Path) -> None:
    result = call("run", "workflow.yaml", "--set", "passes.double.misbehave=raise")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "error: double: RuntimeError: asked to fail",
        "       --log-level debug shows the traceback",
    ]
    assert "double: FAILED: RuntimeError: asked to fail\n" in result.stdout
    assert "triple: skipped, because double failed\n" in result.stdout
    assert "Traceback" not in result.output
    assert not (folder / "output" / "triple").exists()


def test_a_failing_pass_with_json_and_with_debug(folder: Path) -> None:
    settings = ("--debug", "--set", "passes.double.misbehave=raise")
    told = [json.loads(line) for line in call("run", "workflow.yaml", "--json", *settings).stdout.splitlines()]
    assert told[-1]["type"] == "PassFailed"
    assert told[-1]["failures"][0]["step"] == "double"
    debug = call("run", "workflow.yaml", *settings)
    assert debug.exit_code == 1
    assert "  | RuntimeError: asked to fail\n" in debug.stdout
    assert debug.stderr == "error: double: RuntimeError: asked to fail\n"


def test_a_run_ends_with_a_table_of_what_was_measured_and_the_goals_missed(judged: Path) -> None:
    result = call("run", "judged.yaml", "--debug", "--log-level", "warning", "--set", "passes.other.factor=0.5")
    assert result.exit_code == 0
    sizes = {
        name: sum(path.stat().st_size for path in folder.iterdir())
        for name, folder in (("base", judged / "base"), ("triple", judged / "output" / "triple" / "model"))
    }
    table = result.stdout[result.stdout.index("  model ") :].splitlines()
    assert table[0].split() == ["model", "size"]
    assert table[1].split() == ["input_model", "(baseline)", str(sizes["base"]), "B"]
    assert table[2].split() == ["triple", "✗", str(sizes["triple"]), "B", f"(+{sizes['triple'] - sizes['base']}", "B)"]
    assert table[3].split() == ["other", "✓", str(sizes["base"]), "B", "(±0", "B)"]
    assert len(table) == 4
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("goal missed: triple: ")
    told = json.loads(call("run", "judged.yaml", "--json", "--set", "passes.other.factor=0.5").stdout.splitlines()[-1])
    assert told["metrics"]["triple"] == {"size.bytes": sizes["triple"]}
    assert {(goal["model"], goal["met"]) for goal in told["goals"]} == {("triple", False), ("other", True)}


def test_run_of_an_invalid_file_says_that_nothing_ran(folder: Path) -> None:
    result = call("run", "workflow.yaml", "--set", "passes.double.factor=0")
    assert result.exit_code == 2
    assert result.stderr.endswith("error: nothing was run\n")
    assert not (folder / "output").exists()


# --- what is installed --------------------------------------------------------------------------------------------


def test_a_pass_is_shown_with_its_options() -> None:
    result = call("passes", "toyscale")
    assert result.exit_code == 0
    assert result.output.startswith("ToyScale\nMultiply a toy model's numbers.\n\nTakes HfModel, gives HfModel.\n")
    assert "  factor  float > 0, default 2\n      What every number is multiplied by.\n" in result.output


def test_systems_and_metrics_are_listed_and_shown() -> None:
    assert re.search(r"^  LocalSystem +Runs jobs here", call("systems").output, re.MULTILINE)
    assert "  threads  int >= 1, default null\n" in call("systems", "LocalSystem").output
    assert "  perplexity " in call("metrics").output
    assert "Gives perplexity (lower is better).\n" in call("metrics", "perplexity").output


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("systems", "localsytem"), "no system is called `localsytem`; did you mean LocalSystem?"),
        (("metrics", "acuracy"), "no metric is called `acuracy`; did you mean accuracy?"),
        (("passes", "xyzzy"), "no pass is called `xyzzy`; `olive passes` lists them"),
        (("schema", "--pass", "xyzzy"), "xyzzy"),
    ],
)
def test_an_unknown_name(arguments: tuple[str, ...], hint: str) -> None:
    result = call(*arguments)
    assert result.exit_code == 2
    assert hint in result.stderr


def test_an_empty_list_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    catalogue.show_catalogue("pass", {})
    assert capsys.readouterr().out == "no passes are installed\n"


def test_schema() -> None:
    schema = json.loads(call("schema").stdout)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert "passes" in schema["properties"]
    assert "lora_dropout" in json.loads(call("schema", "--pass", "lora").stdout)["properties"]


# --- cache --------------------------------------------------------------------------------------------------------


def test_the_default_cache_is_the_workflows() -> None:
    assert Workflow.model_fields["cache_dir"].default == cache.DEFAULT


def test_cache_list_size_verify_gc(folder: Path) -> None:
    assert call("run", "workflow.yaml", "--debug", "--log-level", "critical").exit_code == 0
    listed = json.loads(call("cache", "list", "--json").stdout)["records"]
    assert {record["step"] for record in listed} == {"double", "triple", "other"}
    table = call("cache", "list").output.splitlines()
    assert table[0].split() == ["step", "what", "made", "took", "size", "key"]
    assert table[1].split()[-1] == listed[0]["key"][:12]
    assert json.loads(call("cache", "size", "--json").stdout)["records"] == 3
    assert re.fullmatch(r"\.olive-cache: 3 results in \d+ files of \d+ B\n", call("cache", "size").output)
    intact = call("cache", "verify")
    assert intact.exit_code == 0
    assert intact.output.endswith("are intact\n")

    blob = max((folder / ".olive-cache" / "blobs").rglob("*"), key=lambda path: path.stat().st_size * path.is_file())
    blob.chmod(0o644)
    blob.write_bytes(b"x" * blob.stat().st_size)
    damaged = call("cache", "verify", "--json")
    assert damaged.exit_code == 1
    assert json.loads(damaged.stdout)["damaged"] == [blob.name]

    would = json.loads(call("cache", "gc", "--older-than", "0", "--dry-run", "--json").stdout)
    assert would["dry_run"] is True
    assert would["freed_bytes"] > 0
    assert json.loads(call("cache", "size", "--json").stdout)["records"] == 3
    assert call("cache", "gc", "--older-than", "0").exit_code == 0
    assert json.loads(call("cache", "size", "--json").stdout)["records"] == 0
    assert "the cache is empty" in call("cache", "list").output


@pytest.mark.parametrize("command", ["list", "size", "verify", "gc"])
def test_no_cache_there(folder: Path, command: str) -> None:
    result = call("cache", command, "--cache-dir", "nowhere")
    assert result.exit_code == 2
    assert "there is no cache in nowhere; name its folder with --cache-dir" in result.stderr
    assert not (folder / "nowhere").exists()


def test_many_older_spellings_are_listed_where_a_file_is_checked(folder: Path) -> None:
    text = (folder / "workflow.yaml").read_text().replace("input_model:", "model:", 1)
    older = "clean_cache: true\nworkflow_id: mine\nlog_to_file: false\noutput_name: x\n"
    (folder / "old.yaml").write_text(text + older)
    told = call("validate", "old.yaml").stderr.splitlines()
    assert len(told) == 6
    assert told[-1] == "note: `olive migrate old.yaml` writes today's spelling"
    assert call("plan", "old.yaml").stderr.splitlines() == [
        "note: 5 older spellings are read as today's; `olive validate old.yaml` lists them, "
        "`olive migrate old.yaml` writes today's spelling"
    ]


# --- what cannot be had yet ---------------------------------------------------------------------------------------


def test_a_whole_workflow_elsewhere_is_planned_without_and_not_run(folder: Path) -> None:
    text = (folder / "workflow.yaml").read_text()
    (folder / "hosted.yaml").write_text(
        f"{text}workflow_host: box\nsystems:\n  box: {{type: Docker, image_name: olive}}\n"
    )
    said = "hosted.yaml:6:1: workflow_host: running a whole workflow elsewhere is not available; "
    way = "write `host: box` to run its steps there, the engine stays here"
    valid = call("validate", "hosted.yaml")
    assert valid.exit_code == 0
    assert f"warning: {said}{way}" in valid.stderr
    planned = call("plan", "hosted.yaml", "--json")
    assert {step["system"] for step in json.loads(planned.stdout)["steps"]} == {"local"}
    assert planned.stderr.count(f"warning: {said}{way}") == 1
    refused = call("run", "hosted.yaml")
    assert refused.exit_code == 2
    assert refused.stderr.startswith(f"{said}{way}\n")
    assert refused.stderr.count(said) == 1, "no warning before it"
    assert refused.stderr.endswith("error: nothing was run\n")
    migrated = call("migrate", "hosted.yaml")
    assert "workflow_host: box\n" in migrated.stdout
