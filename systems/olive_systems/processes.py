"""Warm worker processes of this machine: started, talked to, watched, ended."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

from olive_engine.contracts import EVENT_LINE, EVENT_PREFIX, EventLine, Result, Update
from olive_engine.errors import SystemUnavailable
from olive_engine.secrecy import Secrets
from olive_engine.worker import DONE_PREFIX, IMPORT_PREFIX, STOP_LINE
from olive_systems.variables import resolved

STOP_GRACE = 5.0
"""Seconds that a job has to save its checkpoint when asked to stop."""
LOG_LINES = 50
"""Lines of a worker's standard error that are kept for a failure's message."""
KEPT_FROM_WORKERS = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")
"""Variables that would redirect a worker's imports."""
NO_TELEMETRY = {"HF_HUB_DISABLE_TELEMETRY": "1", "ORT_DISABLE_TELEMETRY": "1"}
"""What keeps libraries from reporting what they are used for: ONNX Runtime does so otherwise, on all platforms."""


def worker_variables(threads: int, own: Mapping[str, str]) -> dict[str, str]:
    """A worker's environment: nothing that redirects imports, threads as declared, no telemetry.

    Args:
        threads: CPU threads of its jobs.
        own: what its system sets, over all else; references to variables are resolved here.

    Raises:
        SystemUnavailable: a variable that `own` refers to is not set.
    """
    kept = {name: value for name, value in os.environ.items() if name not in KEPT_FROM_WORKERS}
    return {**kept, **worker_settings(threads), **resolved(own)}


def worker_settings(threads: int) -> dict[str, str]:
    """What every worker's environment holds, wherever it runs: threads as declared, no telemetry, UTF-8."""
    return {
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "OPENBLAS_NUM_THREADS": str(threads),
        "TOKENIZERS_PARALLELISM": "false",
        **NO_TELEMETRY,
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONUTF8": "1",
        "PYTHONIOENCODING": "utf-8",
    }


class WorkerHandle:
    """A job in a local worker. Filled by the worker's reader threads, emptied by `poll`."""

    def __init__(self, job: Path, process: WorkerProcess) -> None:
        self._job = job
        self._process = process
        self.events: deque[EventLine] = deque()
        self.log: deque[str] = deque(maxlen=LOG_LINES)
        self.finished = threading.Event()
        self.lost = ""

    def poll(self) -> Update:
        """What the worker said since the last look."""
        over = self.finished.is_set()  # before the queues are emptied, so that nothing said before it is missed
        said = tuple(self.events.popleft() for _ in range(len(self.events)))
        log = tuple(self.log.popleft() for _ in range(len(self.log)))
        state: Literal["running", "done", "lost"] = "lost" if self.lost else "done"
        return Update(state if over else "running", said, self.lost, log)

    def stop(self) -> None:
        """Ask, wait for the checkpoint, then kill."""
        if not self.finished.is_set():
            self._process.say(STOP_LINE)
            if not self.finished.wait(STOP_GRACE):
                self._process.kill()
                self.finished.wait(STOP_GRACE)

    def collect(self, *, fetch: bool) -> Result:  # noqa: ARG002 - outputs are in the job folder anyway
        """Read ``result.json``."""
        return read_result(self._job)


def read_result(job: Path) -> Result:
    """The result in a job folder.

    Raises:
        SystemUnavailable: there is none, or of another shape.
    """
    try:
        return Result.model_validate_json((job / "result.json").read_bytes())
    except (OSError, ValueError) as error:
        raise SystemUnavailable(f"the worker left no readable result: {error}") from None


