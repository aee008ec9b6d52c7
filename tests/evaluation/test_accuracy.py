from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path

import pytest
import torch
from sklearn.metrics import f1_score
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from olive_engine.contracts import Event, Progress
from olive_engine.errors import Stopped
from olive_engine.evaluation.accuracy import Accuracy, AccuracyConfig, macro_f1
from olive_engine.evaluation.comparison import PREDICTIONS_FILE, Prediction, read_predictions
from olive_engine.models import HfAdapterModel, HfModel, Model, OnnxModel
from olive_engine.testing.tiny_models import build_tiny_model

from .conftest import PHRASES, MakeContext, MakeData

LABELS = ("Fear", "Joy", "Sad", "Surprise")


def _measure(
    model: Model, data: Path, make_context: MakeContext, **options: object
) -> tuple[dict[str, float], list[Prediction]]:
    context = make_context({"data_config": data})
    found = Accuracy().measure(model, AccuracyConfig.model_validate(options), context)
    assert found.predictions is not None
    assert found.predictions.predictions_path.is_relative_to(context.out)
    return dict(found.values), read_predictions(found.predictions)


def _by_hand(model: HfModel, first: str = "") -> list[dict[str, float]]:
    """Log-likelihoods of all labels, one text at a time; `first` is a special token that each text begins with."""
    loaded = AutoModelForCausalLM.from_pretrained(model.model_path)
    tokenizer = AutoTokenizer.from_pretrained(model.model_path)
    found = []
    for phrase, _ in PHRASES:
        scores = {}
        for label in LABELS:
            text = f"{first}Phrase: {phrase}\nTone: {label}"
            ids = tokenizer(text, add_special_tokens=False).input_ids
            count = _length(tokenizer, label)
            with torch.no_grad():
                logs = loaded(torch.tensor([ids])).logits[0].double().log_softmax(dim=-1)
            scores[label] = sum(float(logs[at - 1, ids[at]]) for at in range(len(ids) - count, len(ids)))
        found.append(scores)
    return found


def _length(tokenizer: PreTrainedTokenizerBase, label: str) -> int:
    """Tokens of a label after the blank that ends the prompt, which may be part of the first one."""
    ids = tokenizer(f" {label}", add_special_tokens=False).input_ids
    return len(ids) - (ids[0] == tokenizer.convert_tokens_to_ids("Ġ"))


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_scores_are_those_of_one_text_at_a_time(
    tiny: HfModel, make_data: MakeData, make_context: MakeContext, batch_size: int
) -> None:
    values, predictions = _measure(tiny, make_data(), make_context, generate=False, batch_size=batch_size)
    expected = _by_hand(tiny)
    for prediction, scores in zip(predictions, expected, strict=True):
        assert prediction.scores == pytest.approx(scores, abs=2e-4)
        assert prediction.predicted == max(scores, key=scores.__getitem__)
    right = sum(max(s, key=s.__getitem__) == label for s, (_, label) in zip(expected, PHRASES, strict=True))
    assert values["accuracy_score"] == right / len(PHRASES)
    assert set(values) == {"accuracy_score", "f1_score"}


def test_the_beginning_of_text_is_read_too(tmp_path: Path, make_data: MakeData, make_context: MakeContext) -> None:
    model = build_tiny_model(tmp_path / "with_bos")
    settings = json.loads((model.model_path / "tokenizer.json").read_text())
    begin, text = {"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}
    settings["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [begin, text],
        "pair": [begin, text],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}},
    }
    (model.model_path / "tokenizer.json").write_text(json.dumps(settings))
    _, predictions = _measure(model, make_data(model=model), make_context, generate=False)
    for prediction, scores in zip(predictions, _by_hand(model, "<s>"), strict=True):
        assert prediction.scores == pytest.approx(scores, abs=2e-4)


