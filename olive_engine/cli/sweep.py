"""``olive sweep``: status, stop, export, best."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from olive_engine.cli.output import json_option, write_json
from olive_engine.cli.session import session
from olive_engine.cli.sweep_search import found_search
from olive_engine.cli.workflow import Choice, words_of, workflow_options
from olive_engine.errors import WorkflowError

if TYPE_CHECKING:
    from olive_engine.search.finding import Found
    from olive_engine.search.trials import Trial

stage_option = click.option(
    "--stage",
    metavar="PASS",
    help="Of a search pass by pass: the search of this pass; default: the last that has begun.",
)


@click.group("sweep", short_help="Look at a search, stop it, export its trials, take the best.")
def command() -> None:
    """Look at a search, stop it, export its trials, take the best.

    `olive run` on a workflow that searches begins the search, or goes on with it. These commands look at what it has
    recorded, also while it runs. They find it by the workflow: name that as for `olive run`.
    """


@command.command("status")
@workflow_options
@stage_option
@json_option
def status(choice: Choice, *, stage: str | None) -> None:
    """Show all trials of a search, the best first, and whether it runs."""
    from olive_engine.cli import sweep_report

    with found_search(choice) as search:
        found, runs = search.of(stage), search.store.runs()
    from olive_engine.search.stages import strategy_of

    swept = found.stage.swept
    if session().json:
        rows = [sweep_report.trial_json(trial, *sweep_report.described(found.stage, trial)) for trial in swept.trials]
        best = [trial.number for trial in swept.best]
        wanted = strategy_of(found.stage.workflow).max_samples
        write_json({**_about(found), "max_samples": wanted, "runs": runs, "best": best, "trials": rows})
        return
    program, words, place = session().program, words_of(choice), sweep_report.storage_words(swept.storage)
    click.secho(sweep_report.heading(found.stage, at_work=runs > 0), bold=True)
    if len(search.slots) > 1:
        click.echo(f"  {sweep_report.stages_words(search.slots, [each.stage for each in search.studies])}")
    sweep_report.show_trials(found.stage, at_work=runs > 0)
    if swept.best:
        shows = f"{program} sweep best {words}{_stage_words(found)}"
        click.echo(f"best: {sweep_report.best_words(found.stage)}; `{shows}` shows it")
    click.echo(sweep_report.now_words(found.stage, runs, program, words))
    click.echo(f"study {swept.study}: `optuna-dashboard {place}` shows it")


@command.command("stop")
@workflow_options
@json_option
def stop(choice: Choice) -> None:
    """Ask the runs of a search to stop, as Ctrl-C would.

    What they have finished is kept, and `olive run` goes on with the search.
    """
    from olive_engine.cli import sweep_report

    with found_search(choice) as search:
        runs, elsewhere = search.store.runs(), "://" in search.studies[-1].stage.swept.storage
        asked = runs > 0 or elsewhere  # runs on other machines can't be seen from here
        for each in search.studies if asked else ():
            each.study.request_stop()
    if session().json:
        write_json({"studies": [each.study.name for each in search.studies], "runs": runs, "asked": asked})
    elif runs:
        click.echo(f"asked to stop, which takes a few seconds: {sweep_report.runs_words(runs)} this cache")
    elif elsewhere:
        click.echo("no run uses this cache; asked to stop: those with other caches that share the storage")
    else:
        click.echo("no run uses this cache, so there is nothing to stop")


@command.command("export")
@workflow_options
@stage_option
@json_option
@click.option(
    "--format",
    "format_",
    type=click.Choice(["csv", "json", "html"]),
    help="csv, json, or html: the page with the charts; default: by the name of the file, else csv.",
)
@click.option("--output", metavar="FILE", help="Where to write it, in the place of stdout.")
def export(choice: Choice, *, stage: str | None, format_: str | None, output: str | None) -> None:
    """Write all trials as a table, or the report with charts."""
    form = _format(format_, output)
    if form == "html" and output is None:
        raise click.UsageError("a page goes into a file: --format html needs --output FILE")
    with found_search(choice) as search:
        found = search.of(stage)
    from olive_engine.search.export import write_csv
    from olive_engine.search.export import write_json as write_trials
    from olive_engine.search.report import write_report
    from olive_engine.sweep_run import summary_of

    summary = summary_of(search.workflow, found.stage)
    if output is not None and form == "html":
        write_report(Path(output), summary)
    else:
        write = write_csv if form == "csv" else write_trials
        write(sys.stdout if output is None else Path(output), summary)
    if output is not None:
        if session().json:
            write_json({**_about(found), "output": output, "format": form, "trials": len(summary.trials)})
        else:
            from olive_engine.reporting import phrases

            click.echo(f"{output}: {phrases.count(len(summary.trials), 'trial')}")


@command.command("best")
@workflow_options
@stage_option
@json_option
@click.option("--trial", "number", type=int, metavar="NUMBER", help="This trial, whether it is the best or not.")
@click.option("--write", "file", metavar="FILE", help="Write the plain workflow file that trains its model again.")
def best(choice: Choice, *, stage: str | None, number: int | None, file: str | None) -> None:
    """Show the best trials, and how to train one again."""
    from olive_engine.cli import sweep_report
    from olive_engine.search.retraining import retrain_command, retraining
    from olive_engine.writing import save_workflow

    with found_search(choice) as search:
        found = search.of(stage)
    trials = _chosen(found, number)
    told = [(trial, search.choices(found, trial)) for trial in trials]
    if file is not None:
        folder = search.workflow.output_dir
        save_workflow(retraining(search.workflow, search.assignment(found, trials[0]), folder), Path(file))
        commands = [retrain_command(Path(file))]
    else:
        which = f"{words_of(choice)}{_stage_words(found)} --trial {trials[0].number}"
        again = f"{session().program} sweep best {which} --write retrain.yaml"
        commands = [again, retrain_command(Path("retrain.yaml"))]
    objectives, _ = sweep_report.described(found.stage, trials[0])
    if session().json:
        rows = [sweep_report.trial_json(trial, objectives, options) for trial, options in told]
        write_json({**_about(found), "best": rows, "written": file, "retrain": commands})
        return
    for trial, options in told:
        click.secho(f"trial {trial.number}: {sweep_report.value_words(trial, objectives)}", bold=True)
        for line in sweep_report.option_lines(options):
            click.echo(f"  {line}")
    if file is not None:
        click.echo(f"{file} trains trial {trials[0].number} again:")
    else:
        click.echo(f"to train trial {trials[0].number} again:")
    for line in commands:
        click.echo(f"  {line}")


def _chosen(found: Found, number: int | None) -> tuple[Trial, ...]:
    """The trials to be shown.

    Raises:
        WorkflowError: there is no such trial, or no trial is complete.
    """
    swept = found.stage.swept
    if number is None:
        if not swept.best:
            raise WorkflowError(f"no trial is complete yet, of {len(swept.trials)}")
        return swept.best
    trials = tuple(trial for trial in swept.trials if trial.number == number)
    if not trials:
        raise WorkflowError(f"there is no trial {number}; they go from 0 to {swept.trials[-1].number}")
    return trials


def _stage_words(found: Found) -> str:
    """The option that names this study, also once a later pass is searched; empty: there is only one."""
    return f" --stage {shlex.quote(found.stage.slot)}" if found.stage.slot else ""


def _about(found: Found) -> dict[str, object]:
    swept = found.stage.swept
    stage = {"stage": found.stage.slot} if found.stage.slot else {}
    objectives = [{"name": part.name, "higher_is_better": part.higher_is_better} for part in swept.objectives.parts]
    return {"study": swept.study, "storage": swept.storage, **stage, "objectives": objectives}


def _format(given: str | None, output: str | None) -> str:
    if given is not None:
        return given
    suffix = Path(output).suffix.lower().removeprefix(".") if output is not None else "json" if session().json else ""
    return suffix if suffix in ("csv", "json", "html") else "csv"
