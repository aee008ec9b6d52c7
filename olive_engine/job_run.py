"""One job folder, carried out: its items read, run, described. The process around it is `olive_engine.worker`."""

from __future__ import annotations

import errno
import gc
import json
import os
import random
import sys
import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from olive_engine import __version__, machine
from olive_engine.config.data import DataConfig
from olive_engine.contracts import (
    PROTOCOL,
    AnyPass,
    Device,
    Event,
    EventLine,
    Item,
    ItemError,
    ItemResult,
    Job,
    Metrics,
    PackItem,
    PassContext,
    Progress,
)
from olive_engine.digests import file_digest, files_under
from olive_engine.errors import Stopped, SystemUnavailable
from olive_engine.models import Artifact, FileEntry, Manifest, Model, Tree, TrialState
from olive_engine.registry import find_metric, find_pass
from olive_engine.store.sources import is_local, local_folder

STOP_FILE = "stop"
"""A file of this name in the job folder asks the job to stop, where standard input does not reach."""
RESIDENTS = 2
"""Frozen models that a warm worker keeps, if there is memory for them."""
MEMORY_SHARE = 0.25
"""Of the machine's memory: a worker that uses more keeps no model beside the one that it is about to load."""
PROGRESS_INTERVAL = 0.1
"""Seconds between two progress events of one item; the last one is always sent."""

T = TypeVar("T")


class Residents:
    """Frozen objects that the jobs of one worker share, least recently used out first."""

    def __init__(self, capacity: int = RESIDENTS) -> None:
        self._capacity = capacity
        self._objects: OrderedDict[Hashable, object] = OrderedDict()

    def get(self, key: Hashable, load: Callable[[], T]) -> T:
        """The object of that key, loaded if it is not here."""
        if key not in self._objects:
            while self._objects and (len(self._objects) >= self._capacity or self._is_large()):
                self._objects.popitem(last=False)
                gc.collect()  # modules refer to each other: their memory is not free before
            self._objects[key] = load()
        self._objects.move_to_end(key)
        return self._objects[key]  # type: ignore[return-value]  # what `load` gave

    @staticmethod
    def _is_large() -> bool:
        total = machine.memory()
        return total > 0 and machine.memory_in_use() > MEMORY_SHARE * total


def read_job(folder: Path) -> Job:
    """Read and check ``job.json``.

    Raises:
        SystemUnavailable: it is of another protocol version, or not a job.
    """
    raw = json.loads((folder / "job.json").read_bytes())
    if raw.get("protocol") != PROTOCOL:
        raise SystemUnavailable(
            f"the job speaks protocol {raw.get('protocol')}, this worker (olive-engine {__version__}) speaks "
            f"{PROTOCOL}: install the same version of olive-engine on both sides"
        )
    try:
        return Job.model_validate(raw)
    except ValidationError as error:
        raise SystemUnavailable(f"job.json is not a job: {error}") from None


def input_folder(job: Path, slot: str, index: int, part: str) -> Path:
    """Where a part of an input lies in a job folder; `slot` is ``models`` or an item's ``items/<i>/<option>``."""
    return job / "inputs" / slot / str(index) / part


