"""Carries a plan out: select -> submit -> record, over the steps that are ready, in parallel; emits events.

Ready steps run up to each system's capacity. When one fails, the steps that need it are skipped and the others are
finished. Reads capabilities and never asks a system's type.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from olive_engine.config.workflow import INPUT_MODEL
from olive_engine.contracts import (
    EventLine,
    Handle,
    Item,
    ItemResult,
    Job,
    Log,
    Progress,
    Result,
    System,
)
from olive_engine.errors import Failure, Interrupted, StoreCorrupt, SystemUnavailable
from olive_engine.graph import Node
from olive_engine.job_run import input_folder
from olive_engine.models import Manifest, Tree, tokenizer_part
from olive_engine.options import DataRef, marked
from olive_engine.planner import Plan, Step
from olive_engine.registry import find_metric
from olive_engine.reporting import events
from olive_engine.reporting.reporter import Reporter
from olive_engine.store import Provenance, Record, Store
from olive_engine.store.files import remove_tree, write_atomic
from olive_engine.store.locks import StepLock
from olive_engine.store.sources import is_local

SHORTEST_NAP, LONGEST_NAP = 0.001, 0.05
"""Seconds between two looks at the running jobs: short after something happened, doubling while nothing does."""
LOCK_INTERVAL = 0.1
"""Seconds between two tries for a step that another run is computing."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a plan."""

    records: Mapping[str, Record]
    """Step -> its result, computed or reused."""
    executed: tuple[str, ...]
    failures: tuple[Failure, ...]
    skipped: Mapping[str, str]
    """Step -> the failed step that it waited for."""


class CachedResults:
    """The planner's view of a store: records whose files are here, or with a system that can bring them."""

    def __init__(self, store: Store, systems: Mapping[str, System]) -> None:
        self._store = store
        self._systems = systems

    def find(self, key: str) -> Record | None:
        """The record of that key."""
        return self._store.records.load(key)

    def last(self, node: Node) -> Record | None:
        """The record that the step of that name used last."""
        return self._store.records.last(node.kind, node.type, node.name)

    def missing(self, record: Record) -> str:
        """Which file of the record's output is no longer there; empty: none."""
        for tree in record.trees:
            if tree.location and _keeper(self._systems, tree) is None:
                return tree.location
        return next((name for tree in record.trees if (name := self._store.missing(tree))), "")


def execute(plan: Plan, store: Store, systems: Mapping[str, System], reporter: Reporter) -> Outcome:
    """Run what the plan says must run, reuse the rest.

    Raises:
        Interrupted: the user pressed Ctrl-C; workers were stopped, finished steps are recorded.
        StoreCorrupt: a cached file that a step reads is damaged; it was quarantined, so that a new plan recomputes it.
    """
    execution = _Execution(plan, store, systems, reporter)
    try:
        return execution.run()
    except KeyboardInterrupt:
        raise Interrupted("stopped; finished steps are kept") from None
    finally:
        execution.stop()


def bring(tree: Tree, store: Store, systems: Mapping[str, System]) -> Tree:
    """Fetch a tree that a system keeps into the store.

    Raises:
        SystemUnavailable: no system of this workflow keeps it.
        StoreCorrupt: it arrived with other bytes than its digests say.
    """
    here = Tree(files=tree.files)
    if not store.missing(here):
        return here
    keeper = _keeper(systems, tree)
    if keeper is None:
        raise SystemUnavailable(f"no system of this workflow can read {tree.location}")
    folder = store.new_job()
    try:
        keeper.fetch(tree, folder)
        return store.ingest(folder, tree, verify=True)
    finally:
        remove_tree(folder)


@dataclass(slots=True)
class _Running:
    """A submitted job and the steps that are its items."""

    job: Job
    folder: Path
    steps: tuple[Step, ...]
    system: System
    handle: Handle
    started: float
    log: list[str] = field(default_factory=list)


