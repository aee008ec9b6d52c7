"""``olive metrics``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import click

from olive_engine.cli.output import json_option

if TYPE_CHECKING:
    from pydantic import JsonValue

    from olive_engine.contracts import AnyMetric


@click.command("metrics", short_help="List the metrics, or show one with its options.")
@click.argument("name", required=False)
@json_option
def command(name: str | None) -> None:
    """List the metrics (what can be measured on a model), or show the one called NAME with its options."""
    from olive_engine import registry
    from olive_engine.cli.catalogue import show_catalogue, show_one, unknown

    known = registry.metrics()
    if name is None:
        show_catalogue("metric", known, data={each: _data(cls) for each, cls in known.items()})
    elif (cls := registry.find_metric(name)) is None:
        raise unknown("metric", name, known)
    else:
        heading = "Options, under metric_config"
        show_one(cls.type, cls, cls.config_type, _facts(cls), heading=heading, data=_data(cls))


def _data(cls: type[AnyMetric]) -> Mapping[str, JsonValue]:
    return {
        "sub_types": [{"name": name, "higher_is_better": up} for name, up in cls.sub_types.items()],
        "needs_data": cls.needs_data,
        "measures_time": cls.timing,
        "requires": [*cls.requires],
        "extra": cls.extra,
    }


def _facts(cls: type[AnyMetric]) -> Iterator[str]:
    from olive_engine.cli.catalogue import requirements

    by_direction: dict[bool, list[str]] = {}
    for name, up in cls.sub_types.items():
        by_direction.setdefault(up, []).append(name)
    values = (f"{', '.join(names)} ({'higher' if up else 'lower'} is better)" for up, names in by_direction.items())
    yield f"Gives {'; '.join(values)}."
    if cls.needs_data:
        yield "Measures on a data set: name one as data_config."
    yield from requirements(cls.requires, cls.extra)
