"""Which tokens are trained: the part of data preparation that goes wrong without anybody noticing."""

from __future__ import annotations

import numpy as np
import pytest

from olive_engine.data.show import describe_row
from olive_engine.data.tokens import load_rows, load_summary, load_tokens

CHAT = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}"
    "{% if message.role == 'assistant' %}</s>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
TEMPLATE = "### Text: {phrase}\n### Tone:\n{tone}"
ROWS = [
    {"phrase": "the lazy dog felt joy", "tone": "Joy"},
    {"phrase": "{braces} and é 漢字 🙂 in the data", "tone": "Sad 🙂"},
    {"phrase": "a", "tone": "\n\nFear \n"},
]


def trained_text(step, out, row: int) -> str:
    ids, mask = load_tokens(out)[row]
    return step.tokenizer.decode(ids[mask == 1])


def whole_text(step, out, row: int) -> str:
    return step.tokenizer.decode(load_tokens(out)[row][0])


@pytest.mark.parametrize("bos", [False, True])
def test_only_completion_and_eos_are_trained(step, bos: bool) -> None:
    step.use(step.make_tokenizer(bos=bos))
    out = step(ROWS, text_template=TEMPLATE, completion_only_loss=True)
    for index, row in enumerate(ROWS):
        assert trained_text(step, out, index) == row["tone"] + "</s>"
        text = TEMPLATE.format(**row) + "</s>"
        assert whole_text(step, out, index) == ("<s>" if bos else "") + text


def test_the_boundary_holds_for_tokenizers_of_the_sentencepiece_kind(step) -> None:
    step.use(step.make_sentencepiece_like())
    rows = [{"phrase": "é 🙂", "tone": tone} for tone in ("Joy", "Sad 🙂", "\n漢")]
    out = step(rows, text_template="{phrase} is:\n{tone}", completion_only_loss=True)
    assert [trained_text(step, out, row) for row in range(3)] == ["Joy</s>", "Sad 🙂</s>", "\n漢</s>"]
    assert whole_text(step, out, 1) == "<s> é 🙂 is:\nSad 🙂</s>"


def test_everything_but_the_first_token_is_trained_without_masking(step) -> None:
    tokens = load_tokens(step(ROWS, text_template=TEMPLATE))
    for ids, mask in tokens:
        assert mask.tolist() == [0] + [1] * (len(ids) - 1)
        assert ids[-1] == step.tokenizer.eos_token_id


def test_a_token_over_the_boundary_is_trained(step) -> None:
    # "Jo" belongs to the prompt, "y" to the completion; the tokenizer has one token for all of it.
    out = step([{"a": "felt", "b": "y"}], text_template="{a} Jo{b}", completion_only_loss=True)
    assert step.tokenizer.encode(" Joy", add_special_tokens=False) == [load_tokens(out)[0][0][-2]]
    assert trained_text(step, out, 0) == " Joy</s>"
    assert load_rows(out)[0].completion == "y"


def test_a_blank_at_the_end_of_the_prompt_goes_with_the_word_it_is_one_token_with(step) -> None:
    out = step([{"a": "felt", "b": "Joy"}], text_template="{a} {b}", completion_only_loss=True)
    assert trained_text(step, out, 0) == " Joy</s>"


@pytest.mark.parametrize("tail", ["</s>", ""])
def test_eos_is_there_once_and_trained_even_as_the_padding_token(step, tail: str) -> None:
    step.use(step.make_tokenizer(pad="</s>"))
    assert step.tokenizer.pad_token_id == step.tokenizer.eos_token_id
    out = step(ROWS[:1], text_template=TEMPLATE + tail, completion_only_loss=True)
    ids, mask = load_tokens(out)[0]
    assert (ids == step.tokenizer.eos_token_id).sum() == 1
    assert mask[-1] == 1


def test_bos_in_the_template_is_not_doubled(step) -> None:
    step.use(step.make_tokenizer(bos=True))
    ids, _ = load_tokens(step(ROWS[:1], text_template="<s>" + TEMPLATE))[0]
    assert (ids == step.tokenizer.bos_token_id).sum() == 1


def test_eos_by_the_tokenizers_own_post_processor_is_trained(step) -> None:
    from tokenizers import processors

    tokenizer = step.make_tokenizer()
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    step.use(tokenizer)
    out = step(ROWS[:1], text_template=TEMPLATE, completion_only_loss=True)
    assert whole_text(step, out, 0) == "<s>" + TEMPLATE.format(**ROWS[0]) + "</s>"
    assert trained_text(step, out, 0) == "Joy</s>"


def test_no_special_tokens_when_not_wanted(step) -> None:
    step.use(step.make_tokenizer(bos=True))
    out = step(ROWS, text_template=TEMPLATE, completion_only_loss=True, add_special_tokens=False)
    assert whole_text(step, out, 0) == TEMPLATE.format(**ROWS[0])
    assert trained_text(step, out, 0) == "Joy"


