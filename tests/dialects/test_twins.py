"""One workflow in the spellings of 0.6, of 0.7 to 0.9, and of today: one value, and the same steps."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from olive_engine import api
from olive_engine.config.loader import load
from olive_engine.config.migrate import migrate
from olive_engine.config.workflow import Workflow
from olive_engine.errors import InvalidWorkflow
from olive_engine.reading import read_workflow

TEMPLATE = '"Phrase: {phrase}\\nTone: {tone}"'
ARGS = "{seed: 3, max_steps: 4, learning_rate: 1e-4, per_device_train_batch_size: 2"

FINE_TUNING = {
    "0.4": f"""
input_model:
  type: PyTorchModel
  config:
    hf_config: {{model_name: models/tiny, task: text-generation, model_loading_args: {{use_safetensors: true}}}}
data_configs:
  rows:
    name: rows
    type: HuggingfaceContainer
    params_config:
      data_name: json
      data_files: data/rows.json
      split: train
      component_kwargs:
        pre_process_data:
          dataset_type: corpus
          text_cols: [phrase, tone]
          text_template: {TEMPLATE}
          corpus_strategy: join
          source_max_len: 64
          pad_to_max_len: false
passes:
  tune:
    type: LoRA
    config:
      lora_r: 4
      lora_alpha: 8
      lora_dropout: 0.1
      train_data_config: rows
      training_args: {ARGS}, evaluation_strategy: steps, eval_steps: 2, output_dir: x}}
      eval_dataset_size: 2
  merge: {{type: MergeAdapterWeights}}
engine:
  search_strategy: false
  evaluate_input_model: false
  cache_dir: cache
  output_dir: out
  host: {{type: LocalSystem, config: {{accelerators: [cpu]}}}}
""",
    "0.6": f"""
input_model:
  type: PyTorchModel
  config:
    hf_config: {{model_name: models/tiny, task: text-generation, from_pretrained_args: {{use_safetensors: true}}}}
data_configs:
- name: rows
  type: HuggingfaceContainer
  load_dataset_config:
    type: huggingface_dataset
    params: {{data_name: json, data_files: data/rows.json, split: train}}
  pre_process_data_config:
    type: text_generation_huggingface_pre_process
    params:
      dataset_type: corpus
      text_cols: [phrase, tone]
      text_template: {TEMPLATE}
      corpus_strategy: join
      source_max_len: 64
passes:
  tune:
    type: LoRA
    disable_search: true
    config:
      lora_r: 4
      lora_alpha: 8
      lora_dropout: 0.1
      train_data_config: rows
      training_args: {ARGS}, evaluation_strategy: steps, eval_steps: 2, report_to: none}}
      eval_dataset_size: 2
  merge: {{type: MergeAdapterWeights, config: {{}}}}
systems:
  host: {{type: LocalSystem, config: {{accelerators: [{{device: cpu}}]}}}}
engine: {{evaluate_input_model: false, host: host, cache_dir: cache, output_dir: out, clean_cache: true}}
""",
    "0.7": f"""
input_model:
  type: HfModel
  model_path: models/tiny
  task: text-generation
  load_kwargs: {{extra_args: {{use_safetensors: true}}}}
data_configs:
- name: rows
  type: HuggingfaceContainer
  load_dataset_config: {{data_name: json, data_files: data/rows.json, split: train}}
  pre_process_data_config:
    {{text_cols: [phrase, tone], text_template: {TEMPLATE}, strategy: join, max_seq_len: 64, use_attention_mask: true}}
passes:
  tune:
    type: lora
    lora_r: 4
    lora_alpha: 8
    lora_dropout: 0.1
    train_data_config: rows
    training_args: {ARGS}, extra_args: {{eval_strategy: steps}}, eval_steps: 2}}
    eval_dataset_size: 2
  merge: {{type: MergeAdapterWeights}}
systems: {{host: {{type: LocalSystem, accelerators: [{{device: CPU}}]}}}}
evaluate_input_model: false
host: host
cache_dir: cache
output_dir: out
no_artifacts: true
""",
    "today": f"""
