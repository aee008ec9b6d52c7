"""Carries a plan out: select -> submit -> record, over the steps that are ready, in parallel; emits events.

Ready steps run up to each system's capacity. When one fails, the steps that need it are skipped and the others are
finished. Reads capabilities and never asks a system's type.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from olive_engine.contracts import (
    EventLine,
    Handle,
    ItemResult,
    Job,
    Log,
    Progress,
    Result,
    System,
    Update,
    read_events,
)
from olive_engine.errors import Failure, Interrupted, StoreCorrupt, SystemUnavailable
from olive_engine.job_run import full_disk
from olive_engine.left_jobs import LeftJob, left_jobs, mark_settled, mark_submitted
from olive_engine.models import Manifest
from olive_engine.packs import pack_of, share
from olive_engine.planner import Plan, Step
from olive_engine.reporting import events
from olive_engine.reporting.reporter import Reporter
from olive_engine.staging import CachedResults, Staging, is_timing, key_of
from olive_engine.store import Provenance, Record, Store
from olive_engine.store.files import remove_tree
from olive_engine.store.locks import Lock

SHORTEST_NAP, LONGEST_NAP = 0.001, 0.05
"""Seconds between two looks at the running jobs: short after something happened, doubling while nothing does."""
LOCK_INTERVAL = 0.1
"""Seconds between two tries for a step that another run is computing."""
STOP_INTERVAL = 1.0
"""Seconds between two questions whether to stop."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a plan."""

    records: Mapping[str, Record]
    """Step -> its result, computed or reused."""
    executed: tuple[str, ...]
    failures: tuple[Failure, ...]
    skipped: Mapping[str, str]
    """Step -> the failed step that it waited for."""


