"""The distributions that steps need where they run, and their versions there."""

from __future__ import annotations

from olive_engine.contracts import Environment, Job
from olive_engine.data import REQUIRES as DATA_REQUIRES
from olive_engine.registry import find_metric, find_pass
from olive_engine.requirements import package_version


def requires_of(kind: str, type_: str) -> tuple[str, ...]:
    """The distributions that a step of that kind and type needs; ``a|b`` where one of several will do."""
    if kind == "data":
        return DATA_REQUIRES
    cls = find_pass(type_) if kind == "pass" else find_metric(type_)
    return cls.requires if cls else ()


class Versions:
    """The versions that one process works with: those of when it first asked, for what is imported stays."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def of(self, job: Job) -> dict[str, str]:
        """Distribution -> version, of all that a job's steps need and that is installed."""
        if job.kind in ("probe", "describe"):
            return {}
        asked = {name for item in job.items for each in requires_of(job.kind, item.type) for name in each.split("|")}
        for name in asked - self._known.keys():
            self._known[name] = package_version(name)
        return {name: self._known[name] for name in sorted(asked) if self._known[name]}


def changed(planned: Environment, found: dict[str, str]) -> str:
    """A package of another version than was planned with, in words; empty: there is none."""
    for name, version in found.items():
        before = planned.packages.get(name)
        if before not in (None, version):
            return f"{name} is {version} there now, and was {before} when the run was planned"
    return ""
