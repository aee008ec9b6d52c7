"""What may be said of a pruner: which values its arguments take, and where it judges. No Optuna is imported here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from olive_engine.config.search.methods import PRUNERS, Pruner

REDUCTION_FACTOR = 2
"""Of our successive halving, where none is given: of two trials one goes on."""
MIN_FINALISTS = 2
"""Of our successive halving, where none is given."""
TOP_K_RUNG = 1 / 8
"""Where `top_k` judges, where nothing is given."""
EIGHTHS = tuple(eighths / 8 for eighths in range(1, 8))
"""Where Optuna's pruners judge, where nothing is given."""

WRAPPABLE: tuple[Pruner, ...] = ("median", "percentile", "threshold", "wilcoxon", "hyperband")
"""The pruners that `patient` may hold back."""

Arguments = Mapping[str, JsonValue]


def check_arguments(pruner: Pruner, arguments: Arguments) -> None:
    """Hold the arguments of a pruner against what they may be.

    Raises:
        ValueError: an argument that the pruner does not have, or a value that the argument cannot have.
    """
    known = PRUNERS[pruner].arguments
    for name, value in arguments.items():
        if name not in known:
            raise ValueError(
                f"the pruner {pruner} has no argument {name!r}; its arguments: {', '.join(known) or 'none'}"
            )
        if name == "wrapped_pruner":
            _check_wrapped(value)
        elif not (name == "max_resource" and value == "auto"):
            _check_number(name, value)
    _check_order(arguments, "lower", "upper")
    _check_order(arguments, "min_resource", "max_resource")


def check_complete(pruner: Pruner, arguments: Arguments, rungs: tuple[float, ...] | None) -> None:
    """See that a pruner has all that it needs, and that it agrees with the rungs.

    Args:
        pruner: its name.
        arguments: its arguments, each sound by itself.
        rungs: the rungs as written; none: the pruner's own.

    Raises:
        ValueError: something is missing, or said twice.
    """
    lacking = [name for name in PRUNERS[pruner].required if name not in arguments]
    if lacking:
        raise ValueError(f"the pruner {pruner} needs {lacking[0]}; write pruner_config: {{{lacking[0]}: …}}")
    if pruner == "threshold" and all(arguments.get(name) is None for name in ("lower", "upper")):
        raise ValueError("the pruner threshold needs lower or upper; write pruner_config: {upper: …}")
    if pruner == "top_k" and rungs is not None:
        if "rung" in arguments:
            raise ValueError("the pruner top_k has its rung twice; remove rungs, or rung from pruner_config")
        if len(rungs) > 1:
            raise ValueError(f"the pruner top_k judges once, and there are {len(rungs)} rungs; write one of them")
    if pruner == "hyperband":
        last, first = len(judged_at(pruner, arguments, rungs)) + 1, arguments.get("min_resource", 1)
        if isinstance(first, int) and first > last:
            raise ValueError(
                f"hyperband's resource is the number of a rung, and there are {last} with the end; found a "
                f"min_resource of {first}"
            )
    wrapped = wrapped_pruner(arguments)
    if wrapped is not None:
        check_complete(*wrapped, rungs)


def judged_at(pruner: Pruner, arguments: Arguments, rungs: tuple[float, ...] | None) -> tuple[float, ...]:
    """Where in its budget a training is judged on the way: rising fractions below 1.

    Beside the pruner ``none`` rungs are measured too, where they are written, and nobody is pruned.
    """
    if rungs is not None:
        return rungs
    match pruner:
        case "none":
            return ()
        case "successive_halving":
            eta = whole(arguments, "reduction_factor", REDUCTION_FACTOR)
            return (1 / eta**3, 1 / eta**2, 1 / eta)
        case "top_k":
            rung = arguments.get("rung")
            return (float(rung) if isinstance(rung, int | float) else TOP_K_RUNG,)
        case "hyperband" | "median" | "percentile" | "patient" | "threshold" | "wilcoxon":
            return EIGHTHS


def wrapped_pruner(arguments: Arguments) -> tuple[Pruner, Arguments] | None:
    """The pruner that `patient` holds back, with its arguments; none: it prunes by itself."""
    value = arguments.get("wrapped_pruner")
    if value is None:
        return None
    own = dict(value) if isinstance(value, dict) else {"name": value}
    name = own.pop("name", None)
    for pruner in WRAPPABLE:
        if pruner == name:
            return pruner, own
    raise ValueError(f"wrapped_pruner is one of {', '.join(WRAPPABLE)}, or {{name: …, its arguments}}; found {value!r}")


def whole(arguments: Arguments, name: str, default: int) -> int:
    """A whole number among the arguments."""
    value = arguments.get(name)
    return value if isinstance(value, int) else default


# --- values -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Number:
    low: float = -math.inf
    high: float = math.inf
    whole: bool = True
    open: bool = False
    """Neither bound may be taken itself."""

    def __str__(self) -> str:
        kind = "a whole number" if self.whole else "a number"
        if self.open:
            return f"{kind} above {self.low:g} and below {self.high:g}"
        if math.isfinite(self.high):
            return f"{kind} from {self.low:g} to {self.high:g}"
        return f"{kind} from {self.low:g}" if math.isfinite(self.low) else kind


_NUMBERS: Mapping[str, _Number] = {
    "reduction_factor": _Number(2),
    "min_finalists": _Number(1),
    "keep": _Number(1),
    "rung": _Number(0, 1, whole=False, open=True),
    "min_resource": _Number(1),
    "max_resource": _Number(1),
    "bootstrap_count": _Number(0),
    "percentile": _Number(0, 100, whole=False),
    "n_startup_trials": _Number(0),
    "n_warmup_steps": _Number(0),
    "interval_steps": _Number(1),
    "n_min_trials": _Number(1),
    "patience": _Number(0),
    "min_delta": _Number(0, whole=False),
    "lower": _Number(whole=False),
    "upper": _Number(whole=False),
    "p_threshold": _Number(0, 1, whole=False),
    "n_startup_steps": _Number(0),
}
"""What each argument may be; it means the same wherever it occurs."""


def _check_number(name: str, value: JsonValue) -> None:
    fits = _NUMBERS[name]
    kind = int if fits.whole else int | float
    if value is None and name in ("lower", "upper"):
        return
    if isinstance(value, bool) or not isinstance(value, kind) or not _lies(value, fits):
        raise ValueError(f"{name} is {fits}; found {value!r}")


def _lies(value: float, fits: _Number) -> bool:
    if fits.open:
        return fits.low < value < fits.high
    return math.isfinite(value) and fits.low <= value <= fits.high


def _check_order(arguments: Arguments, low: str, high: str) -> None:
    bottom, top = arguments.get(low), arguments.get(high)
    if isinstance(bottom, int | float) and isinstance(top, int | float) and bottom > top:
        raise ValueError(f"{low} is at most {high}, which is {top!r}; found {bottom!r}")


def _check_wrapped(value: JsonValue) -> None:
    wrapped = wrapped_pruner({"wrapped_pruner": value})
    if wrapped is not None:
        check_arguments(*wrapped)
