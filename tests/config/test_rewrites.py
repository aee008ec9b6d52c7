# ruff: noqa: E501 - a file on a line is easier to compare with what it is read as
"""Every older spelling, with what it is read as. A rule that no case here exercises fails the last test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml

from olive_engine.config.legacy import Revision, bring_together, revise, revise_whole
from olive_engine.config.legacy.passes import _ARGS_NOT_NEEDED
from olive_engine.config.legacy.table import FILE_RULES, JOINED, LAST
from olive_engine.config.loader import loads
from olive_engine.config.tree import plain

TOP = {
    "model": ("model: {type: HfModel}", "input_model: {type: HfModel}"),
    "engine": ("engine: {cache_dir: here, output_dir: there}", "{cache_dir: here, output_dir: there}"),
    "inline host": ("host: {type: LocalSystem}", "{systems: {host: {type: LocalSystem}}, host: host}"),
    "inline target": (
        "engine: {target: {type: LocalSystem, config: {accelerators: [gpu]}}}",
        "{systems: {target: {type: LocalSystem, accelerators: [{device: gpu}]}}, target: target}",
    ),
    "inline evaluator": (
        "evaluator: {metrics: [{name: a, type: latency}]}",
        "{evaluators: {evaluator: {metrics: [{name: a, type: latency}]}}, evaluator: evaluator}",
    ),
    "azureml_client_config": (
        "systems: {here: {type: Elsewhere, azureml_client_config: {workspace_name: w}}}",
        "systems: {here: {type: Elsewhere, azureml_client: {workspace_name: w}}}",
    ),
    "a data set in hf_config": (
        "input_model: {type: HfModel, model_path: a/b, hf_config: {dataset: {data_name: c/d, split: train}}}",
        "{input_model: {type: HfModel, model_path: a/b}, data_configs: "
        "[{name: __input_model_data_config__, load_dataset_config: {data_name: c/d, split: train}}]}",
    ),
    "a data set in hf_config beside others": (
        "{input_model: {type: HfModel, model_path: a/b, hf_config: {dataset: {data_name: c/d}}}, data_configs: [{name: a}]}",
        "{input_model: {type: HfModel, model_path: a/b}, data_configs: "
        "[{name: a}, {name: __input_model_data_config__, load_dataset_config: {data_name: c/d}}]}",
    ),
    "a data config in a pass": (
        "{data_configs: [{name: a}], passes: {p: {type: LoRA, train_data_config: {name: b, load_dataset_config: {data_name: c/d}}}}}",
        "{data_configs: [{name: a}, {name: b, load_dataset_config: {data_name: c/d}}], passes: {p: {type: LoRA, train_data_config: b}}}",
    ),
    "a data config in a metric": (
        "evaluators: {e: {metrics: [{name: a, type: accuracy, data_config: {load_dataset_config: {data_name: c/d}}}]}}",
        "{evaluators: {e: {metrics: [{name: a, type: accuracy, data_config: e_data_config}]}}, "
        "data_configs: [{load_dataset_config: {data_name: c/d}, name: e_data_config}]}",
    ),
    "code of one's own": (
        "data_configs: [{name: a, user_script: b.py, load_dataset_config: {split: train}}]",
        "data_configs: [{name: a}]",
    ),
    "metrics at the top": (
        "{metrics: [{name: a, type: latency}], evaluators: {e: {metrics: [a]}}}",
        "evaluators: {e: {metrics: [{name: a, type: latency}]}}",
    ),
    "builds": ("{builds: {a: {pipeline: [b]}}, max_concurrent_builds: 1, component_assembly: {}}", "{}"),
    "auto_optimizer_config beside passes": (
        "{auto_optimizer_config: {precisions: [fp16]}, passes: {p: {type: LoRA}}}",
        "passes: {p: {type: LoRA}}",
    ),
    "auto_optimizer_config": ("{auto_optimizer_config: {precisions: [fp16]}, passes: {}}", "passes: {}"),
    "max_samples": (
        "data_configs: [{name: a, pre_process_data_config: {max_samples: 3}}]",
        "data_configs: [{name: a, pre_process_data_config: {}, load_dataset_config: {max_samples: 3}}]",
    ),
    "workflow_config": ("workflow_config: {seed: 1}", "seed: 1"),
    "a shared cache by names": (
        "{cache_config: {cache_dir: here, account_name: acct, container_name: cont, update_shared_cache: false}}",
        "{cache_dir: here, shared_cache: {url: 'abfs://cont', write: false, "
        "storage_options: {account_name: acct, anon: false}}}",
    ),
    "a shared cache as the cache's folder": (
        "cache_dir: 'https://acct.blob.core.windows.net/cont'",
        "shared_cache: {url: 'abfs://cont', write: true, storage_options: {account_name: acct, anon: false}}",
    ),
    "a shared cache beside the cache's folder": (
        "{cache_dir: ['https://acct.blob.core.windows.net/cont', here], enable_shared_cache: true}",
        "{cache_dir: here, shared_cache: {url: 'abfs://cont', write: true, "
        "storage_options: {account_name: acct, anon: false}}}",
    ),
    "two folders": ("cache_dir: [here, there]", "cache_dir: here"),
    "Olive's public cache": ("{enable_shared_cache: true, update_shared_cache: true}", "{}"),
}
DROPPED_AT_THE_TOP = (
    *("clean_cache: true", "clean_run_cache: false", "clean_evaluation_cache: true", "workflow_id: mine"),
    *("output_name: x", "ort_log_severity_level: 3", "ort_py_log_severity_level: 3", "log_to_file: false"),
    *(
        "plot_pareto_frontier: false",
        "no_artifacts: true",
        "verbose: true",
        "enable_shared_cache: false",
        "cache_config: {enable_shared_cache: false}",
        "evaluation_only: false",
        "packaging_config: [{type: Zipfile, name: x}]",
    ),
)
MODEL = {
    "config": ("{type: HfModel, config: {model_path: a/b}}", "{type: HfModel, model_path: a/b}"),
    "PyTorchModel": ("{type: PyTorchModel, model_path: a/b}", "{type: HfModel, model_path: a/b}"),
    "ONNXModel": ("{type: ONNXModel, model_path: a}", "{type: OnnxModel, model_path: a}"),
    "hf_config": (
        "{type: PyTorchModel, hf_config: {model_name: a/b, task: text-generation}}",
        "{type: HfModel, model_path: a/b, task: text-generation}",
    ),
    "model_name beside no path": (
        "{type: PyTorchModel, model_path: null, hf_config: {model_name: a/b}}",
        "{type: HfModel, model_path: a/b}",
    ),
    "model_name beside a path": (
        "{type: PyTorchModel, model_path: here, hf_config: {model_name: a/b}}",
        "{type: HfModel, model_path: here}",
    ),
    "from_pretrained_args": (
        "{type: HfModel, model_path: a/b, hf_config: {from_pretrained_args: {trust_remote_code: true}}}",
        "{type: HfModel, model_path: a/b, load_kwargs: {trust_remote_code: true}}",
    ),
    "model_loading_args": (
        "{type: HfModel, model_path: a/b, hf_config: {model_loading_args: {extra_args: {use_cache: false}}}}",
        "{type: HfModel, model_path: a/b, load_kwargs: {use_cache: false}}",
    ),
    "load_kwargs in hf_config": (
        "{type: HfModel, model_path: a/b, hf_config: {load_kwargs: {revision: main}}}",
        "{type: HfModel, model_path: a/b, load_kwargs: {revision: main}}",
    ),
    "folder": ("{type: HfModel, model_path: {type: folder, path: here}}", "{type: HfModel, model_path: here}"),
    "name": (
        "{type: HfModel, model_path: {type: string_name, config: {name: a/b}}}",
        "{type: HfModel, model_path: a/b}",
    ),
    "azureml model": (
        "{type: HfModel, model_path: {type: azureml_model, name: m, version: 2}}",
        "{type: HfModel, model_path: 'azureml://models/m/versions/2'}",
    ),
    "azureml job output": (
        "{type: HfModel, model_path: {type: azureml_job_output, job_id: j, output_name: o, relative_path: p}}",
        "{type: HfModel, model_path: 'azureml://jobs/j/outputs/o/paths/p'}",
    ),
    "azureml datastore": (
        "{type: HfModel, model_path: {type: azureml_datastore, datastore_url: 'azureml://datastores/d/paths/p'}}",
        "{type: HfModel, model_path: 'azureml://datastores/d/paths/p'}",
    ),
    "hf_from_pretrained_args": (
        "{type: HfModel, model_path: a/b, hf_config: {hf_from_pretrained_args: {revision: main}}}",
        "{type: HfModel, model_path: a/b, load_kwargs: {revision: main}}",
    ),
    "token": (
        "{type: HfModel, model_path: a/b, load_kwargs: {token: x, use_auth_token: true}}",
        "{type: HfModel, model_path: a/b, load_kwargs: {}}",
    ),
    "mlflow": ("{type: HfModel, model_path: a, model_file_format: PyTorch.MLflow}", "{type: HfModel, model_path: a}"),
}
DROPPED_OF_A_MODEL = (
    *("io_config: {input_names: [a]}", "dummy_inputs_func: f", "model_script: a.py", "script_dir: b"),
    *(
        "generative: true",
        "is_hf: true",
        "is_file: false",
        "model_components: [a]",
        "name: x",
        "model_attributes: {}",
        "model_storage_kind: folder",
        "is_hf_model: true",
    ),
    *(
        "inference_settings: {}",
        "use_ort_extensions: true",
        "model_class: A",
        "custom_task_class_name: A",
        "custom_task_class_module: b",
        "feature: causal-lm",
        "components: []",
    ),
    "use_ort_implementation: true",
)
DATA = {
    "mapping": (
        "{train: {load_dataset_config: {data_name: a/b}}}",
        "[{name: train, load_dataset_config: {data_name: a/b}}]",
    ),
    "config": (
        "[{name: a, config: {load_dataset_config: {data_name: a/b}}}]",
        "[{name: a, load_dataset_config: {data_name: a/b}}]",
    ),
    "a name within": (
        "{train: {name: other, load_dataset_config: {data_name: a/b}}}",
        "[{name: train, load_dataset_config: {data_name: a/b}}]",
    ),
    "hub settings": (
        "[{name: a, load_dataset_config: {data_name: a/b, token: true, streaming: false}}]",
        "[{name: a, load_dataset_config: {data_name: a/b}}]",
    ),
    "dataset_name": (
        "[{name: a, load_dataset_config: {dataset_name: a/b, type: huggingface_dataset, trust_remote_code: true}}]",
        "[{name: a, load_dataset_config: {data_name: a/b}}]",
    ),
    "params_config": (
        "{a: {params_config: {data_name: a/b, split: train, batch_size: 2, text_cols: t, "
        "component_kwargs: {pre_process_data: {source_max_len: 8}}}}}",
        "[{name: a, pre_process_data_config: {max_seq_len: 8, text_cols: t}, "
        "load_dataset_config: {data_name: a/b, split: train}, dataloader_config: {batch_size: 2}}]",
    ),
    "files of Azure ML": (
        "[{name: a, load_dataset_config: {data_files: {train: {type: azureml_datastore, datastore_name: d, "
        "relative_path: p.json}}}}]",
        "[{name: a, load_dataset_config: {data_files: {train: 'azureml://datastores/d/paths/p.json'}}}]",
    ),
}
PARTS = ("load_dataset", "pre_process_data", "post_process_data", "dataloader")
PRE = {
    "corpus": ("{dataset_type: corpus, text_cols: t}", "{text_cols: t}"),
    "corpus_strategy": ("{corpus_strategy: join}", "{strategy: join}"),
    "source_max_len": ("{source_max_len: 8}", "{max_seq_len: 8}"),
    "padding": ("{pad_to_max_len: true, use_attention_mask: false, drop_short_sequences: true}", "{}"),
    "type": ("{type: text_generation_huggingface_pre_process, text_cols: t}", "{text_cols: t}"),
    "seed and window": ("{random_seed: 1, stride: 4, joiner: null}", "{}"),
}
SYSTEM = {
    "config": ("{type: LocalSystem, config: {workers: 1}}", "{type: LocalSystem, workers: 1}"),
    "device": ("{type: LocalSystem, device: GPU}", "{type: LocalSystem, accelerators: [{device: gpu}]}"),
    "names": (
        "{type: LocalSystem, accelerators: [cpu, GPU]}",
        "{type: LocalSystem, accelerators: [{device: cpu}, {device: gpu}]}",
    ),
    "one": ("{type: LocalSystem, accelerators: {device: cpu}}", "{type: LocalSystem, accelerators: [{device: cpu}]}"),
    "providers alone": (
        "{type: LocalSystem, accelerators: [{execution_providers: [CUDAExecutionProvider]}]}",
        "{type: LocalSystem, accelerators: [{device: gpu, execution_providers: [CUDAExecutionProvider]}]}",
    ),
    "providers with options": (
        "{type: LocalSystem, accelerators: [{device: npu, execution_providers: [[QNNExecutionProvider, {a: 1}], "
        "{CPUExecutionProvider: {}}]}]}",
        "{type: LocalSystem, accelerators: [{device: npu, execution_providers: [QNNExecutionProvider, CPUExecutionProvider]}]}",
    ),
    "readymade": ("{type: AzureNDV2System}", "{type: AzureML, accelerators: [{device: gpu}]}"),
    "aml_config_path": (
        "{type: AzureML, config: {aml_config_path: a.json}}",
        "{type: AzureML, azureml_client: {aml_config_path: a.json}}",
    ),
    "an image of 0.6": (
        "{type: Docker, config: {local_docker_config: {image_name: own, run_params: {shm_size: 8g}}}}",
        "{type: Docker, image_name: own, shm_size: 8g}",
    ),
    "an image": (
        "{type: Docker, image_name: own, work_dir: /olive-ws, clean_image: true, dockerfile: null}",
        "{type: Docker, image_name: own}",
    ),
    "environment": ("{type: LocalSystem, olive_managed_env: false, is_dev: true}", "{type: LocalSystem}"),
    "made environment": (
        "{type: PythonEnvironment, olive_managed_env: true, requirements_file: r.txt, python_environment_path: x}",
        "{type: PythonEnvironment, requirements_file: r.txt}",
    ),
}
METRICS = {
    "evaluator's config": ("{config: {metrics: [{name: a, type: latency}]}}", "{metrics: [{name: a, type: latency}]}"),
    "by name": ("{metrics: {a: {type: latency}}}", "{metrics: [{name: a, type: latency}]}"),
    "one": ("{metrics: {name: a, type: latency}}", "{metrics: [{name: a, type: latency}]}"),
    "config": ("{metrics: [{name: a, config: {type: latency}}]}", "{metrics: [{name: a, type: latency}]}"),
    "sub_type": (
        "{metrics: [{name: a, type: latency, sub_type: avg, priority_rank: 1, goal: {type: threshold, value: 1}}]}",
        "{metrics: [{name: a, type: latency, sub_types: [{name: avg, priority: 1, goal: {type: threshold, value: 1}}]}]}",
    ),
    "priority_rank": (
        "{metrics: [{name: a, type: latency, sub_types: [{name: avg, priority_rank: 1}]}]}",
        "{metrics: [{name: a, type: latency, sub_types: [{name: avg, priority: 1}]}]}",
    ),
    "sub_types alone": (
        "{metrics: [{name: a, type: latency, sub_types: avg}]}",
        "{metrics: [{name: a, type: latency, sub_types: [avg]}]}",
    ),
    "settings of a value": (
        "{metrics: [{name: a, type: latency, sub_types: [{name: avg, metric_config: {warmup_num: 1, sleep_num: 0}}]}]}",
        "{metrics: [{name: a, type: latency, sub_types: [{name: avg}], metric_config: {warmup_num: 1}}]}",
    ),
    "backend": (
        "{metrics: [{name: a, type: accuracy, backend: huggingface_metrics}]}",
        "{metrics: [{name: a, type: accuracy}]}",
    ),
    "user_config": (
        "{metrics: [{name: a, type: accuracy, user_config: {batch_size: 4, io_bind: true, inference_settings: {}, "
        "shared_kv_buffer: true, run_kwargs: {}}}]}",
        "{metrics: [{name: a, type: accuracy, metric_config: {batch_size: 4}}]}",
    ),
    "goal": (
        "{target: here, metrics: [{name: a, type: latency, goal: null, sub_types: [{name: avg, goal: {type: min_improvement}}]}]}",
        "{target: here, metrics: [{name: a, type: latency, sub_types: [{name: avg, goal: {type: min-improvement}}]}]}",
    ),
    "perplexity": (
        "{metrics: [{name: a, type: accuracy, sub_types: [{name: perplexity, priority: 1}]}]}",
        "{metrics: [{name: a, type: perplexity, sub_types: [{name: perplexity, priority: 1}]}]}",
    ),
    "is_first_priority": (
        "{metrics: [{name: a, type: latency, is_first_priority: true, sub_types: [{name: avg, is_first_priority: true}]}]}",
        "{metrics: [{name: a, type: latency, sub_types: [{name: avg}]}]}",
    ),
    "nothing": ("{}", "{metrics: []}"),
    "custom metric": (
        "{metrics: [{name: a, type: custom}, {name: b, type: latency}]}",
        "{metrics: [{name: b, type: latency}]}",
    ),
    "typed evaluator": ("{type: LMEvaluator, tasks: [x]}", "{metrics: []}"),
}
PASS = {
    "config": ("{type: LoRA, config: {r: 1}}", "{type: LoRA, r: 1}"),
    "params": ("{type: LoRA, params: {r: 1}}", "{type: LoRA, r: 1}"),
    "alternatives": ("[{type: LoRA, config: {lora_r: 1}}, {type: QLoRA}]", "[{type: LoRA, r: 1}, {type: QLoRA}]"),
    "GenAIModelExporter": ("{type: GenAIModelExporter, precision: int4}", "{type: ModelBuilder, precision: int4}"),
    "lora_r": ("{type: LoRA, lora_r: 1, lora_alpha: 2}", "{type: LoRA, r: 1, alpha: 2}"),
    "weight_decay": ("{type: LoRA, weight_decay: 0.1}", "{type: LoRA, training_args: {weight_decay: 0.1}}"),
    "hf_training_args": ("{type: LoRA, hf_training_args: {seed: 1}}", "{type: LoRA, training_args: {seed: 1}}"),
    "extra_args": (
        "{type: LoRA, training_args: {extra_args: {adam_beta2: 0.9}}}",
        "{type: LoRA, training_args: {adam_beta2: 0.9}}",
    ),
    "evaluation_strategy": (
        "{type: LoRA, training_args: {evaluation_strategy: steps}}",
        "{type: LoRA, training_args: {eval_strategy: steps}}",
    ),
    "quant_type": ("{type: LoRA, quant_type: fp4}", "{type: QLoRA, quant_type: fp4}"),
    "all-linear": ("{type: LoRA, target_modules: all-linear}", "{type: LoRA}"),
    "double_quant": ("{type: LoRA, double_quant: true}", "{type: QLoRA, double_quant: true}"),
    "no double_quant": ("{type: LoRA, double_quant: false}", "{type: LoRA}"),
    "files of an ONNX model": (
        "{type: ModelBuilder, save_as_external_data: true, all_tensors_to_one_file: true, external_data_name: a, size_threshold: 1}",
        "{type: ModelBuilder}",
    ),
    "metadata_only": ("{type: ModelBuilder, metadata_only: true}", "{type: ModelBuilder}"),
    "adamw_hf": ("{type: LoRA, training_args: {optim: adamw_hf}}", "{type: LoRA, training_args: {optim: adamw_torch}}"),
    "tf32": ("{type: LoRA, training_args: {tf32: true}}", "{type: LoRA, training_args: {}, allow_tf32: true}"),
    "searched values": (
        "{type: LoRA, r: SEARCHABLE_VALUES, alpha: DEFAULT_VALUE, lora_dropout: {olive_parameter_type: SearchParameter, "
        "type: Categorical, support: [0.1, 0.2]}}",
        "{type: LoRA, r: {search: default}, lora_dropout: {search: {type: choice, values: [0.1, 0.2]}}}",
    ),
    "searched values of a pass whose search is off": (
        "{type: LoRA, r: SEARCHABLE_VALUES, alpha: 3, disable_search: true}",
        "{type: LoRA, alpha: 3}",
    ),
    "categorical": (
        "{type: LoRA, r: {search: {type: categorical, values: [1]}}}",
        "{type: LoRA, r: {search: {type: choice, values: [1]}}}",
    ),
    "filename": ("{type: ModelBuilder, extra_options: {filename: a.onnx}}", "{type: ModelBuilder}"),
    "paged": (
        "{type: ModelBuilder, extra_options: {use_paged_attention: true, num_blocks: 4, quant_mode: default}}",
        "{type: ModelBuilder}",
    ),
    "names without int4_": (
        "{type: ModelBuilder, block_size: 32, accuracy_level: 4, algo_config: rtn, is_symmetric: true, "
        "op_types_to_quantize: [MatMul, Gemm], nodes_to_exclude: [a]}",
        "{type: ModelBuilder, int4_block_size: 32, int4_accuracy_level: 4, int4_algo_config: rtn, "
        "int4_is_symmetric: true, int4_op_types_to_quantize: [MatMul], int4_nodes_to_exclude: [a]}",
    ),
    "extra options of the pass itself": (
        "{type: ModelBuilder, extra_options: {int4_block_size: '128', is_symmetric: 'true', use_qdq: true, shared_embeddings: true, a: null}}",
        "{type: ModelBuilder, int4_block_size: 128, int4_is_symmetric: true, use_qdq: true, extra_options: {shared_embeddings: true}}",
    ),
    "of a run": (
        "{type: LoRA, clean_run_cache: true, output_name: x, disable_search: true, training_output_dir: y, "
        "use_ort_trainer: false}",
        "{type: LoRA}",
    ),
}
DROPPED_OPTIONS = (
    *("device_map: auto", "ephemeral_gpu_offload: true", "save_quant_config: true", "quantized_modules: [a]"),
    "ortmodule_onnx_opset_version: 16",
)
DROPPED_ARGS = (
    *(f"{name}: 1" for name in _ARGS_NOT_NEEDED),
    *("max_steps: -1", "metric_for_best_model: eval_loss", "greater_is_better: false"),
    *("output_dir: x", "overwrite_output_dir: true", "resume_from_checkpoint: x", "save_total_limit: 2"),
    *("save_strategy: steps", "logging_dir: x", "report_to: none", "logging_strategy: steps"),
    *(
        "remove_unused_columns: false",
        "do_train: true",
        "do_eval: true",
        "prediction_loss_only: true",
        "save_total_limit: 1",
    ),
)
SEARCH = {
    "search_algorithm": (
        "{search_algorithm: exhaustive, search_algorithm_config: {seed: 1, num_samples: 4}}",
        "{sampler: sequential, seed: 1, max_samples: 4}",
    ),
    "flat": ("{sampler: TPESampler, num_samples: 3, seed: 1}", "{sampler: tpe, max_samples: 3, seed: 1}"),
    "in sampler_config": (
        "{sampler: random, sampler_config: {max_samples: 3, seed: 1, group: true}}",
        "{sampler: random, sampler_config: {group: true}, max_samples: 3, seed: 1}",
    ),
    "all samples": ("{sampler: sequential, max_samples: 0}", "{sampler: sequential}"),
    "pruner": ("{pruner: HyperbandPruner}", "{pruner: hyperband}"),
    "num_trials": ("{sampler: random, num_trials: 20}", "{sampler: random, max_samples: 20}"),
    "type": ("{type: random}", "{sampler: random}"),
}


def cases() -> Iterator[tuple[str, str, str]]:
    """Every case: its name, the old text and the new one."""
    for name, (old, new) in TOP.items():
        yield name, old, new
    for old in DROPPED_AT_THE_TOP:
        yield old.partition(":")[0], old, "{}"
    sections = {"input_model": MODEL, "data_configs": DATA, "systems: {here": SYSTEM, "evaluators: {e": METRICS}
    sections |= {"passes: {p": PASS, "search_strategy": SEARCH}
    for section, table in sections.items():
        end = "}" if "{" in section else ""
        for name, (old, new) in table.items():
            yield f"{section.partition(':')[0]} {name}", f"{section}: {old}{end}", f"{section}: {new}{end}"
    for old in DROPPED_OF_A_MODEL:
        model = "type: HfModel, model_path: a/b"
        yield f"input_model {old}", f"input_model: {{{model}, {old}}}", f"input_model: {{{model}}}"
        yield f"hf_config {old}", f"input_model: {{{model}, hf_config: {{{old}}}}}", f"input_model: {{{model}}}"
    for old in DROPPED_OPTIONS:
        yield f"passes {old}", f"passes: {{p: {{type: LoRA, {old}}}}}", "passes: {p: {type: LoRA}}"
    for old in DROPPED_ARGS:
        yield (
            f"training_args {old}",
            f"passes: {{p: {{type: LoRA, training_args: {{{old}}}}}}}",
            "passes: {p: {type: LoRA, training_args: {}}}",
        )
    for name, (old, new) in PRE.items():
        before, after = "data_configs: [{name: a, pre_process_data_config: ", "}]"
        yield f"pre_process {name}", before + old + after, before + new + after
    for part in PARTS:
        kept = {"load_dataset": "split: b", "pre_process_data": "text_cols: b", "dataloader": "batch_size: 2"}.get(part)
        wanted = f"data_configs: [{{name: a, {part}_config: {{{kept}}}}}]" if kept else "data_configs: [{name: a}]"
        value = kept or "a: 1"
        for nesting in ("params", "config", "kwargs"):
            yield f"{part} {nesting}", f"data_configs: [{{name: a, {part}_config: {{{nesting}: {{{value}}}}}}}]", wanted
        yield f"{part} itself", f"data_configs: [{{name: a, {part}: {{{value}}}}}]", wanted
        for group in ("components", "components_kwargs"):
            yield f"{part} {group}", f"data_configs: [{{name: a, {group}: {{{part}: {{{value}}}}}}}]", wanted
    for rest in ("type: default_dataloader", "drop_last: true", "shuffle: true"):
        yield (
            f"dataloader {rest}",
            f"data_configs: [{{name: a, dataloader_config: {{{rest}}}}}]",
            "data_configs: [{name: a, dataloader_config: {}}]",
        )


CASES = list(cases())


@pytest.fixture(autouse=True)
def plugins() -> None:
    """What is installed: the rules know its names."""


def revised(text: str) -> Revision:
    revision = Revision(loads(text.encode(), "w.yaml", "yaml").root)
    revise(revision)
    bring_together(revision)
    return revision


@pytest.mark.parametrize(("old", "new"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_an_older_spelling(old: str, new: str) -> None:
    revision = revised(old)
    assert revision.problems == []
    assert plain(revision.root) == yaml.safe_load(new)
    assert revision.notices or revision.lacks
    again = revised(yaml.safe_dump(plain(revision.root), sort_keys=False))
    assert (again.edits, again.notices) == ([], [])


REFUSED = {
    "passes: {a: {type: QLoRA, use_ort_trainer: true}}": "ONNX Runtime's trainer is no more",
    "input_model: {type: PyTorchModel, model_loader: f, model_script: a.py}": "a model that code of your own makes",
    "input_model: {type: HfModel, model_path: a, model_file_format: PyTorch.StateDict}": "such a file is a pickle",
    "input_model: {type: HfModel, model_path: {type: azureml_modle, name: a}}": "no kind of path is called 'azureml_modle'",
    "input_model: {type: HfModel, model_path: {type: azureml_model, name: a}}": "lacks `version`",
    "input_model: {type: HfModel, model_path: {type: folder}}": "`path` is required",
    "data_configs: [{name: a, pre_process_data_config: {dataset_type: pair}}]": "pairs of source and target",
    "data_configs: [{name: a, pre_process_data_config: {corpus_strategy: join-random}}]": "random sampling",
    "pass_flows: {a: b}": "expected a list of lists",
    "{passes: {a: {type: LoRA}}, pass_flows: [[a, b]]}": "there is no pass 'b'",
    "passes: {a: {type: LoRA, r: 1, lora_r: 2}}": "`passes.a.r` is written too, with another value",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_cannot_be_read_is_refused_by_name(text: str) -> None:
    (problem,) = revised(text).problems
    assert REFUSED[text] in problem.what
    assert problem.position is not None


FLOWS: dict[str, dict[str, str | None]] = {
    "[[a, b], [a, c]]": {"a": None, "b": None, "c": "a"},
    "[[a, b], [c, b]]": {"a": None, "b": None, "c": "input_model", "b_2": None},
    "[[c, a]]": {"c": None, "a": None},
    "[a, b]": {"a": None, "b": None},
}


@pytest.mark.parametrize("flows", FLOWS)
def test_flows_become_inputs(flows: str) -> None:
    revision = revised(f"passes: {{a: {{type: A}}, b: {{type: B}}, c: {{type: C}}}}\npass_flows: {flows}")
    tree = plain(revision.root)
    assert isinstance(tree, dict)
    passes = tree["passes"]
    assert isinstance(passes, dict)
    inputs = {name: entry.get("input") if isinstance(entry, dict) else entry for name, entry in passes.items()}
    assert inputs == FLOWS[flows]
    assert list(passes) == list(FLOWS[flows])
    assert "pass_flows" not in tree


def test_every_rule_of_the_table_has_a_case() -> None:
    used: set[int] = set()
    rules = (*FILE_RULES, *JOINED, *LAST)
    texts = (
        [case[1] for case in CASES]
        + list(REFUSED)
        + [f"{{passes: {{a: {{type: A}}}}, pass_flows: {f}}}" for f in FLOWS]
    )
    texts.append("data_configs: [{load_dataset_config: {data_files: {azureml_client: {workspace_name: w}}}}]")
    for text in texts:
        revision = Revision(loads(text.encode(), "w.yaml", "yaml").root)
        for index, rule in enumerate(rules):
            before = len(revision.edits) + len(revision.problems)
            rule.apply(revision)
            if len(revision.edits) + len(revision.problems) > before:
                used.add(index)
    assert [rules[index] for index in range(len(rules)) if index not in used] == []


JUDGED = "evaluators: {e: {metrics: [{name: a, type: latency}]}, f: {metrics: [{name: a, type: latency}]}}"
WHOLE = {
    "nothing": (
        "{output_dir: null, cache_dir: here, input_model: {type: HfModel, task: null}}",
        "{cache_dir: here, input_model: {type: HfModel}}",
    ),
    "a model without a type": (
        "input_model: {model_path: a.onnx}",
        "input_model: {model_path: a.onnx, type: OnnxModel}",
    ),
    "the only evaluator": (
        "evaluators: {e: {metrics: [{name: a, type: latency}]}}",
        "{evaluators: {e: {metrics: [{name: a, type: latency}]}}, evaluator: e}",
    ),
    "training_config": (
        "{passes: {a: {type: LoRA, training_args: {seed: 1}}, b: {type: MergeAdapterWeights}}, training_config: {seed: 2, bf16: true}}",
        "passes: {a: {type: LoRA, training_args: {seed: 1, bf16: true}}, b: {type: MergeAdapterWeights}}",
    ),
    "the only data config": (
        "{data_configs: [{name: d}], passes: {a: {type: LoRA}}}",
        "{data_configs: [{name: d}], passes: {a: {type: LoRA, train_data_config: d}}}",
    ),
    "no systems": ("{host: aml, target: aml, passes: {a: {type: X, host: aml}}}", "passes: {a: {type: X}}"),
    "a workflow_host without systems": ("{workflow_host: aml, passes: {a: {type: X}}}", "passes: {a: {type: X}}"),
    "a workflow_host that is this machine": (
        "{workflow_host: here, systems: {here: {type: localsystem}}}",
        "systems: {here: {type: localsystem}}",
    ),
    "a workflow_host of nothing": (
        "{workflow_host: null, systems: {s: {type: AzureML}}}",
        "systems: {s: {type: AzureML}}",
    ),
    "providers without systems": (
        f"{{execution_providers: [CPUExecutionProvider], {JUDGED}}}",
        "{systems: {evaluating: {type: LocalSystem, accelerators: [{device: cpu, execution_providers: "
        f"[CPUExecutionProvider]}}]}}}}, target: evaluating, {JUDGED}}}",
    ),
    "providers of nothing": ("{execution_providers: [CPUExecutionProvider]}", "{}"),
    "providers of the target": (
        f"{{systems: {{s: {{type: LocalSystem, accelerators: [{{device: gpu}}]}}}}, target: s, {JUDGED}, "
        "execution_providers: [CUDAExecutionProvider]}",
        "{systems: {s: {type: LocalSystem, accelerators: [{device: gpu, execution_providers: [CUDAExecutionProvider]}]}}, "
        f"target: s, {JUDGED}}}",
    ),
    "data_root": (
        "{data_root: base/, data_configs: [{name: d, load_dataset_config: {data_files: {train: [a.json, /b.json]}}}]}",
        "data_configs: [{name: d, load_dataset_config: {data_files: {train: [base/a.json, /b.json]}}}]",
    ),
    "workspace": (
        "{azureml_client: {workspace_name: w}, systems: {s: {type: AzureML}, t: {type: LocalSystem}}}",
        "systems: {s: {type: AzureML, azureml_client: {workspace_name: w}}, t: {type: LocalSystem}}",
    ),
}


@pytest.mark.parametrize("name", WHOLE)
def test_what_needs_the_whole(name: str) -> None:
    old, new = WHOLE[name]
    revision = Revision(loads(old.encode(), "w.yaml", "yaml").root)
    revise_whole(revision)
    assert plain(revision.root) == yaml.safe_load(new)
    assert revision.notices
    assert revision.problems == []


@pytest.mark.parametrize(
    ("host", "way"),
    [
        ("", "write `host: aml` to run its steps there, the engine stays here"),
        (", host: here", "write `host: aml` to run its steps there, the engine stays here"),
        (", host: aml", "leave it out: with `host: aml` its steps run there, and the engine stays here"),
    ],
)
def test_a_whole_workflow_elsewhere_cannot_be_had(host: str, way: str) -> None:
    text = f"{{workflow_host: aml, systems: {{aml: {{type: AzureML}}, here: {{type: LocalSystem}}}}{host}}}"
    revision = Revision(loads(text.encode(), "w.yaml", "yaml").root)
    revise_whole(revision)
    assert not revision.has(("workflow_host",))
    assert revision.value(("host",)) == (host.partition(": ")[2] or None)
    assert [str(each) for lacks in revision.lacks.values() for each in lacks] == [
        f"w.yaml:1:2: workflow_host: running a whole workflow elsewhere is not available; {way}"
    ]
    assert revision.problems == []


def test_a_training_config_without_a_training_is_refused() -> None:
    revision = Revision(loads(b"training_config: {seed: 1}", "w.yaml", "yaml").root)
    revise_whole(revision)
    assert [problem.what for problem in revision.problems] == ["there is no pass that trains"]
