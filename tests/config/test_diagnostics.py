from pathlib import Path

from olive_engine.config.diagnostics import WIDTH, render
from olive_engine.config.draft import read
from olive_engine.errors import Position, Problem


def at(path: Path, line: int, column: int) -> Problem:
    return Problem(("a", "b"), "wrong", "mend it", Position(str(path), line, column))


def test_the_word_at_the_position_is_marked(tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_text("input_model: {type: HfModel, model_path: org/name}\nseed: minus one\n")
    assert render(read([path]).problems) == (
        f"{path}:2:7: seed: expected a whole number, found 'minus one'\n    2 | seed: minus one\n      |       ^^^^^"
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
