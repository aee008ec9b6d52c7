"""What the docstring of a pass, a system, a metric or a group of options says to people."""

from __future__ import annotations

import inspect
import re

_LINK = re.compile(r" \(https?://[^)]*\)")


def document(cls: type[object]) -> str:
    """A class's docstring, each paragraph on one line; indented lines stay as they are."""
    text = inspect.cleandoc(cls.__doc__ or "").replace("``", "`")
    return re.sub(r"(?<=\S)\n(?=\S)", " ", text)


def summary(cls: type[object], *, links: bool = True) -> str:
    """The first paragraph of a class's docstring, with the papers that it names or without."""
    paragraph = document(cls).partition("\n")[0]
    return paragraph if links else _LINK.sub("", paragraph)
