"""Split expressions: which rows of a data set are taken."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SplitPart:
    """One summand of a split expression; a bound is (value, whether in percent)."""

    name: str
    start: tuple[int, bool] | None = None
    stop: tuple[int, bool] | None = None

    def rows(self, count: int) -> range:
        """The rows it takes of `count`; percentages are rounded to the nearest row, bounds past the end are the end."""
        return range(*slice(_absolute(self.start, count), _absolute(self.stop, count)).indices(count))


def split_parts(split: str) -> tuple[SplitPart, ...]:
    """Read a split expression: ``train``, ``train[:80%]``, ``train[-100:]``, ``train[:10%]+test``.

    Raises:
        ValueError: it is not one.
    """
    return tuple(_split_part(part.strip(), split) for part in split.split("+"))


_BOUND = r"(-?\d+)(%)?"
_SPLIT = re.compile(rf"([\w.\-]+)(?:\[(?:{_BOUND})?:(?:{_BOUND})?\])?")


def _split_part(text: str, split: str) -> SplitPart:
    match = _SPLIT.fullmatch(text)
    if match is None:
        raise ValueError(
            f"a split must read like train, train[:80%], train[100:200] or train[:10%]+test, not {split!r}"
        )
    name, *bounds = match.groups()
    start, stop = ((int(value), bool(percent)) if value else None for value, percent in (bounds[:2], bounds[2:]))
    for bound in (start, stop):
        if bound is not None and bound[1] and abs(bound[0]) > 100:
            raise ValueError(f"percentages in a split must be from -100 to 100, not {bound[0]} in {split!r}")
    return SplitPart(name, start, stop)


def _absolute(bound: tuple[int, bool] | None, count: int) -> int | None:
    if bound is None:
        return None
    value, percent = bound
    return round(value * count / 100) if percent else value