class _Execution:
    def __init__(self, plan: Plan, store: Store, systems: Mapping[str, System], reporter: Reporter) -> None:
        self._plan = plan
        self._store = store
        self._systems = systems
        self._reporter = reporter
        self._past = CachedResults(store, systems)
        self._pending: dict[str, Step] = dict(plan.steps)
        self._ready: dict[str, Step] = {}
        self._running: list[_Running] = []
        self._records: dict[str, Record] = {}
        self._executed: list[str] = []
        self._failures: dict[str, Failure] = {}
        self._skipped: dict[str, str] = {}
        self._locks: dict[str, StepLock] = {}
        self._tried: dict[str, float] = {}
        self._alone: set[str] = set()
        self._damaged: StoreCorrupt | None = None
        self._waits = {name: len(set(step.node.needs)) for name, step in plan.steps.items()}
        self._followers: dict[str, list[str]] = {name: [] for name in plan.steps}
        for name, step in plan.steps.items():
            for need in set(step.node.needs):
                self._followers[need].append(name)

    def run(self) -> Outcome:
        for name in [name for name, count in self._waits.items() if count == 0]:
            self._ready[name] = self._pending.pop(name)
        nap = SHORTEST_NAP
        while self._ready or self._running:
            if self._start_ready() | self._look():
                nap = SHORTEST_NAP
            else:
                time.sleep(nap)
                nap = min(nap * 2, LONGEST_NAP)
        if self._damaged is not None:
            raise self._damaged
        return Outcome(self._records, tuple(self._executed), tuple(self._failures.values()), self._skipped)

    def stop(self) -> None:
        """Stop whatever runs and give the locks back."""
        for running in self._running:
            running.handle.stop()
        for lock in self._locks.values():
            lock.release()

    # --- select ---------------------------------------------------------------------------------------------------

    def _start_ready(self) -> bool:
        moved = False
        for name in list(self._ready):
            if name not in self._ready:  # went along with a step before it
                continue
            step = self._ready[name]
            if self._damaged is not None:
                del self._ready[name]
                moved = True
            elif record := self._reusable(step):
                del self._ready[name]
                self._store.touch(record)
                self._finish(step, record, reused=True)
                moved = True
            elif self._has_room(step) and self._lock(step):
                moved = True
                record = self._past.find(_key(step))
                if record and not self._past.missing(record) and record.inputs == self._read(step.node):
                    # Another run computed it between our plan and our lock.
                    del self._ready[name]
                    self._finish(step, record, reused=True)
                else:
                    self._submit(self._bundle(step))
        return moved

    def _reusable(self, step: Step) -> Record | None:
        """The planned record, unless an input was recomputed to other bytes than it was made from."""
        record = step.record
        return record if record is not None and record.inputs == self._read(step.node) else None

    def _has_room(self, step: Step) -> bool:
        here = [running for running in self._running if running.system is self._systems[step.node.system]]
        if any(running.job.resources.exclusive for running in here):
            return False
        if _is_timing(step.node):
            return not self._running  # nothing anywhere: systems may share this machine
        return len(here) < self._systems[step.node.system].capabilities.max_parallel

    def _lock(self, step: Step) -> bool:
        """Take the right to compute the step; false while another run has it."""
        key = _key(step)
        now = time.monotonic()
        if now - self._tried.get(key, -LOCK_INTERVAL) < LOCK_INTERVAL:
            return False
        lock = self._store.lock(key)
        if lock.try_acquire():
            self._locks[key] = lock
            return True
        if key not in self._tried:
            self._reporter.on_event(events.StepWaiting(step.node.name))
        self._tried[key] = now
        return False

    def _bundle(self, step: Step) -> tuple[Step, ...]:
        """The step, and the ready evaluations of the same model that can share its job: the model is loaded once."""
        del self._ready[step.node.name]
        if step.node.kind != "evaluate" or _is_timing(step.node) or step.node.name in self._alone:
            return (step,)
        along = [
            other
            for other in self._ready.values()
            if other.node.kind == "evaluate"
            and other.node.inputs == step.node.inputs
            and other.node.system == step.node.system
            and not _is_timing(other.node)
            and other.node.name not in self._alone
            and self._reusable(other) is None
            and self._lock(other)
        ]
        for other in along:
            del self._ready[other.node.name]
        return (step, *along)

    # --- submit ---------------------------------------------------------------------------------------------------

    def _submit(self, steps: tuple[Step, ...]) -> None:
        system = self._systems[steps[0].node.system]
        for step in steps:
            reasons = step.reasons or ("an input was recomputed to other bytes",)
            self._reporter.on_event(events.StepStarted(step.node.name, system.name, reasons))
        folder: Path | None = None
        try:
            folder = self._store.new_job()
            job = self._write_job(folder, steps, system)
            handle = system.submit(folder)
        except StoreCorrupt as damage:
            self._damaged = damage
            self._release(steps)
            for step in steps:
                cause = f"{damage}; the run plans again"
                self._reporter.on_event(events.StepLog(step.node.name, "warning", cause))
        except (OSError, SystemUnavailable) as error:
            for step in steps:
                self._fail(step, Failure(step.node.name, f"could not be started: {error}"))
        else:
            self._running.append(_Running(job, folder, steps, system, handle, time.time()))
            return
        if folder is not None:
            remove_tree(folder)

    def _write_job(self, folder: Path, steps: tuple[Step, ...], system: System) -> Job:
        node = steps[0].node
        models = tuple(self._here(self._model(name), system) for name in node.inputs)
        if node.kind == "data":
            models = tuple(_tokenizer_only(manifest) for manifest in models)
        items = tuple(self._item(step, system) for step in steps)
        if node.kind == "data" and (files := self._plan.facts.data[node.name]):
            tree = self._store.place_sources(files, input_folder(folder, "items/0/files", 0, "files_path"))
            self._check_source(node, tree)
            sources = Manifest(kind="SourceFiles", parts={"files_path": tree})
            items = (items[0].model_copy(update={"data": {"files": sources}}),)
        resources = system.resources
        if _is_timing(node):
            resources = resources.model_copy(update={"exclusive": True})
        job = Job(id=folder.name, kind=node.kind, models=models, items=items, resources=resources)
        for index, manifest in enumerate(models):
            self._place(folder, "models", index, manifest, system)
        for index, (item, step) in enumerate(zip(items, steps, strict=True)):
            for option, manifest in item.data.items() if node.kind != "data" else ():
                self._place(folder, f"items/{index}/{option}", 0, manifest, system)
            if system.capabilities.shared_filesystem:
                state = folder / "state" / str(index)
                state.parent.mkdir(exist_ok=True)
                state.symlink_to(self._store.state_folder(_key(step)))
        write_atomic(folder / "job.json", job.model_dump_json())
        return job

    def _item(self, step: Step, system: System) -> Item:
        node = step.node
        data = {option: self._here(self._output(name), system) for option, name in node.data.items()}
        references = {name for name, _ in marked(type(node.config), DataRef)}
        return Item(
            key=_key(step),
            step=node.name,
            type=node.type,
            config=node.config.model_dump(mode="json", exclude=references),
            seed=self._plan.facts.seed,
            data=data,
        )

    def _check_source(self, node: Node, tree: Tree) -> None:
        """Refuse files that have changed since the plan was made: the key would not be theirs."""
        planned = self._plan.facts.data_identity[node.name]
        if planned != {name: entry.sha256 for name, entry in tree.files.items()}:
            raise FileNotFoundError("a data file has changed since the run began")

    def _place(self, folder: Path, slot: str, index: int, manifest: Manifest, system: System) -> None:
        for part, tree in manifest.parts.items():
            if not system.holds(tree):
                self._store.place(tree, input_folder(folder, slot, index, part))

    def _here(self, manifest: Manifest, system: System) -> Manifest:
        """The manifest with every tree readable by `system` or by us; bytes that another system keeps are fetched."""
        parts = {}
        for name, tree in manifest.parts.items():
            if tree.location and not is_local(tree.location) and not system.holds(tree):
                parts[name] = bring(tree, self._store, self._systems)
            else:
                parts[name] = tree
        return manifest.model_copy(update={"parts": parts})

    # --- record ---------------------------------------------------------------------------------------------------

    def _look(self) -> bool:
        moved = False
        for running in list(self._running):
            update = running.handle.poll()
            running.log += update.log
            for line in update.events:
                self._tell(running, line)
            if update.state == "running":
                moved |= bool(update.events)
                continue
            moved = True
            self._running.remove(running)
            if update.state == "done":
                self._collect(running)
            else:
                self._lost(running, update.detail)
        return moved

    def _tell(self, running: _Running, line: EventLine) -> None:
        name, event = running.steps[line.item].node.name, line.event
        if isinstance(event, Progress):
            self._reporter.on_event(events.StepProgress(name, event.step, event.total, event.unit, event.values))
        elif isinstance(event, Log):
            self._reporter.on_event(events.StepLog(name, event.level, event.message))

    def _collect(self, running: _Running) -> None:
        try:
            result = running.handle.collect(fetch=not running.system.capabilities.keeps_outputs)
        except (OSError, SystemUnavailable) as error:
            self._lost(running, str(error))
            return
        for step, item in zip(running.steps, result.items, strict=True):
            try:
                self._settle(step, item, running, result)
            except OSError as error:
                self._fail(step, Failure(step.node.name, f"its result could not be kept: {error}"))
        if all(item.status == "done" for item in result.items):
            remove_tree(running.folder)

    def _settle(self, step: Step, item: ItemResult, running: _Running, result: Result) -> None:
        if item.status == "done":
            output = item.output and self._keep(item.output, running.folder)
            record = Record(
                key=_key(step),
                step=step.node.name,
                kind=step.node.kind,
                type=step.node.type,
                ingredients=dict(step.ingredients),
                inputs=self._read(step.node),
                output=output,
                made=_made(output, running.job),
                metrics=item.metrics,
                provenance=Provenance(
                    started=running.started,
                    seconds=item.seconds,
                    system=running.system.name,
                    resources=running.job.resources,
                    environment=self._plan.facts.environments[step.node.system],
                    packed=item.packed,
                    peak_memory=result.peak_memory,
                ),
            )
            self._store.records.save(record)
            self._store.drop_state(record.key)
            self._executed.append(step.node.name)
            self._finish(step, record, reused=False)
        elif item.error is not None:
            self._fail(step, Failure(step.node.name, _cause(item), item.error.traceback, tuple(running.log[-20:])))
        else:
            self._fail(step, Failure(step.node.name, "it was stopped"))

    def _keep(self, output: Manifest, folder: Path) -> Manifest:
        """Move an output's new files into the store; parts that are inputs or stay elsewhere are only referred to."""
        parts = {}
        for name, tree in output.parts.items():
            if tree.location.startswith("job:"):
                parts[name] = self._store.ingest(folder / tree.location.removeprefix("job:"), tree)
            else:
                parts[name] = tree
        return output.model_copy(update={"parts": parts})

    def _lost(self, running: _Running, detail: str) -> None:
        """A job ended without a result: items of a larger job are tried alone, a single one has failed."""
        if len(running.steps) > 1:
            for step in running.steps:
                self._release((step,))
                self._alone.add(step.node.name)
                self._ready[step.node.name] = step
            return
        step = running.steps[0]
        self._fail(step, Failure(step.node.name, detail, log=tuple(running.log[-20:])))

    def _finish(self, step: Step, record: Record, *, reused: bool) -> None:
        name = step.node.name
        self._release((step,))
        self._records[name] = record
        self._reporter.on_event(
            events.StepFinished(name, reused, record.provenance.seconds, record.metrics, record.size)
        )
        for follower in self._followers[name]:
            self._waits[follower] -= 1
            if self._waits[follower] == 0 and follower in self._pending:
                self._ready[follower] = self._pending.pop(follower)

    def _fail(self, step: Step, failure: Failure) -> None:
        self._release((step,))
        self._failures[step.node.name] = failure
        event = events.StepFailed(step.node.name, failure.cause, failure.traceback, failure.log)
        self._reporter.on_event(event)
        for name in self._downstream(step.node.name):
            if self._pending.pop(name, None) is not None:
                self._skipped[name] = step.node.name
                self._reporter.on_event(events.StepSkipped(name, step.node.name))

    def _downstream(self, name: str) -> Iterator[str]:
        seen, todo = {name}, list(self._followers[name])
        while todo:
            follower = todo.pop(0)
            if follower not in seen:
                seen.add(follower)
                yield follower
                todo += self._followers[follower]

    def _release(self, steps: tuple[Step, ...]) -> None:
        for step in steps:
            if step.key and (lock := self._locks.pop(step.key, None)):
                lock.release()

    # --- inputs ---------------------------------------------------------------------------------------------------

    def _model(self, name: str) -> Manifest:
        if name == INPUT_MODEL:
            model = self._plan.facts.input_model
            if model is None:
                raise SystemUnavailable("the input model is not on this machine and could not be fetched")
            return model
        return self._output(name)

    def _output(self, name: str) -> Manifest:
        output = self._records[name].output
        if output is None:
            raise SystemUnavailable(f"{name} gave no output")
        return output

    def _read(self, node: Node) -> dict[str, str]:
        """The digests of what a step reads, by role."""
        if node.kind == "data":
            return {}  # its key holds the contents of all it reads
        read = {f"model {index}": self._model(name).digest for index, name in enumerate(node.inputs)}
        return read | {option: self._output(name).digest for option, name in node.data.items()}


