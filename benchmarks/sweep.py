"""A sweep over rank, learning rate and batch size: the engine against scripts with Optuna, peft and the Trainer.

    python -m benchmarks.sweep --out FOLDER --data DIR      both tasks, three seeds on the first, and the ablation
    python -m benchmarks.sweep --out FOLDER --only plain    some variants

Each run is a fresh process, variants take turns within a round, and a round is a seed. What is done stands in
``FOLDER/results.jsonl``: the same command goes on from there, or shows the tables.
"""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.sweep_results import SEEDS, Results, ablation, comparison
from benchmarks.sweep_runs import run_engine, run_script
from benchmarks.sweep_tasks import Task, drawn, emotion, phrase_tone
from benchmarks.sweep_variants import ABLATIONS, PLAIN, VARIANTS, Engine, Script, Variant

ROUNDS = 3
FURTHER_SEEDS = 4


def main() -> None:
    """Do what is not done yet, and show the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sweep", description=main.__doc__)
    names = [variant.name for variant in (*VARIANTS, *ABLATIONS)]
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="results, and what runs leave")
    parser.add_argument("--data", type=Path, metavar="DIR", help="holds emotion_train.jsonl and emotion_val.jsonl")
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="seeds of the first task (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="four short trials in one round: does it work?")
    options = parser.parse_args()
    out = options.out.absolute()
    results = Results(out / "results.jsonl")
    small = {"rows": 32, "epochs": 1, "trials": 4} if options.quick else {}
    rounds = 1 if options.quick else options.rounds
    chosen = [variant for variant in VARIANTS if variant.name in options.only]
    first = phrase_tone(out / "phrase_tone", **small)
    plan = [(first, list(range(rounds)))]
    if options.data:
        plan.append((emotion(out / "emotion", options.data.absolute(), **small), [0]))
    for task, seeds in plan:
        for seed in seeds:
            for variant in chosen if seed % 2 == 0 else _turned(chosen):
                carry_out(results, task, seed, variant, out)
        _train_again(results, task, seeds[0], out)
    for variant in ABLATIONS:
        if variant.name in options.only:
            carry_out(results, first, 0, variant, out)
    for task, seeds in plan:
        report = comparison(results, task.name, seeds, VARIANTS)
        report.show()
        report.save(Path(__file__).parent / "results" / f"sweep_{task.name.replace(' ', '_')}.json")
    report = ablation(results, first.name, 0)
    if report.rows:
        report.show()
        report.save(Path(__file__).parent / "results" / "sweep_ablation.json")


def _turned(variants: Sequence[Variant]) -> list[Variant]:
    """The engine first, for its assignments count; the others the other way round."""
    scripts = [each for each in variants if isinstance(each, Script)]
    return [*(each for each in variants if isinstance(each, Engine)), *reversed(scripts)]


def carry_out(
    results: Results, task: Task, seed: int, variant: Variant, out: Path, threads: Sequence[int] | None = None
) -> None:
    """Run a variant, unless that is done; a script with each of these numbers of threads (none: what suits (a)).

    Raises:
        RuntimeError: it fails, or the engine draws other assignments than the round has.
    """
    for count in _threads(results, task, variant, threads):
        if results.find(task.name, seed, variant.name, count):
            continue
        print(f"{task.name}, seed {seed}: {variant.label}" + (f", threads: {count}" if count else ""), flush=True)
        folder = out / "runs" / f"{task.name}-{seed}-{variant.name}-{count}".replace(" ", "_")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        known = results.assignments(task.name, seed)
        if isinstance(variant, Engine):
            record = run_engine(task, seed, variant, folder)
            if known is not None and record.assignments != known:
                raise RuntimeError(f"{variant.name} drew other assignments than this round had; choose another --out")
        else:
            record = run_script(task, seed, variant, count, known or drawn(task, seed), folder)
        shutil.rmtree(folder)
        results.add(record)
        print(f"  {record.wall:.1f} s, cpu {record.cpu:.1f} s, loss {record.judged_best:.4f}", flush=True)


def _threads(results: Results, task: Task, variant: Variant, given: Sequence[int] | None) -> Iterator[int]:
    """With how many threads a variant is to be run: (a) first with one and with all, then with the better of them."""
    if isinstance(variant, Engine):
        yield 0
        return
    if given is not None:
        yield from given
        return
    cores = len(os.sched_getaffinity(0))
    tried = [found for n in sorted({1, cores}) if (found := results.find(task.name, 0, PLAIN.name, n))]
    if variant is PLAIN and len(tried) < len({1, cores}):
        yield from sorted({1, cores})
    else:
        yield min(tried, key=lambda each: each.wall).threads if tried else 1


def _train_again(results: Results, task: Task, seed: int, out: Path) -> None:
    """Train (a)'s best assignment with further seeds."""
    full = results.find(task.name, seed, PLAIN.name)
    if full is None or results.find(task.name, seed, SEEDS):
        return
    print(f"{task.name}, seed {seed}: further seeds of the best assignment", flush=True)
    folder = out / "runs" / "further_seeds"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    further = [1000 + number for number in range(FURTHER_SEEDS)]
    assignments = [full.assignments[full.best]] * FURTHER_SEEDS
    record = run_script(task, seed, PLAIN, full.threads, assignments, folder, further)
    results.add(replace(record, variant=SEEDS))
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