def test_a_tokenizer_without_eos_is_refused_unless_none_is_wanted(step) -> None:
    step.use(step.make_tokenizer(eos=None))
    with pytest.raises(
        ValueError, match="add_special_tokens ends each row with the tokenizer's eos token, but it has none"
    ):
        step(ROWS, text_template=TEMPLATE)
    step(ROWS, text_template=TEMPLATE, add_special_tokens=False)


def test_response_template_ends_the_prompt(step) -> None:
    rows = [{"q": "Text:", "why": "dog", "tone": "Joy"}]
    template = "{q} Text: {why} because {tone}"
    out = step(rows, text_template=template, response_template=" because", completion_only_loss=True)
    assert trained_text(step, out, 0) == " Joy</s>"
    out = step(rows, text_template="{q}\nText:{why} {tone}", response_template="\nText:", completion_only_loss=True)
    assert trained_text(step, out, 0) == "dog Joy</s>"
    assert load_rows(out)[0].prompt == "Text:\nText:"


def test_response_template_is_found_in_plain_text_and_rows_without_are_left_out(step) -> None:
    rows = [{"text": "Q: a\nA:yes A:"}, {"text": "Q: say A:\nA:no"}, {"text": "nothing"}]
    out = step(rows, response_template="A:", completion_only_loss=True)
    assert [(row.index, row.completion) for row in load_rows(out)] == [(1, "no")]
    assert load_summary(out).dropped_empty == 2  # one ends with the marker, one lacks it
    assert trained_text(step, out, 0) == "no</s>"


def chat(*turns: str) -> dict[str, list[dict[str, str]]]:
    roles = ("user", "assistant")
    return {"messages": [{"role": roles[index % 2], "content": turn} for index, turn in enumerate(turns)]}


def test_all_turns_of_the_assistant_are_trained_and_nothing_else(step) -> None:
    rows = [chat("felt joy?", "Joy", "and é now?", "Sad"), chat("one", "two", "three?")]
    out = step(rows, chat_template=CHAT, completion_only_loss=True)
    assert trained_text(step, out, 0) == "Joy</s>Sad</s>"
    assert whole_text(step, out, 0) == "<|user|>felt joy?<|assistant|>Joy</s><|user|>and é now?<|assistant|>Sad</s>"
    assert trained_text(step, out, 1) == "two</s>"  # no end of text after the user's last word
    first = load_rows(out)[0]
    assert first.prompt == "<|user|>felt joy?<|assistant|>Joy</s><|user|>and é now?<|assistant|>"
    assert (first.completion, first.label) == ("Sad</s>", "Sad")


def test_the_tokenizers_own_chat_template(step) -> None:
    with pytest.raises(ValueError, match="chat_template is true, but the model's tokenizer has none"):
        step([chat("a", "b")], chat_template=True)
    tokenizer = step.make_tokenizer(bos=True)
    tokenizer.chat_template = "{{ bos_token }}" + CHAT.replace("</s>", "{{ '\\n' }}")  # a template that writes no eos
    step.use(tokenizer)
    out = step([chat("a", "b")], chat_template=True, completion_only_loss=True)
    assert whole_text(step, out, 0) == "<s><|user|>a<|assistant|>b\n</s>"
    assert trained_text(step, out, 0) == "b\n</s>"


def test_a_template_that_rewrites_history_leaves_the_last_turn(step) -> None:
    forgetful = (
        "{% for message in messages %}<|{{ message.role }}|>"
        "{% if message.role == 'assistant' and not loop.last %}(said){% else %}{{ message.content }}{% endif %}"
        "{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    out = step([chat("a", "Joy", "b", "Sad")], chat_template=forgetful, completion_only_loss=True)
    assert trained_text(step, out, 0) == "Sad</s>"


def test_messages_that_are_none(step) -> None:
    with pytest.raises(
        ValueError, match="row 2: column 'turns' must hold a list of messages with role and content, found 'hi'"
    ):
        step([{"turns": [{"role": "user", "content": "a"}]}, {"turns": "hi"}], chat_template=CHAT, message_col="turns")
    refusing = "{{ raise_exception('no system turn here') }}"
    with pytest.raises(ValueError, match="row 1: the chat template refuses the messages: no system turn here"):
        step([chat("a", "b")], chat_template=refusing)


def test_each_token_is_shown_with_its_part_in_the_loss(step) -> None:
    out = step([{"a": "dog", "b": "Joy"}], text_template="Text: {a}\n{b}", completion_only_loss=True)
    shown = describe_row(step.tokenizer, load_tokens(out)[0]).splitlines()
    ids, mask = load_tokens(out)[0]
    assert len(shown) == len(ids) + 2
    assert shown[-1] == f"{mask.sum()} of {len(ids)} tokens are trained"
    last = shown[-2].split()
    assert last == [str(len(ids) - 1), "train", "1", "'</s>'"]
    assert shown[1].split()[:2] == ["0", "-"]
    assert np.flatnonzero(mask).tolist() == [int(line.split()[0]) for line in shown[1:-1] if " train " in line]
