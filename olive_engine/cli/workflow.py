"""The options by which commands name a workflow, and its reading."""

from __future__ import annotations

import functools
import json
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import click

from olive_engine.cli.session import session, warn
from olive_engine.errors import Problem, dotted
from olive_engine.reporting.levels import DEBUG, LEVELS, WARNING

if TYPE_CHECKING:
    from olive_engine.config.draft import Draft
    from olive_engine.config.workflow import Workflow


MANY = 3
"""So many notices call for a remedy."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What the command line says about the workflow."""

    config: str | None
    configs: tuple[str, ...]
    settings: tuple[str, ...]
    output_dir: str | None
    cache_dir: str | None
    log_level: str | None


_OPTIONS = (
    click.argument("config", required=False),
    click.option(
        "--config",
        "configs",
        metavar="FILE",
        multiple=True,
        help="A workflow file; may be repeated, a later one counts over an earlier one.",
    ),
    click.option(
        "--set",
        "settings",
        metavar="PATH=VALUE",
        multiple=True,
        help="Set one value, such as passes.lora.r=8; may be repeated.",
    ),
    click.option("--output-dir", metavar="FOLDER", help="Where the final models go, whatever the file says."),
    click.option("--cache-dir", metavar="FOLDER", help="Where results are kept for reuse, whatever the file says."),
    click.option(
        "--log-level",
        type=click.Choice(list(LEVELS)),
        help="How much to show, whatever the file says; debug shows tracebacks.",
    ),
)


def workflow_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the argument CONFIG and the options about the workflow; it gets them as one `Choice`, first."""
    names = [field.name for field in fields(Choice)]

    @functools.wraps(command)
    def with_choice(**given: Any) -> None:
        command(Choice(**{name: given.pop(name) for name in names}), **given)

    decorated: Callable[..., None] = with_choice
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated


def words_of(choice: Choice) -> str:
    """The choice as one types it, but for what is shown."""
    words = [choice.config] if choice.config is not None else []
    words += [word for name in choice.configs for word in ("--config", name)]
    words += [word for setting in choice.settings for word in ("--set", setting)]
    words += ["--output-dir", choice.output_dir] if choice.output_dir is not None else []
    words += ["--cache-dir", choice.cache_dir] if choice.cache_dir is not None else []
    return shlex.join(words)


def read_workflow(choice: Choice) -> Workflow:
    """Read the workflow; tell notices and warnings on stderr.

    Raises:
        InvalidWorkflow: it has errors.
        click.UsageError: no file is named, or one in both ways.
    """
    return read_draft(choice).raise_if_wrong()


def read_draft(choice: Choice, *, to_run: bool = False) -> Draft:
    """Read the workflow, which may be wrong; tell notices and warnings on stderr.

    Args:
        choice: which workflow.
        to_run: it is going to be run: what stops that is told as an error then, and not as a warning now.

    Raises:
        click.UsageError: no file is named, or one in both ways.
    """
    paths = _paths(choice)
    session().tracebacks |= choice.log_level == "debug"
    session().own_tracebacks |= choice.log_level == "debug"
    overrides = list(choice.settings)
    # JSON text is YAML too, so that a folder called `1e3` or `true` stays a name.
    overrides += [f"output_dir={json.dumps(choice.output_dir)}"] if choice.output_dir is not None else []
    overrides += [f"cache_dir={json.dumps(choice.cache_dir)}"] if choice.cache_dir is not None else []
    overrides += [f"log_severity_level={LEVELS[choice.log_level]}"] if choice.log_level is not None else []

    from olive_engine import reading
    from olive_engine.config.diagnostics import render

    draft = reading.read_workflow(paths, overrides)
    if draft.workflow is None or draft.workflow.log_severity_level <= WARNING:
        for notice in _notes(draft, paths[0]):
            warn(f"note: {notice}")
        warnings = [problem for problem in draft.problems if problem.severity == "warning"]
        if warnings and to_run:
            from olive_engine.preflight import not_yet

            refused = {(problem.path, problem.what) for problem in not_yet(draft.workflow)} if draft.workflow else set()
            warnings = [problem for problem in warnings if (problem.path, problem.what) not in refused]
        if warnings:
            warn(render(warnings))
    session().tracebacks |= draft.workflow is not None and draft.workflow.log_severity_level == DEBUG
    return draft


def _notes(draft: Draft, file: str) -> list[str]:
    """What there is to say: of many older spellings all where the file is checked, else that there are many."""
    rewrites, others = grouped(draft.notices[: draft.rewrites]), grouped(draft.notices[draft.rewrites :])
    remedy = f"`olive migrate {file}` writes today's spelling"
    if len(rewrites) <= MANY:
        return [*rewrites, *others]
    if click.get_current_context().info_name == "validate":
        return [*rewrites, remedy, *others]
    what = f"{len(rewrites)} older spellings are read as today's; `olive validate {file}` lists them"
    return [f"{what}, {remedy}", *others]


def grouped(notices: Iterable[Problem]) -> list[str]:
    """A line for each thing that there is to say, at its first place, with the lines of the others."""
    places: dict[str, list[Problem]] = {}
    for notice in notices:
        places.setdefault(notice.what + notice.hint, []).append(notice)
    lines = []
    for first, *others in places.values():
        also = dict.fromkeys(_line(other, first) for other in others)
        lines.append(f"{first} (also {', '.join(also)})" if also else str(first))
    return lines


def _line(notice: Problem, first: Problem) -> str:
    """Where else, in as few words as tell."""
    place = notice.position
    if place is None or not place.line:
        return dotted(notice.path)
    same = first.position is not None and first.position.file == place.file
    return f"line {place.line}" if same else f"{place.file}:{place.line}"


def _paths(choice: Choice) -> tuple[str, ...]:
    command = click.get_current_context().command_path
    if choice.config is not None and choice.configs:
        named = " ".join(f"--config {name}" for name in (choice.config, *choice.configs))
        raise click.UsageError(f"files are named both as an argument and with --config; write `{command} {named}`")
    if choice.config is None and not choice.configs:
        raise click.UsageError(f"which workflow? Write for instance `{command} workflow.yaml`")
    return choice.configs or (str(choice.config),)
