"""``olive plan``."""

from __future__ import annotations

import sys

import click

from olive_engine.cli.output import json_option, write_json
from olive_engine.cli.session import session, warn
from olive_engine.cli.workflow import Choice, read_workflow, workflow_options


@click.command("plan", short_help="Show which steps would run, and why, and which would be reused.")
@workflow_options
@json_option
@click.option("--all", "show_all", is_flag=True, help="List every step of a long plan.")
def command(choice: Choice, *, show_all: bool) -> None:
    """Show which steps would run, and why, and which would be reused.

    Nothing is run, and no network is asked.
    """
    workflow = read_workflow(choice)

    from olive_engine import api
    from olive_engine.reporting.jsonl import fields_to_json
    from olive_engine.reporting.plan import MOST_LINES, plan_heading, plan_table
    from olive_engine.reporting.tables import show

    plan = api.plan(workflow)
    for problem in api.lacking(plan):
        warn(f"warning: {problem}")
    steps = api.planned_steps(plan)
    if session().json:
        rows = [{**fields_to_json(step), "key": plan.steps[step.step].key} for step in steps]
        write_json({"steps": rows, "run": len(plan.to_run), "reuse": len(steps) - len(plan.to_run)})
    else:
        click.secho(plan_heading(steps), bold=True)
        show(plan_table(steps, len(steps) if show_all else MOST_LINES), sys.stdout)
