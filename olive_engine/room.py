"""The memory and the disk that a plan takes at the least, against what there is.

What is told here stops a run, so it is a lower bound: what cannot be known beforehand counts nothing.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from olive_engine import machine
from olive_engine.config.checkpoint import read_checkpoint
from olive_engine.config.workflow import INPUT_MODEL, HfModelConfig, Workflow
from olive_engine.contracts import Device, Environment, Known, Needs
from olive_engine.errors import Problem
from olive_engine.graph import Node
from olive_engine.judging import keeps_layers
from olive_engine.models import Checkpoint, HfAdapterModel, HfModel, Manifest, OnnxModel, is_local, local_folder
from olive_engine.planner import Plan
from olive_engine.registry import find_pass
from olive_engine.reporting.phrases import size

WEIGHTS = (".safetensors", ".bin", ".onnx", ".onnx.data", ".data")
"""How the names of files with weights end."""


@dataclass(frozen=True, slots=True)
class _Source:
    """A model that steps take: what is known of it before anything runs."""

    kind: str = ""
    checkpoint: Checkpoint | None = None
    size: int = 0
    """Bytes of its weights; 0: not known."""


def check(workflow: Workflow, plan: Plan) -> list[Problem]:
    """Say where there is too little room, with both numbers."""
    if not plan.to_run:
        return []
    needs = _needs(workflow, plan)
    return [*_memory(plan, needs), *_disk(workflow, plan, needs)]


# --- what is needed -----------------------------------------------------------------------------------------------


def _needs(workflow: Workflow, plan: Plan) -> dict[str, Needs]:
    """What each step that must run takes at the least, in the order of the plan."""
    models = {INPUT_MODEL: _input_model(plan)}
    needs: dict[str, Needs] = {}
    for name, step in plan.steps.items():
        node = step.node
        environment = plan.facts.environments.get(node.system)
        if node.kind == "data" or environment is None:
            continue
        source = models.get(node.inputs[0], _Source())
        if node.kind == "evaluate":
            needs[name] = Needs(memory=_loaded(node, source, workflow, plan, environment))
            continue
        taken = _taken(node, source, environment)
        needs[name] = taken
        models[name] = _made(node, source, step.record.output if step.record else None, taken)
    return {name: needs[name] for name in plan.to_run if name in needs}


def _input_model(plan: Plan) -> _Source:
    manifest = plan.facts.input_model
    if manifest is None:  # on the hub, and not here yet
        return _Source()
    location = manifest.parts["model_path"].location
    hugging_face = manifest.kind in (HfModel.__name__, HfAdapterModel.__name__)
    checkpoint = read_checkpoint(local_folder(location)) if hugging_face and is_local(location) else None
    if hugging_face:  # a folder may hold the weights in other forms too, which nothing loads
        return _Source(manifest.kind, checkpoint, checkpoint.size if checkpoint else 0)
    return _Source(manifest.kind, None, _weights(manifest))


def _weights(manifest: Manifest) -> int:
    files = manifest.parts["model_path"].files
    return sum(entry.size for name, entry in files.items() if name.endswith(WEIGHTS))


def _taken(node: Node, source: _Source, environment: Environment) -> Needs:
    cls = find_pass(node.type)
    device = Device(environment.device, environment.bf16)
    return cls.needs(node.config, Known(checkpoint=source.checkpoint, device=device)) if cls else Needs()


def _made(node: Node, source: _Source, output: Manifest | None, taken: Needs) -> _Source:
    """What a pass gives: as its result says, where it is reused, else as far as its kind tells."""
    cls = find_pass(node.type)
    kinds = {kind.__name__ for kind in cls.produces} if cls else set()
    kind = kinds.pop() if len(kinds) == 1 else ""
    checkpoint = source.checkpoint if cls and keeps_layers(cls) else None
    known = _weights(output) if output and "model_path" in output.parts else 0
    return _Source(kind, checkpoint, known or (checkpoint.size if checkpoint else taken.disk))


def _loaded(node: Node, source: _Source, workflow: Workflow, plan: Plan, environment: Environment) -> int:
    """The memory that evaluating a model takes: its weights, unless they are loaded in another form than stored."""
    requires = plan.facts.requires[node.kind, node.type]
    model = workflow.input_model
    if source.kind == OnnxModel.__name__:
        runs = environment.device == "cpu" and any(name.startswith("onnxruntime") for name in requires)
    else:
        kwargs = model.load_kwargs.keys() if isinstance(model, HfModelConfig) else set()
        runs = "torch" in requires and not kwargs & {"dtype", "torch_dtype", "quantization_config", "device_map"}
    return source.size if runs else 0


# --- what there is ------------------------------------------------------------------------------------------------


def _memory(plan: Plan, needs: Mapping[str, Needs]) -> Iterator[Problem]:
    """The neediest step of each system, where it takes more than there is."""
    neediest: dict[str, str] = {}
    for name, each in needs.items():
        system = plan.steps[name].node.system
        if system not in neediest or each.memory > needs[neediest[system]].memory:
            neediest[system] = name
    for system, name in neediest.items():
        node, least = plan.steps[name].node, needs[name].memory
        environment = plan.facts.environments[system]
        if environment is None or least == 0:
            continue
        what = f"{name} takes at least {size(least)} of memory"
        whose = "the GPU" if environment.device == "gpu" else "the machine"
        free = machine.device_memory_available(environment.device) if _is_here(environment) else 0
        if least > environment.memory > 0:
            hint = "take a smaller model, a smaller precision, or a system with more memory"
            yield Problem(node.path, f"{what}, and {whose} has {size(environment.memory)}", hint)
        elif least > free > 0:
            told = f"{what}, and {size(free)} of {whose}'s {size(environment.memory)} are free now"
            yield Problem(node.path, told, "end what uses it first", severity="warning")


def _disk(workflow: Workflow, plan: Plan, needs: Mapping[str, Needs]) -> Iterator[Problem]:
    """Results that the cache's disk cannot take, and final models that the output folder's cannot."""
    cache, output = (_existing(workflow.base_dir / name) for name in (workflow.cache_dir, workflow.output_dir))
    made = {name: each.disk for name, each in needs.items() if _runs_here(plan, name)}
    least, free = sum(made.values()), shutil.disk_usage(cache).free
    if least > free:
        what = f"the results of this run take at least {size(least)}, and the disk of {cache} has {size(free)} free"
        yield Problem(("cache_dir",), what, "free some (`olive cache gc`), or name a folder on another disk")
        return
    copies = sum(_final(plan, needs, name) for name in plan.graph.finals)
    if cache.stat().st_dev != output.stat().st_dev:
        least, free = copies, shutil.disk_usage(output).free
        if least > free and least - _bytes_in(workflow.base_dir / workflow.output_dir) > free:
            what = f"the final models take {size(least)}, and the disk of {output} has {size(free)} free"
            yield Problem(("output_dir",), what, "free some, or name a folder on another disk")
    elif least + copies > free and least + copies - _bytes_in(workflow.base_dir / workflow.output_dir) > free:
        # Only a warning: some file systems let a copy share the original's blocks.
        what = (
            f"the results of this run and the copies in output_dir take at least {size(least + copies)}, "
            f"and the disk of {output} has {size(free)} free"
        )
        yield Problem(("output_dir",), what, "free some, or name a folder on another disk", severity="warning")


def _final(plan: Plan, needs: Mapping[str, Needs], name: str) -> int:
    record = plan.steps[name].record
    return record.size if record else needs[name].disk if name in needs else 0


def _runs_here(plan: Plan, name: str) -> bool:
    environment = plan.facts.environments[plan.steps[name].node.system]
    return environment is not None and _is_here(environment)


def _is_here(environment: Environment) -> bool:
    return environment.machine.partition("-")[0] == machine.identity()  # with limits or without


def _existing(folder: Path) -> Path:
    """The folder, or the nearest above it that exists: where it would be made."""
    folder = folder.absolute()
    return next(each for each in (folder, *folder.parents) if each.is_dir())


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else 0
