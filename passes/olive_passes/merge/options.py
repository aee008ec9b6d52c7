"""What may be written about a merge: nothing yet; the fold is exact and keeps the base's precision."""

from __future__ import annotations

from olive_engine.options import Options


class MergeConfig(Options):
    """A merge has no options."""
