"""Rows from files of each format, whole or in part."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from datasets import Dataset

from olive_engine.config.data import LoadDatasetConfig
from olive_engine.data.readers import UnreadableRows, read_rows
from olive_engine.data.rows import source_rows

ROWS = [{"id": f"{number:02}", "Best Answer": f"é {{{number}}}\nline"} for number in range(10)]


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / "train" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def load(folder: Path, data_name: str, columns=("id", "Best Answer"), **options):
    config = LoadDatasetConfig.model_validate({"data_name": data_name, "data_files": "shipped", **options})
    return source_rows(config, columns, folder, folder / "scratch")


def csv_text(newline: str) -> str:
    cells = [f'{row["id"]},"{row["Best Answer"]}"{newline}' for row in ROWS]
    return f"id,Best Answer{newline}" + "".join(cells)


@pytest.mark.parametrize(
    ("data_name", "content"),
    [
        ("json", "\n".join(json.dumps(row) for row in ROWS)),
        ("json", "\r\n\r\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS) + "\r\n"),
        ("json", "\ufeff" + json.dumps(ROWS)),
        ("json", json.dumps(ROWS, indent=2) + "\n"),
        ("csv", csv_text("\n")),
        ("csv", csv_text("\r\n") + "\r\n"),
    ],
    ids=["jsonl", "jsonl-crlf", "array-bom", "array-indented", "csv", "csv-crlf"],
)
def test_each_format_gives_the_values_as_they_are_written(tmp_path, data_name, content):
    write(tmp_path, "0.x", content)
    assert load(tmp_path, data_name) == ROWS


def test_rows_under_a_field(tmp_path):
    write(tmp_path, "0.json", json.dumps({"version": 1, "rows": ROWS}))
    assert load(tmp_path, "json", field="rows") == ROWS
    with pytest.raises(UnreadableRows, match=r"train/0.json: no key 'data'; it has version, rows"):
        load(tmp_path, "json", field="data")
    with pytest.raises(UnreadableRows, match=r"'version' must hold a list of rows, found 1"):
        load(tmp_path, "json", field="version")


def test_parquet(tmp_path):
    (tmp_path / "train").mkdir()
    Dataset.from_list(ROWS[:4]).to_parquet(tmp_path / "train" / "00000.parquet")
    Dataset.from_list(ROWS[4:]).to_parquet(tmp_path / "train" / "00001.parquet")
    assert load(tmp_path, "parquet") == ROWS
    assert load(tmp_path, "parquet", columns=["id"], split="train[-20%:]") == [{"id": "08"}, {"id": "09"}]
    with pytest.raises(UnreadableRows, match="no column 'tone' in split train; it has id, Best Answer"):
        load(tmp_path, "parquet", columns=["tone"])
    caches = {path.name for path in (tmp_path / "scratch").rglob("*.arrow")}
    assert caches, "the cache of `datasets` is under the scratch folder"


def test_a_file_that_is_no_parquet(tmp_path):
    write(tmp_path, "0.parquet", "hello")
    with pytest.raises(UnreadableRows, match="cannot read the parquet files of split train: "):
        load(tmp_path, "parquet")


def test_text_has_a_row_for_each_line(tmp_path):
    write(tmp_path, "0.txt", "one\r\n\n two \x0c\x85\nthree")
    assert load(tmp_path, "text", columns=["text"]) == [
        {"text": each} for each in ("one", "", " two \x0c\x85", "three")
    ]


def test_csv_cells_are_never_taken_for_numbers_or_nothing(tmp_path):
    write(tmp_path, "0.csv", "id,label\n007,NA\n1e3,\ntrue,null\n")
    rows = [("007", "NA"), ("1e3", ""), ("true", "null")]
    assert load(tmp_path, "csv", columns=["id", "label"]) == [
        dict(zip(("id", "label"), row, strict=True)) for row in rows
    ]


def test_a_very_long_csv_cell_and_the_limit_of_the_process(tmp_path):
    import csv

    before = csv.field_size_limit()
    write(tmp_path, "0.csv", "id\n" + "x" * 200_000)
    assert len(load(tmp_path, "csv", columns=["id"])[0]["id"]) == 200_000
    assert csv.field_size_limit() == before


def test_json_values_are_kept(tmp_path):
    rows = [{"id": "2020-01-01T00:00:00", "n": 1}, {"id": "x", "n": 2.5, "late": [1]}, {"id": None, "n": True}]
    write(tmp_path, "0.jsonl", "\n".join(json.dumps(row) for row in rows))
    expected = [{"late": None} | row for row in rows]
    assert load(tmp_path, "json", columns=["id", "n", "late"]) == expected


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        ("train", range(10)),
        ("train[:80%]", range(8)),
        ("train[80%:]", [8, 9]),
        ("train[2:4]", [2, 3]),
        ("train[-3:]", [7, 8, 9]),
        ("train[:10%]+train[-10%:]", [0, 9]),
        ("train[25%:75%]", [2, 3, 4, 5, 6, 7]),  # 2.5 and 7.5, to the nearest even row, as `datasets` rounds
        ("train[5:99]", [5, 6, 7, 8, 9]),
        ("train[6:3]", []),
    ],
)
def test_slices(tmp_path, split, expected):
    write(tmp_path, "0.jsonl", "\n".join(json.dumps(row) for row in ROWS))
    assert [int(row["id"]) for row in load(tmp_path, "json", split=split)] == list(expected)


@pytest.mark.parametrize("count", [1, 7, 10, 33, 104])
@pytest.mark.parametrize(
    "split", ["train[:33%]", "train[33%:66%]", "train[-25%:]", "train[5:50%]", "train[:-3]+train[:5%]"]
)
def test_slices_are_those_of_datasets(tmp_path, split, count):
    if "5:50%" in split:
        split = "train[50%:]"  # `datasets` has one unit for both bounds
    if count == 1 and "-3" in split:
        count = 4
    from datasets import ReadInstruction

    instructions = ReadInstruction.from_spec(split).to_absolute({"train": count})
    theirs = [row for part in instructions for row in range(part.from_, part.to)]
    parts = LoadDatasetConfig(data_files="x.json", split=split).splits
    assert [row for part in parts for row in part.rows(count)] == theirs


def test_max_samples_are_the_first(tmp_path):
    write(tmp_path, "0.jsonl", "\n".join(json.dumps(row) for row in ROWS))
    assert load(tmp_path, "json", split="train[50%:]", max_samples=2) == ROWS[5:7]


def test_files_are_read_in_order(tmp_path):
    for index, row in enumerate(ROWS):
        write(tmp_path, f"{index:05}.jsonl", json.dumps(row))
    assert load(tmp_path, "json") == ROWS


@pytest.mark.parametrize(
    ("data_name", "content", "message"),
    [
        ("json", '{"id": 1}\n{"id": \n', r"train/0.x:2:8: bad JSON \(Expecting value\); expected one object a line"),
        ("json", '{\n  "id": 1\n}', r"train/0.x:1:2: bad JSON \(.*or a document with `field` set"),
        ("json", "1\n", r"train/0.x:1: a row must be an object with a value for each column, found 1"),
        (
            "json",
            '[{"id": 1},\n {"id": 2}',
            r"train/0.x:2: bad JSON \(expected ',' or '\]' after row 2, found the end\)",
        ),
        ("json", '[{"id": 1},\n oops]', r"train/0.x:2:2: bad JSON \(Expecting value\)"),
        ("json", '[{"id": 1}, "x"]', r"train/0.x: row 2: a row must be an object .* found a text"),
        ("json", '[{"id": 1}] {"id": 2}', r"expected the end of the file after the list, found '\{\"id\": 2\}'"),
        ("csv", "id,tone\n1,Joy\n2\n", r"train/0.x:3: expected 2 values \(id, tone\), found 1"),
        ("csv", "id,tone\n1,Joy,x\n", r"train/0.x:2: expected 2 values \(id, tone\), found 3"),
        ("csv", "id,id\n1,2\n", r"train/0.x:1: the columns must have different names, found id, id"),
        ("csv", 'id\n"open\n', r"train/0.x:2: bad CSV \(unexpected end of data\)"),
        ("text", b"caf\xe9\n", r"train/0.x:1: expected UTF-8 text, found the byte 0xe9"),
    ],
)
def test_unreadable_files_say_where(tmp_path, data_name, content, message):
    path = write(tmp_path, "0.x", content)
    with pytest.raises(UnreadableRows, match=message) as caught:
        list(read_rows(path, data_name, name="train/0.x"))
    assert "\n" not in str(caught.value)


def test_files_that_did_not_travel(tmp_path):
    with pytest.raises(UnreadableRows, match="the files of split train were not brought along"):
        load(tmp_path, "json")