input_model: {{type: HfModel, model_path: models/tiny, load_kwargs: {{use_safetensors: true}}}}
data_configs:
- name: rows
  type: HuggingfaceContainer
  load_dataset_config: {{data_name: json, data_files: data/rows.json, split: train}}
  pre_process_data_config: {{text_cols: [phrase, tone], text_template: {TEMPLATE}, strategy: join, max_seq_len: 64}}
passes:
  tune:
    type: LoRA
    r: 4
    alpha: 8
    lora_dropout: 0.1
    train_data_config: rows
    training_args: {ARGS}, eval_strategy: steps, eval_steps: 2}}
    eval_dataset_size: 2
  merge: {{type: MergeAdapterWeights}}
systems: {{host: {{type: LocalSystem, accelerators: [{{device: cpu}}]}}}}
evaluate_input_model: false
host: host
cache_dir: cache
output_dir: out
""",
}
JUDGED = {
    "0.6": """
input_model:
  type: PyTorchModel
  config: {model_path: models/phi3, hf_config: {model_name: org/phi, task: text-generation}}
data_configs:
  train: {load_dataset_config: {params: {data_name: json, data_files: data/rows.jsonl}},
          pre_process_data_config: {params: {dataset_type: corpus, text_cols: phrase, source_max_len: 32}}}
  held:
    type: HuggingfaceContainer
    load_dataset_config: {params: {data_name: json, data_files: data/rows.jsonl}}
    pre_process_data_config: {params: {text_cols: phrase, source_max_len: 32}}
    dataloader_config: {params: {batch_size: 4, shuffle: false}}
systems:
  gpu: {type: LocalSystem, config: {accelerators: [gpu], workers: 1}}
  cpu: {type: LocalSystem, config: {accelerators: [cpu]}}
evaluators:
  judge:
    metrics:
    - name: quality
      type: perplexity
      data_config: held
      sub_types: [{name: perplexity, priority_rank: 1, goal: {type: max-degradation, value: 2}}]
    - name: speed
      type: latency
      sub_types:
      - {name: avg, priority_rank: 2, metric_config: {warmup_num: 1, repeat_test_num: 2, sleep_num: 0}}
      user_config: {io_bind: false, inference_settings: {}}
passes:
  tune:
    type: LoRA
    config:
      double_quant: true
      quant_type: nf4
      lora_r: 2
      train_data_config: train
      training_args: {max_steps: 1, save_strategy: steps}
  merge: {type: MergeAdapterWeights, evaluator: judge}
  build: {type: GenAIModelExporter, config: {precision: int4}, host: cpu}
engine: {search_strategy: false, host: gpu, target: cpu, evaluator: judge, log_severity_level: 2}
""",
    "0.8": """
input_model: {type: HfModel, model_path: models/phi3}
data_configs:
- {name: train, load_dataset_config: {data_name: json, data_files: data/rows.jsonl},
   pre_process_data_config: {text_cols: phrase, max_seq_len: 32}}
- name: held
  type: HuggingfaceContainer
  load_dataset_config: {data_name: json, data_files: data/rows.jsonl}
  pre_process_data_config: {text_cols: phrase, max_seq_len: 32}
  dataloader_config: {batch_size: 4, drop_last: false}
systems:
  gpu: {type: LocalSystem, accelerators: [{device: gpu}], workers: 1}
  cpu: {type: LocalSystem, accelerators: [{device: cpu}]}
evaluators:
  judge:
    metrics:
    - name: quality
      type: perplexity
      backend: huggingface_metrics
      data_config: held
      sub_types: [{name: perplexity, priority: 1, goal: {type: max-degradation, value: 2}}]
    - name: speed
      type: latency
      sub_types: [{name: avg, priority: 2, metric_config: {warmup_num: 1, repeat_test_num: 2}}]
passes:
  tune:
    type: QLoRA
    double_quant: true
    quant_type: nf4
    r: 2
    train_data_config: train
    training_args: {max_steps: 1}
  merge: {type: MergeAdapterWeights, evaluator: judge}
  build: {type: ModelBuilder, precision: int4, host: cpu}
