"""The tutorials' spellings, each in a file of our own that has its shape."""

from __future__ import annotations

from pathlib import Path

import pytest

from olive_engine import api
from olive_engine.config.workflow import Workflow
from olive_engine.reading import load_workflow, read_workflow

FILES = Path(__file__).parent / "tutorials"


def options(workflow: Workflow, name: str) -> dict[str, object]:
    return workflow.passes[name][0].options.model_dump(exclude_unset=True)


def test_mixed_ages_in_one_file() -> None:
    workflow = load_workflow(FILES / "container.yaml")
    assert (workflow.input_model.type, workflow.input_model.model_path) == ("HfModel", "models/gpt2")
    assert workflow.data_configs[0].load_dataset_config.format == "json"
    assert workflow.passes["lora"][0].type == "LoRA"
    assert options(workflow, "lora") == {
        "r": 4,
        "alpha": 8,
        "target_modules": ["c_attn", "c_proj"],
        "modules_to_save": ["ln_f", "lm_head"],
        "train_data_config": "phrases",
    }
    assert list(api.plan(workflow).steps) == ["data:phrases", "lora"]


def test_the_local_file_is_a_quantized_fine_tuning_on_this_machine() -> None:
    draft = read_workflow([FILES / "local.json"])
    workflow = draft.raise_if_wrong()
    assert workflow.input_model.model_dump(exclude={"adapter_path"}) == {
        "type": "HfModel",
        "model_path": "models/phi3",
        "task": "text-generation",
        "load_kwargs": {"trust_remote_code": True},
    }
    data = workflow.data_configs[0]
    assert data.load_dataset_config.model_dump(exclude_unset=True) == {
        "data_name": "json",
        "data_files": "data/rows.json",
        "split": "train",
    }
    assert data.pre_process_data_config.model_dump(exclude_unset=True) == {
        "text_cols": ("phrase", "tone"),
        "text_template": "Phrase: {phrase}\nTone: {tone}",
        "strategy": "join",
        "max_seq_len": 64,
    }
    assert [entries[0].type for entries in workflow.passes.values()] == ["QLoRA", "MergeAdapterWeights", "ModelBuilder"]
    lora = options(workflow, "lora")
    assert (lora["r"], lora["alpha"], lora["double_quant"], lora["eval_dataset_size"]) == (4, 4, True, 0.3)
    assert lora["training_args"]["eval_strategy"] == "steps"  # type: ignore[index]
    assert (workflow.host, workflow.target, workflow.systems) == (None, None, {})
    assert (workflow.cache_dir, workflow.output_dir) == ("cache", "tuned")
    said = {notice.what for notice in draft.notices}
    assert any(what.startswith("nothing is evaluated here, so execution providers") for what in said)
    assert "no `systems` are described, so 'aml' is this machine" in said
    assert "`double_quant` is an option of QLoRA: the pass is read as QLoRA" in said
    assert len(api.plan(workflow).steps) == 4


def test_the_azure_ml_file_is_planned_without_asking_anyone() -> None:
    draft = read_workflow([FILES / "azure_ml.json"])
    workflow = draft.raise_if_wrong()
    assert workflow.input_model.model_path == "azureml://registries/some-registry/models/some-model/versions/3"
    workspace = "azureml://subscriptions/a subscription/resourcegroups/a group/workspaces/a workspace"
    files = f"{workspace}/datastores/workspaceblobstore/paths/tones/rows.json"
    assert workflow.data_configs[0].load_dataset_config.data_files == files
    for name in ("aml", "arc"):
        system = workflow.systems[name].options.model_dump()
        assert system["azureml_client"]["workspace_name"] == "a workspace"
        assert system["accelerators"][0]["device"] == "gpu"
    assert workflow.systems["aml"].options.model_dump()["hf_token"] is True
    assert any(notice.what.startswith("it is the only Azure ML workspace") for notice in draft.notices)
    plan = api.plan(workflow)
    assert {step.node.system for step in plan.steps.values()} == {"aml"}
    assert {step.action for step in plan.steps.values()} == {"run"}


def test_options_of_one_pass_are_laid_over() -> None:
    workflow = load_workflow(FILES / "container.yaml", FILES / "regularization.yaml")
    found = options(workflow, "lora")
    assert (found["r"], found["alpha"], found["lora_dropout"]) == (2, 2, 0.1)
    assert found["training_args"] == {"weight_decay": 0.01}
    assert found["target_modules"] == ["c_attn", "c_proj"]


def test_a_training_config_goes_to_every_pass_that_trains() -> None:
    draft = read_workflow([FILES / "local.json", FILES / "training_config.yaml"])
    workflow = draft.raise_if_wrong()
    args = options(workflow, "lora")["training_args"]
    assert isinstance(args, dict)
    assert (args["fp16"], args["optim"], args["lr_scheduler_type"]) == (True, "adamw_torch", "cosine")
    assert args["max_steps"] == 2
    assert "training_args" not in options(workflow, "builder")
    place = draft.locate(("passes", "lora", "training_args", "fp16"))
    assert place is not None
    assert (Path(place.file).name, place.line) == ("training_config.yaml", 3)


@pytest.mark.parametrize("name", ["lora_r", "config.lora_r", "r"])
def test_overrides_may_be_of_any_age(name: str) -> None:
    workflow = load_workflow(FILES / "container.yaml", overrides=[f"passes.lora.{name}=16"])
    assert options(workflow, "lora")["r"] == 16


def test_a_wrong_value_in_an_override_is_located_there() -> None:
    (problem,) = read_workflow([FILES / "container.yaml"], ["passes.lora.lora_r=none"]).problems
    assert str(problem) == "--set passes.lora.lora_r=none: passes.lora.r: expected a whole number, found 'none'"
