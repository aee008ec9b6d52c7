from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from olive_engine.quiet import quiet
from olive_passes.finetune import core, lean, ragged
from olive_passes.finetune.adapter import attach, save_adapter
from olive_passes.finetune.arguments import TrainingArgs
from olive_passes.finetune.base import structural_copy
from olive_passes.finetune.batches import Plan
from olive_passes.finetune.cores import core_of
from olive_passes.finetune.rows import Row, collate
from tests.passes.finetune.bench import lora

SIZES = {
    "vocab_size": 352,
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
EXTRA: dict[str, dict[str, Any]] = {
    "mistral": {"sliding_window": 16},
    "phi3": {"sliding_window": 16, "original_max_position_embeddings": 128},
    "qwen2": {"use_sliding_window": True, "sliding_window": 16, "max_window_layers": 1},
    "gemma": {"head_dim": 32},
    "qwen3": {"head_dim": 32},
}
CPU = torch.device("cpu")


def model_of(family: str) -> PreTrainedModel:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **SIZES | EXTRA.get(family, {})))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3.0)
    return model.requires_grad_(False).eval()


def rows_of(lengths: tuple[int, ...]) -> list[Row]:
    generator = torch.Generator().manual_seed(1)
    rows = []
    for length in lengths:
        trained = torch.rand(length, generator=generator) < 0.4
        trained[0], trained[-1] = False, True
        rows.append(Row(torch.randint(3, 352, (length,), generator=generator), trained))
    return rows


def expected_loss(model: PreTrainedModel, rows: list[Row]) -> torch.Tensor:
    """One row after the other through the model as transformers made it, all logits."""
    total = torch.zeros(())
    for row in rows:
        logits = model(row.ids[None]).logits[0, :-1]
        losses = functional.cross_entropy(logits, row.ids[1:], reduction="none")
        total = total + losses[row.trained[1:]].sum()
    return total


@pytest.mark.parametrize("family", [*sorted(ragged.FAMILIES), "gpt_neox", "bloom", "olmo2"])
def test_a_batch_gives_the_loss_and_gradients_of_its_rows_alone(family: str) -> None:
    rows = rows_of((40, 3, 5, 41, 22, 2, 40))
    plain, ours = model_of(family), model_of(family)
    if ragged.supports(ours):
        ragged.use_ragged_attention(ours)
    assert ragged.supports(ours) == (family in ragged.FAMILIES)
    embeddings = [model.get_input_embeddings().weight.requires_grad_() for model in (plain, ours)]

    wanted = expected_loss(plain, rows)
    found = core.summed_loss(ours, collate(ours, rows, CPU))
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=0)
    wanted.backward()
    found.backward()
    scale = embeddings[0].grad.abs().max()
    assert scale > 0
    torch.testing.assert_close(embeddings[1].grad, embeddings[0].grad, rtol=0, atol=float(scale) * 1e-5)


def test_no_row_sees_another_and_no_logit_is_computed_that_is_not_needed() -> None:
    model = model_of("llama")
    ragged.use_ragged_attention(model)
    one, two, three = rows_of((9, 9, 30))
    with torch.no_grad():
        alone = core.summed_loss(model, collate(model, [one], CPU))
        other = core.summed_loss(model, collate(model, [two], CPU))
        mixed = core.summed_loss(model, collate(model, [two, one], CPU))
    assert float(mixed) == pytest.approx(float(alone + other), rel=1e-6)
    batch = collate(model, [one, two, three], CPU)
    logits = model(**batch.inputs).logits
    assert logits.shape == (1, sum(int(row.trained.sum()) for row in (one, two, three)), 352)
    assert sum(bucket.numel() for bucket in batch.inputs["ragged"].buckets) == 9 + 9 + 30


def test_the_evaluation_does_not_depend_on_the_batch_size() -> None:
    model, rows = model_of("llama"), rows_of((9, 4, 31, 12, 3))
    losses = [core.evaluate(model, rows, size, CPU) for size in (1, 2, 5)]
    trained = sum(int(row.trained.sum()) for row in rows)
    assert losses == pytest.approx([float(expected_loss(model, rows)) / trained] * 3, rel=1e-5)


def test_trials_that_take_turns_are_what_they_are_alone(tmp_path: Path) -> None:
    base, rows, args = model_of("llama"), rows_of((9, 4, 31, 12, 3, 8)), TrainingArgs(learning_rate=1e-2)
    plan = Plan([len(row) for row in rows], args.model_copy(update={"per_device_train_batch_size": 2}), 0)

    def trial(seed: int) -> core.Trial:
        with quiet():
            model = attach(structural_copy(base), lora(lora_dropout=0.2), seed)
        ragged.use_ragged_attention(model.base_model.model)
        return core.init(model.train(), args, plan.total_steps, seed)

    def advance(one: core.Trial) -> None:
        core.step(one, [[rows[i] for i in batch] for batch in plan.step(one.step)], 1.0)

    def saved(one: core.Trial, name: str) -> bytes:
        save_adapter(one.model, tmp_path / name)
        return (tmp_path / name / "adapter_model.safetensors").read_bytes()

    alone = trial(1)
    for _ in range(4):
        advance(alone)
    first, second = trial(1), trial(2)
    for _ in range(2):
        advance(first)
        advance(second)
    core.save(first, tmp_path / "state.safetensors")
    moved = trial(3)
    moved = replace(moved, seed=1)
    core.load(moved, tmp_path / "state.safetensors")
    for _ in range(2):
        advance(second)
        advance(moved)
    assert saved(moved, "moved") == saved(alone, "alone") != saved(second, "second")
    assert (moved.step, moved.tokens) == (alone.step, alone.tokens) == (4, sum(plan.tokens(i) for i in range(4)))
    assert torch.equal(moved.loss_sum, alone.loss_sum)


