"""``olive run``."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from olive_engine.cli.interrupts import WAYS, Interrupts
from olive_engine.cli.output import json_option, write_json
from olive_engine.cli.plan import located, show_plan
from olive_engine.cli.session import session, warn
from olive_engine.cli.workflow import Choice, read_draft, words_of, workflow_options
from olive_engine.reporting.levels import LEVELS

if TYPE_CHECKING:
    from olive_engine.config.draft import Draft
    from olive_engine.config.workflow import Workflow
    from olive_engine.installation import Needed

_SPELLINGS = {
    "run-config": "config",
    "output-path": "output-dir",
    "packages": "list-required-packages",
    **{str(number): name for name, number in LEVELS.items()},
}
"""How Olive's `run` calls these options and log levels -> how they are called here."""


def _spelling(word: str) -> str:
    """An option's name as it is here: Olive writes some with underscores, and some otherwise."""
    word = word.replace("_", "-")
    return _SPELLINGS.get(word, word)


@click.command(
    "run",
    short_help="Run a workflow and write its final models.",
    epilog="Exit codes: 0 done, 1 a step failed, 2 the workflow is wrong and nothing ran, 130 interrupted; "
    "with --setup, pip's own.",
    context_settings={"token_normalize_func": _spelling},
)
@workflow_options
@json_option
@click.option(
    "--debug",
    is_flag=True,
    help="Run steps of a LocalSystem one at a time in this process; show tracebacks and all messages.",
)
@click.option("--dry-run", is_flag=True, help="Show what would run, as `olive plan` does, and run nothing.")
@click.option(
    "--setup", is_flag=True, help="Install what the workflow needs in this Python environment, and run nothing."
)
@click.option(
    "--list-required-packages",
    "list_packages",
    is_flag=True,
    help="Print what the workflow needs in this environment, as a requirements file for pip, and run nothing.",
)
@click.option(
    "--on-interrupt",
    type=click.Choice(WAYS),
    default=WAYS[0],
    help="What becomes, at Ctrl-C, of jobs that can go on elsewhere; where nobody can be asked they are cancelled.",
)
def command(choice: Choice, *, debug: bool, dry_run: bool, setup: bool, list_packages: bool, on_interrupt: str) -> None:
    """Run a workflow and write its final models.

    What is in the cache is reused, the rest is computed. Finished steps are kept: after a failure or Ctrl-C the same
    command goes on from there. So it is with a workflow that searches: `olive sweep` shows how far the search is.
    """
    chosen = {"--dry-run": dry_run, "--setup": setup, "--list-required-packages": list_packages}
    if sum(chosen.values()) > 1:
        raise click.UsageError(f"only one of {' and '.join(name for name, given in chosen.items() if given)} at a time")
    if debug and choice.log_level is None:
        choice = replace(choice, log_level="debug")
    session().tracebacks |= debug
    session().own_tracebacks |= debug
    draft = read_draft(choice, to_run=not any(chosen.values()))
    workflow = draft.raise_if_wrong()
    if dry_run:
        show_plan(draft)
    elif setup:
        _setup(workflow)
    elif list_packages:
        _list_packages(workflow)
    else:
        _run(workflow, draft, choice, debug=debug, on_interrupt=on_interrupt)


def _run(workflow: Workflow, draft: Draft, choice: Choice, *, debug: bool, on_interrupt: str) -> None:
    from olive_engine import api, detached_runs
    from olive_engine.cli.run_report import as_json, missed_goals, scores
    from olive_engine.config.workflow import INPUT_MODEL
    from olive_engine.errors import Interrupted, InvalidWorkflow
    from olive_engine.reporting.console import console
    from olive_engine.reporting.jsonl import JsonLines
    from olive_engine.reporting.levels import WARNING
    from olive_engine.reporting.results import result_table
    from olive_engine.reporting.tables import show

    if debug:
        _tell_out_of_reach(workflow)
    try:
        with JsonLines(sys.stdout) if session().json else console(sys.stdout, workflow.log_severity_level) as reporter:
            interrupts = Interrupts(on_interrupt, reporter)
            with interrupts.watching():
                result = api.run(workflow, interrupts.reporter, debug=debug, detach=interrupts.detach)
    except Interrupted as stopped:
        if stopped.left:
            try:
                session().left_as = detached_runs.remember(session().arguments, stopped.left).id
            except OSError as error:
                warn(f"`olive attach` will not know of this run: {error}")
        raise
    except InvalidWorkflow as error:  # found on the machine, but caused by a line of the file
        raise InvalidWorkflow(located(draft, error.problems)) from None
    detached_runs.forget(detached_runs.run_id(session().arguments, Path.cwd()))
    if session().json:
        write_json(as_json(result), line=True)
    elif workflow.log_severity_level <= WARNING:
        models, columns = scores(workflow, result)
        if models:
            click.echo()
            show(result_table(models, columns, INPUT_MODEL), sys.stdout)
        for goal in missed_goals(result):
            warn(f"goal missed: {goal}")
        if result.sweep is not None:
            from olive_engine.cli.sweep_report import show_result

            show_result(workflow, result.sweep, session().program, words_of(choice))


def _tell_out_of_reach(workflow: Workflow) -> None:
    """Say which steps do not run in this process, though `--debug` is given."""
    from olive_engine import installation
    from olive_engine.reporting.phrases import count

    for system, steps in installation.needed(workflow).elsewhere.items():
        runs = "runs" if steps == 1 else "run"
        warn(
            f"--debug: {count(steps, 'step')} {runs} on {system}, where no debugger reaches; only steps of a "
            "LocalSystem run in this process, one at a time"
        )


def _setup(workflow: Workflow) -> None:
    """Install what is lacking; pip's exit code is ours."""
    from olive_engine import installation
    from olive_engine.reporting.phrases import count
    from olive_engine.requirements import pip_line

    needed = installation.needed(workflow)
    lacking = installation.lacking(needed.here)
    _tell_elsewhere(needed)
    code = 0
    if lacking:
        installation.check_installable()
        output = sys.stderr if session().json else sys.stdout
        click.echo(pip_line((), lacking), file=output)
        code = installation.install(lacking, output)
    elif not session().json:
        here = " here" if needed.elsewhere else ""
        what = f"the workflow needs {count(len(needed.here), 'package')}{here}, and all is installed"
        click.echo(f"nothing is missing: {what}")
    if session().json:
        write_json({**_as_json(needed), "missing": [str(each) for each in lacking], "pip": code})
    click.get_current_context().exit(code)


def _list_packages(workflow: Workflow) -> None:
    from olive_engine import installation

    needed = installation.needed(workflow)
    _tell_elsewhere(needed)
    if session().json:
        write_json(_as_json(needed))
    else:
        for each in needed.here:
            click.echo(str(each))


def _tell_elsewhere(needed: Needed) -> None:
    """Say on stderr, apart from the requirements, which steps they are not for."""
    from olive_engine.reporting.phrases import count

    for system, steps in needed.elsewhere.items() if not session().json else ():
        runs = "runs" if steps == 1 else "run"
        click.echo(
            f"left out: {count(steps, 'step')} {runs} on {system}, which has an environment of its own", err=True
        )


def _as_json(needed: Needed) -> dict[str, object]:
    return {"required": [str(each) for each in needed.here], "elsewhere": dict(needed.elsewhere)}
