"""`olive init`: flags, files that validate, and a session in a terminal."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result
from jsonschema import Draft202012Validator

from olive_engine import reading
from olive_engine.cli.group import olive
from olive_engine.config.schemas import workflow_schema
from olive_engine.testing.tiny_models import build_tiny_adapter, build_tiny_model

CTRL_C = "\x03"
CTRL_D = "\x04"
TONES = ["joy", "sadness", "fear"]
CHATS = [{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model, an adapter, and rows of several shapes."""
    base = build_tiny_model(tmp_path / "base")
    build_tiny_adapter(base, tmp_path / "adapter")
    rows = [{"id": n, "phrase": f"phrase number {n}", "tone": TONES[n % 3]} for n in range(40)]
    (tmp_path / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (tmp_path / "chats.json").write_text(json.dumps(CHATS * 12))
    (tmp_path / "texts.csv").write_text("text\n" + "a line of text\n" * 12)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def init(*arguments: str) -> Result:
    return CliRunner().invoke(olive, ["init", *arguments], prog_name="olive", catch_exceptions=False)


# --- flags --------------------------------------------------------------------------------------------------------


def test_what_is_written_validates_and_says_what_it_is(folder: Path) -> None:
    result = init("--model", "base", "--data", "rows.jsonl")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "wrote workflow.yaml: LoRA -> MergeAdapterWeights -> ModelBuilder",
        "what it would do:  olive plan workflow.yaml",
        "run it:            olive run workflow.yaml",
    ]
    workflow = reading.load_workflow("workflow.yaml")
    assert [entry.type for (entry,) in workflow.passes.values()] == ["LoRA", "MergeAdapterWeights", "ModelBuilder"]
    train, heldout = workflow.data_configs
    assert train.pre_process_data_config == heldout.pre_process_data_config
    assert train.pre_process_data_config.text_template == "### Phrase: {phrase}\n### Tone:\n{tone}"
    assert train.pre_process_data_config.completion_only_loss
    assert (train.load_dataset_config.split, heldout.load_dataset_config.split) == ("train[:90%]", "train[90%:]")
    assert workflow.evaluator == "quality"
    assert [metric.type for metric in workflow.evaluators["quality"].metrics] == [
        "accuracy",  # for the answers are single words
        "perplexity",
        "size_on_disk",
    ]
    text = (folder / "workflow.yaml").read_text()
    assert text.startswith("# yaml-language-server: $schema=")
    assert "  r: 16  # rank of the adapters\n" in text
    assert "learn the answer, not the question" in text


def test_the_longest_text_is_the_models(folder: Path) -> None:
    init("--model", "base", "--data", "rows.jsonl")
    positions = json.loads((folder / "base/config.json").read_text())["max_position_embeddings"]
    (length,) = {
        each.pre_process_data_config.max_seq_len for each in reading.load_workflow("workflow.yaml").data_configs
    }
    assert length == min(1024, positions)


def test_json_says_the_same_as_yaml(folder: Path) -> None:
    init("--model", "base", "--data", "rows.jsonl")
    assert init("w.json", "--model", "base", "--data", "rows.jsonl").exit_code == 0
    tree = json.loads((folder / "w.json").read_text())
    assert Path(tree.pop("$schema")).name == "workflow.schema.json"
    assert tree == yaml.safe_load((folder / "workflow.yaml").read_text())


