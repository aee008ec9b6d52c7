"""What a run leaves in ``output_dir``: the final models ready to load, ``run.json`` and ``workflow.lock.json``.

The layout::

    <output_dir>/
        model/, adapter/       the final model's parts (under a folder of the pass's name where there are several)
        model_config.json      the same as an `input_model` for another workflow
        evaluation/            what each evaluated model answered, row by row
        run.json               every step: key, reasons, lineage, seconds, metrics, sizes
        workflow.lock.json     the exact configuration, digests and library versions

Its only paths of this machine are those of the user's own files.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from olive_engine import __version__
from olive_engine.config.local_models import local_path, looks_local
from olive_engine.config.masking import is_secret, known_forms_masked
from olive_engine.config.workflow import HfModelConfig, Workflow
from olive_engine.contracts import System
from olive_engine.data.files import local_files
from olive_engine.digests import file_digest
from olive_engine.errors import ConfigPath, InvalidWorkflow, Problem
from olive_engine.evaluation.comparison import PREDICTIONS_FILE
from olive_engine.executor import Outcome
from olive_engine.models import Artifact, HfAdapterModel, Manifest, OnnxModel, Predictions, Tree, is_local, local_folder
from olive_engine.planner import Plan
from olive_engine.secrecy import REFERENCE, references_of
from olive_engine.staging import bring
from olive_engine.store import Store
from olive_engine.store.files import write_atomic

_HIDDEN = "(not shown)"
"""What a report says in the place of a secret."""

RUN_FILE = "run.json"
LOCK_FILE = "workflow.lock.json"
MODEL_FILE = "model_config.json"
EVALUATION_FOLDER = "evaluation"
RETRAIN_FILE = "retrain.yaml"
REPORT_FILE = "sweep.html"
TRIALS_FILE = "trials.csv"
WRITTEN_NAMES = (
    *("model", "adapter", MODEL_FILE, EVALUATION_FOLDER, RUN_FILE, LOCK_FILE),
    *(RETRAIN_FILE, REPORT_FILE, TRIALS_FILE),
)
"""What a run may write into its output folder, besides folders of its passes' names."""


def check_output_dir(workflow: Workflow) -> None:
    """Refuse an output folder whose models no run of ours has written, before any work is done.

    Raises:
        InvalidWorkflow: files there would be overwritten.
    """
    folder = output_dir(workflow)
    what = ""
    taken = [name for name in (*WRITTEN_NAMES, *workflow.passes) if (folder / name).exists()]
    if folder.exists() and not folder.is_dir():
        what = f"{folder} is a file"
    elif taken and not _is_ours(folder):
        what = f"{folder / taken[0]} exists, and no run of ours has written it (there is no {LOCK_FILE} beside it)"
    for path in _inputs(workflow):
        if path.is_relative_to(folder.resolve()) or (path.is_dir() and folder.resolve().is_relative_to(path)):
            what = f"the workflow reads {path}, which its results would be mixed with"
    if what:
        raise InvalidWorkflow((Problem(("output_dir",), what, "choose another output_dir, or move that away"),))


def _is_ours(folder: Path) -> bool:
    """Whether a run of ours has written, or begun to write, what is in the folder."""
    found = (_read_json(folder / name) for name in (LOCK_FILE, RUN_FILE))
    return any(isinstance(content, dict) and "olive_engine" in content for content in found)


def _inputs(workflow: Workflow) -> Iterator[Path]:
    """The user's own files and folders that a workflow reads."""
    model, base = workflow.input_model, workflow.base_dir
    if looks_local(model.model_path, base):
        yield local_path(model.model_path, base).resolve()
    if isinstance(model, HfModelConfig) and model.adapter_path:
        yield local_path(model.adapter_path, base).resolve()
    for config in workflow.data_configs:
        with suppress(OSError):  # a file that is not there is told where it is read
            yield from (path.resolve() for path in local_files(config, base).values())


def output_dir(workflow: Workflow) -> Path:
    """The folder as an absolute path."""
    return (workflow.base_dir / workflow.output_dir).absolute()


@dataclass(frozen=True, slots=True)
class Written:
    """What was put into the output folder, with paths there."""

    models: Mapping[str, Artifact]
    """Final pass -> its model."""
    predictions: Mapping[str, Path]
    """Evaluation step -> the file of its answers."""


