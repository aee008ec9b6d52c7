"""Reading a workflow: files and overrides -> a `Draft`, the workflow or all that is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from olive_engine.config.data import DataConfig
from olive_engine.config.findings import Findings, in_line_order
from olive_engine.config.legacy import rewrite
from olive_engine.config.loader import load
from olive_engine.config.overrides import apply_override
from olive_engine.config.parse import parse
from olive_engine.config.tree import Node, find, from_python, locate, merge
from olive_engine.config.workflow import Workflow
from olive_engine.errors import ConfigPath, InvalidWorkflow, Position, Problem


@dataclass(frozen=True, slots=True)
class Draft:
    """What reading came to. Checks that know more (data, graph) add their problems; then `raise_if_wrong`."""

    workflow: Workflow | None
    problems: tuple[Problem, ...]
    notices: tuple[Problem, ...] = ()
    """Older spellings that were read as today's, one for each place."""
    root: Node | None = None
    """The merged tree, with the positions of everything in it."""

    data_configs: Mapping[int, DataConfig] = field(default_factory=dict)
    """The sound data configs by index, so that their files can be checked though something else is wrong."""
    base_dir: Path = field(default_factory=Path)
    """Where relative paths start."""

    def locate(self, path: ConfigPath) -> Position | None:
        """Where the value at `path` was written; if it was not, its nearest ancestor. None for values from Python."""
        return locate(self.root, path) if self.root is not None else None

    def adding(self, problems: Iterable[Problem]) -> Draft:
        """The draft with further problems, located where they are not yet. With an error it is no workflow any more."""
        located = [self._located(problem) for problem in problems]
        workflow = None if any(problem.severity == "error" for problem in located) else self.workflow
        return replace(self, workflow=workflow, problems=in_line_order((*self.problems, *located)))

    def raise_if_wrong(self) -> Workflow:
        """The workflow.

        Raises:
            InvalidWorkflow: there is an error (not only warnings) among the problems.
        """
        errors = tuple(problem for problem in self.problems if problem.severity == "error")
        if errors or self.workflow is None:
            raise InvalidWorkflow(errors)
        return self.workflow

    def _located(self, problem: Problem) -> Problem:
        """With its position, and its path as it is written: a lone pass is no list of alternatives."""
        path, written = problem.path, problem.path
        slot = find(self.root, path[:2]) if self.root is not None else None
        if path[:1] == ("passes",) and path[2:3] == (0,) and slot is not None and isinstance(slot.value, Mapping):
            written = (*path[:2], *path[3:])
        return replace(problem, path=written, position=problem.position or self.locate(written))


def read(paths: Sequence[Path], overrides: Sequence[str] = ()) -> Draft:
    """Read a workflow from one file or several, later ones on top, with ``--set`` overrides on top of all.

    Relative paths in the workflow are relative to the working directory. Nothing is raised for a wrong workflow:
    the problems are in the draft.
    """
    problems: list[Problem] = []
    notices: list[Problem] = []
    root: Node | None = None
    for path in paths:
        try:
            source, noticed = rewrite(load(path))
        except InvalidWorkflow as error:
            problems += error.problems
            continue
        notices += noticed
        root = source.root if root is None else merge(root, source.root)
    if problems or root is None:
        return Draft(None, tuple(problems), tuple(notices))
    for override in overrides:
        try:
            root = apply_override(root, override)
        except InvalidWorkflow as error:
            problems += error.problems
    return _parsed(root, Path.cwd(), tuple(problems), tuple(notices))


def parse_tree(tree: Mapping[str, object], base_dir: Path | None = None, overrides: Sequence[str] = ()) -> Draft:
    """Read a workflow from a dict as a file would hold it; problems have paths, but no positions.

    Older spellings are for files: here only today's are known.
    """
    try:
        root = from_python(tree)
    except TypeError as error:
        return Draft(None, (Problem((), str(error)),))
    problems: list[Problem] = []
    for override in overrides:
        try:
            root = apply_override(root, override)
        except InvalidWorkflow as error:
            problems += error.problems
    return _parsed(root, base_dir or Path.cwd(), tuple(problems), ())


def _parsed(root: Node, base_dir: Path, problems: tuple[Problem, ...], notices: tuple[Problem, ...]) -> Draft:
    findings = Findings(root)
    parsed = parse(findings, base_dir)
    workflow = None if problems else parsed.workflow
    return Draft(workflow, (*problems, *findings.problems), notices, findings.root, parsed.data_configs, base_dir)
