"""A workflow that searches, run: the search, then the best trials' models to their ends, and the report."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path, PurePath

from pydantic import JsonValue

from olive_engine import outputs
from olive_engine.config.workflow import Workflow
from olive_engine.errors import Failure, PassFailed, Problem, SystemUnavailable
from olive_engine.ground import Ground
from olive_engine.plain_run import plan_checked, run_plain
from olive_engine.reporting import events
from olive_engine.reporting.reporter import Reporter
from olive_engine.results import RunResult, SweepResult
from olive_engine.search.assignment import applied, shown, with_each_pass
from olive_engine.search.correlation import doubts, rank_correlations
from olive_engine.search.export import write_csv
from olive_engine.search.report import write_report
from olive_engine.search.retraining import left_out, retrain_command, retraining
from olive_engine.search.searching import Searched, Stage, chosen, search, seed_of
from olive_engine.search.stages import strategy_of
from olive_engine.search.summary import Retrain, SweepSummary
from olive_engine.writing import save_workflow


def run_sweep(workflow: Workflow, ground: Ground, said: tuple[Problem, ...]) -> RunResult:
    """Carry a search out, or go on with it, and bring the best trials' models to their ends.

    Args:
        workflow: a judged one whose hub names are pinned.
        ground: its cache and systems, who hears of it.
        said: what speaks against the workflow whatever the machine.

    Raises:
        PassFailed: no trial was completed, or a step of a best one failed.
        Interrupted: Ctrl-C, or somebody asked the search to stop.
    """
    started, listener = time.perf_counter(), ground.listener
    counter = _Counter(listener)
    for doubt in dict.fromkeys([*said, *_preflight(workflow, ground)]):
        listener.on_event(events.Warned(str(doubt)))
    searched = search(workflow, replace(ground, listener=counter))
    last = searched.last
    summary = summary_of(workflow, last)
    if summary.warning:
        listener.on_event(events.Warned(summary.warning))
    if not last.swept.best:
        outputs.write_run(workflow, {"status": "failed", "cause": "no trial was completed"})
        _write_reports(workflow, summary, listener)
        raise PassFailed((_why_none(last),))
    files = _write_retraining(workflow, searched)
    for secret in left_out(workflow):
        what = f"{secret} is a secret, and is not written to {outputs.RETRAIN_FILE}; give it as ${{env:NAME}}"
        listener.on_event(events.Warned(what))
    retrain = {number: Retrain(retrain_command(file), str(file)) for number, file in files.items()}
    report = _write_reports(workflow, replace(summary, retrain=retrain), listener)
    results = {
        trial.number: run_plain(
            applied(workflow, chosen(searched.stages, trial.assignment)).model_copy(
                update={"output_dir": str(files[trial.number].parent)}
            ),
            ground,
            since=started,
            done=counter.computed,
        )
        for trial in last.swept.best
    }
    swept = last.swept
    sweep = SweepResult(
        study=swept.study,
        storage=swept.storage,
        trials=swept.trials,
        objectives=summary.objectives,
        best=results,
        options={trial.number: shown(workflow, chosen(searched.stages, trial.assignment)) for trial in swept.best},
        retrain=files,
        report=report,
        why=swept.why,
    )
    if len(results) > 1:
        outputs.write_run(workflow, _overview(sweep, summary))
    return replace(next(iter(results.values())), sweep=sweep)


class _Counter(Reporter):
    """Passes events on, and counts the steps that were computed."""

    def __init__(self, listener: Reporter) -> None:
        self.computed = 0
        self._listener = listener

    def on_event(self, event: events.RunEvent) -> None:
        """Count it, if it is one of these."""
        self.computed += isinstance(event, events.StepFinished) and not event.reused
        self._listener.on_event(event)


def _preflight(workflow: Workflow, ground: Ground) -> list[Problem]:
    """What speaks against running it with any of its alternatives, without forbidding it.

    Raises:
        InvalidWorkflow: the systems cannot do what is asked of them.
    """
    return [doubt for each in with_each_pass(workflow) for doubt in plan_checked(each, ground)[1]]


def _write_retraining(workflow: Workflow, searched: Searched) -> dict[int, Path]:
    """Write the workflows that train the best trials' models again, each into the folder of its model."""
    best = searched.last.swept.best
    root = PurePath(workflow.output_dir)
    folders = {trial.number: str(root if len(best) == 1 else root / f"trial-{trial.number}") for trial in best}
    _clear(workflow, folders.values())
    # Until the models are in place, and after a crash on the way, the folder says that they are not.
    outputs.write_run(workflow, {"status": "failed", "cause": "the models were not written to their end"})
    files: dict[int, Path] = {}
    for trial in best:
        folder = folders[trial.number]
        files[trial.number] = Path(folder) / outputs.RETRAIN_FILE
        again = retraining(workflow, chosen(searched.stages, trial.assignment), folder)
        save_workflow(again, workflow.base_dir / files[trial.number])
    return files


