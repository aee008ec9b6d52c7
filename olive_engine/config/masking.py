"""Secrets that a file holds as they are: nothing that is said of the file repeats them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import SequenceMatcher

from pydantic import JsonValue

from olive_engine import registry
from olive_engine.errors import ConfigPath
from olive_engine.secrecy import KNOWN_FORMS, looks_secret
from olive_engine.secrecy import MASK as MASK  # what files and messages have in common

_NAMES = frozenset(
    {"token", "use_auth_token", "auth_token", "access_token", "api_key", "password", "client_secret"}
    | {"default_auth_params", "connection_string", "storage_options", "account_key", "sas_token"}
)
VARIABLES = "environment_variables"
"""The option of systems under which names are variables' own."""
_OF_USERS = (("passes",), ("systems",), ("evaluators",))
_LONG = 8
"""From this length on a name that is nearly that of a secret is taken for it."""
_SHORT = 4
_KEY = re.compile(r"""(?<![\w.-])["']?([A-Za-z][\w-]{0,60})["']?\s*[:=]\s*|\.([A-Za-z][\w-]{0,60})=""")
_ANY_KEY = re.compile(r"""["']?[\w.-]{1,60}["']?\s*:(?:\s+|(?=["']))""")
_QUOTED = re.compile(r""""(?:[^"\\]|\\.)*"?|'[^']*'?""")
_HARMLESS = re.compile(r"""(["']?)(?:\$\{env:\w+\}|true|false|null|~)\1(?=\s*(?:[,}\]#]|$))""", re.IGNORECASE)


def is_secret(path: ConfigPath) -> bool:
    """Whether the value there is a secret, or a part of one."""
    names = (*path[:1], *path[2:]) if path[:1] in _OF_USERS else path  # what a user calls a pass says nothing
    if path[-2:-1] == (VARIABLES,) and looks_secret(str(path[-1])):
        return True
    return any(isinstance(part, str) and _is_name(part) for part in names)


def masked(text: str) -> str:
    """A text of several words or a line of a file, without the values of keys that hold secrets."""
    for start, end in reversed(secret_spans(text)):
        text = text[:start] + MASK + text[end:]
    return text


def without(text: str, value: JsonValue) -> str:
    """A message about a secret `value` without it."""
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            text = without(text, each)
        return text
    if value is None or isinstance(value, bool) or not str(value) or _HARMLESS.fullmatch(str(value)):
        return text
    cut = str(value)[:57]  # as much as messages show of a long text
    written = re.escape(str(value)) + ("|" + re.escape(cut) + "…?" if len(str(value)) > len(cut) else "")
    text = re.sub(f"(['\"`])(?:{written})\\1", MASK, text)
    if len(str(value)) < _SHORT:  # as a word it may be one of the message's own
        return text if isinstance(value, str) else re.sub(rf"found {written}$", f"found {MASK}", text)
    return re.sub(rf"(?<!\w)(?:{written})(?!\w)", MASK, text)


def known_forms_masked(text: str) -> str:
    """A text without what is a secret by its look."""
    return KNOWN_FORMS.sub(MASK, text)


def secret_spans(line: str, at: int | None = None) -> list[tuple[int, int]]:
    """Where secrets stand in a line of a file, in order. With `at`, what stands there is one, with or without a key."""
    found = list(_by_key(line))
    if at is not None:
        key = _ANY_KEY.match(line, at)
        found += _value(line, key.end() if key else at)
    found += (match.span() for match in KNOWN_FORMS.finditer(line))
    spans: list[tuple[int, int]] = []
    for start, end in sorted(found):
        if spans and start < spans[-1][1]:
            spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
        else:
            spans.append((start, end))
    return spans


def _is_name(name: str) -> bool:
    if name.isupper() and looks_secret(name):  # an environment variable
        return True
    names = _NAMES | {each.rsplit(".", 1)[-1] for each in registry.secrets()}
    return name.lower() in names or any(_is_slip(name.lower(), each) for each in names if len(each) >= _LONG)


def _is_slip(name: str, meant: str) -> bool:
    """Whether one letter or so is wrong: `eos_token` is another name than `hf_token`, `hf_tokn` is not."""
    return abs(len(name) - len(meant)) < 2 and SequenceMatcher(None, name, meant, autojunk=False).ratio() >= 0.85


def _by_key(line: str) -> Iterator[tuple[int, int]]:
    for match in _KEY.finditer(line):
        if _is_name(match[1] or match[2]):
            yield from _value(line, match.end())


def _value(line: str, start: int) -> list[tuple[int, int]]:
    """The value that begins there; none for a reference or a word that says nothing."""
    if start >= len(line) or line[start] == "#" or _HARMLESS.match(line, start):
        return []
    quoted = _QUOTED.match(line, start)
    if quoted is not None:
        end = quoted.end()
    elif line[start] in "{[":
        end = _closing(line, start)
    else:
        in_brackets = sum(line.count(char, 0, start) for char in "{[") > sum(
            line.count(char, 0, start) for char in "}]"
        )
        plain = re.compile(r"(?:(?!\s#)[^,}\]])*" if in_brackets else r"(?:(?!\s#).)*").match(line, start)
        end = start + len(plain[0].rstrip()) if plain else start
    return [(start, end)] if end > start else []


def _closing(line: str, start: int) -> int:
    depth = 0
    for index in range(start, len(line)):
        depth += (line[index] in "{[") - (line[index] in "}]")
        if not depth:
            return index + 1
    return len(line)
