"""What speaks against the devices that a workflow's systems describe, for the steps that are to run on them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from olive_engine.config.workflow import Workflow
from olive_engine.contracts import Accelerator, Environment
from olive_engine.errors import Problem
from olive_engine.graph import Node
from olive_engine.planner import Plan, runs_onnx
from olive_engine.providers import full_name
from olive_engine.registry import find_pass

FOR_NPUS = ("QNNExecutionProvider", "VitisAIExecutionProvider", "OpenVINOExecutionProvider")


def accelerators_of(workflow: Workflow, system: str) -> tuple[Accelerator, ...]:
    """The accelerators that a system's entry describes. Jobs get the first."""
    entry = workflow.systems.get(system)
    found: tuple[Accelerator, ...] = getattr(entry.options, "accelerators", ()) if entry else ()
    return found


def check(
    workflow: Workflow, system: str, nodes: Iterable[Node], environment: Environment, plan: Plan
) -> Iterator[Problem]:
    """What speaks against running these steps on a system's device."""
    path = ("systems", system, "accelerators")
    described = accelerators_of(workflow, system)
    if len(described) > 1:
        what = f"only the first of {len(described)} accelerators is used: {described[0].device}"
        yield Problem((*path, 1), what, "describe a system for each device", severity="warning")
    if environment.device == "gpu" and not environment.memory:
        yield Problem(path[:2], "no NVIDIA GPU is found there", "see `olive doctor`", severity="warning")
    if environment.device == "npu":
        yield from _trained(nodes)
        provider = next((full_name(name) for each in described[:1] for name in each.execution_providers), "")
        if provider not in FOR_NPUS and any(runs_onnx(node, plan.steps, plan.facts) for node in nodes):
            what = f"{provider} does not run on an NPU" if provider else "no execution provider is named for the NPU"
            hint = f"name {', '.join(FOR_NPUS[:-1])} or {FOR_NPUS[-1]}"
            yield Problem((*path, 0, "execution_providers") if described else path, what, hint)


def _trained(nodes: Iterable[Node]) -> Iterator[Problem]:
    """Trainings: an NPU runs finished models only."""
    for node in nodes:
        cls = find_pass(node.type) if node.kind == "pass" else None
        if cls is not None and cls.has_segments():
            yield Problem(node.path, f"{node.type} trains a model, which no NPU can", "name a host with a CPU or a GPU")
