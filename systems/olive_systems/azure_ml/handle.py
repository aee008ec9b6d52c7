"""A job of a workspace: brought there and followed by a thread of its own, so that looking at it waits for nobody."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Event, Lock, Thread

from olive_engine.contracts import Event as Said
from olive_engine.contracts import EventLine, Log, Result, Update
from olive_engine.errors import SystemUnavailable, Unreachable, WorkflowError
from olive_systems.azure_ml import blobs
from olive_systems.azure_ml.jobs import ATTEMPTS, attempt_name
from olive_systems.azure_ml.layout import Spoilt
from olive_systems.azure_ml.locations import described_place, result_place
from olive_systems.azure_ml.outputs import fetched, in_words, located
from olive_systems.azure_ml.uploads import Stopped, Upload
from olive_systems.azure_ml.watch import End, Watch
from olive_systems.azure_ml.workspace import Workspace

INTERVAL = 2.0
"""Seconds between two questions about a job of which something was heard just now."""
LONGEST = 30.0
"""Seconds between two questions about one that has been quiet for long."""
QUIET = 0.1
"""The share of the time that a job has been quiet for which it is left alone."""
STOP_PATIENCE = 10.0
"""Seconds that stopping waits for the end of a job that was asked to end; the service sees to it afterwards."""

Submit = Callable[[str, Path, Upload], str]
"""Uploads what the job of a folder reads, and puts it under a name; gives the address where a person sees it."""


class AzureMLHandle:
    """A job that is submitted, or was. Filled by its thread, emptied by `poll`."""

    def __init__(
        self,
        workspace: Workspace,
        name: str,
        folder: Path,
        datastore: str,
        submit: Submit,
        *,
        there: int = 0,
        url: str = "",
        compute: str = "the compute",
        made: Callable[[str], None] = lambda _: None,
        spoilt: Callable[[Spoilt], WorkflowError | None] = lambda _: None,
    ) -> None:
        """Bring a job to its workspace, or follow it there.

        Args:
            workspace: where it is, or goes.
            name: of its first attempt.
            folder: the job folder here.
            datastore: where its description and its output are kept.
            submit: puts an attempt.
            there: the attempt that is there already; 0: none. That one is looked at before this returns.
            url: where a person sees that attempt.
            compute: that it runs on, for people.
            made: hears the locations of what it has made.
            spoilt: hears what it has found spoilt of its inputs; gives what to raise for it.
        """
        self.name = attempt_name(name, max(1, there))
        self._first = name
        self._workspace, self._folder, self._datastore = workspace, folder, datastore
        self._submit, self._made, self._spoilt, self._compute = submit, made, spoilt, compute
        self._upload = Upload(self._tell)
        self._lock = Lock()
        self._events: deque[EventLine] = deque()
        self._watch = self._watched()
        self._end: End | None = None
        self._told_end = False
        self._put, self._unwanted, self._over, self._let_go = Event(), Event(), Event(), Event()
        self._nudge = Event()
        end: End | None = None
        if there:
            self._is_there(url)
            end = self._looked()
            if end is not None and not end.again:
                self._settle(end)
        self._thread = Thread(target=self._live, args=(max(1, there), end), daemon=True, name=f"follow {name}")
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
        """What was heard since the last look; asks nobody.

        Raises:
            Unreachable: it cannot be told now what becomes of the job.
            StoreCorrupt: what it reads is not what it should be.
            SystemUnavailable: it could not be submitted.
        """
        name = self.name if self._put.is_set() else ""
        with self._lock:
            events = tuple(self._events)
            self._events.clear()
            end, told, self._told_end = self._end, self._told_end, self._end is not None
            log = self._watch.log.last if end is not None and not told else ()
            if end is None or (end.error is not None and not told):
                return Update(
                    "running", events, log=log, stage=self._watch.stage if self._put.is_set() else "", job=name
                )
        if end.error is not None:
            raise end.error
        return Update(end.state, events, end.why, log, job=name)

    def stop(self) -> None:
        """Cancel the job, and wait a while for its end; one that is not there yet never will be.

        Raises:
            Unreachable: it cannot be cancelled, or nothing is known of it; it may run on.
        """
        self._unwanted.set()
        self._nudge.set()
        self._upload.stop()
        if self._put.is_set() and not self._over.is_set():
            self._cancel()
        if not self._over.wait(STOP_PATIENCE):
            if self._upload.is_being_put and not self._put.is_set():
                raise Unreachable(f"the job {self.name} was being submitted when it was asked to stop")
            self._settle(End("lost", "it was asked to stop"))  # the service, or the next look of the upload, ends it
        self.let_go()
        if self._end is not None and isinstance(self._end.error, Unreachable):
            raise self._end.error

    def collect(self, *, fetch: bool) -> Result:
        """The result, whose outputs are in the datastore; with `fetch` in the job folder as well.

        Raises:
            Unreachable: a file cannot be fetched now.
            SystemUnavailable: it cannot be read.
            StoreCorrupt: a fetched file came with other bytes.
        """
        if self._end is None or self._end.result is None:
            raise SystemUnavailable(f"the job {self.name} has no result")
        kept, result = result_place(self._datastore, self.name), in_words(self._end.result, self._folder)
        if fetch:
            return fetched(self._workspace, result, kept, self._folder)
        return located(self._workspace, result, kept, self._made)

    def let_go(self) -> None:
        """Follow the job no longer: it runs on, if it was submitted; what is uploaded for it ends."""
        self._let_go.set()
        self._nudge.set()
        self._upload.stop()

    def join(self, seconds: float) -> None:
        """Wait a while for the thread of a handle that was let go, or whose job is over."""
        self._thread.join(seconds)

    # --- helpers --------------------------------------------------------------------------------------------------

    def _watched(self) -> Watch:
        result = result_place(self._datastore, self.name)
        return Watch(self._workspace, self.name, result, self._compute, self._hear)

    def _cancel(self) -> None:
        try:
            self._workspace.jobs.cancel(self.name)
        except SystemUnavailable as error:
            raise Unreachable(str(error)) from error

    def _is_there(self, url: str) -> None:
        if url:
            self._tell(Log(message=f"its job is {self.name}: {url}"))
        self._put.set()

    def _tell(self, event: Said) -> None:
        """Say something of the job that it does not say itself."""
        self._hear(EventLine(item=0, time=time.time(), event=event))

    def _hear(self, line: EventLine) -> None:
        with self._lock:
            self._events.append(line)

    def _settle(self, end: End | None) -> None:
        if end is not None:
            with self._lock:
                self._end = self._end or end
            self._over.set()

    # --- the thread -----------------------------------------------------------------------------------------------

    def _live(self, attempt: int, end: End | None) -> None:
        while True:
            end = end or self._bring() or self._follow()
            if end is None or not end.again or attempt == ATTEMPTS or self._unwanted.is_set() or self._let_go.is_set():
                break
            attempt += 1
            self._begin_again(attempt, end.why)
            end = None
        self._settle(end)
        if end is not None and end.error is None and self._put.is_set():
            self._tidy()

    def _begin_again(self, attempt: int, why: str) -> None:
        self._tidy()
        self._put.clear()
        with self._lock:
            self.name = attempt_name(self._first, attempt)
            self._watch = self._watched()
        self._tell(Log(level="warning", message=f"{why}; it is put once more, as {self.name}"))

    def _bring(self) -> End | None:
        """Bring the job to the workspace; none: it is there."""
        if self._put.is_set():
            return None
        try:
            url = self._submit(self.name, self._folder, self._upload)
        except Stopped:
            return End("lost", "it was stopped before it was submitted")
        except WorkflowError as error:
            return End("lost", str(error), error=error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the engine must not wait for ever
            why = f"the job {self.name} could not be submitted: {type(error).__name__}: {error}"
            return End("lost", why, error=SystemUnavailable(why))
        self._is_there(url)
        if self._unwanted.is_set():  # it was asked to stop meanwhile
            try:
                self._cancel()
            except Unreachable as error:
                return End("lost", str(error), error=error)
        return None

    def _follow(self) -> End | None:
        """The end of the job that is there; none: it was let go."""
        while not self._let_go.is_set():
            if end := self._looked():
                return end
            quiet = time.monotonic() - self._watch.changed
            pause = INTERVAL if self._unwanted.is_set() else max(INTERVAL, min(LONGEST, quiet * QUIET))
            if self._nudge.wait(pause):
                self._nudge.clear()
        return None

    def _looked(self) -> End | None:
        try:
            end, fault = self._watch.look(), self._watch.log.spoilt
            if end is None or end.state == "done" or fault is None:
                return end
            return replace(end, error=self._spoilt(fault) or end.error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the engine must not wait for ever
            why = f"the job {self.name} cannot be followed: {type(error).__name__}: {error}"
            return End("lost", why, error=Unreachable(why))

    def _tidy(self) -> None:
        """Delete what only the job has read."""
        try:
            blobs.remove(self._workspace, described_place(self._datastore, self.name))
        except Exception:  # noqa: BLE001 - some KB are left, which nothing reads: worth no word, and no thread's end
            return
