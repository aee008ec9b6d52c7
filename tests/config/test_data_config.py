"""What may be written about a data set, and what is refused before anything is looked at."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from olive_engine.config.data import (
    DataConfig,
    DataLoaderConfig,
    LoadDatasetConfig,
    PreProcessConfig,
    SplitPart,
    columns_of,
    split_parts,
    template_fields,
)


def data(load=None, **options) -> DataConfig:
    return DataConfig.model_validate(
        {
            "name": "phrases",
            "load_dataset_config": {"data_files": "rows.jsonl", **(load or {})},
            "pre_process_data_config": options,
        }
    )


def test_the_tutorials_data_set_reads_as_it_is_meant() -> None:
    config = data(
        {"data_name": "json", "data_files": "dataset/dataset-classification.json", "split": "train"},
        text_cols=["phrase", "tone"],
        text_template="### Text: {phrase}\n### The tone is:\n{tone}",
        strategy="join",
        max_seq_len=2048,
    )
    assert config.type == "HuggingfaceContainer"
    assert config.load_dataset_config.format == "json"
    assert config.load_dataset_config.files == {"train": ("dataset/dataset-classification.json",)}
    assert template_fields(config) == ("phrase", "tone")
    assert config.pre_process_data_config.prompt_template == "### Text: {phrase}\n### The tone is:\n"


def test_defaults() -> None:
    config = data()
    assert config.pre_process_data_config == PreProcessConfig(
        strategy="line-by-line", max_seq_len=1024, completion_only_loss=False, add_special_tokens=True
    )
    assert config.load_dataset_config.split == "train"
    assert template_fields(config) == ("text",)


def test_a_validated_config_reads_back_from_its_own_json() -> None:
    config = data(
        {"data_files": {"train": ["a.csv", "b.csv"], "test": "c.csv"}, "split": "test[:5]+train"},
        text_template="{Best Answer}: {a}",
        completion_only_loss=True,
    )
    assert DataConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ("a.jsonl", "json"),
        ("A.JSON", "json"),
        (["a.csv", "b.CSV"], "csv"),
        ({"train": "a.parquet", "test": ["b.parquet"]}, "parquet"),
        ("data/*.txt", "text"),
    ],
)
def test_the_format_is_that_of_the_suffix(files, expected) -> None:
    assert data({"data_files": files}).load_dataset_config.format == expected


def test_a_hub_name_has_no_format_and_may_name_files_of_its_own() -> None:
    load = LoadDatasetConfig(data_name="dair-ai/emotion", subset="split", revision="main", data_files="train.csv")
    assert load.format is None


@pytest.mark.parametrize(
    ("template", "columns"),
    [
        ("{Best Answer} {a.b} {c[0]}", ("Best Answer", "a.b", "c[0]")),
        ("{{literal}} {x!r:>8} {x} {{{y}}}", ("x", "y")),
    ],
)
def test_columns_of_a_template(template, columns) -> None:
    assert columns_of(template) == columns


@pytest.mark.parametrize(
    ("template", "prompt"),
    [
        ("{q} {{a}} {a}{{}}", "{q} {{a}} "),
        ("{q}{{{a!r:>5}}}", "{q}{{"),
        ("{a} {b} {a}", "{a} {b} "),
        ("{a}", ""),
    ],
)
def test_the_prompt_goes_up_to_the_last_column(template, prompt) -> None:
    assert PreProcessConfig(text_template=template).prompt_template == prompt


def test_the_prompt_goes_up_to_the_response_template() -> None:
    options = PreProcessConfig(text_template="{q} {{A}}: {why} {a}", response_template="{A}:")
    assert options.prompt_template == "{q} {{A}}:"
    assert options.label_column == "a"


def test_splits() -> None:
    assert split_parts("train[:80%] + test[-5:7]+other") == (
        SplitPart("train", None, (80, True)),
        SplitPart("test", (-5, False), (7, False)),
        SplitPart("other"),
    )


RULES = {
    "no files": ({"data_files": None}, {}, "data_files must be given for local rows; data_name is not given"),
    "format only": (
        {"data_files": None, "data_name": "csv"},
        {},
        "data_files must be given for local rows; data_name is csv",
    ),
    "empty list": ({"data_files": []}, {}, "data_files must name at least one file; it names none for train"),
    "unknown suffix": (
        {"data_files": "rows.xlsx"},
        {},
        "data_name must be given (json, csv, parquet, text, or a name on",
    ),
    "two suffixes": ({"data_files": ["a.json", "a.csv"]}, {}, "where data_files do not all have one format's suffix"),
    "folder": ({"data_files": "rows/"}, {}, "data_name must be given"),
    "url": (
        {"data_files": "https://example.com/a.csv"},
        {},
        "must be files on this machine or azureml:// paths, not URLs like https://exam",
    ),
    "subset": ({"subset": "main"}, {}, "subset is for data sets on the hub, not for json files; it is 'main'"),
    "revision": ({"revision": "v1"}, {}, "revision is for data sets on the hub, not for json files; it is 'v1'"),
    "field of csv": ({"data_files": "a.csv", "field": "rows"}, {}, "field is for JSON files; these are csv"),
    "field of hub": (
        {"data_files": None, "data_name": "a/b", "field": "x"},
        {},
        "field is for JSON files; 'a/b' is a data",
    ),
    "split unknown": ({"split": "test"}, {}, "split must name a split of data_files (train), not 'test'"),
    "split odd": ({"split": "train[80]"}, {}, "a split must read like train, train[:80%], train[100:200]"),
    "split percent": ({"split": "train[:180%]"}, {}, "percentages in a split must be from -100 to 100, not 180"),
    "no samples": ({"max_samples": 0}, {}, "greater than 0"),
    "unknown key": ({"shuffle": True}, {}, "Extra inputs are not permitted"),
    "no column": (
        {},
        {"text_template": "hello"},
        "a template must name at least one column in braces; 'hello' names none",
    ),
    "empty field": (
        {},
        {"text_template": "a {}"},
        "each field of a template must name a column; 'a {}' has an empty one",
    ),
    "open brace": ({}, {"text_template": "a {b"}, "braces in a template must be doubled or hold a column's name; "),
    "nested": ({}, {"text_template": "{a:{b}}"}, "a format in a template must not hold a field of its own"),
    "conversion": ({}, {"text_template": "{a!x}"}, "a conversion in a template must be !r, !s or !a, not !x"),
    "not text": ({}, {"text_template": 5}, "valid string"),
    "other column": (
        {},
        {"text_template": "{a} {b}", "text_cols": "a"},
        "text_template must name columns of text_cols only (a); it names b",
    ),
    "no text_cols": ({}, {"text_cols": []}, "text_cols must name at least one column"),
    "chat and template": ({}, {"chat_template": True, "text_template": "{a}"}, "chat_template must stand without"),
    "messages only": ({}, {"message_col": "turns"}, "message_col needs chat_template; it is 'turns' without one"),
    "joiner": ({}, {"joiner": "\n"}, "joiner is for strategy join; strategy is line-by-line"),
    "drop joined": ({}, {"strategy": "join", "drop_too_long": True}, "drop_too_long is for strategy line-by-line"),
    "no prompt": (
        {},
        {"completion_only_loss": True},
        "completion_only_loss needs a text_template, a response_template",
    ),
    "starts with it": (
        {},
        {"completion_only_loss": True, "text_template": "{a}!"},
        "completion_only_loss needs a prompt before the template's last column; '{a}!' begins with it",
    ),
    "no marker": (
        {},
        {"text_template": "{q} {a}", "response_template": "A:"},
        "response_template must occur once in text_template; 'A:' occurs 0x",
    ),
    "tiny": ({}, {"max_seq_len": 1}, "greater than 1"),
}


@pytest.mark.parametrize("rule", RULES)
def test_what_does_not_go_together_is_refused(rule) -> None:
    load, options, message = RULES[rule]
    with pytest.raises(ValidationError) as caught:
        data(load, **options)
    assert caught.value.error_count() == 1, caught.value
    assert message in caught.value.errors()[0]["msg"]


def test_every_option_says_what_it_does() -> None:
    for options in (DataConfig, LoadDatasetConfig, PreProcessConfig, DataLoaderConfig):
        for name, field in options.model_fields.items():
            assert (field.description or "").endswith("."), (options.__name__, name)


def test_nothing_heavy_is_imported_to_read_or_check() -> None:
    code = (
        "import sys, olive_engine.config.data, olive_engine.data.check, olive_engine.data.files;"
        "print(sorted({'datasets','numpy','pyarrow','pandas','torch','transformers','tokenizers'} & set(sys.modules)))"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )
