"""A first workflow, from a few answers: the tree, and the comments that tell a newcomer what to change."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import JsonValue

from olive_engine.contracts import AnyPass
from olive_engine.errors import ConfigPath
from olive_engine.options import DataRef, marked
from olive_engine.reporting.commented_yaml import commented_yaml
from olive_engine.reporting.examples import Tree, entry, slot_name
from olive_engine.reporting.reference import Option, options_of

Format = Literal["yaml", "json"]
Comments = dict[ConfigPath, str]

HELD_OUT = 10
"""Percent of the rows that are kept for judging the result."""
WRITTEN: Mapping[str, JsonValue] = {
    "r": 16,
    "alpha": 32,
    "precision": "int4",
    "training_args.learning_rate": None,
    "training_args.num_train_epochs": None,
    "training_args.per_device_train_batch_size": None,
}
"""Options that people change first, and what to begin with; None: the option's own default."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The data set and what a model sees of it."""

    source: str
    """A file, folder or pattern, or the name of a data set on the hub."""
    on_hub: bool = False
    text_template: str | None = None
    """None: the rows are chats, or texts."""
    text_col: str | None = None
    message_col: str | None = None
    """Column of a chat's messages."""
    answers_are_short: bool = False
    """So short that an answer is right or wrong as a whole."""
    few: bool = False
    """Too few to hold some out."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What a first workflow is made of."""

    model: str
    passes: Sequence[type[AnyPass]]
    adapter: str | None = None
    rows: Rows | None = None
    evaluate: bool = False
    output_dir: str = "output"
    positions: int | None = None
    """The longest text in tokens that the model was made for."""


def starter(answers: Answers, file_format: Format, schema: str = "", command: str = "") -> str:
    """The text of a workflow file.

    Args:
        answers: what it is to say.
        file_format: JSON has no comments.
        schema: where editors find the schema, if anywhere.
        command: how the file is run.
    """
    tree, comments = _workflow(answers)
    if file_format == "json":
        return json.dumps({**({"$schema": schema} if schema else {}), **tree}, indent=2, ensure_ascii=False) + "\n"
    head = [f"# yaml-language-server: $schema={schema}"] if schema else []
    kinds = " -> ".join(cls.type for cls in answers.passes)
    head += [f"# {kinds}. Run it with:  {command}" if command else f"# {kinds}"]
    names = ", ".join(f"`olive passes {cls.type}`" for cls in answers.passes)
    head += [f"# More options: {names}.", ""]
    sections = [commented_yaml({name: value}, comments) for name, value in tree.items()]
    return "\n".join(head) + "\n" + "\n".join(sections)


def needs_rows(passes: Sequence[type[AnyPass]]) -> bool:
    """Whether one of the passes reads a data set."""
    return any(mark.required for cls in passes for _, mark in marked(cls.config_type, DataRef))


def slot_names(passes: Sequence[type[AnyPass]]) -> list[str]:
    """A short name for each pass of a chain."""
    names: list[str] = []
    for cls in passes:
        name = slot_name(cls.type)
        times = sum(other.type == cls.type for other in passes[: len(names)])
        names.append(f"{name}_{times + 1}" if times else name)
    return names


def _workflow(answers: Answers) -> tuple[Tree, Comments]:
    comments: Comments = {
        ("input_model", "model_path"): "a folder in Hugging Face layout, or a name on the hub",
        ("output_dir",): "the final model and its report",
    }
    model: Tree = {"type": "HfModel", "model_path": answers.model}
    if answers.adapter is not None:
        model["adapter_path"] = answers.adapter
    tree: Tree = {"input_model": model}
    if answers.rows is not None:
        tree["data_configs"] = _data(answers, answers.rows, comments)
    if answers.evaluate and answers.rows is not None:
        tree["evaluators"] = {"quality": {"metrics": _metrics(answers.rows)}}
        comments["evaluators",] = (
            "measured on the input model too, as the baseline; `olive metrics` lists what there is"
        )
    tree["passes"] = {
        name: _pass(name, cls, comments) for name, cls in zip(slot_names(answers.passes), answers.passes, strict=True)
    }
    if "evaluators" in tree:
        tree["evaluator"] = "quality"
        comments["evaluator",] = "judges the final model; a pass may name one for its own result"
    tree["output_dir"] = answers.output_dir
    return tree, comments


def _data(answers: Answers, rows: Rows, comments: Comments) -> list[JsonValue]:
    trains = needs_rows(answers.passes)
    load: Tree = {"data_name": rows.source} if rows.on_hub else {"data_files": rows.source}
    seen: Tree = {}
    if rows.text_template is not None:
        seen["text_template"] = rows.text_template
        comments["data_configs", 0, "pre_process_data_config", "text_template"] = "columns of a row in braces"
    elif rows.message_col is not None:
        seen |= {"chat_template": True, "message_col": rows.message_col}
    else:
        seen["text_cols"] = rows.text_col
    if _has_answer(rows):
        seen["completion_only_loss"] = True
        comments["data_configs", 0, "pre_process_data_config", "completion_only_loss"] = (
            "learn the answer, not the question" if trains else "count the answer, not the question"
        )
    seen["max_seq_len"] = min(1024, answers.positions or 1024)
    comments["data_configs", 0, "pre_process_data_config", "max_seq_len"] = "tokens; longer rows are cut"
    parts = {"train": f"train[:{100 - HELD_OUT}%]", "heldout": f"train[{100 - HELD_OUT}%:]"}
    if not trains:
        parts = {"heldout": "train"}
        comments["data_configs", 0] = "the rows that the result is measured on"
    elif not answers.evaluate:
        parts = {"train": "train"}
    else:
        comments["data_configs", 1] = "the rest of the rows, which no training sees"
    return [
        {"name": name, "load_dataset_config": {**load, "split": split}, "pre_process_data_config": seen}
        for name, split in parts.items()
    ]


def _has_answer(rows: Rows) -> bool:
    """Whether a prompt comes before what is to be learned."""
    if rows.text_template is None:
        return rows.message_col is not None
    return rows.text_template.count("{") > 1 or not rows.text_template.startswith("{")


def _metrics(rows: Rows) -> list[JsonValue]:
    metrics: list[JsonValue] = [{"name": "perplexity", "type": "perplexity", "data_config": "heldout"}]
    if rows.answers_are_short:
        metrics.insert(0, {"name": "accuracy", "type": "accuracy", "data_config": "heldout"})
    return [*metrics, {"name": "size", "type": "size_on_disk"}]


def _pass(name: str, cls: type[AnyPass], comments: Comments) -> Tree:
    """A pass with what must be given, and what is changed first, each with the beginning of its description."""
    written = entry(cls)
    for data, _ in marked(cls.config_type, DataRef):
        if data in written:
            written[data] = "train"
    for option in options_of(cls.config_type):
        if option.name not in WRITTEN or option.name in written:
            continue
        begin = WRITTEN[option.name]
        value = option.value if begin is None else begin
        *group, last = option.name.split(".")
        place: Tree = written
        for part in group:
            inner = place.setdefault(part, {})
            if isinstance(inner, dict):
                place = inner
        place[last] = value
        comments[("passes", name, *group, last)] = _gist(option)
    return written


def _gist(option: Option) -> str:
    """The first sentence of a description, as a comment."""
    sentence = option.description.partition(". ")[0].removesuffix(".")
    return sentence[:1].lower() + sentence[1:]
