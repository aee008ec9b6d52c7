"""What the runs gave: a line for each in a file that a second start goes on from, and the tables made of them."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.report import Report
from benchmarks.sweep_tasks import Assignment
from benchmarks.sweep_variants import ABLATIONS, PLAIN, WANTED, Variant

SEEDS = "other seeds"
"""The variant that trains (a)'s best assignment with further seeds: how much seeds alone make of a difference."""


@dataclass(frozen=True, slots=True)
class Record:
    """One run of one variant."""

    task: str
    seed: int
    variant: str
    threads: int
    """Of a script; 0: the engine's choice."""
    wall: float
    cpu: float
    peaks: Mapping[str, float]
    """Peak resident memory of each process, in MiB."""
    load: float
    """Of the minute before."""
    assignments: tuple[Assignment, ...]
    states: tuple[str, ...]
    """complete or pruned, for each trial."""
    losses: tuple[float | None, ...]
    """What the sweep itself measured at the end."""
    best: int
    """The winner's number."""
    judged: Mapping[str, float]
    """Number of a trial -> the loss of its adapter by the common judge."""
    date: str = field(default_factory=lambda: time.strftime("%Y-%m-%d %H:%M"))

    @property
    def worker_peak(self) -> float:
        """Of the process that trains: the largest."""
        return max(self.peaks.values())

    @property
    def judged_best(self) -> float:
        """The winner's loss by the common judge."""
        return self.judged[str(self.best)]


class Results:
    """The records of a file, in the order of their making."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.records: list[Record] = []
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                told = json.loads(line)
                lists = {name: tuple(told[name]) for name in ("assignments", "states", "losses")}
                self.records.append(Record(**{**told, **lists}))

    def add(self, record: Record) -> None:
        """Keep a record, on disk before anything else happens."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(asdict(record)) + "\n")
        self.records.append(record)

    def find(self, task: str, seed: int, variant: str, threads: int | None = None) -> Record | None:
        """A record; of several with different threads the fastest."""
        found = [
            each
            for each in self.records
            if (each.task, each.seed, each.variant) == (task, seed, variant) and threads in (None, each.threads)
        ]
        return min(found, key=lambda each: each.wall, default=None)

    def assignments(self, task: str, seed: int) -> tuple[Assignment, ...] | None:
        """What was swept in a round; none: nothing yet."""
        return next(
            (r.assignments for r in self.records if (r.task, r.seed) == (task, seed) and r.variant != SEEDS), None
        )


# --- tables -------------------------------------------------------------------------------------------------------


def comparison(results: Results, task: str, seeds: Sequence[int], variants: Iterable[Variant]) -> Report:
    """A line for each variant: medians over the seeds, ratios taken within each seed."""
    rows = []
    for variant in variants:
        runs = [run for seed in seeds if (run := results.find(task, seed, variant.name))]
        if runs:
            rows.append((variant.label, *_figures(results, runs), _verdict(results, runs, variant.name)))
    columns = (
        *("variant", "runs", "wall", "(a) / wall", "cpu", "(a) / cpu", "peak memory", "complete + pruned"),
        *("loss", "regret", "regret, retrained", "rank", "(d) is faster"),
    )
    return Report(f"Sweep of {task}", columns, rows, _notes(results, task, seeds))


def ablation(results: Results, task: str, seed: int) -> Report:
    """The engine with one mechanism less, on one task and seed."""
    rows = []
    for variant in ABLATIONS:
        run, full = results.find(task, seed, variant.name), results.find(task, seed, variant.against)
        if run and full:
            rows.append(
                (
                    variant.label,
                    f"{run.wall:.1f} s",
                    f"{run.wall / full.wall:.2f} x",
                    f"{run.cpu:.1f} s",
                    f"{run.cpu / full.cpu:.2f} x",
                    f"{run.worker_peak:.0f} MiB",
                    f"{run.judged_best:.4f}",
                    f"{run.load:.1f}",
                    variant.against,
                )
            )
    columns = ("without", "wall", "ratio", "cpu", "ratio", "peak memory", "loss", "load", "against")
    return Report(f"One mechanism less: {task}, seed {seed}", columns, rows)


