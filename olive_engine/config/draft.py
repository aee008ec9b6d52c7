"""Reading a workflow: files and overrides -> a `Draft`, the workflow or all that is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import JsonValue

from olive_engine import registry
from olive_engine.config.data import DataConfig
from olive_engine.config.extends import with_bases
from olive_engine.config.findings import Findings, in_line_order
from olive_engine.config.legacy import Revision, revise, revise_whole
from olive_engine.config.overrides import apply_override, override_name
from olive_engine.config.parse import parse
from olive_engine.config.shared_cache import OPTIONS_KEY
from olive_engine.config.spelling import Corrections, corrected
from olive_engine.config.tree import Node, Source, find, from_python, locate, merge, plain
from olive_engine.config.variables import Unfilled, filled_in
from olive_engine.config.workflow import Workflow
from olive_engine.errors import ConfigPath, InvalidWorkflow, Position, Problem

STAYS = {"storage", OPTIONS_KEY, "environment_variables"}
"""Keys beside those of secrets whose references stay: a storage's URL may hold a password, its options a key, a
variable of a system a token."""
NAMED = ("data_configs", "evaluators")
"""Sections whose members are used only where they are named."""


MAX_ROUNDS = 8
"""How often misspelt keys may bring further ones to light."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What reading came to. Checks that know more (data, graph) add their problems; then `raise_if_wrong`."""

    workflow: Workflow | None
    problems: tuple[Problem, ...]
    notices: tuple[Problem, ...] = ()
    """What is worth saying of a sound file: older spellings that were read as today's, what an option means here."""
    rewrites: int = 0
    """How many of the notices, the first ones, are of older spellings."""
    root: Node | None = None
    """The merged tree, with the positions of everything in it."""

    data_configs: Mapping[int, DataConfig] = field(default_factory=dict)
    """The sound data configs by index, so that their files can be checked though something else is wrong."""
    base_dir: Path = field(default_factory=Path)
    """Where relative paths start."""
    corrections: Corrections = field(default_factory=dict)
    """Misspelt keys of the files, and what was probably meant."""
    slips: tuple[Problem, ...] = ()
    """The problems that `corrections` would mend."""

    def locate(self, path: ConfigPath) -> Position | None:
        """Where the value at `path` was written; if it was not, its nearest ancestor. None for values from Python."""
        return locate(self.root, path) if self.root is not None else None

    def adding(self, problems: Iterable[Problem], notices: Iterable[Problem] = ()) -> Draft:
        """The draft with further problems, located where they are not yet. With an error it is no workflow any more."""
        located = [each for each in map(self._located, problems) if not self._follows(each)]
        workflow = None if any(problem.severity == "error" for problem in located) else self.workflow
        noticed = (*self.notices, *(self._located(notice) for notice in notices))
        return replace(self, workflow=workflow, problems=in_line_order((*self.problems, *located)), notices=noticed)

    def raise_if_wrong(self) -> Workflow:
        """The workflow.

        Raises:
            InvalidWorkflow: there is an error (not only warnings) among the problems.
        """
        errors = tuple(problem for problem in self.problems if problem.severity == "error")
        if errors or self.workflow is None:
            raise InvalidWorkflow(errors)
        return self.workflow

    def _follows(self, problem: Problem) -> bool:
        """Whether it is about a text whose variable failed, which is reported."""
        node = find(self.root, problem.path) if self.root is not None else None
        return node is not None and isinstance(node.value, Unfilled)

    def _located(self, problem: Problem) -> Problem:
        """With its position, and its path as it is written: a lone pass is no list of alternatives."""
        path, written = problem.path, problem.path
        slot = find(self.root, path[:2]) if self.root is not None else None
        if path[:1] == ("passes",) and path[2:3] == (0,) and slot is not None and isinstance(slot.value, Mapping):
            written = (*path[:2], *path[3:])
        return replace(problem, path=written, position=problem.position or self.locate(written))


def read(paths: Sequence[Path], overrides: Sequence[str] = ()) -> Draft:
    """Read a workflow from one file or several, later ones on top, with ``--set`` overrides on top of all.

    Relative paths in the workflow are relative to the working directory; those of `extends` to the file that says so.
    Nothing is raised for a wrong workflow: the problems are in the draft.
    """
    files: list[Source] = []
    unread: list[Problem] = []
    for path in paths:
        try:
            files += with_bases(path)
        except InvalidWorkflow as error:
            unread += error.problems
    draft = _read(files, unread, overrides, {})
    slips: tuple[Problem, ...] = ()
    corrections: dict[tuple[str, int], str] = {}
    for _ in range(MAX_ROUNDS):
        if not draft.corrections.keys() - corrections.keys():
            break
        slips += draft.slips
        corrections.update(draft.corrections)
        draft = _read(files, unread, overrides, corrections)
    return draft if not slips else replace(draft, workflow=None, problems=in_line_order((*slips, *draft.problems)))