def test_a_chat_is_read_as_it_was_laid_out(tiny: HfModel, make_data: MakeData, make_context: MakeContext) -> None:
    data = make_data()
    rows = [{"messages": _chat(phrase, tone)} for phrase, tone in PHRASES]
    chat = make_data(rows=rows, text_template=None, chat_template=True)
    _, plain = _measure(tiny, data, make_context)
    _, chatted = _measure(tiny, chat, make_context)
    assert [p.label for p in chatted] == [p.label for p in plain]
    loaded = AutoModelForCausalLM.from_pretrained(tiny.model_path)
    tokenizer = AutoTokenizer.from_pretrained(tiny.model_path)
    for prediction, (phrase, _) in zip(chatted, PHRASES, strict=True):
        before = tokenizer.apply_chat_template(_chat(phrase), tokenize=False, add_generation_prompt=True)
        for label, score in prediction.scores.items():
            whole = tokenizer.apply_chat_template(_chat(phrase, label), tokenize=False)
            assert whole.startswith(before)
            start = len(tokenizer(before).input_ids)
            ids = torch.tensor([tokenizer(whole).input_ids])
            with torch.no_grad():
                logs = loaded(ids).logits[0, start - 1 : -1].double().log_softmax(dim=-1)
            assert score == pytest.approx(float(logs.gather(1, ids[0, start:, None]).sum()), abs=2e-4)


def _chat(phrase: str, tone: str | None = None) -> list[dict[str, str]]:
    turns = [{"role": "user", "content": f"What is the tone of: {phrase}"}]
    return turns if tone is None else [*turns, {"role": "assistant", "content": tone}]


def test_onnx_agrees_with_torch(
    tiny: HfModel, onnx_model: OnnxModel, make_data: MakeData, make_context: MakeContext
) -> None:
    data = make_data()
    values, predictions = _measure(tiny, data, make_context)
    onnx_values, onnx_predictions = _measure(onnx_model, data, make_context)
    assert onnx_values == values
    for ours, theirs in zip(predictions, onnx_predictions, strict=True):
        assert theirs.scores == pytest.approx(ours.scores, abs=1e-3)
        assert (theirs.row, theirs.label, theirs.predicted, theirs.generated) == (
            ours.row, ours.label, ours.predicted, ours.generated,
        )  # fmt: skip


def test_length_normalized_scores_are_means(tiny: HfModel, make_data: MakeData, make_context: MakeContext) -> None:
    data = make_data()
    tokenizer = AutoTokenizer.from_pretrained(tiny.model_path)
    _, sums = _measure(tiny, data, make_context, generate=False)
    _, means = _measure(tiny, data, make_context, generate=False, length_normalized=True)
    lengths = {label: _length(tokenizer, label) for label in LABELS}
    assert len(set(lengths.values())) > 1  # else it would make no difference
    for total, mean in zip(sums, means, strict=True):
        for label in LABELS:
            assert mean.scores[label] == pytest.approx(total.scores[label] / lengths[label], abs=2e-4)


def test_generation_is_that_of_transformers(tiny: HfModel, make_data: MakeData, make_context: MakeContext) -> None:
    _, predictions = _measure(tiny, make_data(), make_context, max_new_tokens=7, batch_size=5)
    model = AutoModelForCausalLM.from_pretrained(tiny.model_path)
    tokenizer = AutoTokenizer.from_pretrained(tiny.model_path)
    for prediction, (phrase, _) in zip(predictions, PHRASES, strict=True):
        ids = tokenizer(f"Phrase: {phrase}\nTone:", add_special_tokens=False, return_tensors="pt")
        out = model.generate(**ids, max_new_tokens=7, do_sample=False)[0, ids.input_ids.shape[1] :]
        assert prediction.generated == tokenizer.decode(out, skip_special_tokens=True)


