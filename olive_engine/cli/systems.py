"""``olive systems``."""

from __future__ import annotations

import click

from olive_engine.cli.output import json_option


@click.command("systems", short_help="List the systems, or show one with its options.")
@click.argument("name", required=False)
@json_option
def command(name: str | None) -> None:
    """List the systems (places where steps run), or show the one called NAME with its options."""
    from olive_engine import registry
    from olive_engine.cli.catalogue import show_catalogue, show_one, unknown

    if name is None:
        show_catalogue("system", registry.systems())
    elif (cls := registry.find_system(name)) is None:
        raise unknown("system", name, registry.systems())
    else:
        show_one(cls.type, cls, cls.config_type, ())
