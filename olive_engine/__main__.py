"""``python -P -m olive_engine``: the command ``olive`` where no script is installed."""

from olive_engine.cli import main

main("python -P -m olive_engine")
