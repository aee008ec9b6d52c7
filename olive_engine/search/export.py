"""The trials of a sweep as rows, for spreadsheets and programs."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from olive_engine.config.search.values import Candidate
from olive_engine.search.summary import SweepSummary, chosen, option_names, retries
from olive_engine.store.files import replacing, write_atomic

Row = Mapping[str, Candidate]


def columns(sweep: SweepSummary) -> list[str]:
    """The names of all that rows may hold, in order.

    ``params.NAME`` is a searched slot or option, ``values.NAME`` an objective, ``rungs.FRACTION`` what was measured
    there, ``spent`` the fraction of its own budget, ``best`` a trial's place among the best, from 1.
    """
    return [
        *("number", "index", "retry_of", "state", "best"),
        *(f"params.{name}" for name in option_names(sweep)),
        *(f"values.{name}" for name, _ in sweep.objectives),
        *(f"rungs.{rung:g}" for rung in _rungs(sweep)),
        *("goals_met", "spent", "tokens", "seconds", "cause"),
    ]


def as_rows(sweep: SweepSummary) -> list[Row]:
    """A row for each trial, in the order of `columns`; what a trial does not have is not in its row."""
    again = retries(sweep.trials)
    places = {number: place for place, number in enumerate(sweep.best, start=1)}
    rows: list[Row] = []
    for trial in sweep.trials:
        row: dict[str, Candidate] = {"number": trial.number, "index": trial.index, "state": trial.state}
        if trial.number in again:
            row["retry_of"] = again[trial.number]
        if trial.number in places:
            row["best"] = places[trial.number]
        row |= {f"params.{name}": chosen(sweep, name, value) for name, value in trial.assignment.items()}
        if trial.values:
            pairs = zip(sweep.objectives, trial.values, strict=True)
            row |= {f"values.{name}": value for (name, _), value in pairs}
        row |= {f"rungs.{rung:g}": value for rung, value in trial.curve.items()}
        row |= {"goals_met": trial.met} if trial.met is not None else {}
        row |= {"spent": trial.spent, "seconds": trial.seconds}
        row |= {"tokens": trial.tokens} if trial.tokens else {}
        row |= {"cause": trial.cause} if trial.cause else {}
        rows.append({name: row[name] for name in columns(sweep) if name in row})
    return rows


def write_csv(target: Path | TextIO, sweep: SweepSummary) -> None:
    """Write the rows as CSV: empty is what a trial does not have; lists, truth values and none are JSON.

    Args:
        target: a file, which is replaced as a whole, or a stream that was opened with ``newline=""``.
        sweep: whose trials.
    """
    if isinstance(target, Path):
        with replacing(target) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
            write_csv(stream, sweep)
        return
    writer = csv.DictWriter(target, columns(sweep), restval="", lineterminator="\n")
    writer.writeheader()
    for row in as_rows(sweep):
        writer.writerow({name: _cell(value) for name, value in row.items()})


def write_json(target: Path | TextIO, sweep: SweepSummary) -> None:
    """Write the study, its objectives and the rows as JSON, numbers that are none (an infinite loss) as null.

    Args:
        target: a file, which is replaced as a whole, or a stream.
        sweep: whose trials.
    """
    content = {
        "study": sweep.study,
        "objectives": [{"name": name, "higher_is_better": up} for name, up in sweep.objectives],
        "trials": [{name: _finite(value) for name, value in row.items()} for row in as_rows(sweep)],
    }
    text = json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    if isinstance(target, Path):
        write_atomic(target, text)
    else:
        target.write(text)


def _rungs(sweep: SweepSummary) -> list[float]:
    """Where trials were measured, and where they would be."""
    planned = sweep.rungs if sweep.yardstick is not None else ()
    return sorted({*planned, *(rung for trial in sweep.trials for rung in trial.curve)})


def _cell(value: Candidate) -> Candidate:
    return json.dumps(value) if value is None or isinstance(value, bool | tuple) else value


def _finite(value: Candidate) -> Candidate:
    return None if isinstance(value, float) and not math.isfinite(value) else value