search_strategy: false
host: gpu
target: cpu
evaluator: judge
log_severity_level: 2
clean_run_cache: true
""",
    "today": """
input_model: {type: HfModel, model_path: models/phi3}
data_configs:
- {name: train, load_dataset_config: {data_name: json, data_files: data/rows.jsonl},
   pre_process_data_config: {text_cols: phrase, max_seq_len: 32}}
- name: held
  type: HuggingfaceContainer
  load_dataset_config: {data_name: json, data_files: data/rows.jsonl}
  pre_process_data_config: {text_cols: phrase, max_seq_len: 32}
  dataloader_config: {batch_size: 4}
systems:
  gpu: {type: LocalSystem, accelerators: [{device: gpu}], workers: 1}
  cpu: {type: LocalSystem, accelerators: [{device: cpu}]}
evaluators:
  judge:
    metrics:
    - {name: quality, type: perplexity, data_config: held,
       sub_types: [{name: perplexity, priority: 1, goal: {type: max-degradation, value: 2}}]}
    - {name: speed, type: latency, sub_types: [{name: avg, priority: 2}],
       metric_config: {warmup_num: 1, repeat_test_num: 2}}
passes:
  tune:
    {type: QLoRA, double_quant: true, quant_type: nf4, r: 2, train_data_config: train, training_args: {max_steps: 1}}
  merge: {type: MergeAdapterWeights, evaluator: judge}
  build: {type: ModelBuilder, precision: int4, host: cpu}
host: gpu
target: cpu
evaluator: judge
log_severity_level: 2
""",
}
DATA = """
data_configs:
- {name: rows, load_dataset_config: {data_files: data/rows.json}, pre_process_data_config: {text_cols: phrase}}
"""
MODEL = "input_model: {type: HfModel, model_path: models/tiny}"
FLOWS = {
    "0.6": f"""
{MODEL}
{DATA}
passes:
  tune: {{type: LoRA, config: {{lora_r: 2, train_data_config: rows}}}}
  other: {{type: LoRA, config: {{lora_r: 4, train_data_config: rows}}}}
  merge: {{type: MergeAdapterWeights}}
  small: {{type: ModelBuilder, config: {{precision: int4}}}}
  exact: {{type: ModelBuilder, config: {{precision: fp32}}}}
pass_flows: [[tune, merge, small], [tune, merge, exact], [other, merge, small]]
""",
    "0.7": f"""
{MODEL}
{DATA}
passes:
  tune: {{type: LoRA, lora_r: 2}}
  other: {{type: LoRA, lora_r: 4}}
  merge: {{type: MergeAdapterWeights}}
  small: {{type: ModelBuilder, precision: int4}}
  exact: {{type: ModelBuilder, precision: fp32}}
  unused: {{type: ModelBuilder, precision: fp16}}
pass_flows: [[tune, merge, small], [tune, merge, exact], [other, merge, small]]
""",
    "today": f"""
{MODEL}
{DATA}
passes:
  tune: {{type: LoRA, r: 2, train_data_config: rows}}
  merge: {{type: MergeAdapterWeights}}
  small: {{type: ModelBuilder, precision: int4}}
  exact: {{type: ModelBuilder, precision: fp32, input: merge}}
  other: {{type: LoRA, r: 4, train_data_config: rows, input: input_model}}
  merge_2: {{type: MergeAdapterWeights}}
  small_2: {{type: ModelBuilder, precision: int4}}
""",
}
EVALUATOR = """
evaluators:
  e: {metrics: [{name: q, type: perplexity, data_config: rows, sub_types: [{name: perplexity, priority: 1}]}]}
"""
SEARCH = {
    "0.6": f"""
{MODEL}
{DATA}
{EVALUATOR}
passes:
  tune:
    type: LoRA
    config:
      lora_alpha: 8
      lora_r: {{olive_parameter_type: SearchParameter, type: Categorical, support: [2, 4]}}
      train_data_config: rows
