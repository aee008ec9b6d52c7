"""``olive validate``."""

from __future__ import annotations

import click

from olive_engine.cli.output import json_option, write_json
from olive_engine.cli.plan import describe_search
from olive_engine.cli.session import session
from olive_engine.cli.workflow import Choice, read_draft, workflow_options


@click.command("validate", short_help="Check a workflow file; show everything that is wrong with it.")
@workflow_options
@json_option
def command(choice: Choice) -> None:
    """Check a workflow file; show everything that is wrong with it.

    Every problem is shown at once, with its line. Nothing is run, and no network is asked. Exit code 2 if there is an
    error.
    """
    draft = read_draft(choice)
    workflow = draft.raise_if_wrong()
    searched = len(workflow.search_space) + len(workflow.alternatives) if describe_search(draft, workflow) else 0
    if session().json:
        from olive_engine.reporting.jsonl import to_json

        write_json({"valid": True, "problems": to_json(draft.problems), "notices": to_json(draft.notices)})
        return
    amounts = [
        _count(len(workflow.passes), "pass", "passes"),
        _count(len(workflow.data_configs), "data config", "data configs"),
        _count(len(workflow.evaluators), "evaluator", "evaluators"),
        _count(searched, "searched option", "searched options"),
    ]
    click.echo(f"{choice.config or ' + '.join(choice.configs)} is valid: {', '.join(filter(None, amounts))}")


def _count(amount: int, one: str, many: str) -> str:
    return f"{amount} {one if amount == 1 else many}" if amount else ""