def write_results(
    workflow: Workflow, plan: Plan, outcome: Outcome, store: Store, systems: Mapping[str, System]
) -> Written:
    """Copy the final models and the answers to the output folder. Files already right are left alone.

    Raises:
        StoreCorrupt: a cached file is damaged; it was quarantined.
    """
    root = output_dir(workflow)
    # Until the last file is in place, and after a crash on the way, the folder says that it is not.
    write_run(workflow, {"status": "failed", "cause": "the models were not written to their end"})
    written: dict[str, JsonValue] = {}
    models: dict[str, Artifact] = {}
    predictions: dict[str, Path] = {}
    for name in plan.graph.finals:
        output = outcome.records[name].output
        if output is None:
            continue
        folder = root if len(plan.graph.finals) == 1 else root / name
        folders: dict[str, Path] = {}
        for part, tree in output.parts.items():
            folders[part] = _part(tree, folder / part.removesuffix("_path"), store, systems)
            if folders[part].is_relative_to(root):
                written |= _listed(folders[part], tree, root)
        models[name] = Artifact.from_manifest(output, folders)
        write_atomic(folder / MODEL_FILE, _pretty(_as_input_model(output, folders)))
    for name, record in outcome.records.items():
        if record.output is not None and record.output.kind == Predictions.__name__:
            tree = record.output.parts["predictions_path"]
            folder = _part(tree, root / EVALUATION_FOLDER / name.replace(":", "."), store, systems)
            predictions[name] = folder / PREDICTIONS_FILE
            written |= _listed(folder, tree, root)
    _remove_stale(root, written)
    write_atomic(root / LOCK_FILE, _pretty(_lock(workflow, plan, outcome, written)))
    return Written(models, predictions)


def withdraw(folder: Path) -> None:
    """Remove the results that an earlier run of ours wrote into a folder, and the folder if nothing else is in it."""
    if not _is_ours(folder):
        return
    _remove_stale(folder, {})
    for name in (MODEL_FILE, RETRAIN_FILE, RUN_FILE, LOCK_FILE):
        (folder / name).unlink(missing_ok=True)
    for inner in sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True):
        with suppress(OSError):  # something of the user's is in it
            inner.rmdir()
    with suppress(OSError):
        folder.rmdir()


def write_run(workflow: Workflow, report: Mapping[str, JsonValue]) -> None:
    """Write ``run.json``."""
    write_atomic(output_dir(workflow) / RUN_FILE, _pretty({"olive_engine": __version__, **report}))


def _part(tree: Tree, target: Path, store: Store, systems: Mapping[str, System]) -> Path:
    """Where a part can be read: the user's own folder, else the copy that is made at `target`."""
    if is_local(tree.location):
        return local_folder(tree.location)
    store.export(bring(tree, store, systems) if tree.location else tree, target)
    return target


def _listed(folder: Path, tree: Tree, root: Path) -> dict[str, JsonValue]:
    """The files of a tree in `folder`, by their paths under `root`, with their digests."""
    return {(folder / name).relative_to(root).as_posix(): entry.sha256 for name, entry in tree.files.items()}


def _as_input_model(output: Manifest, folders: Mapping[str, Path]) -> dict[str, JsonValue]:
    """The output written as a workflow's `input_model`."""
    kind = "OnnxModel" if output.kind == OnnxModel.__name__ else "HfModel"
    described: dict[str, JsonValue] = {"type": kind, "model_path": str(folders["model_path"])}
    if output.kind == HfAdapterModel.__name__:
        described["adapter_path"] = str(folders["adapter_path"])
    return described | output.attributes


def _remove_stale(root: Path, written: Mapping[str, JsonValue]) -> None:
    """Remove what an earlier run of ours wrote here and this one did not."""
    lock = _read_json(root / LOCK_FILE)
    before = lock.get("files") if isinstance(lock, dict) else None
    for name, sha256 in before.items() if isinstance(before, dict) else ():
        path = root / name
        inside = path.resolve().is_relative_to(root.resolve())
        if name not in written and inside and path.is_file() and file_digest(path) == sha256:  # else it was edited
            path.unlink()


def _read_json(path: Path) -> JsonValue:
    """What a JSON file holds; None if it cannot be read."""
    try:
        content: JsonValue = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return content


def _lock(workflow: Workflow, plan: Plan, outcome: Outcome, written: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    return {
        "olive_engine": __version__,
        "workflow": _masked(workflow.model_dump(mode="json")),
        "input_model": plan.facts.input_identity,
        "data": dict(plan.facts.data_identity),
        "environments": {
            name: environment.model_dump(mode="json") if environment else None
            for name, environment in plan.facts.environments.items()
        },
        "steps": {name: record.key for name, record in outcome.records.items()},
        "files": dict(written),
    }


def _masked(value: JsonValue, path: ConfigPath = ()) -> JsonValue:
    """A copy in which references to variables stand, and no text that is a secret itself."""
    if isinstance(value, dict):
        return {name: _masked(each, (*path, name)) for name, each in value.items()}
    if isinstance(value, list):
        return [_masked(each, (*path, index)) for index, each in enumerate(value)]
    if not isinstance(value, str):
        return value
    if not is_secret(path):
        return known_forms_masked(value)
    return references_of(value) if REFERENCE.search(value) else _HIDDEN


def _pretty(value: JsonValue) -> str:
    return json.dumps(_finite(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _finite(value: JsonValue) -> JsonValue:
    """The same with what JSON has no number for as text: "nan", "inf"."""
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
