"""``olive migrate`` as a user calls it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from olive_engine.cli.group import olive

OLD = """\
# mine
model: {type: HfModel, model_path: base}
passes:
  double:
    type: ToyScale
    config:   # options
      factor: 2   # twice
"""
NEW = """\
# mine
input_model: {type: HfModel, model_path: base}
passes:
  double:
    type: ToyScale
    # options
    factor: 2   # twice
"""
TOLD = [
    "changed: old.yaml:2:1: model: `model` is called `input_model`",
    "changed: old.yaml:6:5: passes.double.config: what `config` holds stands beside `type`",
]


def call(*arguments: str) -> Result:
    return CliRunner().invoke(olive, ("migrate", *arguments), prog_name="olive", catch_exceptions=False)


@pytest.fixture
def old(folder: Path) -> Path:
    file = folder / "old.yaml"
    file.write_text(OLD)
    return file


def test_it_goes_to_the_terminal(old: Path) -> None:
    result = call("old.yaml")
    assert (result.exit_code, result.stdout, result.stderr.splitlines()) == (0, NEW, TOLD)
    assert old.read_text() == OLD


def test_it_goes_to_another_file(old: Path) -> None:
    result = call("old.yaml", "-o", "new.yaml")
    assert (result.exit_code, result.stdout, result.stderr.splitlines()) == (0, "wrote new.yaml\n", TOLD)
    assert (old.with_name("new.yaml").read_text(), old.read_text()) == (NEW, OLD)


def test_it_goes_over_the_file_itself_and_keeps_permissions_and_links(old: Path) -> None:
    old.chmod(0o640)
    link = old.with_name("link.yaml")
    link.symlink_to(old)
    assert call("link.yaml", "--in-place").exit_code == 0
    assert (old.read_text(), old.stat().st_mode & 0o777, link.is_symlink()) == (NEW, 0o640, True)
    assert sorted(path.name for path in old.parent.glob("*old*")) == ["old.yaml"]


def test_what_is_in_todays_spelling_is_not_written_again(old: Path) -> None:
    old.write_text(NEW)
    os.utime(old, (1, 1))
    result = call("old.yaml", "--in-place")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "old.yaml: written in today's spelling already\n"
    assert old.stat().st_mtime == 1


def test_a_full_disk_leaves_the_old_file(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    result = call("old.yaml", "--in-place")
    assert (result.exit_code, old.read_text()) == (1, OLD)
    assert result.stderr.splitlines()[-1] == "error: No space left on device"
    assert [path.name for path in old.parent.iterdir() if path.name.startswith(".old")] == []


def test_several_files(old: Path) -> None:
    old.with_name("new.yaml").write_text(NEW)
    assert call("old.yaml", "new.yaml", "--check").exit_code == 1
    assert call("old.yaml", "new.yaml", "--in-place").stdout == "wrote old.yaml\n"
    assert old.read_text() == NEW
    result = call("old.yaml", "new.yaml", "--check")
    assert (result.exit_code, result.stdout) == (0, "")


def test_one_wrong_file_of_several_and_none_is_written(old: Path) -> None:
    old.with_name("wrong.yaml").write_text("model: [")
    result = call("old.yaml", "wrong.yaml", "--in-place")
    assert (result.exit_code, old.read_text()) == (2, OLD)
    assert result.stderr.startswith("wrong.yaml:1:9: not YAML")


def test_check_writes_nothing(old: Path) -> None:
    result = call("old.yaml", "--check")
    assert (result.exit_code, result.stdout, old.read_text()) == (1, "", OLD)
    assert result.stderr.splitlines() == [line.replace("changed", "to change") for line in TOLD]


def test_the_suffix_says_json_or_yaml(old: Path) -> None:
    assert call("old.yaml", "-o", "new.json").stderr.endswith("warning: old.yaml: its comments are lost in this form\n")
    written = json.loads(old.with_name("new.json").read_text())
    assert written == {
        "input_model": {"type": "HfModel", "model_path": "base"},
        "passes": {"double": {"type": "ToyScale", "factor": 2}},
    }
    result = call("new.json", "-o", "back.yml")
    assert result.stderr == "new.json: written in today's spelling already\n"
    assert old.with_name("back.yml").read_text() == (
        "input_model:\n  type: HfModel\n  model_path: base\npasses:\n  double:\n    type: ToyScale\n    factor: 2\n"
    )


def test_comments_are_not_lost_in_place(old: Path) -> None:
    text = "? model\n: {type: HfModel, model_path: base}  # here\n"
    old.write_text(text)
    result = call("old.yaml", "--in-place")
    assert (result.exit_code, old.read_text()) == (2, text)
    assert result.stderr.splitlines()[-1] == (
        "old.yaml: its comments would be lost; write it to another file with --output"
    )


def test_what_remains_is_told_in_the_lines_of_the_new_file(old: Path) -> None:
    old.write_text(OLD.replace("ToyScale", "VendorScale") + "  lora: {type: LoRA, r: 1, config: {lora_r: 2}}\n")
    result = call("old.yaml", "-o", "new.yaml")
    assert result.exit_code == 2
    said = [line for line in result.stderr.splitlines() if not line.startswith(("changed", " "))]
    assert said[0] == "what remains to be seen to, as `olive validate new.yaml` tells it:"
    assert said[1].startswith("new.yaml:5:11: passes.double.type: no pass is called 'VendorScale'")
    assert said[3].startswith("new.yaml:8:28: passes.lora.lora_r: `passes.lora.r` is written too, with another value")
    assert "lora: {type: LoRA, r: 1, lora_r: 2}" in old.with_name("new.yaml").read_text()


def test_a_model_on_another_machine_hinders_nothing(old: Path) -> None:
    old.write_text(OLD.replace("base", "/not/here"))
    result = call("old.yaml")
    assert (result.exit_code, result.stderr.splitlines()) == (0, TOLD)


def test_a_fragment_is_no_workflow_and_need_not_be(old: Path) -> None:
    old.write_text("passes: {double: {config: {factor: 3}}}\n")
    result = call("old.yaml")
    assert (result.exit_code, result.stdout) == (0, "passes: {double: {factor: 3}}\n")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("old.yaml", "new.yaml"), "several files are migrated with --in-place or --check only"),
        (("old.yaml", "-o", "x", "--in-place"), "--output, --in-place and --check exclude each other"),
        ((), "Missing argument 'FILE...'"),
    ],
)
def test_a_wrong_call(old: Path, arguments: tuple[str, ...], said: str) -> None:
    result = call(*arguments)
    assert (result.exit_code, old.read_text()) == (2, OLD)
    assert said in result.stderr