def execute(
    plan: Plan,
    store: Store,
    systems: Mapping[str, System],
    reporter: Reporter,
    *,
    purpose: str = "",
    sharers: int = 0,
    should_stop: Callable[[], bool] | None = None,
) -> Outcome:
    """Run what the plan says must run, reuse the rest.

    Args:
        plan: what to do.
        store: where results are kept.
        systems: by name.
        reporter: hears every event.
        purpose: what the run is for, for jobs that outlive it.
        sharers: how many runs, with this one, divide such steps among themselves as may be packed. 0: each step has a
            job of its own, and so the very bytes that it always has.
        should_stop: asked about once a second; once it says so, workers are stopped as at Ctrl-C.

    Raises:
        Interrupted: the user pressed Ctrl-C, or `should_stop` said so; workers were stopped, finished steps are
            recorded.
        StoreCorrupt: a cached file that a step reads is damaged; it was quarantined, so that a new plan recomputes it.
    """
    execution = _Execution(plan, store, systems, reporter, purpose, sharers, should_stop or (lambda: False))
    try:
        return execution.run()
    except KeyboardInterrupt:
        raise Interrupted("stopped; finished steps are kept") from None
    finally:
        execution.stop()


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
    def __init__(
        self,
        plan: Plan,
        store: Store,
        systems: Mapping[str, System],
        reporter: Reporter,
        purpose: str,
        sharers: int,
        should_stop: Callable[[], bool],
    ) -> None:
        self._plan = plan
        self._purpose = purpose
        self._sharers = sharers
        self._should_stop = should_stop
        self._asked = time.monotonic()
        self._store = store
        self._systems = systems
        self._reporter = reporter
        self._past = CachedResults(store, systems)
        self._pending: dict[str, Step] = dict(plan.steps)
        self._ready: dict[str, Step] = {}
        self._running: list[_Running] = []
        self._records: dict[str, Record] = {}
        self._staging = Staging(plan, store, systems, self._records)
        self._left = left_jobs(store)
        used = {step.node.system for step in plan.steps.values()}
        self._divided = {name for name in used if systems[name].capabilities.cpu_slots > 0}
        self._executed: list[str] = []
        self._failures: dict[str, Failure] = {}
        self._skipped: dict[str, str] = {}
        self._locks: dict[str, Lock] = {}
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
            self._stop_if_asked()
            if self._start_ready() | self._look():
                nap = SHORTEST_NAP
            else:
                time.sleep(nap)
                nap = min(nap * 2, LONGEST_NAP)
        if self._damaged is not None:
            raise self._damaged
        return Outcome(self._records, tuple(self._executed), tuple(self._failures.values()), self._skipped)

    def _stop_if_asked(self) -> None:
        now = time.monotonic()
        if now - self._asked >= STOP_INTERVAL:
            self._asked = now
            if self._should_stop():
                raise Interrupted("stopped as asked; finished steps are kept")

    def stop(self) -> None:
        """Stop whatever runs, all at once, and give the locks back."""
        if self._running:
            with ThreadPoolExecutor(len(self._running)) as pool:
                left = list(pool.map(_stopped, self._running))
            for running, error in zip(self._running, left, strict=True):
                for step in running.steps if error else ():
                    self._reporter.on_event(
                        events.StepLog(step.node.name, "warning", f"it may still run there: {error}")
                    )
        for lock in self._locks.values():
            lock.release()

    # --- select ---------------------------------------------------------------------------------------------------

    def _start_ready(self) -> bool:
        moved = False
        full: set[tuple[str, bool]] = set()  # so that thousands of ready steps cost one look at each system
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
            elif self._lane(step) in full:
                continue
            elif not self._has_room(step):
                if not is_timing(step.node):  # that one waits for more than room on its system
                    full.add(self._lane(step))
            elif self._lock(step):
                moved = True
                if record := self._made_meanwhile(step):
                    del self._ready[name]
                    self._finish(step, record, reused=True)
                elif not self._attach(step):
                    self._submit(self._bundle(step))
        return moved

    def _made_meanwhile(self, step: Step) -> Record | None:
        """What another run has computed between our plan and our lock."""
        record = self._store.records.load(key_of(step))
        if record and not self._past.missing(record) and self._staging.fits(step.node, record):
            return record
        return None

    def _reusable(self, step: Step) -> Record | None:
        """The planned record, unless an input was recomputed to other bytes than it was made from."""
        record = step.record
        return record if record is not None and self._staging.fits(step.node, record) else None

    def _has_room(self, step: Step) -> bool:
        if any(running.job.resources.exclusive for running in self._running):
            return False  # it measures time, and systems may share this machine
        if is_timing(step.node):
            return not self._running
        capabilities, lane = self._systems[step.node.system].capabilities, self._lane(step)
        return self._count(lane) < (capabilities.cpu_slots if lane[1] else capabilities.max_parallel)

    def _lane(self, step: Step) -> tuple[str, bool]:
        """What a step takes its slot of: its system, and whether of the slots there without an accelerator."""
        return step.node.system, step.node.kind == "data" and step.node.system in self._divided

    def _count(self, lane: tuple[str, bool]) -> int:
        """How many jobs run in a lane."""
        return sum(self._lane(running.steps[0]) == lane for running in self._running)

    def _lock(self, step: Step) -> bool:
        """Take the right to compute the step; false while another run has it."""
        key = key_of(step)
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
        """The step, and the ready ones that share its job."""
        del self._ready[step.node.name]
        if is_timing(step.node) or step.node.name in self._alone:
            return (step,)
        if step.node.kind == "evaluate":
            return self._same_model(step)
        return self._pack(step) if self._sharers else (step,)

    def _pack(self, step: Step) -> tuple[Step, ...]:
        """The step with those that are trained along with it, this run's share of them."""
        pack = pack_of(step)
        if pack is None:
            return (step,)
        others = [
            other
            for other in self._ready.values()
            if other.node.name not in self._alone and self._reusable(other) is None and pack_of(other) == pack
        ]
        system = self._systems[step.node.system]
        free = system.capabilities.max_parallel - self._count(self._lane(step))
        return (step, *self._taken(other for other in share(step, others, free * self._sharers) if other is not step))

    def _same_model(self, step: Step) -> tuple[Step, ...]:
        """The step, and the evaluations of the same model: it is loaded once."""
        along = [
            other
            for other in self._ready.values()
            if other.node.kind == "evaluate"
            and other.node.inputs == step.node.inputs
            and other.node.system == step.node.system
            and not is_timing(other.node)
            and other.node.name not in self._alone
            and self._reusable(other) is None
        ]
        return (step, *self._taken(along))

    def _taken(self, others: Iterable[Step]) -> list[Step]:
        """Those of some ready steps that no other run computes, or has computed, for the job of another one."""
        along = []
        for other in others:
            if self._lock(other):
                del self._ready[other.node.name]
                if record := self._made_meanwhile(other):
                    self._finish(other, record, reused=True)
                else:
                    along.append(other)
        return along

    def _attach(self, step: Step) -> bool:
        """Go on with the job of a step that an engine before this one submitted, if it outlived that engine.

        A job that does other work than the plan's step would, or elsewhere, is stopped: two may not write one state.
        """
        left = self._left.get(key_of(step))
        if left is None:
            return False
        for item in left.job.items:
            self._left.pop(item.key, None)
        try:
            handle = left.handle(self._systems)
            if handle is None:
                return False
            steps = self._steps_of(left, step)
            if steps:
                self._take_over(left, steps, handle)
                return True
            handle.stop()
            remove_tree(left.folder)
        except SystemUnavailable as error:
            doubt = f"begun anew; a job of an earlier run may still run: {error}"
            self._reporter.on_event(events.StepLog(step.node.name, "warning", doubt))
            self._store.drop_state(
                key_of(step)
            )  # that job keeps what it has open; the new one gets a folder of its own
        return False

    def _steps_of(self, left: LeftJob, step: Step) -> tuple[Step, ...]:
        """The ready steps that are the items of a left job, locked; none: it is not their job as it would be now."""
        ready = {other.key: other for other in self._ready.values()}
        steps = [ready[item.key] for item in left.job.items if item.key in ready]
        others = [other for other in steps if other is not step]
        alike = len(steps) == len(left.job.items) and left.mark.system == step.node.system
        if alike and all(self._staging.reads(left.job, index, each.node) for index, each in enumerate(steps)):
            if all(self._lock(other) for other in others):
                return tuple(steps)
            self._release(tuple(others))
        return ()

    def _take_over(self, left: LeftJob, steps: tuple[Step, ...], handle: Handle) -> None:
        system = self._systems[left.mark.system]
        for each in steps:
            del self._ready[each.node.name]
            reason = "an earlier run was ended while it ran there: it goes on"
            self._reporter.on_event(events.StepStarted(each.node.name, system.name, (reason,)))
        started = (left.folder / "job.json").stat().st_mtime
        self._running.append(_Running(left.job, left.folder, steps, system, handle, started))

    # --- submit ---------------------------------------------------------------------------------------------------

    def _submit(self, steps: tuple[Step, ...]) -> None:
        system = self._systems[steps[0].node.system]
        for step in steps:
            reasons = step.reasons or ("an input was recomputed to other bytes",)
            self._reporter.on_event(events.StepStarted(step.node.name, system.name, reasons))
        folder: Path | None = None
        try:
            folder = self._store.new_job()
            job = self._staging.write_job(folder, steps, system)
            if system.capabilities.outlives_engine:
                mark_submitted(folder, system, self._purpose)
            handle = system.submit(folder)
        except StoreCorrupt as damage:
            self._damaged = damage
            self._release(steps)
            for step in steps:
                cause = f"{damage}; the run plans again"
                self._reporter.on_event(events.StepLog(step.node.name, "warning", cause))
        except (OSError, SystemUnavailable) as error:
            for step in steps:
                full = full_disk(error, self._store.root)
                self._fail(step, Failure(step.node.name, full or f"could not be started: {error}"))
        else:
            self._running.append(_Running(job, folder, steps, system, handle, time.time()))
            return
        if folder is not None:
            remove_tree(folder)

    # --- record ---------------------------------------------------------------------------------------------------

    def _look(self) -> bool:
        moved = False
        for running in list(self._running):
            update = _looked(running)
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
            mark_settled(running.folder)
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
        if [item.key for item in result.items] != [item.key for item in running.job.items]:
            self._lost(running, "the result that came back is not of the job that was sent")
            return
        if not running.system.capabilities.streams_events:
            for line in _unheard(running.folder):
                self._tell(running, line)
        for step, item in zip(running.steps, result.items, strict=True):
            try:
                self._settle(step, item, running, result)
            except (OSError, StoreCorrupt) as error:
                self._fail(step, Failure(step.node.name, f"its result could not be kept: {error}"))
        if all(item.status == "done" for item in result.items):
            remove_tree(running.folder)

    def _settle(self, step: Step, item: ItemResult, running: _Running, result: Result) -> None:
        if item.status == "done" and (changed := self._staging.changed(running.job, step.node)):
            self._fail(step, Failure(step.node.name, f"{changed} was changed while the step read it; run again"))
        elif item.status == "done":
            output = item.output and self._keep(item.output, running.folder)
            record = Record(
                key=key_of(step),
                step=step.node.name,
                kind=step.node.kind,
                type=step.node.type,
                ingredients=dict(step.ingredients),
                inputs=self._staging.read(step.node),
                output=output,
                made=_made(item.output, running.job),
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
            log = tuple(running.log[-20:])
            self._fail(step, Failure(step.node.name, _cause(item), item.error.traceback, log, item.error.type))
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
        if not step.node.private and step.node.until == 1:
            self._store.share(record, reused=reused)
        self._records[name] = self._staging.relocated(step.node, record) if reused else record
        self._reporter.on_event(
            events.StepFinished(
                name, reused, record.provenance.seconds, record.metrics, record.size, step.source if reused else ""
            )
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


def _looked(running: _Running) -> Update:
    try:
        return running.handle.poll()
    except SystemUnavailable as error:
        return Update("lost", detail=str(error))


def _stopped(running: _Running) -> str:
    """Stop a job for good; why it could not be. One that cannot be reached stays marked, and the next run finds it."""
    try:
        running.handle.stop()
    except SystemUnavailable as error:
        return str(error)
    mark_settled(running.folder)
    return ""


def _unheard(folder: Path) -> Sequence[EventLine]:
    """The events that a worker wrote down where none were streamed."""
    path = folder / "events.jsonl"
    return read_events(path.read_bytes())[0] if path.is_file() else ()


def _made(output: Manifest | None, job: Job) -> tuple[str, ...]:
    """The parts of a result that are not one of the job's inputs, by where they are and not by what they hold."""
    given = [tree for model in job.models for tree in model.parts.values()]
    return tuple(name for name, tree in output.parts.items() if tree not in given) if output else ()


def _cause(item: ItemResult) -> str:
    """One sentence: what the exception says, with its type unless the message is meant for users."""
    error = item.error
    if error is None:
        return ""
    message = error.message.split("\n\n")[0].strip() or "no message"
    return message if error.type in ("ValueError", "SystemUnavailable") else f"{error.type}: {message}"
