"""The data step as a whole: what is written, cut, joined, left out and reported."""

from __future__ import annotations

import hashlib
import shutil

import numpy as np
import pytest
import torch

from olive_engine.contracts import Log, Progress
from olive_engine.data.tokens import Row, Summary, load_rows, load_summary, load_tokens
from olive_engine.errors import Stopped

TEMPLATE = "Text: {phrase}\nTone: {tone}"
ROWS = [
    {"phrase": f"the {word} dog", "tone": tone} for word, tone in (("lazy", "Sad"), ("quick", "Joy"), ("brown", "Fear"))
]


def digests(out):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(out.iterdir())}


def test_rows_tokens_and_summary_agree(step):
    out = step(ROWS, text_template=TEMPLATE, completion_only_loss=True)
    tokens, summary = load_tokens(out), load_summary(out)
    assert (tokens.input_ids.dtype, tokens.loss_mask.dtype, tokens.offsets.dtype) == (np.int32, np.uint8, np.int64)
    assert tokens.offsets.tolist() == [0, *np.cumsum(tokens.lengths).tolist()]
    assert tokens.trained.tolist() == [mask.sum() for _, mask in tokens]
    assert summary == Summary(
        rows=3,
        tokens=len(tokens.input_ids),
        trained_tokens=int(tokens.loss_mask.sum()),
        truncated=0,
        dropped_empty=0,
        dropped_too_long=0,
    )
    assert load_rows(out) == [
        Row(i, f"Text: {row['phrase']}\nTone: ", row["tone"], row["tone"]) for i, row in enumerate(ROWS)
    ]
    # Passes make tensors of them without a copy, which torch allows for writable memory only.
    assert torch.from_numpy(tokens[1][0]).tolist() == tokens[-2][0].tolist()
    with pytest.raises(IndexError, match="row must be one of 3, not 3"):
        tokens[3]


def test_progress_and_a_line_are_reported(step):
    step(ROWS, text_template=TEMPLATE)
    progress, told = step.events
    assert progress == Progress(step=3, total=3, unit="rows")
    assert isinstance(told, Log)
    assert told.level == "info"
    assert told.message.startswith("3 rows, ")


def test_the_same_rows_give_the_same_bytes_wherever_they_are(step, tmp_path):
    first = step(ROWS, text_template=TEMPLATE)
    elsewhere = tmp_path / "other" / "name.json"
    elsewhere.parent.mkdir()
    shutil.copy(tmp_path / "rows.jsonl", elsewhere)
    second = step.run({"data_files": str(elsewhere)}, text_template=TEMPLATE)
    assert list(digests(first)) == ["rows.jsonl", "summary.json", "tokens.safetensors"]
    assert digests(first) == digests(second)
    for path in first.iterdir():
        assert str(tmp_path).encode() not in path.read_bytes()


def test_an_edited_row_gives_other_bytes(step):
    first = digests(step(ROWS, text_template=TEMPLATE))
    second = digests(step([*ROWS[:2], ROWS[2] | {"tone": "Joy"}], text_template=TEMPLATE))
    assert first["tokens.safetensors"] != second["tokens.safetensors"]
    assert first["rows.jsonl"] != second["rows.jsonl"]


def test_values_are_written_as_they_stand(step):
    rows = [{"Best Answer": "{x} {} 100%", "n": 7, "ratio": 0.5, "day": "2020-01-01", "ok": True}]
    out = step(rows, text_template="{{{Best Answer}}} {n:03} {ratio:.2f} {day} {ok!r}")
    assert load_rows(out)[0].prompt + load_rows(out)[0].completion == "{{x} {} 100%} 007 0.50 2020-01-01 True"
    assert load_rows(out)[0].label == "True"


def test_a_value_that_does_not_fit_its_format_names_the_row(step):
    with pytest.raises(ValueError, match="row 2: the value 'many' of column 'n' does not fit the format '03d'"):
        step([{"n": 1}, {"n": "many"}], text_template="{n:03d}")


def test_the_label_is_the_last_column_or_the_one_named(step):
    rows = [{"a": "x", "b": "y", "c": "z"}]
    assert load_rows(step(rows, text_template="{b}{a}{b}"))[0].label == "y"
    assert load_rows(step(rows, text_template="{a}{b}", label_col="c"))[0].label == "z"
    assert load_rows(step(rows, text_cols=["a", "b"]))[0] == Row(0, "", "x y", None)


@pytest.mark.parametrize(("options", "columns"), [({"text_template": "{phrase}: {colour}"}, "colour"), ({}, "text")])
def test_an_unknown_column_names_those_that_exist(step, options, columns):
    with pytest.raises(ValueError, match=f"no column '{columns}' in split train; it has phrase, tone"):
        step(ROWS, **options)


def test_long_rows_are_cut_or_dropped(step):
    rows = [{"text": "the lazy dog " * 20}, {"text": "dog"}]
    out = step(rows, max_seq_len=16)
    assert load_tokens(out).lengths.tolist()[0] == 16
    assert load_tokens(out)[0][0][-1] != step.tokenizer.eos_token_id, "the text does not end where it was cut"
    assert load_summary(out).truncated == 1
    assert step.events[-1].level == "warning"
    out = step(rows, max_seq_len=16, drop_too_long=True)
    assert [row.index for row in load_rows(out)] == [1]
    assert (load_summary(out).truncated, load_summary(out).dropped_too_long) == (0, 1)