engine:
  evaluator: e
  search_strategy:
    execution_order: joint
    search_algorithm: random
    search_algorithm_config: {{num_samples: 2, seed: 5}}
""",
    "0.9": f"""
{MODEL}
{DATA}
{EVALUATOR}
passes:
  tune: {{type: LoRA, alpha: 8, r: [2, 4], train_data_config: rows}}
evaluator: e
search_strategy: {{execution_order: joint, sampler: random, sampler_config: {{seed: 5}}, max_samples: 2}}
""",
    "today": f"""
{MODEL}
{DATA}
{EVALUATOR}
passes:
  tune: {{type: LoRA, alpha: 8, r: {{search: [2, 4]}}, train_data_config: rows}}
evaluator: e
search_strategy: {{execution_order: joint, sampler: random, seed: 5, max_samples: 2}}
""",
}
TWINS: Mapping[str, Mapping[str, str]] = {
    "fine-tuning": FINE_TUNING,
    "quantized, on two systems, judged": JUDGED,
    "flows of passes": FLOWS,
    "a search": SEARCH,
}
OLDER = [(name, age) for name, ages in TWINS.items() for age in ages if age != "today"]


def workflow_of(file: Path) -> Workflow:
    """The workflow, apart from where it is written what cannot be had yet."""
    return read_workflow([file]).raise_if_wrong().model_copy(update={"unavailable": ()})


def in_order(workflow: Workflow) -> list[str]:
    """The names whose order means something."""
    return [*workflow.passes, *(config.name for config in workflow.data_configs)]


def keys(workflow: Workflow) -> dict[str, str | None]:
    """The key of each step, or why it has none yet."""
    steps = api.plan(workflow).steps
    return {name: step.key or repr(step.reasons) for name, step in steps.items()}


@pytest.mark.parametrize(("name", "age"), OLDER, ids=[f"{name}, {age}" for name, age in OLDER])
def test_an_older_twin(name: str, age: str, tmp_path: Path) -> None:
    old, today = tmp_path / "old.yaml", tmp_path / "today.yaml"
    old.write_text(TWINS[name][age])
    today.write_text(TWINS[name]["today"])
    older, newer = workflow_of(old), workflow_of(today)
    assert older == newer
    assert in_order(older) == in_order(newer)
    assert keys(older) == keys(newer)
    assert not migrate(today).is_changed
    assert read_workflow([today]).notices == ()

    migrated = tmp_path / "migrated.yaml"
    migrated.write_text(migrate(old).text)
    assert workflow_of(migrated) == newer
    as_json = tmp_path / "old.json"
    as_json.write_text(json.dumps(yaml.safe_load(TWINS[name][age].replace("1e-4", "0.0001"))))
    assert workflow_of(as_json) == newer


FILES = sorted(
    path
    for folder in ("examples", "recipes", "tutorials")
    for path in (Path(__file__).parent / folder).glob("*.*")
    if path.suffix in (".json", ".yaml")
)


def plannable() -> list[Path]:
    """Files whose workflow is sound with the models and the data of this folder's tests; the others are read there."""
    found = []
    for path in FILES:
        try:
            tree = load(path).tree
        except InvalidWorkflow:
            continue
        if isinstance(tree, dict) and ({"input_model", "model"} & set(tree)):
            found.append(path)
    return found


@pytest.mark.parametrize("file", plannable(), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_migrated_file_has_the_same_steps(file: Path, tmp_path: Path) -> None:
    new = tmp_path / f"new{file.suffix}"
    new.write_text(migrate(file).text)
    before, after = read_workflow([file]), read_workflow([new])
    said, now = ({problem.what for problem in draft.problems} for draft in (before, after))
    assert now == said  # as often as a thing is written: a workspace of the top now stands in each system
    if before.workflow is not None and after.workflow is not None:
        assert workflow_of(file) == workflow_of(new)
        assert in_order(before.workflow) == in_order(after.workflow)
        assert keys(before.workflow) == keys(after.workflow)
