"""Rewrites that need the whole workflow: applied after the files are merged and `--set` is read."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import PurePosixPath

from olive_engine import registry
from olive_engine.config.legacy.edits import Revision
from olive_engine.config.legacy.input_model import DATASET
from olive_engine.config.legacy.systems import device_of
from olive_engine.config.legacy.table import FILE_RULES, JOINED, LAST
from olive_engine.config.workflow import HfModelConfig, OnnxModelConfig, Workflow
from olive_engine.errors import ConfigPath
from olive_engine.options import DataRef, OptionsClass, marked


def revise_whole(revision: Revision) -> None:
    """Apply all of them, to what the files and `--set` have come to."""
    _training_config(revision)
    bring_together(revision)
    _nulls(revision)
    _type_of_the_model(revision)
    _only_evaluator(revision)
    _only_data_config(revision)
    _data_of_the_model(revision)
    _workflow_host(revision)
    _hosts_without_systems(revision)
    _execution_providers(revision)
    _data_root(revision)
    _azureml_client(revision)


def bring_together(revision: Revision) -> None:
    """What several files may say parts of, and what is judged when all is said."""
    for rule in JOINED:
        rule.apply(revision)
    if revision.edits:  # what was moved may be of any age itself
        for rule in FILE_RULES:
            rule.apply(revision)
    for rule in LAST:
        rule.apply(revision)


def _nulls(revision: Revision) -> None:
    """A setting of nothing is the default; not before the merge, for it may be what a later file says of another."""
    model = {*HfModelConfig.model_fields, *OnnxModelConfig.model_fields}
    for section, kept, known in (
        ((), ("input_model", "search_strategy"), Workflow.model_fields),
        (("input_model",), ("type",), model),
    ):
        for name in revision.members(section):
            if revision.value((*section, name)) is None and name in known and name not in kept:
                revision.note((*section, name), "nothing (null) is the default")
                revision.remove((*section, name))


def _type_of_the_model(revision: Revision) -> None:
    """A model with a path and without a type is a Hugging Face model, or an ONNX file."""
    path, location = ("input_model", "type"), revision.value(("input_model", "model_path"))
    keys = revision.members(("input_model",))
    if isinstance(location, str) and "type" not in keys and not get_close_matches("type", keys, cutoff=0.7):
        kind = "OnnxModel" if location.lower().endswith(".onnx") else "HfModel"
        revision.note(("input_model",), f"without a `type` it is an {kind}")
        revision.put(path, kind, ("input_model",))


def _only_evaluator(revision: Revision) -> None:
    """Without passes, the only evaluator can be there for the input model alone."""
    names = revision.members(("evaluators",))
    if len(names) == 1 and not revision.members(("passes",)) and revision.value(("evaluator",)) is None:
        revision.note(("evaluators", names[0]), "without passes, it judges the input model")
        revision.put(("evaluator",), names[0], ("evaluators", names[0]))


def _training_config(revision: Revision) -> None:
    """What `training_config` says is meant for every pass that trains; what a pass says itself counts more."""
    path: ConfigPath = ("training_config",)
    config = revision.value(path)
    if not isinstance(config, dict):
        if config is None:
            revision.remove(path)
        return
    trained = [entry for entry, options in _passes(revision) if "training_args" in options.model_fields]
    read = {entry for entry, _ in _passes(revision)}
    written = revision.value(("passes",))
    if not trained and (
        not isinstance(written, dict | None) or any(entry not in read for entry in revision.matches("passes.*.@"))
    ):
        pass  # what could not be read may be a pass that trains
    elif not trained:
        revision.refuse(path, "there is no pass that trains", "add one, such as {type: LoRA}, or remove this")
    else:
        names = ", ".join(str(entry[1]) for entry in trained)
        revision.note(path, f"`training_config` counts for every pass that trains: {names}")
    for entry in trained:
        for name, value in config.items():
            if not revision.has((*entry, "training_args", name)):
                revision.put((*entry, "training_args", name), value, (*path, name))
    revision.remove(path)


def _only_data_config(revision: Revision) -> None:
    """A pass that needs data and names none gets the only data config there is."""
    data = revision.value(("data_configs",))
    if not isinstance(data, list) or len(data) != 1 or not isinstance(data[0], dict):
        return
    name = data[0].get("name")
    if not isinstance(name, str):
        return
    for entry, options in _passes(revision):
        for option, mark in marked(options, DataRef):
            if mark.required and revision.value((*entry, option)) is None:
                revision.note((*entry, option), f"`{option}` is {name}, the only data config", entry)
                revision.put((*entry, option), name, entry)


def _data_of_the_model(revision: Revision) -> None:
    """A metric that names no data was measured on the data set that the model's hf_config described."""
    data = revision.value(("data_configs",))
    named = [each.get("name") for each in data if isinstance(each, dict)] if isinstance(data, list) else []
    if DATASET not in named:
        return
    for metric in revision.matches("evaluators.*.metrics.*"):
        kind = revision.value((*metric, "type"))
        cls = registry.find_metric(kind) if isinstance(kind, str) else None
        if cls is not None and cls.needs_data and revision.value((*metric, "data_config")) is None:
            revision.note((*metric, "data_config"), f"`data_config` is the model's own: {DATASET}", metric)
            revision.put((*metric, "data_config"), DATASET, metric)


