"""What may be written about a LoRA fine-tuning. The adapter's defaults are Olive's, so that its files mean the same."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, JsonValue, model_validator

from olive_engine.options import DataRef, Options, Packable

Schedule = Literal[
    "linear",
    "cosine",
    "cosine_with_restarts",
    "cosine_with_min_lr",
    "polynomial",
    "constant",
    "constant_with_warmup",
    "inverse_sqrt",
    "warmup_stable_decay",
]
Optimizer = Literal[
    "adamw_torch",
    "adamw_torch_fused",
    "adafactor",
    "sgd",
    "rmsprop",
    "adagrad",
    "adamw_8bit",
    "paged_adamw_32bit",
    "paged_adamw_8bit",
    "lion_32bit",
    "lion_8bit",
]


class TrainingArgs(Options):
    """How the adapters are trained. Names and meanings are those of transformers' TrainingArguments."""

    per_device_train_batch_size: Annotated[int, Packable()] = Field(8, gt=0, description="Rows in one forward pass.")
    per_device_eval_batch_size: int = Field(8, gt=0, description="Rows in one forward pass of an evaluation.")
    gradient_accumulation_steps: Annotated[int, Packable()] = Field(
        1, gt=0, description="Forward passes whose gradients make one optimizer step."
    )
    learning_rate: Annotated[float, Packable()] = Field(2e-4, gt=0, description="The highest learning rate.")
    lr_scheduler_type: Annotated[Schedule, Packable()] = Field(
        "linear", description="How the learning rate falls over the steps after the warm-up."
    )
    lr_scheduler_kwargs: Annotated[dict[str, JsonValue], Packable()] = Field(
        {}, description="Further arguments of the schedule, for instance {'min_lr_rate': 0.1} or {'num_cycles': 2}."
    )
    warmup_steps: Annotated[int, Packable()] = Field(
        0, ge=0, description="Optimizer steps over which the learning rate rises from 0; if 0, warmup_ratio counts."
    )
    warmup_ratio: Annotated[float, Packable()] = Field(
        0.0, ge=0, lt=1, description="The warm-up as a fraction of all steps, if warmup_steps is 0."
    )
    num_train_epochs: Annotated[float, Packable()] = Field(
        3.0, gt=0, description="Times that the rows are gone through; may be a fraction."
    )
    max_steps: Annotated[int | None, Packable()] = Field(
        None, gt=0, description="Optimizer steps in all; if given, num_train_epochs does not count."
    )
    weight_decay: Annotated[float, Packable()] = Field(
        0.0, ge=0, description="Decoupled weight decay of matrices; biases and norms have none."
    )
    max_grad_norm: Annotated[float, Packable()] = Field(
        1.0, ge=0, description="Gradients are scaled down to this norm; 0 leaves them alone."
    )
    optim: Optimizer = Field(
        "adamw_torch_fused", description="The optimizer; the 8-bit, paged and lion ones need bitsandbytes."
    )
    adam_beta1: Annotated[float, Packable()] = Field(0.9, ge=0, lt=1, description="Decay of AdamW's first moment.")
    adam_beta2: Annotated[float, Packable()] = Field(0.999, ge=0, lt=1, description="Decay of AdamW's second moment.")
    adam_epsilon: Annotated[float, Packable()] = Field(1e-8, gt=0, description="Added to AdamW's denominator.")
    label_smoothing_factor: float = Field(
        0.0, ge=0, lt=1, description="Share of the target's probability that is spread over the vocabulary."
    )
    neftune_noise_alpha: float | None = Field(
        None, gt=0, description="Strength of the noise on embeddings in training (https://arxiv.org/abs/2310.05914)."
    )
    gradient_checkpointing: bool = Field(
        default=False, description="Recompute activations in the backward pass: less memory, about a third more time."
    )
    group_by_length: bool = Field(
        default=False, description="Put rows of similar length into one batch; the order stays random in the large."
    )
    logging_steps: int = Field(10, gt=0, description="Optimizer steps between two reports of the loss.")
    eval_strategy: Literal["no", "steps", "epoch"] = Field(
        "no", description="When to evaluate during the training; with eval_data_config the end is always evaluated."
    )
    eval_steps: int | None = Field(
        None,
        gt=0,
        description="Optimizer steps between two evaluations, if eval_strategy is 'steps'; none: logging_steps.",
    )
    save_steps: int = Field(
        500, gt=0, description="Optimizer steps between two checkpoints, from which a killed run goes on."
    )
    seed: Annotated[int | None, Packable()] = Field(
        None, ge=0, lt=2**32, description="Of the adapter's initial weights and of dropout; none: the workflow's seed."
    )
    data_seed: Annotated[int | None, Packable()] = Field(
        None, ge=0, lt=2**32, description="Of the order of the rows; none: the same as seed."
    )

    @model_validator(mode="after")
    def _evaluates(self) -> TrainingArgs:
        if self.eval_steps is not None and self.eval_strategy != "steps":
            raise ValueError(f"eval_steps needs eval_strategy: steps; it is {self.eval_strategy!r}")
        return self

    def warmup(self, total_steps: int) -> int:
        """The steps of the warm-up in a training of `total_steps`."""
        return self.warmup_steps or math.ceil(total_steps * self.warmup_ratio)


class LoRAConfig(Options):
    """A low-rank adapter and how it is trained."""

    r: Annotated[int, Packable()] = Field(64, gt=0, description="Rank of the adapters.")
    alpha: Annotated[float, Packable()] = Field(
        16.0, gt=0, description="Scale of the adapters: their output is multiplied by alpha / r."
    )
    lora_dropout: Annotated[float, Packable()] = Field(
        0.05, ge=0, lt=1, description="Share of an adapter's inputs that are dropped in training."
    )
    target_modules: list[str] | None = Field(
        None,
        min_length=1,
        description="Modules that get an adapter, by the end of their names; none: all linear layers but the head.",
    )
    modules_to_save: list[str] | None = Field(
        None, min_length=1, description="Modules trained in full beside the adapters and saved with them."
    )
    bias: Literal["none", "all", "lora_only"] = Field(
        "none", description="Which bias vectors of the base are trained too and saved with the adapter."
    )
    use_rslora: bool = Field(
        default=False, description="Scale by alpha / sqrt(r) instead of alpha / r (https://arxiv.org/abs/2312.03732)."
    )
    init_lora_weights: bool | Literal["gaussian", "orthogonal"] = Field(
        default=True,
        description="First weights: true (A uniform, B zero), 'gaussian' (A normal, B zero), 'orthogonal' (A and B "
        "orthogonal, r even), or false (both random: the adapter changes the model before any training).",
    )
    torch_dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        description="Precision of the frozen base, the adapters being float32; auto: bfloat16 where the device is fast "
        "in it, else float32.",
    )
    train_data_config: Annotated[str | None, DataRef(required=True)] = Field(
        None, description="The data config with the training rows."
    )
    eval_data_config: Annotated[str | None, DataRef()] = Field(
        None, description="The data config with the rows on which the loss is measured."
    )
    training_args: TrainingArgs = Field(TrainingArgs(), description="How the adapters are trained.")

    @model_validator(mode="after")
    def _has_rows_to_evaluate(self) -> LoRAConfig:
        if self.training_args.eval_strategy != "no" and self.eval_data_config is None:
            raise ValueError(
                f"training_args.eval_strategy is {self.training_args.eval_strategy!r}, which needs an eval_data_config"
            )
        return self
