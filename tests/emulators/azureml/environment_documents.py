"""Documents that describe an environment: an image, and a conda file on top of it."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

import yaml
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from tests.emulators.azureml.wire import Json, Refused

IMAGE = re.compile(r"^[a-z0-9.\-]+(:\d+)?(/[a-z0-9._\-]+)*(:[\w.\-]+)?(@sha256:[0-9a-f]{64})?$", re.ASCII)


@dataclass(frozen=True, slots=True)
class Conda:
    """What a conda file asks for."""

    python: SpecifierSet
    pip: tuple[str, ...]
    others: tuple[str, ...]


def check_document(properties: Json) -> None:
    """Refuse a document that no image could be built from.

    Raises:
        Refused: It names no image, a build context, or a conda file that is none; 400.
    """
    if properties.get("build"):
        raise Refused(400, "UserError", "The emulator builds no docker contexts; name an image.")
    image = properties.get("image")
    if not isinstance(image, str) or not IMAGE.match(image):
        raise Refused(400, "UserError", f"An environment needs the name of an image; found {image!r}.")
    if properties.get("condaFile"):
        read_conda(properties["condaFile"])


def read_conda(text: str) -> Conda:
    """Read a conda file.

    Raises:
        Refused: It is not YAML, has no list of dependencies, or one that is no requirement; 400.
    """
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise Refused(400, "UserError", f"The conda file is not YAML: {error}") from error
    dependencies = document.get("dependencies") if isinstance(document, dict) else None
    if not isinstance(dependencies, list):
        raise Refused(400, "UserError", "The conda file has no list of dependencies.")
    python, pip, others = SpecifierSet(), [], []
    for entry in dependencies:
        if isinstance(entry, Mapping) and isinstance(entry.get("pip"), list):
            pip += [_requirement(line) for line in entry["pip"]]
        elif not isinstance(entry, str):
            raise Refused(400, "UserError", f"The conda file asks for {entry!r}, which is neither a package nor pip's.")
        elif found := re.fullmatch(r"python\s*(.*)", entry):
            python = _conda_version(found[1])
        else:
            others.append(entry)
    return Conda(python, tuple(pip), tuple(others))


def unmet(conda: Conda, site: Path) -> tuple[str, ...]:
    """The requirements that the packages of a folder do not meet, as they are written.

    A cloud would install them. Here the job does without, and a test can ask for this list.
    """
    have = {canonicalize_name(found.metadata["Name"]): found.version for found in distributions(path=[str(site)])}
    missing = []
    for line in conda.pip:
        try:
            asked = Requirement(line)
        except InvalidRequirement:  # an address or an option
            missing.append(line)
            continue
        version = have.get(canonicalize_name(asked.name))
        if version is None or asked.url or not asked.specifier.contains(version, prereleases=True):
            missing.append(line)
    return tuple(missing)


def wrong_python(conda: Conda) -> str:
    """Why this interpreter cannot stand for the environment's, or nothing."""
    here = platform.python_version()
    return "" if conda.python.contains(here) else f"The conda file asks for python {conda.python}; there is {here}."


def _requirement(line: object) -> str:
    text = str(line).strip()
    if re.match(r"(-|\w+\+https?://|https?://|file:)", text):
        return text
    try:
        Requirement(text)
    except InvalidRequirement as error:
        raise Refused(400, "UserError", f"The conda file asks pip for {text!r}: {error}") from error
    return text


def _conda_version(text: str) -> SpecifierSet:
    """Conda's ``=3.11`` means 3.11 and what begins so; its ``==``, ``>=`` and commas mean what pip's do."""
    stated = text.replace(" ", "")
    if re.fullmatch(r"=[\w.]+", stated):
        stated = f"={stated}.*"
    try:
        return SpecifierSet(stated.replace(".*.*", ".*"))
    except InvalidSpecifier as error:
        raise Refused(400, "UserError", f"The conda file asks for python{text}: {error}") from error
