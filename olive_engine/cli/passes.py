"""``olive passes``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from olive_engine.contracts import AnyPass


@click.command("passes", short_help="List the passes, or show one with its options.")
@click.argument("name", required=False)
def command(name: str | None) -> None:
    """List the passes, or show the one called NAME with its options."""
    from olive_engine import registry
    from olive_engine.cli.catalogue import show_catalogue, show_one, unknown

    if name is None:
        show_catalogue("pass", registry.passes())
    elif (cls := registry.find_pass(name)) is None:
        raise unknown("pass", name, registry.passes())
    else:
        show_one(cls.type, cls, cls.config_type, _facts(cls))


def _facts(cls: type[AnyPass]) -> Iterator[str]:
    from olive_engine.config.workflow import PassEntry

    takes = " or ".join(kind.__name__ for kind in cls.accepts)
    gives = " or ".join(kind.__name__ for kind in cls.produces)
    yield f"Takes {f'several models ({takes})' if cls.takes_many else takes}, gives {gives}."
    if cls.requires:
        yield f'Needs {", ".join(cls.requires)}: pip install "olive-engine[{cls.extra}]"'
    places = [name for name in PassEntry.model_fields if name not in ("type", "options")]
    yield f"Like every pass it also has {', '.join(places)}; `olive schema --pass {cls.type}` describes all."
