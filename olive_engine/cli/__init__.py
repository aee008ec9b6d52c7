"""The command ``olive``: one module per command, imported when it is used. Argument parsing only."""


def main(program: str | None = None) -> None:
    """Run the command line and end the process with its exit code; `program` is what the user typed to get here."""
    from olive_engine.cli.group import olive

    olive.main(prog_name=program)
