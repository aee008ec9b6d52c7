"""Lists of what is installed, and the page of one of them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Literal

import click
from pydantic import JsonValue

from olive_engine.cli.output import write_json
from olive_engine.cli.session import session
from olive_engine.config.docstrings import document, summary
from olive_engine.options import Options
from olive_engine.reporting.reference import Group, Reference, options_of, show_groups, show_reference

Kind = Literal["pass", "system", "metric"]
Facts = Mapping[str, JsonValue]
"""What a program wants to know of a plugin."""
_PLURALS: Mapping[Kind, str] = {"pass": "passes", "system": "systems", "metric": "metrics"}


def show_catalogue(
    kind: Kind,
    classes: Mapping[str, type[object]],
    *,
    data: Mapping[str, Facts] | None = None,
    headings: Mapping[str, str] | None = None,
) -> None:
    """A line for each class, with the first sentence of its documentation.

    Args:
        kind: what they are.
        classes: them, by the name that is written.
        data: what ``--json`` says of each, beside name and summary.
        headings: what each is listed under; none: all in one list.
    """
    if _wants_json():
        listed = [
            {"name": name, "summary": summary(cls, links=False), **(data or {}).get(name, {})}
            for name, cls in classes.items()
        ]
        write_json({_PLURALS[kind]: listed})
        return
    if not classes:
        click.echo(f"no {_PLURALS[kind]} are installed")
        return
    groups: dict[str, list[tuple[str, str]]] = {}
    for name, cls in classes.items():
        groups.setdefault((headings or {}).get(name, ""), []).append((name, summary(cls, links=False)))
    foot = f"`olive {_PLURALS[kind]} NAME` shows one with its options"
    show_groups([Group(heading, sorted(entries)) for heading, entries in groups.items()], foot, sys.stdout)


def show_one(
    name: str,
    cls: type[object],
    options: type[Options],
    facts: Iterable[str],
    *,
    heading: str = "Options",
    example: str = "",
    data: Facts | None = None,
) -> None:
    """The documentation of a class, what else is to be known of it, and its options."""
    shown = Reference(name, document(cls), tuple(facts), tuple(options_of(options)), heading, example)
    if _wants_json():
        write_json(_as_json(shown, cls, data or {}))
    else:
        show_reference(shown, sys.stdout)


def unknown(kind: Kind, name: str, known: Iterable[str]) -> click.UsageError:
    """The error for a name that nothing has."""
    by_lower = {each.lower(): each for each in known}
    near = get_close_matches(name.lower(), by_lower, n=1)
    hint = f"did you mean {by_lower[near[0]]}?" if near else f"`olive {_PLURALS[kind]}` lists them"
    return click.UsageError(f"no {kind} is called `{name}`; {hint}")


def requirements(requires: Sequence[str], extra: str) -> Iterable[str]:
    """The sentence about what must be installed, where something must."""
    if requires:
        flavours = (_either(names.split("|")) for names in requires)
        yield f'Needs {", ".join(flavours)}: pip install "olive-engine[{extra}]"'


def _either(names: Sequence[str]) -> str:
    """``onnxruntime (or -gpu, -directml)``: one of several builds of a library."""
    first, *others = names
    return f"{first} (or {', '.join(name.removeprefix(first) for name in others)})" if others else first


def _wants_json() -> bool:
    return click.get_current_context(silent=True) is not None and session().json


def _as_json(reference: Reference, cls: type[object], data: Facts) -> dict[str, object]:
    options = [
        {
            "name": option.name,
            "type": option.type,
            "required": not option.default,
            **({"default": option.value} if option.default else {}),
            "description": option.description,
        }
        for option in reference.options
    ]
    return {
        "name": reference.title,
        "summary": summary(cls, links=False),
        "text": reference.text,
        **data,
        "options": options,
    }
