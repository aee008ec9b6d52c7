"""Numbers, durations and sizes in the words that reports use."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

_UNITS = ("B", "kB", "MB", "GB", "TB")
SHORT: Mapping[str, str] = {"tokens_per_second": "tok/s", "learning_rate": "lr"}
"""Names that everybody knows by less."""
_FIRST = ("loss", "eval_loss", "tokens_per_second")


def number(value: float) -> str:
    """Four significant digits, no exponent where it can be helped: ``0.4123``, ``12.35``, ``1,235``, ``2e-05``."""
    if not math.isfinite(value):
        return str(value)
    if value == 0 or abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) < 0.001:
        return f"{value:.3g}"
    return f"{value:.4g}"


def decimals(measured: Iterable[float]) -> int:
    """How many digits after the point show four significant ones of the largest value, for a column of numbers."""
    largest = max((abs(value) for value in measured if math.isfinite(value)), default=0.0)
    return 4 if largest == 0 else max(0, 3 - max(-8, math.floor(math.log10(largest))))


def alike(numbers: Iterable[float]) -> Callable[[float], str]:
    """How the numbers of one column are written: all with the same digits after the point."""
    # Enough for the smallest: a baseline in the thousands must not round the others to whole numbers.
    sizes = [abs(number) for number in numbers if math.isfinite(number) and number]
    digits = max(decimals(sizes), min(4, decimals([min(sizes)]) - 1)) if sizes else 0
    return lambda number: f"{number:,.{digits}f}"


def duration(seconds: float) -> str:
    """A length of time: ``0.4 s``, ``12.3 s``, ``2 min 05 s``, ``1 h 02 min``."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def clock(seconds: float) -> str:
    """A length of time on a running clock: ``0:42``, ``1:02:03``."""
    whole = max(0, round(seconds))
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02}"
    return f"{whole // 3600}:{whole % 3600 // 60:02}:{whole % 60:02}"


def size(count: int) -> str:
    """A number of bytes in powers of 1000: ``512 B``, ``8.1 MB``."""
    value, unit = float(count), _UNITS[0]
    for unit in _UNITS:
        if value < 999.5 or unit == _UNITS[-1]:
            break
        value /= 1000
    return f"{value:.3g} {unit}" if unit != "B" else f"{count} B"


def count(amount: int, noun: str) -> str:
    """``1 step``, ``10,000 steps``."""
    return f"{amount:,} {noun}" if amount == 1 else f"{amount:,} {noun}s"


def values(measured: Mapping[str, float]) -> list[str]:
    """Measured values as short phrases, the loss and the speed first: ``loss 0.41``, ``3,400 tok/s``."""
    names = [name for name in _FIRST if name in measured] + [name for name in measured if name not in _FIRST]
    return [_value(name, measured[name]) for name in names]


def fitting(phrases: Iterable[str], width: int, separator: str = " · ") -> str:
    """As many of the phrases as fit into `width` columns, in order; a phrase is never cut."""
    text = ""
    for phrase in phrases:
        longer = f"{text}{separator}{phrase}" if text else phrase
        if len(longer) > width:
            break
        text = longer
    return text


def cut(text: str, width: int) -> str:
    """The text in at most `width` columns, its end left out if it must be."""
    return text if len(text) <= width else f"{text[: max(0, width - 1)]}…"


def _value(name: str, value: float) -> str:
    if name == "tokens_per_second":
        return f"{number(value)} tok/s"
    return f"{SHORT.get(name, name)} {number(value)}"
