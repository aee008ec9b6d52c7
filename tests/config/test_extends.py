"""``extends``: a file that begins with what others say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from olive_engine.cli.group import olive
from olive_engine.config.draft import Draft, read
from olive_engine.config.extends import MAX_FILES, with_bases
from olive_engine.errors import InvalidWorkflow
from olive_engine.testing.toys import build_toy_model


@pytest.fixture(autouse=True)
def plugins() -> None:
    """What is installed, and not only what this folder's tests make up."""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    build_toy_model(tmp_path / "base")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(name: str, text: object) -> Path:
    file = Path(name)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text if isinstance(text, str) else json.dumps(text))
    return file


BASE = """\
input_model: {type: HfModel, model_path: base}
passes:
  double: {type: ToyScale, factor: 2}
seed: 1
output_dir: there
"""


def factor(draft: Draft, name: str = "double") -> object:
    return draft.raise_if_wrong().passes[name][0].options.model_dump()["factor"]


def only_problem(*files: Path) -> str:
    (problem,) = read(files).problems
    return str(problem)


def test_a_file_lies_over_what_it_extends() -> None:
    write("base.yaml", BASE)
    draft = read([write("top.yaml", "extends: base.yaml\npasses: {double: {factor: 3}}\nseed: 2\n")])
    workflow = draft.raise_if_wrong()
    assert (factor(draft), workflow.seed, workflow.output_dir) == (3, 2, "there")
    assert draft.notices == ()


def test_mappings_merge_and_lists_are_replaced() -> None:
    write("base.yaml", BASE + "data_configs: [{name: a, load_dataset_config: {data_name: x/y}}]\n")
    top = "extends: base.yaml\ndata_configs: [{name: b, load_dataset_config: {data_name: x/z}}]\n"
    top += "passes: {more: {type: ToyScale, factor: 5}}\n"
    workflow = read([write("top.yaml", top)]).raise_if_wrong()
    assert [config.name for config in workflow.data_configs] == ["b"]
    assert list(workflow.passes) == ["double", "more"]


def test_names_are_relative_to_the_file_that_says_them(folder: Path) -> None:
    write("shared/parts/base.yaml", BASE)
    write("shared/middle.json", {"extends": "parts/base.yaml", "seed": 5})
    top = write("deep/er/top.yaml", "extends: ../../shared/middle.json\noutput_dir: here\n")
    for name in (top, top.absolute()):
        workflow = read([name]).raise_if_wrong()
        assert (workflow.seed, workflow.output_dir, workflow.input_model.model_path) == (5, "here", "base")
    absolute = write("top.yaml", f"extends: {folder}/shared/middle.json\n")
    assert read([absolute]).raise_if_wrong().seed == 5


def test_of_several_the_later_counts_and_the_file_itself_most() -> None:
    write("base.yaml", BASE)
    write("two.yaml", "seed: 2\nlog_severity_level: 2\ncache_dir: two\n")
    write("three.yaml", "seed: 3\nlog_severity_level: 3\n")
    top = write("top.yaml", "extends: [base.yaml, two.yaml, three.yaml]\nseed: 4\n")
    workflow = read([top], ["passes.double.factor=7"]).raise_if_wrong()
    assert (workflow.seed, workflow.log_severity_level, workflow.cache_dir) == (4, 3, "two")
    assert factor(read([top], ["passes.double.factor=7"])) == 7


def test_a_base_that_two_files_share() -> None:
    write("base.yaml", BASE)
    write("left.yaml", "extends: base.yaml\nseed: 8\n")
    write("right.yaml", "extends: base.yaml\ncache_dir: right\n")
    workflow = read([write("top.yaml", "extends: [left.yaml, right.yaml]\n")]).raise_if_wrong()
    # What right.yaml extends lies over left.yaml, as in a file that says all of it one after the other.
    assert (workflow.seed, workflow.cache_dir) == (1, "right")


def test_a_file_laid_over_another_may_extend_too() -> None:
    write("more/steps.yaml", "passes: {double: {factor: 9}}\n")
    over = write("more/over.yaml", "extends: steps.yaml\nseed: 6\n")
    draft = read([write("base.yaml", BASE), over])
    assert (factor(draft), draft.raise_if_wrong().seed) == (9, 6)


def test_each_file_is_read_in_its_own_age_and_says_so() -> None:
    write("old.yaml", BASE.replace("input_model", "model"))
    top = write("top.json", {"extends": "old.yaml", "passes": {"double": {"config": {"factor": 4}}}})
    draft = read([top])
    assert factor(draft) == 4
    assert [str(notice) for notice in draft.notices] == [
        "old.yaml:1:1: model: `model` is called `input_model`",
        "top.json:1:47: passes.double.config: what `config` holds stands beside `type`",
    ]


def test_problems_are_told_where_they_are_written() -> None:
    write("base.yaml", BASE.replace("seed: 1", "seed: many"))
    top = write("top.yaml", "extends: base.yaml\npasses:\n  double: {factor: much}\n")
    assert [str(problem) for problem in read([top]).problems] == [
        "base.yaml:4:7: seed: expected a whole number, found 'many'",
        "top.yaml:3:20: passes.double.factor: expected a number, found 'much'",
    ]