def _read(files: Sequence[Source], unread: Sequence[Problem], overrides: Sequence[str], guessed: Corrections) -> Draft:
    """What the files come to when the keys of `guessed` are read as what they were probably meant to be."""
    reader = _Reader(guessed)
    root: Node | None = None
    for source in files:
        revised = reader.revised(corrected(source.root, guessed))
        root = revised if root is None else merge(root, revised)
    if root is None or unread:
        return Draft(None, in_line_order((*unread, *reader.problems)), tuple(reader.notices))
    return reader.finished(root, tuple(source.text.name for source in files), overrides, Path.cwd())


def parse_tree(tree: Mapping[str, object], base_dir: Path | None = None, overrides: Sequence[str] = ()) -> Draft:
    """Read a workflow from a dict as a file would hold it; problems have paths, but no positions."""
    try:
        root = from_python(tree)
    except TypeError as error:
        return Draft(None, (Problem((), str(error)),))
    reader = _Reader()
    return reader.finished(reader.revised(root), (), overrides, base_dir or Path.cwd())


class _Reader:
    """What is found on the way from trees to a workflow."""

    def __init__(self, guessed: Corrections | None = None) -> None:
        self.guessed = guessed or {}
        self.problems: list[Problem] = []
        self.notices: list[Problem] = []
        self.corrections: dict[tuple[str, int], str] = {}
        self.slips: list[Problem] = []
        self.lacks: dict[tuple[str, str], list[Problem]] = {}

    def revised(self, root: Node, names: Sequence[str] = ()) -> Node:
        """In today's spelling, with its variables filled in."""
        return self._after(Revision(filled_in(root, registry.secrets() | STAYS), names), revise)

    def finished(self, root: Node, names: Sequence[str], overrides: Sequence[str], base_dir: Path) -> Draft:
        """What the whole comes to: overrides, rewrites that need all of it, and the values."""
        for override in overrides:
            try:
                root = apply_override(root, override)
            except InvalidWorkflow as error:
                self.problems += error.problems
        names = (*names, *(override_name(override) for override in overrides))
        if overrides or len(names) > 1:  # a later file or `--set` may say otherwise what an earlier one says
            root = self.revised(root, names)
        root = filled_in(root, registry.secrets() | STAYS, self.problems)
        findings = Findings(self._after(Revision(root, names), revise_whole), self.guessed)
        parsed = parse(findings, base_dir, self.lacks)
        rewrites = len(self.notices)
        self.notices += parsed.notices
        workflow, lacks = parsed.workflow, self._felt(findings.root)
        if workflow is not None:
            workflow = workflow.model_copy(update={"unavailable": lacks}) if lacks else workflow
        problems = in_line_order((*self.problems, *lacks, *findings.problems))
        return Draft(
            workflow=None if self.problems else workflow,
            problems=problems,
            notices=tuple(self.notices),
            rewrites=rewrites,
            root=findings.root,
            data_configs=parsed.data_configs,
            base_dir=base_dir,
            corrections={**self.corrections, **findings.corrections},
            slips=(*self.slips, *findings.slips),
        )

    def _felt(self, root: Node) -> tuple[Problem, ...]:
        """What cannot be had and is used: a data config or an evaluator that nothing names is missed by nobody."""
        tree = plain(root)
        places = [tree.get(key) for key in ("evaluator", "evaluators", "passes")] if isinstance(tree, dict) else []
        used = {text for place in places for text in _texts(place)}
        return tuple(
            lack
            for (section, name), lacks in self.lacks.items()
            for lack in lacks
            if name in used or section not in NAMED
        )

    def _after(self, revision: Revision, change: Callable[[Revision], None]) -> Node:
        change(revision)
        self.corrections.update(revision.corrections)
        self.slips += revision.slips
        self.problems += revision.problems
        self.notices += revision.notices
        self.lacks |= revision.lacks
        return revision.root


def _texts(value: JsonValue) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)
