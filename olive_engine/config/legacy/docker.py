"""Older spellings of Docker systems: `local_docker_config`, and the parameters of docker-py's `containers.run`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pydantic import JsonValue

from olive_engine.config.legacy.edits import Revision
from olive_engine.config.legacy.rules import Lifted, Rewritten, Rule
from olive_engine.errors import ConfigPath

_EACH = "systems.*"
_BUILT = ("dockerfile", "build_context_path", "build_args")


def _systems(revision: Revision) -> list[ConfigPath]:
    """The Docker systems; one whose type another file names is known by what stands in it."""
    paths = [path[:-1] for path in revision.matches(f"{_EACH}.type")]
    return [path for path in paths if str(revision.value((*path, "type"))).lower() == "docker"]


def _built(revision: Revision) -> None:
    """Images that Olive builds itself."""
    for system in _systems(revision):
        found = [name for name in _BUILT if revision.value((*system, name)) not in (None, {}, "")]
        if found:
            what = f"building an image is not available yet: {', '.join(found)}"
            revision.refuse((*system, found[0]), what, "build it with `docker build`, and name it in `image_name`")
        for name in _BUILT:
            revision.remove((*system, name))


def _unneeded(revision: Revision) -> None:
    """What has no meaning where only an image is named."""
    for system in _systems(revision):
        for name, why in _UNNEEDED.items():
            if revision.has((*system, name)):
                revision.note((*system, name), why)
                revision.remove((*system, name))
        for name in ("olive_managed_env", "requirements_file"):
            if revision.value((*system, name)) not in (None, False, ""):
                hint = "install them in the image, and name it in `image_name`"
                revision.refuse((*system, name), "nothing is installed into an image when it runs", hint)
            revision.remove((*system, name))


_UNNEEDED: Mapping[str, str] = {
    "work_dir": "a job is seen at its own path in the container",
    "clean_image": "an image is never removed",
}


# --- run_params ---------------------------------------------------------------------------------------------------


def _run_params(revision: Revision) -> None:
    """Parameters that an option says today move to it; of others the reason is told why they are not taken."""
    for system in _systems(revision):
        group = (*system, "run_params")
        for name in revision.members(group):
            path = (*group, name)
            value = revision.value(path)
            if value is None:
                revision.remove(path)
            elif name in _ALWAYS:
                revision.note(path, "a container runs in the background until its job is over")
                revision.remove(path)
            elif rule := _PARAMETERS.get(name):
                option, read = rule
                new = read(value)
                if new is None:
                    revision.refuse(path, f"it cannot be told what `{name}` means here", f"write `{option}` instead")
                    revision.remove(path)
                    continue
                revision.note(path, f"`run_params.{name}` is written as `{option}`")
                if new != value:
                    revision.put(path, new)
                revision.move(path, (*system, option))
            else:
                why = _REFUSED.get(name, "it is none of the parameters that can be set for a container here")
                revision.refuse(path, why, "leave it out")
                revision.remove(path)
        if not revision.members(group):
            revision.remove(group)


_ALWAYS = ("detach", "remove", "auto_remove", "stdout", "stderr", "stream", "init")
_REFUSED: Mapping[str, str] = {
    **dict.fromkeys(
        ("volumes", "mounts"), "what a job reads is mounted by itself, so that every step knows its inputs"
    ),
    "user": "workers run as the user who starts the run",
    "ipc_mode": "memory is not shared with the machine; `shm_size` sets the size of /dev/shm",
    "privileged": "containers run without privileges",
    **dict.fromkeys(
        ("command", "entrypoint"), "what runs in a container is the worker; `python` names its interpreter"
    ),
    **dict.fromkeys(("name", "hostname", "working_dir"), "every job has a container of its own, named after it"),
}


def _text(value: JsonValue) -> JsonValue:
    """A size: bytes, or with a unit."""
    return str(value) if isinstance(value, int | str) and not isinstance(value, bool) else None


def _same(value: JsonValue) -> JsonValue:
    return value


def _nano_cpus(value: JsonValue) -> JsonValue:
    return value / 1e9 if isinstance(value, int | float) else None


def _environment(value: JsonValue) -> JsonValue:
    """``[A=1]`` or ``{A: 1}``."""
    if isinstance(value, dict):
        return {name: str(each) for name, each in value.items()}
    if isinstance(value, list) and all(isinstance(each, str) and "=" in each for each in value):
        pairs = (str(each).partition("=") for each in value)
        return {name: text for name, _, text in pairs}
    return None


def _gpus(value: JsonValue) -> JsonValue:
    """``[{count: -1, capabilities: [[gpu]]}]``, or ``[{device_ids: ["0"]}]``; -1 is all."""
    if not (isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict)):
        return None
    request = {name.lower(): each for name, each in value[0].items()}
    ids = request.get("device_ids", request.get("deviceids"))
    count = request.get("count")
    if isinstance(ids, list) and ids:
        return [str(each) for each in ids]
    return "all" if count == -1 else count if isinstance(count, int) and count > 0 else None


def _runtime(value: JsonValue) -> JsonValue:
    return "all" if value == "nvidia" else None


_PARAMETERS: Mapping[str, tuple[str, Callable[[JsonValue], JsonValue]]] = {
    "shm_size": ("shm_size", _text),
    "mem_limit": ("memory", _text),
    "nano_cpus": ("cpus", _nano_cpus),
    "network": ("network", _same),
    "network_mode": ("network", _same),
    "environment": ("environment_variables", _environment),
    "device_requests": ("gpus", _gpus),
    "runtime": ("gpus", _runtime),
}
"""docker-py's name -> the option that says it today, and its value as that option takes it; none: it cannot be told."""

DOCKER: tuple[Rule, ...] = (
    Lifted(f"{_EACH}.local_docker_config", "what `local_docker_config` holds stands beside `type`"),
    Rewritten(_built),
    Rewritten(_unneeded),
    Rewritten(_run_params),
)