def test_a_base_that_cannot_be_read_is_told_with_its_own_place() -> None:
    write("base.yaml", "input_model: {\n")
    assert only_problem(write("top.yaml", "extends: base.yaml\n")).startswith("base.yaml:2:1: ")


def test_circles() -> None:
    write("a.yaml", "extends: b.yaml\n")
    write("b.yaml", "seed: 1\nextends: a.yaml\n")
    said = "b.yaml:2:10: extends: the files extend each other in a circle: a.yaml -> b.yaml -> a.yaml"
    assert only_problem(Path("a.yaml")) == said
    write("self.yaml", "extends: ./self.yaml\n")
    assert only_problem(Path("self.yaml")).endswith("in a circle: self.yaml -> self.yaml")
    Path("link.yaml").symlink_to("c.yaml")
    write("c.yaml", "extends: link.yaml\n")
    assert "in a circle" in only_problem(Path("c.yaml"))


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("nothing.yaml", "no such file: 'nothing.yaml'; it is looked for beside top.yaml"),
        ("base", "a folder, not a file: 'base'; it is looked for beside top.yaml"),
        ("~nobody-here/base.yaml", "no such file: '~nobody-here/base.yaml'; it is looked for beside top.yaml"),
        ("3", "expected a file name or a list of them, found 3; e.g. extends: base.yaml"),
        ("[]", "expected a file name or a list of them, found an empty list; e.g. extends: base.yaml"),
        ("{a: b}", "expected a file name or a list of them, found a mapping; e.g. extends: base.yaml"),
        ("[good.yaml, 1]", "expected a file name or a list of them, found 1; e.g. extends: base.yaml"),
        ("''", "expected a file name or a list of them, found ''; e.g. extends: base.yaml"),
        ("~", "expected a file name or a list of them, found nothing (null); e.g. extends: base.yaml"),
        ("${env:UNSET}", "the environment variable UNSET is not set; set it, or give a default: ${env:UNSET:-…}"),
        ("'a\\0b'", "no such file: 'a\\\\0b'; it is looked for beside top.yaml"),
    ],
)
def test_what_cannot_be_extended(written: str, said: str) -> None:
    write("good.yaml", BASE)
    assert only_problem(write("top.yaml", f"extends: {written}\n")).endswith(f"extends: {said}")


def test_the_name_may_be_the_value_of_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    write("base.yaml", BASE)
    monkeypatch.setenv("BASE", "base")
    top = write("top.yaml", "extends: ['${env:BASE}.yaml', '${env:UNSET:-base.yaml}']\nseed: 2\n")
    assert read([top]).raise_if_wrong().seed == 2


def test_a_name_longer_than_any() -> None:
    top = write("top.yaml", f"extends: {'a' * 5000}\n")
    assert only_problem(top).startswith("top.yaml:1:10: extends: no such file: 'aaa")


def test_a_list_with_one_missing_file_points_at_it() -> None:
    write("good.yaml", BASE)
    top = write("top.yaml", "extends:\n  - good.yaml\n  - missing.yaml\n")
    assert only_problem(top).startswith("top.yaml:3:5: extends: no such file: 'missing.yaml'")


def test_more_files_than_anyone_has() -> None:
    write("base.yaml", BASE)
    top = write("top.yaml", "extends: [" + "base.yaml, " * (MAX_FILES + 1) + "]\n")
    with pytest.raises(InvalidWorkflow, match=f"more than {MAX_FILES} files are extended"):
        with_bases(top)


def test_files_that_double_at_every_level_end() -> None:
    write("f0.yaml", BASE)
    for level in range(1, 12):
        write(f"f{level}.yaml", f"extends: [f{level - 1}.yaml, f{level - 1}.yaml]\n")
    with pytest.raises(InvalidWorkflow, match="files are extended"):
        with_bases(Path("f11.yaml"))


@pytest.mark.parametrize("command", ["validate", "plan", "run"])
def test_the_commands_read_it(command: str) -> None:
    write("parts/base.yaml", BASE)
    write("top.yaml", "extends: parts/base.yaml\npasses: {double: {factor: 3}}\n")
    result = CliRunner().invoke(olive, [command, "top.yaml"], catch_exceptions=False)
    assert (result.exit_code, "there" in {path.name for path in Path.cwd().iterdir()}) == (0, command == "run")


def test_migrating_leaves_it_and_rewrites_each_file_by_itself() -> None:
    write("base.yaml", BASE.replace("input_model", "model") + "host: aml\n")
    write("top.yaml", "# mine\nextends: base.yaml   # see there\nengine: {seed: 3}\nhost: aml\n")
    before = read([Path("top.yaml")]).raise_if_wrong()
    result = CliRunner().invoke(olive, ["migrate", "top.yaml", "base.yaml", "--in-place"], catch_exceptions=False)
    assert result.exit_code == 0
    assert Path("top.yaml").read_text() == "# mine\nextends: base.yaml   # see there\nseed: 3\nhost: aml\n"
    assert "host" not in Path("base.yaml").read_text()
    assert read([Path("top.yaml")]).raise_if_wrong() == before
