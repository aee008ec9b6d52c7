"""``olive shared-cache``: status, push, verify, remove."""

from __future__ import annotations

import re
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from olive_engine.cli.output import json_option, write_json
from olive_engine.cli.prompts import confirm
from olive_engine.cli.session import session
from olive_engine.cli.workflow import Choice, read_workflow

if TYPE_CHECKING:
    from olive_engine.config.workflow import Workflow
    from olive_engine.store.shared_contents import SharedContents
    from olive_engine.store.shared_upkeep import Holdings

_UNITS = {"h": 3_600.0, "d": 86_400.0, "w": 7 * 86_400.0}
_SHOWN = 20
"""How many damaged files are listed."""
_ENOUGH = 16
"""Characters of a key that are enough to name it."""

workflow_argument = click.argument("workflow", required=False)
url_option = click.option("--url", metavar="URL", help="The shared cache, where no workflow names it.")


@click.group("shared-cache", short_help="Look at a shared cache, fill it, check it, clean it up.")
def command() -> None:
    """Look at a shared cache, fill it, check it, clean it up.

    Machines that share a cache take results from it that one of them has computed. A workflow names it as
    `shared_cache`. It is safe to delete: everything in it can be computed once more.
    """


@command.command("status")
@workflow_argument
@url_option
@json_option
def status(workflow: str | None, url: str | None) -> None:
    """Say how much a shared cache holds."""
    from olive_engine.store.shared_upkeep import holdings

    there = _named(workflow, url)
    held = holdings(there)
    if session().json:
        write_json({"url": there.site.url, "records": held.records, "files": held.blobs, "file_bytes": held.size})
    else:
        click.echo(f"{there.site.url}: {_amount(held)}")


@command.command("push")
@click.argument("workflow")
@url_option
@json_option
def push(workflow: str, url: str | None) -> None:
    """Put there what the cache has of a workflow's steps.

    Nothing is computed. Steps that run code of yours, or of a model's, are not shared.
    """
    from olive_engine import planning
    from olive_engine.reporting import phrases
    from olive_engine.store import Store
    from olive_engine.store.shared_upkeep import push

    read = _read(workflow)
    there = _of(read, url)
    plan = planning.plan(read)
    done = {name: step for name, step in plan.steps.items() if step.record is not None}
    private = [name for name, step in done.items() if step.node.private]
    records = [step.record for name, step in done.items() if step.record is not None and name not in private]
    new = there.site.is_new
    sent = push(there, records, Store(read.base_dir / read.cache_dir))
    missing = len(plan.steps) - len(done)
    if session().json:
        counts = {"records": sent.records, "files": sent.blobs, "file_bytes": sent.size}
        write_json({"url": there.site.url, **counts, "private": private, "not_computed": missing})
        return
    files = f"{phrases.count(sent.blobs, 'file')} of {phrases.size(sent.size)}"
    click.echo(f"{there.site.url}: {phrases.count(sent.records, 'result')} put there, with {files}")
    if new and sent.records:
        click.echo("  the folder was not there, and was made")
    if here := len(records) - sent.records:
        click.echo(f"  {phrases.count(here, 'result')} left alone: there already, or not in this cache any more")
    for name in private:
        click.echo(f"  {name} is not shared: {plan.steps[name].node.private}")
    if missing:
        click.echo(f"  {phrases.count(missing, 'step')} without a result in this cache yet")


@command.command("verify")
@workflow_argument
@url_option
@json_option
def verify(workflow: str | None, url: str | None) -> None:
    """Read everything in a shared cache and compare it with its digests.

    Nothing is changed. The exit code is 1 if something is damaged.
    """
    from olive_engine.reporting import phrases
    from olive_engine.store.shared_upkeep import verify

    there = _named(workflow, url)
    found = verify(there)
    told = found.holdings
    if session().json:
        damaged = {"damaged": list(found.damaged), "affected": list(found.affected)}
        write_json({"url": there.site.url, "records": told.records, "files": told.blobs, **damaged})
    elif found.damaged or found.affected:
        click.echo(f"{there.site.url}: {len(found.damaged):,} damaged")
        _list(found.damaged)
        if found.affected:
            click.echo(f"{phrases.count(len(found.affected), 'result')} cannot be used:")
            _list(found.affected)
            click.echo(f"`{_removing(workflow, url, found.affected)}` removes what is of no use")
    else:
        results, files = phrases.count(told.records, "result"), phrases.count(told.blobs, "file")
        click.echo(f"{there.site.url}: {results} and {files} are intact")
    if found.damaged or found.affected:
        click.get_current_context().exit(1)


