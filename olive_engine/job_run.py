"""One job folder, carried out: its items read, run, described. The process around it is `olive_engine.worker`."""

from __future__ import annotations

import errno
import os
import threading
import time
import traceback
from collections.abc import Callable, Hashable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from olive_engine import machine
from olive_engine.config.data import DataConfig
from olive_engine.contracts import (
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
from olive_engine.errors import Stopped, SystemUnavailable
from olive_engine.fresh_start import start_fresh
from olive_engine.job_folder import JobFolder, input_folder
from olive_engine.models import Artifact, Manifest
from olive_engine.options import Packable, unmarked
from olive_engine.providers import full_name
from olive_engine.registry import find_metric, find_pass
from olive_engine.residents import Residents

PROGRESS_INTERVAL = 0.1
"""Seconds between two progress events of one item; the last one is always sent."""

T = TypeVar("T")


class JobRun:
    """One job: which of its items run together, how each kind is done, and what came of it."""

    def __init__(
        self,
        job: Job,
        folder: Path,
        residents: Residents,
        stop: threading.Event,
        emit: Callable[[EventLine], None],
    ) -> None:
        self._job = job
        self._folder = JobFolder(job, folder)
        self._residents = residents
        self._stop = stop
        self._emit = emit
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
            start_fresh(self._job, items[0])
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
            self._folder.drop_outputs(index)
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
        models = self._folder.models()
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

        tokenizer = self._folder.models()[0].model_path  # type: ignore[attr-defined]  # every model has one
        return prepare(DataConfig.model_validate(item.config), context.data.get("files"), tokenizer, context)

    def _describe(self, item: Item) -> Manifest:
        given = self._job.models[0]
        (part, tree), *_ = given.parts.items()
        asked = Describe.model_validate(item.config)
        found = described(input_folder(self._folder.path, "models", 0, part), asked, tree.location)
        return given.model_copy(update={"parts": {part: found}})

    def _measure(self, item: Item, context: PassContext) -> Artifact | None:
        cls = find_metric(item.type)
        if cls is None:
            raise SystemUnavailable(f"there is no metric {item.type!r} in this environment; install its package here")
        measured = cls().measure(self._folder.models()[0], cls.config_type.model_validate(item.config), context)
        context.report(Metrics(values=dict(measured.values)))
        return measured.predictions

    def _context(self, index: int) -> PassContext:
        item, resources = self._job.items[index], self._job.resources
        out, state, scratch = self._folder.working_folders(index)
        here = machine.environment((), resources.device)
        return PassContext(
            out=out,
            state=state,
            scratch=scratch,
            seed=item.seed,
            device=Device(resources.device, here.bf16, tuple(map(full_name, resources.execution_providers))),
            threads=resources.threads,
            data=self._folder.data(index),
            resident=self._resident,
            report=lambda event: self._report(index, event),
            should_stop=self._should_stop,
            segment=item.segment,
            initial_state=self._folder.initial_state(index),
        )

    def _should_stop(self) -> bool:
        return self._stop.is_set() or self._folder.asks_to_stop()

    def _resident(self, key: Hashable, load: Callable[[], T]) -> T:
        """A resident by a key in which the folders of inputs count by their contents, not by this job's paths."""
        parts = key if isinstance(key, tuple) else (key,)
        return self._residents.get(tuple(map(self._folder.contents_of, parts)), load)

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
                output = outcome.to_manifest(lambda path: self._folder.tree(path, index))
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
        if full := full_disk(error, self._folder.path):
            return ItemError(type=SystemUnavailable.__name__, message=full, traceback=text)
        message = self._folder.with_users_paths(_writable(str(error).strip()))
        return ItemError(type=type(error).__name__, message=message, traceback=text)


def full_disk(error: Exception, folder: Path) -> str:
    """A sentence for an error that says that the disk of `folder` is full; empty for any other.

    Libraries written in other languages raise their own errors, so the words count and not the class.
    """
    full = (errno.ENOSPC, errno.EDQUOT)
    if getattr(error, "errno", None) in full or any(os.strerror(code) in str(error) for code in full):
        return f"there is no space left on the disk of {folder}"
    return ""


def _are_a_pack(cls: type[AnyPass], items: Sequence[Item]) -> bool:
    """Whether the items differ in packable options only."""
    try:
        fixed = [unmarked(cls.config_type.model_validate(item.config), Packable) for item in items]
    except ValidationError:
        return False  # it fails alone, with its own message
    return len({item.type for item in items}) == 1 and all(one == fixed[0] for one in fixed)


def _exit_code(error: SystemExit) -> int:
    """The exit code that a process gets from this: nothing is 0, a text is 1."""
    return error.code if isinstance(error.code, int) else int(error.code is not None)


def _writable(text: str) -> str:
    """The text without lone surrogates (undecodable bytes of file names), which JSON cannot carry."""
    return text.encode("utf-8", "replace").decode()
