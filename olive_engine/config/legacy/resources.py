"""Paths that Olive wrote as mappings ``{type: azureml_datastore, …}``: plain paths, or Azure ML's own URLs."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue

from olive_engine.config.legacy.edits import Revision
from olive_engine.config.spelling import likely, one_of, slips_to
from olive_engine.errors import ConfigPath

_PLAIN = {"file": "path", "folder": "path", "local_file": "path", "local_folder": "path", "string_name": "name"}
_LONG = ("subscription_id", "resource_group", "workspace_name")


def url_of(revision: Revision, path: ConfigPath) -> None:
    """Replace a resource path at `path` by what it stands for; report what it lacks."""
    value = revision.value(path)
    if not isinstance(value, dict) or _misspelt_group(revision, path, value):
        return
    if "type" in value and isinstance(value.get("config"), dict) and not isinstance(value["type"], str):
        hint = f"known: {', '.join((*_PLAIN, *_AZURE))}"
        revision.refuse((*path, "type"), "expected the name of a kind of path", hint, at_value=True)
        revision.put(path, "azureml://", path)
        return
    if not isinstance(value.get("type"), str):
        return
    kind = str(value["type"]).lower()
    config = value.get("config")
    given = {**value, **(config if isinstance(config, dict) else {})}
    if _misspelt_parts(revision, path, kind, given):
        revision.put(path, f"azureml://{kind}", path)
    elif kind in _PLAIN:
        plain = given.get(_PLAIN[kind])
        if isinstance(plain, str):
            revision.note(path, f"a path of type {kind} is written plainly: {plain}")
            revision.put(path, plain)
        else:
            revision.refuse(path, f"`{_PLAIN[kind]}` is required in a path of type {kind}")
            revision.remove(path)
    else:
        _write_url(revision, path, kind, given)


def _write_url(revision: Revision, path: ConfigPath, kind: str, given: dict[str, JsonValue]) -> None:
    given.setdefault("azureml_client", revision.value(("azureml_client",)))
    made = _azure(kind, given)
    if made is None:
        near = likely(kind, (*_PLAIN, *_AZURE))
        hint = f"did you mean {one_of(near)}?" if near else f"known: {', '.join((*_PLAIN, *_AZURE))}"
        revision.refuse((*path, "type"), f"no kind of path is called {kind!r}", hint, at_value=True)
        revision.put(path, f"azureml://{kind}", path)
    elif isinstance(made, list):
        revision.refuse(path, f"a path of type {kind} lacks {' and '.join(f'`{name}`' for name in made)}")
        revision.put(path, f"azureml://{kind}", path)
    else:
        revision.note(path, f"a path of type {kind} is written as Azure ML's URL: {made}")
        revision.put(path, made)


_AZURE = {
    "azureml_model": ("name", "version"),
    "azureml_registry_model": ("registry_name", "name", "version"),
    "azureml_datastore": ("datastore_name", "relative_path"),
    "azureml_job_output": ("job_name", "output_name"),
}
"""What each kind needs."""
_PARTS = frozenset(
    {"datastore_url", "job_id", *_PLAIN.values(), *(name for names in _AZURE.values() for name in names)}
)


def _misspelt_group(revision: Revision, path: ConfigPath, value: Mapping[str, JsonValue]) -> bool:
    """Whether ``type`` or ``config`` is misspelt; reported if so."""
    slips = [(name, key) for name in ("type", "config") if name not in value for key in value if slips_to(key, [name])]
    sure = [(name, key) for name, key in slips if any(other in value for other in ("type", "config", *_PARTS))]
    for name, key in sure:
        revision.misspelt((*path, key), name)
    if sure:
        revision.put(path, "azureml://", path)
    return bool(sure)


def _misspelt_parts(revision: Revision, path: ConfigPath, kind: str, given: Mapping[str, JsonValue]) -> bool:
    """Whether a part that the kind needs is not there, and a key that is near to it is; reported if so."""
    needed = _AZURE.get(kind, (_PLAIN[kind],) if kind in _PLAIN else ())
    known = {"type", "config", "azureml_client", *_PARTS}
    found = False
    for name in needed:
        for key in [] if name in given else [key for key in given if key not in known and slips_to(key, [name])]:
            inside = (*path, "config", key)
            revision.misspelt(inside if revision.has(inside) else (*path, key), name)
            found = True
    return found


def _azure(kind: str, given: Mapping[str, JsonValue]) -> str | list[str] | None:
    """The URL; the names of what lacks; None for a kind that is unknown."""
    if kind not in _AZURE:
        return None
    if kind == "azureml_datastore" and isinstance(given.get("datastore_url"), str):
        return str(given["datastore_url"])
    values = {name: str(given[name]) for name in _AZURE[kind] if isinstance(given.get(name), str | int)}
    if kind == "azureml_job_output" and "job_name" not in values and isinstance(given.get("job_id"), str):
        values["job_name"] = str(given["job_id"])
    if missing := [name for name in _AZURE[kind] if name not in values]:
        return missing
    workspace = _workspace(given.get("azureml_client"))
    if kind == "azureml_model":
        return f"{workspace}models/{values['name']}/versions/{values['version']}"
    if kind == "azureml_registry_model":
        return f"azureml://registries/{values['registry_name']}/models/{values['name']}/versions/{values['version']}"
    if kind == "azureml_datastore":
        return f"{workspace}datastores/{values['datastore_name']}/paths/{values['relative_path'].lstrip('/')}"
    tail = given.get("relative_path")
    inner = f"/paths/{tail}" if isinstance(tail, str) else ""
    return f"{workspace}jobs/{values['job_name']}/outputs/{values['output_name']}{inner}"


def _workspace(client: JsonValue) -> str:
    """The long form of a URL where the path names its own workspace, else the short one."""
    if isinstance(client, dict) and all(isinstance(client.get(name), str) for name in _LONG):
        subscription, group, workspace = (client[name] for name in _LONG)
        return f"azureml://subscriptions/{subscription}/resourcegroups/{group}/workspaces/{workspace}/"
    return "azureml://"
