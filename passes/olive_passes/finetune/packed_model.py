# ruff: noqa: TID253 - heavy module, imported lazily by olive_passes.finetune
"""A frozen base that several trainings go through together, each with its own adapters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from peft.tuners.lora import LoraLayer
from torch import nn
from torch.nn import functional
from transformers import PreTrainedModel

from olive_passes.finetune import core, ragged
from olive_passes.finetune.packable import drops
from olive_passes.finetune.packed_layers import PackedDropout, PackedLayer, Turn, Unpackable, adapter_of
from olive_passes.finetune.rows import Row, collate
from olive_passes.finetune.stream import Stream

TOLERANCE = 1e-3
"""By how much, relatively, a loss computed in a pack may differ from the same loss alone when a model is tried out."""

PROBE = 0.02
"""Standard deviation of the weights that the second halves of adapters have while a model is tried out."""


class PackedModel:
    """The model; trainings come and go by the number of their slot."""

    def __init__(self, model: PreTrainedModel, first: core.Trial) -> None:
        """Replace the layers of `model`, a structural copy, that have adapters in `first`, a trial on another copy.

        Raises:
            Unpackable: something else than plain adapters is trained, or the model drops activations in a way that
                cannot be drawn for each training.
        """
        self.model, self.autocast, self.device = model, first.autocast, first.device
        self.turn = Turn()
        self.streams: dict[int, Stream] = {}
        self.tried = self.flat = ragged.supports(model)
        self.drops = bool(drops(model.config.to_dict()))
        self._names = [name for name, layer in first.causal_model.named_modules() if isinstance(layer, LoraLayer)]
        if len(first.parameters) != 2 * len(self._names):
            raise Unpackable("more than plain adapters is trained")
        for name, module in list(model.named_modules()):
            if isinstance(module, nn.Dropout) and module.p:
                self.drops = True
                model.set_submodule(name, PackedDropout(module, self.turn))
        if self.drops and not self.flat:
            raise Unpackable("the model has dropout of its own")
        if self.flat:
            ragged.use_ragged_attention(model)
        self._layers = {name: PackedLayer(model.get_submodule(name), self.turn) for name in self._names}
        for name, layer in self._layers.items():
            model.set_submodule(name, layer)
        model.train()

    def take(self, slot: int, trial: core.Trial) -> Stream:
        """Put a trial's adapters into a slot; gives what its dropout is drawn from."""
        for name, layer in self._layers.items():
            layer.adapters[slot] = adapter_of(trial.causal_model.get_submodule(name))  # type: ignore[arg-type]  # found by its type
        self.streams[slot] = Stream(self.device)
        return self.streams[slot]

    def free(self, slot: int) -> None:
        """Take a trial's adapters out again."""
        for layer in self._layers.values():
            layer.adapters.pop(slot, None)
        self.streams.pop(slot, None)

    def losses(self, parts: Sequence[tuple[int, Sequence[Row]]]) -> list[torch.Tensor]:
        """The losses of each slot's rows, target by target: ``(targets,)`` each, in float32.

        Raises:
            Unpackable: the model does something with its tokens that cannot be followed.
        """
        rows = [row for _, own in parts for row in own]
        batch = collate(self.model, rows, self.device)
        targets = [sum(row.targets for row in own) for _, own in parts]
        self.turn.begin(
            slots=[slot for slot, _ in parts],
            streams=[self.streams[slot] for slot, _ in parts],
            flat=[[sum(map(len, own)) for _, own in parts], targets] if self.flat else [],
            rows=[] if self.flat else [len(own) for _, own in parts],
            widths=[max(map(len, own)) for _, own in parts],
        )
        if self.drops and self.model.training:
            batch.inputs["ragged"] = self._apart(parts)
        with torch.autocast(self.device.type, self.autocast, enabled=self.autocast is not None):
            logits = self.model(**batch.inputs).logits
        picked = logits[0] if batch.picks is None else logits[batch.picks]
        losses = functional.cross_entropy(picked.float(), batch.targets, reduction="none")
        return list(losses.split(targets))  # type: ignore[no-untyped-call]  # torch leaves it untyped

    @torch.no_grad()
    def evaluate(self, slot: int, rows: Sequence[Row], tokens: int) -> float:
        """The mean loss of a slot's adapters over all trained tokens of `rows`, about `tokens` tokens at a time."""
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        self.model.eval()  # type: ignore[no-untyped-call]  # transformers leaves it untyped
        for batch in _batches(sorted(rows, key=len), tokens):
            total += self.losses([(slot, batch)])[0].sum()
        self.model.train()
        return float(total) / sum(row.targets for row in rows)

    @torch.no_grad()
    def try_out(self, parts: Sequence[tuple[int, Sequence[Row], core.Trial]]) -> None:
        """See whether the model, of a family that is not known to, computes each slot's loss as if it were alone.

        Raises:
            Unpackable: it does not.
        """
        if self.tried or len(parts) < 2:
            return
        generator = torch.Generator().manual_seed(0)
        kept = [(p, p.clone()) for _, _, trial in parts for name, p in trial.parameters.items() if ".lora_B." in name]
        for parameter, _ in kept:
            parameter.add_(torch.empty(parameter.shape).normal_(0, PROBE, generator=generator).to(parameter.device))
        self.model.eval()  # type: ignore[no-untyped-call]  # transformers leaves it untyped
        together = [losses.sum() for losses in self.losses([(slot, rows) for slot, rows, _ in parts])]
        for (_, rows, trial), loss in zip(parts, together, strict=True):
            trial.causal_model.eval()  # type: ignore[no-untyped-call]  # transformers leaves it untyped
            alone = core.summed_loss(trial.causal_model, collate(trial.causal_model, rows, self.device), trial.autocast)
            if not torch.isclose(loss, alone, rtol=TOLERANCE, atol=0):
                raise Unpackable(f"a loss is {float(loss):.5g} in a pack and {float(alone):.5g} alone")
        for parameter, before in kept:
            parameter.copy_(before)
        self.model.train()
        self.tried = True

    def _apart(self, parts: Sequence[tuple[int, Sequence[Row]]]) -> ragged.Apart:
        found, begin = [], 0
        for slot, rows in parts:
            lengths = [len(row) for row in rows]
            found.append((begin, begin + sum(lengths), ragged.layout(lengths, self.device), self.streams[slot]))
            begin += sum(lengths)
        return ragged.Apart(tuple(found))


def _batches(rows: Sequence[Row], tokens: int) -> Iterator[list[Row]]:
    """Rows, sorted by length, in batches of about `tokens` tokens."""
    batch: list[Row] = []
    for row in rows:
        if batch and (len(batch) + 1) * len(row) > tokens:
            yield batch
            batch = []
        batch.append(row)
    yield batch