class WorkerProcess:
    """One warm worker, the leader of a process group in which all that its passes start lives."""

    def __init__(self, command: Sequence[str | Path], variables: Mapping[str, str]) -> None:
        """Start it.

        Args:
            command: what starts a worker that serves.
            variables: its whole environment.

        Raises:
            SystemUnavailable: the command cannot be started.
        """
        try:
            self._process = _started(command, variables)
        except OSError as error:
            raise SystemUnavailable(f"{command[0]} cannot be started: {error.strerror or error}") from None
        self._secrets = Secrets.among(variables)
        self._handle: WorkerHandle | None = None
        self._imported: set[str] = set()
        self._log: deque[str] = deque(maxlen=LOG_LINES)
        self._lock = threading.Lock()
        self._dead = threading.Event()  # the leader has ended; its last words may still be unread
        self._gone = False  # and they are read: whoever asks now gets no answer any more
        self._readers = [threading.Thread(target=read, daemon=True) for read in (self._read_lines, self._read_log)]
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        for thread in (*self._readers, self._watcher):
            thread.start()

    @property
    def alive(self) -> bool:
        """Whether the process has not ended."""
        return not self._dead.is_set()

    @property
    def idle(self) -> bool:
        """Whether it has no job."""
        return self._handle is None

    def start(self, job: Path) -> WorkerHandle:
        """Give it a job folder."""
        handle = WorkerHandle(job, self)
        with self._lock:
            if self._gone:
                self._lose(handle)
                return handle
            self._handle = handle
        self.say(str(job))
        return handle

    def import_(self, packages: Sequence[str]) -> None:
        """Have the worker import distributions before its next job, each once."""
        new = [name for name in packages if name not in self._imported]
        if new:
            self._imported.update(new)
            self.say(IMPORT_PREFIX + " ".join(new))

    def say(self, line: str) -> None:
        """Send a line; that a worker has just died is noticed by its watcher."""
        with suppress(BrokenPipeError):
            print(line, file=self._process.stdin, flush=True)

    def kill(self) -> None:
        """End it at once, with all that it has started."""
        if not self._dead.is_set():
            self._kill_group()

    def close(self) -> None:
        """Let it end, and wait for that; kill it where it does not."""
        if self._process.stdin:
            with suppress(BrokenPipeError):
                self._process.stdin.close()
        if not self._dead.wait(STOP_GRACE):
            self.kill()
        self._watcher.join()
        for reader, stream in zip(self._readers, (self._process.stdout, self._process.stderr), strict=True):
            # A stream that a process outside the group still holds open cannot be closed under its reader.
            if stream and not reader.is_alive():
                stream.close()

    def _watch(self) -> None:
        """Wait for the worker's end, end what it has left behind, and settle its job."""
        if hasattr(os, "waitid"):
            os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)  # its number stays taken until `wait`
            self._kill_group()  # a child that holds the pipes would keep their readers waiting
        self._process.wait()
        self._dead.set()
        for reader in self._readers:
            reader.join(STOP_GRACE)  # the last words say why
        with self._lock:
            self._gone = True
            handle, self._handle = self._handle, None
        if handle:
            self._lose(handle)

    def _lose(self, handle: WorkerHandle) -> None:
        log = tuple(self._log)
        handle.log.extend(log)
        handle.lost = death_of(self._process.returncode, log)
        handle.finished.set()

    def _kill_group(self) -> None:
        if not hasattr(os, "killpg"):  # Windows
            self._process.kill()
            return
        with suppress(ProcessLookupError, PermissionError):  # nobody is left; macOS says so of a zombie
            os.killpg(self._process.pid, signal.SIGKILL)

    def _read_lines(self) -> None:
        try:
            for line in self._process.stdout or ():
                self._hear(line)
        finally:
            if not self._dead.wait(STOP_GRACE):
                self.kill()  # nothing that it says would be heard

    def _hear(self, line: str) -> None:
        handle = self._handle
        if handle is None:
            return
        if line.startswith(EVENT_PREFIX):
            try:
                handle.events.append(EVENT_LINE.validate_json(line.removeprefix(EVENT_PREFIX)))
            except ValueError:
                self._note(line)
        elif line.startswith(DONE_PREFIX):
            with self._lock:
                self._handle = None
            handle.log.extend(tuple(self._log))
            self._log.clear()  # not when a job starts: a worker may have died of its last words before
            handle.finished.set()

    def _read_log(self) -> None:
        for line in self._process.stderr or ():
            self._note(line)

    def _note(self, line: str) -> None:
        """Keep a line; the worker masks what Python prints, and libraries in other languages print past it."""
        self._log.append(self._secrets.masked(line.rstrip()))


def _started(command: Sequence[str | Path], variables: Mapping[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
        env=dict(variables),
        start_new_session=True,  # Ctrl-C goes to the engine alone, which then stops its workers in order
    )


def death_of(code: int, log: Sequence[str]) -> str:
    """Why a worker is gone, in one sentence."""
    if code == -signal.SIGKILL:
        return "its worker was killed (signal 9), as the operating system does when memory runs out"
    if code < 0:
        return f"its worker was killed by signal {-code} ({signal.strsignal(-code) or 'unknown'})"
    if last := next((line for line in reversed(log) if line.startswith("olive worker:")), ""):
        return last.removeprefix("olive worker: ")
    if fatal := next((line for line in log if line.startswith("Fatal Python error")), ""):
        return f"its worker ended with exit code {code} before the result was written: {fatal}"
    raised = f": {log[-1]}" if any(line.startswith("Traceback (most recent call") for line in log) else ""
    return f"its worker ended with exit code {code} before the result was written{raised}"
