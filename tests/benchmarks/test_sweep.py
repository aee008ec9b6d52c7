"""The sweep's benchmark: what is compared is the same, a second start goes on, and the figures are the right ones."""

import json
import sys
from dataclasses import replace

import pytest
from transformers import AutoTokenizer

from benchmarks import sweep
from benchmarks.commands import SAMPLE
from benchmarks.sweep_olive import trials, workflow
from benchmarks.sweep_processes import watched
from benchmarks.sweep_results import Record, Results, ablation, comparison, regrets
from benchmarks.sweep_rows import encoder, read_rows
from benchmarks.sweep_tasks import TEMPLATE, drawn, phrase_tone
from benchmarks.sweep_variants import ABLATIONS, OLIVE, PLAIN, RESIDENT, VARIANTS
from olive_engine import load_workflow
from olive_engine.config.data import DataConfig
from olive_engine.contracts import Device, Known, PassContext
from olive_engine.data.files import local_files, portable
from olive_engine.data.prepare import prepare
from olive_engine.data.tokens import load_tokens
from olive_passes.finetune import LoRA
from olive_passes.finetune.cores import core_of


@pytest.fixture
def task(tmp_path):
    return phrase_tone(tmp_path / "task", rows=32, epochs=1, trials=4)


def lora(task, folder, variant):
    path = folder / f"{variant.name}.json"
    path.write_text(json.dumps(workflow(task, 7, folder, variant.changes)))
    read = load_workflow(path)
    (entry,) = read.passes["lora"]
    return read, entry.options


def record(variant, seed=0, wall=10.0, losses=(0.5, 0.9), best=0, threads=0, **more):
    assignments = tuple({"r": 4 + n, "learning_rate": 1e-3, "batch_size": 4} for n in range(len(losses)))
    states = tuple("pruned" if loss is None else "complete" for loss in losses)
    judged = {str(n): loss for n, loss in enumerate(losses) if loss is not None}
    peaks = {"main 1": 100.0, "worker 2": 600.0}
    about = ("phrase tone", seed, variant, threads, wall, wall * 2, peaks, 0.5)
    return replace(Record(*about, assignments, states, losses, best, judged), **more)


# --- what is compared ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", [OLIVE, *ABLATIONS], ids=lambda variant: variant.name)
def test_each_variant_of_the_engine_is_a_valid_search_of_the_three_options(task, tmp_path, variant):
    read, _ = lora(task, tmp_path, variant)
    assert list(read.search_space) == [
        "lora.training_args.learning_rate",
        "lora.r",
        "lora.training_args.per_device_train_batch_size",
    ]
    assert (read.search_strategy.sampler, read.search_strategy.max_samples, read.seed) == ("random", 4, 7)


def test_what_the_ablations_leave_out(task, tmp_path):
    """By options that train the same; should they stop doing so, the ablation would say something else."""
    options = {variant.name: lora(task, tmp_path, variant)[1] for variant in (OLIVE, *ABLATIONS)}
    alone = {name: LoRA.alone_because(config, Known()) for name, config in options.items()}
    assert alone["olive"] == alone["one worker"] == alone["no pruner"] == ""
    assert alone["no packs"] == "bias is 'all', and a pack shares the biases"
    assert {name for name, config in options.items() if core_of(config).name != "lean"} == {"no lean core"}


def test_the_scripts_train_on_the_engines_tokens(task, tmp_path):
    folders = {name: tmp_path / name for name in ("out", "state", "scratch", "files")}
    for folder in folders.values():
        folder.mkdir()
    config = DataConfig.model_validate(workflow(task, 0, tmp_path, {})["data_configs"][0])
    for name, path in local_files(config, tmp_path).items():
        (folders["files"] / name).parent.mkdir(exist_ok=True)
        (folders["files"] / name).symlink_to(path)
    context = PassContext(
        **{name: folders[name] for name in ("out", "state", "scratch")},
        seed=0,
        device=Device(),
        threads=1,
        data={},
        resident=lambda key, make: make(),
        report=lambda event: None,
        should_stop=lambda: False,
    )
    prepare(portable(config), folders["files"], task.model, context)
    encode = encoder(AutoTokenizer.from_pretrained(SAMPLE / "base_model"), TEMPLATE, task.max_length)
    mine = [encode(row) for row in read_rows(task.train)]
    theirs = list(load_tokens(folders["out"]))
    assert [row["input_ids"] for row in mine] == [ids.tolist() for ids, _ in theirs]
    assert [[label != -100 for label in row["labels"]] for row in mine] == [mask.tolist() for _, mask in theirs]
    assert {sum(label != -100 for label in row["labels"]) for row in mine} == {2}  # the tone and the end


def test_draws_are_seeded_and_within_the_space(task):
    first, again, other = drawn(task, 0), drawn(task, 0), drawn(task, 1)
    assert first == again != other
    assert len(first) == 4
    for each in first:
        assert 4 <= each["r"] <= 32
        assert 1e-4 <= each["learning_rate"] <= 1e-2
        assert each["batch_size"] in (4, 8, 16)


# --- figures ------------------------------------------------------------------------------------------------------


