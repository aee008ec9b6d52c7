"""Older spellings of systems: `config`, accelerators as bare names, execution providers of the engine."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import JsonValue

from olive_engine.config.legacy.edits import Revision
from olive_engine.config.legacy.rules import Dropped, Lifted, Moved, Rewritten, Rule
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
            if isinstance(name := revision.value(item), str):
                revision.note(item, "an accelerator is written as a mapping: {device: …}")
                revision.put(item, {"device": name.lower()})
    for path in revision.matches(f"{_EACH}.accelerators.*.device"):
        device = revision.value(path)
        if device is None:
            revision.remove(path)
        elif isinstance(device, str) and device != device.lower():
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
        revision.move(path, (*path[:-1], "azureml_client"))
    if revision.has(("azureml_client",)):
        return
    found = [
        (path, value) for path in _named(revision.value(()), (), "azureml_client") if (value := revision.value(path))
    ]
    if found and all(value == found[0][1] for _, value in found):
        path, value = found[0]
        revision.note(path, "it is the only Azure ML workspace of this file, so it counts for all of it")
        revision.put(("azureml_client",), value, path)


def _named(value: JsonValue, path: ConfigPath, name: str) -> list[ConfigPath]:
    """Where a key of that name stands, at any depth."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found: list[ConfigPath] = []
    for key, child in members:
        found += [(*path, key)] if key == name else _named(child, (*path, key), name)
    return found


CLIENTS: tuple[Rule, ...] = (Rewritten(_clients),)
"""Applied before any path is read, for paths name workspaces too."""

SYSTEMS: tuple[Rule, ...] = (
    Lifted(f"{_EACH}.config", "what `config` holds stands beside `type`"),
    Moved(f"{_EACH}.device", f"{_EACH}.accelerators", "`device` is written as `accelerators: [{device: …}]`"),
    Rewritten(_accelerators),
    Dropped(f"{_EACH}.olive_managed_env", "an environment is what its `python_environment_path` says", (False, None)),
    Dropped(f"{_EACH}.is_dev", "the code that runs there is always this version's"),
)
