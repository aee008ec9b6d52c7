"""``olive environments``: list, remove, wheel."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from olive_engine.cli.output import json_option, write_json
from olive_engine.cli.session import session

if TYPE_CHECKING:
    from olive_engine.environments import Environments, Made

SHOWN = 12
"""Characters of an environment's id that are shown, and are enough to name it."""
UNITS = {"d": 86_400.0, "h": 3_600.0}
"""Seconds."""


@click.group("environments", short_help="Look at the environments that olive has made, remove them.")
def command() -> None:
    """Look at the environments that olive has made, remove them.

    A system of type PythonEnvironment with `requirements` has its environment made once, and kept for every workflow
    that asks for the same. What is removed is made again when it is needed.
    """


@command.command("list")
@json_option
def list_() -> None:
    """List them, the last used first."""
    from olive_engine.environments import Environments
    from olive_engine.reporting import phrases
    from olive_engine.reporting.tables import Cell, Column, Table, show

    kept = Environments()
    found = [(made, kept.size(made), kept.used(made)) for made in kept.all()]
    if session().json:
        rows = [
            {**made.model_dump(), "id": made.id, "size": size, "used": used, "folder": str(kept.folder(made.key))}
            for made, size, used in found
        ]
        write_json({"environments": rows, "unfinished": [str(folder) for folder in kept.unfinished()]})
        return
    columns = (Column("id"), Column("python"), Column("size", "right"), Column("last used"), Column("requirements"))
    cells = tuple(
        (
            Cell(made.id[:SHOWN]),
            Cell(made.python),
            Cell(phrases.size(size)),
            Cell(time.strftime("%Y-%m-%d %H:%M", time.localtime(used))),
            Cell(", ".join(made.requirements) or "olive-engine alone"),
        )
        for made, size, used in found
    )
    show(Table(columns, cells, f"they are in {kept.root}" if cells else "there are none"), sys.stdout)
    if left := len(kept.unfinished()):
        click.echo(f"{phrases.count(left, 'folder')} of environments that were never finished; any `remove` frees them")


@command.command("remove")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--all", "everything", is_flag=True, help="Remove all of them.")
@click.option(
    "--older-than",
    "age",
    metavar="AGE",
    callback=lambda _context, _parameter, value: _seconds(value),
    help="Remove those not used for so long: 30d, 12h; a bare number means days.",
)
@click.option("--forget", is_flag=True, help="Forget which packages they hold: the newest that fit come next.")
@json_option
def remove(ids: tuple[str, ...], age: float | None, *, everything: bool, forget: bool) -> None:
    """Remove environments: those named, all, or those that no run has used for a while.

    The next run that needs one makes it again, of the same packages; with --forget, of the newest that fit its
    requirements. --all --forget forgets those of environments that were removed before, too. One that a run uses is
    left alone, and the exit code is then 1.
    """
    from olive_engine.environments import Environments
    from olive_engine.errors import SystemUnavailable
    from olive_engine.reporting import phrases

    if sum((bool(ids), everything, age is not None)) != 1:
        raise click.UsageError("say which: IDs as `olive environments list` shows them, --all, or --older-than AGE")
    kept = Environments()
    before = time.time() - (age or 0.0)
    chosen = [_named(kept, each) for each in ids] if ids else [made for made in kept.all() if kept.used(made) <= before]
    freed, left = 0, []
    for made in dict.fromkeys(chosen):
        size = kept.size(made)
        try:
            kept.remove(made, forget=forget)
        except SystemUnavailable as error:
            left.append(str(error))
        else:
            freed += size
    kept.remove_unfinished()
    if everything and forget:
        kept.forget_unmade()
    removed = len(set(chosen)) - len(left)
    if session().json:
        write_json({"removed": removed, "freed_bytes": freed, "left": left})
    else:
        for each in left:
            click.echo(each, err=True)
        click.echo(f"{phrases.count(removed, 'environment')} removed, {phrases.size(freed)} freed")
    if left:
        click.get_current_context().exit(1)


@command.command("wheel")
@click.option("--into", "folder", default=".", show_default=True, metavar="FOLDER", help="Where it is written.")
@json_option
def wheel(folder: str) -> None:
    """Pack the olive-engine that runs here as a wheel, to install the same code in an environment of your own."""
    from olive_engine.own_wheel import build_wheel

    path = build_wheel(Path(folder))
    if session().json:
        write_json({"wheel": str(path)})
    else:
        click.echo(str(path))


def _seconds(age: str | None) -> float | None:
    """A length of time: ``30d``, ``12h``.

    Raises:
        click.BadParameter: it is none.
    """
    if age is None:
        return None
    number, unit = (age[:-1], UNITS[age[-1]]) if age[-1:] in UNITS else (age, UNITS["d"])
    try:
        seconds = float(number) * unit
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise click.BadParameter(f"expected a number of days or hours such as 30d or 12h, found `{age}`")
    return seconds


def _named(kept: Environments, name: str) -> Made:
    """The environment whose id begins so.

    Raises:
        click.UsageError: none does, or several.
    """
    found = [made for made in kept.all() if made.id.startswith(name)]
    if len(found) != 1:
        many = f"{len(found)} environments have an id that begins with {name}; write more of it"
        none = f"no environment has an id that begins with {name}; `olive environments list` shows them"
        raise click.UsageError(many if found else none)
    return found[0]