def test_exact_match_is_the_share_of_rows_that_the_model_itself_answers(
    tiny: HfModel, make_data: MakeData, make_context: MakeContext
) -> None:
    _, before = _measure(tiny, make_data(), make_context, max_new_tokens=3)
    # Give three rows what the model writes as their answer.
    texts = [prediction.generated or "" for prediction in before]
    assert all(text.strip() for text in texts)
    rows = [(a, texts[i].strip() if i < 3 else b) for i, (a, b) in enumerate(PHRASES)]
    values, _ = _measure(tiny, make_data(rows), make_context, max_new_tokens=3)
    assert values["exact_match"] == pytest.approx(3 / len(PHRASES))
    alone, answers = _measure(tiny, make_data(rows), make_context, max_new_tokens=3, score=False)
    assert alone == {"exact_match": values["exact_match"]}
    assert [p.predicted for p in answers] == [text.strip() for text in texts]
    assert all(p.scores == {} for p in answers)


def test_a_model_that_knows_the_answer_is_right(tmp_path: Path, make_data: MakeData, make_context: MakeContext) -> None:
    model = build_tiny_model(tmp_path / "rigged")
    _teach(model, " Joy")
    values, predictions = _measure(model, make_data(), make_context)
    joys = sum(label == "Joy" for _, label in PHRASES) / len(PHRASES)
    assert {p.predicted for p in predictions} == {"Joy"}
    assert {p.generated for p in predictions} == {" Joy"}  # and then the end of the text
    # One label is always chosen: its F1 is 2 * 3 / (3 + 9), that of the three others 0.
    assert values == pytest.approx({"accuracy_score": joys, "exact_match": joys, "f1_score": 0.5 / 4})


def _teach(model: HfModel, answer: str) -> None:
    """Make the model write `answer` and end, whatever it reads: the next token depends on the last one only."""
    loaded = AutoModelForCausalLM.from_pretrained(model.model_path)
    tokenizer = AutoTokenizer.from_pretrained(model.model_path)
    ids = [tokenizer("Tone:").input_ids[-1], *tokenizer(answer).input_ids, tokenizer.eos_token_id]
    with torch.no_grad():
        for name, parameter in loaded.named_parameters():
            if "o_proj" in name or "down_proj" in name:
                parameter.zero_()  # what is left is the embedding of the last token
        for before, after in itertools.pairwise(ids):
            embedding = loaded.model.embed_tokens.weight[before]
            loaded.lm_head.weight[after] += 4 * embedding / embedding.norm()
    loaded.save_pretrained(model.model_path)


def test_the_adapter_counts(
    tiny: HfModel, adapter: HfAdapterModel, make_data: MakeData, make_context: MakeContext
) -> None:
    data = make_data()
    _, base = _measure(tiny, data, make_context, generate=False)
    _, adapted = _measure(adapter, data, make_context, generate=False)
    _, again = _measure(tiny, data, make_context, generate=False)
    assert max(abs(a.scores["Joy"] - b.scores["Joy"]) for a, b in zip(base, adapted, strict=True)) > 0.1
    assert again == base


def test_the_same_bytes_twice(tiny: HfModel, make_data: MakeData, make_context: MakeContext) -> None:
    data = make_data()
    files = []
    for _ in range(2):
        context = make_context({"data_config": data})
        found = Accuracy().measure(tiny, AccuracyConfig(), context).predictions
        assert found is not None
        files.append((found.predictions_path / PREDICTIONS_FILE).read_bytes())
    assert files[0] == files[1]
    assert files[0].count(b"\n") == len(PHRASES)
    first = json.loads(files[0].split(b"\n")[0])
    assert list(first) == ["row", "label", "predicted", "scores", "generated"]
    assert list(first["scores"]) == list(LABELS)


def test_options_narrow_the_work(tiny: HfModel, make_data: MakeData, make_context: MakeContext) -> None:
    labels = ("Surprise", "Sad", "Joy", "Fear", "Anger")
    _, predictions = _measure(tiny, make_data(), make_context, labels=labels, max_samples=2)
    assert [p.row for p in predictions] == [0, 1]
    assert list(predictions[0].scores) == list(labels)


def test_progress_and_stop(tiny: HfModel, make_data: MakeData, make_context: MakeContext) -> None:
    data = make_data()
    events: list[Event] = []
    context = make_context({"data_config": data}, events)
    Accuracy().measure(tiny, AccuracyConfig(), context)
    last = {event.unit: (event.step, event.total) for event in events if isinstance(event, Progress)}
    assert last["answers"] == (9, 9)
    assert last["texts"][0] == last["texts"][1]
    with pytest.raises(Stopped):
        Accuracy().measure(tiny, AccuracyConfig(), make_context({"data_config": data}, stop=True))


