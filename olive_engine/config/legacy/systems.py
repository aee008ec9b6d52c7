"""Older spellings of systems: `config`, accelerators as bare names, execution providers of the engine."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pydantic import JsonValue

from olive_engine.config.legacy.docker import DOCKER
from olive_engine.config.legacy.edits import Revision
from olive_engine.config.legacy.rules import Dropped, Lifted, Moved, Rewritten, Rule
from olive_engine.config.variables import as_meant
from olive_engine.errors import ConfigPath

_EACH = "systems.*"
_DEVICES = {
    "CPUExecutionProvider": "cpu",
    "OpenVINOExecutionProvider": "cpu",
    "QNNExecutionProvider": "npu",
    "VitisAIExecutionProvider": "npu",
}
"""The device that an execution provider runs on, where it is not a GPU."""


def device_of(providers: Sequence[JsonValue]) -> str:
    """The kind of device that the first of some execution providers runs on."""
    return _DEVICES.get(str(providers[0]), "gpu")


def _accelerators(revision: Revision) -> None:
    """Bare names, one instead of a list, providers with their options: all as ``[{device, execution_providers}]``."""
    for path in revision.matches(f"{_EACH}.accelerators"):
        value = revision.value(path)
        if isinstance(value, str | dict):
            revision.note(path, "`accelerators` is a list")
            revision.put(path, [value])
        for index in range(len(value) if isinstance(value, list) else 1):
            item = (*path, index)
            if isinstance(name := revision.value(item), str) and "${env:" not in name:
                revision.note(item, "an accelerator is written as a mapping: {device: …}")
                revision.put(item, {"device": name.lower()})
    for path in revision.matches(f"{_EACH}.accelerators.*.device"):
        device = revision.value(path)
        if device is None:
            revision.remove(path)
        elif isinstance(device, str) and device != device.lower() and "${env:" not in device:
            revision.put(path, device.lower())
    for path in revision.matches(f"{_EACH}.accelerators.*.execution_providers"):
        _providers(revision, path)
    for path in revision.matches(f"{_EACH}.accelerators.*"):
        providers = revision.value((*path, "execution_providers"))
        if isinstance(providers, list) and providers and not revision.has((*path, "device")):
            device = device_of(providers)
            revision.note((*path, "execution_providers"), f"the device of {providers[0]} is {device}")
            revision.put((*path, "device"), device, (*path, "execution_providers"))


def _providers(revision: Revision, path: ConfigPath) -> None:
    """Names alone: options of a provider are noticed, and wait for a pass that takes them."""
    value = revision.value(path)
    if value is None:
        revision.remove(path)
        return
    names, options = _names(value)
    if value != names and names is not None:
        what = "execution providers are listed by name"
        revision.note(path, f"{what}; their options are not used yet: {', '.join(options)}" if options else what)
        revision.put(path, list(names))


def _names(value: JsonValue) -> tuple[list[JsonValue] | None, list[str]]:
    """The names in a list of names, pairs ``[name, options]`` or mappings; and which of them have options."""
    if isinstance(value, str):
        return [value], []
    items = list(value.items()) if isinstance(value, dict) else value
    if not isinstance(items, list):
        return None, []
    names: list[JsonValue] = []
    options: list[str] = []
    for item in items:
        pairs = list(item.items()) if isinstance(item, dict) else [item]
        for pair in pairs:
            name, given = (pair[0], pair[1]) if isinstance(pair, list | tuple) and len(pair) > 1 else (pair, None)
            name = name[0] if isinstance(name, list) and name else name
            names.append(name)
            if given:
                options.append(str(name))
    return names, options


def _clients(revision: Revision) -> None:
    """Without an Azure ML workspace at the top, the only one in the file counts."""
    for path in revision.matches(f"{_EACH}.azureml_client_config"):
        revision.note(path, "`azureml_client_config` is called `azureml_client`")
        revision.move(path, (*path[:-1], "azureml_client"))
    if revision.has(("azureml_client",)):
        return
    places = _named(revision.value(()), (), "azureml_client")
    found = [(path, value) for path in places if (value := revision.value(path))]
    wanting = [path for path in revision.matches(f"{_EACH}.type") if _wants_client(revision, path[:-1])]
    if found and all(value == found[0][1] for _, value in found) and (wanting or found[0][0][0] != "systems"):
        path, value = found[0]
        revision.note(path, "it is the only Azure ML workspace of this file, so it counts for all of it")
        revision.put(("azureml_client",), value, path)


def _wants_client(revision: Revision, system: ConfigPath) -> bool:
    kind = revision.value((*system, "type"))
    is_azure = isinstance(kind, str) and kind.lower().startswith("azure")
    return is_azure and not _named(revision.value(system), (), "azureml_client")


def _named(value: JsonValue, path: ConfigPath, name: str) -> list[ConfigPath]:
    """Where a key of that name stands, at any depth."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found: list[ConfigPath] = []
    for key, child in members:
        found += [(*path, key)] if key == name else _named(child, (*path, key), name)
    return found


CLIENTS: tuple[Rule, ...] = (Rewritten(_clients),)
"""Applied before any path is read, for paths name workspaces too."""


def _readymade(revision: Revision) -> None:
    """Types that stood for a size of Azure's machines, all with a GPU."""
    for path in revision.matches(f"{_EACH}.type"):
        kind = revision.value(path)
        if isinstance(kind, str) and re.fullmatch(r"azuren[cdv]\w*system", kind.lower()):
            revision.note(path, f"`{kind}` is an AzureML system with a GPU")
            revision.put(path, "AzureML")
            if not revision.has((*path[:-1], "accelerators")):
                revision.put((*path[:-1], "accelerators"), [{"device": "gpu"}], path)


def _managed(revision: Revision) -> None:
    """An environment that the engine makes is one with requirements, and without a path."""
    for path in revision.matches(f"{_EACH}.olive_managed_env"):
        system, kind = path[:-1], revision.value((*path[:-1], "type"))
        is_one = isinstance(kind, str) and kind.lower() == "pythonenvironment"
        if not is_one or as_meant(revision.value(path), (bool,)) is not True:
            continue
        revision.note(path, "an environment that the engine makes is written as its `requirements`, or their file")
        if revision.value((*system, "requirements_file")) is None and not revision.has((*system, "requirements")):
            revision.put((*system, "requirements"), [], path)
        revision.remove(path)
        if revision.has((*system, "python_environment_path")):
            revision.note((*system, "python_environment_path"), "an environment that the engine makes needs no path")
            revision.remove((*system, "python_environment_path"))


SYSTEMS: tuple[Rule, ...] = (
    Lifted(f"{_EACH}.config", "what `config` holds stands beside `type`"),
    Moved(f"{_EACH}.device", f"{_EACH}.accelerators", "`device` is written as `accelerators: [{device: …}]`"),
    Moved(f"{_EACH}.aml_config_path", f"{_EACH}.azureml_client.aml_config_path", "it stands in `azureml_client`"),
    Rewritten(_readymade),
    Rewritten(_accelerators),
    *DOCKER,
    Rewritten(_managed),
    Dropped(f"{_EACH}.olive_managed_env", "an environment is what its `python_environment_path` says", (False, None)),
    Dropped(f"{_EACH}.is_dev", "the code that runs there is always this version's"),
)
