"""``olive migrate``."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import click

from olive_engine.cli.session import warn

if TYPE_CHECKING:
    from olive_engine.config.migrate import Migrated
    from olive_engine.errors import Problem

_FILES_OF_A_MODEL = ("model_path", "adapter_path")
"""What may well be on another machine than the file that is migrated."""


@click.command("migrate", short_help="Write a workflow file in today's spelling.")
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option("-o", "--output", metavar="NEW", help="Write to this file; its suffix says whether JSON or YAML.")
@click.option("--in-place", is_flag=True, help="Write over each FILE itself.")
@click.option("--check", is_flag=True, help="Write nothing; exit code 1 if a FILE has an older spelling.")
def command(files: tuple[str, ...], output: str | None, *, in_place: bool, check: bool) -> None:
    """Write a workflow file in today's spelling.

    It goes to the terminal, to another file, or over FILE itself; several files only over themselves. What needs no
    change stays as it is, with comments, order and blanks. Values such as ${env:NAME} are kept. What was changed is
    told on stderr, and what is wrong with the workflow beside its spelling. Exit code 2 if something in it has no place
    in a workflow today.
    """
    if (output is not None) + in_place + check > 1:
        raise click.UsageError("--output, --in-place and --check exclude each other")
    if len(files) > 1 and not (in_place or check):
        raise click.UsageError("several files are migrated with --in-place or --check only")

    from olive_engine.config.migrate import migrate

    targets = [Path(name if in_place or output is None else output) for name in files]
    done = [migrate(Path(name), target) for name, target in zip(files, targets, strict=True)]
    for name, target, each in zip(files, targets, done, strict=True):
        _tell(name, each, "to change" if check else "changed")
        if in_place or output is not None:
            _write(target, each, force=output is not None)
        elif not check:
            click.echo(each.text, nl=False)
        _tell_what_remains(Path(name) if output is None else target, each)
    if any(each.refused for each in done):
        raise click.exceptions.Exit(2)
    if check and any(each.is_changed for each in done):
        raise click.exceptions.Exit(1)


def _tell(name: str, done: Migrated, word: str) -> None:
    """What is spelt otherwise, a line for each kind of it."""
    from olive_engine.cli.workflow import grouped

    for line in grouped(done.notices if done.is_changed else ()):
        click.echo(f"{word}: {line}", err=True)
    if not done.is_changed:
        said = "nothing to change" if done.refused else "written in today's spelling already"
        click.echo(f"{name}: {said}", err=True)
    if not done.keeps_comments:
        warn(f"warning: {name}: its comments are lost in this form")


def _write(target: Path, done: Migrated, *, force: bool) -> None:
    """Replace the file at once: whatever happens, it is either the old one or the new one."""
    from olive_engine.errors import InvalidWorkflow, Position, Problem

    if not (done.is_changed or force):
        return
    if not (done.keeps_comments or force):
        hint = "write it to another file with --output"
        raise InvalidWorkflow((Problem((), "its comments would be lost", hint, Position(str(target), 0, 0)),))
    file = Path(os.path.realpath(target))  # a link stays one
    new = file.with_name(f".{file.name}.new")
    try:
        with new.open("wb") as stream:
            stream.write(done.text.encode())
            stream.flush()
            os.fsync(stream.fileno())
        if file.exists():
            shutil.copymode(file, new)
        new.replace(file)
    finally:
        new.unlink(missing_ok=True)
    click.echo(f"wrote {target}")


def _tell_what_remains(file: Path, done: Migrated) -> None:
    """What is wrong beside spelling: passes and systems that are not here, for instance. Files may be elsewhere."""
    from olive_engine.config.diagnostics import render

    problems: tuple[Problem, ...] = (*done.refused, *done.lacks)
    if done.is_whole:
        from olive_engine.config.draft import read

        places = [("input_model", name) for name in _FILES_OF_A_MODEL]
        problems = tuple(problem for problem in read([file]).problems if problem.path[:2] not in places)
    if problems:
        warn(f"what remains to be seen to, as `olive validate {file}` tells it:")
        warn(render(problems))
