"""Questions in a terminal, asked again until the answer can be read; what is wrong with it is said in our words."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click

T = TypeVar("T")


def prompt(question: str, read: Callable[[str], T], default: str | None = None) -> T:
    """Ask until there is an answer that can be read.

    Args:
        question: what is shown, before the default.
        read: what the answer means; it raises a `ValueError` whose text says what is expected.
        default: what an empty answer stands for; None: `read` is given the empty answer.

    Raises:
        click.Abort: the user leaves, by Ctrl-C or Ctrl-D.
    """
    while True:
        answer = str(click.prompt(question, default=default or "", show_default=default is not None))
        try:
            return read(answer.strip())
        except ValueError as error:
            click.echo(f"  {error}")


def confirm(question: str, *, default: bool) -> bool:
    """Ask until the answer is yes or no; an empty one is the default."""

    def read(answer: str) -> bool:
        if not answer:
            return default
        if answer.lower() not in ("y", "yes", "n", "no"):
            raise ValueError(f"expected y (yes) or n (no), found {answer}")
        return answer.lower().startswith("y")

    return prompt(f"{question} [{'Y/n' if default else 'y/N'}]", read)


def choose(question: str, count: int, default: int) -> int:
    """Ask until the answer is a number from 1 to `count`."""

    def read(answer: str) -> int:
        if not (answer.isdecimal() and 1 <= int(answer) <= count):
            raise ValueError(f"expected a number from 1 to {count}, found {answer}")
        return int(answer)

    return prompt(question, read, str(default))


def something(expected: str) -> Callable[[str], str]:
    """A reader of any answer but the empty one, which is told what is expected."""

    def read(answer: str) -> str:
        if not answer:
            raise ValueError(f"expected {expected}")
        return answer

    return read
