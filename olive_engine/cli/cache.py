"""``olive cache``: list, size, verify, gc."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from olive_engine.cli.output import json_option, write_json
from olive_engine.cli.session import session

if TYPE_CHECKING:
    from olive_engine.store import Store

DEFAULT = ".olive-cache"
"""The same as a workflow's `cache_dir` (a test compares them)."""
DAY = 86_400.0

folder_option = click.option(
    "--cache-dir", "folder", metavar="FOLDER", default=DEFAULT, show_default=True, help="The cache to look at."
)


@click.group("cache", short_help="Look at the cache, check it, clean it up.")
def command() -> None:
    """Look at the cache, check it, clean it up.

    The cache keeps the result of every step, so that no run computes it again. It is safe to delete: everything in it
    can be computed once more.
    """


@command.command("list")
@folder_option
@json_option
def list_(folder: str) -> None:
    """List the results in the cache, the newest first."""
    from olive_engine.reporting import phrases
    from olive_engine.reporting.tables import Cell, Column, Table, show

    records = [record for _, record in _open(folder).records.each() if record is not None]
    records.sort(key=lambda record: -record.provenance.started)
    sizes = [record.size for record in records]
    if session().json:
        rows = [
            {
                "key": record.key,
                "step": record.step,
                "kind": record.kind,
                "type": record.type,
                "started": record.provenance.started,
                "seconds": record.provenance.seconds,
                "size": size,
            }
            for record, size in zip(records, sizes, strict=True)
        ]
        write_json({"records": rows})
        return
    columns = ("step", "what", "made", "took", "size", "key")
    cells = [
        (
            Cell(record.step),
            Cell(record.type or record.kind),
            Cell(time.strftime("%Y-%m-%d %H:%M", time.localtime(record.provenance.started))),
            Cell(phrases.duration(record.provenance.seconds)),
            Cell(phrases.size(size) if size else ""),
            Cell(record.key[:12], "dim"),
        )
        for record, size in zip(records, sizes, strict=True)
    ]
    right = ("took", "size")
    titles = tuple(Column(title, "right" if title in right else "left") for title in columns)
    show(Table(titles, tuple(cells), "" if cells else "the cache is empty"), sys.stdout)


@command.command("size")
@folder_option
@json_option
def size(folder: str) -> None:
    """Say how much the cache holds."""
    from olive_engine.reporting import phrases

    usage = _open(folder).usage()
    if session().json:
        write_json(
            {
                "records": usage.records,
                "files": usage.blobs,
                "file_bytes": usage.blob_bytes,
                "checkpoint_bytes": usage.state_bytes,
            }
        )
        return
    checkpoints = f", and {phrases.size(usage.state_bytes)} of checkpoints" if usage.state_bytes else ""
    results, files = phrases.count(usage.records, "result"), phrases.count(usage.blobs, "file")
    click.echo(f"{folder}: {results} in {files} of {phrases.size(usage.blob_bytes)}{checkpoints}")


@command.command("verify")
@folder_option
@json_option
def verify(folder: str) -> None:
    """Read everything in the cache and compare it with its digests.

    What is damaged is moved away and will be computed again when it is needed; the exit code is then 1.
    """
    from olive_engine.reporting import phrases

    store = _open(folder)
    checked = store.usage()
    damaged = store.verify()
    if session().json:
        write_json({"records": checked.records, "files": checked.blobs, "damaged": damaged})
    elif damaged:
        click.echo(f"{folder}: {len(damaged):,} damaged, moved away; the steps that need them will run again:")
        for digest in damaged:
            click.echo(f"  {digest}")
    else:
        results, files = phrases.count(checked.records, "result"), phrases.count(checked.blobs, "file")
        click.echo(f"{folder}: {results} and {files} are intact")
    if damaged:
        click.get_current_context().exit(1)


@command.command("gc")
@folder_option
@json_option
@click.option(
    "--older-than",
    "days",
    type=click.FloatRange(min=0),
    default=30.0,
    show_default=True,
    metavar="DAYS",
    help="Remove what no run has used for so many days; 0 removes everything.",
)
@click.option("--dry-run", is_flag=True, help="Only say how much would be freed.")
def gc(folder: str, days: float, *, dry_run: bool) -> None:
    """Remove results that no run has used for a while, and what is left over from broken runs.

    Job folders of killed runs go at once, but for those of jobs that may still run elsewhere.
    """
    from olive_engine.reporting import phrases

    freed = _open(folder).collect_garbage(days * DAY, dry_run=dry_run)
    if session().json:
        write_json({"freed_bytes": freed, "dry_run": dry_run})
    else:
        click.echo(f"{folder}: {phrases.size(freed)} {'would be freed' if dry_run else 'freed'}")


def _open(folder: str) -> Store:
    """The store in that folder.

    Raises:
        click.UsageError: there is none; a wrong name must not look like an empty cache.
    """
    from olive_engine.store import Store

    if not any((Path(folder) / name).is_dir() for name in ("records", "jobs")):
        raise click.UsageError(f"there is no cache in {folder}; name its folder with --cache-dir")
    return Store(Path(folder))