@pytest.mark.parametrize(
    ("arguments", "types"),
    [
        (("--goal", "adapter", "--data", "rows.jsonl"), ["LoRA"]),
        (("--goal", "tuned", "--data", "rows.jsonl", "--qlora"), ["QLoRA", "MergeAdapterWeights"]),
        (("--goal", "merged", "--adapter", "adapter"), ["MergeAdapterWeights"]),
        (("--adapter", "adapter"), ["MergeAdapterWeights"]),
        (
            ("--passes", "mergeadapterweights,ModelBuilder", "--adapter", "adapter"),
            ["MergeAdapterWeights", "ModelBuilder"],
        ),
        (
            ("--passes", "LoRA", "--passes", "MergeAdapterWeights", "--data", "texts.csv"),
            ["LoRA", "MergeAdapterWeights"],
        ),
        (("--goal", "onnx"), ["ModelBuilder"]),
        ((), ["ModelBuilder"]),
    ],
)
def test_goals(folder: Path, arguments: tuple[str, ...], types: list[str]) -> None:
    result = init("--model", "base", "--output-dir", "made", *arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    workflow = reading.load_workflow("workflow.yaml")
    assert [entry.type for (entry,) in workflow.passes.values()] == types
    assert workflow.output_dir == "made"
    tree = yaml.safe_load((folder / "workflow.yaml").read_text())
    assert not list(Draft202012Validator(workflow_schema()).iter_errors(tree))


def test_rows_of_other_shapes(folder: Path) -> None:
    init("a.yaml", "--model", "base", "--data", "chats.json", "--no-eval")
    init("b.yaml", "--model", "base", "--data", "texts.csv", "--goal", "adapter")
    (chat,) = yaml.safe_load((folder / "a.yaml").read_text())["data_configs"]
    assert chat["pre_process_data_config"] == {
        "chat_template": True, "message_col": "messages", "completion_only_loss": True, "max_seq_len": 1024,
    } | {"max_seq_len": chat["pre_process_data_config"]["max_seq_len"]}  # fmt: skip
    (text, _) = yaml.safe_load((folder / "b.yaml").read_text())["data_configs"]
    assert text["pre_process_data_config"]["text_cols"] == "text"
    assert "completion_only_loss" not in text["pre_process_data_config"]


def test_a_data_set_on_the_hub_and_a_template_of_ones_own(folder: Path) -> None:
    template = r"### Text: {Best Answer}\n### Tone:\n{tone}"
    result = init("--model", "base", "--data", "someone/tones", "--template", template, "--goal", "adapter")
    assert result.exit_code == 0
    config = reading.load_workflow("workflow.yaml").data_configs[0]
    assert config.load_dataset_config.data_name == "someone/tones"
    assert config.pre_process_data_config.text_template == "### Text: {Best Answer}\n### Tone:\n{tone}"


def test_few_rows_are_all_learned_from(folder: Path) -> None:
    (folder / "few.jsonl").write_text('{"q": "a?", "a": "b"}\n' * 9)
    init("--model", "base", "--data", "few.jsonl", "--goal", "adapter")
    workflow = reading.load_workflow("workflow.yaml")
    assert (len(workflow.data_configs), workflow.evaluators) == (1, {})


@pytest.mark.parametrize("rows", ["rows.jsonl", "few.jsonl"])
def test_rows_that_nothing_learns_from_are_measured_on_whole(folder: Path, rows: str) -> None:
    (folder / "few.jsonl").write_text('{"q": "a?", "a": "b"}\n' * 9)
    assert init("--model", "base", "--data", rows, "--goal", "onnx").exit_code == 0
    workflow = reading.load_workflow("workflow.yaml")
    (heldout,) = workflow.data_configs
    assert (heldout.name, heldout.load_dataset_config.split) == ("heldout", "train")
    metrics = workflow.evaluators["quality"].metrics
    assert [metric.data_config for metric in metrics] == ["heldout", "heldout", None]
    text = (folder / "workflow.yaml").read_text()
    assert "# the rows that the result is measured on\n" in text
    assert "training" not in text
    assert "learn" not in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--model", "base", "--goal", "onnx", "--data", "rows.jsonl", "--no-eval"), "nothing would read the rows"),
        ((), "which model? Name a folder in Hugging Face layout, or a hub name, with --model"),
        (("--model", "base", "--goal", "tuned"), "which rows to learn from?"),
        (("--model", "base", "--goal", "merged"), "which adapter shall MergeAdapterWeights take?"),
        (("--model", "base", "--data", "org/name"), "what does a model read of a row? Say so with --template"),
        (("--model", "base", "--data", "rows.jsonl", "--template", "{tune}"), "there is no column tune; there are id,"),
        (("--model", "base", "--data", "rows.jsonl", "--template", "{tone"), "braces in a template"),
        (("--model", "base", "--data", "rows.jsonl", "--template", "tone"), "names at least one column"),
        (("--model", "base", "--eval"), "--eval measures on held-out rows; name them with --data"),
        (("--model", "base", "--passes", "Lora2"), "no pass is called `Lora2`; did you mean LoRA?"),
        (("--model", "base", "--passes", "LoRA", "--goal", "onnx"), "either --goal or --passes, not both"),
        (("--model", "base", "--data", "broken.json"), "broken.json cannot be read"),
    ],
)  # fmt: skip
def test_what_is_missing_or_wrong_is_said_and_nothing_written(
    folder: Path, arguments: tuple[str, ...], message: str
) -> None:
    (folder / "broken.json").write_text("[{")
    result = init(*arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert not list(folder.glob("*.yaml"))


def test_a_file_is_never_written_over_unasked(folder: Path) -> None:
    (folder / "workflow.yaml").write_text("mine")
    result = init("--model", "base")
    assert (result.exit_code, (folder / "workflow.yaml").read_text()) == (2, "mine")
    assert "workflow.yaml exists; name another file, or write over it with --force" in result.stderr
    assert init("--model", "base", "--force").exit_code == 0
    assert reading.load_workflow("workflow.yaml").input_model.model_path == "base"


def test_what_is_wrong_with_the_result_is_shown(folder: Path) -> None:
    result = init("--model", "./elsewhere", "--goal", "onnx")
    assert result.exit_code == 2
    assert "workflow.yaml:7:15: input_model.model_path: no such folder: './elsewhere'" in result.stderr
    assert result.stdout.endswith("mend that, and then run it:  olive run workflow.yaml\n")
    assert (folder / "workflow.yaml").exists()


# --- in a terminal ------------------------------------------------------------------------------------------------


def session(folder: Path, answers: list[tuple[str, str]], *arguments: str) -> tuple[int, str]:
    """Answer each prompt, once it is there, on a real terminal; return the exit code and all that was shown."""
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "dumb", "COLUMNS": "100"}
    command = [sys.executable, "-P", "-m", "olive_engine", "init", *arguments]
    process = subprocess.Popen(command, cwd=folder, env=environment, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    shown, seen = "", 0
    deadline = time.monotonic() + 60
    waiting = list(answers)
    while time.monotonic() < deadline:
        ready, _, _ = select.select([master], [], [], 0.1)
        if ready:
            try:
                part = os.read(master, 4096)
            except OSError:  # Linux's way of saying that the other side is closed
                break
            if not part:
                break
            shown += part.decode()
        if waiting and (at := shown.find(waiting[0][0], seen)) >= 0:
            seen = at + len(waiting[0][0])
            answer = waiting.pop(0)[1]
            if answer == CTRL_C:  # the terminal is not the process's controlling one: it makes no signal of the key
                time.sleep(0.2)
                process.send_signal(signal.SIGINT)
            else:
                os.write(master, f"{answer}\n".encode())
    os.close(master)
    assert not waiting, shown
    return process.wait(timeout=30), re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown).replace("\r\n", "\n")


