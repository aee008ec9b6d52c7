"""``olive passes``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import click

from olive_engine.cli.output import json_option

if TYPE_CHECKING:
    from pydantic import JsonValue

    from olive_engine.contracts import AnyPass


@click.command("passes", short_help="List the passes, or show one with its options.")
@click.argument("name", required=False)
@json_option
def command(name: str | None) -> None:
    """List the passes, or show the one called NAME with its options."""
    from olive_engine import registry
    from olive_engine.cli.catalogue import show_catalogue, show_one, unknown

    known = registry.passes()
    if name is None:
        show_catalogue("pass", known, data={each: _data(cls) for each, cls in known.items()}, headings=_headings(known))
    elif (cls := registry.find_pass(name)) is None:
        raise unknown("pass", name, known)
    else:
        from olive_engine.reporting.commented_yaml import commented_yaml
        from olive_engine.reporting.examples import entry, slot_name

        given = entry(cls)
        example = commented_yaml({"passes": {slot_name(cls.type): given}})
        data = {**_data(cls), "example": given}
        show_one(cls.type, cls, cls.config_type, _facts(cls), example=example, data=data)


def _data(cls: type[AnyPass]) -> Mapping[str, JsonValue]:
    return {
        "takes": [kind.__name__ for kind in cls.accepts],
        "takes_several": cls.takes_many,
        "gives": [kind.__name__ for kind in cls.produces],
        "requires": [*cls.requires],
        "extra": cls.extra,
    }


def _headings(known: Mapping[str, type[AnyPass]]) -> Mapping[str, str]:
    return {name: " -> ".join(_kinds(cls)) for name, cls in known.items()}


def _kinds(cls: type[AnyPass]) -> tuple[str, str]:
    takes = " or ".join(kind.__name__ for kind in cls.accepts)
    gives = " or ".join(kind.__name__ for kind in cls.produces)
    return f"several models ({takes})" if cls.takes_many else takes, gives


def _facts(cls: type[AnyPass]) -> Iterator[str]:
    from olive_engine.cli.catalogue import requirements
    from olive_engine.config.workflow import PassEntry

    takes, gives = _kinds(cls)
    yield f"Takes {takes}, gives {gives}."
    yield from requirements(cls.requires, cls.extra)
    places = [name for name in PassEntry.model_fields if name not in ("type", "options")]
    yield f"Like every pass it also has {', '.join(places)}; `olive schema --pass {cls.type}` describes all."
