"""Templates of a row's text.

Column names stand in a template as they are, blanks and dots included: ``{Best Answer}``. The rest is `str.format`:
``{score:.2f}``, ``{text!r}``, and ``{{`` for a brace. Braces in the data are never touched.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from string import Formatter


@dataclass(frozen=True, slots=True)
class TemplatePart:
    """Literal text, then the value of a column (none at the end of a template)."""

    literal: str
    column: str | None = None
    spec: str = ""
    conversion: str | None = None


@lru_cache(maxsize=64)  # asked for once a row
def template_parts(template: str) -> tuple[TemplatePart, ...]:
    """Take a template apart.

    Raises:
        ValueError: a brace stands alone, a field names no column, or a format names another field.
    """
    try:
        parts = tuple(TemplatePart(*part[:2], part[2] or "", part[3]) for part in Formatter().parse(template))
    except ValueError as error:
        raise ValueError(
            f"braces in a template must be doubled or hold a column's name; {error} in {template!r}"
        ) from None
    for part in parts:
        if part.column == "":
            raise ValueError(f"each field of a template must name a column; {template!r} has an empty one")
        if part.conversion not in (None, "r", "s", "a"):
            raise ValueError(f"a conversion in a template must be !r, !s or !a, not !{part.conversion}")
        if "{" in part.spec:
            raise ValueError(f"a format in a template must not hold a field of its own, as {part.spec!r} does")
    return parts


def columns_of(template: str) -> tuple[str, ...]:
    """The columns that a template names, in order of appearance."""
    return tuple(dict.fromkeys(part.column for part in template_parts(template) if part.column is not None))


def up_to_last_column(template: str) -> str:
    """Cut before the brace that opens the last field; doubled braces don't open one."""
    opening = [match.start() for match in re.finditer(r"\{\{|\}\}|\{", template) if match.group() == "{"]
    return template[: opening[-1]]
