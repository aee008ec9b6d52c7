# ruff: noqa: TID253 - a script of its own, run by benchmarks.sweep in a fresh process
"""What one writes without an engine: a sweep with Optuna, peft and transformers' Trainer. Argument: settings.json.

Settings: `model`, `train`, `validation` (JSON Lines), `template`, `max_length`, `dtype`; `lora` and `arguments` (of
LoraConfig and TrainingArguments); `space`, `assignments` (r, learning_rate, batch_size) and `seeds` of the trials;
`pruner` (Optuna's successive halving at 1/8, 1/4 and 1/2 of each trial's own steps, or none); `resident` (load the base
and tokenize once, not for each trial); `out`.
"""

from __future__ import annotations

import json
import math
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import optuna
import torch
import transformers
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    DataCollatorForSeq2Seq,
    PreTrainedModel,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from benchmarks.sweep_rows import encoder, read_rows

EIGHTHS = (1, 2, 4)
"""Where a trial is judged on the way, in eighths of its own steps."""

Settings = dict[str, Any]


class Rungs(TrainerCallback):
    """Evaluates at the rungs, tells the trial, and ends it there if the pruner says so."""

    def __init__(self, trial: optuna.Trial) -> None:
        self.trial = trial
        self.eighth = 0

    def on_step_end(
        self,
        args: TrainingArguments,  # noqa: ARG002 - the signature is transformers'
        state: TrainerState,
        control: TrainerControl,
        **_: object,
    ) -> TrainerControl:
        """Ask for an evaluation after the steps that a rung is at."""
        rungs = {max(1, math.ceil(state.max_steps * eighth / 8)): eighth for eighth in EIGHTHS}
        if state.global_step in rungs and state.global_step < state.max_steps:
            self.eighth = rungs[state.global_step]
            control.should_evaluate = True
        return control

    def on_evaluate(
        self,
        args: TrainingArguments,  # noqa: ARG002 - as above
        state: TrainerState,
        control: TrainerControl,  # noqa: ARG002 - as above
        **more: Any,
    ) -> None:
        """Report to Optuna.

        Raises:
            TrialPruned: the pruner wants no more of it.
        """
        if state.global_step < state.max_steps:
            self.trial.report(more["metrics"]["eval_loss"], self.eighth)
            if self.trial.should_prune():
                raise optuna.TrialPruned


def main() -> None:
    """Run the sweep and write ``told.json`` and the adapters of the trials that were completed."""
    settings: Settings = json.loads(Path(sys.argv[1]).read_text())
    out = Path(settings["out"])
    for library in (datasets, transformers.utils):
        library.logging.set_verbosity_error()
    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # they leave it untyped
    pruner: optuna.pruners.BasePruner = optuna.pruners.NopPruner()
    if settings["pruner"]:
        pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0), pruner=pruner)
    for assignment in settings["assignments"]:
        study.enqueue_trial(assignment)
    shared = (_base(settings), _data(settings)) if settings["resident"] else None
    study.optimize(
        partial(_objective, settings, out, shared), n_trials=len(settings["assignments"]), gc_after_trial=True
    )
    trials = [
        {
            "assignment": trial.params,
            "state": trial.state.name.lower(),
            "loss": trial.value if trial.state == optuna.trial.TrialState.COMPLETE else None,
            "curve": {eighth / 8: value for eighth, value in trial.intermediate_values.items()},
            "seconds": trial.duration.total_seconds() if trial.duration else 0.0,
        }
        for trial in study.trials
    ]
    (out / "told.json").write_text(json.dumps({"trials": trials, "best": study.best_trial.number}))


def _objective(settings: Settings, out: Path, shared: tuple[Any, Any] | None, trial: optuna.Trial) -> float:
    r = trial.suggest_int("r", *settings["space"]["r"])
    rate = trial.suggest_float("learning_rate", *settings["space"]["learning_rate"], log=True)
    batch_size = trial.suggest_categorical("batch_size", settings["space"]["batch_size"])
    base, (tokenizer, train, validation) = shared or (_base(settings), _data(settings))
    seed = settings["seeds"][trial.number]
    torch.manual_seed(seed)
    tuned = get_peft_model(
        base, LoraConfig(task_type="CAUSAL_LM", target_modules="all-linear", r=r, **settings["lora"])
    )
    trainer = Trainer(
        model=tuned,
        args=TrainingArguments(
            output_dir=str(out / "trainer"),
            per_device_train_batch_size=batch_size,
            learning_rate=rate,
            seed=seed,
            eval_strategy="no",
            save_strategy="no",
            prediction_loss_only=True,
            report_to=[],
            use_cpu=not torch.cuda.is_available(),
            disable_tqdm=True,
            **settings["arguments"],
        ),
        train_dataset=train,
        eval_dataset=validation,
        data_collator=DataCollatorForSeq2Seq(tokenizer, padding=True),
        callbacks=[Rungs(trial)] if settings["pruner"] else [],
    )
    started = time.perf_counter()
    try:
        trainer.train()
        loss = trainer.evaluate()["eval_loss"]
        tuned.save_pretrained(str(out / "adapters" / str(trial.number)))
    finally:
        if settings["resident"]:
            tuned.unload()
    print(f"trial {trial.number}: {loss:.4f} after {time.perf_counter() - started:.1f} s", flush=True)
    return float(loss)


def _base(settings: Settings) -> PreTrainedModel:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
        settings["model"], dtype=getattr(torch, settings["dtype"]), device_map=device
    )
    return model


def _data(settings: Settings) -> tuple[Any, datasets.Dataset, datasets.Dataset]:
    tokenizer = AutoTokenizer.from_pretrained(settings["model"])
    encode = encoder(tokenizer, settings["template"], settings["max_length"])
    train, validation = (datasets.Dataset.from_list(read_rows(settings[name])) for name in ("train", "validation"))
    return (
        tokenizer,
        train.map(encode, remove_columns=train.column_names),
        validation.map(encode, remove_columns=validation.column_names),
    )


if __name__ == "__main__":
    main()
