"""Runs job folders: the only entry point of every system.

    python -P -m olive_engine.worker JOB       run one job folder and exit
    python -P -m olive_engine.worker --serve   run the job folders named on standard input, one a line, and stay warm

Standard output carries event lines (prefix ``@olive``) and, when serving, ``@done JOB`` after each job. What libraries
print goes to standard error. The line ``@stop`` on standard input asks the running job to stop, ``@import
torch peft`` has distributions imported before the next job; the end of standard input ends the worker.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from importlib import import_module
from pathlib import Path
from typing import TextIO, cast

from olive_engine import machine
from olive_engine.contracts import EVENT_PREFIX, Environment, EventLine, ItemResult, Job, Log, Probe, Result
from olive_engine.errors import SystemUnavailable
from olive_engine.implementations import implementation, step_name
from olive_engine.job_folder import read_job
from olive_engine.job_run import JobRun, full_disk
from olive_engine.residents import Residents
from olive_engine.secrecy import MaskedStream, Secrets
from olive_engine.step_packages import Versions

DONE_PREFIX = "@done "
STOP_LINE = "@stop"
IMPORT_PREFIX = "@import "


class Worker:
    """Runs jobs one after another, with what stays between them."""

    def __init__(self, output: TextIO | None) -> None:
        self._output = output
        self._residents = Residents()
        self._versions = Versions()
        self._stop = threading.Event()
        self._secrets = Secrets()

    def stop(self) -> None:
        """Ask the running job to stop."""
        self._stop.set()

    def run(self, folder: Path) -> Result:
        """Run one job folder; ``result.json`` in it is rewritten after each item.

        Raises:
            SystemUnavailable: ``job.json`` cannot be read, or is of another protocol version.
            OSError: the result cannot be written.
        """
        self._stop.clear()
        self._secrets = Secrets.among(os.environ)
        folder = folder.absolute()  # whatever a pass makes the working directory
        job = read_job(folder)
        with (folder / "events.jsonl").open("a", encoding="utf-8") as events:
            run = JobRun(job, folder, self._residents, self._stop, lambda line: self._emit(line, events))
            result = Result(id=job.id, items=(), environment=_probe(job))
            for batch in run.batches():
                with _surroundings_kept():
                    items = (*result.items, *(_without(self._secrets, item) for item in run.run(batch)))
                told = {"packages": self._versions.of(job), "peak_memory": machine.peak_memory()}
                result = result.model_copy(update={"items": items, **told})
                _write_result(folder, result)
        if not result.items:
            _write_result(folder, result)
        return result

    def _emit(self, line: EventLine, events: TextIO) -> None:
        if isinstance(line.event, Log):
            said = line.event.model_copy(update={"message": self._secrets.masked(line.event.message)})
            line = line.model_copy(update={"event": said})
        text = line.model_dump_json()
        events.write(text + "\n")
        events.flush()
        if self._output is not None:
            self._output.write(f"{EVENT_PREFIX}{text}\n")
            self._output.flush()


def _probe(job: Job) -> Environment | None:
    """The answer of a probe job: what is installed of the packages and the code for steps that its item lists."""
    if job.kind != "probe":
        return None
    asked = Probe.model_validate(job.items[0].config)
    codes = {step_name(*step): implementation(*step) for step in asked.steps}
    found = machine.environment(asked.packages, job.resources.device)
    return found.model_copy(
        update={
            "implementations": {name: code for name, code in codes.items() if code is not None},
            "executable": sys.executable,
        }
    )


def _without(secrets: Secrets, item: ItemResult) -> ItemResult:
    """An item's result, whose error tells no secret."""
    if item.error is None:
        return item
    told = {"message": secrets.masked(item.error.message), "traceback": secrets.masked(item.error.traceback)}
    return item.model_copy(update={"error": item.error.model_copy(update=told)})


def _write_result(folder: Path, result: Result) -> None:
    temporary = folder / ".result.json.tmp"
    with temporary.open("w", encoding="utf-8") as stream:
        stream.write(result.model_dump_json())
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(folder / "result.json")


# --- the process --------------------------------------------------------------------------------------------------


@contextmanager
def _own_stdout() -> Iterator[TextIO]:
    """Keep standard output for our lines; what anything else prints goes to standard error, and tells no secret."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as output:
        os.dup2(2, 1)
        secrets = Secrets.among(os.environ)
        printed = [cast(TextIO, MaskedStream(stream, secrets)) for stream in (sys.stdout, sys.stderr)]
        with redirect_stdout(printed[0]), redirect_stderr(printed[1]):
            yield output


def _own_stdin() -> TextIO:
    """Keep standard input for our commands; passes and the programs that they start find theirs empty.

    It is never closed: a thread waits for the next line until the process ends.
    """
    commands = os.fdopen(os.dup(0), encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return commands


@contextmanager
def _surroundings_kept() -> Iterator[None]:
    """Undo what a pass does to the working directory and the environment variables, which the next would inherit."""
    folder = None
    with suppress(FileNotFoundError):  # someone has deleted it
        folder = Path.cwd()
    variables = dict(os.environ)
    try:
        yield
    finally:
        if folder is not None:
            with suppress(FileNotFoundError):
                os.chdir(folder)
        for name in os.environ.keys() - variables.keys():
            del os.environ[name]
        os.environ.update({name: value for name, value in variables.items() if os.environ.get(name) != value})


def _serve(worker: Worker, commands: TextIO, output: TextIO) -> None:
    folders: queue.Queue[str] = queue.Queue()

    def listen() -> None:
        for line in commands:
            if line.strip() == STOP_LINE:
                worker.stop()
            elif line.strip():
                folders.put(line.strip())
        os._exit(0)  # the engine is gone: whatever runs is nobody's

    threading.Thread(target=listen, daemon=True).start()
    while True:
        folder = folders.get()
        if folder.startswith(IMPORT_PREFIX):
            _import(folder.removeprefix(IMPORT_PREFIX).split())
            continue
        _run(worker, Path(folder))
        output.write(f"{DONE_PREFIX}{folder}\n")
        output.flush()


def _import(packages: Sequence[str]) -> None:
    """Import distributions under the names that their modules usually have; a job that lacks one says so itself."""
    with _surroundings_kept():
        for name in packages:
            with suppress(Exception):
                import_module(name.replace("-", "_"))


def _run(worker: Worker, folder: Path) -> None:
    try:
        worker.run(folder)
    except OSError as error:
        raise SystemUnavailable(full_disk(error, folder) or str(error)) from error


def main(arguments: Sequence[str]) -> int:
    """Run the worker's command line."""
    with _own_stdout() as output:
        worker = Worker(output)
        try:
            if list(arguments) == ["--serve"]:
                _serve(worker, _own_stdin(), output)
            signal.signal(signal.SIGTERM, lambda *_: worker.stop())
            _run(worker, Path(arguments[0]))
        except (SystemUnavailable, OSError) as error:
            print(f"olive worker: {error}", file=sys.stderr)  # noqa: T201 - the last line that the engine shows
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
