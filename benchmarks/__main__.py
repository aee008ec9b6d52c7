"""The command line of the benchmarks."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks import azure_ml, edits, executor, fuzz, lora, plan, rerun, startup, systems, typos
from benchmarks.report import Report

BENCHMARKS: Mapping[str, Callable[..., Report]] = {
    "startup": startup.measure,
    "plan": plan.measure,
    "executor": executor.measure,
    "rerun": rerun.measure,
    "systems": systems.measure,
    "lora": lora.measure,
    "typos": typos.measure,
    "edits": edits.measure,
    "fuzz": fuzz.measure,
    "azure_ml": azure_ml.measure,
}


def main() -> None:
    """Run the named benchmarks, or all; print each one's table and write it to ``benchmarks/results/``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=main.__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(BENCHMARKS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and smaller sizes")
    parser.add_argument("--data", type=Path, metavar="DIR", help="lora: train on DIR/*train.jsonl (phrase, tone)")
    parser.add_argument("--minutes", type=float, default=fuzz.MINUTES, metavar="N", help="fuzz: for how long")
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in BENCHMARKS]:
        parser.error(f"no benchmark is called {unknown[0]}; there are {', '.join(BENCHMARKS)}")
    for name in options.names or BENCHMARKS:
        more = {"lora": {"data": options.data}, "fuzz": {"minutes": options.minutes}}.get(name, {})
        report = BENCHMARKS[name](quick=options.quick, **more)
        report.show()
        report.save(Path(__file__).parent / "results" / f"{name}.json")


main()
