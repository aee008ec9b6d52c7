"""What a chain on Azure ML moves through the client: results passed on in the datastore, or a round trip each."""

from __future__ import annotations

import filecmp
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.azure_ml_chains import build_base, run_chain, run_round_trip
from benchmarks.azure_ml_cloud import Clouds
from benchmarks.azure_ml_traffic import Chain
from benchmarks.report import Machine, Report, judged
from olive_engine.testing.toys import ToyScaleConfig

MB = 1_000_000
STEPS, QUICK_STEPS = 20, 4
SIZES, QUICK_SIZES = (1, 20, 100), (1,)
"""Of the model, in MB."""
LIMIT = 0.1
"""MB that a step in the middle of a chain may move through the client, whatever the size of the model."""
COLUMNS = (
    "chain",
    "a step: MB up",
    "MB down",
    "management",
    "blobs",
    "polls",
    "all: MB up",
    "MB down",
    "requests",
    "bytes, ours = 1",
    "wall, ours = 1",
    "wanted",
)
OURS, ROUND_TRIP, MIXED = "in the datastore", "round trip", "every second step here"
WARM, AGAIN = "workspace warm", "again, all reused"


@dataclass(frozen=True, slots=True)
class Measured:
    """A chain, and which it was: the kind, and what is said of the workspace."""

    size: int
    kind: str
    state: str
    chain: Chain


def measure(*, quick: bool = False) -> Report:
    """Run the chains in turns, each kind in a fresh workspace of the emulator.

    Raises:
        SystemExit: this is no checkout with the extra `dev`, or node or npm is missing.
    """
    machine, steps = Machine(), QUICK_STEPS if quick else STEPS
    sizes = QUICK_SIZES if quick else SIZES
    warm_too = sizes[len(sizes) // 2]
    found: list[Measured] = []
    with tempfile.TemporaryDirectory() as folder:
        clouds = Clouds(Path(folder))
        for size in sizes:
            found += _in_turns(clouds, Path(folder) / str(size), size, steps, states=size == warm_too)
    return Report(f"A chain of {steps} steps on Azure ML (emulated)", COLUMNS, rows(found), _notes(found), machine)


def _in_turns(clouds: Clouds, folder: Path, size: int, steps: int, *, states: bool) -> list[Measured]:
    """Each kind for a model of one size; with `states` again in a workspace that has seen it, and again unchanged."""
    found, models = [], {}
    first = [ToyScaleConfig(factor=1.0 + index / 1e6, ballast=size * MB) for index in range(steps)]
    other = [each.model_copy(update={"factor": each.factor + 0.5}) for each in first]
    for kind in (OURS, ROUND_TRIP, MIXED):
        project = folder / kind.replace(" ", "-")
        build_base(project / "base", size * MB)
        with clouds.fresh() as cloud:
            run: Callable[..., tuple[Chain, Path]] = run_round_trip if kind == ROUND_TRIP else run_chain
            more = {"every_second_here": True} if kind == MIXED else {}
            chain, models[kind] = run(cloud, project, first, "first", **more)
            models[kind] = shutil.copytree(models[kind], folder / f"last-{kind}")
            found.append(Measured(size, kind, "", chain))
            if states and kind != MIXED:
                found.append(Measured(size, kind, WARM, run(cloud, project, other, "warm")[0]))
            if states and kind == OURS:
                found.append(Measured(size, kind, AGAIN, run(cloud, project, other, "again")[0]))
            if cloud.recorder.refused_hosts:
                raise RuntimeError(f"somebody else was asked: {cloud.recorder.refused_hosts[0]}")
        shutil.rmtree(project)
    _check_same(models)
    return found


def _check_same(models: Mapping[str, Path]) -> None:
    """See that all kinds did the same work."""
    names = sorted(path.name for path in models[OURS].iterdir())
    for kind, folder in models.items():
        same, _, _ = filecmp.cmpfiles(models[OURS], folder, names, shallow=False)
        if sorted(same) != names:
            raise RuntimeError(f"the last model of the chain {kind!r} is not that of {OURS!r}")


# --- the table ------------------------------------------------------------------------------------------------------


def rows(found: list[Measured]) -> list[tuple[str, ...]]:
    """A row for each, set against ours of the same size in the same state."""
    return [_row(each, found) for each in found]


def _row(each: Measured, found: list[Measured]) -> tuple[str, ...]:
    state = each.state if each.state != AGAIN else WARM
    (ours,) = (one.chain for one in found if (one.size, one.kind, one.state) == (each.size, OURS, state))
    chain, step = each.chain, each.chain.step
    is_run = each.state != AGAIN
    wanted = judged(step.bytes / MB, LIMIT, "MB a step") if each.kind == OURS and is_run else ""
    return (
        ", ".join(part for part in (f"{each.size} MB", each.kind, each.state) if part),
        *((_mb(step.up), _mb(step.down)) if is_run else ("", "")),
        *((f"{count:.1f}" for count in (step.management, step.blobs, step.polls)) if is_run else ("",) * 3),
        _mb(chain.whole.up),
        _mb(chain.whole.down),
        f"{chain.whole.requests:.0f}",
        f"{chain.whole.bytes / ours.whole.bytes:.2f}",
        f"{chain.wall / ours.wall:.2f}" if is_run else "",
        wanted if is_run else f"no request  {'OVER' if chain.whole.requests else 'ok'}",
    )


def _notes(found: list[Measured]) -> tuple[str, ...]:
    polled = sum(each.chain.whole.polled for each in found) / max(1, sum(each.chain.whole.polls for each in found))
    walls = ", ".join(f"{each.chain.wall / len(each.chain.steps):.1f} s" for each in found if each.state != AGAIN)
    return (
        "a step: the mean of all but the first and the last; all: what comes before and after, too",
        f"bytes and requests without polls, each of which brings {polled / 1e3:.1f} kB",
        "bytes are those of bodies, without headers; jobs read and write beside the client, and are not counted",
        f"wall a step, in the table's order: {walls}; the emulator's jobs start at once, its network is the loopback, "
        "and both schemes look every 2 s, so it says little of Azure",
    )


def _mb(count: float) -> str:
    return f"{count / MB:.3f}" if count < MB else f"{count / MB:.1f}"
