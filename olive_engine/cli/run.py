"""``olive run``."""

from __future__ import annotations

import sys
from dataclasses import replace

import click

from olive_engine.cli.output import json_option, write_json
from olive_engine.cli.session import session, warn
from olive_engine.cli.workflow import Choice, read_workflow, workflow_options


@click.command(
    "run",
    short_help="Run a workflow and write its final models.",
    epilog="Exit codes: 0 done, 1 a step failed, 2 the workflow is wrong and nothing ran, 130 interrupted.",
)
@workflow_options
@json_option
@click.option("--debug", is_flag=True, help="Run one step at a time in this process, with tracebacks and all messages.")
def command(choice: Choice, *, debug: bool) -> None:
    """Run a workflow and write its final models.

    What is in the cache is reused, the rest is computed. Finished steps are kept: after a failure or Ctrl-C the same
    command goes on from there.
    """
    if debug and choice.log_level is None:
        choice = replace(choice, log_level="debug")
    session().tracebacks |= debug
    workflow = read_workflow(choice)

    from olive_engine import api
    from olive_engine.cli.run_report import as_json, missed_goals, scores
    from olive_engine.config.workflow import INPUT_MODEL
    from olive_engine.reporting.console import console
    from olive_engine.reporting.jsonl import JsonLines
    from olive_engine.reporting.levels import WARNING
    from olive_engine.reporting.results import result_table
    from olive_engine.reporting.tables import show

    with JsonLines(sys.stdout) if session().json else console(sys.stdout, workflow.log_severity_level) as reporter:
        result = api.run(workflow, reporter, debug=debug)
    if session().json:
        write_json(as_json(result), line=True)
    elif workflow.log_severity_level <= WARNING:
        models, columns = scores(workflow, result)
        if models:
            click.echo()
            show(result_table(models, columns, INPUT_MODEL), sys.stdout)
        for goal in missed_goals(result):
            warn(f"goal missed: {goal}")