def test_a_row_of_exactly_max_seq_len_is_whole(step):
    length = int(load_tokens(step([{"text": "the lazy dog"}])).lengths[0])
    out = step([{"text": "the lazy dog"}], max_seq_len=length, drop_too_long=True)
    assert load_summary(out).truncated == 0
    assert load_tokens(out)[0][0][-1] == step.tokenizer.eos_token_id


def test_a_row_whose_completion_is_cut_off_is_dropped_and_counted(step):
    rows = [{"phrase": "the lazy dog " * 30, "tone": "Joy"}, *ROWS]
    out = step(rows, text_template=TEMPLATE, completion_only_loss=True, max_seq_len=40)
    assert [row.index for row in load_rows(out)] == [1, 2, 3]
    assert load_summary(out).dropped_too_long == 1
    assert step.events[-1].message.endswith("; 1 left out (0 empty, 1 too long)")
    assert (load_tokens(out).trained > 0).all()


def test_rows_without_value_text_or_completion_are_dropped(step):
    rows = [
        {"phrase": "a"},
        {"phrase": "b", "tone": None},
        {"phrase": "c", "tone": " "},
        {"phrase": "d", "tone": "Joy"},
    ]
    assert [row.index for row in load_rows(step(rows, text_template=TEMPLATE, completion_only_loss=True))] == [3]
    assert [row.index for row in load_rows(step(rows, text_template=TEMPLATE))] == [2, 3]
    assert "None" not in load_rows(step(rows, text_template=TEMPLATE))[0].completion


def test_nothing_left_to_train_on_is_an_error_that_says_why(step):
    with pytest.raises(
        ValueError,
        match="none of the 4 rows has a completion to train on: 1 have no value, no text or no completion; "
        "3 are too long for max_seq_len 3, so raise it",
    ):
        step([*ROWS, {"tone": "Joy"}], text_template=TEMPLATE, completion_only_loss=True, max_seq_len=3)


def test_a_batch_in_which_all_rows_are_empty(step):
    out = step([{"text": ""}] * 1000 + [{"text": "the dog"}])
    assert [row.index for row in load_rows(out)] == [1000]
    assert load_summary(out).dropped_empty == 1000
    with pytest.raises(ValueError, match="none of the 2 rows has a token to train on: 2 have no value"):
        step([{"text": " "}, {"text": ""}])


def test_one_token_alone_cannot_be_predicted(step):
    with pytest.raises(ValueError, match="none of the 1 rows has a token to train on: 1 have no value"):
        step([{"text": "Joy"}], text_template="{text}", add_special_tokens=False)


def test_joined_rows_are_cut_into_blocks_and_the_tail_is_kept(step):
    texts = ["the lazy dog", "felt joy", "was sad"]
    rows = [{"text": text} for text in texts]
    out = step(rows, strategy="join", max_seq_len=7)
    first, *others = [step.tokenizer.encode(text + "</s>") for text in texts]
    expected = first + [token for other in others for token in [*step.tokenizer.encode("\n\n"), *other]]
    tokens = load_tokens(out)
    assert tokens.input_ids.tolist() == expected
    assert tokens.lengths.tolist() == [7] * (len(expected) // 7) + [len(expected) % 7]
    assert len(expected) % 7 > 1
    assert all(mask.tolist() == [0] + [1] * (len(mask) - 1) for _, mask in tokens)
    assert [row.index for row in load_rows(out)] == list(range(len(tokens)))
    assert {(row.prompt, row.label) for row in load_rows(out)} == {("", None)}


def test_blocks_of_exactly_the_right_size_leave_no_tail(step):
    length = int(load_tokens(step([{"text": "the lazy dog"}])).lengths[0])
    out = step([{"text": "the lazy dog"}] * 4, strategy="join", joiner="", max_seq_len=2 * length)
    assert load_tokens(out).lengths.tolist() == [2 * length, 2 * length]


def test_joined_rows_keep_their_masks(step):
    out = step(ROWS, text_template=TEMPLATE, completion_only_loss=True, strategy="join", max_seq_len=500)
    ids, mask = load_tokens(out)[0]
    assert step.tokenizer.decode(ids[mask == 1]) == " Sad</s> Joy</s> Fear</s>"


def test_a_stop_between_batches_is_seen(step):
    with pytest.raises(Stopped):
        step(ROWS, text_template=TEMPLATE, stop=lambda: True)


def test_many_batches_are_one_data_set(step):
    rows = [{"text": f"dog {number}"} for number in range(2345)]
    out = step(rows)
    assert [event.step for event in step.events[:-1]] == [1000, 2000, 2345]
    assert [row.completion for row in load_rows(out)] == [row["text"] for row in rows]


def test_a_folder_without_a_tokenizer_is_one_sentence(step, tmp_path):
    step.tokenizer_path = tmp_path / "empty"
    step.tokenizer_path.mkdir()
    with pytest.raises(
        ValueError, match="the model's folder must hold a tokenizer that transformers can load"
    ) as caught:
        step(ROWS, text_template=TEMPLATE)
    assert "\n" not in str(caught.value)


def test_a_hub_name_offline_says_that_the_hub_cannot_be_reached(step):
    with pytest.raises(ConnectionError, match="cannot load 'someone/emotion' from the hub: ") as caught:
        step.run({"data_name": "someone/emotion", "revision": "main"}, text_template="{text}")
    assert "\n" not in str(caught.value)
