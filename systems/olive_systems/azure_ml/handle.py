"""A job of a workspace: brought there and followed by a thread of its own, so that looking at it waits for nobody."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Literal

from olive_engine.contracts import Event as Said
from olive_engine.contracts import EventLine, Result, Update
from olive_engine.errors import SystemUnavailable
from olive_engine.models import Tree
from olive_systems.azure_ml import blobs
from olive_systems.azure_ml.failures import is_passing
from olive_systems.azure_ml.job_log import JobLog
from olive_systems.azure_ml.locations import described_place, result_place
from olive_systems.azure_ml.uploads import Stopped, Upload
from olive_systems.azure_ml.workspace import JobState, Workspace

INTERVAL = 2.0
"""Seconds between two questions about a job."""
STOP_PATIENCE = 10.0
"""Seconds that stopping waits for the end of a job that was asked to end; the service sees to it afterwards."""
OUTAGE = 600.0
"""Seconds that the service may be away, each time after all retries, before its jobs count as lost."""
_OWN = "job:"


class AzureMLHandle:
    """A job that is submitted, or was. Filled by its thread, emptied by `poll`."""

    def __init__(
        self,
        workspace: Workspace,
        name: str,
        folder: Path,
        datastore: str,
        submit: Callable[[Path, Upload], None] | None = None,
        *,
        made: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Follow a job.

        Args:
            workspace: where it is, or goes.
            name: the job's.
            folder: the job folder here.
            datastore: where its description and its output are kept.
            submit: uploads what it reads and puts it; none: it is there already.
            made: hears the locations of what it has made.
        """
        self.name = name
        self._workspace = workspace
        self._folder = folder
        self._described = described_place(datastore, name)
        self._result = result_place(datastore, name)
        self._submit = submit
        self._made = made
        self._upload = Upload(self._tell)
        self._lock = Lock()
        self._events: deque[EventLine] = deque()
        self._log = JobLog(self._hear)
        self._end: tuple[Literal["done", "lost"], str] | None = None
        self._words: tuple[str, ...] = ()
        self._put = Event()
        self._unwanted = Event()
        self._over = Event()
        self._let_go = Event()
        self._thread = Thread(target=self._live, daemon=True, name=f"follow {name}")
        self._thread.start()

    @property
    def is_submitted(self) -> bool:
        """Whether the workspace has the job, as far as is known here."""
        return self._put.is_set()

    @property
    def is_busy(self) -> bool:
        """Whether its thread has still something to do."""
        return self._thread.is_alive()

    def poll(self) -> Update:
        """What was heard since the last look; asks nobody."""
        with self._lock:
            events = tuple(self._events)
            self._events.clear()
            if self._end is None:
                return Update("running", events)
            log, self._words = self._words, ()
            return Update(self._end[0], events, self._end[1], log)

    def stop(self) -> None:
        """Cancel the job, and wait a while for its end; one that is not there yet never will be.

        Raises:
            SystemUnavailable: it cannot be cancelled, and may run on.
        """
        self._unwanted.set()
        self._upload.stop()
        if self._put.is_set() and not self._over.is_set():
            self._workspace.cancel(self.name)
        if not self._over.wait(STOP_PATIENCE):
            if not self._put.is_set():
                raise SystemUnavailable(f"the job {self.name} was being submitted when it was asked to stop")
            self._settle("lost", "it was asked to stop; the service ends it")
        self.let_go()

    def collect(self, *, fetch: bool) -> Result:
        """The result, whose outputs are in the datastore; with `fetch` in the job folder as well.

        Raises:
            SystemUnavailable: it cannot be read.
            StoreCorrupt: a fetched file came with other bytes.
        """
        result = self._read()
        items = []
        for item in result.items:
            output = item.output
            if output is not None:
                parts = {name: self._collected(tree, fetch=fetch) for name, tree in output.parts.items()}
                output = output.model_copy(update={"parts": parts})
            items.append(item.model_copy(update={"output": output}))
        return result.model_copy(update={"items": tuple(items)})

    def let_go(self) -> None:
        """Follow the job no longer: it runs on, if it was submitted; what is uploaded for it ends."""
        self._let_go.set()
        self._upload.stop()

    def join(self, seconds: float) -> None:
        """Wait a while for the thread of a handle that was let go, or whose job is over."""
        self._thread.join(seconds)

    # --- the result -----------------------------------------------------------------------------------------------

    def _read(self) -> Result:
        fault: ValueError | None = None
        for _ in range(blobs.ATTEMPTS):
            try:
                return Result.model_validate_json(blobs.get_bytes(self._workspace, self._result / "result.json"))
            except ValueError as error:
                fault = error
        first = str(fault).splitlines()[0]
        raise SystemUnavailable(f"the result of the job {self.name} cannot be read: {first}") from fault

    def _collected(self, tree: Tree, *, fetch: bool) -> Tree:
        if not tree.location.startswith(_OWN):
            return tree
        own = tree.location.removeprefix(_OWN)
        if fetch:
            blobs.download_tree(self._workspace, tree, self._result / own, self._folder / own)
            return tree
        location = self._workspace.name.location(self._result / own)
        self._made(location)
        return Tree(files=tree.files, location=location)

    # --- the thread -----------------------------------------------------------------------------------------------

    def _live(self) -> None:
        if self._submit is None or self._submitted(self._submit):
            self._put.set()
            self._cancel_if_unwanted()
            self._follow()
        if self._over.is_set():
            self._tidy()

    def _submitted(self, submit: Callable[[Path, Upload], None]) -> bool:
        """Bring the job to the workspace; whether it is there."""
        try:
            submit(self._folder, self._upload)
        except Stopped:
            self._settle("lost", "it was stopped before it was submitted")
        except SystemUnavailable as error:
            self._settle("lost", str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, the engine must not wait for ever
            self._settle("lost", f"the job {self.name} could not be submitted: {type(error).__name__}: {error}")
        else:
            return True
        return False

    def _cancel_if_unwanted(self) -> None:
        """Cancel a job that was asked to stop while it was being put."""
        if self._submit is not None and self._unwanted.is_set():
            try:
                self._workspace.cancel(self.name)
            except SystemUnavailable as error:
                self._settle("lost", str(error))

    def _tidy(self) -> None:
        """Delete what only the job has read."""
        try:
            blobs.remove(self._workspace, self._described)
        except SystemUnavailable:
            return  # some KB are left, which nothing reads: not worth a word

    def _follow(self) -> None:
        away_since: float | None = None
        while not self._over.is_set() and not self._let_go.is_set():
            try:
                self._look()
                away_since = None
            except SystemUnavailable as error:
                away_since = away_since or time.monotonic()
                if not is_passing(error) or time.monotonic() - away_since > OUTAGE:
                    self._settle("lost", str(error))
            except Exception as error:  # noqa: BLE001 - whatever it is, the engine must not wait for ever
                self._settle("lost", f"the job {self.name} cannot be followed: {type(error).__name__}: {error}")
            self._let_go.wait(INTERVAL) if not self._over.is_set() else None

    def _look(self) -> None:
        state = self._workspace.state(self.name)
        if state is None:
            self._settle("lost", f"the job {self.name} has vanished from the workspace")
            return
        if state.log:
            while piece := self._workspace.read_log(state.log, self._log.heard):
                self._log.hear(piece)
        if state.outcome != "running":
            self._log.end()
        if state.outcome == "done":
            self._settle("done", "")
        elif state.outcome == "lost":
            self._settle("lost", self._why(state))

    def _tell(self, event: Said) -> None:
        """Say something of the job that it does not say itself, for it is not there yet."""
        self._hear(EventLine(item=0, time=time.time(), event=event))

    def _hear(self, line: EventLine) -> None:
        with self._lock:
            self._events.append(line)

    def _settle(self, state: Literal["done", "lost"], why: str) -> None:
        with self._lock:
            if self._end is None:
                self._end, self._words = (state, why), self._log.last
        self._over.set()

    def _why(self, state: JobState) -> str:
        """Why there is no result, in one sentence."""
        if state.status == "Canceled":
            return f"the job {self.name} was cancelled"
        said = " ".join(state.error.split()) or "no reason given"
        return self._log.cause() or f"Azure ML ended the job {self.name} with the status {state.status}: {said}"
