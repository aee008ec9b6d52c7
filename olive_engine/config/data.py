"""What may be written about a data set."""

from __future__ import annotations

from pydantic import Field

from olive_engine.options import Options


class DataConfig(Options):
    """A named data set: where its rows are and how they become tokens."""

    name: str = Field(pattern=r"^[A-Za-z0-9_.\-]+$")