def _workflow_host(revision: Revision) -> None:
    """Olive can run a whole workflow as one job on a system. Here the engine stays where it is started."""
    path: ConfigPath = ("workflow_host",)
    if not revision.has(path):
        return
    value = revision.value(path)
    name = value if isinstance(value, str) else "NAME"
    kind = revision.value(("systems", name, "type"))
    if value is None:
        revision.note(path, "nothing (null) is the default")
    elif (isinstance(kind, str) and kind.lower() == "localsystem") or not _describes_systems(revision):
        revision.note(path, "not needed: the engine always runs where it is started")
    else:
        what = "running a whole workflow elsewhere is not available"
        way = f"write `host: {name}` to run its steps there, the engine stays here"
        if revision.value(("host",)) == value:
            way = f"leave it out: with `host: {name}` its steps run there, and the engine stays here"
        revision.lack(path, what, path[0], hint=way)
    revision.remove(path)


def _describes_systems(revision: Revision) -> bool:
    """Whether any system is described, or would be if its key were spelt rightly."""
    slip = get_close_matches("systems", [key for key in revision.members(()) if key != "systems"], cutoff=0.8)
    return bool(revision.members(("systems",)) or slip)


def _hosts_without_systems(revision: Revision) -> None:
    """A host that is named where no system is described can only be this machine."""
    if _describes_systems(revision):
        return
    places: list[ConfigPath] = [("host",), ("target",)]
    places += [(*entry, key) for entry in revision.matches("passes.*.@") for key in ("host", "target")]
    places += [(*entry, "target") for entry in revision.matches("evaluators.*")]
    for path in places:
        name = revision.value(path)
        if isinstance(name, str):
            revision.note(path, f"no `systems` are described, so {name!r} is this machine")
            revision.remove(path)


def _execution_providers(revision: Revision) -> None:
    """Providers of the engine, as Olive had them up to 0.5, are those of the system that evaluates."""
    path: ConfigPath = ("execution_providers",)
    providers = revision.value(path)
    if not isinstance(providers, list) or not providers:
        if providers is None or providers == []:
            revision.remove(path)
        return
    if not revision.members(("evaluators",)):
        what = "nothing is evaluated here, so execution providers have no effect"
        revision.note(path, f"{what}: a model is built for the device of the system that its pass runs on")
        revision.remove(path)
        return
    named = revision.value(("target",)) or revision.value(("host",))
    systems = revision.members(("systems",))
    if isinstance(named, str) and named in systems:
        name = named
    else:
        name = "evaluating"
        revision.put(("systems", name, "type"), "LocalSystem", path)
        revision.put(("target",), name, path)
    accelerators = ("systems", name, "accelerators")
    written = revision.value(accelerators)
    revision.note(path, f"`execution_providers` stand in the accelerators of the system that evaluates: {name}")
    if not isinstance(written, list) or not written:
        revision.put(accelerators, [{"device": device_of(providers), "execution_providers": providers}], path)
    else:
        for index in range(len(written)):
            if not revision.value((*accelerators, index, "execution_providers")):
                revision.put((*accelerators, index, "execution_providers"), providers, path)
    revision.remove(path)


def _data_root(revision: Revision) -> None:
    """`data_root` stands before every relative path of data."""
    path: ConfigPath = ("data_root",)
    root = revision.value(path)
    if isinstance(root, str):
        revision.note(path, "`data_root` is written in `data_files` itself")
        pattern = "data_configs.*.load_dataset_config.data_files"
        for place in dict.fromkeys((*revision.matches(f"{pattern}.@"), *revision.matches(f"{pattern}.*.@"))):
            name = revision.value(place)
            if isinstance(name, str) and "://" not in name and not PurePosixPath(name).is_absolute():
                revision.put(place, f"{root.rstrip('/')}/{name}")
    if root is None or isinstance(root, str):
        revision.remove(path)


def _azureml_client(revision: Revision) -> None:
    """The workspace at the top is that of every AzureML system that names none of its own."""
    path: ConfigPath = ("azureml_client",)
    client = revision.value(path)
    if client is None:
        revision.remove(path)
        return
    for name in revision.members(("systems",)):
        kind = revision.value(("systems", name, "type"))
        if isinstance(kind, str) and kind.lower() == "azureml" and not revision.has(("systems", name, *path)):
            revision.note(path, "`azureml_client` stands in the systems that use it")
            revision.put(("systems", name, *path), client, path)
    revision.remove(path)


def _passes(revision: Revision) -> Iterator[tuple[ConfigPath, OptionsClass]]:
    """Every pass that is installed, each alternative, with the class of its options."""
    for entry in revision.matches("passes.*.@"):
        kind = revision.value((*entry, "type"))
        cls = registry.find_pass(kind) if isinstance(kind, str) else None
        if cls is not None:
            yield entry, cls.config_type
