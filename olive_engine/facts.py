"""What the planner must know of the world, gathered: digests of files and code, versions, devices. All light."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import JsonValue

from olive_engine import hub, remote
from olive_engine.config.data import DataConfig
from olive_engine.config.local_models import local_path
from olive_engine.config.mlflow_models import NoHuggingFaceModel, layout
from olive_engine.config.workflow import HfModelConfig, OnnxModelConfig, Workflow
from olive_engine.contracts import Probe, System
from olive_engine.data.files import local_files
from olive_engine.digests import digest
from olive_engine.errors import InvalidWorkflow, Problem
from olive_engine.graph import Node, PassGraph
from olive_engine.implementations import implementation
from olive_engine.models import Manifest, Tree, tokenizer_part
from olive_engine.planner import Facts, flavours
from olive_engine.probing import known_environment
from olive_engine.providers import full_name
from olive_engine.step_packages import requires_of
from olive_engine.store import Store
from olive_engine.urls import is_remote


def gather(
    workflow: Workflow, graph: PassGraph, systems: Mapping[str, System], store: Store, *, online: bool = False
) -> Facts:
    """Look at everything that keys depend on. `workflow` is pinned; with `online` a missing hub model is downloaded.

    Raises:
        InvalidWorkflow: the input model or a data file cannot be read.
    """
    kinds: set[tuple[str, str]] = {(node.kind, node.type) for node in graph.nodes.values()}
    requires = {kind_type: requires_of(*kind_type) for kind_type in kinds}
    model = _input_model(workflow, store, online=online)
    data_nodes = [node for node in graph.nodes.values() if node.kind == "data"]
    files = {node.name: _source_files(node, workflow) for node in data_nodes}
    questions = questions_by_system(graph)
    return Facts(
        input_model=model,
        input_identity=_model_identity(workflow, model),
        tokenizer=tokenizer_part(model.parts["model_path"]).digest if model else "",
        data=files,
        remote_data={node.name: tree for node in data_nodes if (tree := _remote_files(node, workflow, store))},
        data_identity={node.name: _source_identity(node, files[node.name], workflow, store) for node in data_nodes},
        implementations={kind_type: implementation(*kind_type) or "" for kind_type in kinds},
        environments={name: known_environment(systems[name], asked, store) for name, asked in questions.items()},
        requires=requires,
        seed=workflow.seed,
        execution_providers={
            name: tuple(map(full_name, systems[name].resources.execution_providers)) for name in questions
        },
    )


def questions_by_system(graph: PassGraph) -> dict[str, Probe]:
    """What must be known of each system: the distributions that its steps require, and whether it can do them."""
    steps: dict[str, set[tuple[str, str]]] = {}
    for node in graph.nodes.values():
        steps.setdefault(node.system, set()).add((node.kind, node.type))
    return {
        name: Probe(
            packages=tuple(sorted({each for step in found for one in requires_of(*step) for each in flavours(one)})),
            steps=tuple(sorted(found)),
        )
        for name, found in steps.items()
    }


# --- the input model ----------------------------------------------------------------------------------------------


def _input_model(workflow: Workflow, store: Store, *, online: bool) -> Manifest | None:
    model, base = workflow.input_model, workflow.base_dir
    try:
        if isinstance(model, OnnxModelConfig):
            return _onnx_manifest(model, base, store)
        if is_remote(model.model_path):
            return _remote_manifest(model, base, store)
        folder: Path | None = local_path(model.model_path, base)
        if hub.is_hub_name(model.model_path, base):
            revision = model.load_kwargs.get("revision")
            known = isinstance(revision, str) and hub.COMMIT.match(revision)
            folder = hub.snapshot(model.model_path, str(revision), online=online) if known else None
        if folder is None:
            return None
        return _hf_manifest(_model_tree(folder, model, store), model, base, store)
    except OSError as error:
        raise InvalidWorkflow((Problem(("input_model",), f"the model cannot be read: {error}"),)) from None


def _hf_manifest(weights: Tree, model: HfModelConfig, base: Path, store: Store) -> Manifest | None:
    """The model of these weights, with its adapter if it has one; none: the adapter is not known yet."""
    parts = {"model_path": _without_pickles(weights, model, "model_path")}
    if model.adapter_path:
        url = model.adapter_path if is_remote(model.adapter_path) else ""
        adapter = remote.remembered(url, store) if url else store.sources.tree(local_path(model.adapter_path, base))
        if adapter is None:
            return None
        parts["adapter_path"] = _without_pickles(adapter, model, "adapter_path")
    kwargs = {name: value for name, value in model.load_kwargs.items() if name != "revision"}
    kind = "HfAdapterModel" if model.adapter_path else "HfModel"
    return Manifest(kind=kind, attributes={"task": model.task, "load_kwargs": kwargs}, parts=parts)


def _remote_manifest(model: HfModelConfig, base: Path, store: Store) -> Manifest | None:
    """The model that a URL named when a run last looked; none: no run has."""
    tree = remote.remembered(model.model_path, store)
    return _hf_manifest(tree, model, base, store) if tree else None


def _model_tree(folder: Path, model: HfModelConfig, store: Store) -> Tree:
    """The files of a Hugging Face model; in an MLflow folder they lie in several folders of it."""
    try:
        places = layout(folder, model.model_path)
    except NoHuggingFaceModel as error:
        raise InvalidWorkflow((Problem(("input_model", "model_path"), str(error), error.hint),)) from None
    if places is None:
        return store.sources.tree(folder)
    found = store.sources.tree(folder, frozenset(places.values()))
    files = {name: found.files[place] for name, place in places.items()}
    return Tree(files=files, location=found.location, places=places)


def _onnx_manifest(model: OnnxModelConfig, base: Path, store: Store) -> Manifest | None:
    """The model; none: a URL names it that no run has looked at yet."""
    path = local_path(model.model_path, base)
    if is_remote(model.model_path):
        found = remote.remembered(model.model_path, store)
        if found is None:
            return None
        tree, name = found, _onnx_file(found, model, model.model_path)
    elif path.is_file():
        # A lone file, with the external data that exporters put beside it under its name.
        names = frozenset(p.name for p in path.parent.iterdir() if p.is_file() and p.name.startswith(path.name))
        tree, name = store.sources.tree(path.parent, names), path.name
    else:
        tree = store.sources.tree(path)
        name = _onnx_file(tree, model, str(path))
    return Manifest(kind="OnnxModel", attributes={"onnx_file_name": name}, parts={"model_path": tree})


def _onnx_file(tree: Tree, model: OnnxModelConfig, where: str) -> str:
    """Which file of a folder is meant."""
    found = [name for name in tree.files if name.endswith(".onnx") and "/" not in name]
    if model.onnx_file_name is None and len(found) != 1:
        problem = Problem(
            ("input_model", "onnx_file_name"),
            f"{where} holds {len(found)} .onnx files ({', '.join(found)})",
            "say which one is meant",
        )
        raise InvalidWorkflow((problem,))
    return model.onnx_file_name or found[0]


def _without_pickles(tree: Tree, model: HfModelConfig, field: str) -> Tree:
    """Leave pickled weights out where there are safetensors; refuse a model that has nothing else, unless allowed."""
    if model.load_kwargs.get("use_safetensors") is False:
        return tree
    pickles = {name for name in tree.files if name.endswith((".bin", ".pt", ".pth", ".pkl", ".ckpt"))}
    if pickles and not any(name.endswith(".safetensors") for name in tree.files):
        problem = Problem(
            ("input_model", field),
            f"{getattr(model, field)} has only pickled weights, which can run code: {', '.join(sorted(pickles))}",
            "save it as safetensors, or allow it with `load_kwargs: {use_safetensors: false}`",
        )
        raise InvalidWorkflow((problem,))
    return tree.model_copy(update={"files": {n: e for n, e in tree.files.items() if n not in pickles}})


def _model_identity(workflow: Workflow, manifest: Manifest | None) -> JsonValue:
    model = workflow.input_model
    if isinstance(model, HfModelConfig) and hub.is_hub_name(model.model_path, workflow.base_dir):
        revision = model.load_kwargs.get("revision")
        if not (isinstance(revision, str) and hub.COMMIT.match(revision)):
            return None
        kwargs = dict(model.load_kwargs)
        adapter = manifest.parts["adapter_path"].digest if manifest and model.adapter_path else None
        return digest({"hub": model.model_path, "task": model.task, "load_kwargs": kwargs, "adapter": adapter})
    return manifest.digest if manifest else None


# --- data ---------------------------------------------------------------------------------------------------------


def _data_config(node: Node, workflow: Workflow) -> DataConfig:
    return workflow.data_config(node.name.removeprefix("data:"))


def _source_files(node: Node, workflow: Workflow) -> dict[str, Path]:
    """The local files that a data step reads, by their names in the step."""
    try:
        return local_files(_data_config(node, workflow), workflow.base_dir)
    except OSError as error:
        raise InvalidWorkflow((Problem(node.path, f"a data file cannot be read: {error}"),)) from None


def _source_identity(node: Node, files: Mapping[str, Path], workflow: Workflow, store: Store) -> JsonValue:
    """What stands for a data step's source in its key: contents by name, or a hub data set's commit."""
    config = _data_config(node, workflow)
    if config.load_dataset_config.is_remote:
        tree = _remote_files(node, workflow, store)
        return {name: entry.sha256 for name, entry in tree.files.items()} if tree else None
    if name := hub.hub_dataset(config):
        revision = config.load_dataset_config.revision
        return {"hub": name, "commit": revision} if revision and hub.COMMIT.match(revision) else None
    try:
        return {name: store.sources.entry(path).sha256 for name, path in files.items()}
    except OSError as error:
        raise InvalidWorkflow((Problem(node.path, f"a data file cannot be read: {error}"),)) from None


def _remote_files(node: Node, workflow: Workflow, store: Store) -> Tree | None:
    """The files that a data step reads where they are; none: they are here, or not known yet."""
    config = _data_config(node, workflow)
    try:
        return remote.data_files(config, store) if config.load_dataset_config.is_remote else None
    except ValueError as error:
        path = (*node.path, "load_dataset_config", "data_files")
        raise InvalidWorkflow((Problem(path, str(error)),)) from None
