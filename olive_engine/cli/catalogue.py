"""Lists of what is installed, and the page of one of them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Literal

import click

from olive_engine.options import Options
from olive_engine.reporting.reference import Reference, document, options_of, show_reference
from olive_engine.reporting.tables import Cell, Column, Table, show

Kind = Literal["pass", "system", "metric"]
_PLURALS: Mapping[Kind, str] = {"pass": "passes", "system": "systems", "metric": "metrics"}


def show_catalogue(kind: Kind, classes: Mapping[str, type[object]]) -> None:
    """A line for each class, with the first sentence of its documentation."""
    if not classes:
        click.echo(f"no {_PLURALS[kind]} are installed")
        return
    rows = tuple((Cell(name, "cyan"), Cell(document(cls).partition("\n")[0])) for name, cls in sorted(classes.items()))
    foot = f"`olive {_PLURALS[kind]} NAME` shows one with its options"
    show(Table((Column(kind), Column("what it does", flexible=True)), rows, foot), sys.stdout)


def show_one(
    name: str, cls: type[object], options: type[Options], facts: Iterable[str], heading: str = "Options"
) -> None:
    """The documentation of a class, what else is to be known of it, and its options."""
    show_reference(Reference(name, document(cls), tuple(facts), tuple(options_of(options)), heading), sys.stdout)


def unknown(kind: Kind, name: str, known: Iterable[str]) -> click.UsageError:
    """The error for a name that nothing has."""
    by_lower = {each.lower(): each for each in known}
    near = get_close_matches(name.lower(), by_lower, n=1)
    hint = f"did you mean {by_lower[near[0]]}?" if near else f"`olive {_PLURALS[kind]}` lists them"
    return click.UsageError(f"no {kind} is called `{name}`; {hint}")