def test_saving_and_loading_keeps_every_bit(tmp_path: Path) -> None:
    base, rows = model_of("llama"), rows_of((9, 4))
    with quiet():
        model = attach(structural_copy(base), lora(), 0)
    trial = core.init(model, TrainingArgs(), 10, 0)
    core.step(trial, [rows], 1.0)
    core.save(trial, tmp_path / "a.safetensors")
    core.load(trial, tmp_path / "a.safetensors")
    core.save(trial, tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    assert {p.name for p in tmp_path.iterdir()} == {"a.safetensors", "b.safetensors"}


def test_the_state_of_another_training_is_refused(tmp_path: Path) -> None:
    base = model_of("llama")
    with quiet():
        one, other = (attach(structural_copy(base), lora(target_modules=[name]), 0) for name in ("q_proj", "v_proj"))
    core.save(core.init(one, TrainingArgs(), 10, 0), tmp_path / lean.STATE)
    with pytest.raises(ValueError, match="holds other parameters"):
        core.load(core.init(other, TrainingArgs(), 10, 0), tmp_path / lean.STATE)


def plan_of(lengths: list[int], seed: int = 0, **args: Any) -> Plan:
    return Plan(lengths, TrainingArgs.model_validate(args), seed)


def test_an_epoch_takes_every_row_once_in_a_seeded_order() -> None:
    lengths = list(range(3, 26))
    plan = plan_of(lengths, per_device_train_batch_size=4, gradient_accumulation_steps=4, num_train_epochs=1.5)
    assert (plan.batches_per_epoch, plan.steps_per_epoch, plan.total_steps) == (6, 2, 3)
    assert [len(plan.step(i)) for i in range(4)] == [4, 2, 4, 2]
    epochs = [[row for batch in plan.epoch(e) for row in batch] for e in (0, 1)]
    assert epochs[0] != epochs[1]
    assert all(sorted(epoch) == list(range(23)) for epoch in epochs)
    assert plan_of(lengths, seed=0).epoch(0) == plan_of(lengths, seed=9, data_seed=0).epoch(0)
    assert plan_of(lengths, seed=0).epoch(0) != plan_of(lengths, seed=1).epoch(0)


def test_rows_of_similar_length_share_a_batch_when_asked() -> None:
    lengths = [3 + (i * 37) % 90 for i in range(400)]

    def waste(plan: Plan) -> int:
        batches = [[lengths[row] for row in batch] for batch in plan.epoch(0)]
        return sum(max(batch) * len(batch) - sum(batch) for batch in batches)

    grouped = plan_of(lengths, group_by_length=True)
    assert sorted(row for batch in grouped.epoch(0) for row in batch) == list(range(400))
    assert waste(grouped) < 0.1 * waste(plan_of(lengths))


def test_a_fraction_of_the_budget_is_counted_in_tokens() -> None:
    plan = plan_of([1, 1, 1, 1, 50, 50], per_device_train_batch_size=1, num_train_epochs=2.5)
    tokens = [plan.tokens(i) for i in range(plan.total_steps)]
    for fraction in (0.1, 0.25, 0.5, 0.9):
        step = plan.step_at(fraction)
        assert sum(tokens[: step - 1]) < fraction * sum(tokens) <= sum(tokens[:step])
    assert plan.step_at(1.0) == plan.total_steps == 15


def test_the_core_is_a_function_of_the_config_and_says_why() -> None:
    assert core_of(lora()) == ("lean", ("every option is one it supports",))
    assert core_of(lora(training={"optim": "sgd", "neftune_noise_alpha": 1.0})) == (
        "trainer",
        ("training_args.optim is sgd", "training_args.neftune_noise_alpha is set"),
    )


def test_the_warm_up_is_in_steps_or_a_share_of_them() -> None:
    assert [TrainingArgs(warmup_ratio=0.1).warmup(n) for n in (10, 11, 100)] == [1, 2, 10]
    assert TrainingArgs(warmup_steps=3, warmup_ratio=0.5).warmup(100) == 3
    rate = core.learning_rate(TrainingArgs(learning_rate=1.0, warmup_steps=2), 6)
    assert [rate(i) for i in range(7)] == [0.0, 0.5, 1.0, 0.75, 0.5, 0.25, 0.0]
