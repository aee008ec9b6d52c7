"""A row becomes text, in which it is known where the completion is. No tokenizer here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from olive_engine.config.data import PreProcessConfig, template_parts
from olive_engine.data.readers import Row

Message = Mapping[str, Any]
Chat = Callable[[Sequence[Message], bool], str]
"""``chat(messages, add_generation_prompt)``: the messages as text."""

Span = tuple[int, int]

_CONVERSIONS: Mapping[str, Callable[[object], str]] = {"r": repr, "s": str, "a": ascii}


@dataclass(frozen=True, slots=True)
class Text:
    """The text of a row. Places are counted in characters."""

    text: str
    completions: tuple[Span, ...]
    """What a model should say: the end of the text, or in a chat each turn of the assistant. None: it has none."""
    label: str | None

    @property
    def prompt(self) -> str:
        """All before the last completion."""
        return self.text[: self.completions[-1][0]] if self.completions else self.text

    @property
    def completion(self) -> str:
        """All from the last completion on; empty where the row has none."""
        return self.text[self.completions[-1][0] :] if self.completions else ""


def text_of(row: Row, config: PreProcessConfig, chat: Chat | None = None) -> Text | None:
    """Lay a row out as text; None where a column that the text is made of has no value.

    Args:
        row: with all the columns that `config` names.
        config: how.
        chat: lays messages out; needed with ``chat_template``.

    Raises:
        ValueError: a value does not fit its format, or the messages are none.
    """
    named = [column for option, columns in config.columns.items() if option != "label_col" for column in columns]
    if any(row.get(column) is None for column in named):
        return None
    label = None if config.label_column is None else _plain(row.get(config.label_column))
    if config.chat_template is not False:
        if chat is None:
            raise TypeError("a chat needs the tokenizer's way to lay it out")
        return _chat_text(messages_of(row, named[0]), label, chat)
    if config.text_template is not None:
        prompt = render(config.prompt_template or "", row)
        text = render(config.text_template, row)
        return Text(text, ((len(prompt), len(text)),), label)
    text = " ".join(str(row[column]) for column in named)
    if config.response_template is None:
        return Text(text, ((0, len(text)),), label)
    # The last one counts: a prompt may quote the marker, as trl has it too.
    at = text.rfind(config.response_template)
    return Text(text, ((at + len(config.response_template), len(text)),) if at >= 0 else (), label)


def render(template: str, row: Row) -> str:
    """Fill a template in; names are names of columns and nothing else, so a value can reach no attribute.

    Raises:
        ValueError: a value does not fit the format given for it.
    """
    text = ""
    for part in template_parts(template):
        text += part.literal
        if part.column is None:
            continue
        value: object = row[part.column]
        if part.conversion is not None:
            value = _CONVERSIONS[part.conversion](value)
        try:
            text += format(value, part.spec) if part.spec else str(value)
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"the value {value!r} of column {part.column!r} does not fit the format {part.spec!r}: {error}"
            ) from None
    return text


def messages_of(row: Row, column: str) -> list[Message]:
    """The messages of a chat.

    Raises:
        ValueError: the value is not a list of objects with a role.
    """
    value = row[column]
    if not isinstance(value, list) or not value or not all(isinstance(turn, dict) and "role" in turn for turn in value):
        shown = str(value)[:60]
        raise ValueError(f"column {column!r} must hold a list of messages with role and content, found {shown!r}")
    return [turn for turn in value if isinstance(turn, dict)]


def _chat_text(messages: list[Message], label: str | None, chat: Chat) -> Text:
    """Find the assistant's turns by laying out the chat up to them and past them.

    Templates that write earlier turns otherwise once others follow (dropping their reasoning, say) leave only the last
    turn to be found; it is what the model is asked for.
    """
    text = chat(messages, False)
    turns = [index for index, message in enumerate(messages) if message["role"] == "assistant"]
    spans: dict[int, Span] = {}
    for index in turns:
        through = chat(messages[: index + 1], False)
        # Some templates have a header for the answer that only comes when asked for, others only with the answer.
        heads = (chat(messages[:index], asked) for asked in (True, False)) if index else iter(("",))
        start = next((len(head) for head in heads if through.startswith(head)), None)
        if start is not None and text.startswith(through):
            spans[index] = (start, len(through))
    if turns and turns[-1] not in spans:
        raise ValueError(
            "the chat template lays the last answer out in a way in which it cannot be told from its question"
        )
    if label is None and turns:
        label = _plain(messages[turns[-1]].get("content"))
    return Text(text, tuple(spans.values()), label)


def _plain(value: object) -> str | None:
    return None if value is None else str(value)