def test_the_label_may_be_a_code_for_what_the_text_says(
    tiny: HfModel, tmp_path: Path, make_data: MakeData, make_context: MakeContext
) -> None:
    data = make_data()
    _, named = _measure(tiny, data, make_context)
    lines = [json.loads(line) for line in (data / "rows.jsonl").read_text().splitlines()]
    for line in lines:
        line["label"] = f"class {LABELS.index(line['label'])}"
    (data / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    _, coded = _measure(tiny, data, make_context)
    codes = {name: f"class {index}" for index, name in enumerate(LABELS)}
    assert [p.scores for p in coded] == [{codes[k]: v for k, v in p.scores.items()} for p in named]


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        ({"strategy": "join"}, {}, "row 0 has no answer to compare with: prepare the data with"),
        ({}, {"labels": ("Joy", "Sad")}, "labels must hold every answer of the data; 'Fear', 'Surprise' is not there"),
        ({}, {"max_new_tokens": 250}, r"row \d with 250 new tokens: \d+ tokens are more than the 256"),
        ({"rows": [("We won!", "Joy")]}, {}, "all rows have the answer 'Joy', so there is nothing to choose"),
        ({"rows": [("x", f"{i} ferries") for i in range(201)]}, {}, "201 different answers, too many to choose"),
        ({"rows": [("x" * 400, "Joy"), ("y", "Sad")]}, {}, "row 0 with its answer: 4.. tokens are more than the 256"),
    ],
)
def test_what_cannot_be_measured_is_said_in_a_sentence(
    tiny: HfModel,
    make_data: MakeData,
    make_context: MakeContext,
    data: dict[str, object],
    options: dict[str, object],
    message: str,
) -> None:
    with pytest.raises(ValueError, match=message):
        _measure(tiny, make_data(**data), make_context, **options)


def test_data_of_another_tokenizer_is_refused(
    tiny: HfModel, tmp_path: Path, make_data: MakeData, make_context: MakeContext
) -> None:
    other = build_tiny_model(tmp_path / "other")
    settings = json.loads((other.model_path / "tokenizer.json").read_text())
    merges = settings["model"]["merges"]
    settings["model"]["merges"] = merges[: len(merges) // 4]
    (other.model_path / "tokenizer.json").write_text(json.dumps(settings))
    with pytest.raises(ValueError, match=r"row 0 has other tokens .* the data was prepared for another model"):
        _measure(other, make_data(), make_context)


def test_not_a_number_is_refused(tmp_path: Path, make_data: MakeData, make_context: MakeContext) -> None:
    model = build_tiny_model(tmp_path / "broken")
    loaded = AutoModelForCausalLM.from_pretrained(model.model_path)
    torch.nn.init.constant_(loaded.lm_head.weight, torch.nan)
    loaded.save_pretrained(model.model_path)
    with pytest.raises(ValueError, match="the model's output is not a number"):
        _measure(model, make_data(), make_context)


def test_doing_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="score and generate must not both be false"):
        AccuracyConfig(score=False, generate=False)


@pytest.mark.parametrize(
    ("right", "chosen"), [("aabbcc", "abbbca"), ("aaaa", "bbbb"), ("ab", "ab"), ("aab", "aaa"), ("a", "c")]
)
def test_macro_f1_is_that_of_scikit_learn(right: str, chosen: str) -> None:
    expected = f1_score(list(right), list(chosen), average="macro", zero_division=0.0)
    assert macro_f1(list(right), list(chosen)) == pytest.approx(expected)


def test_the_metric_declares_what_it_gives() -> None:
    assert next(iter(Accuracy.sub_types)) == "accuracy_score"
    assert Accuracy.needs_data
    assert not Accuracy.timing
    assert dataclasses.is_dataclass(Prediction)
