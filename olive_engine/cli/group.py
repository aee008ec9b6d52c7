"""The group of commands: what there is, and what happens to an error.

Nothing but click is imported to print the help: each command's module is imported when it is called.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

from olive_engine import __version__
from olive_engine.cli.session import Session, describe_error
from olive_engine.errors import Interrupted

COMMANDS = {
    "run": "Run a workflow and write its final models.",
    "plan": "Show which steps would run, and why, and which are reused.",
    "validate": "Check a workflow file; show everything that is wrong with it.",
    "init": "Write a first workflow file, from a few answers.",
    "migrate": "Write a workflow file in today's spelling.",
    "why": "Say why a step would run.",
    "attach": "Come back to a run that was left while its jobs go on elsewhere.",
    "sweep": "Look at a search, stop it, export its trials, take the best.",
    "passes": "List the passes, or show one with its options.",
    "systems": "List the systems, or show one with its options.",
    "metrics": "List the metrics, or show one with its options.",
    "schema": "Print the JSON Schema of the workflow file, or of one pass.",
    "doctor": "Examine what is installed here, and say what is wrong with it.",
    "cache": "Look at the cache, check it, clean it up.",
    "environments": "Look at the environments that olive has made, remove them.",
    "shared-cache": "Look at a shared cache, fill it, check it, clean it up.",
}
"""Command -> its line in the help, the same as its own short help (a test compares them)."""


class LazyGroup(click.Group):
    """A group that imports the module of a command when the command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """All names, in the order in which one meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Import the command; none if there is no such command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"olive_engine.cli.{cmd_name.replace('-', '_')}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """Write the list of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; a wrong name is told with the nearest right one, one of Olive's with another way."""
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            from difflib import get_close_matches

            from olive_engine.cli import elsewhere

            if way := elsewhere.COMMANDS.get(name.replace("_", "-").lower()):
                raise click.UsageError(f"`{name}` is a command of Olive's that is not here; {way}", ctx)
            near = get_close_matches(name, COMMANDS, n=1)
            hint = f"did you mean `{near[0]}`?" if near else f"there are {', '.join(COMMANDS)}"
            raise click.UsageError(f"no command is called `{name}`; {hint}", ctx)
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Remember the whole command line, so that an interrupted run can say how to go on."""
        ctx.obj = Session(program=ctx.info_name or "olive", arguments=tuple(args))
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Call the command; an error is told in a sentence and becomes an exit code."""
        session: Session = ctx.obj
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()  # here, where a closed pipe is still dealt with
        except click.ClickException as error:  # click tells it on stderr
            if session.json or "--json" in session.arguments:
                from olive_engine.cli.output import write_json

                told = {"event": "error", "type": type(error).__name__, "message": error.format_message()}
                write_json(told, line=True)
            raise
        except (click.exceptions.Exit, BrokenPipeError):
            raise  # click's own affair: --help, `| head`
        except (KeyboardInterrupt, click.Abort):  # the latter is what click makes of Ctrl-C and Ctrl-D at a question
            stopped = Interrupted("stopped")
            if session.arguments[:1] == ("run",) or session.json:
                ctx.exit(describe_error(stopped, session))
            click.echo("\ninterrupted", err=True)  # no other command keeps steps from which it could go on
            ctx.exit(stopped.exit_code)
        except Exception as error:  # noqa: BLE001 - the last place where an error can become a sentence
            ctx.exit(describe_error(error, session))
        return result

    def main(self, args: Sequence[str] | None = None, *others: Any, **more: Any) -> Any:
        """Run; what a stream's encoding lacks is written as `?` rather than ending the command."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")
        return super().main(args, *others, **more)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 failed, 2 the workflow or the command line is wrong, 130 interrupted.",
)
@click.version_option(__version__, prog_name="olive", message="%(prog)s %(version)s")
def olive() -> None:
    """Fine-tune and optimize small language models, as one workflow file says."""
