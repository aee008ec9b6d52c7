"""The same values in YAML of any form: indents, dashes, quotes, braces, blocks of text, and comments everywhere."""

from __future__ import annotations

import json
import random

from pydantic import JsonValue

from olive_engine.config.migrate.spelling import is_plain


class RandomYaml:
    """Writes values in a form of its own, with comments ``# c1``, ``# c2``, … of which each stands once."""

    def __init__(self, seed: str) -> None:
        self.random = random.Random(seed)
        self.comments = 0
        self.last = ""
        self.step = self.random.choice([2, 2, 3, 4, 8])
        self.dash = self.random.choice([0, 2, 4])
        self.commented = self.random.choice([0, 0.2, 0.6])
        self.braces = self.random.choice([0, 0.2, 0.5])
        self.newline = self.random.choice(["\n", "\n", "\n", "\r\n"])

    def text(self, tree: dict[str, JsonValue]) -> str:
        """The text."""
        lines: list[str] = []
        self._mapping(tree, "", lines)
        self.last = "".join(f"{line}{self.newline}" for line in lines)
        return self.last

    def _mapping(self, tree: dict[str, JsonValue], pad: str, lines: list[str]) -> None:
        for name, value in tree.items():
            self._above(pad, lines)
            self._entry(f"{pad}{self._key(name)}:", pad, value, lines, in_list=False)
        self._maybe_comment(pad, lines)

    def _list(self, items: list[JsonValue], pad: str, lines: list[str]) -> None:
        for value in items:
            self._above(pad, lines)
            self._entry(f"{pad}-", pad, value, lines, in_list=True)

    def _entry(self, head: str, pad: str, value: JsonValue, lines: list[str], *, in_list: bool) -> None:
        is_block = bool(value) and self.random.random() >= self.braces
        if isinstance(value, dict) and is_block and in_list:
            inner: list[str] = []
            self._mapping(value, f"{pad}  ", inner)
            first = next(index for index, line in enumerate(inner) if line.strip() and not line.strip().startswith("#"))
            lines += [*(line[2:] for line in inner[:first]), f"{head} {inner[first].strip()}", *inner[first + 1 :]]
        elif isinstance(value, dict) and is_block:
            lines.append(head + self._beside())
            self._mapping(value, pad + " " * self.step, lines)
        elif isinstance(value, list) and is_block and not in_list:
            lines.append(head + self._beside())
            self._list(value, pad + " " * self.dash, lines)
        elif isinstance(value, dict) and value and self.random.random() < 0.4:
            self._spread(head, pad, value, lines)
        elif isinstance(value, str) and "\n" in value and value.strip() == value and self.random.random() < 0.6:
            blanks = pad + " " * self.step
            lines += [f"{head} |-", *(f"{blanks}{line}" if line else "" for line in value.split("\n"))]
        else:
            lines.append(f"{head} {self._inline(value)}{self._beside()}")

    def _spread(self, head: str, pad: str, value: dict[str, JsonValue], lines: list[str]) -> None:
        lines.append(f"{head} {{{self._beside()}")
        for index, (name, each) in enumerate(value.items()):
            self._maybe_comment(f"{pad}    ", lines)
            comma = "," if index < len(value) - 1 or self.random.random() < 0.3 else ""
            lines.append(f"{pad}    {self._key(name)}: {self._inline(each)}{comma}{self._beside()}")
        lines.append(f"{pad}  }}{self._beside()}")

    def _inline(self, value: JsonValue) -> str:
        if isinstance(value, dict):
            return "{" + ", ".join(f"{self._key(name)}: {self._inline(each)}" for name, each in value.items()) + "}"
        if isinstance(value, list):
            return f"[{', '.join(map(self._inline, value))}]"
        if isinstance(value, str):
            quotes = self.random.choice("nsd")
            if quotes == "n" and is_plain(value) and not set(value) & set(",[]{}:"):
                return value
            if quotes == "s" and value.isprintable():
                return "'" + value.replace("'", "''") + "'"
        return json.dumps(value)

    def _key(self, name: str) -> str:
        return name if is_plain(name) and self.random.random() < 0.7 else json.dumps(name)

    def _above(self, pad: str, lines: list[str]) -> None:
        if self.random.random() < 0.1:
            lines.append("")
        self._maybe_comment(pad, lines)

    def _maybe_comment(self, pad: str, lines: list[str]) -> None:
        if comment := self._beside():
            lines.append(pad + comment.strip())

    def _beside(self) -> str:
        if self.random.random() >= self.commented:
            return ""
        self.comments += 1
        return f"  # c{self.comments}"