def _why_none(stage: Stage) -> Failure:
    """Why a search has no model."""
    failed = [trial for trial in stage.swept.trials if trial.state == "failed"]
    if not failed:
        return Failure("search", f"no trial was completed ({stage.swept.why})")
    again = "" if all(trial.hopeless for trial in failed) else "; the same command tries them again"
    what = f"all {len(failed)} trials failed" if len(failed) > 1 else "the only trial failed"
    return Failure("search", f"{what}, the last one: {failed[-1].cause}{again}")


def _clear(workflow: Workflow, folders: Iterable[str]) -> None:
    """Withdraw the models of earlier runs from places where this one writes none."""
    root = outputs.output_dir(workflow)
    kept = {(workflow.base_dir / folder).absolute() for folder in folders}
    for place in (*root.glob("trial-*"), root):
        if place not in kept and place.is_dir():
            outputs.withdraw(place)


# --- reports ------------------------------------------------------------------------------------------------------


def summary_of(workflow: Workflow, stage: Stage) -> SweepSummary:
    """What the report of a search is made of.

    Args:
        workflow: the whole one.
        stage: the study that decided.
    """
    swept, strategy = stage.swept, strategy_of(workflow)
    agreements = rank_correlations([trial.curve for trial in swept.trials])
    libraries = ("olive-engine", "optuna", *(("torch",) if find_spec("torch") else ()))
    return SweepSummary(
        title=f"Search of {PurePath(workflow.input_model.model_path).name}" + (f": {stage.slot}" if stage.slot else ""),
        study=swept.study,
        trials=swept.trials,
        objectives=tuple((part.name, part.higher_is_better) for part in swept.objectives.parts),
        mode=swept.objectives.mode,
        searched=stage.workflow.search_space,
        alternatives=stage.workflow.alternatives,
        rungs=swept.rungs.fractions,
        yardstick=swept.yardstick,
        best=tuple(trial.number for trial in swept.best),
        correlations=agreements,
        warning=doubts(agreements),
        seed=seed_of(workflow),
        sampler=strategy.sampler,
        pruner=strategy.pruner,
        versions={name: version(name) for name in libraries},
    )


def _write_reports(workflow: Workflow, summary: SweepSummary, listener: Reporter) -> Path | None:
    """Write the table of trials, and the page with the charts where plotly is."""
    root = outputs.output_dir(workflow)
    root.mkdir(parents=True, exist_ok=True)
    try:
        write_csv(root / outputs.TRIALS_FILE, summary)
        if find_spec("plotly") is None:
            hint = "plotly is not installed: pip install 'olive-engine[search]'"
            listener.on_event(events.Warned(f"there is no page with charts of the search, for {hint}"))
            return None
        write_report(root / outputs.REPORT_FILE, summary)
    except OSError as error:
        raise SystemUnavailable(f"the report of the search could not be written: {error}") from error
    return root / outputs.REPORT_FILE


def _overview(sweep: SweepResult, summary: SweepSummary) -> dict[str, JsonValue]:
    """What ``run.json`` says beside the folders of several models."""
    return {
        "status": "done",
        "study": sweep.study,
        "objectives": [name for name, _ in summary.objectives],
        "models": {
            f"trial-{number}": {
                "values": list(next(trial.values for trial in sweep.trials if trial.number == number)),
                "retrain": retrain_command(sweep.retrain[number]),
            }
            for number in sweep.best
        },
    }
