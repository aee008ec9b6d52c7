"""The page of a sweep's report: text, tables, and places for the charts. Whatever comes from the user is escaped."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from html import escape

from olive_engine.config.search.describe import describe_value
from olive_engine.reporting import phrases
from olive_engine.reporting.sweep_columns import short_names
from olive_engine.reporting.trials import percent
from olive_engine.search.summary import (
    SweepSummary,
    budgets,
    chosen,
    option_names,
    retries,
    text_of,
)
from olive_engine.search.trials import Trial

_MET = {None: "", True: "reached", False: "missed"}


def head(sweep: SweepSummary) -> str:
    """The title, and what matters most in a few tiles."""
    states = [trial.state for trial in sweep.trials]
    counts = [
        f"{states.count(state)} {state}"
        for state in ("complete", "pruned", "failed", "running")
        if states.count(state) and states.count(state) < len(states)
    ]
    tiles = [
        *_best_tiles(sweep),
        (phrases.count(len(states), "trial"), ", ".join(counts) or (f"all {states[0]}" if states else "none yet")),
        *_saved_tile(sweep),
        (phrases.duration(sum(trial.seconds for trial in sweep.trials)), "of work on the trials, workers added up"),
    ]
    shown = "".join(f'<div class="tile"><b>{_e(value)}</b><span>{_e(what)}</span></div>' for value, what in tiles)
    about = [f"study {sweep.study}", f"sampler {sweep.sampler}" if sweep.sampler else ""]
    about += [f"pruner {sweep.pruner}" if sweep.pruner else "", f"seed {sweep.seed}" if sweep.seed is not None else ""]
    line = " · ".join(filter(None, about))
    return f'<h1>{_e(sweep.title)}</h1><p class="muted">{_e(line)}</p><div class="tiles">{shown}</div>'


def best(sweep: SweepSummary) -> str:
    """The best trials, with their options and how to train them once more."""
    trials = {trial.number: trial for trial in sweep.trials}
    shown = [trials[number] for number in sweep.best if number in trials]
    title = "Pareto front" if sweep.mode == "pareto" and len(sweep.objectives) > 1 else "Best trial"
    title += "s" if title == "Best trial" and len(shown) > 1 else ""
    if not shown:
        return section(title, "No trial is complete yet.")
    blocks = "".join(_best_block(sweep, trial) for trial in shown)
    return section(title, "", f'<div class="bests">{blocks}</div>')


def searched(sweep: SweepSummary) -> str:
    """What was searched, and how trials were judged on the way."""
    options = [(name, [" or ".join(types)]) for name, types in sweep.alternatives.items()]
    options += [(name, describe_value(value)) for name, value in sweep.searched.items()]
    rows = "".join(f"<dt>{_e(name)}</dt><dd>{'<br>'.join(map(_e, lines))}</dd>" for name, lines in options)
    goals = ", then ".join(_direction(*objective) for objective in sweep.objectives)
    if sweep.mode == "pareto":
        goals = " and ".join(_direction(*objective) for objective in sweep.objectives)
    note = f"Trials are compared by {goals}."
    if sweep.yardstick is not None and len(sweep.rungs) > 1:
        rungs = ", ".join(map(percent, sweep.rungs))
        note += f" On the way they are judged by {_direction(*sweep.yardstick)}, at {rungs} of their own budgets."
    return section("What was searched", note, f"<dl>{rows}</dl>" + _foretold(sweep))


def table(sweep: SweepSummary) -> str:
    """All trials, sortable by any column."""
    names = option_names(sweep)
    short = short_names(names)
    again = retries(sweep.trials)
    unit = any(trial.tokens for trial in sweep.trials)
    heads = [("trial", True), ("state", False), *((name, True) for name, _ in sweep.objectives)]
    options = {name: _numeric(sweep, name) for name in names}
    heads += [(short[name], right) for name, right in options.items()]
    goals = any(trial.met is not None for trial in sweep.trials)
    heads += [
        *([("goals", False)] if goals else []),
        ("budget", True),
        *([("tokens", True)] if unit else []),
        ("seconds", True),
    ]
    head_row = "".join(
        f'<th scope="col"{_class("number" if right else "")}><button type="button">{_e(text)}</button></th>'
        for text, right in heads
    )
    rows = "".join(_row(sweep, trial, options, again, tokens=unit, goals=goals) for trial in sweep.trials)
    filled = f"<thead><tr>{head_row}</tr></thead><tbody>{rows}</tbody>"
    inner = f'<div class="scroll"><table class="sortable">{filled}</table></div>'
    note = "A click on a column's head sorts by it."
    if again:
        note += " A trial that failed may be tried again under a new number."
    return section("All trials", note, inner)


def failures(sweep: SweepSummary) -> str:
    """The trials that failed, and why; nothing if none did."""
    failed = [trial for trial in sweep.trials if trial.state == "failed"]
    if not failed:
        return ""
    retried = {old: new for new, old in retries(sweep.trials).items()}
    rows = "".join(
        f"<dt>trial {trial.number}</dt><dd>{_e(trial.cause or 'no cause was told')}"
        + (f" (tried again as trial {retried[trial.number]})" if trial.number in retried else "")
        + "</dd>"
        for trial in failed
    )
    return section("Failed trials", "A failed trial never counts as a good one.", f"<dl>{rows}</dl>")


def figures(drawings: Iterable[tuple[str, str, int, int]], *, per_row: int) -> str:
    """Places for figures: for each its caption, its JSON, its height, and the width below which it is scrolled."""
    shown = []
    for caption, figure, height, width in drawings:
        place = f'<div class="chart" data-height="{height}" style="min-width: {width}px; min-height: {height}px"></div>'
        title = f"<figcaption>{_e(caption)}</figcaption>" if caption else ""
        data = f'<script type="application/json">{script_json(figure)}</script>'
        shown.append(f'<figure>{title}<div class="scroll">{place}{data}</div></figure>')
    return f'<div class="figures by-{per_row}">{"".join(shown)}</div>'


def foot(sweep: SweepSummary) -> str:
    """What computed it."""
    versions = " · ".join(f"{name} {version}" for name, version in sweep.versions.items())
    return f'<p class="muted" style="margin-top: 24px">{_e(versions)}</p>' if versions else ""


def section(title: str, note: str, inner: str = "") -> str:
    """A part of the page; `title` and `note` are plain text, `inner` is HTML."""
    told = f'<p class="note">{_e(note)}</p>' if note else ""
    return f"<section><h2>{_e(title)}</h2>{told}{inner}</section>"


def script_json(text: str) -> str:
    """JSON that cannot end the script element that holds it."""
    return json.dumps(json.loads(text)).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _best_tiles(sweep: SweepSummary) -> list[tuple[str, str]]:
    trials = {trial.number: trial for trial in sweep.trials}
    found = trials.get(sweep.best[0]) if sweep.best else None
    if found is None:
        return []
    if sweep.mode == "pareto" and len(sweep.objectives) > 1:
        return [(phrases.count(len(sweep.best), "trial"), "on the Pareto front")]
    name, up = sweep.objectives[0]
    return [(_number(found.values[0]), f"best {_direction(name, up)}, trial {found.number}")]


def _saved_tile(sweep: SweepSummary) -> list[tuple[str, str]]:
    told = budgets(sweep.trials)
    if not told.saved:
        return []
    saved = sum(told.saved.values())
    return [(f"{saved / (saved + sum(told.spent.values())):.0%}", "of the training saved by pruning")]


def _best_block(sweep: SweepSummary, trial: Trial) -> str:
    measured = [(name, _number(value)) for (name, _), value in zip(sweep.objectives, trial.values, strict=True)]
    options = [(name, text_of(chosen(sweep, name, value))) for name, value in trial.assignment.items()]
    rows = "".join(f"<dt>{_e(name)}</dt><dd><b>{_e(value)}</b></dd>" for name, value in measured)
    rows += "".join(f"<dt>{_e(name)}</dt><dd>{_e(value)}</dd>" for name, value in options)
    again = sweep.retrain.get(trial.number)
    told = ""
    if again is not None:
        told = f"To train it once more, with <code>{_e(again.file)}</code>:<pre><code>{_e(again.command)}</code></pre>"
    return f"<div><h3>Trial {trial.number}</h3><dl>{rows}</dl>{told}</div>"


def _foretold(sweep: SweepSummary) -> str:
    """How well the rungs foretold the end."""
    warned = f'<p class="warning">{_e(sweep.warning)}</p>' if sweep.warning else ""
    if not sweep.correlations:
        return warned
    rows = "".join(
        f"<dt>{percent(each.rung)} against {percent(each.against)}</dt><dd>"
        + (f"{each.correlation:+.2f}" if each.correlation is not None else "cannot be told")
        + f' <span class="muted">({phrases.count(each.trials, "trial")})</span></dd>'
        for each in sweep.correlations
    )
    note = "How well the order of trials at a rung foretold their order later (rank correlation; 1 is perfectly):"
    return f'<p class="note">{note}</p><dl>{rows}</dl>{warned}'


def _row(
    sweep: SweepSummary,
    trial: Trial,
    options: Mapping[str, bool],
    again: Mapping[int, int],
    *,
    tokens: bool,
    goals: bool,
) -> str:
    first = f' <span class="muted">(again {again[trial.number]})</span>' if trial.number in again else ""
    cells = [_cell(str(trial.number), str(trial.number), inner=f"{trial.number}{first}", right=True)]
    cells.append(f'<td class="state">{_e(trial.state)}</td>')
    values = trial.values or (None,) * len(sweep.objectives)
    cells += [_cell("", "") if value is None else _cell(_number(value), repr(value), right=True) for value in values]
    for name, right in options.items():
        if name not in trial.assignment:
            cells.append(_cell("", ""))
            continue
        value = chosen(sweep, name, trial.assignment[name])
        number = isinstance(value, int | float) and not isinstance(value, bool)
        cells.append(_cell(text_of(value), repr(value) if number else text_of(value), right=right))
    if goals:
        cells.append(_cell(_MET[trial.met], _MET[trial.met]))
    cells.append(_cell(percent(trial.spent), repr(trial.spent), right=True))
    if tokens:
        cells.append(_cell(f"{trial.tokens:,}", str(trial.tokens), right=True))
    cells.append(_cell(f"{trial.seconds:,.1f}", repr(trial.seconds), right=True))
    kind = f"{trial.state} best" if trial.number in sweep.best else trial.state
    return f'<tr class="{kind}">{"".join(cells)}</tr>'


def _cell(text: str, key: str, *, inner: str = "", right: bool = False) -> str:
    return f'<td{_class("number" if right else "")} data-key="{_e(key)}">{inner or _e(text)}</td>'


def _numeric(sweep: SweepSummary, name: str) -> bool:
    values = [chosen(sweep, name, trial.assignment[name]) for trial in sweep.trials if name in trial.assignment]
    return bool(values) and all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _number(value: float) -> str:
    return phrases.number(value) if math.isfinite(value) else str(value)


def _direction(name: str, up: bool) -> str:  # noqa: FBT001 - a pair of an objective
    return f"{name} ({'higher' if up else 'lower'} is better)"


def _class(name: str) -> str:
    return f' class="{name}"' if name else ""


def _e(text: str) -> str:
    return escape(text)
