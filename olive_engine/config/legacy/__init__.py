"""Older spellings, and the only place that knows them.

A table of rules brings each file's tree into today's spelling by itself (`revise`); a few rules that need the whole run
after the merge (`revise_whole`). Every change is one of a few kinds of `Edit`, told once as a notice, and keeps the
positions of what it moves; `olive migrate` repeats the edits on the file's own text.
"""

from olive_engine.config.legacy.edits import PLANNED, Edit, Move, NameItems, Order, Put, Remove, Revision
from olive_engine.config.legacy.table import FILE_RULES
from olive_engine.config.legacy.whole import bring_together, revise_whole

__all__ = [
    "PLANNED",
    "Edit",
    "Move",
    "NameItems",
    "Order",
    "Put",
    "Remove",
    "Revision",
    "bring_together",
    "revise",
    "revise_whole",
]


def revise(revision: Revision) -> None:
    """Bring one file, or what the files and `--set` have come to, into today's spelling."""
    for rule in FILE_RULES:
        rule.apply(revision)
