"""The options of a data set: where its rows are, how a row becomes text, and which of it is learned."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field, model_validator

from olive_engine.config.data.splits import SplitPart, split_parts
from olive_engine.config.data.templates import columns_of, template_parts, up_to_last_column
from olive_engine.config.spelling import likely, one_of
from olive_engine.options import Options

FileFormat = Literal["json", "csv", "parquet", "text"]
FORMATS: tuple[FileFormat, ...] = get_args(FileFormat)
AZUREML = "azureml://"
"""How a path begins that is kept by Azure ML."""
SUFFIXES: dict[str, FileFormat] = {
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".csv": "csv",
    ".parquet": "parquet",
    ".txt": "text",
}


def _checked_split(split: str) -> str:
    split_parts(split)
    return split


def _checked_template(template: str) -> str:
    if not columns_of(template):
        raise ValueError(f"a template must name at least one column in braces; {template!r} names none")
    return template


class LoadDatasetConfig(Options):
    """Where the rows are: in local files, or in a data set on the hub."""

    data_name: str | None = Field(
        default=None,
        min_length=1,
        description="Format of the local files (json, csv, parquet or text), or the name of a data set on the hub; "
        "left out, the suffix of data_files tells the format.",
        examples=["json"],
    )
    data_files: str | tuple[str, ...] | dict[str, str | tuple[str, ...]] | None = Field(
        default=None,
        description="A file, a folder or a glob pattern, several of them, or such a value for each split; "
        "for a data set on the hub, files of its repository.",
        examples=["data/train.jsonl", ["data/a.jsonl", "data/b.jsonl"], {"train": "train.jsonl", "test": "test.jsonl"}],
    )
    split: Annotated[str, AfterValidator(_checked_split)] = Field(
        default="train",
        description="Which rows: a split, or parts of splits: train[:80%], train[100:200], train[:10%]+train[-10%:]. "
        "Percentages are rounded to the nearest row.",
        examples=["train[:90%]", "train[100:200]"],
    )
    subset: str | None = Field(default=None, description="Configuration of a data set on the hub.")
    revision: str | None = Field(default=None, description="Branch, tag or commit of a data set on the hub.")
    field: str | None = Field(
        default=None, min_length=1, description="Key of a JSON document under which the list of rows is."
    )
    max_samples: int | None = Field(
        default=None, gt=0, description="At most so many rows, the first of the split; none: all."
    )

    @property
    def format(self) -> FileFormat | None:
        """The format of the local files; None for a data set on the hub."""
        for known in FORMATS:
            if self.data_name == known:
                return known
        if self.data_name is not None:
            return None
        found = {SUFFIXES.get(PurePath(name).suffix.lower()) for names in self.files.values() for name in names}
        return found.pop() if len(found) == 1 else None

    @property
    def files(self) -> dict[str, tuple[str, ...]]:
        """`data_files` by split; files given without a split are the split ``train``."""
        if self.data_files is None:
            return {}
        by_split = self.data_files if isinstance(self.data_files, dict) else {"train": self.data_files}
        return {split: (names,) if isinstance(names, str) else names for split, names in by_split.items()}

    @property
    def is_remote(self) -> bool:
        """Whether the files are in a workspace of Azure ML, not here."""
        return any(name.startswith(AZUREML) for names in self.files.values() for name in names)

    @property
    def splits(self) -> tuple[SplitPart, ...]:
        """`split`, taken apart."""
        return split_parts(self.split)

    @model_validator(mode="after")
    def _agrees(self) -> LoadDatasetConfig:
        if not self.files and (self.data_name is None or self.format):
            raise ValueError(f"data_files must be given for local rows; data_name is {self.data_name or 'not given'}")
        if empty := [split for split, names in self.files.items() if not names]:
            raise ValueError(f"data_files must name at least one file; it names none for {', '.join(empty)}")
        if self.data_name is None and self.format is None:
            raise ValueError(
                f"data_name must be given ({', '.join(FORMATS)}, or a name on the hub) where data_files do not all "
                f"have one format's suffix ({', '.join(SUFFIXES)})"
            )
        if self.format is None:
            if self.field is not None:
                raise ValueError(f"field is for JSON files; {self.data_name!r} is a data set on the hub")
            return self
        for option in ("subset", "revision"):
            if (value := getattr(self, option)) is not None:
                raise ValueError(f"{option} is for data sets on the hub, not for {self.format} files; it is {value!r}")
        if self.field is not None and self.format != "json":
            raise ValueError(f"field is for JSON files; these are {self.format}")
        names = [name for names in self.files.values() for name in names]
        if urls := [name for name in names if "://" in name and not name.startswith(AZUREML)]:
            raise ValueError(f"data_files must be files on this machine or azureml:// paths, not URLs like {urls[0]}")
        if short := [name for name in names if name.startswith(AZUREML.rstrip("/")) and not name.startswith(AZUREML)]:
            raise ValueError(
                f"data_files must be files, and {short[0]} is the az command line's short form of a data asset; write "
                f"{AZUREML}datastores/D/paths/PATH, which the asset's page in the studio shows"
            )
        if self.is_remote and not all(name.startswith(AZUREML) for name in names):
            raise ValueError("data_files must be all on this machine or all azureml:// paths, not some of each")
        for part in self.splits:
            if part.name not in self.files:
                near = likely(part.name, self.files)
                question = f"; did you mean {one_of(near)}?" if near else ""
                known = ", ".join(self.files)
                raise ValueError(f"split must name a split of data_files ({known}), not {part.name!r}{question}")
        return self


class PreProcessConfig(Options):
    """How a row becomes text, the text tokens, and which tokens are learned."""

    text_template: Annotated[str, AfterValidator(_checked_template)] | None = Field(
        default=None,
        description="Text of a row, with columns in braces: '### Text: {phrase}\\n### Tone: {tone}'. "
        "A literal brace is doubled.",
        examples=["### Question: {question}\n### Answer:\n{answer}"],
    )
    text_cols: str | tuple[str, ...] | None = Field(
        default=None,
        description="Without a template: the column that is the text, or several, joined by a blank (default: text). "
        "With one: the columns that it may name.",
        examples=["text"],
    )
    chat_template: bool | str = Field(
        default=False,
        description="True: the row's messages, laid out by the tokenizer's chat template; a text: by that template.",
    )
    message_col: str | None = Field(
        default=None,
        description="Column of the messages, a list of {role, content} (default: messages); needs chat_template.",
    )
    label_col: str | None = Field(
        default=None, description="Column with the right answer for metrics; default: the template's last column."
    )
    strategy: Literal["line-by-line", "join"] = Field(
        default="line-by-line",
        description="line-by-line: each row is an example of its own, which answers and prompt masking need; "
        "join: rows are laid end to end and cut into blocks of max_seq_len, the last one shorter.",
    )
    joiner: str | None = Field(default=None, description="Text between joined rows (default: an empty line).")
    max_seq_len: int = Field(
        default=1024,
        gt=1,
        description="Longest example in tokens. A longer row loses its end, and its end-of-text token with it.",
    )
    drop_too_long: bool = Field(
        default=False, description="Leave rows longer than max_seq_len out, instead of cutting them."
    )
    completion_only_loss: bool = Field(
        default=False,
        description="Learn the completion only: what follows the prompt, or in a chat the assistant's turns. "
        "A row left without such a token is dropped, and counted.",
    )
    response_template: str | None = Field(
        default=None,
        min_length=1,
        description="Text that ends the prompt; default: the prompt is the template up to its last column.",
        examples=["### Answer:"],
    )
    add_special_tokens: bool = Field(
        default=True,
        description="Begin each row as the tokenizer does (bos, if it has one) and end it with one end-of-text token.",
    )

    @property
    def columns(self) -> dict[str, tuple[str, ...]]:
        """The columns that a row must have, by the option that says so."""
        if self.chat_template is not False:
            named: dict[str, tuple[str, ...]] = {"message_col": (self.message_col or "messages",)}
        elif self.text_template is not None:
            named = {"text_template": columns_of(self.text_template)}
        else:
            named = {"text_cols": _as_tuple(self.text_cols) or ("text",)}
        return named if self.label_col is None else {**named, "label_col": (self.label_col,)}

    @property
    def label_column(self) -> str | None:
        """The column with the right answer; None: there is none, or it is a chat's last answer."""
        if self.label_col is not None or self.text_template is None:
            return self.label_col
        return [part.column for part in template_parts(self.text_template) if part.column is not None][-1]

    @property
    def prompt_template(self) -> str | None:
        """The part of `text_template` that is the prompt; None without a template."""
        template = self.text_template
        if template is None:
            return None
        if self.response_template is not None:
            escaped = self.response_template.replace("{", "{{").replace("}", "}}")
            return template[: template.index(escaped) + len(escaped)]
        return up_to_last_column(template)

    @model_validator(mode="after")
    def _agrees(self) -> PreProcessConfig:
        self._check_source()
        self._check_prompt()
        if self.strategy == "line-by-line" and self.joiner is not None:
            raise ValueError(f"joiner is for strategy join; strategy is {self.strategy}")
        if self.strategy == "join" and self.drop_too_long:
            raise ValueError(
                "drop_too_long is for strategy line-by-line; strategy join cuts into blocks and drops nothing"
            )
        return self

    def _check_source(self) -> None:
        chat = self.chat_template is not False
        if chat and (
            self.text_template is not None or self.text_cols is not None or self.response_template is not None
        ):
            raise ValueError("chat_template must stand without text_template, text_cols and response_template")
        if not chat and self.message_col is not None:
            raise ValueError(f"message_col needs chat_template; it is {self.message_col!r} without one")
        if self.text_cols is not None and not _as_tuple(self.text_cols):
            raise ValueError("text_cols must name at least one column")
        if self.text_template is not None and self.text_cols is not None:
            allowed = _as_tuple(self.text_cols)
            if extra := [name for name in columns_of(self.text_template) if name not in allowed]:
                raise ValueError(
                    f"text_template must name columns of text_cols only ({', '.join(allowed)}); "
                    f"it names {', '.join(extra)}"
                )

    def _check_prompt(self) -> None:
        if self.text_template is not None and self.response_template is not None:
            times = self.text_template.count(self.response_template.replace("{", "{{").replace("}", "}}"))
            if times != 1:
                raise ValueError(
                    f"response_template must occur once in text_template; {self.response_template!r} occurs {times}x"
                )
        if not self.completion_only_loss or self.chat_template is not False or self.response_template is not None:
            return
        if self.text_template is None:
            raise ValueError("completion_only_loss needs a text_template, a response_template or a chat_template")
        if not self.prompt_template:
            raise ValueError(
                "completion_only_loss needs a prompt before the template's last column; "
                f"{self.text_template!r} begins with it"
            )


class DataLoaderConfig(Options):
    """How evaluations take the rows."""

    batch_size: int = Field(
        default=16,
        gt=0,
        description="Rows that an evaluation puts through a model at once, if its metric says nothing else: "
        "memory and speed.",
    )


class DataConfig(Options):
    """A named data set: where its rows are and how they become tokens."""

    name: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.\-]*$", description="How passes and metrics refer to it.")
    type: Literal["HuggingfaceContainer", "DataContainer"] = Field(
        default="HuggingfaceContainer", description="Kind of container; both kinds read the same sources."
    )
    load_dataset_config: LoadDatasetConfig = Field(description="Where the rows are.")
    pre_process_data_config: PreProcessConfig = Field(
        default=PreProcessConfig(), description="How a row becomes tokens."
    )
    dataloader_config: DataLoaderConfig = Field(
        default=DataLoaderConfig(), description="How evaluations take the rows."
    )


def template_fields(config: DataConfig) -> tuple[str, ...]:
    """The columns that the rows of a data set must have."""
    named = config.pre_process_data_config.columns.values()
    return tuple(dict.fromkeys(column for columns in named for column in columns))


def _as_tuple(names: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else names or ()
