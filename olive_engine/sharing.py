"""Which steps a shared cache has nothing to do with: those that run code that no key can speak for. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import JsonValue

from olive_engine.config.workflow import INPUT_MODEL, HfModelConfig, Workflow
from olive_engine.registry import find_metric, find_pass, is_installed

if TYPE_CHECKING:
    from olive_engine.graph import Node, PassGraph

OWN_CODE = ("user_script", "script_dir")
"""Options that name a script of the user's, in Olive's terms."""
FOREIGN_CODE = "trust_remote_code"
"""The option that lets code run which comes with a model or a data set."""


def private_steps(workflow: Workflow, graph: PassGraph) -> Mapping[str, str]:
    """The steps whose results are neither read from a shared cache nor put there, and why.

    A step is private when it runs a user's script or code that comes with a model or a data set, when no entry point of
    an installed distribution brings its class, or when it reads what a private step gave.
    """
    model = workflow.input_model
    trusting = isinstance(model, HfModelConfig) and bool(model.load_kwargs.get(FOREIGN_CODE))
    found: dict[str, str] = {}
    for name, node in graph.nodes.items():
        if trusting and (INPUT_MODEL in node.inputs or node.kind == "data"):  # data is read with the model's tokenizer
            found[name] = f"`{FOREIGN_CODE}` lets code of the input model's run"
        elif reason := _own(node):
            found[name] = reason
        elif before := next((each for each in node.needs if each in found), ""):
            found[name] = f"it reads the result of {before}, which is not shared"
    return found


def _own(node: Node) -> str:
    """Why the step itself is private; empty: it is not."""
    option = _code(node.config.model_dump(mode="json"))
    if option:
        return f"`{option}` lets code run that is not the engine's"
    if node.kind == "data":
        return ""
    cls = find_metric(node.type) if node.kind == "evaluate" else find_pass(node.type)
    if cls is None or not is_installed("metrics" if node.kind == "evaluate" else "passes", cls):
        return f"{node.type} is not of an installed package"
    return ""


def _code(value: JsonValue) -> str:
    """The first option in a group that lets foreign code run; empty: there is none."""
    if isinstance(value, dict):
        for name, each in value.items():
            if each and (name in OWN_CODE or name == FOREIGN_CODE):
                return name
            if found := _code(each):
                return found
    elif isinstance(value, list):
        return next((found for each in value if (found := _code(each))), "")
    return ""
