"""A job of a workspace: followed by a thread of its own, so that looking at it waits for nobody."""

from __future__ import annotations

import time
from collections import deque
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Literal

from olive_engine.contracts import EVENT_LINE, EVENT_PREFIX, EventLine, Result, Update
from olive_engine.errors import SystemUnavailable
from olive_engine.models import Tree
from olive_systems.azure_ml import blobs
from olive_systems.azure_ml.failures import is_passing
from olive_systems.azure_ml.in_job import LOST_PREFIX
from olive_systems.azure_ml.locations import Place
from olive_systems.azure_ml.workspace import JobState, Workspace
from olive_systems.processes import LOG_LINES

INTERVAL = 2.0
"""Seconds between two questions about a job."""
STOP_PATIENCE = 10.0
"""Seconds that stopping waits for the end of a job that was asked to end; the service sees to it afterwards."""
OUTAGE = 600.0
"""Seconds that the service may be away, each time after all retries, before its jobs count as lost."""
_OWN = "job:"
_PYTHON = "add Python 3.11 or later to the environment's conda file"
_SIGNS = {
    "nknown option: -P": f"the environment's Python is too old for olive-engine; {_PYTHON}",
    "python: command not found": f"the environment has no Python; {_PYTHON}",
    "python: not found": f"the environment has no Python; {_PYTHON}",
}
"""What a shell or an old Python says -> what to do."""


class AzureMLHandle:
    """A job that was submitted. Filled by its thread, emptied by `poll`."""

    def __init__(self, workspace: Workspace, name: str, folder: Path, result: Place) -> None:
        """Follow a job from its beginning.

        Args:
            workspace: where it is.
            name: the job's.
            folder: the job folder here.
            result: where its output is kept.
        """
        self.name = name
        self._workspace = workspace
        self._folder = folder
        self._result = result
        self._lock = Lock()
        self._events: deque[EventLine] = deque()
        self._log: deque[str] = deque(maxlen=LOG_LINES)
        self._rest = b""
        self._heard = 0
        self._said = ""
        self._end: tuple[Literal["done", "lost"], str] | None = None
        self._over = Event()
        self._let_go = Event()
        self._thread = Thread(target=self._follow, daemon=True, name=f"follow {name}")
        self._thread.start()

    @property
    def is_over(self) -> bool:
        """Whether the job is known to have ended."""
        return self._over.is_set()

    def poll(self) -> Update:
        """What was heard since the last look; asks nobody."""
        with self._lock:
            events = tuple(self._events)
            self._events.clear()
            if self._end is None:
                return Update("running", events)
            log = tuple(self._log)
            self._log.clear()
            return Update(self._end[0], events, self._end[1], log)

    def stop(self) -> None:
        """Cancel the job, and wait a while for its end.

        Raises:
            SystemUnavailable: it cannot be cancelled, and may run on.
        """
        if not self._over.is_set():
            self._workspace.cancel(self.name)
            if not self._over.wait(STOP_PATIENCE):
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
        """Follow the job no longer; it runs on."""
        self._let_go.set()

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
        return Tree(files=tree.files, location=self._workspace.name.location(self._result / own))

    # --- the thread -----------------------------------------------------------------------------------------------

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
            while piece := self._workspace.read_log(state.log, self._heard):
                self._heard += len(piece)
                self._hear(piece)
        if state.outcome != "running" and self._rest:
            self._hear(b"\n")  # a last line without an end
        if state.outcome == "done":
            self._settle("done", "")
        elif state.outcome == "lost":
            self._settle("lost", self._why(state))

    def _hear(self, piece: bytes) -> None:
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            self._take(line.decode("utf-8", "replace").rstrip("\r"))

    def _take(self, line: str) -> None:
        if line.startswith(EVENT_PREFIX):
            try:
                event = EVENT_LINE.validate_json(line.removeprefix(EVENT_PREFIX))
            except ValueError:
                self._note(line)
                return
            with self._lock:
                self._events.append(event)
        elif line.startswith(LOST_PREFIX):
            self._said = line.removeprefix(LOST_PREFIX)
        else:
            self._note(line)

    def _note(self, line: str) -> None:
        with self._lock:
            self._log.append(line)

    def _settle(self, state: Literal["done", "lost"], why: str) -> None:
        with self._lock:
            self._end = self._end or (state, why)
        self._over.set()

    def _why(self, state: JobState) -> str:
        """Why there is no result, in one sentence."""
        if state.status == "Canceled":
            return f"the job {self.name} was cancelled"
        if self._said:
            return self._said
        text = "\n".join(self._log)
        if found := next((what for sign, what in _SIGNS.items() if sign in text), ""):
            return found
        module = next((line for line in reversed(self._log) if line.startswith("ModuleNotFoundError: ")), "")
        if module:
            lacking = module.partition("'")[2].partition("'")[0]
            return f"the environment lacks {lacking}, which olive-engine needs; add it to the conda file"
        said = " ".join(state.error.split()) or "no reason given"
        return f"Azure ML ended the job {self.name} with the status {state.status}: {said}"
