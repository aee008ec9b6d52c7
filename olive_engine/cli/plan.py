"""``olive plan``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from olive_engine.cli.output import json_option, write_json
from olive_engine.cli.session import session, warn
from olive_engine.cli.workflow import Choice, read_draft, workflow_options

if TYPE_CHECKING:
    from olive_engine.config.draft import Draft
    from olive_engine.config.workflow import Workflow
    from olive_engine.errors import Problem


@click.command("plan", short_help="Show which steps would run, and why, and which are reused.")
@workflow_options
@json_option
@click.option("--all", "show_all", is_flag=True, help="List every step of a long plan.")
def command(choice: Choice, *, show_all: bool) -> None:
    """Show which steps would run, and why, and which are reused.

    Nothing is run, and no network is asked.
    """
    show_plan(read_draft(choice), show_all=show_all)


def show_plan(draft: Draft, *, show_all: bool = False) -> None:
    """Print the plan, and on stderr what speaks against running it here and now."""
    from olive_engine import planning
    from olive_engine.config.diagnostics import render
    from olive_engine.preflight import as_warnings
    from olive_engine.reporting.plan import MOST_LINES, notes_lines, plan_heading, plan_table
    from olive_engine.reporting.tables import show, width_of

    workflow = draft.raise_if_wrong()
    searched = describe_search(draft, workflow)
    plan = planning.plan(workflow)
    told = {(problem.path, problem.what) for problem in draft.problems}
    doubts = as_warnings(located(draft, planning.preflight(workflow, plan)))
    doubts = tuple(problem for problem in doubts if (problem.path, problem.what) not in told)
    if doubts:
        warn(render(doubts))
    steps = planning.planned_steps(plan)
    notes = planning.notes(workflow, plan)
    if session().json:
        from olive_engine.reporting.jsonl import fields_to_json, to_json

        rows = [{**fields_to_json(step), "key": plan.steps[step.step].key} for step in steps]
        amounts = {"run": len(plan.to_run), "reuse": len(steps) - len(plan.to_run)}
        systems = {name: [line for note in said for line in note.splitlines()] for name, said in notes.items()}
        told_of = {"systems": systems, "search": searched, "warnings": to_json(doubts)}
        write_json({"steps": rows, **amounts, **told_of})
    else:
        click.secho(plan_heading(steps, "One trial" if searched else "Plan"), bold=True)
        show(plan_table(steps, len(steps) if show_all else MOST_LINES), sys.stdout)
        for line in (*searched, *notes_lines(notes, width_of(sys.stdout))):
            click.echo(line)


def describe_search(draft: Draft, workflow: Workflow) -> list[str]:
    """What would be tried, of which the plan shows one trial; nothing if nothing is searched.

    Raises:
        InvalidWorkflow: there is nothing to judge trials by.
    """
    from olive_engine.search.searched import searches

    if not searches(workflow):
        return []
    from olive_engine.errors import InvalidWorkflow
    from olive_engine.search.outlook import describe_sweep

    try:
        return describe_sweep(workflow)
    except InvalidWorkflow as error:
        raise InvalidWorkflow(located(draft, error.problems)) from None


def located(draft: Draft, problems: Sequence[Problem]) -> tuple[Problem, ...]:
    """Problems that were found on a machine, with the place in the file that they are about, if one is."""
    from olive_engine.config.tree import find

    written = [find(draft.root, problem.path[:1]) is not None if draft.root else False for problem in problems]
    return tuple(
        replace(problem, position=problem.position or draft.locate(problem.path)) if known else problem
        for problem, known in zip(problems, written, strict=True)
    )
