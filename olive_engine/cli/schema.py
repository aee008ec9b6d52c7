"""``olive schema``."""

from __future__ import annotations

import click


@click.command("schema", short_help="Print the JSON Schema of the workflow file, or of one pass.")
@click.option("--pass", "name", metavar="NAME", help="The schema of this pass only.")
def command(name: str | None) -> None:
    """Print the JSON Schema of the workflow file, or of one pass, with everything that is installed here."""
    from olive_engine.config import schemas

    click.echo(schemas.text(schemas.workflow_schema() if name is None else schemas.pass_schema(name)), nl=False)
