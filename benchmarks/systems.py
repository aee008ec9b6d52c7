"""What a place costs: seconds a step and a gigabyte on each system, warm and cold workers, the shared cache."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from benchmarks.commands import copy_sample
from benchmarks.report import Machine, Report
from olive_engine import api, load_workflow
from olive_engine.config.workflow import HfModelConfig, PassEntry, SystemEntry, Workflow
from olive_engine.contracts import System
from olive_engine.errors import SystemUnavailable
from olive_engine.registry import find_system
from olive_engine.testing.harness import Trial, write_job
from olive_engine.testing.tiny_models import build_tiny_adapter, build_tiny_model
from olive_engine.testing.toys import ToyScaleConfig, build_toy_model

ROUNDS, QUICK_ROUNDS = 3, 1
STEPS, QUICK_STEPS = 20, 5
LARGE_STEPS = 3
BALLAST, QUICK_BALLAST = 256 << 20, 32 << 20
"""Bytes that each step writes in the chain that moves gigabytes."""
DEBUG = "--debug"
IMAGE = "OLIVE_TEST_DOCKER_IMAGE"
"""The environment variable that names an image with olive-engine in it."""


def measure(*, quick: bool = False) -> Report:
    """Run the same chains everywhere in turns; the best of several rounds counts."""
    machine, rounds = Machine(), QUICK_ROUNDS if quick else ROUNDS
    steps, ballast = (QUICK_STEPS, QUICK_BALLAST) if quick else (STEPS, BALLAST)
    notes: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        build_toy_model(base / "base")
        places = _places(base / "elsewhere", notes)
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in places}
        for _ in range(rounds):
            for name, place in places.items():
                small = _chain(base, place, steps, 0)
                large = _chain(base, place, LARGE_STEPS, ballast)
                times[name].append((small / steps, large - small / steps * LARGE_STEPS))
        jobs = _workers(base, rounds)
        computed, found = _shared(base)
    each = {name: min(small for small, _ in of) for name, of in times.items()}
    giga = {name: min(large for _, large in of) / (LARGE_STEPS * ballast / 1e9) for name, of in times.items()}
    rows = [
        (
            name,
            f"{each[name] * 1e3:.0f} ms",
            f"{(each[name] - each[DEBUG]) * 1e3:.0f} ms",
            f"{giga[name]:.2f} s",
            f"{giga[name] - giga[DEBUG]:.2f} s",
        )
        for name in places
    ]
    notes += [
        f"merging a tiny adapter: {jobs['cold']:.2f} s in a fresh worker, {jobs['warmed up']:.2f} s in one with the "
        f"libraries, {jobs['warm']:.2f} s in one that has done it before",
        f"the sample: {computed:.1f} s computed, {found:.2f} s from a shared folder ({computed / found:.0f}x)",
    ]
    columns = ("where", "a step", f"over {DEBUG}", "a GB of results", f"over {DEBUG}")
    return Report("What a place costs", columns, rows, tuple(notes), machine)


def _places(elsewhere: Path, notes: list[str]) -> dict[str, SystemEntry | None]:
    """The systems by the name that the table has for them; None: this process."""
    elsewhere.mkdir()
    one = {"workers": 1, "threads": 1}
    written: dict[str, Mapping[str, object]] = {
        "LocalSystem": one,
        "PythonEnvironment": {"python_environment_path": sys.executable, **one},
        "Docker": {"image_name": os.environ.get(IMAGE, ""), "threads": 1},
        "DetachedSystem": {"root": str(elsewhere), "max_parallel": 1},
    }
    if not written["Docker"]["image_name"]:
        del written["Docker"]
        notes.append(f"Docker is left out: {IMAGE} names no image")
    entries = {name: SystemEntry(type=name, options=_class(name).config_type(**own)) for name, own in written.items()}
    return {DEBUG: None, **entries}


def _class(name: str) -> type[System]:
    cls = find_system(name)
    if cls is None:
        raise SystemUnavailable(f"there is no system of type {name}")
    return cls


def _chain(base: Path, place: SystemEntry | None, steps: int, ballast: int) -> float:
    """Seconds of a chain of passes in a fresh cache, without what the first step of a place costs."""

    def seconds(size: int, factor: float) -> float:
        options = [ToyScaleConfig(factor=factor + index / 1e6, ballast=ballast) for index in range(size)]
        workflow = Workflow(
            input_model=HfModelConfig(model_path="base"),
            passes={f"pass{index}": PassEntry(type="ToyScale", options=each) for index, each in enumerate(options)},
            systems={"there": place} if place else {},
            host="there" if place else None,
            base_dir=base,
        )
        started = time.perf_counter()
        api.run(workflow, debug=place is None)
        return time.perf_counter() - started

    try:
        seconds(1, 1.25)  # the place is probed
        first = seconds(1, 1.5)
        return seconds(steps + 1, 1.0) - first
    finally:
        for left in (".olive-cache", "output", "elsewhere/jobs"):
            shutil.rmtree(base / left, ignore_errors=True)


def _workers(base: Path, rounds: int) -> dict[str, float]:
    """Seconds of one small job that needs torch and peft, by the state of the worker that does it."""
    adapter = build_tiny_adapter(build_tiny_model(base / "tiny"), base / "adapter")
    cls = _class("LocalSystem")
    times: dict[str, list[float]] = {"cold": [], "warm": [], "warmed up": []}
    for index in range(rounds):
        for kinds in (("cold", "warm"), ("warmed up",)):
            system = cls("here", cls.config_type.model_validate({"workers": 1, "threads": 1}))
            if kinds == ("warmed up",):
                system.warm_up(("torch", "transformers", "peft", "safetensors"))
                time.sleep(15)
            for kind in kinds:
                job = write_job(base / "jobs" / f"{index}", "MergeAdapterWeights", [Trial({})], [adapter])
                started = time.perf_counter()
                handle = system.submit(job)
                while handle.poll().state == "running":
                    time.sleep(0.005)
                times[kind].append(time.perf_counter() - started)
                if handle.collect(fetch=True).items[0].status != "done":
                    raise RuntimeError("the merge has failed")
            system.close()
    return {kind: min(of) for kind, of in times.items()}


def _shared(base: Path) -> tuple[float, float]:
    """Seconds of the sample: computed and put into a shared folder; then on a "machine" that has nothing but that."""

    def seconds(folder: Path, more: str = "") -> float:
        workflow = load_workflow(
            folder / "workflow.yaml", overrides=[f"shared_cache={{url: {base}/team{''.join(more)}}}"]
        )
        started = time.perf_counter()
        api.run(workflow)
        return time.perf_counter() - started

    here = Path.cwd()
    folder = copy_sample(base)
    os.chdir(folder)
    try:
        computed = seconds(folder, ", write: true")
        shutil.rmtree(folder / ".olive-cache")
        shutil.rmtree(folder / "output")
        return computed, seconds(folder)
    finally:
        os.chdir(here)
