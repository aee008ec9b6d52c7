"""Folding an adapter into its base model."""

from __future__ import annotations

from olive_engine.contracts import Pass, PassContext
from olive_engine.models import HfAdapterModel, HfModel
from olive_passes.merge.options import MergeConfig

__all__ = ["MergeAdapterWeights", "MergeConfig"]


class MergeAdapterWeights(Pass[MergeConfig, HfAdapterModel, HfModel]):
    """Fold an adapter into the weights of its base model: one model that answers as the two did."""

    type = "MergeAdapterWeights"
    requires = ("torch", "transformers", "peft", "safetensors")
    shared = ("olive_engine.digests",)

    def run(self, model: HfAdapterModel, config: MergeConfig, context: PassContext) -> HfModel:  # noqa: ARG002 - no options
        """Write the merged model, in the base's precision and with the base's tokenizer."""
        from olive_passes.merge.merge import merge

        return merge(model, context.out / "model")
