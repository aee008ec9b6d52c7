"""Text becomes tokens, each with its part in the loss.

Which tokens belong to a completion is decided on the whole text's tokens by the characters they stand for, because
prompt and completion tokenized apart may give other tokens than together. A token that reaches over the boundary holds
characters of the completion, so it is trained.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from olive_engine.config.data import PreProcessConfig
from olive_engine.data.text import Chat, Message, Span, Text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of one row: int32 ids, and 1 for each that is trained."""

    ids: array[int]
    mask: bytearray


def load_tokenizer(path: Path) -> PreTrainedTokenizerFast:
    """The tokenizer in a model's folder; nothing but its files and config.json needs to be there.

    Raises:
        ValueError: there is none, or it cannot tell which characters a token stands for.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(path), local_files_only=True)
    except (OSError, ValueError, KeyError, ImportError) as error:  # what transformers raises for want of files or code
        cause = " ".join(str(error).split())
        raise ValueError(f"the model's folder must hold a tokenizer that transformers can load: {cause}") from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise ValueError(f"the tokenizer must be a fast one (with a tokenizer.json); {type(tokenizer).__name__} is not")
    return tokenizer


def chat_of(tokenizer: PreTrainedTokenizerFast, template: bool | str) -> Chat:  # noqa: FBT001 - the option's own type
    """Lay messages out by the tokenizer's chat template, or by a Jinja template.

    Raises:
        ValueError: the tokenizer has no template; later, that the template refuses the messages.
    """
    from jinja2 import TemplateError

    if template is True and not tokenizer.chat_template:
        raise ValueError(
            "chat_template is true, but the model's tokenizer has none; write the Jinja template as its value"
        )
    jinja = template if isinstance(template, str) else None

    def chat(messages: Sequence[Message], add_generation_prompt: bool) -> str:  # noqa: FBT001 - transformers' own order
        try:
            text = tokenizer.apply_chat_template(
                [dict(message) for message in messages],
                chat_template=jinja,
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
            )
        except TemplateError as error:
            raise ValueError(f"the chat template refuses the messages: {error}") from error
        return str(text)

    return chat


def tokenize(tokenizer: PreTrainedTokenizerFast, texts: Sequence[Text], config: PreProcessConfig) -> list[Tokens]:
    """The tokens of each text, whole: with bos and one eos if ``add_special_tokens``, never cut.

    Raises:
        ValueError: an end-of-text token is wanted and the tokenizer has none.
    """
    special, is_chat = config.add_special_tokens, config.chat_template is not False
    if special and tokenizer.eos_token_id is None:
        raise ValueError(
            "add_special_tokens ends each row with the tokenizer's eos token, but it has none; set one in the "
            "tokenizer, or add_special_tokens to false"
        )
    if not texts:
        return []
    encoded: Any = tokenizer(
        [text.text for text in texts],
        add_special_tokens=special and not is_chat,  # a chat template writes its own
        return_offsets_mapping=True,
        return_attention_mask=False,
        verbose=False,
    )
    eos = tokenizer.eos_token_id if special else None
    return [
        _row(ids, offsets, text, config, bos=tokenizer.bos_token_id if special else None, eos=eos)
        for text, ids, offsets in zip(texts, encoded["input_ids"], encoded["offset_mapping"], strict=True)
    ]


def _row(
    ids: list[int], offsets: list[Span], text: Text, config: PreProcessConfig, *, bos: int | None, eos: int | None
) -> Tokens:
    if bos is not None and ids[:2] == [bos, bos]:  # the text begins with the bos that the tokenizer adds
        ids, offsets = ids[1:], offsets[1:]
    trained = text.completions if config.completion_only_loss else ((0, len(text.text)),)
    mask = _mask(offsets, trained)
    if eos is not None:
        if config.chat_template is not False:
            # The template ends a turn itself, mostly with the eos token; a chat that the user ends has no end of text.
            answered = bool(text.completions) and text.completions[-1][1] == len(text.text)
            ended = not answered or eos in ids[_last_turn(offsets, text) :]
        else:
            ended = ids[-1:] == [eos]
        if not ended:
            ids, mask = [*ids, eos], mask + b"\1"
        elif offsets[-1:] == [(0, 0)]:
            mask[-1] = 1  # added by the tokenizer, it stands for no characters
    return Tokens(array("i", ids), mask)


def _last_turn(offsets: list[Span], text: Text) -> int:
    """The first token of the last completion."""
    start = text.completions[-1][0] if text.completions else 0
    return next((index for index, (_, end) in enumerate(offsets) if end > start), len(offsets))


def _mask(offsets: list[Span], trained: Sequence[Span]) -> bytearray:
    mask = bytearray(len(offsets))
    before = 0
    for index, (start, end) in enumerate(offsets):
        if end == 0:  # a special token that the tokenizer put in
            continue
        # Byte-level tokenizers cut blanks off the places they report: a token reaches back to where the last one ended.
        start = min(start, before)
        for begin, stop in trained:
            if start < stop and end > begin:
                mask[index] = 1
                break
        before = end
    return mask
