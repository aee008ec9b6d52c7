"""What `olive init` has to know of the rows: where they are, and how one becomes text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from olive_engine.cli.prompts import prompt, something

if TYPE_CHECKING:
    from pydantic import JsonValue

    from olive_engine.reporting.starter import Rows

SAMPLE = 50
"""Rows that are looked at."""
FEW = 10
"""With fewer rows a tenth is none."""


def ask_rows(source: str | None, template: str | None, *, asks: bool) -> Rows:
    """Which rows there are, and what a model sees of them.

    Args:
        source: a file, or the name of a data set on the hub; None: not given.
        template: the text of a row; None: not given.
        asks: whether somebody is there to be asked.

    Raises:
        click.UsageError: the rows or their text are not given, cannot be guessed, and may not be asked for.
    """
    if source is None:
        if not asks:
            raise click.UsageError("which rows to learn from? Name a file, or a data set on the hub, with --data")
        source = prompt(
            "Rows to learn from (a file, or a data set on the hub)",
            something("a file, folder or pattern, such as rows.jsonl, or the name of a data set on the hub"),
        )
    from olive_engine.reporting.starter import Rows

    on_hub, head = _head(source)
    few = 0 < len(head) < FEW
    columns = list(dict.fromkeys(name for row in head for name in row))
    if asks and head:
        click.echo(f"  its columns: {', '.join(f'{name} ({_shown(head[0].get(name))})' for name in columns)}")
    if template is None and (chats := [name for name in columns if _is_chat(head[0].get(name))]):
        if asks:
            click.echo(f"  {chats[0]} holds chats, which the tokenizer's chat template lays out")
        return Rows(source, on_hub, message_col=chats[0], few=few)
    texts = [name for name in columns if isinstance(head[0].get(name), str) and not set(name) & set("{}:!")]
    if template is None and len(texts) == 1:
        return Rows(source, on_hub, text_col=texts[0], few=few)
    text = _template(template, texts, columns, asks=asks)
    return Rows(source, on_hub, text, answers_are_short=_short_answers(text, head), few=few)


def _head(source: str) -> tuple[bool, list[Mapping[str, JsonValue]]]:
    """Whether the data set is on the hub, and its first rows; none where they cannot be looked at."""
    from olive_engine.config.data import SUFFIXES
    from olive_engine.data.columns import first_rows
    from olive_engine.data.files import expand
    from olive_engine.data.readers import UnreadableRows

    suffix = Path(source).suffix.lower()
    for data_format in [SUFFIXES[suffix]] if suffix in SUFFIXES else dict.fromkeys(SUFFIXES.values()):
        try:
            path = expand(source, Path(), data_format)[0]
            found = first_rows(path, SUFFIXES.get(path.suffix.lower(), data_format))
            return False, [dict(row) for row in islice(found[0], SAMPLE)] if found else []
        except FileNotFoundError:
            continue
        except UnreadableRows as error:
            raise click.UsageError(f"{source} cannot be read: {error}") from error
    is_path = suffix in SUFFIXES or source.startswith((".", "/", "~")) or any(mark in source for mark in "*?[")
    return not is_path, []


def _template(given: str | None, texts: Sequence[str], columns: Sequence[str], *, asks: bool) -> str:
    """The template that is given, asked for, or likely by the columns."""
    if given is not None:
        template = given.replace("\\n", "\n")
        if wrong := _objection(template, columns):
            raise click.UsageError(f"--template: {wrong}")
        return template
    guess = _guess(texts)
    if not asks:
        if guess is None:
            raise click.UsageError(
                "what does a model read of a row? Say so with --template, such as "
                '--template "### Question: {question}\\n### Answer:\\n{answer}"'
            )
        return guess

    def read(answer: str) -> str:
        template = answer.replace("\\n", "\n")
        if wrong := _objection(template, columns):
            raise ValueError(wrong)
        return template

    default = guess.replace("\n", "\\n") if guess is not None else None
    return prompt("Text of a row (columns in braces; \\n is a line break)", read, default)


def _guess(texts: Sequence[str]) -> str | None:
    """Each column with its name before it, the last one, the answer, on a line of its own."""
    if not texts:
        return None
    *asked, answer = texts
    lines = [f"### {_label(name)}: {{{name}}}" for name in asked]
    return "\n".join([*lines, f"### {_label(answer)}:", f"{{{answer}}}"])


def _label(column: str) -> str:
    return column.replace("_", " ").strip().capitalize()


def _objection(template: str, columns: Sequence[str]) -> str:
    """What is wrong with a template; empty if nothing is."""
    from olive_engine.config.data import columns_of

    try:
        named = columns_of(template)
    except ValueError as error:
        return str(error)
    if not named:
        return "a template names at least one column in braces"
    missing = [name for name in named if columns and name not in columns]
    return f"there is no column {missing[0]}; there are {', '.join(columns)}" if missing else ""


def _short_answers(template: str, head: Sequence[Mapping[str, JsonValue]]) -> bool:
    """Whether the last column's values are a word or three, so that they are right or wrong as a whole."""
    from olive_engine.config.data import columns_of

    values = [row.get(columns_of(template)[-1]) for row in head]
    return bool(values) and all(isinstance(value, str) and len(value.split()) <= 3 for value in values)


def _is_chat(value: JsonValue) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) and "role" in each for each in value)


def _shown(value: JsonValue) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:39]}…"