def test_regret_is_against_all_full_trainings():
    full = record("plain", losses=(0.7, 0.4, 0.5))
    ours = record("olive", losses=(None, None, 0.45), best=2)
    own, retrained, rank = regrets(ours, full)
    assert (own, retrained, rank) == (pytest.approx(0.05), pytest.approx(0.1), 2)
    assert regrets(full, full) == (pytest.approx(0.3), pytest.approx(0.3), 3)  # its own winner may be another's third


def test_ratios_are_taken_within_a_round(tmp_path):
    results = Results(tmp_path / "results.jsonl")
    for seed, ours, theirs in ((0, 10.0, 60.0), (1, 20.0, 160.0), (2, 10.0, 70.0)):
        results.add(record("olive", seed, ours, (0.5, None)))
        results.add(record("plain", seed, theirs, (0.4, 0.6), threads=1))
        results.add(record("plain", seed, theirs + 5, (0.4, 0.6), threads=2))
    table = {row[0]: row for row in comparison(results, "phrase tone", [0, 1, 2], VARIANTS).rows}
    olive, plain = table[OLIVE.label], table[PLAIN.label]
    assert olive[1:5] == ("3", "10.0 s", "7.00 x", "20.0 s")  # the median of 6, 8 and 7
    assert olive[6:] == (
        "600 MiB",
        "1 + 1",
        "0.5000 0.5000 0.5000",
        *("0.1000 0.1000 0.1000", "0.0000 0.0000 0.0000", "1 1 1", ""),
    )
    assert plain[3] == "1.00 x"
    assert plain[-1] == "7.00 x, wanted 6  ok"
    assert RESIDENT.label not in table


def test_an_ablation_is_set_against_its_own_counterpart(tmp_path):
    results = Results(tmp_path / "results.jsonl")
    for name, wall in (("olive", 10.0), ("no pruner", 30.0), ("no lean core", 60.0)):
        results.add(record(name, wall=wall))
    rows = {row[0]: row for row in ablation(results, "phrase tone", 0).rows}
    assert {label: row[2] for label, row in rows.items()} == {
        "pruner: none": "3.00 x",
        "pruner: none and the Trainer core": "2.00 x",
    }


# --- running ------------------------------------------------------------------------------------------------------


def test_a_second_start_goes_on_where_the_first_stopped(task, tmp_path, monkeypatch):
    calls = []

    def run(*arguments):
        calls.append(arguments[2].name)
        if len(calls) == 3:
            raise RuntimeError("killed")
        return record(arguments[2].name, threads=arguments[3])

    monkeypatch.setattr(sweep, "run_script", run)
    path = tmp_path / "results.jsonl"

    def start():
        results = Results(path)
        for variant in VARIANTS[1:]:
            sweep.carry_out(results, task, 0, variant, tmp_path, threads=[1])
        return results

    with pytest.raises(RuntimeError, match="killed"):
        start()
    first = start().records
    assert calls == ["plain", "pruned", "resident", "resident"]
    assert [each.variant for each in first] == ["plain", "pruned", "resident"]
    assert Results(path).records == first


def test_other_assignments_in_one_round_are_refused(task, tmp_path, monkeypatch):
    monkeypatch.setattr(sweep, "run_engine", lambda *_: record("olive", losses=(0.5, 0.6, 0.7)))
    results = Results(tmp_path / "results.jsonl")
    results.add(record("plain", threads=1))
    with pytest.raises(RuntimeError, match="olive drew other assignments than this round had; choose another --out"):
        sweep.carry_out(results, task, 0, OLIVE, tmp_path)


def test_a_study_is_read_with_the_options_by_their_short_names(tmp_path):
    import optuna
    from optuna.storages.journal import JournalFileBackend

    storage = optuna.storages.JournalStorage(JournalFileBackend(str(tmp_path / "study.log")))
    study = optuna.create_study(storage=storage, study_name="sweep", pruner=optuna.pruners.ThresholdPruner(upper=1))

    def objective(trial):
        loss = trial.suggest_int("lora.r", 4, 4) / 8 + trial.number
        trial.suggest_float("lora.training_args.learning_rate", 0.25, 0.25)
        trial.suggest_categorical("lora.training_args.per_device_train_batch_size", [8])
        trial.report(loss, 1)
        if trial.should_prune():
            raise optuna.TrialPruned
        return loss

    study.optimize(objective, 2)
    found, best = trials(tmp_path)
    assert [(each.state, each.loss) for each in found] == [("complete", 0.5), ("pruned", None)]
    assert found[1].assignment == {"r": 4, "learning_rate": 0.25, "batch_size": 8}
    assert best == 0


def test_memory_is_each_processes_own_peak(tmp_path):
    grow = "import time; block = bytearray(200 * 2**20); del block; time.sleep(0.6)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {grow!r}], check=True)"
    taken = watched([sys.executable, "-c", code], tmp_path)
    child, parent = sorted(taken.peaks.values(), reverse=True)
    assert 200 < child < 260
    assert parent < 60
    assert taken.peak == child
    assert taken.wall > 0.6
    with pytest.raises(RuntimeError, match="ended with exit code 3:\nwhy"):
        watched([sys.executable, "-c", "print('why'); raise SystemExit(3)"], tmp_path)
