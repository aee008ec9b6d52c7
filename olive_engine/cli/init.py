"""``olive init``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from olive_engine.cli.questions import GOALS, Given, ask

if TYPE_CHECKING:
    from olive_engine.reporting.starter import Answers, Format


@click.command("init", short_help="Write a first workflow file, from a few answers.")
@click.argument("file", metavar="[FILE]", required=False)
@click.option("--model", metavar="MODEL", help="A folder in Hugging Face layout, or a name on the hub.")
@click.option("--goal", type=click.Choice(list(GOALS)), help="What shall come out.")
@click.option(
    "--passes", metavar="TYPE,…", multiple=True, help="Instead of a goal: the passes, as LoRA,MergeAdapterWeights."
)
@click.option("--qlora", is_flag=True, help="Keep the frozen model in 4 bits while it is tuned.")
@click.option("--adapter", metavar="FOLDER", help="An adapter that there is already, to be merged.")
@click.option("--data", metavar="DATA", help="The rows: a file, folder or pattern, or a data set on the hub.")
@click.option("--template", metavar="TEXT", help=r"The text of a row, columns in braces; \n is a line break.")
@click.option("--eval/--no-eval", "evaluate", default=None, help="Whether to measure the result on held-out rows.")
@click.option("--output-dir", metavar="FOLDER", help="Where the final model goes.")
@click.option("--format", "file_format", type=click.Choice(["yaml", "json"]), help="Default: by FILE's suffix.")
@click.option("-y", "--yes", is_flag=True, help="Ask nothing; take the default for what is not given.")
@click.option("--force", is_flag=True, help="Write over FILE if it exists.")
def command(
    file: str | None, file_format: Format | None, passes: tuple[str, ...], *, yes: bool, force: bool, **given: object
) -> None:
    """Write a first workflow file, from a few answers.

    In a terminal it asks for what is not given; without one it takes defaults. FILE is workflow.yaml if it is not
    named. What is written is checked at once, as `olive validate` does.
    """
    chosen: Format = file_format or ("json" if file is not None and file.lower().endswith(".json") else "yaml")
    target = Path(file or f"workflow.{chosen}")
    if target.exists() and not force:
        raise click.UsageError(f"{target} exists; name another file, or write over it with --force")
    names = tuple(name.strip() for each in passes for name in each.split(",") if name.strip())
    answers = ask(Given(passes=names, **given), asks=not yes and sys.stdin.isatty())  # type: ignore[arg-type]  # click's options are its fields
    _write(target, chosen, answers)


def _write(target: Path, file_format: Format, answers: Answers) -> None:
    """Write the file; say what is wrong with it, if anything is, and what comes next."""
    from olive_engine.reporting.starter import starter

    run = f"olive run {target}"
    text = starter(answers, file_format, _schema(target), run)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")
    click.echo(f"wrote {target}: {' -> '.join(cls.type for cls in answers.passes)}")

    from olive_engine import reading
    from olive_engine.config.diagnostics import render

    draft = reading.read_workflow([target])
    if draft.problems:
        click.echo(render(draft.problems), err=True)
    if any(problem.severity == "error" for problem in draft.problems):
        click.echo(f"mend that, and then run it:  {run}")
        raise click.exceptions.Exit(2)
    click.echo(f"what it would do:  olive plan {target}")
    click.echo(f"run it:            {run}")


def _schema(target: Path) -> str:
    """Where an editor finds the schema of the file: from the file on where both are here, else from the root."""
    from olive_engine.config.schemas import SUFFIX, schema_folder

    try:
        schema = schema_folder() / f"workflow{SUFFIX}"
    except FileNotFoundError:  # installed without them: the file is as good, the editor knows less
        return ""
    here = target.resolve().parent
    return os.path.relpath(schema, here) if schema.is_relative_to(Path.cwd()) else str(schema)
