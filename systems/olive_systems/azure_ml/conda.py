"""A conda file as it is written -> one that the engine's jobs can run in, with what was changed and why."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import yaml

from olive_engine.requirements import DISTRIBUTION, Requirement
from olive_engine.requirements import extras as own_extras
from olive_engine.secrecy import KNOWN_FORMS
from olive_systems.azure_ml.dependencies import KEY_VAULT, PYTHON, Dependencies, needed
from olive_systems.azure_ml.pins import conda_name, engine_extras
from olive_systems.python_environment.requirement_lines import fault_of
from olive_systems.variables import holds_secret

PLATFORM = "linux"
"""Of all that jobs run on."""

_WITH_FILE = re.compile(r"(?:-r|-c|-e|-f|--requirement|--constraint|--editable|--find-links)[ =]*(?P<place>.*)")
_LOGIN = re.compile(r"https?://(?P<login>[^/\s@]+)@", re.IGNORECASE)
_REFERENCES = re.compile(r"(\$\{\w+\}:?)+")


class CondaFault(ValueError):
    """A conda file that no environment can be made from; its text is a sentence that names the file."""


@dataclass(frozen=True, slots=True)
class Conda:
    """A conda file that is ready for jobs."""

    text: str
    notices: tuple[str, ...] = ()
    """What was changed, and why: a sentence each."""
    diff: str = ""
    """The same, line by line, between the two files as they are written alike; empty: nothing was changed."""


def rewritten(
    text: str,
    version: str,
    *,
    name: str = "conda.yaml",
    extra: str = "cpu",
    key_vault: bool = False,
    known: Mapping[str, Sequence[Requirement]] | None = None,
) -> Conda:
    """The conda file with a Python and packages that the engine's jobs can run in; all else as it is, in its order.

    Args:
        text: of the file.
        version: of the engine.
        name: what messages call the file.
        extra: ``cpu`` or ``gpu``: what a mention of Olive stands for where the file does not say.
        key_vault: jobs read a secret of a key vault.
        known: what the engine's extras ask for; default: what this installation says.

    Raises:
        CondaFault: no environment can be made from the file.
    """
    document = _read(text, name)
    file = Dependencies(list(document["dependencies"]), known if known is not None else own_extras(PLATFORM))
    file.python(version)
    asked = [extras for line in file.pip if (extras := engine_extras(line)) is not None]
    file.packages(asked, extra, version, key_vault=key_vault)
    if file.entries == document["dependencies"]:
        return Conda(text)
    ready = _written({**document, "dependencies": file.entries})
    lines = difflib.unified_diff(
        _written(document).splitlines(), ready.splitlines(), name, f"{name} (as jobs get it)", lineterm=""
    )
    return Conda(ready, tuple(file.notices), "\n".join(lines))


def default(extra: str, *, key_vault: bool = False, known: Mapping[str, Sequence[Requirement]] | None = None) -> str:
    """The conda file of an environment that nobody described: a Python, and what an extra of the engine brings.

    Args:
        extra: ``cpu`` or ``gpu``.
        key_vault: jobs read a secret of a key vault.
        known: what the engine's extras ask for; default: what this installation says.
    """
    known = known if known is not None else own_extras(PLATFORM)
    lines = [str(each) for each in (*needed(known, extra), *(KEY_VAULT if key_vault else ()))]
    entries = [f"python={PYTHON}", "pip", {"pip": lines}]
    return _written({"name": DISTRIBUTION, "channels": ["conda-forge"], "dependencies": entries})


# --- the file -----------------------------------------------------------------------------------------------------


def _read(text: str, name: str) -> dict[str, list[object]]:
    """The document, of which only what is looked at is judged.

    Raises:
        CondaFault: it is no conda file, or asks for what the service does not get.
    """
    try:
        document = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise CondaFault(f"{name} is not YAML: {error.problem or error.context}{where}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise CondaFault(f"{name} is not YAML: {str(error).splitlines()[0] if str(error) else 'too deep'}") from None
    entries = document.get("dependencies") if isinstance(document, dict) else None
    if not isinstance(document, dict) or not isinstance(entries, list):
        raise CondaFault(f"{name} has no list of `dependencies`, as a conda file must")
    if secret := _secret(document):  # first: other messages show what is written
        raise CondaFault(f"{name}: {secret}")
    for entry in entries:
        if isinstance(entry, str) and conda_name(entry):
            continue
        lines = (entry["pip"] or []) if isinstance(entry, dict) and list(entry) == ["pip"] else None
        if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
            what = f"{entry!r} among its dependencies"
            raise CondaFault(f"{name} has {what}; expected packages such as numpy=2.1, and one list `pip`")
        for line in lines:
            if fault := _fault(line):
                raise CondaFault(f"{name}: {fault}")
    return document


def _fault(line: str) -> str:
    """Why the service could not install a line of pip; empty: nothing is known against it."""
    option = _WITH_FILE.fullmatch(line)
    place = option["place"].strip().strip("\"'") if option else "" if line.startswith("-") else line
    is_file = bool(option) or place.startswith((".", "~", "file:")) or (place.endswith(".whl") and "@" not in place)
    if is_file and not place.startswith("/") and not re.match(r"(?!file)[a-z+]+://", place):
        return f"`{line}` names a file of this machine, which the service does not get; name packages, or a URL"
    return fault_of(line) if engine_extras(line) is None else ""


def _secret(document: Mapping[str, object]) -> str:
    """Which secret would be stored with the environment, for all who may see it; empty: none is known."""
    store = "is stored with the environment, where others can read it"
    for text in _texts(document):
        login = _LOGIN.search(text)
        if (login and not _REFERENCES.fullmatch(login["login"])) or (not login and KNOWN_FORMS.search(text)):
            return f"it holds a password or token, which {store}; use a connection of the workspace to the feed instead"
    variables = document.get("variables")
    for variable, value in variables.items() if isinstance(variables, dict) else ():
        if holds_secret(str(variable), str(value or "")):
            return f"`variables` sets {variable}, which {store}; take it from the key vault instead"
    return ""


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for _, member in members:
        yield from _texts(member)


class _Dumper(yaml.SafeDumper):
    """Lists are indented, as people write conda files."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - yaml's signature
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - yaml's signature
        return True


def _written(document: Mapping[str, object]) -> str:
    text: str = yaml.dump(dict(document), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)
    return text