def test_a_session(folder: Path) -> None:
    code, shown = session(
        folder,
        [
            ("Model (a folder, or a name on the hub):", "base"),
            ("Number [3]:", "2"),
            ("(QLoRA)? [y/N]:", ""),
            ("Rows to learn from (a file, or a data set on the hub):", "rows.jsonl"),
            ("is a line break) [### Phrase: {phrase}\\n### Tone:\\n{tone}]:", "{phrase} -> {tune}"),
            ("is a line break)", "{phrase} -> {tone}"),
            ("measure the result on them? [Y/n]:", "y"),
            ("Folder for the result [output]:", "made"),
        ],
    )
    assert code == 0, shown
    assert "  3  a fine-tuned model as 4-bit ONNX (LoRA -> MergeAdapterWeights -> ModelBuilder)\n" in shown
    assert '  its columns: id (0), phrase ("phrase number 0"), tone ("joy")\n' in shown
    assert "  there is no column tune; there are id, phrase, tone\n" in shown
    assert shown.endswith("run it:            olive run workflow.yaml\n")
    workflow = reading.load_workflow(folder / "workflow.yaml")
    assert [entry.type for (entry,) in workflow.passes.values()] == ["LoRA", "MergeAdapterWeights"]
    assert workflow.data_configs[0].pre_process_data_config.text_template == "{phrase} -> {tone}"
    assert workflow.output_dir == "made"


def test_only_what_is_not_given_is_asked(folder: Path) -> None:
    code, shown = session(
        folder,
        [("Model (a folder, or a name on the hub):", "base"), ("Adapter (its folder):", "adapter")],
        *("mine.yaml", "--goal", "merged", "--output-dir", "made"),
    )
    assert (code, "Number" in shown) == (0, False)
    assert reading.load_workflow(folder / "mine.yaml").input_model.adapter_path == "adapter"


def test_an_answer_that_cannot_be_is_told_in_words_and_asked_for_again(folder: Path) -> None:
    model = "Model (a folder, or a name on the hub):"
    code, shown = session(
        folder,
        [
            (model, ""),
            (model, "./bsae"),
            (model, str(folder / "adaptre/deep")),
            (model, "no/such/folder"),
            (model, "base"),
            ("Number [3]:", "9"),
            ("Number [3]:", "two"),
            ("Number [3]:", "1"),
            ("(QLoRA)? [y/N]:", "perhaps"),
            ("(QLoRA)? [y/N]:", "No"),
            ("Rows to learn from", ""),
            ("Rows to learn from", "texts.csv"),
            ("measure the result on them? [Y/n]:", "n"),
            ("Folder for the result [output]:", ""),
        ],
    )
    assert code == 0, shown
    told = [line for line in shown.splitlines() if line.startswith(("  expected", "  there is no "))]
    assert [line.strip() for line in told] == [
        "expected a folder in Hugging Face layout, or a name on the hub, such as org/name",
        "there is no ./bsae, and no name on the hub is like that; did you mean base?",
        f"there is no {folder}/adaptre/deep, and no name on the hub is like that; did you mean {folder}/adapter?",
        "there is no no/such/folder, and no name on the hub is like that",
        "expected a number from 1 to 5, found 9",
        "expected a number from 1 to 5, found two",
        "expected y (yes) or n (no), found perhaps",
        "expected a file, folder or pattern, such as rows.jsonl, or the name of a data set on the hub",
    ]
    workflow = reading.load_workflow(folder / "workflow.yaml")
    assert ([entry.type for (entry,) in workflow.passes.values()], workflow.output_dir) == (["LoRA"], "output")


@pytest.mark.parametrize("answer", [CTRL_C, CTRL_D], ids=["Ctrl-C", "Ctrl-D"])
def test_leaving_a_session_writes_nothing(folder: Path, answer: str) -> None:
    code, shown = session(folder, [("Model (a folder, or a name on the hub):", answer)])
    assert code == 130
    assert shown.splitlines()[-1] == "interrupted"
    assert not list(folder.glob("*.yaml")), shown
