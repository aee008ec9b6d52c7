"""The Python API: everything that the command `olive` does, as functions on values.

    from olive_engine import load_workflow, plan, run

    workflow = load_workflow("config.yaml", overrides=["passes.lora.r=8"])
    result = run(workflow)
    print(result.metrics["lora"], result.models["int4"].model_path)

A workflow that was built in Python is judged here as a file is when it is read. Nothing here sets up logging, prints,
changes an environment variable or the working directory, or needs the main thread.
"""

from olive_engine.planning import check, plan, planned_steps, preflight, why
from olive_engine.reading import load_workflow
from olive_engine.results import FinalModel, RunResult, StepResult, SweepResult
from olive_engine.running import run
from olive_engine.writing import save_workflow

__all__ = [
    "FinalModel",
    "RunResult",
    "StepResult",
    "SweepResult",
    "check",
    "load_workflow",
    "plan",
    "planned_steps",
    "preflight",
    "run",
    "save_workflow",
    "why",
]
