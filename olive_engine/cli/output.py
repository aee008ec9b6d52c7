"""JSON on stdout, and the option that asks for it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from typing import TypeVar

import click

from olive_engine.cli.session import session

F = TypeVar("F", bound=Callable[..., None])


def json_option(command: F) -> F:
    """Give a command ``--json``; whether it was given stands in the session."""

    def remember(_context: click.Context, _parameter: click.Parameter, value: object) -> None:
        session().json = bool(value)

    return click.option(
        "--json",
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=remember,
        help="Write JSON to stdout, and nothing else there.",
    )(command)


def write_json(value: Mapping[str, object], *, line: bool = False) -> None:
    """Write one JSON object, on one line or indented for reading."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=None if line else 2) + "\n")
    sys.stdout.flush()
