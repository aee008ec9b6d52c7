"""What one call of the command line knows of itself, and how it tells an error."""

from __future__ import annotations

import json
import os
import shlex
import sys
import traceback
from dataclasses import dataclass

import click

from olive_engine.errors import Interrupted, InvalidWorkflow, PassFailed, WorkflowError


@dataclass(slots=True)
class Session:
    """How the command was called, and what its options say about errors. Commands set the others."""

    program: str
    arguments: tuple[str, ...]
    json: bool = False
    tracebacks: bool = False
    own_tracebacks: bool = False
    """Also for what is told in a sentence of ours: asked for on the command line, and not by a workflow's log level."""
    left_as: str = ""
    """What `olive attach` calls the run, if it was left."""

    @property
    def command_line(self) -> str:
        """What to type to do the same again."""
        return f"{self.program} {shlex.join(self.arguments)}"


def session() -> Session:
    """The session of the command that is running."""
    found: Session = click.get_current_context().find_root().obj
    return found


def describe_error(error: BaseException, session: Session) -> int:
    """Tell an error on stderr, with ``--json`` also as an object on stdout, and return the exit code."""
    told_without = isinstance(error, Interrupted | InvalidWorkflow | PassFailed)
    wanted = session.own_tracebacks if isinstance(error, WorkflowError) else session.tracebacks
    if wanted and not told_without:
        click.secho("".join(traceback.format_exception(error)).rstrip(), err=True, dim=True, color=_color())
    if isinstance(error, InvalidWorkflow):
        from olive_engine.config.diagnostics import render

        click.echo(render(error.problems), err=True)
        if session.arguments[:1] == ("run",):
            _error("nothing was run")
    elif isinstance(error, Interrupted):
        click.echo(err=True)
        _tell_interrupted(error, session)
    elif isinstance(error, PassFailed):
        for failure in error.failures:
            _error(str(failure))
        if not session.tracebacks and any(failure.traceback for failure in error.failures):
            click.echo("       --log-level debug shows the traceback", err=True)
    elif isinstance(error, WorkflowError):
        _error(str(error))
    elif isinstance(error, OSError) and error.strerror:
        _error(f"{error.filename}: {error.strerror}" if error.filename else error.strerror)
    else:
        _error(f"unexpected {type(error).__name__}: {error}; --log-level debug shows the traceback")
    if session.json:
        sys.stdout.write(json.dumps(_as_json(error, session), ensure_ascii=False) + "\n")
        sys.stdout.flush()
    return error.exit_code if isinstance(error, WorkflowError) else 1


def _tell_interrupted(error: Interrupted, session: Session) -> None:
    if not error.left:
        _error("interrupted; finished steps are kept, and this goes on from there:")
        click.echo(f"  {session.command_line}", err=True)
        return
    click.echo("detached; finished steps are kept, and these jobs go on:", err=True)
    for job in error.left:
        click.echo(f"  {job}", err=True)
    click.echo("come back to them with:", err=True)
    again = f"{session.program} attach {session.left_as}" if session.left_as else session.command_line
    click.echo(f"  {again}", err=True)


def warn(text: str) -> None:
    """Say something on stderr that stops nothing."""
    click.secho(text, err=True, fg="yellow", color=_color())


def _error(text: str) -> None:
    click.secho(f"error: {text}", err=True, fg="red", color=_color())


def _color() -> bool | None:
    """None leaves it to click: colour on a terminal. https://no-color.org is honoured here, as rich does."""
    return False if os.environ.get("NO_COLOR") else None


def _as_json(error: BaseException, session: Session) -> dict[str, object]:
    told: dict[str, object] = {"event": "error", "type": type(error).__name__, "message": str(error)}
    from olive_engine.reporting.jsonl import to_json

    if isinstance(error, InvalidWorkflow):
        told["valid"] = False
        told["problems"] = to_json(error.problems)
    elif isinstance(error, Interrupted) and error.left:
        told["left"] = to_json(error.left)
        told["attach"] = session.left_as
    elif isinstance(error, PassFailed):
        told["failures"] = to_json(error.failures)
    return told
