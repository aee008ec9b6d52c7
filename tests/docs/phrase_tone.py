"""The workflow of samples/phrase_tone, built in Python: users' code, which type checkers read too."""

from olive_engine import (
    DataConfig,
    EvaluatorConfig,
    Goal,
    HfModelConfig,
    LoadDatasetConfig,
    MetricEntry,
    PassEntry,
    PreProcessConfig,
    SubMetric,
    Workflow,
)
from olive_engine.evaluation.timing import TimingConfig
from olive_passes.finetune import LoRAConfig, TrainingArgs
from olive_passes.model_builder import ModelBuilderConfig


def phrase_tone() -> Workflow:
    """The same as ``load_workflow("workflow.yaml")`` there."""
    prompt = PreProcessConfig(
        text_template="### Text: {phrase}\n### The tone is:\n{tone}", completion_only_loss=True, max_seq_len=128
    )
    accuracy = SubMetric(name="accuracy_score", priority=1, goal=Goal(type="min-improvement", value=0.15))
    return Workflow(
        input_model=HfModelConfig(model_path="base_model"),
        data_configs=[
            DataConfig(
                name="train",
                load_dataset_config=LoadDatasetConfig(data_files="data/train.jsonl"),
                pre_process_data_config=prompt,
            ),
            DataConfig(
                name="heldout",
                load_dataset_config=LoadDatasetConfig(data_files="data/heldout.jsonl"),
                pre_process_data_config=prompt,
            ),
        ],
        evaluators={
            "tone": EvaluatorConfig(
                metrics=(
                    MetricEntry(name="accuracy", type="accuracy", data_config="heldout", sub_types=(accuracy,)),
                    MetricEntry(name="perplexity", type="perplexity", data_config="heldout"),
                    MetricEntry(
                        name="speed", type="throughput", metric_config=TimingConfig(prompt_tokens=32, new_tokens=16)
                    ),
                    MetricEntry(name="size", type="size_on_disk"),
                )
            )
        },
        passes={
            "lora": PassEntry(
                type="LoRA",
                options=LoRAConfig(
                    r=16,
                    alpha=32,
                    train_data_config="train",
                    training_args=TrainingArgs(
                        learning_rate=0.001,
                        per_device_train_batch_size=16,
                        num_train_epochs=5,
                        weight_decay=0.1,
                        warmup_steps=10,
                        logging_steps=10,
                        save_steps=100,
                        seed=0,
                    ),
                ),
                evaluator="tone",
            ),
            "merge": PassEntry(type="MergeAdapterWeights", evaluator="tone"),
            "int4": PassEntry(
                type="ModelBuilder",
                options=ModelBuilderConfig(precision="int4", int4_block_size=32, int4_accuracy_level=4),
                evaluator="tone",
            ),
        },
        cache_dir=".olive-cache",
        output_dir="output",
    )
