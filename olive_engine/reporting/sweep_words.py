"""What is said of a search in lines: how it begins, its rungs, how trials end, and how it ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from olive_engine.reporting import phrases
from olive_engine.reporting.events import RungBegan, SweepBegan, SweepEnded, TrialEnded
from olive_engine.reporting.sweep import Sweep
from olive_engine.reporting.sweep_columns import measure_name, measured_text, options_text, short_names
from olive_engine.reporting.trials import TrialRow, numbers, percent


def sweep_heading(began: SweepBegan) -> str:
    """``Sweep over r, learning_rate: 16 trials, 4 of them from earlier runs``."""
    names = short_names(began.searched)
    over = f" over {', '.join(names[name] for name in began.searched)}" if began.searched else ""
    known = phrases.count(began.known, "trial")
    if began.wanted is None:
        return f"Sweep{over}" + (f", {known} known from earlier runs" if began.known else "")
    wanted = phrases.count(began.wanted, "trial")
    return f"Sweep{over}: {wanted}" + (f", {began.known:,} of them from earlier runs" if began.known else "")


def sweep_details(began: SweepBegan) -> list[str]:
    """How trials are judged, and where the search is recorded."""
    told = [f"study {began.study} in {began.storage}"]
    if began.yardstick is None:
        return told
    rungs = [percent(rung) for rung in began.rungs[:-1]]
    at = f" at {', '.join(rungs)} of their training" if rungs else ""
    judged = measure_name(began.yardstick[0])
    others = [measure_name(name) for name, _ in began.objectives if measure_name(name) != judged]
    end = [f"those that come to their end are compared by {', '.join(others)}"] if rungs and others else []
    return [f"trials are judged by {judged}{at}", *end, *told]


def rung_line(sweep: Sweep, event: RungBegan) -> str:
    """``rung 25 %: 8 trials (0, 3-5, 9-12), lowest eval_loss at 12.5 %: trial 4``."""
    line = f"rung {percent(event.until)}: {phrases.count(len(event.steps), 'trial')} ({numbers(event.steps)})"
    leading = _leading(sweep)
    return f"{line}, {leading}" if leading else line


def trial_line(sweep: Sweep, event: TrialEnded) -> str:
    """``trial 3: pruned at 12.5 %, eval_loss 1.234 (r 8, learning_rate 2.3e-04)``."""
    row = sweep.rows[event.trial]
    if row.state == "failed":
        return f"trial {event.trial}: FAILED: {failure(row, sweep.told_before(event))}"
    state = f"pruned at {percent(row.spent)}" if row.state == "pruned" else row.state
    measured = measured_phrases(row, sweep.began)
    options = options_text(row.options, short_names([*row.options, *sweep.began.searched]))
    again = "" if row.again is None else f", trial {row.again} again"
    return f"trial {event.trial}: {', '.join([state, *measured])}" + (f" ({options})" if options else "") + again


def failure(row: TrialRow, same_as: int | None) -> str:
    """Why a trial failed, in a line; said once for all that fail for one reason."""
    return " ".join(row.cause.split()) if same_as is None else f"as trial {same_as} did"


def measured_phrases(row: TrialRow, began: SweepBegan) -> list[str]:
    """What was measured of a trial: its objectives, or how it was last judged."""
    if row.values:
        return [measured_text(name, value) for (name, _), value in zip(began.objectives, row.values, strict=False)]
    return [] if began.yardstick is None or row.judged is None else [measured_text(began.yardstick[0], row.judged)]


def standing(sweep: Sweep, now: float) -> list[str]:
    """How far the search is: ``5 of 16 trials ended``, ``rung 25 %``, ``0:42``, ``about 1:10 left``."""
    left = sweep.seconds_left(now)
    return [
        _ended(sweep),
        *([] if sweep.until is None else [f"rung {percent(sweep.until)}"]),
        phrases.clock(now - sweep.started),
        *([] if left is None else [f"about {phrases.clock(left)} left"]),
    ]


def stopped_line(sweep: Sweep, now: float) -> str:
    """Of a search that was cut short: ``Stopped after 0:42: 5 of 16 trials ended``."""
    return f"Stopped after {phrases.clock(now - sweep.started)}: {_ended(sweep)}"


def sweep_summary(began: SweepBegan, rows: Mapping[int, TrialRow], ended: SweepEnded) -> str:
    """``16 trials: 2 complete, 13 pruned, 1 failed in 1:23; best: trial 11 (eval_loss 0.6543)``."""
    counts = {"complete": ended.complete, "pruned": ended.pruned, "failed": ended.failed}
    total = phrases.count(sum(counts.values()), "trial")
    parts = ", ".join(f"{count:,} {state}" for state, count in counts.items() if count)
    line = f"{total}{': ' if parts else ''}{parts} in {phrases.clock(ended.seconds)}"
    if ended.why and sum(counts.values()) != began.wanted:
        line += f" ({ended.why})"
    return f"{line}; {_best(began, rows, ended.best)}"


def _leading(sweep: Sweep) -> str:
    """Which trial is ahead, and by what: of complete ones by the first objective, else by the yardstick at a rung."""
    row = None if sweep.best is None else sweep.rows[sweep.best]
    if row is None:
        return ""
    if row.values:
        (name, higher), when = sweep.began.objectives[0], "so far"
    elif sweep.began.yardstick is not None:
        (name, higher), when = sweep.began.yardstick, f"at {percent(max(row.curve))}"
    else:
        return ""
    return f"{'highest' if higher else 'lowest'} {measure_name(name)} {when}: trial {row.trial}"


def _ended(sweep: Sweep) -> str:
    wanted = sweep.began.wanted
    of = (
        phrases.count(sweep.ended, "trial")
        if wanted is None
        else f"{sweep.ended:,} of {phrases.count(wanted, 'trial')}"
    )
    return f"{of} ended"


def _best(began: SweepBegan, rows: Mapping[int, TrialRow], best: Sequence[int]) -> str:
    if not best:
        return "no trial is complete"
    row = rows.get(best[0])
    measured = measured_phrases(row, began) if row else []
    first = f"trial {best[0]}" + (f" ({', '.join(measured)})" if measured else "")
    return f"best: {first}" + (f", then {', '.join(map(str, best[1:]))}" if len(best) > 1 else "")
