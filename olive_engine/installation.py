"""Installing what a workflow needs into the environment that this runs in, with its pip."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import sysconfig
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TextIO

from olive_engine import graph, machine, urls
from olive_engine.config.workflow import Workflow
from olive_engine.errors import SystemUnavailable
from olive_engine.planner import flavours
from olive_engine.preflight import extra_of, fitting_extra, providers_of
from olive_engine.registry import find_system
from olive_engine.requirements import (
    Requirement,
    bounds,
    canonical,
    extras,
    package_version,
    satisfies,
)
from olive_engine.search.assignment import with_each_pass
from olive_engine.search.searched import searches
from olive_engine.step_packages import requires_of


@dataclass(frozen=True, slots=True)
class Needed:
    """What a workflow needs of other distributions, as far as it is for the interpreter that this runs in."""

    here: tuple[Requirement, ...]
    """For the steps that it runs, the search, and the systems that it uses."""
    elsewhere: Mapping[str, int]
    """System with an environment of its own -> how many steps run there."""


def needed(workflow: Workflow) -> Needed:
    """What a workflow needs here, with the versions that are asked for.

    Of a library that comes in several flavours the one that is installed here counts, else the one for this device.

    Raises:
        InvalidWorkflow: the graph cannot work.
    """
    known, here = extras(), machine.environment(())
    asked = bounds(known)
    nodes = [node for each in with_each_pass(workflow) for node in graph.build(each).nodes.values()]
    found: dict[str, Requirement] = {}
    elsewhere: dict[str, set[str]] = {}
    for extra in _extras(workflow, {node.system for node in nodes}):
        found |= {canonical(each.name): each for each in known.get(extra, ())}
    for node in nodes:
        if not _is_here(workflow, node.system):
            elsewhere.setdefault(node.system, set()).add(node.name)
            continue
        extra = fitting_extra(extra_of(node), here.device, here.packages, providers_of(workflow, node.system).values())
        brought = {canonical(each.name) for each in known.get(extra, ())}
        for requirement in requires_of(node.kind, node.type):
            name = _chosen(flavours(requirement), brought)
            found[canonical(name)] = Requirement(name, asked.get(canonical(name), ""))
    steps = {system: len(names) for system, names in elsewhere.items()}
    return Needed(tuple(found[name] for name in sorted(found)), steps)


def lacking(wanted: Sequence[Requirement]) -> tuple[Requirement, ...]:
    """Those that are not installed here, or at a version that will not do."""
    installed = {each: package_version(each.name) for each in wanted}
    return tuple(each for each, found in installed.items() if not (found and satisfies(found, each.bounds)))


def pip_command(wanted: Sequence[Requirement]) -> list[str]:
    """The command that installs them here."""
    return [sys.executable, "-m", "pip", "install", *map(str, wanted)]


def check_installable() -> None:
    """Refuse an environment into which nothing should or can be installed.

    Raises:
        SystemUnavailable: this Python belongs to the operating system (PEP 668), or it has no pip.
    """
    marker = Path(sysconfig.get_path("stdlib")) / "EXTERNALLY-MANAGED"
    own = sys.prefix != sys.base_prefix
    if marker.exists() and not own and os.environ.get("PIP_BREAK_SYSTEM_PACKAGES", "0") in ("", "0", "false"):
        raise SystemUnavailable(
            f"{sys.executable} belongs to the operating system, which installs its packages itself; make an "
            "environment of your own with `python3 -m venv .venv`, install olive-engine there, and run this from there"
        )
    if find_spec("pip") is None:
        raise SystemUnavailable(
            f"{sys.executable} has no pip; add it with `{shlex.quote(sys.executable)} -m ensurepip`, or install the "
            "requirements that `olive run --list-required-packages` prints with the tool that made the environment"
        )


def install(wanted: Sequence[Requirement], output: TextIO) -> int:
    """Run pip, what it says going to `output`; gives its exit code."""
    output.flush()
    return subprocess.run(pip_command(wanted), stdout=output.fileno(), check=False).returncode


def _extras(workflow: Workflow, used: Collection[str]) -> Iterator[str]:
    """The extras that the engine itself needs: to search, and to use systems."""
    if searches(workflow):
        yield "search"
    for name, entry in workflow.systems.items():
        cls = find_system(entry.type)
        if cls is not None and cls.extra and name in {*used, *urls.readers(workflow)}:
            yield cls.extra


def _is_here(workflow: Workflow, system: str) -> bool:
    """Whether the steps of a system are run by the interpreter that this runs in."""
    entry = workflow.systems.get(system)  # none: this machine, which needs no description
    cls = find_system(entry.type) if entry else None
    return cls is None or cls.engines_interpreter


def _chosen(names: Sequence[str], brought: Collection[str]) -> str:
    """The flavour of a library that is installed here, else the one that the extra brings."""
    installed = (name for name in names if package_version(name))
    return next(installed, next((name for name in names if canonical(name) in brought), names[0]))
