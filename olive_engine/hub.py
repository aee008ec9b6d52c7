"""Names on the model and data hub: pinned to a commit before a run, never by validate or plan."""

from __future__ import annotations

import re
from pathlib import Path

from olive_engine.config.data import AZUREML, DataConfig
from olive_engine.config.findings import nearest
from olive_engine.config.local_models import looks_local
from olive_engine.config.workflow import HfModelConfig, Workflow
from olive_engine.errors import InvalidWorkflow, Problem

COMMIT = re.compile(r"^[0-9a-f]{40}$")
MODEL_FILES = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "*.tiktoken")
"""What is fetched of a hub model: no pickled weights."""


def is_hub_name(model_path: str, base_dir: Path) -> bool:
    """Whether a model path is a name on the hub: not a folder here, and of the form ``name`` or ``owner/name``."""
    return not model_path.startswith(AZUREML) and not looks_local(model_path, base_dir)


def hub_dataset(config: DataConfig) -> str:
    """The name of the hub data set that a data config reads; empty if it reads local files."""
    load = config.load_dataset_config
    return load.data_name or "" if load.format is None and not load.is_remote else ""


def pin(workflow: Workflow, *, online: bool) -> Workflow:
    """Replace every hub revision by the commit it stands for.

    With `online` the hub is asked, and the local snapshot counts when it cannot be reached; without, only the local
    snapshot. A name that stays unknown is left as it is when offline.

    Raises:
        InvalidWorkflow: `online`, and a name is neither on the hub nor in the local cache.
    """
    changes: dict[str, object] = {}
    model = workflow.input_model
    if isinstance(model, HfModelConfig) and is_hub_name(model.model_path, workflow.base_dir):
        wanted = model.load_kwargs.get("revision")
        commit = _commit(model.model_path, "model", str(wanted) if wanted else None, ("input_model",), online=online)
        if commit:
            changes["input_model"] = model.model_copy(update={"load_kwargs": {**model.load_kwargs, "revision": commit}})
    if any(hub_dataset(config) for config in workflow.data_configs):
        changes["data_configs"] = tuple(
            _pin_data(config, index, online=online) for index, config in enumerate(workflow.data_configs)
        )
    return workflow.model_copy(update=changes) if changes else workflow


def snapshot(name: str, commit: str, *, online: bool) -> Path | None:
    """The folder of a hub model at a commit, downloaded if `online`; none if it is not here."""
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    except ImportError:
        return None
    try:
        return Path(
            snapshot_download(
                name, revision=commit, allow_patterns=list(MODEL_FILES), local_files_only=not online, tqdm_class=None
            )
        )
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError):
        return None


def _pin_data(config: DataConfig, index: int, *, online: bool) -> DataConfig:
    load, name = config.load_dataset_config, hub_dataset(config)
    if not name:
        return config
    commit = _commit(name, "dataset", load.revision, ("data_configs", index), online=online)
    if not commit:
        return config
    return config.model_copy(update={"load_dataset_config": load.model_copy(update={"revision": commit})})


def _commit(name: str, kind: str, revision: str | None, path: tuple[str | int, ...], *, online: bool) -> str:
    """The commit of a revision; empty if unknown and offline."""
    if revision and COMMIT.match(revision):
        return revision
    reason = "the package huggingface-hub is not installed"
    try:
        from huggingface_hub import HfApi, snapshot_download
    except ImportError:
        pass
    else:
        try:
            if online:
                sha: str | None = HfApi().repo_info(name, repo_type=kind, revision=revision).sha
                if sha:
                    return sha
        except Exception as error:  # noqa: BLE001 - any failure to reach the hub; the local snapshot is asked next
            reason = str(error).partition("\n")[0] or type(error).__name__
        try:
            return Path(snapshot_download(name, repo_type=kind, revision=revision, local_files_only=True)).name
        except Exception as error:  # noqa: BLE001 - whatever the library raises for "not here"
            reason = reason if online else str(error).partition("\n")[0]
    if not online:
        return ""
    near = nearest(name, [each.name for each in Path.cwd().iterdir() if each.is_dir()])
    hint = f"did you mean the folder `{near}`?" if near else "give a local path, or go online"
    problem = Problem(path, f"`{name}` is no folder here, and the hub could not resolve it ({reason})", hint)
    raise InvalidWorkflow((problem,))
