from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM

from olive_engine.contracts import Event, Known, Metrics, PackItem, PassContext, Progress
from olive_engine.errors import Stopped
from olive_engine.models import Checkpoint, HfAdapterModel, HfModel, TrialState
from olive_engine.testing.tiny_models import build_tiny_model
from olive_passes.finetune import LoRA, LoRAConfig, QLoRA, pack
from olive_passes.finetune.packable import drops
from olive_passes.finetune.packed_layers import Unpackable
from olive_passes.finetune.packed_model import PackedModel
from olive_passes.finetune.stream import Stream
from tests.passes.finetune.bench import Bench, lora, qlora

pytestmark = [
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`:UserWarning"),
]

# (options, training arguments): nothing is the same but what cannot differ.
VARIED: tuple[tuple[dict[str, Any], dict[str, Any]], ...] = (
    ({"r": 4, "alpha": 8.0}, {"seed": 1, "max_grad_norm": 0.5}),
    ({"r": 8, "lora_dropout": 0.2}, {"seed": 2, "learning_rate": 1e-3, "lr_scheduler_type": "cosine", "data_seed": 3}),
    ({"r": 2, "alpha": 2.0, "lora_dropout": 0.1}, {"seed": 3, "per_device_train_batch_size": 2, "weight_decay": 0.1}),
    (
        {"r": 6, "alpha": 12.0, "lora_dropout": 0.05},
        {
            "seed": 4,
            "gradient_accumulation_steps": 3,
            "per_device_train_batch_size": 1,
            "warmup_steps": 2,
            "adam_beta2": 0.9,
            "max_grad_norm": 0,
        },
    ),
    (
        {"r": 4, "lora_dropout": 0.3},
        {"seed": None, "max_steps": None, "num_train_epochs": 1.5, "adam_epsilon": 1e-6, "learning_rate": 1e-2},
    ),
)


def varied(**options: Any) -> list[LoRAConfig]:
    """The configs, with some options the same for all."""
    training = options.pop("training", {})
    return [lora(**own | options, training=args | training) for own, args in VARIED]


class Recorder:
    """Makes contexts whose events are kept apart."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.events = bench, []

    def context(self, **options: Any) -> PassContext:
        events: list[Event] = []
        self.events.append(events)
        return replace(self.bench.context(**options), report=events.append)

    def metrics(self, index: int) -> dict[str, float]:
        values: dict[str, float] = {}
        for event in self.events[index]:
            values |= event.values if isinstance(event, Metrics) else {}
        return values

    def progress(self, index: int) -> list[Progress]:
        return [event for event in self.events[index] if isinstance(event, Progress)]

    events: list[list[Event]]


def run_pack(
    bench: Bench, base: HfModel, configs: Sequence[LoRAConfig], contexts: Sequence[dict[str, Any]] | None = None
) -> tuple[list[Any], Recorder]:
    recorder = Recorder(bench)
    items = [
        PackItem(config, recorder.context(**(contexts[i] if contexts else {}))) for i, config in enumerate(configs)
    ]
    return list(LoRA().run_pack(base, items)), recorder


def run_alone(
    bench: Bench, base: HfModel, config: LoRAConfig, **context: Any
) -> tuple[HfAdapterModel | TrialState, Recorder]:
    recorder = Recorder(bench)
    return LoRA().run_segment(base, config, recorder.context(**context)), recorder


def weights(result: HfAdapterModel | TrialState) -> dict[str, torch.Tensor]:
    if isinstance(result, TrialState):
        found = load_file(result.state_path / "trial.safetensors")
        return {name: tensor for name, tensor in found.items() if name.startswith("parameter/")}
    assert isinstance(result, HfAdapterModel), result
    return load_file(result.adapter_path / "adapter_model.safetensors")


def apart(one: HfAdapterModel | TrialState, other: HfAdapterModel | TrialState) -> float:
    """The relative distance between the weights of two results."""
    a, b = weights(one), weights(other)
    assert a.keys() == b.keys()
    squares = sum(float((a[name].double() - b[name].double()).square().sum()) for name in a)
    return (squares / sum(float(b[name].double().square().sum()) for name in b)) ** 0.5


def assert_same(
    packed: HfAdapterModel | TrialState,
    recorder: Recorder,
    index: int,
    solo: HfAdapterModel | TrialState,
    alone: Recorder,
) -> None:
    """Weights to 1e-3, the loss to 5 decimals, and the same reports."""
    assert apart(packed, solo) < 1e-3
    found, wanted = recorder.metrics(index), alone.metrics(0)
    assert found.keys() == wanted.keys()
    for name in found.keys() - {"tokens_per_second"}:
        assert found[name] == pytest.approx(wanted[name], abs=5e-6 if name == "eval_loss" else 1e-4), name
    one, other = recorder.progress(index), alone.progress(0)
    assert [(e.step, e.total, sorted(e.values)) for e in one] == [(e.step, e.total, sorted(e.values)) for e in other]
    for event, same in zip(one, other, strict=True):
        for name in event.values.keys() - {"tokens_per_second"}:
            assert event.values[name] == pytest.approx(same.values[name], abs=1e-4), (event.step, name)


def untied(folder: Path, kind: str, **options: Any) -> HfModel:
    """A tiny model of a family beyond the fixture's, with its tokenizer."""
    model = build_tiny_model(folder)
    sizes = {
        "vocab_size": 352,
        "hidden_size": 64,
        "intermediate_size": 160,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }
    config = AutoConfig.for_model(kind, **sizes | options)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = AutoModelForCausalLM.from_config(config)
        with torch.no_grad():
            for parameter in made.parameters():
                if parameter.ndim == 2:
                    parameter.mul_(4.0)
    made.save_pretrained(folder)
    return model


def gpt2_that_drops(folder: Path) -> HfModel:
    model = build_tiny_model(folder, "gpt2")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"attn_pdrop": 0.1, "embd_pdrop": 0.1, "resid_pdrop": 0.1}))
    return model


MODELS: dict[str, Callable[[Path], HfModel]] = {
    "llama": build_tiny_model,
    "phi3": lambda folder: build_tiny_model(folder, "phi3"),
    "gpt2": lambda folder: build_tiny_model(folder, "gpt2"),
    "gpt2 that drops": gpt2_that_drops,
    "padded": lambda folder: untied(folder, "olmo2"),
}


@pytest.mark.parametrize("name", MODELS)
def test_each_member_of_a_pack_is_what_it_is_alone(bench: Bench, tmp_path: Path, name: str) -> None:
    base = MODELS[name](tmp_path / "model")
    configs = varied(eval_data=True)
    results, recorder = run_pack(bench, base, configs)
    for index, config in enumerate(configs):
        solo, alone = run_alone(bench, base, config)
        assert_same(results[index], recorder, index, solo, alone)
    (resident,) = bench.residents.values()
    assert not any(p.requires_grad or p.grad is not None for p in resident.parameters())


@pytest.mark.parametrize("limits", [(10**6, 2), (400, 8)])
def test_slots_are_refilled_and_packs_kept_small(
    bench: Bench, base: HfModel, monkeypatch: pytest.MonkeyPatch, limits: tuple[int, int]
) -> None:
    """Two at a time, or as many as their tokens allow."""
    widths: list[int] = []
    losses = PackedModel.losses

    def counted(self: PackedModel, parts: Any) -> Any:
        widths.append(len(parts))
        return losses(self, parts)

    monkeypatch.setitem(pack.TOKENS, "cpu", limits[0])
    monkeypatch.setitem(pack.SLOTS, "cpu", limits[1])
    monkeypatch.setattr(PackedModel, "losses", counted)
    configs = varied(eval_data=True, training={"eval_steps": 2, "max_steps": 5, "num_train_epochs": 3})
    results, recorder = run_pack(bench, base, configs)
    assert 1 < max(widths) < len(configs)
    assert len(widths) > 5
    for index, config in enumerate(configs):
        solo, alone = run_alone(bench, base, config)
        assert_same(results[index], recorder, index, solo, alone)


def test_stretches_go_from_packs_to_solo_and_back(bench: Bench, base: HfModel) -> None:
    """Items may be at different places of their budgets, and come from anywhere."""
    configs = varied(eval_dataset_size=3)
    whole = [run_alone(bench, base, config) for config in configs]
    quarter, _ = run_pack(bench, base, configs[:3], [{"until": 0.25}] * 3)
    quarter += [run_alone(bench, base, config, until=0.25)[0] for config in configs[3:]]
    half, seen = run_pack(bench, base, configs, [{"until": 0.5, "initial": state} for state in quarter])
    for index, config in enumerate(configs):
        state, alone = run_alone(bench, base, config, until=0.5, initial=run_alone(bench, base, config, until=0.25)[0])
        assert isinstance(half[index], TrialState)
        assert_same(half[index], seen, index, state, alone)
    last, seen = run_pack(bench, base, configs[1:], [{"until": 1.0, "initial": half[i]} for i in (1, 2)] + [{}, {}])
    for index, result in enumerate(last, 1):
        solo, alone = whole[index]
        assert apart(result, solo) < 1e-3
        assert seen.metrics(index - 1)["eval_loss"] == pytest.approx(alone.metrics(0)["eval_loss"], abs=5e-6)
    first, seen = run_alone(bench, base, configs[0], until=1.0, initial=half[0])
    assert apart(first, whole[0][0]) < 1e-3
    assert seen.metrics(0)["eval_loss"] == pytest.approx(whole[0][1].metrics(0)["eval_loss"], abs=5e-6)


def test_rows_are_held_out_for_each_by_its_own_seed(bench: Bench, base: HfModel) -> None:
    configs = [lora(eval_dataset_size=0.3, training={"data_seed": seed}) for seed in (1, 2)]
    results, recorder = run_pack(bench, base, configs)
    losses = [recorder.metrics(index)["eval_loss"] for index in range(2)]
    assert losses[0] != losses[1]
    for index, config in enumerate(configs):
        assert_same(results[index], recorder, index, *run_alone(bench, base, config))


def test_what_goes_wrong_with_one_is_no_others(bench: Bench, base: HfModel) -> None:
    configs = [
        lora(lora_dropout=0.1, eval_data=True),
        lora(training={"learning_rate": 1e30, "max_grad_norm": 0}),
        lora(eval_dataset_size=None, training={"seed": 8}),
        lora(r=8, eval_data=True),
    ]
    other = run_alone(bench, base, lora(r=2, eval_data=True), until=0.5)[0]
    results, recorder = run_pack(bench, base, configs, [{}, {}, {}, {"until": 1.0, "initial": other}])
    assert isinstance(results[1], FloatingPointError)
    assert str(results[1]).startswith("the training loss became ")
    assert isinstance(results[3], RuntimeError), "a state of another rank"
    for index in (0, 2):
        assert_same(results[index], recorder, index, *run_alone(bench, base, configs[index]))


def test_when_stopped_each_saves_a_checkpoint_that_it_goes_on_from(
    bench: Bench, base: HfModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(pack.SLOTS, "cpu", 2)
    configs = varied(eval_data=True)[:3]
    calls = 0

    def stop() -> bool:
        nonlocal calls
        calls += 1
        return calls > 5

    contexts = [{"state": f"cut{index}", "stop": stop} for index in range(3)]
    results, _ = run_pack(bench, base, configs, contexts)
    assert [type(result) for result in results] == [Stopped] * 3
    assert (bench.root / "state" / "cut1" / "trial.safetensors").is_file()
    results, recorder = run_pack(bench, base, configs, [{"state": f"cut{index}"} for index in range(3)])
    for index, config in enumerate(configs):
        solo, alone = run_alone(bench, base, config)
        assert apart(results[index], solo) < 1e-3
        assert recorder.metrics(index)["eval_loss"] == pytest.approx(alone.metrics(0)["eval_loss"], abs=5e-6)
    assert min(event.step for event in recorder.progress(0)) > 1, "it went on"
    # A killed job that had reached the end of its stretch, but had not given its result.
    again, recorder = run_pack(bench, base, configs[:1] * 2, [{"state": "cut0", "until": 0.25}] * 2)
    assert all(isinstance(state, TrialState) for state in again)
    assert recorder.metrics(0)["eval_loss"] == recorder.metrics(1)["eval_loss"] > 0


def test_the_best_evaluation_is_given_where_it_is_asked_for(bench: Bench, base: HfModel) -> None:
    """A learning rate so large that the loss on other rows soon rises."""
    args = {"max_steps": 5, "learning_rate": 0.03, "lr_scheduler_type": "constant", "eval_steps": 1}
    configs = [
        lora(eval_dataset_size=0.4, training=args | {"load_best_model_at_end": True, "seed": seed}) for seed in (7, 8)
    ]
    results, recorder = run_pack(bench, base, configs)
    for index, config in enumerate(configs):
        solo, alone = run_alone(bench, base, config)
        assert apart(results[index], solo) < 1e-3
        found, wanted = recorder.metrics(index), alone.metrics(0)
        assert found["best_step"] == wanted["best_step"]
        assert found["eval_loss"] == pytest.approx(wanted["eval_loss"], abs=5e-6)
    assert recorder.metrics(0)["best_step"] < 5


def test_what_cannot_be_packed_is_left_to_run_alone(
    bench: Bench, tmp_path: Path, base: HfModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropping = untied(tmp_path / "dropping", "olmo2", attention_dropout=0.1)
    mixed = untied(tmp_path / "mixed", "olmo2")

    def confused(self: PackedModel, parts: Any) -> Any:
        """As a model whose rows see one another."""
        found = losses(self, parts)
        return [one + 0.01 * other.sum() for one, other in zip(found, reversed(found), strict=True)]

    losses = PackedModel.losses
    monkeypatch.setattr(PackedModel, "losses", confused)
    for model, options in ((dropping, {}), (mixed, {}), (base, {"modules_to_save": ["lm_head"]})):
        configs = [lora(training={"seed": seed, "max_steps": 2}, **options) for seed in (1, 2)]
        with pytest.raises(Unpackable):
            run_pack(bench, model, configs)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_base_in_four_bits_packs(bench: Bench, base: HfModel, dtype: str) -> None:
    configs = [qlora(**own, eval_data=True, torch_dtype=dtype, training=args) for own, args in VARIED[:3]]
    contexts = [Recorder(bench) for _ in configs]
    items = [PackItem(config, recorder.context()) for config, recorder in zip(configs, contexts, strict=True)]
    for config, result, recorder in zip(configs, QLoRA().run_pack(base, items), contexts, strict=True):
        assert not isinstance(result, Exception)
        alone = Recorder(bench)
        solo = QLoRA().run(base, config, alone.context())
        # In bfloat16 another order of summation moves a weight by as much as Adam's first steps do.
        assert apart(result, solo) < (1e-3 if dtype == "float32" else 0.1)
        tolerance = 5e-6 if dtype == "float32" else 0.02
        assert recorder.metrics(0)["eval_loss"] == pytest.approx(alone.metrics(0)["eval_loss"], abs=tolerance)


def test_a_head_among_the_targets_packs(bench: Bench, base: HfModel) -> None:
    """It is given only the positions whose logits are wanted."""
    configs = varied(eval_data=True, target_modules=["q_proj", "lm_head"])
    results, recorder = run_pack(bench, base, configs)
    for index, config in enumerate(configs):
        assert_same(results[index], recorder, index, *run_alone(bench, base, config))


def test_a_stream_gives_what_the_default_generator_gives() -> None:
    device = torch.device("cpu")
    torch.manual_seed(5)
    ones = torch.ones(7, 33)
    wanted = [torch.nn.functional.dropout(ones, 0.3), torch.nn.functional.dropout(ones, 0.1), torch.rand(3)]
    stream = Stream(device)
    stream.seed(5)
    torch.manual_seed(6)
    state = torch.get_rng_state()
    found = [stream.mask((7, 33), 0.3), stream.mask((7, 33), 0.1)]
    with stream.as_default():
        found.append(torch.rand(3))
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
    assert torch.equal(torch.get_rng_state(), state)


def test_a_plan_can_say_what_packs() -> None:
    def known(**config: Any) -> Known:
        return Known(checkpoint=Checkpoint(config=config, tensors={}))

    assert LoRA.alone_because(lora(), Known()) == ""
    assert LoRA.alone_because(lora(init_lora_weights="orthogonal"), known(model_type="gpt2", attn_pdrop=0.1)) == ""
    assert LoRA.alone_because(lora(), known(model_type="bloom", hidden_dropout=0.0)) == ""
    assert "(hidden_dropout)" in LoRA.alone_because(lora(), known(model_type="bloom", hidden_dropout=0.1))
    assert LoRA.alone_because(lora(modules_to_save=["lm_head"]), Known()).startswith("modules_to_save ")
    assert LoRA.alone_because(lora(bias="all"), Known()).startswith("bias is 'all'")
    assert "gradient_checkpointing is set" in LoRA.alone_because(lora(core="trainer"), Known())
    assert LoRA.whole_because(lora()) == ""
    assert "gradient_checkpointing is set" in LoRA.whole_because(lora(core="trainer"))
    assert drops({"summary_first_dropout": 0.1, "attn_pdrop": 0.0, "classifier_dropout": 0.2}) == ""


def test_a_plan_can_say_what_is_measured_and_how_long_it_takes() -> None:
    assert LoRA.yardstick(lora()) is None
    for config in (lora(eval_data=True), lora(eval_dataset_size=2), lora(training={"eval_steps": 3})):
        measure = LoRA.yardstick(config)
        assert measure is not None
        assert (measure.metric, measure.higher_is_better) == ("eval_loss", False)

    def weight(**training: Any) -> float:
        return LoRA.pack_weight(lora(training={"max_steps": None} | training))

    assert weight(num_train_epochs=4) == 2 * weight(num_train_epochs=2)
    assert weight(per_device_train_batch_size=1) > 2 * weight(per_device_train_batch_size=16)
    assert weight(max_steps=100) == 2 * weight(max_steps=100, per_device_train_batch_size=4) - weight(max_steps=100)
    assert weight(max_steps=200, gradient_accumulation_steps=2) == 4 * weight(max_steps=100)
