# ruff: noqa: TID253 - heavy module, imported lazily by olive_passes.finetune
"""Several trainings on one frozen base in one forward and backward pass, each as if it were alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from transformers import PreTrainedModel

from olive_engine.contracts import Known, PackItem
from olive_engine.errors import Stopped
from olive_engine.models import HfAdapterModel, HfModel, TrialState
from olive_passes.finetune.base import structural_copy
from olive_passes.finetune.options import LoRAConfig
from olive_passes.finetune.packable import alone_because
from olive_passes.finetune.packed_layers import Unpackable
from olive_passes.finetune.packed_model import PackedModel
from olive_passes.finetune.packed_trial import PackedTrial
from olive_passes.finetune.rows import Row, training_rows
from olive_passes.finetune.train import begin, end, workplace
from olive_passes.finetune.training import Training
from olive_passes.finetune.training_data import TrainingData, training_data

Outcome = HfAdapterModel | TrialState | Exception
Item = PackItem[LoRAConfig]
Items = Sequence[Item]

TOKENS = {"cpu": 1024, "gpu": 4096}
"""Up to how many tokens the slots' batches may come to together, as torch calls the device.

One CPU core multiplies as fast with 132 rows as with 1056 (100 GF/s), so packing saves it only what a step costs beside
its products; more tokens take memory and gain nothing. For a GPU it is an estimate of where a small model fills it.
"""

SLOTS = {"cpu": 4, "gpu": 32}
"""How many trainings go on at once at the most: on a CPU a step in a pack of 8 takes as long as in one of 4."""


def train_pack(model: HfModel, items: Items) -> list[Outcome]:
    """Train the items, whole or by a stretch each; what is wrong with one is its outcome and no other's.

    Args:
        model: the base.
        items: they differ in packable options only.

    Raises:
        Unpackable: they, or the model, can only be trained one by one.
    """
    if reason := alone_because(items[0].config, Known()):
        raise Unpackable(reason)
    return _Pack(model, items).run()


class _Pack:
    """The items that wait, those that are trained in slots, and what became of the others."""

    def __init__(self, model: HfModel, items: Items) -> None:
        self.model = model
        self.items: list[Item] = list(items)
        self.outcomes: dict[int, Outcome] = {}
        self.live: dict[int, PackedTrial] = {}
        self.packed: PackedModel | None = None
        device = items[0].context.device.torch
        self.tokens, self.slots = TOKENS[device], SLOTS[device]

    def run(self) -> list[Outcome]:
        """Train all; gives the outcomes in the items' order."""
        first = self.items[0]
        data = self._data()
        # Those with the most passes begin, so that all end at about one time.
        waiting = sorted(data, key=lambda index: (-self._passes(index, data[index]), index))
        with workplace(self.model, first.config, first.context) as base:
            while waiting or self.live:
                while waiting and self._has_room(waiting[0], data):
                    self._start(waiting[0], data[waiting[0]], base)
                    del waiting[0]
                self._heed_stops()
                if self.packed is not None and self.live:
                    self._turn(self.packed)
        return [self.outcomes[index] for index in range(len(self.items))]

    def _data(self) -> dict[int, TrainingData]:
        """The rows of each item; those of one data set are read once."""
        found: dict[int, TrainingData] = {}
        loaded: dict[tuple[tuple[int, int], ...], list[Row]] = {}

        def load(folder: Path) -> list[Row]:
            # Each item has the files in a folder of its own, and they are the same files.
            files = tuple((stat.st_dev, stat.st_ino) for stat in map(Path.stat, sorted(folder.iterdir())))
            if files not in loaded:
                loaded[files] = training_rows(folder)
            return loaded[files]

        for index, item in enumerate(self.items):
            try:
                found[index] = training_data(item.config, item.context, load)
            except Exception as error:  # noqa: BLE001 - this item's own
                self.outcomes[index] = error
        return found

    def _passes(self, index: int, data: TrainingData) -> int:
        args = self.items[index].config.training_args
        return args.total_steps(len(data.rows)) * args.gradient_accumulation_steps

    def _size(self, index: int, data: TrainingData) -> float:
        """The tokens that a forward pass of an item takes, on average."""
        args = self.items[index].config.training_args
        return min(args.per_device_train_batch_size, len(data.rows)) * sum(map(len, data.rows)) / len(data.rows)

    def _has_room(self, index: int, data: dict[int, TrainingData]) -> bool:
        if not self.live:
            return True
        taken = sum(self._size(live, data[live]) for live in self.live)
        return len(self.live) < self.slots and taken + self._size(index, data[index]) <= self.tokens

    def _start(self, index: int, data: TrainingData, base: PreTrainedModel) -> None:
        item = self.items[index]
        try:
            training = begin(base, item.config, data, item.context)
            if self.packed is None:
                self.packed = PackedModel(structural_copy(base), training.trial)
            training.measure = partial(self.packed.evaluate, index, data.eval_rows, self.tokens)
            stream = self.packed.take(index, training.trial)
            if training.done:
                self._finish(index, training)
            else:
                self.live[index] = PackedTrial(training, stream)
        except Unpackable:
            raise
        except Exception as error:  # noqa: BLE001 - this item's own
            self._free(index, error)

    def _heed_stops(self) -> None:
        for index, live in list(self.live.items()):
            try:
                live.training.heed_stop()
            except Stopped as stopped:
                self._free(index, stopped)

    def _turn(self, packed: PackedModel) -> None:
        """One batch of each slot forward and backward; those that have their step together make it."""
        parts = [(index, live, live.rows) for index, live in self.live.items()]
        packed.try_out([(index, rows, live.trial) for index, live, rows in parts])
        losses = packed.losses([(index, rows) for index, _, rows in parts])
        means = [live.mean(own) for (_, live, _), own in zip(parts, losses, strict=True)]
        torch.stack(means).sum().backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        for (index, live, _), mean in zip(parts, means, strict=True):
            try:
                live.passed(mean.detach())
                if live.training.done:
                    self._finish(index, live.training)
            except Unpackable:
                raise
            except Exception as error:  # noqa: BLE001 - this item's own
                self._free(index, error)

    def _finish(self, index: int, training: Training) -> None:
        training.finish()
        self._free(index, end(training, self.model))

    def _free(self, index: int, outcome: Outcome) -> None:
        self.outcomes[index] = outcome
        self.live.pop(index, None)
        if self.packed is not None:
            self.packed.free(index)