def _key(step: Step) -> str:
    if step.key is None:
        raise SystemUnavailable(f"{step.node.name}: {'; '.join(step.reasons)}")
    return step.key


def _made(output: Manifest | None, job: Job) -> tuple[str, ...]:
    """The parts of an output that are not one of the job's inputs."""
    given = {tree.digest for model in job.models for tree in model.parts.values()}
    return tuple(name for name, tree in output.parts.items() if tree.digest not in given) if output else ()


def _is_timing(node: Node) -> bool:
    cls = find_metric(node.type) if node.kind == "evaluate" else None
    return cls is not None and cls.timing


def _tokenizer_only(manifest: Manifest) -> Manifest:
    """What data preparation reads of a model."""
    parts = {"model_path": tokenizer_part(manifest.parts["model_path"])}
    return Manifest(kind="HfModel", parts=parts)


def _keeper(systems: Mapping[str, System], tree: Tree) -> System | None:
    return next((system for system in systems.values() if system.holds(tree)), None)


def _cause(item: ItemResult) -> str:
    """One sentence: what the exception says, with its type unless the message is meant for users."""
    error = item.error
    if error is None:
        return ""
    message = error.message.split("\n\n")[0].strip() or "no message"
    return message if error.type in ("ValueError", "SystemUnavailable") else f"{error.type}: {message}"
