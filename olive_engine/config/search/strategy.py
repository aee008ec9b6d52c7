"""How a search goes about it."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, JsonValue, ValidationInfo, field_validator, model_validator

from olive_engine.config.search.methods import SAMPLERS, Method, Pruner, Sampler
from olive_engine.config.search.pruners import check_arguments, check_complete, judged_at
from olive_engine.options import Options, Secret

CLOSEST = 0.01 - 1e-9
"""Two rungs are as far apart at the least: Optuna knows them by their percentages."""


class SearchStrategy(Options):
    """How the values of searched options, and passes among alternatives, are chosen, and when to stop.

    The limits on trials and time hold for both execution orders. `max_samples` is the size of the whole search, which
    later runs go on with; `max_iter` and `max_time` are how much of it one run does.
    """

    execution_order: Literal["joint", "pass-by-pass"] = Field(
        default="joint",
        description="joint: a trial chooses for all passes at once. pass-by-pass: the options of the first pass are "
        "searched, then, on its best model, those of the next.",
    )
    sampler: Sampler = Field(
        default="tpe",
        description="How a trial's values are drawn. sequential tries every combination in order; tpe learns from the "
        "trials before; nsga2 and nsga3 are for several objectives; gp, qmc and cmaes need further libraries.",
    )
    sampler_config: dict[str, JsonValue] = Field(
        default={},
        description="Further arguments of the sampler, by Optuna's names, e.g. {n_startup_trials: 5} for tpe.",
    )
    seed: int | None = Field(
        default=None,
        ge=0,
        lt=2**32,
        description="Of the sampler; none: the workflow's seed. The same seed gives the same trials.",
    )
    max_samples: int | None = Field(
        default=None,
        gt=0,
        description="Trials in all, those that were pruned or failed too; pass by pass: for each pass. None: every "
        "combination there is.",
    )
    max_iter: int | None = Field(default=None, gt=0, description="Trials of one run; the same command then goes on.")
    max_time: float | None = Field(
        default=None,
        gt=0,
        description="Seconds after which one run begins no further trial; the same command then goes on.",
    )
    stop_when_goals_met: bool = Field(
        default=False, description="Stop at the first trial whose model reaches all goals of the evaluator."
    )
    output_model_num: int | None = Field(
        default=None,
        gt=0,
        description="How many of the best models are written to output_dir; none: the best one, or, of several "
        "objectives, the Pareto front.",
    )
    include_pass_params: bool = Field(
        default=True, description="Search the options of passes; false: choose among alternative passes only."
    )
    pruner: Pruner = Field(
        default="successive_halving",
        description="How trials that look poor early are stopped, where the searched pass can be judged on the way.",
    )
    pruner_config: dict[str, JsonValue] = Field(
        default={},
        description="Further arguments of the pruner, by Optuna's names, e.g. {reduction_factor: 3}. Optuna's steps "
        "are rungs here: {n_warmup_steps: 1} prunes nobody at the first.",
    )
    rungs: tuple[float, ...] | None = Field(
        default=None,
        min_length=1,
        description="Where in its own budget a training is judged on the way, as rising fractions of its tokens below "
        "1; none: 1/8, 1/4 and 1/2 for successive_halving, 1/8 for top_k, every eighth for other pruners. Beside the "
        "pruner none trials are measured there, and all go on.",
    )
    wave_size: int | None = Field(
        default=None,
        gt=0,
        description="Trials that are proposed, and pruned, together; none: 8 where the sampler learns from trials that "
        "have ended, else max_samples in even parts of up to 32. The same trials come whatever the number of workers.",
    )
    objectives: Literal["priority", "pareto"] = Field(
        default="priority",
        description="How several objectives count: by their priorities, each deciding where those before it are equal; "
        "or alike, the result being the Pareto front.",
    )
    storage: Annotated[str | None, Secret()] = Field(
        default=None,
        description="Where the trials are recorded: the path of a journal file, or a database URL of Optuna's, as "
        "${env:NAME} if it has a password; none: a journal file in the cache.",
    )

    @field_validator("sampler_config")
    @classmethod
    def _known_to_sampler(cls, value: dict[str, JsonValue], info: ValidationInfo) -> dict[str, JsonValue]:
        sampler = info.data.get("sampler")
        if sampler is not None:
            _check(value, f"the sampler {sampler}", SAMPLERS[sampler])
        return value

    @field_validator("pruner_config")
    @classmethod
    def _known_to_pruner(cls, value: dict[str, JsonValue], info: ValidationInfo) -> dict[str, JsonValue]:
        pruner = info.data.get("pruner")
        if pruner is not None:
            check_arguments(pruner, value)
        return value

    @field_validator("rungs")
    @classmethod
    def _rise(cls, value: tuple[float, ...] | None) -> tuple[float, ...] | None:
        for before, rung in zip((0.0, *(value or ())), value or (), strict=False):
            if not before < rung < 1:
                raise ValueError(f"rungs rise from above 0 to below 1; found {rung:g} after {before:g}")
            if rung - before < CLOSEST:
                raise ValueError(f"rungs are a hundredth of the budget apart at least; found {rung:g} after {before:g}")
        return value

    @field_validator("storage")
    @classmethod
    def _holds_no_password(cls, value: str | None) -> str | None:
        if value is not None and "${env:" not in value and _has_password(value):
            raise ValueError("it holds a password; put the URL into a variable, and write ${env:NAME}")
        return value

    @model_validator(mode="after")
    def _names_what_is_needed(self) -> SearchStrategy:
        check_complete(self.pruner, self.pruner_config, self.rungs)
        return self

    @property
    def judged_at(self) -> tuple[float, ...]:
        """Where in its own budget a training is judged on the way: rising fractions below 1."""
        return judged_at(self.pruner, self.pruner_config, self.rungs)


def _check(arguments: dict[str, JsonValue], who: str, method: Method) -> None:
    for name in arguments:
        if name not in method.arguments:
            known = ", ".join(method.arguments) or "none"
            raise ValueError(f"{who} has no argument {name!r}; its arguments: {known}")


def _has_password(url: str) -> bool:
    try:
        return urlsplit(url).password is not None
    except ValueError:
        return False  # no URL: a path
