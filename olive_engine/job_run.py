"""One job folder, carried out: its items read, run, described. The process around it is `olive_engine.worker`."""

from __future__ import annotations

import errno
import gc
import json
import os
import random
import shutil
import sys
import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from pydantic import JsonValue, ValidationError

from olive_engine import __version__, machine
from olive_engine.config.data import DataConfig
from olive_engine.contracts import (
    PROTOCOL,
    AnyPass,
    Describe,
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
from olive_engine.describing import described
from olive_engine.digests import file_digest, files_under
from olive_engine.errors import Stopped, SystemUnavailable
from olive_engine.models import Artifact, FileEntry, Manifest, Model, Tree, TrialState
from olive_engine.options import Packable, marked
from olive_engine.providers import full_name
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
        """Which items run together: all where they can be one pack, else one by one."""
        indices = list(range(len(self._job.items)))
        if self._job.kind == "probe":
            return
        cls = find_pass(self._job.items[0].type) if self._job.kind == "pass" else None
        if cls is not None and len(indices) > 1 and cls.has_packs() and _are_a_pack(cls, self._job.items):
            yield indices
        else:
            yield from ([index] for index in indices)

    def run(self, indices: list[int]) -> list[ItemResult]:
        """Run items that go together; a failure is in its item's result."""
        started = time.perf_counter()
        items = [self._job.items[index] for index in indices]
        if self._should_stop():
            return [ItemResult(key=item.key, status="stopped") for item in items]
        try:
            _reset(self._job, items[0])
            contexts = [self._context(index) for index in indices]
            outcomes: Sequence[object] = self._outcomes(items, contexts)
        except Stopped:
            return [ItemResult(key=item.key, status="stopped") for item in items]
        except SystemExit as error:
            outcomes = [RuntimeError(f"the pass ended its process (exit {_exit_code(error)})")] * len(items)
        except Exception as error:  # noqa: BLE001 - whatever user code raises becomes the item's result
            outcomes = [error] * len(items)
        if len(items) > 1 and outcomes and all(outcome is outcomes[0] for outcome in outcomes):
            return self._alone(indices)  # the pack as a whole has failed; perhaps for the sake of one member
        seconds = (time.perf_counter() - started) / len(items)
        return [
            self._result(index, outcome, seconds, packed=len(indices) > 1)
            for index, outcome in zip(indices, outcomes, strict=True)
        ]

    def _alone(self, indices: list[int]) -> list[ItemResult]:
        """Run the members of a failed pack one by one, without what the pack has left."""
        for index in indices:
            shutil.rmtree(self._folder / "outputs" / str(index), ignore_errors=True)
            self._metrics[index] = {}
        return [result for index in indices for result in self.run([index])]

    def _outcomes(self, items: list[Item], contexts: list[PassContext]) -> Sequence[object]:
        if self._job.kind == "data":
            return [self._prepare(items[0], contexts[0])]
        if self._job.kind == "evaluate":
            return [self._measure(items[0], contexts[0])]
        if self._job.kind == "describe":
            return [self._describe(items[0])]
        cls = find_pass(items[0].type)
        if cls is None:
            raise SystemUnavailable(f"there is no pass {items[0].type!r} in this environment; install its package here")
        runner = cls()
        models = self._models()
        model: Any = models if cls.takes_many else models[0]
        configs = [cls.config_type.model_validate(item.config) for item in items]
        if len(items) > 1:
            outcomes = runner.run_pack(model, [PackItem(*pair) for pair in zip(configs, contexts, strict=True)])
            if len(outcomes) != len(items):
                raise ValueError(f"the pass gave {len(outcomes)} outcomes for a pack of {len(items)}")
            return outcomes
        if items[0].segment is not None:
            return [runner.run_segment(model, configs[0], contexts[0])]
        return [runner.run(model, configs[0], contexts[0])]

    def _prepare(self, item: Item, context: PassContext) -> Artifact:
        from olive_engine.data.prepare import prepare

        tokenizer = self._models()[0].model_path  # type: ignore[attr-defined]  # every model has one
        return prepare(DataConfig.model_validate(item.config), context.data.get("files"), tokenizer, context)

    def _describe(self, item: Item) -> Manifest:
        given = self._job.models[0]
        (part, tree), *_ = given.parts.items()
        asked = Describe.model_validate(item.config)
        found = described(input_folder(self._folder, "models", 0, part), asked, tree.location)
        return given.model_copy(update={"parts": {part: found}})

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
            if tree.files and not folders[name].exists():
                missing = folders[name].relative_to(self._folder)
                raise SystemUnavailable(f"the input {missing} is missing in the job folder {self._folder}")
            self._given[folders[name]] = tree
        return Artifact.from_manifest(manifest, folders)

    def _context(self, index: int) -> PassContext:
        item, resources = self._job.items[index], self._job.resources
        folders = [self._folder / name / str(index) for name in ("outputs", "state", "scratch")]
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        here = machine.environment((), resources.device)
        state = self._artifact(item.state, f"items/{index}/initial_state", 0) if item.state else None
        return PassContext(
            out=folders[0],
            state=folders[1],
            scratch=folders[2],
            seed=item.seed,
            device=Device(resources.device, here.bf16, tuple(map(full_name, resources.execution_providers))),
            threads=resources.threads,
            data=self._data(item, index),
            resident=self._resident,
            report=lambda event: self._report(index, event),
            should_stop=self._should_stop,
            segment=item.segment,
            initial_state=state if isinstance(state, TrialState) else None,
        )

    def _should_stop(self) -> bool:
        return self._stop.is_set() or (self._folder / STOP_FILE).exists()

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
        if isinstance(outcome, Stopped):
            return ItemResult(key=item.key, status="stopped")
        try:
            if isinstance(outcome, Exception):
                raise outcome
            if isinstance(outcome, Manifest):
                output = outcome
            elif isinstance(outcome, Artifact):
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
        text = _writable("".join(traceback.format_exception(error)))
        if full := full_disk(error, self._folder):
            return ItemError(type=SystemUnavailable.__name__, message=full, traceback=text)
        message = _writable(str(error).strip())
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
        if path.resolve() != out.resolve() / path.relative_to(out):
            raise ValueError(f"the output {path} is reached through a link or `..`; outputs must be files of their own")
        if path.exists() and not path.is_dir():
            raise ValueError(f"the output {path} is a file; outputs are folders")
        for entry in path.rglob("*"):
            if entry.is_symlink():
                raise ValueError(f"the output {entry} is a link; outputs must be files of their own")
        files = {name: _own_file(path / name) for name in files_under(path)}
        if not files:
            raise ValueError(f"the pass wrote nothing under {path.relative_to(self._folder)}")
        return Tree(files=files, location=f"job:{path.relative_to(self._folder).as_posix()}")


def _own_file(path: Path) -> FileEntry:
    """Describe a file of an output; one that shares its bytes with another name is made a file of its own first."""
    if path.name != _writable(path.name):
        raise ValueError(f"the name of the output {path.name!r} is not UTF-8")
    if path.stat().st_nlink > 1:
        temporary = path.with_name(f".{path.name}.copy")
        shutil.copyfile(path, temporary)
        temporary.replace(path)
    return FileEntry(sha256=file_digest(path), size=path.stat().st_size)


def _are_a_pack(cls: type[AnyPass], items: Sequence[Item]) -> bool:
    """Whether the items differ in packable options only."""
    packable = {name for name, _ in marked(cls.config_type, Packable)}
    fixed = []
    for item in items:
        try:
            config = cls.config_type.model_validate(item.config).model_dump(mode="json")
        except ValidationError:
            return False  # it fails alone, with its own message
        fixed.append({name: value for name, value in _flat(config) if name not in packable})
    return len({item.type for item in items}) == 1 and all(one == fixed[0] for one in fixed)


def _flat(config: Mapping[str, JsonValue], prefix: str = "") -> Iterator[tuple[str, JsonValue]]:
    for name, value in config.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _exit_code(error: SystemExit) -> int:
    """The exit code that a process gets from this: nothing is 0, a text is 1."""
    return error.code if isinstance(error.code, int) else int(error.code is not None)


def _writable(text: str) -> str:
    """The text without lone surrogates (undecodable bytes of file names), which JSON cannot carry."""
    return text.encode("utf-8", "replace").decode()


def _reset(job: Job, item: Item) -> None:
    """Make a warm worker's job start as a fresh one would: random numbers, threads, default dtype, gradients on."""
    random.seed(item.seed)
    requires = _requires(job, item)
    if {"torch", "transformers"} & requires or "torch" in sys.modules:
        import torch

        torch.set_num_threads(job.resources.threads)
        torch.manual_seed(item.seed)
        torch.set_default_dtype(torch.float32)
        torch.set_grad_enabled(True)
    # All that passes require draws from numpy's global generator; imported later, it would seed itself from the clock.
    if (requires and find_spec("numpy")) or "numpy" in sys.modules:
        import numpy as np

        np.random.seed(item.seed % 2**32)


def _requires(job: Job, item: Item) -> set[str]:
    """The distributions that an item's work declares."""
    if job.kind == "data":
        return {"numpy"}
    found = find_pass(item.type) if job.kind == "pass" else find_metric(item.type)
    return {name for names in (found.requires if found else ()) for name in names.split("|")}


def full_disk(error: Exception, folder: Path) -> str:
    """A sentence for an error that says that the disk of `folder` is full; empty for any other.

    Libraries written in other languages raise their own errors, so the words count and not the class.
    """
    full = (errno.ENOSPC, errno.EDQUOT)
    if getattr(error, "errno", None) in full or any(os.strerror(code) in str(error) for code in full):
        return f"there is no space left on the disk of {folder}"
    return ""
