"""The built-in passes. Each lives in a package of its own: a light declaration, and heavy modules beside it."""

from olive_engine.contracts import AnyPass
from olive_passes.finetune import LoRA, QLoRA
from olive_passes.merge import MergeAdapterWeights
from olive_passes.model_builder import ModelBuilder

PASSES: tuple[type[AnyPass], ...] = (LoRA, QLoRA, MergeAdapterWeights, ModelBuilder)
