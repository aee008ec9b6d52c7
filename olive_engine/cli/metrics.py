"""``olive metrics``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from olive_engine.contracts import AnyMetric


@click.command("metrics", short_help="List the metrics, or show one with its options.")
@click.argument("name", required=False)
def command(name: str | None) -> None:
    """List the metrics (what can be measured on a model), or show the one called NAME with its options."""
    from olive_engine import registry
    from olive_engine.cli.catalogue import show_catalogue, show_one, unknown

    if name is None:
        show_catalogue("metric", registry.metrics())
    elif (cls := registry.find_metric(name)) is None:
        raise unknown("metric", name, registry.metrics())
    else:
        show_one(cls.type, cls, cls.config_type, _facts(cls), "Options, under metric_config")


def _facts(cls: type[AnyMetric]) -> Iterator[str]:
    values = (f"{name} ({'higher' if up else 'lower'} is better)" for name, up in cls.sub_types.items())
    yield f"Gives {', '.join(values)}."
    if cls.needs_data:
        yield "Measures on a data set: name one as data_config."
    if cls.requires:
        yield f'Needs {", ".join(cls.requires)}: pip install "olive-engine[{cls.extra}]"'
