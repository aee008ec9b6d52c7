"""What may stand in the place of an option's value, for the schema that editors read."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from olive_engine.config.search.values import Candidate, SearchValue
from olive_engine.options import Options


class Searched(Options):
    """What stands in the place of an option's value in a file; a workflow that is read holds a plain value there."""

    search: SearchValue | tuple[Candidate, ...] | Literal["default"] = Field(
        description="The values to try; a list is a choice among them, `default` what the option itself offers."
    )
