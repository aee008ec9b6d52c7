"""Fine-tuning with low-rank adapters, on a base in full precision or in 4 bits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Generic, TypeVar

from olive_engine.contracts import Device, Known, Needs, Objection, PackItem, Pass, PassContext, Yardstick
from olive_engine.models import HfAdapterModel, HfModel, TrialState
from olive_passes.finetune import packable
from olive_passes.finetune.arguments import TrainingArgs
from olive_passes.finetune.cores import base_dtype, core_of
from olive_passes.finetune.needs import needs
from olive_passes.finetune.objections import objections
from olive_passes.finetune.options import HELD_OUT, LoRAConfig, QLoRAConfig

__all__ = ["LoRA", "LoRAConfig", "QLoRA", "QLoRAConfig", "TrainingArgs"]

LIBRARIES = ("torch", "transformers", "peft", "accelerate", "safetensors")

F = TypeVar("F", bound=LoRAConfig)


class LowRank(Pass[F, HfModel, HfAdapterModel], Generic[F]):
    """Low-rank adapters trained on a frozen model: all that LoRA and QLoRA have in common, which is all but `run`."""

    shared = ("olive_engine.data.tokens",)

    def run_segment(self, model: HfModel, config: F, context: PassContext) -> HfAdapterModel | TrialState:
        """Train one stretch of the budget."""
        from olive_passes.finetune.train import train_segment

        return train_segment(model, config, context)

    def run_pack(
        self, model: HfModel, items: Sequence[PackItem[F]]
    ) -> Sequence[HfAdapterModel | TrialState | Exception]:
        """Train several adapters in one forward and backward pass; each is what it would be alone, to rounding."""
        from olive_passes.finetune.pack import train_pack

        return train_pack(model, items)

    @classmethod
    def yardstick(cls, config: F) -> Yardstick | None:
        """The loss on the rows to evaluate on, where there are such rows."""
        return packable.yardstick(config)

    @classmethod
    def measured(cls, config: F) -> F:
        """With a tenth of the training rows held out."""
        return config if packable.yardstick(config) else config.model_copy(update={"eval_dataset_size": HELD_OUT})

    @classmethod
    def whole_because(cls, config: F) -> str:
        """What asks for the Trainer core, which runs in one piece."""
        return packable.whole_because(config)

    @classmethod
    def alone_because(cls, config: F, known: Known) -> str:
        """What asks for the Trainer core, and what trains or drops more than adapters."""
        return packable.alone_because(config, known)

    @classmethod
    def pack_weight(cls, config: F) -> float:
        """The epochs, and more for small batches and high ranks."""
        return packable.pack_weight(config)

    @classmethod
    def device_facts(cls, config: F, device: Device) -> Mapping[str, str]:
        """The kind of device, the precision there, and the training core that the options lead to."""
        return {"device": device.kind, "dtype": base_dtype(config, device), "core": core_of(config).name}

    @classmethod
    def objections(cls, config: F, known: Known) -> Iterable[Objection]:
        """Modules that the model lacks, rows that do not suffice, a precision that the device has not."""
        return objections(config, known)

    @classmethod
    def needs(cls, config: F, known: Known) -> Needs:
        """The base in its precision, and the adapters with their gradients."""
        return needs(config, known)


class LoRA(LowRank[LoRAConfig]):
    """Fine-tune low-rank adapters on a frozen model (https://arxiv.org/abs/2106.09685)."""

    type = "LoRA"
    requires = LIBRARIES

    def run(self, model: HfModel, config: LoRAConfig, context: PassContext) -> HfAdapterModel:
        """Train to the end of the budget, from the last checkpoint if there is one."""
        from olive_passes.finetune.train import train

        return train(model, config, context)


class QLoRA(LowRank[QLoRAConfig]):
    """Fine-tune low-rank adapters on a frozen model kept in 4 bits a weight (https://arxiv.org/abs/2305.14314).

    The linear layers but the head are quantized by bitsandbytes as they are loaded, on a GPU or a CPU. The adapter
    belongs to the model in full precision, which MergeAdapterWeights folds it into.
    """

    type = "QLoRA"
    requires = (*LIBRARIES, "bitsandbytes")

    def run(self, model: HfModel, config: QLoRAConfig, context: PassContext) -> HfAdapterModel:
        """Train to the end of the budget, from the last checkpoint if there is one."""
        from olive_passes.finetune.train import train

        return train(model, config, context)
