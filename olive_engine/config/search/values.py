"""The values that a searched option may take. They are checked as they are made; `space` fits them to the option."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from olive_engine.options import Options

Scalar = bool | int | float | str | None
Candidate = Scalar | tuple[Scalar, ...]
"""A value of an option: a plain one, or a list of plain ones where the option takes a list."""


class FloatRange(Options):
    """Numbers between two others."""

    type: Literal["float"] = Field(default="float", description="Any number of a range.")
    low: float = Field(description="The smallest number, which may be taken itself.")
    high: float = Field(description="The largest number, which may be taken itself.")
    log: bool = Field(
        default=False, description="Draw by magnitude: as often between 1e-5 and 1e-4 as between 1e-4 and 1e-3."
    )
    step: float | None = Field(
        default=None, gt=0, description="Only low, low + step, low + 2 step, …; none: any number."
    )

    @field_validator("high")
    @classmethod
    def _above_low(cls, value: float, info: ValidationInfo) -> float:
        _check_order(info.data.get("low"), value)
        return value

    @field_validator("log")
    @classmethod
    def _of_positive_numbers(cls, value: bool, info: ValidationInfo) -> bool:  # noqa: FBT001 - pydantic calls it
        _check_log(info.data.get("low"), log=value)
        return value

    @field_validator("step")
    @classmethod
    def _fits(cls, value: float | None, info: ValidationInfo) -> float | None:
        if value is not None:
            _check_step(info.data.get("low"), info.data.get("high"), value, log=info.data.get("log") is True)
        return value


class IntRange(Options):
    """Whole numbers between two others."""

    type: Literal["int"] = Field(default="int", description="Any whole number of a range.")
    low: int = Field(description="The smallest number, which may be taken itself.")
    high: int = Field(description="The largest number, which may be taken itself.")
    log: bool = Field(default=False, description="Draw by magnitude: as often between 8 and 16 as between 16 and 32.")
    step: int = Field(default=1, gt=0, description="Only low, low + step, low + 2 step, …")

    @field_validator("high")
    @classmethod
    def _above_low(cls, value: int, info: ValidationInfo) -> int:
        _check_order(info.data.get("low"), value)
        return value

    @field_validator("log")
    @classmethod
    def _of_positive_numbers(cls, value: bool, info: ValidationInfo) -> bool:  # noqa: FBT001 - pydantic calls it
        _check_log(info.data.get("low"), log=value)
        return value

    @field_validator("step")
    @classmethod
    def _fits(cls, value: int, info: ValidationInfo) -> int:
        if value != 1:
            _check_step(info.data.get("low"), info.data.get("high"), value, log=info.data.get("log") is True)
        return value


class Choice(Options):
    """A few values."""

    type: Literal["choice"] = Field(default="choice", description="One of a few values.")
    values: tuple[Candidate, ...] = Field(min_length=1, description="The values, each once.")

    @field_validator("values")
    @classmethod
    def _once_each(cls, value: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
        twin = first_twin(value)
        if twin is not None:
            raise ValueError(f"the values must differ; {_shown(value[twin])} is there twice")
        return value


PlainValue = Annotated[FloatRange | IntRange | Choice, Field(discriminator="type")]
"""What does not depend on other options."""


class Case(Options):
    """What an option may be where other searched options have certain values."""

    when: dict[str, tuple[Scalar, ...]] = Field(
        min_length=1, description="Searched option -> the values that it must have one of, e.g. {tune.r: [8, 16]}."
    )
    search: PlainValue = Field(description="What the option may be then.")


class Conditional(Options):
    """Values that depend on those of other searched options."""

    type: Literal["conditional"] = Field(default="conditional", description="What other searched options allow.")
    cases: tuple[Case, ...] = Field(min_length=1, description="The first case whose `when` holds counts.")
    otherwise: PlainValue | None = Field(
        default=None,
        description="What the option may be where no case holds; none: it keeps the value it has in the pass.",
    )


SearchValue = Annotated[FloatRange | IntRange | Choice | Conditional, Field(discriminator="type")]
"""What a searched option may be."""


def first_twin(values: tuple[Candidate, ...]) -> int | None:
    """The index of the first value that is there before; true is not 1, but 1.0 is."""
    seen: list[Candidate] = []
    for index, value in enumerate(values):
        if any(value == other and isinstance(value, bool) == isinstance(other, bool) for other in seen):
            return index
        seen.append(value)
    return None


def first(value: SearchValue) -> Candidate:
    """The value that stands for all of them where one is needed: the first, or the lowest."""
    match value:
        case Choice(values=values):
            return values[0]
        case FloatRange(low=low) | IntRange(low=low):
            return low
        case Conditional(cases=cases):
            return first(cases[0].search)


def size(value: FloatRange | IntRange | Choice) -> int | None:
    """How many values there are; None: endless."""
    match value:
        case Choice(values=values):
            return len(values)
        case IntRange(low=low, high=high, step=step):
            return (high - low) // step + 1
        case FloatRange(low=low, high=high, step=step):
            return None if step is None else _steps(low, high, step) + 1


def endless(value: SearchValue) -> bool:
    """Whether it has a range without a step, so that no search could try everything."""
    match value:
        case Conditional(cases=cases, otherwise=otherwise):
            parts = [case.search for case in cases]
            return any(size(part) is None for part in [*parts, *([otherwise] if otherwise is not None else [])])
        case FloatRange() | IntRange() | Choice():
            return size(value) is None


def _check_order(low: float | None, high: float) -> None:
    if low is not None and high <= low:
        raise ValueError(f"must be greater than low, which is {low!r}; found {high!r}")


def _check_log(low: float | None, *, log: bool) -> None:
    if log and low is not None and low <= 0:
        raise ValueError(f"a logarithmic range begins above 0, and low is {low!r}")


def _check_step(low: float | None, high: float | None, step: float, *, log: bool) -> None:
    if log:
        raise ValueError("a logarithmic range has no steps; remove step, or log")
    if low is None or high is None:
        return
    steps = _steps(low, high, step)
    if steps < 1:
        raise ValueError(f"no step fits between {low!r} and {high!r}; found {step!r}")
    last = low + steps * step
    if not math.isclose(last, high, rel_tol=1e-9, abs_tol=1e-9 * step):
        raise ValueError(f"in steps of {step!r} from {low!r} the last number is {last:.12g}; write that for high")


def _steps(low: float, high: float, step: float) -> int:
    """How many steps fit; one that ends on `high` but for rounding counts."""
    if isinstance(low, int) and isinstance(high, int) and isinstance(step, int):
        return (high - low) // step
    ratio = (high - low) / step
    return math.floor(ratio * (1 + 1e-12) + 1e-9) if math.isfinite(ratio) else 2**63


def _shown(value: Candidate) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)
