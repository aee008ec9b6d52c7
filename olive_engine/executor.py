"""Carries a plan out: select -> submit -> record, over the steps that are ready, in parallel; emits events.

Ready steps run up to each system's capacity. When one fails, the steps that need it are skipped and the others are
finished. Reads capabilities and never asks a system's type.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from olive_engine.contracts import EventLine, Handle, Log, Progress
from olive_engine.errors import Failure, Interrupted, LeftRunning, StoreCorrupt, SystemUnavailable, Unreachable
from olive_engine.frontier import Frontier
from olive_engine.ground import Ground
from olive_engine.job_run import full_disk
from olive_engine.left_jobs import LeftJob, left_jobs, mark_settled, mark_submitted
from olive_engine.packs import pack_of, share
from olive_engine.planner import Plan, Step
from olive_engine.reporting import events
from olive_engine.running_jobs import Running, RunningJobs
from olive_engine.settling import LOG_LINES, collected, settled, unheard
from olive_engine.staging import CachedResults, Staging, is_timing, key_of
from olive_engine.step_locks import StepLocks
from olive_engine.store import Record
from olive_engine.store.files import remove_tree

SHORTEST_NAP, LONGEST_NAP = 0.001, 0.05
"""Seconds between two looks at the running jobs: short after something happened, doubling while nothing does."""
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
    ground: Ground,
    *,
    purpose: str = "",
    sharers: int = 0,
    should_stop: Callable[[], bool] | None = None,
) -> Outcome:
    """Run what the plan says must run, reuse the rest.

    Args:
        plan: what to do.
        ground: where results are kept, the systems, who hears of it.
        purpose: what the run is for, for jobs that outlive it.
        sharers: how many runs, with this one, divide such steps among themselves as may be packed. 0: each step has a
            job of its own, and so the very bytes that it always has.
        should_stop: asked about once a second; once it says so, workers are stopped as at Ctrl-C.

    Raises:
        Interrupted: the user pressed Ctrl-C, or `should_stop` said so; workers were stopped but for those that the user
            left, finished steps are recorded.
        StoreCorrupt: a cached file that a step reads is damaged; it was quarantined, so that a new plan recomputes it.
    """
    execution = _Execution(plan, ground, purpose, sharers, should_stop or (lambda: False))
    try:
        return execution.run()
    except KeyboardInterrupt:
        raise Interrupted("stopped; finished steps are kept", execution.leave()) from None
    finally:
        execution.stop()


class _Execution:
    def __init__(self, plan: Plan, ground: Ground, purpose: str, sharers: int, should_stop: Callable[[], bool]) -> None:
        self._purpose = purpose
        self._sharers = sharers
        self._should_stop = should_stop
        self._asked = time.monotonic()
        self._plan = plan
        self._ground = ground
        self._store, self._systems, self._listener = ground.store, ground.systems, ground.listener
        self._past = CachedResults(self._store, self._systems)
        self._frontier = Frontier(plan)
        self._ready = self._frontier.ready
        self._running = RunningJobs(self._systems, {step.node.system for step in plan.steps.values()})
        self._records: dict[str, Record] = {}
        self._staging = Staging(plan, self._store, self._systems, self._records)
        self._locks = StepLocks(self._store, self._listener)
        self._executed: list[str] = []
        self._failures: dict[str, Failure] = {}
        self._skipped: dict[str, str] = {}
        self._alone: set[str] = set()
        self._damaged: StoreCorrupt | None = None

    def run(self) -> Outcome:
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

    def leave(self) -> tuple[LeftRunning, ...]:
        """Let go of the jobs that the user wishes to go on."""
        try:
            return self._running.leave(self._ground.detach)
        except KeyboardInterrupt:  # Ctrl-C again
            return ()

    def stop(self) -> None:
        """Stop whatever runs, all at once, and give the locks back."""
        try:
            for running, error in self._running.stop():
                doubt = f"it may still run there: {error}"
                for step in running.steps:
                    self._listener.on_event(events.StepLog(step.node.name, "warning", doubt))
        finally:
            self._locks.release_all()

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
            elif self._running.lane(step) in full:
                continue
            elif not self._running.has_room(step):
                if not is_timing(step.node):  # that one waits for more than room on its system
                    full.add(self._running.lane(step))
            elif self._locks.take(step):
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
        jobs = self._running.free(step) * self._sharers
        return (step, *self._taken(other for other in share(step, others, jobs) if other is not step))

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
            if self._locks.take(other):
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
        left = left_jobs(self._store).get(key_of(step))  # as it is now: the run that had the lock may have left it
        if left is None:
            return False
        handle: Handle | None = None
        try:
            handle = left.handle(self._systems)
            if handle is None:
                remove_tree(left.folder)
                return False
            steps = self._steps_of(left, step)
            if steps:
                self._take_over(left, steps, handle)
                return True
            handle.stop()
            remove_tree(left.folder)
        except SystemUnavailable as error:
            if handle is None and isinstance(error, Unreachable):
                self._out_of_reach(self._awaited(left), error)
                return True
            doubt = f"begun anew; a job of an earlier run may still run: {error}"
            self._listener.on_event(events.StepLog(step.node.name, "warning", doubt))
            self._store.drop_state(key_of(step))  # that job keeps what it has open; the new one gets its own
        return False

    def _awaited(self, left: LeftJob) -> tuple[Step, ...]:
        """The ready steps that are items of a left job, ready no longer."""
        keys = {item.key for item in left.job.items}
        steps = tuple(other for other in self._ready.values() if other.key in keys)
        for each in steps:
            del self._ready[each.node.name]
        return steps

    def _steps_of(self, left: LeftJob, step: Step) -> tuple[Step, ...]:
        """The ready steps that are the items of a left job, locked; none: it is not their job as it would be now."""
        ready = {**{other.key: other for other in self._ready.values()}, step.key: step}  # it may have twins
        steps = [ready[item.key] for item in left.job.items if item.key in ready]
        others = [other for other in steps if other is not step]
        alike = len(steps) == len(left.job.items) and left.mark.system == step.node.system
        if alike and all(self._staging.reads(left.job, index, each.node) for index, each in enumerate(steps)):
            if all(self._locks.take(other) for other in others):
                return tuple(steps)
            self._locks.release(others)
        return ()

    def _take_over(self, left: LeftJob, steps: tuple[Step, ...], handle: Handle) -> None:
        system = self._systems[left.mark.system]
        reason = "an earlier run was ended while it ran there: it goes on"
        for each in steps:
            del self._ready[each.node.name]
            self._listener.on_event(events.StepStarted(each.node.name, system.name, (reason,)))
            self._listener.on_event(events.StepLog(each.node.name, "info", reason))
        started = (left.folder / "job.json").stat().st_mtime
        self._running.add(Running(left.job, left.folder, steps, system, handle, started))

    # --- submit ---------------------------------------------------------------------------------------------------

    def _submit(self, steps: tuple[Step, ...]) -> None:
        system = self._systems[steps[0].node.system]
        for step in steps:
            reasons = step.reasons or ("an input was recomputed to other bytes",)
            self._listener.on_event(events.StepStarted(step.node.name, system.name, reasons))
        folder: Path | None = None
        try:
            folder = self._store.new_job()
            job = self._staging.write_job(folder, steps, system)
            if system.capabilities.outlives_engine:
                mark_submitted(folder, system, self._purpose)
            handle = system.submit(folder)
        except StoreCorrupt as damage:
            self._spoilt(steps, damage)
        except Unreachable as error:
            self._out_of_reach(steps, error)
            return
        except (OSError, SystemUnavailable) as error:
            for step in steps:
                full = full_disk(error, self._store.root)
                self._fail(step, Failure(step.node.name, full or f"could not be started: {error}"))
        else:
            self._running.add(Running(job, folder, steps, system, handle))
            return
        if folder is not None:
            remove_tree(folder)

    # --- record ---------------------------------------------------------------------------------------------------

    def _look(self) -> bool:
        moved = False
        for running in self._running:
            try:
                update = running.look()
                running.log += update.log
                running.name = update.job or running.name
                self._tell_stage(running, update.stage)
                for line in update.events:
                    self._tell(running, line)
                if update.state == "running":
                    moved |= bool(update.events)
                    continue
                self._running.discard(running)
                if update.state == "done":
                    self._collect(running)
                else:
                    self._lost(running, update.detail)
            except StoreCorrupt as damage:
                self._running.discard(running)
                self._spoilt(running.steps, damage)
                remove_tree(running.folder)
            except Unreachable as error:
                self._running.discard(running)
                self._out_of_reach(running.steps, error, tuple(running.log[-LOG_LINES:]))
            except SystemUnavailable as error:
                self._running.discard(running)
                mark_settled(running.folder)
                for step in running.steps:
                    self._fail(step, Failure(step.node.name, str(error), log=tuple(running.log[-LOG_LINES:])))
            else:
                mark_settled(running.folder)
            moved = True
        return moved

    def _tell_stage(self, running: Running, stage: str) -> None:
        if stage != running.stage:
            running.stage = stage
            for step in running.steps if stage else ():
                self._listener.on_event(events.StepStage(step.node.name, stage))

    def _tell(self, running: Running, line: EventLine) -> None:
        name, event = running.steps[line.item].node.name, line.event
        if isinstance(event, Progress):
            self._listener.on_event(events.StepProgress(name, event.step, event.total, event.unit, event.values))
        elif isinstance(event, Log):
            self._listener.on_event(events.StepLog(name, event.level, event.message))

    def _collect(self, running: Running) -> None:
        try:
            result = collected(running)
        except Unreachable:
            raise
        except (OSError, SystemUnavailable) as error:
            self._lost(running, str(error))
            return
        for line in unheard(running):
            self._tell(running, line)
        for step, item in zip(running.steps, result.items, strict=True):
            try:
                came = settled(step, item, running, result, plan=self._plan, staging=self._staging, store=self._store)
            except (OSError, StoreCorrupt) as error:
                came = Failure(step.node.name, f"its result could not be kept: {error}")
            if isinstance(came, Failure):
                self._fail(step, came)
            else:
                self._executed.append(step.node.name)
                self._finish(step, came, reused=False)
        if all(item.status == "done" for item in result.items):
            remove_tree(running.folder)

    def _lost(self, running: Running, detail: str) -> None:
        """A job ended without a result: items of a larger job are tried alone, a single one has failed."""
        if len(running.steps) > 1:
            for step in running.steps:
                self._locks.release((step,))
                self._alone.add(step.node.name)
                self._ready[step.node.name] = step
            return
        step = running.steps[0]
        self._fail(step, Failure(step.node.name, detail, log=tuple(running.log[-LOG_LINES:])))

    def _spoilt(self, steps: tuple[Step, ...], damage: StoreCorrupt) -> None:
        """What steps read is not what it should be: they are begun again by a new plan, which knows it."""
        self._damaged = damage
        self._locks.release(steps)
        for step in steps:
            self._listener.on_event(events.StepLog(step.node.name, "warning", f"{damage}; the run plans again"))

    def _out_of_reach(self, steps: tuple[Step, ...], error: Unreachable, log: tuple[str, ...] = ()) -> None:
        """It is not known what becomes of a job: its mark stays, so that a later run finds it."""
        cause = f"{error}; its job may run on there, and the same command looks for it again"
        for step in steps:
            self._fail(step, Failure(step.node.name, cause, log=log))

    def _finish(self, step: Step, record: Record, *, reused: bool) -> None:
        name = step.node.name
        self._locks.release((step,))
        if not step.node.private and step.node.until == 1:
            self._store.share(record, reused=reused)
        self._records[name] = self._staging.relocated(step.node, record) if reused else record
        self._listener.on_event(
            events.StepFinished(
                name, reused, record.provenance.seconds, record.metrics, record.size, step.source if reused else ""
            )
        )
        self._frontier.done(name)

    def _fail(self, step: Step, failure: Failure) -> None:
        self._locks.release((step,))
        self._failures[step.node.name] = failure
        event = events.StepFailed(step.node.name, failure.cause, failure.traceback, failure.log)
        self._listener.on_event(event)
        for name in self._frontier.failed(step.node.name):
            self._skipped[name] = step.node.name
            self._listener.on_event(events.StepSkipped(name, step.node.name))
