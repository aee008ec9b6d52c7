"""What may be written about a LoRA or QLoRA fine-tuning. Defaults are Olive's, so that its files mean the same."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from olive_engine.options import DataRef, Options, Packable, SearchDefault
from olive_passes.finetune.arguments import TrainingArgs

HELD_OUT = 0.1
"""Share of the training rows that is evaluated on where an evaluation is asked for and nothing says on which rows."""


class LoRAConfig(Options):
    """A low-rank adapter and how it is trained."""

    r: Annotated[int, Packable(), SearchDefault((16, 32, 64))] = Field(
        default=64, gt=0, description="Rank of the adapters."
    )
    alpha: Annotated[float, Packable(), SearchDefault((8, 16, 32))] = Field(
        default=16.0, gt=0, description="Scale of the adapters: their output is multiplied by alpha / r."
    )
    lora_dropout: Annotated[float, Packable(), SearchDefault((0.0, 0.05, 0.1))] = Field(
        default=0.05, ge=0, lt=1, description="Share of an adapter's inputs that are dropped in training."
    )
    target_modules: list[str] | None = Field(
        default=None,
        min_length=1,
        description="Modules that get an adapter, by the end of their names; none: all linear layers but the head.",
        examples=[["q_proj", "k_proj", "v_proj", "o_proj"]],
    )
    modules_to_save: list[str] | None = Field(
        default=None,
        min_length=1,
        description="Modules trained in full beside the adapters and saved with them.",
        examples=[["lm_head"]],
    )
    bias: Literal["none", "all", "lora_only"] = Field(
        default="none", description="Which bias vectors of the base are trained too and saved with the adapter."
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
        default="auto",
        description="Precision of the frozen base, the adapters being float32; auto: float32 with training_args.fp16, "
        "bfloat16 with training_args.bf16 or where the device is fast in it, else float32.",
    )
    allow_tf32: bool = Field(
        default=True,
        description="Let a GPU round the factors of float32 matrix products to TF32: faster, less exact.",
    )
    train_data_config: Annotated[str | None, DataRef(required=True)] = Field(
        default=None, description="The data config with the training rows."
    )
    eval_data_config: Annotated[str | None, DataRef()] = Field(
        default=None, description="The data config with the rows on which the loss is measured."
    )
    eval_dataset_size: float | None = Field(
        default=None,
        gt=0,
        description="Training rows held out to measure the loss on, instead of eval_data_config: their number (1 or "
        "more) or their share of all (below 1), drawn with data_seed. None: no rows; but a tenth if "
        "training_args.eval_strategy asks for an evaluation and there is no eval_data_config.",
    )
    training_args: TrainingArgs = Field(default=TrainingArgs(), description="How the adapters are trained.")

    @field_validator("init_lora_weights")
    @classmethod
    def _can_be_orthogonal(cls, value: object, info: ValidationInfo) -> object:
        if value == "orthogonal" and info.data.get("r", 0) % 2:
            raise ValueError(f"'orthogonal' needs an even rank, and r is {info.data['r']}")
        return value

    @field_validator("eval_dataset_size")
    @classmethod
    def _one_evaluation_set(cls, value: float | None, info: ValidationInfo) -> float | None:
        if value is not None and info.data.get("eval_data_config") is not None:
            raise ValueError(
                "eval_data_config already names the rows to evaluate on: remove eval_dataset_size, or, to hold out "
                "training rows instead, keep it and remove eval_data_config"
            )
        if value is not None and value >= 1 and not value.is_integer():
            raise ValueError(f"must be a whole number of rows, or a share of them below 1, found {value:g}")
        return value

    @field_validator("training_args")
    @classmethod
    def _fits_the_precision(cls, value: TrainingArgs, info: ValidationInfo) -> TrainingArgs:
        dtype = info.data.get("torch_dtype")
        if value.fp16 and dtype == "bfloat16":
            raise ValueError(
                "fp16 computes in float16, which a base in bfloat16 (torch_dtype) does not go with: "
                "write bf16: true instead of fp16, or torch_dtype: float32"
            )
        if value.bf16 and dtype == "float16":
            raise ValueError(
                "bf16 computes in bfloat16, which a base in float16 (torch_dtype) does not go with: "
                "write fp16: true instead of bf16, or torch_dtype: bfloat16"
            )
        return value

    @property
    def held_out(self) -> float | None:
        """How many (1 or more) or what share (below 1) of the training rows are evaluated on; none: no row."""
        if self.eval_dataset_size is not None or self.eval_data_config is not None:
            return self.eval_dataset_size
        return HELD_OUT if self.training_args.evaluates != "no" else None


class QLoRAConfig(LoRAConfig):
    """A low-rank adapter on a base of 4 bits a weight, and how it is trained."""

    quant_type: Literal["nf4", "fp4"] = Field(
        default="nf4",
        description="The 16 values of a weight: nf4 (quantiles of a normal distribution) or fp4 (a float).",
    )
    double_quant: bool = Field(
        default=False, description="Quantize the scales of the blocks too: about 0.4 bits a weight less memory."
    )
    compute_dtype: Literal["float32", "bfloat16", "float16"] | None = Field(
        default=None,
        description="Precision in which the 4-bit layers compute; none: that of training_args.fp16 or .bf16 if one is "
        "set, else torch_dtype.",
    )


def rows_held_out(size: float, rows: int) -> int:
    """How many of `rows` training rows a `LoRAConfig.held_out` of `size` means: at least one."""
    return int(size) if size >= 1 else max(1, round(size * rows))
