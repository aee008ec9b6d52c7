"""JSON text -> nodes with positions. Strict (RFC 8259), and it explains what people write instead."""

from __future__ import annotations

import math
import re
from json import JSONDecodeError
from json.decoder import scanstring  # type: ignore[attr-defined]  # the standard library's own scanner, untyped

from olive_engine.config.masking import MASK, secret_spans
from olive_engine.config.tree import MAX_DEPTH, MAX_KEY, MAX_VALUES, Fault, Node, Text

MAX_DIGITS = 20
"""A 64-bit number has at most 19 digits and a sign."""

_BLANK = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"(-?(?:0|[1-9][0-9]*))(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_WORD = re.compile(r"[A-Za-z_$][\w$.\-]*|[-+.]?[\w.+\-]+")
_KEY = re.compile(r'"[^"\n]*"[ \t]*:')
_ITEM = re.compile(r'["{\[\d]')
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None}
_MEANT = {"True": "true", "False": "false", "None": "null", "undefined": "null"}
_UNFIT = re.compile(r"[\x00\ud800-\udfff]")


def scan(text: Text) -> Node:
    """Read a whole JSON text.

    Raises:
        Fault: it is not JSON, or holds what no workflow can.
    """
    scanner = _Scanner(text)
    node, end = scanner.value(scanner.skip(0), depth=0, key=None)
    end = scanner.skip(end)
    if end < len(scanner.content):
        raise Fault(end, "text after the end of the JSON value", "a file holds one mapping, { … }")
    return node


def check_text(value: str, offset: int, *, key: bool = False) -> str:
    """Refuse text that cannot be written to a file again, be part of a path, or is absurd as a key."""
    if _UNFIT.search(value):
        raise Fault(offset, "the text holds a null character or half of a surrogate pair")
    if key and len(value) > MAX_KEY:
        raise Fault(offset, f"the key has {len(value)} characters", f"expected at most {MAX_KEY}")
    return value


def whole(digits: str, offset: int, base: int = 10) -> int:
    """A whole number that fits in 64 bits."""
    if len(digits.lstrip("+-0ox")) <= (MAX_DIGITS if base != 8 else MAX_DIGITS + 2):
        number = int(digits, base)
        if -(2**63) <= number < 2**63:
            return number
    raise Fault(offset, f"the number {digits[:24]}{'…' if len(digits) > 24 else ''} does not fit in 64 bits")


def real(digits: str, offset: int) -> float:
    """A finite floating-point number."""
    number = float(digits)
    if not math.isfinite(number):
        raise Fault(offset, f"expected a finite number, found {digits[:24]}")
    return number


class _Scanner:
    def __init__(self, text: Text) -> None:
        self.text = text
        self.content = text.content or ""
        self.count = 0

    def skip(self, at: int) -> int:
        """Past blanks."""
        match = _BLANK.match(self.content, at)
        at = match.end() if match else at
        if self.content.startswith(("//", "/*", "#"), at):
            raise Fault(at, "JSON has no comments", "remove it, or write the workflow as YAML (.yaml)")
        return at

    def value(self, at: int, depth: int, key: int | None) -> tuple[Node, int]:
        self.count += 1
        if self.count > MAX_VALUES:
            raise Fault(at, f"more than {MAX_VALUES:,} values", "data belong in files of their own")
        if depth > MAX_DEPTH:
            raise Fault(at, f"nested more than {MAX_DEPTH} levels deep")
        char = self.content[at : at + 1]
        if char == "{":
            return self.mapping(at, depth, key)
        if char == "[":
            return self.list(at, depth, key)
        if char == '"':
            value, end = self.string(at)
            return Node(value, self.text, at, key), end
        number = _NUMBER.match(self.content, at)
        word = _WORD.match(self.content, at)
        if number and (word is None or word.end() <= number.end()):
            digits, fraction, exponent = number.groups()
            scalar = real(number[0], at) if fraction or exponent else whole(digits, at)
            return Node(scalar, self.text, at, key), number.end()
        if word and word[0] in _WORDS:
            return Node(_WORDS[word[0]], self.text, at, key), word.end()
        raise self.unexpected(at, "a value")

    def mapping(self, start: int, depth: int, key: int | None) -> tuple[Node, int]:
        members: dict[str, Node] = {}
        at = self.skip(start + 1)
        while not self.content.startswith("}", at):
            if not self.content.startswith('"', at):
                raise self.unexpected(at, "a key in double quotes, or `}`", opened=start)
            name_at = at
            name, at = self.string(at, key=True)
            if name in members:
                first = self.text.position(members[name].key or 0)
                raise Fault(name_at, f"`{name}` is written twice in one mapping", f"the first is in line {first.line}")
            at = self.skip(at)
            if not self.content.startswith(":", at):
                raise self.unexpected(at, f"`:` after the key `{name}`", opened=start)
            members[name], at = self.value(self.skip(at + 1), depth + 1, name_at)
            at = self.comma(at, "}", start)
        return Node(members, self.text, start, key), at + 1

    def list(self, start: int, depth: int, key: int | None) -> tuple[Node, int]:
        items: list[Node] = []
        at = self.skip(start + 1)
        while not self.content.startswith("]", at):
            node, at = self.value(at, depth + 1, None)
            items.append(node)
            at = self.comma(at, "]", start)
        return Node(tuple(items), self.text, start, key), at + 1

    def comma(self, end: int, close: str, start: int) -> int:
        at = self.skip(end)
        if self.content.startswith(close, at):
            return at
        begins = _KEY if close == "}" else _ITEM
        if begins.match(self.content, at):
            raise Fault(end, "a comma is missing", f"`,` stands between {'members' if close == '}' else 'items'}")
        if not self.content.startswith(",", at):
            raise self.unexpected(at, f"`,` or `{close}`", opened=start)
        after = self.skip(at + 1)
        if self.content.startswith(close, after):
            raise Fault(at, f"a comma before `{close}`", "JSON allows none after the last item; remove it")
        return after

    def string(self, at: int, *, key: bool = False) -> tuple[str, int]:
        try:
            value, end = scanstring(self.content, at + 1, True)
        except JSONDecodeError as error:
            if "control character" in error.msg:
                hint = r"write \n for a new line and \t for a tab; or a closing quote is missing"
                raise Fault(error.pos, "a line break or control character inside text", hint) from None
            if "Unterminated" in error.msg:
                raise Fault(at, "text without a closing quote") from None
            hint = r"a backslash itself is written \\"
            raise Fault(error.pos, f"`{self.content[error.pos : error.pos + 2]}` is no JSON escape", hint) from None
        return check_text(value, at, key=key), end

    def unexpected(self, at: int, expected: str, opened: int | None = None) -> Fault:
        if at >= len(self.content):
            where = (
                f"; the mapping or list of line {self.text.position(opened).line} is not closed"
                if opened is not None
                else ""
            )
            return Fault(at, f"the file ends where {expected} is expected{where}")
        word = _WORD.match(self.content, at)
        found = word[0] if word else self.content[at]
        hint = ""
        if found == "'":
            hint = "JSON text stands in double quotes"
        elif found in _MEANT:
            hint = f"JSON writes `{_MEANT[found]}`"
        elif found.lstrip("+-.").lower() in ("nan", "inf", "infinity"):
            hint = "expected a finite number"
        elif word and found[0].isalpha():
            hint = "text stands in double quotes"
        line_start = max(self.content.rfind("\n", 0, at) + 1, at - 1000)
        if any(start <= at - line_start < end for start, end in secret_spans(self.content[line_start : at + 100])):
            found = MASK
        return Fault(at, f"expected {expected}, found `{found[:40]}`", hint)
