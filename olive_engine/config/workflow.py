"""The workflow as a value: what one or more files come to. Plain frozen values; nothing to resolve later.

Built in Python it is the same value: ``Workflow(input_model=…, passes={"lora": PassEntry(type=…, options=…)})``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    JsonValue,
    SerializeAsAny,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from olive_engine import registry
from olive_engine.config.data import DataConfig
from olive_engine.config.search.strategy import SearchStrategy
from olive_engine.config.search.values import SearchValue
from olive_engine.config.shared_cache import SharedCacheConfig, from_url
from olive_engine.contracts import AnyMetric, AnyPass, System
from olive_engine.errors import Problem
from olive_engine.options import Options

INPUT_MODEL = "input_model"
"""The name under which passes and evaluations refer to the model that the workflow starts from."""

NAME = r"^[A-Za-z0-9_][A-Za-z0-9_.\-]*$"
"""What names of passes, systems, evaluators, metrics and data configs may look like."""

GoalType = Literal[
    "threshold", "min-improvement", "max-degradation", "percent-min-improvement", "percent-max-degradation"
]


_Find = Callable[[str], type[AnyPass] | type[AnyMetric] | type[System] | None]


def _spelt(find: _Find) -> AfterValidator:
    """The name of a type as its class spells it; a name that is not known is reported when the workflow is judged."""

    def spelt(name: str) -> str:
        cls = find(name)
        return cls.type if cls else name

    return AfterValidator(spelt)


class _NotGiven(Options):
    """Stands for options that nobody has written."""


def _of_type(find: _Find) -> WrapValidator:
    """Options of the class that the field `type` calls for: its defaults where none are given, and no other class's."""

    def of_type(value: object, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> object:
        cls = find(info.data.get("type", ""))
        if isinstance(value, _NotGiven):
            value = {}
        if cls is None or not isinstance(value, Mapping | Options):
            return handler(value)
        if isinstance(value, Mapping):
            return cls.config_type.model_validate(value)
        if type(value) not in (cls.config_type, Options):  # bare Options: they could not be read
            raise ValueError(f"{cls.type} takes {cls.config_type.__name__}, found {type(value).__name__}")
        return value

    return WrapValidator(of_type)


class HfModelConfig(Options):
    """A causal language model in Hugging Face layout, with or without a PEFT adapter."""

    type: Literal["HfModel"] = "HfModel"
    model_path: str = Field(
        description="A local folder, or a name on the model hub.",
        examples=["models/my-model", "microsoft/Phi-3.5-mini-instruct"],
    )
    task: str = Field(default="text-generation", description="What the model does, in the hub's terms.")
    adapter_path: str | None = Field(
        default=None,
        description="A local folder with a PEFT adapter trained on this model.",
        examples=["models/my-adapter"],
    )
    load_kwargs: dict[str, JsonValue] = Field(
        default={}, description="Passed on to `from_pretrained`: revision, dtype, …", examples=[{"revision": "main"}]
    )


class OnnxModelConfig(Options):
    """An ONNX model: a file, or a folder with one."""

    type: Literal["OnnxModel"] = "OnnxModel"
    model_path: str = Field(description="A local folder, or the .onnx file itself.", examples=["models/model.onnx"])
    onnx_file_name: str | None = Field(default=None, description="Which file, where the folder has several.")


InputModelConfig = Annotated[HfModelConfig | OnnxModelConfig, Field(discriminator="type")]


class Goal(Options):
    """What a metric should reach; the relative forms compare with the input model."""

    type: GoalType = Field(description="How `value` is meant: absolute, or against the input model's value.")
    value: float = Field(description="In the metric's unit; in percent for the percent forms.")


class SubMetric(Options):
    """One value of a metric."""

    name: str = Field(description="The sub-type, e.g. `accuracy_score` or `p50`.")
    priority: int = Field(
        default=-1, description="Rank among all values when models are compared; 1 counts first, -1 not."
    )
    higher_is_better: bool | None = Field(default=None, description="Overrides the metric's own direction.")
    goal: Goal | None = Field(default=None, description="What the value should reach.")


class MetricEntry(Options):
    """One metric of an evaluator."""

    name: str = Field(pattern=NAME, description="How reports call it.")
    type: Annotated[str, _spelt(registry.find_metric)] = Field(description="The metric, e.g. `accuracy`.")
    data_config: str | None = Field(default=None, description="The data config to measure on, by name.")
    sub_types: tuple[SubMetric, ...] = Field(
        default=(), description="Which of its values to report; default: the first."
    )
    metric_config: Annotated[SerializeAsAny[Options], _of_type(registry.find_metric)] = Field(
        default=_NotGiven(), validate_default=True, description="Options of the metric type."
    )


class EvaluatorConfig(Options):
    """A named list of metrics."""

    metrics: tuple[MetricEntry, ...] = Field(description="What to measure.")
    target: str | None = Field(default=None, description="The system that measures it; default: the workflow's target.")


class SystemEntry(Options):
    """A place to run: its type and that type's options."""

    type: Annotated[str, _spelt(registry.find_system)] = Field(description="The system, e.g. `LocalSystem`.")
    options: Annotated[SerializeAsAny[Options], _of_type(registry.find_system)] = Field(
        default=_NotGiven(), validate_default=True, description="Options of the type; a file writes them beside it."
    )


class PassEntry(Options):
    """One pass of the workflow: its type, that type's options, and its place in the graph. A file writes it flat."""

    type: Annotated[str, _spelt(registry.find_pass)] = Field(description="The pass, e.g. `LoRA`.")
    options: Annotated[SerializeAsAny[Options], _of_type(registry.find_pass)] = Field(
        default=_NotGiven(), validate_default=True, description="Options of the type; a file writes them beside it."
    )
    input: str | None = Field(default=None, description="The pass whose model it takes; default: the pass before it.")
    inputs: tuple[str, ...] = Field(
        default=(), description="The passes whose models it takes, for a pass over several."
    )
    host: str | None = Field(default=None, description="The system that runs it; default: the workflow's host.")
    target: str | None = Field(
        default=None, description="The system that evaluates its model; default: the evaluator's target."
    )
    evaluator: str | None = Field(default=None, description="The evaluator that judges its output.")


def _in_tuples(slots: object) -> object:
    """A pass that stands alone is the only one of its slot."""
    if not isinstance(slots, Mapping):
        return slots
    return {name: (slot,) if isinstance(slot, PassEntry) else slot for name, slot in slots.items()}


class Workflow(Options):
    """A whole workflow.

    Paths are texts, relative to `base_dir`. What one field alone can tell to be wrong is a `pydantic.ValidationError`
    at once; the whole is judged when it is planned or run, as a file is, or by `olive_engine.check`.
    """

    input_model: InputModelConfig
    data_configs: tuple[DataConfig, ...] = ()
    systems: dict[str, SystemEntry] = {}
    evaluators: dict[str, EvaluatorConfig] = {}
    passes: Annotated[dict[str, tuple[PassEntry, ...]], BeforeValidator(_in_tuples)] = Field(
        default={}, description="Each name has one pass, or alternatives."
    )
    host: str | None = Field(
        default=None, description="The system that runs passes and data steps; default: this machine."
    )
    target: str | None = Field(default=None, description="The system that runs evaluations; default: the host.")
    evaluator: str | None = Field(default=None, description="The evaluator that judges the final models.")
    evaluate_input_model: bool = Field(default=True, description="Evaluate the input model too, as the baseline.")
    cache_dir: str = Field(default=".olive-cache", description="Where results are kept for reuse.")
    shared_cache: Annotated[SharedCacheConfig | None, BeforeValidator(from_url)] = Field(
        default=None,
        description="A cache that machines share: its URL, or {url, write, storage_options}; default: none.",
        examples=["/mnt/team/olive-cache"],
    )
    output_dir: str = Field(default="output", description="Where the final models and the report are written.")
    log_severity_level: int = Field(
        default=1, ge=0, le=4, description="0 debug, 1 info, 2 warning, 3 error, 4 critical."
    )
    seed: int = Field(
        default=0, ge=0, description="Seed of every step that draws random numbers and has no seed of its own."
    )

    search_strategy: SearchStrategy | None = Field(
        default=None, description="How the search goes about it; none: no search."
    )
    search_space: dict[str, SearchValue] = Field(default={}, description="Searched options by name, and their values.")

    unavailable: tuple[Problem, ...] = Field(default=(), exclude=True, repr=False)
    """What the file asks for and cannot be had yet: it can be planned without, but not run."""
    base_dir: Annotated[Path, AfterValidator(Path.absolute)] = Field(
        default_factory=Path.cwd,
        description="Relative paths are relative to this: the working directory, when the workflow is made.",
        exclude=True,
    )

    if TYPE_CHECKING:
        # What may be given, which is more than what is kept: a pass without a list around it, lists for tuples.
        def __init__(
            self,
            *,
            input_model: InputModelConfig,
            data_configs: Sequence[DataConfig] = (),
            systems: Mapping[str, SystemEntry] = ...,
            evaluators: Mapping[str, EvaluatorConfig] = ...,
            passes: Mapping[str, PassEntry | Sequence[PassEntry]] = ...,
            host: str | None = None,
            target: str | None = None,
            evaluator: str | None = None,
            evaluate_input_model: bool = True,
            cache_dir: str = ".olive-cache",
            shared_cache: SharedCacheConfig | str | None = None,
            output_dir: str = "output",
            log_severity_level: int = 1,
            seed: int = 0,
            search_strategy: SearchStrategy | None = None,
            search_space: Mapping[str, SearchValue] = ...,
            base_dir: Path = ...,
        ) -> None: ...

    @property
    def alternatives(self) -> dict[str, list[str]]:
        """The slots among whose passes a search chooses, with the types of these."""
        return {name: [entry.type for entry in slot] for name, slot in self.passes.items() if len(slot) > 1}

    @property
    def searched(self) -> set[str]:
        """The slots whose pass a search chooses, or of whose options it searches some."""
        return {*self.alternatives, *map(self.slot_of, self.search_space)}

    def slot_of(self, option: str) -> str:
        """The slot whose pass has a searched option."""
        return next(
            slot
            for slot, entries in self.passes.items()
            if option.startswith(f"{slot}." if len(entries) == 1 else f"{slot}[")
        )

    def data_config(self, name: str) -> DataConfig:
        """The data config of that name.

        Raises:
            KeyError: there is none.
        """
        for config in self.data_configs:
            if config.name == name:
                return config
        raise KeyError(name)
