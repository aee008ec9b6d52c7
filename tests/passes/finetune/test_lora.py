import json
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, PreTrainedModel

from olive_engine.contracts import Device
from olive_engine.digests import file_digest, files_under
from olive_engine.errors import Stopped
from olive_engine.models import HfAdapterModel, HfModel, TrialState
from olive_engine.testing.tiny_models import ARCHITECTURES, Architecture, build_tiny_model
from olive_passes.finetune import LoRA, LoRAConfig
from olive_passes.finetune.adapter import attach
from olive_passes.finetune.arguments import Optimizer
from olive_passes.finetune.base import structural_copy
from olive_passes.finetune.rows import hold_out
from olive_passes.finetune.train import _tf32
from olive_passes.merge.merge import merge
from tests.passes.finetune.bench import Bench, lora, phrase_rows, write_tokens

CORES = ("lean", "trainer")
FAMILIES: tuple[Architecture, ...] = (*ARCHITECTURES, "gpt2")
PROMPT = torch.tensor([[1, 50, 60, 70, 80, 90]])

# peft asks transformers by a name that transformers has renamed; the pass filters this, loading in a test does not.
pytestmark = [
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`:UserWarning"),
]


def run(bench: Bench, base: HfModel, config: LoRAConfig, **context: Any) -> HfAdapterModel:
    return LoRA().run(base, config, bench.context(**context))


def digests(adapter: HfAdapterModel) -> dict[str, str]:
    return {name: file_digest(adapter.adapter_path / name) for name in files_under(adapter.adapter_path)}


def distance(one: HfAdapterModel, other: HfAdapterModel) -> float:
    """The largest difference between two adapters' weights."""
    a, b = (load_file(adapter.adapter_path / "adapter_model.safetensors") for adapter in (one, other))
    return max(float((a[name] - b[name]).abs().max()) for name in a)


def load(model: HfModel) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(model.model_path)


def weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("init", [True, "gaussian", "orthogonal"])
@pytest.mark.parametrize("architecture", FAMILIES)
def test_a_fresh_adapter_changes_no_logit(tmp_path: Path, architecture: Architecture, init: bool | str) -> None:
    model = load(build_tiny_model(tmp_path, architecture))
    with torch.no_grad():
        before = model(PROMPT).logits
        after = attach(structural_copy(model), lora(init_lora_weights=init), seed=0).eval()(PROMPT).logits
    if init == "orthogonal":
        torch.testing.assert_close(before, after, atol=1e-4, rtol=0)  # B A is zero by orthogonality: to rounding
    else:
        assert torch.equal(before, after)


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("bias", ["none", "all"])
def test_the_loss_falls_and_the_shared_base_is_untouched(bench: Bench, tmp_path: Path, core: str, bias: str) -> None:
    base = build_tiny_model(tmp_path / "qwen", "qwen2")
    config = lora(core=core, bias=bias, eval_data=True, training={"max_steps": 12, "learning_rate": 1e-2})
    run(bench, base, config)
    (resident,) = bench.residents.values()
    fresh = load(base)

    losses = bench.losses()
    assert len(losses) == 12
    assert losses[-1] < 0.7 * losses[0]
    assert {n: t.tolist() for n, t in weights(resident).items()} == {n: t.tolist() for n, t in weights(fresh).items()}
    assert [n for n, _ in resident.named_modules()] == [n for n, _ in fresh.named_modules()]
    assert not any(p.requires_grad or p.grad is not None for p in resident.parameters())
    assert resident.config._attn_implementation == fresh.config._attn_implementation
    with torch.no_grad():
        assert torch.equal(resident(PROMPT).logits, fresh(PROMPT).logits)
    metrics = bench.metrics()
    assert metrics["steps"] == 12
    assert metrics["train_loss"] == pytest.approx(sum(losses) / 12, rel=1e-4)
    assert metrics["eval_loss"] < losses[0]
    assert metrics["tokens_per_second"] > 0


@pytest.mark.parametrize("core", CORES)
def test_frozen_weights_are_bit_identical_after_training(
    bench: Bench, base: HfModel, core: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[PeftModel] = []
    monkeypatch.setattr(
        "olive_passes.finetune.train.save_adapter", lambda model, folder: trained.append(model), raising=True
    )
    run(bench, base, lora(core=core))
    after = {
        n.replace(".base_layer", ""): t for n, t in weights(trained[0].base_model.model).items() if "lora_" not in n
    }
    before = weights(load(base))
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)


@pytest.mark.parametrize("core", CORES)
def test_the_same_config_gives_the_same_bytes_whatever_ran_between(bench: Bench, base: HfModel, core: str) -> None:
    a, b = lora(core=core, lora_dropout=0.1), lora(core=core, lora_dropout=0.1, r=8, training={"seed": 1})
    first = run(bench, base, a)
    other = run(bench, base, b)
    torch.rand(3)
    second = run(bench, base, a)
    assert set(digests(first)) == {"adapter_config.json", "adapter_model.safetensors"}
    assert digests(first) == digests(second)
    assert digests(first) != digests(other)
    text = (first.adapter_path / "adapter_config.json").read_text()
    assert str(bench.root) not in text
    assert str(base.model_path) not in text
    assert json.loads(text)["base_model_name_or_path"] is None
    assert len(bench.residents) == 1


def test_the_seed_is_the_workflows_where_the_options_name_none(bench: Bench, base: HfModel) -> None:
    named, unnamed = lora(training={"seed": 5}), lora(training={"seed": None})
    assert digests(run(bench, base, named, seed=1)) == digests(run(bench, base, unnamed, seed=5))
    assert digests(run(bench, base, unnamed, seed=6)) != digests(run(bench, base, unnamed, seed=5))


def test_the_callers_random_numbers_are_left_alone(bench: Bench, base: HfModel) -> None:
    torch.manual_seed(11)
    state = torch.get_rng_state()
    run(bench, base, lora(lora_dropout=0.1))
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("architecture", FAMILIES)
@pytest.mark.parametrize(
    "training",
    [
        {"max_steps": 8, "lr_scheduler_type": "cosine", "warmup_ratio": 0.25, "weight_decay": 0.1},
        {"gradient_accumulation_steps": 2, "num_train_epochs": 4, "max_steps": None, "group_by_length": True},
    ],
)
def test_both_cores_give_one_loss_curve(
    bench: Bench, tmp_path: Path, architecture: Architecture, training: dict[str, Any]
) -> None:
    base = build_tiny_model(tmp_path / "model", architecture)
    curves, evals, adapters = [], [], []
    for core in CORES:
        bench.events.clear()
        adapters.append(run(bench, base, lora(core=core, eval_data=True, training={"learning_rate": 1e-3} | training)))
        curves.append(bench.losses())
        evals.append(bench.metrics())
    assert len(curves[0]) == 8
    assert curves[0] == pytest.approx(curves[1], abs=1e-4)
    assert evals[0]["eval_loss"] == pytest.approx(evals[1]["eval_loss"], abs=1e-4)
    assert (evals[0]["steps"], evals[0]["tokens"]) == (evals[1]["steps"], evals[1]["tokens"])


class Crash(Exception):
    pass


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("how", ["asked", "crash"])
def test_a_training_cut_short_goes_on_by_itself_and_ends_bit_identical(
    bench: Bench, base: HfModel, core: str, how: str
) -> None:
    config = lora(core=core, lora_dropout=0.1, training={"save_steps": 3, "max_steps": 8, "logging_steps": 3})
    whole = run(bench, base, config)
    metrics = bench.metrics()
    calls = 0

    def stop() -> bool:
        nonlocal calls
        calls += 1
        if calls == 6 and how == "crash":
            raise Crash
        return calls == 6

    with pytest.raises(Stopped if how == "asked" else Crash):
        run(bench, base, config, state="cut", stop=stop)
    bench.events.clear()
    resumed = run(bench, base, config, state="cut")
    assert digests(resumed) == digests(whole)
    assert bench.losses(), "the rest was trained"
    assert next(e.step for e in bench.events if e.type == "progress") > 3
    assert bench.metrics()["train_loss"] == pytest.approx(metrics["train_loss"], rel=1e-6)
    assert bench.metrics()["tokens"] == metrics["tokens"]


def test_a_checkpoint_that_cannot_be_read_is_reported_and_the_training_starts_over(bench: Bench, base: HfModel) -> None:
    context = bench.context(state="damaged")
    (context.state / "trial.safetensors").write_bytes(b"\x00" * 40)
    result = LoRA().run(base, lora(), context)
    assert digests(result) == digests(run(bench, base, lora()))
    assert any(e.type == "log" and e.level == "warning" and "started over" in e.message for e in bench.events)


def test_a_checkpoint_of_the_trainer_that_was_cut_short_is_not_used(bench: Bench, base: HfModel) -> None:
    config = lora(core="trainer", training={"save_steps": 2, "max_steps": 4})
    context = bench.context(state="partial")
    broken = context.state / "trainer" / "checkpoint-3"
    broken.mkdir(parents=True)
    (broken / "trainer_state.json").write_text("{")
    assert digests(LoRA().run(base, config, context)) == digests(run(bench, base, config))


def test_segments_give_the_bytes_of_one_run(bench: Bench, base: HfModel) -> None:
    config = lora(lora_dropout=0.1, training={"max_steps": None, "num_train_epochs": 3.5}, eval_data=True)
    whole = run(bench, base, config)
    state, steps = None, []
    result: HfAdapterModel | TrialState | None = None
    for until in (0.25, 0.5, 1.0):
        result = LoRA().run_segment(base, config, bench.context(until=until, initial=state))
        steps.append(bench.metrics()["steps"])
        assert bench.metrics()["eval_loss"] > 0
        if until < 1:
            assert isinstance(result, TrialState)
            assert list(files_under(result.state_path)) == ["trial.safetensors"]
            state = result
    assert isinstance(result, HfAdapterModel)
    assert digests(result) == digests(whole)
    assert steps == sorted(set(steps))
    assert steps[-1] == 11


def test_segments_on_the_trainer_core_are_refused(bench: Bench, base: HfModel) -> None:
    with pytest.raises(ValueError, match=r"only the lean training core runs in segments, and .*gradient_checkpointing"):
        LoRA().run_segment(base, lora(core="trainer"), bench.context(until=0.5))


@pytest.mark.parametrize("tied", [True, False])
def test_modules_to_save_are_trained_in_full(bench: Bench, tmp_path: Path, tied: bool) -> None:
    base = build_tiny_model(tmp_path / "model", tied=tied)
    before = weights(load(base))["lm_head.weight"]
    result = run(bench, base, lora(modules_to_save=["lm_head"], target_modules=["q_proj"]))
    model = PeftModel.from_pretrained(load(base), result.adapter_path)
    head = model.base_model.model.lm_head.modules_to_save["default"].weight
    assert (head - before).abs().max() > 1e-3
    (resident,) = bench.residents.values()
    assert torch.equal(resident.lm_head.weight, before)
    assert (resident.lm_head.weight is resident.model.embed_tokens.weight) == tied


@pytest.mark.parametrize("core", CORES)
def test_gpt2s_conv1d_layers_get_adapters(bench: Bench, base: HfModel, tmp_path: Path, core: str) -> None:
    model = build_tiny_model(tmp_path / "gpt2", "gpt2")
    result = run(bench, model, lora(core=core, training={"learning_rate": 1e-2, "max_steps": 12}))
    assert bench.losses()[-1] < bench.losses()[0]
    config = json.loads((result.adapter_path / "adapter_config.json").read_text())
    assert config["fan_in_fan_out"] is True
    assert set(config["target_modules"]) == {"c_attn", "c_proj", "c_fc"}
    adapted = PeftModel.from_pretrained(load(model), result.adapter_path)
    assert (adapted(PROMPT).logits - load(model)(PROMPT).logits).abs().max() > 1e-3


@pytest.mark.parametrize("core", CORES)
def test_a_loss_that_is_no_number_is_one_sentence(bench: Bench, base: HfModel, core: str) -> None:
    config = lora(core=core, training={"learning_rate": 1e30, "max_grad_norm": 0})
    with pytest.raises(FloatingPointError, match=r"^the training loss became (nan|inf) by step \d+; lower"):
        run(bench, base, config)


def test_an_unknown_module_is_named_with_those_that_exist(bench: Bench, base: HfModel) -> None:
    with pytest.raises(
        ValueError, match=r"^target_modules: the model has no module named query; k_proj, q_proj and v_proj do its"
    ):
        run(bench, base, lora(target_modules=["q_proj", "query"]))
    with pytest.raises(ValueError, match=r"^modules_to_save: the model has no module named head; did you .*lm_head"):
        run(bench, base, lora(modules_to_save=["head"]))


def test_nothing_to_train_on_is_refused(bench: Bench, base: HfModel, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^train_data_config: name the data config"):
        run(bench, base, lora(train_data_config=None))
    for name, rows in {"untrained": [([1, 2], [0, 1]), ([1, 2, 3], [0, 0, 0])], "first": [([1, 2], [1, 1])]}.items():
        bench.data = {"train_data_config": write_tokens(tmp_path / name, rows)}
        with pytest.raises(ValueError, match=r"^train_data_config: train: row [01] has no token to train on"):
            run(bench, base, lora())


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("optim", "adafactor"),
        ("optim", "sgd"),
        ("optim", "rmsprop"),
        ("optim", "adagrad"),
        ("optim", "lion_32bit"),
        ("neftune_noise_alpha", 5.0),
        ("label_smoothing_factor", 0.1),
        ("lr_scheduler_type", "inverse_sqrt"),
        ("lr_scheduler_type", "cosine_with_restarts"),
        ("lr_scheduler_type", "constant"),
        ("adam_beta1", 0.5),
        ("adam_beta2", 0.9),
        ("adam_epsilon", 1e-2),
        ("max_grad_norm", 1e-3),
        ("weight_decay", 0.5),
        ("warmup_steps", 3),
        ("warmup_ratio", 0.5),
        ("learning_rate", 1e-4),
        ("data_seed", 3),
        ("per_device_train_batch_size", 2),
        ("gradient_accumulation_steps", 2),
        ("group_by_length", True),
    ],
)
def test_every_training_option_makes_a_difference(bench: Bench, base: HfModel, option: str, value: Any) -> None:
    plain = run(bench, base, lora(training={"max_steps": 4}))
    other = run(bench, base, lora(training={"max_steps": 4, option: value}))
    assert distance(plain, other) > 1e-4, "more than the rounding by which the two cores differ"


BITSANDBYTES = [name for name in get_args(Optimizer) if name.endswith(("_8bit", "_32bit"))]


@pytest.mark.parametrize("optim", BITSANDBYTES)
def test_optimizers_of_bitsandbytes_train(bench: Bench, base: HfModel, optim: str) -> None:
    run(bench, base, lora(r=64, training={"optim": optim}))
    assert bench.losses()[-1] < bench.losses()[0]


def test_an_optimizer_whose_library_is_missing_is_named(
    bench: Bench, base: HfModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("olive_passes.finetune.train.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"^training_args.optim: lion_8bit needs bitsandbytes, which is not"):
        run(bench, base, lora(training={"optim": "lion_8bit"}))
    run(bench, base, lora(training={"max_steps": 1}))


def test_schedule_arguments_reach_the_schedule_on_both_cores(bench: Bench, base: HfModel) -> None:
    cubic = {"lr_scheduler_type": "polynomial", "lr_scheduler_kwargs": {"power": 3.0}, "logging_steps": 1}
    for core in CORES:
        bench.events.clear()
        run(bench, base, lora(core=core, training=cubic))
        rates = [e.values["learning_rate"] for e in bench.events if e.type == "progress"]
        assert rates == pytest.approx([1e-7 + (5e-3 - 1e-7) * (1 - i / 6) ** 3 for i in range(6)])


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("r", 2),
        ("alpha", 3.5),
        ("lora_dropout", 0.3),
        ("use_rslora", True),
        ("init_lora_weights", False),
        ("init_lora_weights", "gaussian"),
        ("target_modules", ["q_proj", "v_proj"]),
        ("torch_dtype", "bfloat16"),
    ],
)
def test_every_adapter_option_makes_a_difference(bench: Bench, base: HfModel, option: str, value: Any) -> None:
    plain = digests(run(bench, base, lora(training={"max_steps": 3})))
    assert digests(run(bench, base, lora(training={"max_steps": 3}, **{option: value}))) != plain


@pytest.mark.parametrize("core", CORES)
def test_evaluation_during_the_training_changes_nothing_but_reports(bench: Bench, base: HfModel, core: str) -> None:
    plain = run(bench, base, lora(core=core, lora_dropout=0.1))
    bench.events.clear()
    often = {"eval_strategy": "steps", "eval_steps": 2, "per_device_eval_batch_size": 3}
    result = run(bench, base, lora(core=core, lora_dropout=0.1, eval_data=True, training=often))
    assert digests(result) == digests(plain)
    seen = [(e.step, e.values["eval_loss"]) for e in bench.events if e.type == "progress" and "eval_loss" in e.values]
    assert [step for step, _ in seen] == [2, 4]
    assert seen[0][1] > seen[1][1] > bench.metrics()["eval_loss"]


def test_the_step_key_sees_the_precision_and_the_core() -> None:
    cpu, gpu = Device(), Device(kind="gpu", bf16=True)
    assert LoRA.device_facts(lora(), cpu) == {"device": "cpu", "dtype": "float32", "core": "lean"}
    assert LoRA.device_facts(lora(core="trainer"), gpu) == {"device": "gpu", "dtype": "bfloat16", "core": "trainer"}
    assert LoRA.device_facts(lora(torch_dtype="float16"), gpu)["core"] == "trainer"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"torch_dtype": "float16"}, "torch_dtype: training in float16 needs a GPU; write bfloat16, float32 or auto"),
        (
            {"training": {"fp16": True}},
            "training_args.fp16: training in float16 needs a GPU; write bf16: true instead, or",
        ),
    ],
)
def test_float16_on_a_cpu_is_refused(bench: Bench, base: HfModel, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        run(bench, base, lora(**options))


@pytest.mark.parametrize("core", CORES)
def test_bf16_computes_in_bfloat16_and_trains_in_float32(bench: Bench, base: HfModel, core: str) -> None:
    """`torch_dtype` is what the base is kept in, `bf16` what is computed in: the same on both cores."""
    curves = {}
    for dtype in ("float32", "auto"):
        bench.events.clear()
        config = lora(core=core, torch_dtype=dtype, eval_data=True, training={"bf16": True, "max_steps": 8})
        result = run(bench, base, config)
        tensors = load_file(result.adapter_path / "adapter_model.safetensors")
        assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}
        curves[dtype] = [*bench.losses(), bench.metrics()["eval_loss"]]
    assert [resident.dtype for resident in bench.residents.values()] == [torch.float32, torch.bfloat16]
    bench.events.clear()
    run(bench, base, lora(core=core, eval_data=True, training={"max_steps": 8}))
    exact = [*bench.losses(), bench.metrics()["eval_loss"]]
    for curve in curves.values():
        assert curve == pytest.approx(exact, rel=0.02)
        assert curve != pytest.approx(exact, rel=1e-5)


def test_both_cores_compute_alike_in_bfloat16(bench: Bench, base: HfModel) -> None:
    curves = []
    for core in CORES:
        bench.events.clear()
        run(bench, base, lora(core=core, eval_data=True, training={"bf16": True}))
        curves.append([*bench.losses(), bench.metrics()["eval_loss"]])
    assert curves[0] == pytest.approx(curves[1], rel=0.01)


def test_tf32_is_for_gpus_and_is_set_back() -> None:
    before = torch.backends.cuda.matmul.allow_tf32
    for allowed in (True, False):
        with _tf32(allowed=allowed):
            assert torch.backends.cuda.matmul.allow_tf32 is allowed
        assert torch.backends.cuda.matmul.allow_tf32 is before


ROWS = 11
"""What `conftest.data` holds."""


def held_out(bench: Bench) -> str:
    return next(e.message for e in bench.events if e.type == "log" and "held out" in e.message)


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({"eval_dataset_size": 0.3}, 3),
        ({"eval_dataset_size": 4}, 4),
        ({"eval_dataset_size": 0.01}, 1),
        ({"training": {"eval_strategy": "steps", "eval_steps": 187}}, 1),
        ({"training": {"eval_steps": 2}}, 1),
    ],
)
@pytest.mark.parametrize("core", CORES)
def test_training_rows_are_held_out_to_evaluate_on(
    bench: Bench, base: HfModel, tmp_path: Path, core: str, options: dict[str, Any], count: int
) -> None:
    """As if somebody had put these rows into a file of their own."""
    result = run(bench, base, lora(core=core, **options))
    assert held_out(bench) == f"{count} of {ROWS} training rows are held out to evaluate on"
    metrics = dict(bench.metrics())
    rows = phrase_rows(base)
    kept, evaluated = hold_out(range(ROWS), lora(**options).held_out or 0, seed=7)
    assert sorted(kept + evaluated) == list(range(ROWS))
    assert len(evaluated) == count
    bench.data = {
        "train_data_config": write_tokens(tmp_path / "kept", [rows[i] for i in kept]),
        "eval_data_config": write_tokens(tmp_path / "evaluated", [rows[i] for i in evaluated]),
    }
    bench.events.clear()
    args = options.get("training", {})
    other = run(bench, base, lora(core=core, eval_data=True, training=args))
    assert digests(other) == digests(result)
    assert bench.metrics()["eval_loss"] == metrics["eval_loss"]


def test_the_rows_held_out_are_drawn_with_data_seed() -> None:
    rows = list(range(1000))
    kept, held = hold_out(rows, 0.1, seed=42)
    assert (len(kept), len(held)) == (900, 100)
    assert held == sorted(held) == hold_out(rows, 100, seed=42)[1] != hold_out(rows, 0.1, seed=43)[1]
    assert 300 < sum(held) / 100 < 700, "from everywhere"
    with pytest.raises(ValueError, match=r"^1000 rows to evaluate on leave none of the 1000 to train on$"):
        hold_out(rows, 1000, seed=42)


def test_segments_and_what_is_resumed_hold_out_the_same_rows(bench: Bench, base: HfModel) -> None:
    config = lora(lora_dropout=0.1, eval_dataset_size=0.3, training={"data_seed": 5, "save_steps": 2})
    whole = run(bench, base, config)
    half = LoRA().run_segment(base, config, bench.context(until=0.5))
    assert isinstance(half, TrialState)
    rest = LoRA().run_segment(base, config, bench.context(until=1.0, initial=half))
    assert isinstance(rest, HfAdapterModel)
    stops = iter([False] * 4 + [True])
    with pytest.raises(Stopped):
        run(bench, base, config, state="cut", stop=lambda: next(stops))
    assert digests(run(bench, base, config, state="cut")) == digests(rest) == digests(whole)
    other = lora(lora_dropout=0.1, eval_dataset_size=0.3, training={"data_seed": 6, "save_steps": 2})
    assert digests(run(bench, base, other)) != digests(whole)


def test_a_hold_out_that_leaves_no_row_is_refused(bench: Bench, base: HfModel) -> None:
    with pytest.raises(
        ValueError, match=r"^eval_dataset_size: 11 rows to evaluate on leave none of the 11 to train on$"
    ):
        run(bench, base, lora(eval_dataset_size=11))


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize(
    ("architecture", "targets", "saved"),
    [
        ("gpt2", ["c_attn", "c_proj"], ["ln_f", "lm_head"]),
        ("phi3", ["o_proj", "qkv_proj"], None),
    ],
)
def test_the_tutorials_models_train_and_merge(
    bench: Bench, tmp_path: Path, core: str, architecture: Architecture, targets: list[str], saved: list[str] | None
) -> None:
    base = build_tiny_model(tmp_path / "model", architecture)
    config = lora(core=core, target_modules=targets, modules_to_save=saved, training={"learning_rate": 1e-2})
    result = run(bench, base, config)
    assert bench.losses()[-1] < bench.losses()[0]
    with torch.no_grad():
        both = PeftModel.from_pretrained(load(base), result.adapter_path).eval()(PROMPT).logits
        merged = merge(result, tmp_path / "merged")
        torch.testing.assert_close(load(merged)(PROMPT).logits, both, atol=1e-4, rtol=0)
        assert (both - load(base)(PROMPT).logits).abs().max() > 0.01
    assert load(merged).config.tie_word_embeddings is False


@pytest.mark.parametrize("core", CORES)
def test_the_best_of_all_evaluations_is_given_where_it_is_asked_for(bench: Bench, base: HfModel, core: str) -> None:
    """A learning rate so large that the loss on other rows falls, and then rises."""
    args = {"max_steps": 9, "learning_rate": 0.1, "lr_scheduler_type": "constant", "eval_steps": 2, "save_steps": 3}
    config = lora(core=core, eval_dataset_size=0.4, lora_dropout=0.1, training=args | {"load_best_model_at_end": True})
    whole = run(bench, base, config)
    reported = [
        (e.step, e.values["eval_loss"]) for e in bench.events if e.type == "progress" and "eval_loss" in e.values
    ]
    losses = dict(reported)
    step = min(losses, key=losses.__getitem__)
    metrics = dict(bench.metrics())
    assert [step for step, _ in reported] == [2, 4, 6, 8]
    assert (metrics["best_step"], metrics["eval_loss"]) == (step, losses[step])

    bench.events.clear()
    last = run(bench, base, lora(core=core, eval_dataset_size=0.4, lora_dropout=0.1, training=args))
    assert bench.metrics()["eval_loss"] > losses[step]
    assert digests(last) != digests(whole)
    shorter = lora(core=core, eval_dataset_size=0.4, lora_dropout=0.1, training=args | {"max_steps": step})
    assert digests(run(bench, base, shorter)) == digests(whole)

    stops = iter([False] * 7 + [True])
    with pytest.raises(Stopped):
        run(bench, base, config, state="cut", stop=lambda: next(stops))
    assert digests(run(bench, base, config, state="cut")) == digests(whole)
    if core == "lean":
        state: HfAdapterModel | TrialState | None = None
        for until in (0.4, 0.8, 1.0):
            initial = state if isinstance(state, TrialState) else None
            state = LoRA().run_segment(base, config, bench.context(until=until, initial=initial))
        assert isinstance(state, HfAdapterModel)
        assert digests(state) == digests(whole)
        assert bench.metrics() == pytest.approx(metrics | {"tokens_per_second": bench.metrics()["tokens_per_second"]})
