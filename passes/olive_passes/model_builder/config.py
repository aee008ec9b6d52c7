"""The options of ModelBuilder."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from olive_engine.options import Options, SearchDefault
from olive_passes.model_builder.extra_options import objection

Precision = Literal["fp32", "fp16", "int8", "int4"]

DEFAULT_PROMPT = (
    "The quick brown fox jumps over the lazy dog. When the lights went out, she counted to ten, opened the door "
    "and said: who is there?"
)


class SearchOptions(Options):
    """Generation defaults that are written to ``genai_config.json``; what is left out stays as the model has it."""

    max_length: int | None = Field(default=None, gt=0, description="Most tokens of prompt and answer together.")
    min_length: int | None = Field(default=None, ge=0, description="Fewest tokens of prompt and answer together.")
    do_sample: bool | None = Field(default=None, description="Draw tokens at random instead of taking the likeliest.")
    temperature: float | None = Field(
        default=None, gt=0, description="Divides the logits before sampling; below 1: bolder."
    )
    top_k: int | None = Field(default=None, ge=0, description="Sample among this many likeliest tokens only.")
    top_p: float | None = Field(
        default=None, gt=0, le=1, description="Sample among the tokens that hold this probability."
    )
    repetition_penalty: float | None = Field(
        default=None, gt=0, description="Above 1: tokens already there get less likely."
    )
    length_penalty: float | None = Field(default=None, description="Beam search: above 0 favours longer answers.")
    no_repeat_ngram_size: int | None = Field(
        default=None, ge=0, description="No run of this many tokens occurs twice; 0: off."
    )
    num_beams: int | None = Field(default=None, ge=1, description="Beams of the beam search; 1: greedy or sampling.")
    num_return_sequences: int | None = Field(default=None, ge=1, description="Answers to one prompt.")
    early_stopping: bool | None = Field(default=None, description="Beam search: end with enough finished beams.")
    diversity_penalty: float | None = Field(default=None, description="Beam search: above 0 sets beams apart.")
    past_present_share_buffer: bool | None = Field(
        default=None, description="Keep past and present keys and values in one buffer of max_length positions."
    )


class ModelBuilderConfig(Options):
    """Options of ModelBuilder. The ``int4_`` options are named as in Olive; they apply to int8 as well."""

    precision: Precision = Field(
        default="fp32",
        description="How weights are stored. The default changes no number of the model; int4 is an eighth of its "
        "size, int8 a fourth, fp16 half of it.",
    )
    int4_block_size: Annotated[Literal[16, 32, 64, 128, 256] | None, SearchDefault((16, 32, 64, 128))] = Field(
        default=None, description="Weights that share one scale; smaller is more exact and larger on disk. Default: 32."
    )
    int4_accuracy_level: int | None = Field(
        default=None,
        ge=0,
        le=4,
        description="Least precision of the activations in the products: 0 unset, 1 fp32, 2 fp16, 3 bf16, 4 int8. "
        "Default: 4 on a CPU, where it is the fastest, else 0.",
    )
    int4_algo_config: (
        Literal["default", "rtn", "rtn_last", "k_quant", "k_quant_last", "k_quant_mixed", "k_quant_linear"] | None
    ) = Field(
        default=None,
        description="How weights are rounded: default and rtn to the nearest, k_quant by searching scales; _last keeps "
        "the head in int8, _mixed the most sensitive layers too, _linear the linear-attention layers.",
    )
    int4_is_symmetric: Annotated[bool | None, SearchDefault((True, False))] = Field(
        default=None, description="Without zero points: smaller and faster, a little less exact. Default: true."
    )
    int4_op_types_to_quantize: tuple[Literal["MatMul", "Gather"], ...] | None = Field(
        default=None, description="Which operators' weights to quantize; Gather is the embedding. Default: MatMul."
    )
    int4_nodes_to_exclude: tuple[str, ...] | None = Field(
        default=None,
        description="Names of ONNX nodes that stay as they are, e.g. /lm_head/MatMul.",
        examples=[["/lm_head/MatMul"]],
    )
    use_qdq: bool = Field(
        default=False, description="int4 only: write plain dequantize and multiply nodes, not MatMulNBits."
    )
    exclude_embeds: bool = Field(default=False, description="Leave the embedding out: the model takes inputs_embeds.")
    exclude_lm_head: bool = Field(default=False, description="Leave the head out: the model gives hidden_states.")
    include_hidden_states: bool = Field(default=False, description="Give hidden_states beside the logits.")
    enable_cuda_graph: bool = Field(default=False, description="Capture a CUDA graph when running on a GPU.")
    search: SearchOptions = Field(default=SearchOptions(), description="Generation defaults of the model.")
    extra_options: dict[str, bool | int | float | str] = Field(
        default={},
        description="More options of onnxruntime-genai's builder, by its names, e.g. shared_embeddings: false.",
    )
    verify_prompt: str = Field(
        default=DEFAULT_PROMPT,
        min_length=1,
        description="The text whose logits must agree with the source model's. Take one like what the model will read.",
    )

    @field_validator("extra_options")
    @classmethod
    def _known_names(cls, value: dict[str, bool | int | float | str]) -> dict[str, bool | int | float | str]:
        objections = [text for text in map(objection, value) if text is not None]
        if objections:
            raise ValueError("; ".join(objections))
        return value

    @model_validator(mode="after")
    def _fit_together(self) -> ModelBuilderConfig:
        if self.precision in ("fp32", "fp16"):
            names = (name for name in type(self).model_fields if name.startswith("int4_"))
            idle = sorted(name for name in names if getattr(self, name) is not None)
            if idle:
                what = f"{', '.join(idle)}: no effect with precision {self.precision}"
                raise ValueError(f"{what}; remove that, or choose int4 or int8")
        if self.use_qdq and self.precision != "int4":
            raise ValueError(f"use_qdq exists for precision int4 only, not {self.precision}")
        if self.exclude_lm_head and self.include_hidden_states:
            raise ValueError("exclude_lm_head gives hidden_states already: remove include_hidden_states")
        return self
