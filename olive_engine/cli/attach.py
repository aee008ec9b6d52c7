"""``olive attach``."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import click

from olive_engine.cli.output import json_option, write_json
from olive_engine.cli.session import session

if TYPE_CHECKING:
    from olive_engine.detached_runs import DetachedRun


@click.command("attach", short_help="Come back to a run that was left while its jobs go on elsewhere.")
@click.argument("run", required=False)
@json_option
def command(run: str | None) -> None:
    """Come back to a run that was left while its jobs go on elsewhere.

    Without RUN, list the runs that were left.

    Ctrl-C in `olive run` offers to leave jobs on systems that do not need this process, such as Azure ML; a terminal
    that is closed does so without asking. RUN is the name that was then shown, or its beginning. The same command goes
    on in the folder where it was called, follows its jobs, and starts the steps that come after them.
    """
    from olive_engine.detached_runs import detached_run, detached_runs

    if run is None:
        _list(list(detached_runs()))
    else:
        _go_on(detached_run(run))


def _go_on(run: DetachedRun) -> None:
    from olive_engine.cli.run import command as run_command

    try:
        os.chdir(run.folder)
    except OSError as error:
        from olive_engine.errors import SystemUnavailable

        raise SystemUnavailable(
            f"the folder {run.folder}, where `{run.words}` was called, is not there: {error.strerror}"
        ) from error
    click.echo(f"{run.folder}: {run.words}", err=True)
    session().arguments = run.arguments
    root = click.get_current_context().find_root()
    as_json = ("--json",) if session().json and "--json" not in run.arguments else ()
    with run_command.make_context("run", [*run.arguments[1:], *as_json], parent=root) as context:
        run_command.invoke(context)


def _list(runs: list[DetachedRun]) -> None:
    if session().json:
        rows = [
            {
                **run.model_dump(mode="json", exclude={"jobs"}),
                "id": run.id,
                "jobs": [job.model_dump(mode="json") for job in run.going_on],
            }
            for run in runs
        ]
        write_json({"runs": rows})
        return
    for run in runs:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.detached))
        click.echo(f"{run.id}  left {when}, {'; '.join(map(str, run.going_on))}")
        click.echo(f"{' ' * len(run.id)}  {run.words}")
        click.echo(f"{' ' * len(run.id)}  in {run.folder}")
    click.echo("`olive attach RUN` comes back" if runs else "no run was left")