def _age(_context: click.Context, _parameter: click.Parameter, value: str | None) -> float | None:
    """Seconds."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([hdw]?)", value or "")
    if value is not None and match is None:
        raise click.BadParameter(f"expected an age such as 30d, 12h or 2w, found {value}")
    return float(match[1]) * _UNITS[match[2] or "d"] if match else None


@command.command("remove")
@click.argument("names", nargs=-1, metavar="[WORKFLOW] [KEY]...")
@url_option
@click.option("--older-than", "age", metavar="AGE", callback=_age, help="Results put there longer ago: 30d, 12h, 2w.")
@click.option("--all", "everything", is_flag=True, help="All results.")
@click.option("-y", "--yes", is_flag=True, help="Don't ask.")
@json_option
def remove(names: tuple[str, ...], url: str | None, age: float | None, *, everything: bool, yes: bool) -> None:
    """Remove results from a shared cache, by key, by age or all, and the files that no other result has.

    A KEY may be cut short, as long as it fits one result. With --url no WORKFLOW is named.
    """
    from olive_engine.reporting import phrases
    from olive_engine.store.shared_upkeep import chosen, remove

    workflow, keys = (None, names) if url is not None else (next(iter(names), None), names[1:])
    if sum((bool(keys), age is not None, everything)) != 1:
        raise click.UsageError("say what to remove: keys, --older-than AGE, or --all")
    there = _named(workflow, url)
    now = time.time()
    going = chosen(there, keys, None if age is None else now - age)
    what = phrases.count(len(going), "result")
    if not yes and (going or everything):
        if session().json or not sys.stdin.isatty():
            raise click.UsageError(f"this would remove {what} from {there.site.url}; say --yes")
        if not _agreed(f"Remove {what} from {there.site.url}?"):
            click.echo("nothing was removed", err=True)
            click.get_current_context().exit(1)
    gone = remove(there, going, now)
    if session().json:
        write_json({"url": there.site.url, "records": gone.records, "files": gone.blobs, "freed_bytes": gone.size})
    else:
        click.echo(f"{there.site.url}: {_amount(gone)} removed")


def _agreed(question: str) -> bool:
    """Whether the user says yes.

    Raises:
        click.UsageError: nobody answers.
        click.Abort: Ctrl-C.
    """
    try:
        return confirm(question, default=False)
    except click.Abort as stopped:
        if isinstance(stopped.__context__, EOFError):
            click.echo(err=True)
            raise click.UsageError("nobody answered; say --yes") from None
        raise


def _removing(workflow: str | None, url: str | None, keys: tuple[str, ...]) -> str:
    """What to type to remove results, as many as are listed."""
    named = [workflow] if workflow is not None else ["--url", str(url)]
    return shlex.join(["olive", "shared-cache", "remove", *named, *(key[:_ENOUGH] for key in keys[:_SHOWN])])


def _amount(held: Holdings) -> str:
    from olive_engine.reporting import phrases

    files = f"{phrases.count(held.blobs, 'file')} of {phrases.size(held.size)}"
    return f"{phrases.count(held.records, 'result')}, {files}"


def _list(names: tuple[str, ...]) -> None:
    for name in names[:_SHOWN]:
        click.echo(f"  {name}")
    if len(names) > _SHOWN:
        click.echo(f"  and {len(names) - _SHOWN:,} more")


def _read(workflow: str) -> Workflow:
    return read_workflow(Choice(workflow, (), (), None, None, None))


def _named(workflow: str | None, url: str | None) -> SharedContents:
    """The cache that the command line names.

    Raises:
        click.UsageError: it names none, or two.
    """
    if workflow is not None and url is not None:
        raise click.UsageError("name a workflow, or the cache with --url, not both")
    return _of(_read(workflow) if workflow is not None else None, url)


def _of(workflow: Workflow | None, url: str | None) -> SharedContents:
    from pydantic import ValidationError

    from olive_engine.config.shared_cache import SharedCacheConfig
    from olive_engine.store.shared_contents import SharedContents
    from olive_engine.store.shared_site import SharedSite

    if url is not None:
        try:
            return SharedContents(SharedSite(SharedCacheConfig(url=url), Path.cwd()))
        except ValidationError as error:
            raise click.UsageError(f"--url: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from None
    if workflow is None:
        raise click.UsageError("which shared cache? Name a workflow that has one, or its URL with --url")
    if workflow.shared_cache is None:
        raise click.UsageError("the workflow has no `shared_cache`; write its URL there, or name it with --url")
    return SharedContents(SharedSite(workflow.shared_cache, workflow.base_dir))
