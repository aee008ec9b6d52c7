"""Fine-tuning with low-rank adapters, on a base in full precision or in 4 bits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from olive_engine.contracts import Device, Known, Needs, Objection, Pass, PassContext
from olive_engine.models import HfAdapterModel, HfModel, TrialState
from olive_passes.finetune.arguments import TrainingArgs
from olive_passes.finetune.cores import base_dtype, core_of
from olive_passes.finetune.needs import needs
from olive_passes.finetune.objections import objections
from olive_passes.finetune.options import LoRAConfig, QLoRAConfig

__all__ = ["LoRA", "LoRAConfig", "QLoRA", "QLoRAConfig", "TrainingArgs"]

LIBRARIES = ("torch", "transformers", "peft", "accelerate", "safetensors")


class LoRA(Pass[LoRAConfig, HfModel, HfAdapterModel]):
    """Fine-tune low-rank adapters on a frozen model (https://arxiv.org/abs/2106.09685)."""

    type = "LoRA"
    requires = LIBRARIES
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
        return _device_facts(config, device)

    @classmethod
    def objections(cls, config: LoRAConfig, known: Known) -> Iterable[Objection]:
        """Modules that the model lacks, rows that do not suffice, a precision that the device has not."""
        return objections(config, known)

    @classmethod
    def needs(cls, config: LoRAConfig, known: Known) -> Needs:
        """The base in its precision, and the adapters with their gradients."""
        return needs(config, known)


class QLoRA(Pass[QLoRAConfig, HfModel, HfAdapterModel]):
    """Fine-tune low-rank adapters on a frozen model kept in 4 bits a weight (https://arxiv.org/abs/2305.14314).

    The linear layers but the head are quantized by bitsandbytes as they are loaded, on a GPU or a CPU. The adapter
    belongs to the model in full precision, which MergeAdapterWeights folds it into.
    """

    type = "QLoRA"
    requires = (*LIBRARIES, "bitsandbytes")
    shared = ("olive_engine.data.tokens",)

    def run(self, model: HfModel, config: QLoRAConfig, context: PassContext) -> HfAdapterModel:
        """Train to the end of the budget, from the last checkpoint if there is one."""
        from olive_passes.finetune.train import train

        return train(model, config, context)

    def run_segment(self, model: HfModel, config: QLoRAConfig, context: PassContext) -> HfAdapterModel | TrialState:
        """Train one stretch of the budget."""
        from olive_passes.finetune.train import train_segment

        return train_segment(model, config, context)

    @classmethod
    def device_facts(cls, config: QLoRAConfig, device: Device) -> Mapping[str, str]:
        """The kind of device, the precision there, and the training core that the options lead to."""
        return _device_facts(config, device)

    @classmethod
    def objections(cls, config: QLoRAConfig, known: Known) -> Iterable[Objection]:
        """Modules that the model lacks, rows that do not suffice, a precision that the device has not."""
        return objections(config, known)

    @classmethod
    def needs(cls, config: QLoRAConfig, known: Known) -> Needs:
        """The base in its precision, and the adapters with their gradients."""
        return needs(config, known)


def _device_facts(config: LoRAConfig, device: Device) -> Mapping[str, str]:
    return {"device": device.kind, "dtype": base_dtype(config, device), "core": core_of(config).name}
