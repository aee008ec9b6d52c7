"""A search for the reader: what it came to, as lines and as JSON."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

import click

from olive_engine import outputs
from olive_engine.config.search.describe import combinations
from olive_engine.reporting import phrases
from olive_engine.reporting.jsonl import to_json
from olive_engine.reporting.sweep_columns import measured_text, options_text, short_names
from olive_engine.reporting.sweep_table import sweep_table
from olive_engine.reporting.tables import show, width_of
from olive_engine.reporting.trials import Scheme, TrialRow, numbers
from olive_engine.search.assignment import shown
from olive_engine.search.retraining import retrain_command
from olive_engine.search.stages import strategy_of
from olive_engine.search.summary import retries

if TYPE_CHECKING:
    from pydantic import JsonValue

    from olive_engine.api import SweepResult
    from olive_engine.config.search.strategy import SearchStrategy
    from olive_engine.config.workflow import Workflow
    from olive_engine.search.searching import Stage
    from olive_engine.search.trials import Trial

Measures = Sequence[tuple[str, bool]]


def show_result(workflow: Workflow, sweep: SweepResult, program: str, words: str) -> None:
    """Write what a search came to, where everything is, and how to go on.

    Args:
        workflow: that was run.
        sweep: what its search came to.
        program: how the user called us.
        words: by which the user named the workflow.
    """
    from olive_engine.search.sweep import EVERYTHING

    trials = {trial.number: trial for trial in sweep.trials}
    click.echo()
    for place, (number, result) in enumerate(sweep.best.items()):
        options = sweep.options[number]
        chosen = options_text(options, short_names(list(options)))
        told = f"trial {number}, {value_words(trials[number], sweep.objectives)} ({chosen})"
        heading = f"Best of {phrases.count(len(trials), 'trial')}" if place == 0 else "Then"
        click.secho(f"{heading}: {told}", bold=True)
        click.echo(f"  model        {near(result.output_dir)}")
        click.echo(f"  train again  {retrain_command(sweep.retrain[number])}")
    table = outputs.output_dir(workflow) / outputs.TRIALS_FILE
    charts = f"; charts in {near(sweep.report)}" if sweep.report else ""
    click.echo(f"  trials       {near(table)}, or `{program} sweep status {words}`{charts}")
    all_tried = sweep.why == EVERYTHING or _all_tried(workflow, sweep.trials)
    further = further_words(strategy_of(workflow), sweep.trials, f"{program} run {words}", all_tried=all_tried)
    if further:
        click.echo(f"  go on        {further}")


# --- what is recorded ---------------------------------------------------------------------------------------------


def heading(stage: Stage, *, at_work: bool) -> str:
    """``8 of 16 trials: 2 complete, 5 pruned, 1 running``; ``12 trials (6 asked for)``."""
    trials = stage.swept.trials
    limits = (
        strategy_of(stage.workflow).max_samples,
        combinations(stage.workflow.search_space, stage.workflow.alternatives),
    )
    wanted = min((each for each in limits if each is not None), default=None)
    states: Counter[str] = Counter(trial.state for trial in trials)
    words = {"complete": "complete", "pruned": "pruned", "failed": "failed"}
    words["running"] = "running" if at_work else "not ended"
    parts = [f"{states[state]:,} {word}" for state, word in words.items() if states[state]]
    proposed = len({trial.index for trial in trials})
    parts += [f"{len(trials) - proposed:,} tried again"] if len(trials) > proposed else []
    known = phrases.count(proposed, "trial")
    if wanted is not None and proposed <= wanted:
        known = f"{proposed:,} of {phrases.count(wanted, 'trial')}"
    of = f" of {stage.slot}" if stage.slot else ""
    of += f" ({wanted:,} asked for)" if wanted is not None and proposed > wanted else ""
    return f"{known}{of}" + (f": {', '.join(parts)}" if parts else "")


def stages_words(slots: Sequence[str], begun: Sequence[Stage]) -> str:
    """``pass by pass: tune 8 trials, int4 not begun``."""
    trials = {stage.slot: phrases.count(len(stage.swept.trials), "trial") for stage in begun}
    parts = [f"{slot} {trials.get(slot, 'not begun')}" for slot in slots]
    return f"pass by pass: {', '.join(parts)}"


def best_words(stage: Stage) -> str:
    """``trial 3 (eval_loss 0.6543), then 5``."""
    first, *others = stage.swept.best
    objectives, _ = described(stage, first)
    then = f", then {', '.join(str(trial.number) for trial in others)}" if others else ""
    return f"trial {first.number} ({value_words(first, objectives)}){then}"


def further_words(strategy: SearchStrategy, trials: Sequence[Trial], command: str, *, all_tried: bool) -> str:
    """How a search goes on; empty: it has come to its end.

    Args:
        strategy: of the search.
        trials: all of them.
        command: that runs the workflow.
        all_tried: whether nothing else could be tried.
    """
    last = {trial.index: trial for trial in trials}
    failed = [trial.number for trial in last.values() if trial.state == "failed" and not trial.hopeless]
    if any(trial.state == "running" for trial in trials):
        return f"`{command}` goes on with it"
    if failed:
        return f"`{command}` tries {'trials' if len(failed) > 1 else 'trial'} {numbers(failed)} again"
    if all_tried or (strategy.stop_when_goals_met and any(trial.met for trial in trials)):
        return ""
    if strategy.max_samples is None or len(last) < strategy.max_samples:
        return f"`{command}` goes on with it"
    return f"`{command} --set search_strategy.max_samples={2 * len(last)}` adds trials"


def now_words(stage: Stage, runs: int, program: str, words: str) -> str:
    """Whether a search runs, and the command that stops it or goes on with it."""
    if runs:
        return f"{runs_words(runs)} this cache now; `{program} sweep stop {words}` stops the search"
    trials, workflow = stage.swept.trials, stage.workflow
    all_tried = _all_tried(workflow, trials)
    further = further_words(strategy_of(workflow), trials, f"{program} run {words}", all_tried=all_tried)
    return "no run uses this cache now" + (f"; {further}" if further else "")


def runs_words(runs: int) -> str:
    """``1 run uses``, ``2 runs use``: of a cache."""
    return f"{phrases.count(runs, 'run')} {'uses' if runs == 1 else 'use'}"


def storage_words(storage: str) -> str:
    """A storage as a word of a command line."""
    return shlex.quote(storage if "://" in storage else near(Path(storage)))


def option_lines(options: Mapping[str, object]) -> list[str]:
    """A line for each option and its value, exactly."""
    width = max(map(len, options), default=0)
    return [f"{name:{width}}  {_exact(value)}" for name, value in options.items()]


def described(stage: Stage, trial: Trial) -> tuple[Measures, Mapping[str, JsonValue]]:
    """What a stage's trials are compared by, and what one of them chose, as in a file."""
    objectives = [(part.name, part.higher_is_better) for part in stage.swept.objectives.parts]
    return objectives, shown(stage.workflow, trial.assignment)


