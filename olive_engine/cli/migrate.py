"""``olive migrate``."""

from __future__ import annotations

from pathlib import Path

import click

from olive_engine.cli.session import warn


@click.command("migrate", short_help="Write a workflow file in today's spelling.")
@click.argument("file", metavar="FILE")
@click.option("-o", "--output", metavar="NEW", help="Write to this file instead of the terminal.")
@click.option("--in-place", is_flag=True, help="Write over FILE itself.")
def command(file: str, output: str | None, *, in_place: bool) -> None:
    """Write a workflow file in today's spelling.

    It goes to the terminal, to another file, or over FILE itself. Order is kept, and in YAML comments too. What is written plans as the old file does. What was changed is told on
    stderr.
    """
    if output is not None and in_place:
        raise click.UsageError("either --output or --in-place, not both")

    from olive_engine.cli.workflow import grouped
    from olive_engine.config.diagnostics import render
    from olive_engine.config.migrate import migrate

    done = migrate(Path(file))
    for line in grouped(done.notices):
        warn(f"changed: {line}")
    if done.lacks:
        warn(render(done.lacks))
    if not done.keeps_comments:
        warn("warning: its comments could not be kept: anchors are used in ways that the new spelling does not allow")
    if not done.notices:
        warn(f"{file} is written in today's spelling already")
    if in_place or output is not None:
        target = Path(file if in_place else str(output))
        if done.notices or not in_place:
            new = target.with_name(f".{target.name}.new")
            new.write_text(done.text, encoding="utf-8")
            new.replace(target)  # at once: a full disk leaves the old file as it was
    else:
        click.echo(done.text, nl=False)
