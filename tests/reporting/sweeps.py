"""A search, event by event: sixteen trials of three options, halved at each rung, one of them failing."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from olive_engine.reporting.events import (
    RunEvent,
    RungBegan,
    StepFailed,
    StepFinished,
    StepLog,
    StepProgress,
    StepStarted,
    SweepBegan,
    SweepEnded,
    TrialBegan,
    TrialEnded,
    TrialJudged,
)

RUNGS = (0.125, 0.25, 0.5, 1.0)
OPTIONS = ("tune.r", "tune.training_args.learning_rate", "tune.training_args.per_device_train_batch_size")
BEGAN = SweepBegan(
    study="5f1e09ac",
    storage="cache/studies/5f1e09ac.journal",
    wanted=16,
    known=0,
    searched=OPTIONS,
    objectives=(("accuracy.accuracy_score", True),),
    rungs=RUNGS,
    yardstick=("eval_loss", False),
)
DIVERGED = "the loss became nan at step 7 of 120; a smaller learning_rate may help, and so may a longer warmup"


def options(trial: int) -> dict[str, object]:
    values = (2 ** (1 + trial % 4), 0.00005 * 1.3**trial, 4 * (1 + trial % 3))
    return dict(zip(OPTIONS, values, strict=True))


def loss(trial: int, until: float) -> float:
    """Trial 11 is the best, the others the worse the farther from it."""
    return 0.6 + 0.05 * abs(trial - 11) + 0.8 * (1 - until)


def sweep(tick: Callable[[float], float], trials: int = 16, doomed: int = 15) -> Iterator[RunEvent]:
    """All of it. `tick` lets seconds pass, and says how many have."""
    yield replace(BEGAN, wanted=trials)
    for trial in range(trials):
        yield TrialBegan(trial, options(trial))
    yield StepStarted("data:train", "local")
    tick(1)
    yield StepProgress("data:train", 600, 1200, "rows")
    yield StepLog("data:train", "warning", "3 rows were cut")
    tick(1)
    yield StepFinished("data:train", reused=False, seconds=2.0, metrics={"rows": 1200})
    live, before, ended = list(range(trials)), 0.0, [0, 0, 0]
    for until in RUNGS:
        steps = {trial: f"tune#{trial}" if until == 1 else f"tune#{trial}@{until:g}" for trial in live}
        yield RungBegan(until, steps)
        half = max(1, len(live) // 2)
        for pack in (live[:half], live[half:]):
            for trial in pack:
                yield StepStarted(steps[trial], "local")
                yield StepLog(steps[trial], "info", "9 target modules")
                yield StepLog(steps[trial], "warning", "the rank is more than the data needs")
            for part in (1, 2, 3, 4):
                tick(len(pack) * (until - before) * 2)
                for trial in pack:
                    done = round(240 * (before + (until - before) * part / 4))
                    values = {"loss": loss(trial, until) + 0.1, "tokens_per_second": 3400.0 + 10 * trial}
                    yield StepProgress(steps[trial], done, 240, "steps", values)
            for trial in pack:
                if trial == doomed:
                    yield StepFailed(steps[trial], DIVERGED, "Traceback: …\nDiverged: nan")
                else:
                    yield StepFinished(
                        steps[trial], reused=False, seconds=5.0, metrics={"eval_loss": loss(trial, until)}
                    )
        if doomed in live:
            live.remove(doomed)
            ended[2] += 1
            yield TrialEnded(doomed, "failed", spent=before, cause=DIVERGED)
        for trial in live:
            yield TrialJudged(trial, until, loss(trial, until))
        ranking = sorted(live, key=lambda trial: loss(trial, until))
        going_on = ranking if until == 1 else ranking[: max(2, len(ranking) // 2)]
        for trial in sorted(set(live) - set(going_on)):
            ended[1] += 1
            yield TrialEnded(trial, "pruned", spent=until)
        live, before = sorted(going_on), until
    for trial in live:
        yield StepStarted(f"merge#{trial}", "local")
        tick(1)
        yield StepFinished(f"merge#{trial}", reused=False, seconds=1.0, size=812_345)
        yield StepStarted(f"merge#{trial}:accuracy", "local")
        tick(1)
        yield StepProgress(f"merge#{trial}:accuracy", 40, 128, "answers")
        tick(1)
        yield StepFinished(f"merge#{trial}:accuracy", reused=False, seconds=2.0, metrics={"accuracy_score": 0.8})
        ended[0] += 1
        yield TrialEnded(trial, "complete", (0.8 + trial / 1000,))
    best = tuple(sorted(live, reverse=True)[:1])
    yield SweepEnded(best, *ended, seconds=tick(0), why=f"{trials} trials")