class JobRun:
    """One job: its folders, its inputs, and how each kind of item is done."""

    def __init__(
        self,
        job: Job,
        folder: Path,
        residents: Residents,
        stop: threading.Event,
        emit: Callable[[EventLine], None],
    ) -> None:
        self._job = job
        self._folder = folder
        self._residents = residents
        self._stop = stop
        self._emit = emit
        self._given: dict[Path, Tree] = {}
        self._metrics: dict[int, dict[str, float]] = {index: {} for index in range(len(job.items))}
        self._told: dict[int, float] = {}

    def batches(self) -> Iterator[list[int]]:
        """Which items run together: all of a pack, else one by one."""
        indices = list(range(len(self._job.items)))
        if self._job.kind == "probe":
            return
        cls = find_pass(self._job.items[0].type) if self._job.kind == "pass" else None
        if cls is not None and len(indices) > 1 and cls.has_packs():
            yield indices
        else:
            yield from ([index] for index in indices)

    def run(self, indices: list[int]) -> list[ItemResult]:
        """Run items that go together; a failure is in its item's result."""
        started = time.perf_counter()
        items = [self._job.items[index] for index in indices]
        try:
            _reset(self._job, items[0])
            contexts = [self._context(index) for index in indices]
            outcomes: Sequence[object] = self._outcomes(items, contexts)
        except Stopped:
            return [ItemResult(key=item.key, status="stopped") for item in items]
        except Exception as error:  # noqa: BLE001 - whatever user code raises becomes the item's result
            outcomes = [error] * len(items)
        seconds = (time.perf_counter() - started) / len(items)
        return [
            self._result(index, outcome, seconds, packed=len(indices) > 1)
            for index, outcome in zip(indices, outcomes, strict=True)
        ]

    def _outcomes(self, items: list[Item], contexts: list[PassContext]) -> Sequence[object]:
        if self._job.kind == "data":
            return [self._prepare(items[0], contexts[0])]
        if self._job.kind == "evaluate":
            return [self._measure(items[0], contexts[0])]
        cls = find_pass(items[0].type)
        if cls is None:
            raise SystemUnavailable(f"there is no pass {items[0].type!r} in this environment; install its package here")
        runner = cls()
        models = self._models()
        model: Any = models if cls.takes_many else models[0]
        configs = [cls.config_type.model_validate(item.config) for item in items]
        if len(items) > 1:
            return runner.run_pack(model, [PackItem(*pair) for pair in zip(configs, contexts, strict=True)])
        if items[0].segment is not None:
            return [runner.run_segment(model, configs[0], contexts[0])]
        return [runner.run(model, configs[0], contexts[0])]

    def _prepare(self, item: Item, context: PassContext) -> Artifact:
        from olive_engine.data.prepare import prepare

        tokenizer = self._models()[0].model_path  # type: ignore[attr-defined]  # every model has one
        return prepare(DataConfig.model_validate(item.config), context.data.get("files"), tokenizer, context)

    def _measure(self, item: Item, context: PassContext) -> Artifact | None:
        cls = find_metric(item.type)
        if cls is None:
            raise SystemUnavailable(f"there is no metric {item.type!r} in this environment; install its package here")
        measured = cls().measure(self._models()[0], cls.config_type.model_validate(item.config), context)
        context.report(Metrics(values=dict(measured.values)))
        return measured.predictions

    # --- inputs and outputs ---------------------------------------------------------------------------------------

    def _models(self) -> tuple[Model, ...]:
        models = [self._artifact(manifest, "models", index) for index, manifest in enumerate(self._job.models)]
        return tuple(models)  # type: ignore[arg-type]  # a job's models are models

    def _data(self, item: Item, index: int) -> dict[str, Path]:
        folders = {}
        for option, manifest in item.data.items():
            artifact = self._artifact(manifest, f"items/{index}/{option}", 0)
            folders[option] = getattr(artifact, artifact.part_names()[0])
        return folders

    def _artifact(self, manifest: Manifest, slot: str, index: int) -> Artifact:
        folders = {name: input_folder(self._folder, slot, index, name) for name in manifest.parts}
        for name, tree in manifest.parts.items():
            self._given[folders[name]] = tree
        return Artifact.from_manifest(manifest, folders)

    def _context(self, index: int) -> PassContext:
        item, resources = self._job.items[index], self._job.resources
        folders = [self._folder / name / str(index) for name in ("outputs", "state", "scratch")]
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        here = machine.environment(())
        state = self._artifact(item.state, f"items/{index}/initial_state", 0) if item.state else None
        return PassContext(
            out=folders[0],
            state=folders[1],
            scratch=folders[2],
            seed=item.seed,
            device=Device(resources.device, here.bf16),
            threads=resources.threads,
            data=self._data(item, index),
            resident=self._resident,
            report=lambda event: self._report(index, event),
            should_stop=lambda: self._stop.is_set() or (self._folder / STOP_FILE).exists(),
            segment=item.segment,
            initial_state=state if isinstance(state, TrialState) else None,
        )

    def _resident(self, key: Hashable, load: Callable[[], T]) -> T:
        """A resident by a key in which the folders of inputs count by their contents, not by this job's paths."""
        parts = key if isinstance(key, tuple) else (key,)
        known = [self._given[part].digest if isinstance(part, Path) and part in self._given else part for part in parts]
        return self._residents.get(tuple(known), load)

    def _report(self, index: int, event: Event) -> None:
        now = time.time()
        if isinstance(event, Metrics):
            self._metrics[index].update(event.values)
        elif isinstance(event, Progress):
            if event.step < event.total and now - self._told.get(index, 0.0) < PROGRESS_INTERVAL:
                return
            self._told[index] = now
        self._emit(EventLine(item=index, time=now, event=event))

    def _result(self, index: int, outcome: object, seconds: float, *, packed: bool) -> ItemResult:
        item = self._job.items[index]
        output = None
        try:
            if isinstance(outcome, Exception):
                raise outcome
            if isinstance(outcome, Artifact):
                output = outcome.to_manifest(lambda path: self._tree(path, index))
        except Exception as error:  # noqa: BLE001 - the item's own failure, or an output that cannot be described
            return ItemResult(key=item.key, status="failed", error=self._error(error), seconds=seconds)
        return ItemResult(
            key=item.key,
            status="done",
            output=output,
            metrics=self._metrics[index],
            seconds=seconds,
            packed=packed,
        )

    def _error(self, error: Exception) -> ItemError:
        """The failure in words that mean something outside this job: the user's own folders by their own paths."""
        text = "".join(traceback.format_exception(error))
        if full := full_disk(error, self._folder):
            return ItemError(type=SystemUnavailable.__name__, message=full, traceback=text)
        message = str(error).strip()
        for folder, tree in self._given.items():
            if is_local(tree.location):
                message = message.replace(str(folder), str(local_folder(tree.location)))
        return ItemError(type=type(error).__name__, message=message, traceback=text)

    def _tree(self, path: Path, index: int) -> Tree:
        """The tree of an output's part: an input's own tree where it is one, else the digests of what was written."""
        if path in self._given:
            return self._given[path]
        out = self._folder / "outputs" / str(index)
        if not path.is_relative_to(out):
            raise ValueError(f"the output {path} is neither an input nor under the folder given for outputs")
        files = {}
        for name in files_under(path):
            if (path / name).is_symlink():
                raise ValueError(f"the output {path / name} is a link; outputs must be files of their own")
            files[name] = FileEntry(sha256=file_digest(path / name), size=(path / name).stat().st_size)
        if not files:
            raise ValueError(f"the pass wrote nothing under {path.relative_to(self._folder)}")
        return Tree(files=files, location=f"job:{path.relative_to(self._folder).as_posix()}")


def _reset(job: Job, item: Item) -> None:
    """Make a warm worker's job start as a fresh one would: random numbers, threads, default dtype, gradients on."""
    random.seed(item.seed)
    cls: type[AnyPass] | None = find_pass(item.type) if job.kind == "pass" else None
    metric = find_metric(item.type) if job.kind == "evaluate" else None
    requires: tuple[str, ...] = cls.requires if cls else metric.requires if metric else ()
    if "torch" in requires or "torch" in sys.modules:
        import torch

        torch.set_num_threads(job.resources.threads)
        torch.manual_seed(item.seed)
        torch.set_default_dtype(torch.float32)
        torch.set_grad_enabled(True)
    if "numpy" in sys.modules:
        import numpy as np

        np.random.seed(item.seed % 2**32)  # libraries draw from the global generator


def full_disk(error: Exception, folder: Path) -> str:
    """A sentence for an error that says that the disk of `folder` is full; empty for any other.

    Libraries written in other languages raise their own errors, so the words count and not the class.
    """
    full = (errno.ENOSPC, errno.EDQUOT)
    if getattr(error, "errno", None) in full or any(os.strerror(code) in str(error) for code in full):
        return f"there is no space left on the disk of {folder}"
    return ""