def show_trials(stage: Stage, *, at_work: bool) -> None:
    """Draw the table of all trials, the best first.

    Args:
        stage: whose trials.
        at_work: whether a run is carrying trials out now.
    """
    swept, again = stage.swept, retries(stage.swept.trials)
    scheme = Scheme(
        searched=(*stage.workflow.alternatives, *stage.workflow.search_space),
        objectives=tuple((part.name, part.higher_is_better) for part in swept.objectives.parts),
        yardstick=swept.yardstick,
    )
    rows = [
        TrialRow(
            trial.number,
            described(stage, trial)[1],
            trial.state if trial.state != "running" or at_work else "waiting",
            trial.curve,
            trial.values,
            trial.spent,
            trial.cause,
            again.get(trial.number),
        )
        for trial in swept.trials
    ]
    best = [trial.number for trial in swept.best]
    show(sweep_table(rows, scheme, best=best, most=None, width=width_of(sys.stdout), causes=True), sys.stdout)


# --- one trial ------------------------------------------------------------------------------------------------------


def value_words(trial: Trial, objectives: Measures) -> str:
    """``accuracy 0.91, size 1.2 MB``; of a trial that has not come so far, its state."""
    pairs = zip(objectives, trial.values, strict=False)
    return ", ".join(measured_text(name, value) for (name, _), value in pairs) or trial.state


def trial_json(trial: Trial, objectives: Measures, options: Mapping[str, object]) -> dict[str, object]:
    """A trial as a JSON object."""
    names = [name for name, _ in objectives]
    told: dict[str, object] = {
        "trial": trial.number,
        "index": trial.index,
        "state": trial.state,
        "options": to_json(options),
        "values": to_json(dict(zip(names, trial.values, strict=False))),
        "rungs": to_json({f"{fraction:g}": value for fraction, value in trial.curve.items()}),
        "spent": trial.spent,
        "tokens": trial.tokens,
        "seconds": trial.seconds,
    }
    if trial.met is not None:
        told["goals_met"] = trial.met
    if trial.cause:
        told["cause"] = trial.cause
    return told


# --- helpers --------------------------------------------------------------------------------------------------------


def near(path: PurePath) -> str:
    """A path as one would type it here."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def _all_tried(workflow: Workflow, trials: Sequence[Trial]) -> bool:
    """Whether every combination has been tried, of a search of all passes together or of one."""
    if strategy_of(workflow).execution_order != "joint" and len(workflow.searched) > 1:
        return False
    there = combinations(workflow.search_space, workflow.alternatives)
    return there is not None and len({trial.index for trial in trials}) >= there


def _exact(value: object) -> str:
    """A value as in a file: a text bare where it can be."""
    return value if isinstance(value, str) and value.strip() else json.dumps(value, ensure_ascii=False)
