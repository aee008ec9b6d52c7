"""``olive why``."""

from __future__ import annotations

from dataclasses import replace

import click

from olive_engine.cli.output import json_option, write_json
from olive_engine.cli.session import session, warn
from olive_engine.cli.workflow import Choice, read_workflow, workflow_options


@click.command("why", short_help="Say why a step would run.")
@workflow_options
@click.argument("step", required=False)
@json_option
def command(choice: Choice, step: str | None) -> None:
    """Say why STEP would run: what its result depends on that has changed since it last ran.

    STEP is a name that `olive plan` shows: a pass, `data:` and a data config, or a model and a metric with a colon
    between them.
    """
    if choice.configs and step is None:  # with --config, the one argument is the step
        choice, step = replace(choice, config=None), choice.config
    if step is None:
        name = click.get_current_context().command_path
        raise click.UsageError(f"which step? Write `{name} workflow.yaml STEP`; `olive plan` shows the steps")
    workflow = read_workflow(choice)

    from olive_engine import planning
    from olive_engine.search.searched import searches

    if searches(workflow):
        warn("note: this is about one trial of the search, with the searched options as the passes have them")
    planned = planning.step_of(workflow, step)
    reasons = planned.reasons
    if session().json:
        write_json(
            {"step": step, "action": "run" if reasons else "reuse", "reasons": list(reasons), "source": planned.source}
        )
    elif planned.source:
        click.echo(f"{step} would be reused: its result is in the shared cache {planned.source}")
    elif not reasons:
        click.echo(f"{step} would be reused: nothing that it depends on has changed")
    else:
        click.echo(f"{step} would run:")
        for reason in reasons:
            click.echo(f"  {reason}")
