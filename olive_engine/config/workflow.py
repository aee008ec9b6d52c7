"""The workflow as a value: what one or more files come to. Plain frozen values; nothing to resolve later."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, JsonValue, SerializeAsAny

from olive_engine.config.data import DataConfig
from olive_engine.errors import Problem
from olive_engine.options import Options

INPUT_MODEL = "input_model"
"""The name under which passes and evaluations refer to the model that the workflow starts from."""

NAME = r"^[A-Za-z0-9_][A-Za-z0-9_.\-]*$"
"""What names of passes, systems, evaluators, metrics and data configs may look like."""

GoalType = Literal[
    "threshold", "min-improvement", "max-degradation", "percent-min-improvement", "percent-max-degradation"
]


class HfModelConfig(Options):
    """A causal language model in Hugging Face layout, with or without a PEFT adapter."""

    type: Literal["HfModel"] = "HfModel"
    model_path: str = Field(description="A local folder, or a name on the model hub.")
    task: str = Field("text-generation", description="What the model does, in the hub's terms.")
    adapter_path: str | None = Field(None, description="A local folder with a PEFT adapter trained on this model.")
    load_kwargs: dict[str, JsonValue] = Field({}, description="Passed on to `from_pretrained`: revision, dtype, …")


class OnnxModelConfig(Options):
    """An ONNX model: a file, or a folder with one."""

    type: Literal["OnnxModel"] = "OnnxModel"
    model_path: str = Field(description="A local folder, or the .onnx file itself.")
    onnx_file_name: str | None = Field(None, description="Which file, where the folder has several.")


InputModelConfig = Annotated[HfModelConfig | OnnxModelConfig, Field(discriminator="type")]


class Goal(Options):
    """What a metric should reach; the relative forms compare with the input model."""

    type: GoalType = Field(description="How `value` is meant: absolute, or against the input model's value.")
    value: float = Field(description="In the metric's unit; in percent for the percent forms.")


class SubMetric(Options):
    """One value of a metric."""

    name: str = Field(description="The sub-type, e.g. `accuracy_score` or `p50`.")
    priority: int = Field(-1, description="Rank among all values when models are compared; 1 counts first, -1 not.")
    higher_is_better: bool | None = Field(None, description="Overrides the metric's own direction.")
    goal: Goal | None = Field(None, description="What the value should reach.")


class MetricEntry(Options):
    """One metric of an evaluator."""

    name: str = Field(pattern=NAME, description="How reports call it.")
    type: str = Field(description="The metric, e.g. `accuracy`.")
    data_config: str | None = Field(None, description="The data config to measure on, by name.")
    sub_types: tuple[SubMetric, ...] = Field((), description="Which of its values to report; default: the first.")
    metric_config: SerializeAsAny[Options] = Field(Options(), description="Options of the metric type.")


class EvaluatorConfig(Options):
    """A named list of metrics."""

    metrics: tuple[MetricEntry, ...] = Field(description="What to measure.")


class SystemEntry(Options):
    """A place to run: its type and that type's options."""

    type: str = Field(description="The system, e.g. `LocalSystem`.")
    options: SerializeAsAny[Options] = Options()


class PassEntry(Options):
    """One pass of the workflow: its type, that type's options, and its place in the graph. A file writes it flat."""

    type: str = Field(description="The pass, e.g. `LoRA`.")
    options: SerializeAsAny[Options] = Options()
    input: str | None = Field(None, description="The pass whose model it takes; default: the pass before it.")
    inputs: tuple[str, ...] = Field((), description="The passes whose models it takes, for a pass over several.")
    host: str | None = Field(None, description="The system that runs it; default: the workflow's host.")
    evaluator: str | None = Field(None, description="The evaluator that judges its output.")


class Workflow(Options):
    """A whole workflow."""

    input_model: InputModelConfig
    data_configs: tuple[DataConfig, ...] = ()
    systems: dict[str, SystemEntry] = {}
    evaluators: dict[str, EvaluatorConfig] = {}
    passes: dict[str, tuple[PassEntry, ...]] = Field({}, description="Each name has one pass, or alternatives.")
    host: str | None = Field(None, description="The system that runs passes and data steps; default: this machine.")
    target: str | None = Field(None, description="The system that runs evaluations; default: the host.")
    evaluator: str | None = Field(None, description="The evaluator that judges the final models.")
    evaluate_input_model: bool = Field(True, description="Evaluate the input model too, as the baseline.")
    cache_dir: str = Field(".olive-cache", description="Where results are kept for reuse.")
    output_dir: str = Field("output", description="Where the final models and the report are written.")
    log_severity_level: int = Field(1, ge=0, le=4, description="0 debug, 1 info, 2 warning, 3 error, 4 critical.")
    seed: int = Field(0, ge=0, description="Seed of every step that draws random numbers and has no seed of its own.")

    unavailable: tuple[Problem, ...] = Field((), exclude=True, repr=False)
    """What the file asks for and cannot be had yet: it can be planned without, but not run."""
    base_dir: Path = Field(
        Path(), description="Relative paths are relative to this: the working directory.", exclude=True
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
