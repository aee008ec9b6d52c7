"""A run with a bit of everything, event by event, on a clock that the test moves."""

from collections.abc import Callable, Iterator

import pytest

from olive_engine.reporting.events import (
    PlanMade,
    PlannedStep,
    RunEvent,
    RunFinished,
    StepFailed,
    StepFinished,
    StepLog,
    StepProgress,
    StepSkipped,
    StepStarted,
    StepWaiting,
)

PLAN = PlanMade(
    (
        PlannedStep("data:train", "data", "", "reuse", inputs=("input_model",), system="local"),
        PlannedStep("lora", "pass", "LoRA", "run", ("r: 8 -> 16", "alpha: 16 -> 32"), ("input_model",), "local"),
        PlannedStep("lora:accuracy", "evaluate", "accuracy", "run", ("lora changed",), ("lora",), "local"),
        PlannedStep("merge", "pass", "MergeAdapterWeights", "run", ("lora changed",), ("lora",), "local"),
        PlannedStep("int4", "pass", "ModelBuilder", "run", ("merge changed",), ("merge",), "local"),
    )
)


class Clock:
    """Seconds that pass only when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def run(clock: Clock) -> Iterator[RunEvent]:
    """lora trains for 40 s, merge fails, int4 is skipped for it; the accuracy comes from another run."""
    yield PLAN
    yield StepFinished("data:train", reused=True, seconds=0.8, metrics={"rows": 640}, size=90_000)
    yield StepStarted("lora", "local", ("r: 8 -> 16",))
    yield StepLog("lora", "debug", "seed 0")
    yield StepLog("lora", "info", "9 target modules")
    yield StepLog("lora", "warning", "3 rows were cut")
    for step in range(1, 5):
        clock.now += 10
        yield StepProgress("lora", step * 10, 40, "steps", {"loss": 2.0 / step, "tokens_per_second": 3400.0})
    yield StepFinished("lora", reused=False, seconds=41.26, metrics={"eval_loss": 0.41}, size=812_345)
    yield StepWaiting("lora:accuracy")
    yield StepStarted("merge", "local")
    yield StepFinished("lora:accuracy", reused=True, seconds=3, metrics={"accuracy_score": 0.8125})
    yield StepFailed("merge", "shapes do not fit: 8 and 16", "Traceback: …\nValueError: 8", ("folding layer 3",))
    yield StepSkipped("int4", "merge")
    yield RunFinished(executed=1, reused=2, failed=1, seconds=44.0)


Script = Callable[[Clock], Iterator[RunEvent]]


@pytest.fixture
def script() -> Script:
    return run


@pytest.fixture
def plan_made() -> PlanMade:
    return PLAN


@pytest.fixture
def clock() -> Clock:
    return Clock()