def regrets(run: Record, full: Record) -> tuple[float, float, int]:
    """How far the winner of `run` is from the best of `full`, in which every assignment was trained to the end.

    Returns:
        By its own adapter's loss; by the loss that its assignment came to in `full`; and its rank there, from 1.
    """
    losses = [full.judged[str(number)] for number in range(len(full.assignments))]
    chosen = losses[run.best]
    return run.judged_best - min(losses), chosen - min(losses), 1 + sum(loss < chosen for loss in losses)


def _figures(results: Results, runs: Sequence[Record]) -> tuple[str, ...]:
    plain = [results.find(run.task, run.seed, PLAIN.name) for run in runs]
    pairs = [(run, full) for run, full in zip(runs, plain, strict=True) if full]
    states = [(run.states.count("complete"), run.states.count("pruned")) for run in runs]
    judged = [regrets(run, full) for run, full in pairs]
    return (
        str(len(runs)),
        f"{statistics.median(run.wall for run in runs):.1f} s",
        _median((full.wall / run.wall for run, full in pairs), ".2f", " x"),
        f"{statistics.median(run.cpu for run in runs):.1f} s",
        _median((full.cpu / run.cpu for run, full in pairs), ".2f", " x"),
        f"{max(run.worker_peak for run in runs):.0f} MiB",
        ", ".join(dict.fromkeys(f"{complete} + {pruned}" for complete, pruned in states)),
        _each((run.judged_best for run in runs), ".4f"),
        _each((own for own, _, _ in judged), ".4f"),
        _each((retrained for _, retrained, _ in judged), ".4f"),
        _each((rank for _, _, rank in judged), "d"),
    )


def _verdict(results: Results, runs: Sequence[Record], name: str) -> str:
    wanted = WANTED.get(name)
    ours = [(run, results.find(run.task, run.seed, "olive")) for run in runs]
    ratios = [run.wall / engine.wall for run, engine in ours if engine]
    if wanted is None or not ratios:
        return ""
    ratio = statistics.median(ratios)
    return f"{ratio:.2f} x, wanted {wanted:g}  {'ok' if ratio >= wanted else 'UNDER'}"


def _notes(results: Results, task: str, seeds: Sequence[int]) -> tuple[str, ...]:
    mine = [run for run in results.records if run.task == task]
    notes = [
        f"load before the runs: {min(run.load for run in mine):.1f} to {max(run.load for run in mine):.1f}",
        "loss: the winner's, by one judge; regret: against the best of all trainings of (a); a figure for each seed",
    ]
    threads = {run.threads for run in mine if run.variant == PLAIN.name}
    if threads:
        best = [run.threads for seed in seeds if (run := results.find(task, seed, PLAIN.name))]
        notes.append(
            f"threads of (a): {', '.join(map(str, sorted(threads)))}; counted in each round: {_each(best, 'd')}"
        )
    for seed in seeds:
        again, full = results.find(task, seed, SEEDS), results.find(task, seed, PLAIN.name)
        if again and full:
            losses = [*again.judged.values(), full.judged_best]
            notes.append(
                f"seed {seed}: the best assignment trained with {len(losses)} seeds: {min(losses):.4f} to "
                f"{max(losses):.4f}, standard deviation {statistics.stdev(losses):.4f}"
            )
        notes += _agreement(results.find(task, seed, "olive"), full)
    return tuple(notes)


def _agreement(ours: Record | None, full: Record | None) -> list[str]:
    """How the engine's own trainings of complete trials differ from (a)'s of the same assignments."""
    if not ours or not full:
        return []
    pairs = zip(ours.losses, (full.judged[str(number)] for number in range(len(ours.losses))), strict=True)
    differences = [mine - theirs for mine, theirs in pairs if mine is not None]
    return [f"seed {ours.seed}: (d) minus (a) of the same assignments: {_each(differences, '+.4f')}"]


def _median(values: Iterable[float], form: str, unit: str) -> str:
    listed = list(values)
    return f"{statistics.median(listed):{form}}{unit}" if listed else ""


def _each(values: Iterable[float], form: str) -> str:
    return " ".join(f"{value:{form}}" for value in values)
