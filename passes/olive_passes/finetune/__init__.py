"""Fine-tuning with low-rank adapters."""

from __future__ import annotations

from collections.abc import Mapping

from olive_engine.contracts import Device, Pass, PassContext
from olive_engine.models import HfAdapterModel, HfModel, TrialState
from olive_passes.finetune.cores import core_of, resolve_dtype
from olive_passes.finetune.options import LoRAConfig, TrainingArgs

__all__ = ["LoRA", "LoRAConfig", "TrainingArgs"]


class LoRA(Pass[LoRAConfig, HfModel, HfAdapterModel]):
    """Fine-tune low-rank adapters on a frozen model (https://arxiv.org/abs/2106.09685)."""

    type = "LoRA"
    requires = ("torch", "transformers", "peft", "accelerate", "safetensors")
    shared = ("olive_engine.data.tokens",)

    def run(self, model: HfModel, config: LoRAConfig, context: PassContext) -> HfAdapterModel:
        """Train to the end of the budget, from the last checkpoint if there is one."""
        from olive_passes.finetune.train import train

        return train(model, config, context)

    def run_segment(self, model: HfModel, config: LoRAConfig, context: PassContext) -> HfAdapterModel | TrialState:
        """Train one stretch of the budget."""
        from olive_passes.finetune.train import train_segment

        return train_segment(model, config, context)

    @classmethod
    def device_facts(cls, config: LoRAConfig, device: Device) -> Mapping[str, str]:
        """The kind of device, the precision there, and the training core that the options lead to."""
        return {"device": device.kind, "dtype": resolve_dtype(config.torch_dtype, device), "core": core_of(config).name}
