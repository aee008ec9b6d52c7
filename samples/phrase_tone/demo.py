"""The main job on the shipped sample: tune, merge and quantize a small model that tells the tone of a phrase.

Runs `workflow.yaml`, compares the four models on the held-out phrases, with a TF-IDF classifier fitted on the same rows
beside them, and lets the int4 model judge three new sentences. Run it with `make demo`, or `python demo.py`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from olive_engine import RunResult, load_workflow, run
from olive_engine.digests import digest, file_digest
from olive_engine.evaluation.comparison import (
    Prediction,
    correct_count,
    disagreement,
    read_predictions,
    wilson_interval,
)
from olive_engine.models import Predictions
from olive_engine.reporting.console import console
from olive_engine.reporting.tables import Cell, Column, Table, show

HERE = Path(__file__).parent
STAGES = {"input_model": "base", "lora": "tuned (LoRA)", "merge": "merged", "int4": "int4 ONNX"}
TONES = ("Fear", "Joy", "Sad", "Surprise")
SENTENCES = (
    "They told me I had got the place, and I danced round the kitchen.",
    "Nobody has sat in his chair since the funeral.",
    "Something is scratching at the inside of the wardrobe.",
)


def main() -> int:
    """Run the workflow, print the comparison, classify three sentences."""
    started = time.perf_counter()
    os.chdir(HERE)
    with console(sys.stdout) as reporter:
        result = run(load_workflow("workflow.yaml"), reporter)
    answers = {stage: _answers(result, stage) for stage in STAGES}
    print("\nHeld-out phrases: 160, forty of each tone, frozen before any training\n")
    show(_comparison(result, answers), sys.stdout)
    print(f"\n{_tfidf_sentence()}\n")
    print("The int4 model, through onnxruntime-genai, on three sentences of its own:")
    for sentence, tone in zip(SENTENCES, _classify(result), strict=True):
        print(f"  {tone:<9} {sentence}")
    what = "everything was reused" if not result.executed else f"{len(result.executed)} steps were computed"
    print(f"\n{what}; the model is in {result.output_dir / 'model'}; {time.perf_counter() - started:.1f} s in all")
    return 0


# --- comparison ---------------------------------------------------------------------------------------------------


def _answers(result: RunResult, stage: str) -> list[Prediction]:
    path = result.predictions[f"{stage}:accuracy"]
    return read_predictions(Predictions(predictions_path=path.parent))


def _comparison(result: RunResult, answers: Mapping[str, Sequence[Prediction]]) -> Table:
    """One row for each stage; answers are compared with the tuned model's."""
    columns = (
        Column("model"),
        Column("accuracy", "right"),
        Column("95 % interval", "right"),
        Column("answers unlike tuned", "right"),
        Column("perplexity", "right"),
        Column("size", "right"),
        Column("tokens/s", "right"),
    )
    rows = []
    for stage, title in STAGES.items():
        values = result.metrics[stage]
        right, total = correct_count(answers[stage]), len(answers[stage])
        low, high = wilson_interval(right, total)
        rows.append(
            (
                Cell(title),
                Cell(f"{right / total:.1%}"),
                Cell(f"{low:.1%} – {high:.1%}"),
                Cell(f"{disagreement(answers['lora'], answers[stage]):.1%}"),
                Cell(f"{values['perplexity.perplexity']:,.3f}"),
                Cell(f"{values['size.bytes'] / 1e6:.2f} MB"),
                Cell(f"{values['speed.decode_tokens_per_second']:,.0f}"),
            )
        )
    return Table(columns, tuple(rows))


def _tfidf_sentence() -> str:
    """What a classical classifier reaches on the same rows; computed once for the same data."""
    identity = digest([file_digest(Path("data") / name) for name in ("train.jsonl", "heldout.jsonl")])
    memo = Path("output") / "tfidf.json"
    known = json.loads(memo.read_text()) if memo.exists() else {}
    if known.get("data") != identity:
        right, total = _fit_tfidf()
        known = {"data": identity, "right": right, "total": total}
        memo.write_text(json.dumps(known))
    low, high = wilson_interval(known["right"], known["total"])
    share = known["right"] / known["total"]
    return f"For comparison, TF-IDF + logistic regression on the same rows: {share:.1%} ({low:.1%} – {high:.1%})."


def _fit_tfidf() -> tuple[int, int]:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    train, heldout = (_rows(name) for name in ("train.jsonl", "heldout.jsonl"))
    vectors = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    model = make_pipeline(vectors, LogisticRegression(C=10, max_iter=1000))
    model.fit([row["phrase"] for row in train], [row["tone"] for row in train])
    predicted = model.predict([row["phrase"] for row in heldout])
    return sum(tone == row["tone"] for tone, row in zip(predicted, heldout, strict=True)), len(heldout)


def _rows(name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (Path("data") / name).read_text().splitlines()]


# --- the model in use ---------------------------------------------------------------------------------------------


def _classify(result: RunResult) -> list[str]:
    """What the int4 model writes after each prompt, one word."""
    import onnxruntime_genai as og

    folder = str(result.output_dir / "model")
    model = og.Model(folder)
    tokenizer = og.Tokenizer(model)
    tones = []
    for sentence in SENTENCES:
        tokens = tokenizer.encode(f"### Text: {sentence}\n### The tone is:\n")
        parameters = og.GeneratorParams(model)
        parameters.set_search_options(max_length=len(tokens) + 6, do_sample=False)
        generator = og.Generator(model, parameters)
        generator.append_tokens(tokens)
        while not generator.is_done():
            generator.generate_next_token()
        tones.append(tokenizer.decode(generator.get_sequence(0)[len(tokens) :]).strip())
    return tones


if __name__ == "__main__":
    sys.exit(main())
