"""How adapters are trained: the arguments that transformers' users know."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, JsonValue, ValidationInfo, field_validator

from olive_engine.options import Options, Packable, SearchDefault

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
    "adamw_bnb_8bit",
    "paged_adamw_32bit",
    "paged_adamw_8bit",
    "lion_32bit",
    "lion_8bit",
    "paged_lion_32bit",
    "paged_lion_8bit",
]
OF_BITSANDBYTES = ("_8bit", "_32bit")
"""How the names of bitsandbytes' optimizers end."""


class TrainingArgs(Options):
    """How the adapters are trained. Names and meanings are those of transformers' TrainingArguments."""

    per_device_train_batch_size: Annotated[int, Packable(), SearchDefault((4, 8, 16))] = Field(
        default=8, gt=0, description="Rows in one forward pass."
    )
    per_device_eval_batch_size: int = Field(default=8, gt=0, description="Rows in one forward pass of an evaluation.")
    gradient_accumulation_steps: Annotated[int, Packable()] = Field(
        default=1, gt=0, description="Forward passes whose gradients make one optimizer step."
    )
    learning_rate: Annotated[float, Packable(), SearchDefault(low=1e-5, high=1e-3, log=True)] = Field(
        default=2e-4, gt=0, description="The highest learning rate."
    )
    lr_scheduler_type: Annotated[Schedule, Packable()] = Field(
        default="linear", description="How the learning rate falls over the steps after the warm-up."
    )
    lr_scheduler_kwargs: Annotated[dict[str, JsonValue], Packable()] = Field(
        default={},
        description="Further arguments of the schedule, for instance {'min_lr_rate': 0.1} or {'num_cycles': 2}.",
    )
    warmup_steps: Annotated[int, Packable()] = Field(
        default=0,
        ge=0,
        description="Optimizer steps over which the learning rate rises from 0; if 0, warmup_ratio counts.",
    )
    warmup_ratio: Annotated[float, Packable()] = Field(
        default=0.0, ge=0, lt=1, description="The warm-up as a fraction of all steps, if warmup_steps is 0."
    )
    num_train_epochs: Annotated[float, Packable()] = Field(
        default=3.0, gt=0, description="Times that the rows are gone through; may be a fraction."
    )
    max_steps: Annotated[int | None, Packable()] = Field(
        default=None, gt=0, description="Optimizer steps in all; if given, num_train_epochs does not count."
    )
    weight_decay: Annotated[float, Packable()] = Field(
        default=0.0, ge=0, description="Decoupled weight decay of matrices; biases and norms have none."
    )
    max_grad_norm: Annotated[float, Packable()] = Field(
        default=1.0, ge=0, description="Gradients are scaled down to this norm; 0 leaves them alone."
    )
    optim: Optimizer = Field(
        default="adamw_torch_fused",
        description="The optimizer; the 8-bit, 32-bit and paged ones need bitsandbytes. On a CPU nothing is paged.",
    )
    adam_beta1: Annotated[float, Packable()] = Field(
        default=0.9, ge=0, lt=1, description="Decay of AdamW's first moment."
    )
    adam_beta2: Annotated[float, Packable()] = Field(
        default=0.999, ge=0, lt=1, description="Decay of AdamW's second moment."
    )
    adam_epsilon: Annotated[float, Packable()] = Field(default=1e-8, gt=0, description="Added to AdamW's denominator.")
    label_smoothing_factor: float = Field(
        default=0.0, ge=0, lt=1, description="Share of the target's probability that is spread over the vocabulary."
    )
    neftune_noise_alpha: float | None = Field(
        default=None,
        gt=0,
        description="Strength of the noise on embeddings in training (https://arxiv.org/abs/2310.05914).",
    )
    fp16: bool = Field(
        default=False,
        description="Compute in float16 with loss scaling, adapters and loss staying float32 (mixed precision). "
        "Needs a GPU.",
    )
    bf16: bool = Field(
        default=False,
        description="Compute in bfloat16, adapters and loss staying float32 (mixed precision).",
    )
    gradient_checkpointing: bool = Field(
        default=False, description="Recompute activations in the backward pass: less memory, about a third more time."
    )
    group_by_length: bool = Field(
        default=False, description="Put rows of similar length into one batch; the order stays random in the large."
    )
    dataloader_num_workers: int = Field(
        default=0,
        ge=0,
        description="Has no effect, and is accepted for files written for transformers: rows are tokenized by a step "
        "of their own and are in memory before the training starts.",
    )
    logging_steps: int = Field(default=10, gt=0, description="Optimizer steps between two reports of the loss.")
    eval_strategy: Literal["no", "steps", "epoch"] | None = Field(
        default=None,
        description="When to evaluate during the training; none: 'steps' if eval_steps is given, else 'no'. Where "
        "there are rows to evaluate on, the end is always evaluated.",
    )
    eval_steps: int | None = Field(
        default=None,
        gt=0,
        description="Optimizer steps between two evaluations, if eval_strategy is 'steps'; none: logging_steps.",
    )
    load_best_model_at_end: bool = Field(
        default=False,
        description="Give the adapter as it was at the evaluation with the lowest loss, not as it was at the end.",
    )
    save_steps: int = Field(
        default=500, gt=0, description="Optimizer steps between two checkpoints, from which a killed run goes on."
    )
    seed: Annotated[int | None, Packable()] = Field(
        default=None,
        ge=0,
        lt=2**32,
        description="Of the adapter's initial weights and of dropout; none: the workflow's seed.",
    )
    data_seed: Annotated[int | None, Packable()] = Field(
        default=None,
        ge=0,
        lt=2**32,
        description="Of the order of the rows, and of which are held out; none: the same as seed.",
    )

    @field_validator("bf16")
    @classmethod
    def _one_precision(cls, value: bool, info: ValidationInfo) -> bool:  # noqa: FBT001 - pydantic calls it
        if value and info.data.get("fp16"):
            raise ValueError("fp16 is set too, and a training computes in one precision: keep one of the two")
        return value

    @property
    def evaluates(self) -> Literal["no", "steps", "epoch"]:
        """When to evaluate during the training."""
        if self.eval_strategy is None:
            return "no" if self.eval_steps is None else "steps"
        return self.eval_strategy

    @property
    def eval_every(self) -> int:
        """Optimizer steps between two evaluations, where it is evaluated by steps."""
        return self.eval_steps or self.logging_steps

    @property
    def needs_bitsandbytes(self) -> bool:
        """Whether the optimizer is one of bitsandbytes."""
        return self.optim.endswith(OF_BITSANDBYTES)

    def batches_per_epoch(self, rows: int) -> int:
        """The forward passes in which `rows` rows are gone through once."""
        return math.ceil(rows / self.per_device_train_batch_size)

    def steps_per_epoch(self, rows: int) -> int:
        """The optimizer steps in which `rows` rows are gone through once."""
        return math.ceil(self.batches_per_epoch(rows) / self.gradient_accumulation_steps)

    def total_steps(self, rows: int) -> int:
        """The optimizer steps of a training on `rows` rows."""
        return self.max_steps or math.ceil(self.num_train_epochs * self.steps_per_epoch(rows))

    def warmup(self, total_steps: int) -> int:
        """The steps of the warm-up in a training of `total_steps`."""
        return self.warmup_steps or math.ceil(total_steps * self.warmup_ratio)
