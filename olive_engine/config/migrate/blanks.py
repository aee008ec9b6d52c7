"""Blanks, comments, anchors: what stands in a text around its values."""

from __future__ import annotations

import re

from olive_engine.config.tree import split_lines

_PROPERTY = re.compile(r"(?:[&!][^\s,\[\]{}]*[ \t]*)+")
"""Anchors and tags, before what they belong to."""


def without_properties(text: str) -> str:
    """The text of a scalar or a line without anchor and tag."""
    blanks = text[: len(text) - len(text.lstrip(" \t"))]
    return blanks + _PROPERTY.sub("", text[len(blanks) :], count=1) if text[len(blanks) :][:1] in ("&", "!") else text


def properties(text: str) -> str:
    """The anchor and tag before a scalar or a bracket."""
    found = _PROPERTY.match(text)
    return found[0] if found else ""


def comments(text: str) -> list[str]:
    """The comments in what stands between values."""
    return [line.strip() for line in split_lines(text) if line.strip().startswith("#")]


def rebased(text: str, old: str, new: str) -> str:
    """A text over several lines, of which all but the first begin with the blanks `new` instead of `old`."""
    if old == new or not ("\n" in text or "\r" in text):
        return text
    first, *rest = split_lines(text)
    *rest, last = rest
    return "".join([first, *(_line(line, old, new) for line in rest), indented(last, old, new)])


def _line(line: str, old: str, new: str) -> str:
    return indented(line, old, new) if line.strip("\r\n") else line


def indented(line: str, old: str, new: str) -> str:
    """A line that begins with the blanks `new` instead of `old`; a comment that begins with others too."""
    if line.startswith(old):
        return new + line[len(old) :]
    return new + line.lstrip(" \t") if line.lstrip(" \t").startswith("#") else line


def rebased_lines(text: str, old: str, new: str) -> str:
    """Whole lines with other blanks."""
    return "".join(_line(line, old, new) for line in split_lines(text))


def pad_of(lead: str, base: str) -> str:
    """The blanks before an entry on a line of its own; for one that has none, those of the line it is on."""
    return split_lines(lead)[-1] if "\n" in lead or "\r" in lead else base


def past(pattern: re.Pattern[str], content: str, at: int) -> int:
    """Where a pattern that matches here ends, else here."""
    match = pattern.match(content, at)
    return match.end() if match else at
