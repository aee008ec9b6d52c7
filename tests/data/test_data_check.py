"""What is told about a data set before anything runs, and which files it reads."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from olive_engine.config.data import DataConfig
from olive_engine.data import columns
from olive_engine.data.check import check
from olive_engine.data.columns import local_columns
from olive_engine.data.files import local_files, portable
from olive_engine.data.readers import UnreadableRows

ROWS = '{"phrase": "a", "tone": "Joy"}\n{"phrase": "b", "tone": "Sad"}\n'


def data(load, **options) -> DataConfig:
    return DataConfig.model_validate({"name": "d", "load_dataset_config": load, "pre_process_data_config": options})


def found(folder: Path, load, **options) -> list[str]:
    return [f"{problem.severity}: {problem}" for problem in check(data(load, **options), folder).problems]


def test_nothing_to_say(tmp_path):
    (tmp_path / "rows.jsonl").write_text(ROWS)
    assert found(tmp_path, {"data_files": "rows.jsonl"}, text_template="{phrase} {tone}") == []
    assert found(tmp_path, {"data_name": "org/name"}, text_template="{phrase} {tone}") == []


def test_an_unknown_column_names_those_there_are(tmp_path):
    (tmp_path / "rows.jsonl").write_text(ROWS)
    load = {"data_files": "rows.jsonl"}
    assert found(tmp_path, load, text_template="{phrase} {tones} {x}", label_col="label") == [
        "error: pre_process_data_config.text_template: no column is called 'tones'; "
        "did you mean `tone`? the rows have: phrase, tone",
        "error: pre_process_data_config.text_template: no column is called 'x'; the rows have: phrase, tone",
        "error: pre_process_data_config.label_col: no column is called 'label'; the rows have: phrase, tone",
    ]
    assert found(tmp_path, load) == [
        "error: pre_process_data_config.text_cols: no column is called 'text'; the rows have: phrase, tone"
    ]


def test_rows_that_lack_a_value_are_counted_and_the_first_is_named(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"a": 1}\n' * 500 + '{"a": 1, "late": 2}\n{"a": null, "late": 2}\n')
    path, place = tmp_path / "rows.jsonl", "pre_process_data_config.text_template"
    assert found(tmp_path, {"data_files": "rows.jsonl"}, text_template="{a} {late}") == [
        f"warning: {place}: {path}: row 502 has no 'a'; such rows are left out",
        f"warning: {place}: {path}: row 1 has no 'late', and 499 more rows have none; such rows are left out",
    ]


@pytest.mark.parametrize(("mark", "shown"), [(";", "';'"), ("\t", r"'\t'"), ("|", "'|'")])
def test_columns_that_no_commas_separate(tmp_path, mark, shown):
    (tmp_path / "rows.csv").write_text(f"phrase{mark}tone\nwell, done{mark}joy\n")
    header = repr(f"phrase{mark}tone")
    assert found(tmp_path, {"data_files": "rows.csv"}, text_template="{phrase} {tone}") == [
        f"error: load_dataset_config.data_files: {tmp_path / 'rows.csv'}:1: expected columns separated by commas, "
        f"found {header}; save the file with `,` for {shown}"
    ]


def test_only_the_beginning_of_a_large_file_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(columns, "HEAD", 50)
    row = {"phrase": "é" * 4, "tone": "Joy"}
    (tmp_path / "lines.jsonl").write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for _ in range(9)) + "oops"
    )
    (tmp_path / "list.json").write_text(json.dumps([row] * 9, ensure_ascii=False) + "oops")
    (tmp_path / "cells.csv").write_text("phrase,tone\n" + '"a\nb",Joy\n' * 9 + "oops")
    for name in ("lines.jsonl", "list.json", "cells.csv"):
        severity = "error" if name.endswith("csv") else "warning"
        assert found(tmp_path, {"data_files": name}, text_template="{phrase} {tones}") == [
            f"{severity}: pre_process_data_config.text_template: no column is called 'tones'; "
            "did you mean `tone`? the rows have: phrase, tone"
        ]
        assert found(tmp_path, {"data_files": name, "split": "train[5:5]"}, text_template="{phrase} {tone}") == []


def test_files_that_are_not_there(tmp_path):
    (tmp_path / "rows.jsonl").write_text(ROWS)
    (tmp_path / "empty").mkdir()
    load = {
        "data_name": "json",
        "data_files": {"train": ["row.jsonl", "empty"], "test": "*.json"},
        "split": "train+test",
    }
    assert found(tmp_path, load, text_template="{phrase}") == [
        f"error: load_dataset_config.data_files.train[0]: there is no file or folder row.jsonl (looked in {tmp_path}); "
        "did you mean `rows.jsonl`?",
        "error: load_dataset_config.data_files.train[1]: the folder empty has no json file (.json, .jsonl, .ndjson)",
        f"error: load_dataset_config.data_files.test: no file matches the pattern *.json (looked in {tmp_path}); "
        "did you mean `rows.jsonl`?",
    ]


def test_splits_that_are_not_used_are_not_looked_at(tmp_path):
    (tmp_path / "rows.jsonl").write_text(ROWS)
    load = {"data_files": {"train": "rows.jsonl", "test": "missing.jsonl"}, "split": "train[:50%]"}
    assert found(tmp_path, load, text_template="{phrase}") == []
    assert list(local_files(data(load), tmp_path)) == ["train/00000.jsonl"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.jsonl",
            '{"a": 1}\n{"a" 2}\n',
            "{path}:2:6: bad JSON (Expecting ':' delimiter); expected one object a line",
        ),
        ("a.json", "", "{path} is empty"),
        ("a.txt", b"\xff", "{path}:1: expected UTF-8 text, found the byte 0xff"),
        ("a.csv", "a,b\n1\n", "{path}:2: expected 2 values (a, b), found 1"),
    ],
)
def test_bad_files_say_where(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    (problem,) = check(data({"data_files": name}, text_template="{a}"), tmp_path).problems
    assert problem.path == ("load_dataset_config", "data_files")
    assert problem.what.startswith(message.format(path=path))


def test_a_split_without_rows(tmp_path):
    (tmp_path / "rows.jsonl").write_text(ROWS)
    load = {"data_files": "rows.jsonl", "split": "train[:20%]"}
    assert found(tmp_path, load, text_template="{phrase}") == [
        "error: load_dataset_config.split: train[:20%] takes no row; train has 2 rows"
    ]


def test_values_that_do_not_fit(tmp_path):
    (tmp_path / "rows.jsonl").write_text(ROWS)
    (problem,) = found(tmp_path, {"data_files": "rows.jsonl"}, text_template="{phrase:.2f}")
    assert problem.startswith(
        f"error: pre_process_data_config.text_template: {tmp_path}/rows.jsonl: row 1: the value 'a' of column 'phrase' "
        "does not fit the format '.2f'"
    )
    (problem,) = found(tmp_path, {"data_files": "rows.jsonl"}, chat_template=True, message_col="phrase")
    assert "message_col: " in problem
    assert "must hold a list of messages with role and content, found 'a'" in problem


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read(tmp_path):
    (tmp_path / "rows.jsonl").write_text(ROWS)
    (tmp_path / "rows.jsonl").chmod(0)
    (problem,) = found(tmp_path, {"data_files": "rows.jsonl"}, text_template="{phrase}")
    assert problem.endswith("rows.jsonl cannot be read: Permission denied")


def test_columns_of_each_format(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"x": 1}\n{"y y": 2}\n')
    (tmp_path / "b.json").write_text('{"rows": [{"z": 1}]}')
    (tmp_path / "c.csv").write_text("p,q r\n1,2\n")
    (tmp_path / "d.txt").write_text("hello\n")
    assert local_columns([tmp_path / "a.jsonl"], "json") == ("x", "y y")
    assert local_columns([tmp_path / "b.json"], "json", "rows") == ("z",)
    assert local_columns([tmp_path / "c.csv"], "csv") == ("p", "q r")
    assert local_columns([tmp_path / "d.txt"], "text") == ("text",)
    assert local_columns([tmp_path / "e.parquet"], "parquet") is None
    with pytest.raises(UnreadableRows):
        local_columns([tmp_path / "c.csv"], "json")


def test_files_folders_and_patterns_by_names_without_places(tmp_path):
    folder = tmp_path / "my data [1]"
    (folder / "sub").mkdir(parents=True)
    for name in ("b.json", "a.JSONL", "sub/c.json", "notes.md"):
        (folder / name).write_text(ROWS)
    everything = {"data_name": "json", "data_files": "my data [1]"}
    assert {name: path.name for name, path in local_files(data(everything), tmp_path).items()} == {
        "train/00000.jsonl": "a.JSONL",
        "train/00001.json": "b.json",
        "train/00002.json": "c.json",
    }
    pattern = {"data_name": "json", "data_files": {"test": ["b.json", "**/*.json"]}, "split": "test"}
    assert {name: path.name for name, path in local_files(data(pattern), folder).items()} == {
        "test/00000.json": "b.json",
        "test/00001.json": "b.json",
        "test/00002.json": "c.json",
    }
    absolute = {"data_files": str(folder / "a.JSONL")}
    assert local_files(data(absolute), Path("/nowhere")) == {"train/00000.jsonl": folder / "a.JSONL"}
    assert local_files(data({"data_name": "org/name"}), tmp_path) == {}
    with pytest.raises(FileNotFoundError, match=r"there is no file or folder x\.csv"):
        local_files(data({"data_files": "x.csv"}), tmp_path)


def test_a_home_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "rows.jsonl").write_text(ROWS)
    assert list(local_files(data({"data_files": "~/rows.jsonl"}), Path("/"))) == ["train/00000.jsonl"]
    assert list(local_files(data({"data_files": "~/*.jsonl"}), Path("/"))) == ["train/00000.jsonl"]


def test_the_portable_form_says_nothing_of_this_machine():
    one = portable(data({"data_files": ["/home/me/a.json", "b.json"]}, text_template="{a}"))
    two = portable(
        DataConfig.model_validate({**data({"data_files": "x.jsonl"}, text_template="{a}").model_dump(), "name": "z"})
    )
    assert one == two
    assert one.load_dataset_config.format == "json"
    hub = data({"data_name": "org/name", "data_files": "a.csv"})
    assert portable(hub).load_dataset_config == hub.load_dataset_config
