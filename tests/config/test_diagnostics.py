from pathlib import Path

import pytest

from olive_engine.config.diagnostics import WIDTH, render
from olive_engine.config.draft import read
from olive_engine.errors import Position, Problem


@pytest.fixture(autouse=True)
def plugins() -> None:
    """Only what is installed: which options are secrets the systems say."""


def at(path: Path, line: int, column: int) -> Problem:
    return Problem(("a", "b"), "wrong", "mend it", Position(str(path), line, column))


def test_the_word_at_the_position_is_marked(tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_text("input_model: {type: HfModel, model_path: org/name}\nseed: minus one\n")
    assert render(read([path]).problems) == (
        f"{path}:2:7: seed: expected a whole number, found 'minus one'\n"
        "    2 | seed: minus one\n      |       ^^^^^^^^^"
    )


def test_without_source_a_problem_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_text("a:\n  b: 1\n")
    problems = [at(path, 2, 6), Problem((), "odd", severity="warning")]
    assert render(problems, source=False) == f"{path}:2:6: a.b: wrong; mend it\nwarning: odd"


def test_wide_characters_and_tabs_are_counted_as_a_terminal_shows_them(tmp_path: Path) -> None:
    path = tmp_path / "w.json"
    path.write_text('{"模型":\t"名"}')
    _, line, carets = render([at(path, 1, 8)]).split("\n")
    assert line == '    1 | {"模型": "名"}'
    assert carets == "      | " + " " * len('{"....": ') + "^" * len('".."')


def test_a_long_line_is_cut_around_the_place(tmp_path: Path) -> None:
    path = tmp_path / "w.json"
    path.write_text('{"x": "' + "y" * 1000 + '", "bad": 7, "z": "' + "y" * 1000 + '"}')
    column = path.read_text().index("7") + 1
    _, line, carets = render([at(path, 1, column)]).split("\n")
    assert len(line) <= WIDTH + 12
    assert line[carets.index("^")] == "7"
    assert carets.count("^") == 1


def test_nothing_in_a_file_steers_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "w.json"
    path.write_text('{"\x1b[31mseed": 1}', newline="")
    text = render([*read([path]).problems, Problem(("a\x1b[2J\nb",), "odd")])
    assert "\x1b" not in text
    assert "a·[2J b: odd" in text


def test_a_file_that_is_gone_or_shorter_shows_no_line(tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    assert render([at(path, 1, 1)]) == f"{path}:1:1: a.b: wrong; mend it"
    path.write_text("one line")
    assert render([at(path, 7, 1)]) == f"{path}:7:1: a.b: wrong; mend it"
    path.write_text("short")
    assert render([at(path, 1, 99)]).split("\n")[1:] == ["    1 | short", "      |      ^"]


def test_a_text_that_is_cut_off_is_marked_to_the_edge(tmp_path: Path) -> None:
    path = tmp_path / "w.json"
    path.write_text('{"' + "k" * 1_000_000 + '": 1}')
    _, line, carets = render([at(path, 1, 2)]).split("\n")
    assert line == '    1 | {"' + "k" * (WIDTH - 2) + "…"
    assert carets == "      |  " + "^" * (WIDTH - 1)


@pytest.mark.parametrize(
    ("line", "column", "marked"),
    [
        ("split: train[:120%]", 8, "train[:120%]"),
        ("a: azureml://x/y  # why", 4, "azureml://x/y"),
        ("a: ${env:X} ", 4, "${env:X}"),
        ("a: [one two, b]", 5, "one two"),
        ("a: {b: one two}", 8, "one two"),
        ("b: one two, c: 3}", 4, "one two"),
        ("  model_path: x", 3, "model_path"),
        ("- x: 1", 1, "-"),
        ("a: 'it''s' b", 4, "'it'"),
        ("a: {x: 1}", 4, "{"),
        ("a: b: c", 5, ":"),
    ],
)
def test_a_scalar_is_marked_whole(line: str, column: int, marked: str, tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_text(f"x: 1\n{line}\n")
    shown, carets = render([at(path, 2, column)]).split("\n")[1:]
    assert shown[carets.index("^") : carets.rindex("^") + 1] == marked


SECRET = "hunter2"


@pytest.mark.parametrize(
    ("line", "column", "shown", "marked"),
    [
        ("  hf_token: hunter2, x # why", 13, "  hf_token: **** # why", "****"),
        ("a: {hf_token: 'hunter2', r: minus}", 29, "a: {hf_token: ****, r: minus}", "minus"),
        ('"use_auth_token": "hunter2", "r": 1', 35, '"use_auth_token": ****, "r": 1', "1"),
        ("hf_tokn: hunter2", 1, "hf_tokn: ****", "hf_tokn"),
        ("hf_token:hunter2", 1, "hf_token:****", "hf_token:****"),
        ("a: {default_auth_params: {secret: [hunter2], b: c}, r: 1}", 56, "a: {default_auth_params: ****, r: 1}", "1"),
        ("path: sqlite://me:hunter2@host/x", 1, "path: sqlite://****@host/x", "path"),
        ("token: ${env:TOKEN}", 8, "token: ${env:TOKEN}", "${env:TOKEN}"),
        ("max_tokens: 5, eos_token: x", 13, "max_tokens: 5, eos_token: x", "5"),
    ],
)
def test_no_secret_is_shown(line: str, column: int, shown: str, marked: str, tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_text(line)
    _, source, carets = render([at(path, 1, column)]).split("\n")
    assert SECRET not in source
    assert source == f"    1 | {shown}"
    assert source[carets.index("^") : carets.rindex("^") + 1] == marked


def test_a_member_of_a_secret_group_is_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_text("default_auth_params:\n  id: hunter2\n")
    problem = Problem(("default_auth_params", "id"), "wrong", "", Position(str(path), 2, 7))
    assert render([problem]).split("\n")[1:] == ["    2 |   id: ****", "      |       ^^^^"]


def test_no_message_repeats_a_secret(tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_text("systems:\n  c: {type: AzureML, aml_compute: 3, hf_token: 73310}\nx: hf_abcdefghijklmnopqrst\n")
    problems = read([path]).problems
    text = render(problems) + " ".join(map(str, problems))
    assert "systems.c.hf_token: expected true or false or text, found ****" in text
    assert "73310" not in text
    assert "hf_abc" not in text
    as_json = tmp_path / "w.json"
    as_json.write_text('{"hf_token": hunter2}')
    assert str(read([as_json]).problems[0]).endswith("expected a value, found `****`; text stands in double quotes")


def test_a_bare_word_for_a_number_or_a_list_is_told_what_to_write(tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_text(
        "input_model: {type: HfModel, model_path: a/b}\nlog_severity_level: debug\n"
        "data_configs:\n  - {name: d, load_dataset_config: {data_files: x.jsonl, split: trian}}\n"
        "passes:\n  a: {type: LoRA, train_data_config: d, target_modules: q_proj}\n"
        "  b: {type: LoRA, train_data_config: d, r:16}\n"
    )
    said = [str(problem).partition(": ")[2] for problem in read([path]).problems]
    assert said == [
        "log_severity_level: expected a whole number, found 'debug'; 0 debug, 1 info, 2 warning, 3 error, 4 critical",
        "data_configs[0].load_dataset_config.split: "
        "split must name a split of data_files (train), not 'trian'; did you mean `train`?",
        "passes.a.target_modules: expected a list, found 'q_proj'; write [q_proj]",
        "passes.b.r:16: unknown option `r:16`; a blank is missing after `:`: write `r: …`",
    ]


def test_a_pass_may_be_called_as_a_secret_is(tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_text("input_model: {type: HfModel, model_path: a/b}\npasses:\n  token:\n    type: LoRAA\n")
    (problem,) = read([path]).problems
    assert problem.what == "no pass is called 'LoRAA'"
    assert "    4 |     type: LoRAA\n" in render([problem])
