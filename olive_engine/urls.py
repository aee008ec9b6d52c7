"""Models and data that a workflow names by URL, and what speaks against a URL as far as its text tells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from olive_engine.config.data import AZUREML
from olive_engine.config.workflow import HfModelConfig, SystemEntry, Workflow
from olive_engine.contracts import Objection, System
from olive_engine.errors import ConfigPath, Problem
from olive_engine.registry import find_system


@dataclass(frozen=True, slots=True)
class Source:
    """Something that a workflow names by URL."""

    path: ConfigPath
    """Where it stands in the workflow."""
    url: str
    is_model: bool


def sources(workflow: Workflow) -> Iterator[Source]:
    """All that a workflow names by URL."""
    model = workflow.input_model
    named = {"model_path": model.model_path}
    if isinstance(model, HfModelConfig) and model.adapter_path:
        named["adapter_path"] = model.adapter_path
    for field, value in named.items():
        if is_remote(value):
            yield Source(("input_model", field), value, is_model=True)
    for index, config in enumerate(workflow.data_configs):
        for urls in config.load_dataset_config.files.values():
            for url in filter(is_remote, urls):
                yield Source(("data_configs", index, "load_dataset_config", "data_files"), url, is_model=False)


def is_remote(path: str) -> bool:
    """Whether a path is a URL that only a system can read."""
    return path.startswith(AZUREML)


def unreachable(workflow: Workflow) -> tuple[Problem, ...]:
    """The URLs for which the workflow describes no system that could read them."""
    hint = "describe the workspace that it is in as a system of type AzureML, under `systems`"
    return tuple(
        Problem(source.path, f"no system of this workflow can read {source.url}", hint)
        for source in sources(workflow)
        if not _readers(source, workflow)
    )


def objections(workflow: Workflow) -> Iterator[tuple[ConfigPath, Objection]]:
    """What the systems have against a URL, where none of them takes it, with its place; of several the first's."""
    for source in dict.fromkeys(sources(workflow)):
        said = [cls.objects_to(source.url, entry.options) for cls, entry in _readers(source, workflow)]
        if said and all(said) and said[0] is not None:
            yield source.path, said[0]


def readers(workflow: Workflow) -> set[str]:
    """The names of the systems that are asked about URLs of the workflow."""
    schemes = {source.url.partition(":")[0] for source in sources(workflow)}
    known = ((name, find_system(entry.type)) for name, entry in workflow.systems.items())
    return {name for name, cls in known if cls is not None and schemes & set(cls.schemes)}


def _readers(source: Source, workflow: Workflow) -> list[tuple[type[System], SystemEntry]]:
    """The systems that read URLs of its scheme."""
    known = [(cls, entry) for entry in workflow.systems.values() if (cls := find_system(entry.type))]
    return [(cls, entry) for cls, entry in known if source.url.partition(":")[0] in cls.schemes]
