"""Runs job folders: the only entry point of every system.

    python -P -m olive_engine.worker JOB       run one job folder and exit
    python -P -m olive_engine.worker --serve   run the job folders named on standard input, one a line, and stay warm

Standard output carries event lines (prefix ``@olive``) and, when serving, ``@done JOB`` after each job. What libraries
print goes to standard error. The line ``@stop`` on standard input asks the running job to stop; its end ends the
worker.
"""

from __future__ import annotations

import json
import os
import queue
import random
import resource
import signal
import sys
import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO, TypeVar

from pydantic import ValidationError

from olive_engine import machine
from olive_engine.config.data import DataConfig
from olive_engine.contracts import (
    EVENT_PREFIX,
    PROTOCOL,
    AnyPass,
    Device,
    Environment,
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
    Result,
)
from olive_engine.digests import file_digest, files_under
from olive_engine.errors import Stopped, SystemUnavailable
from olive_engine.models import Artifact, FileEntry, Manifest, Model, Tree, TrialState
from olive_engine.registry import find_metric, find_pass

DONE_PREFIX = "@done "
STOP_LINE = "@stop"
STOP_FILE = "stop"
"""A file of this name in the job folder asks the job to stop, where standard input does not reach."""
RESIDENTS = 2
"""Frozen models that a warm worker keeps."""
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
            while len(self._objects) >= self._capacity:
                self._objects.popitem(last=False)
            self._objects[key] = load()
        self._objects.move_to_end(key)
        return self._objects[key]  # type: ignore[return-value]  # what `load` gave


class Worker:
    """Runs jobs one after another, with what stays between them."""

    def __init__(self, output: TextIO | None) -> None:
        self._output = output
        self._residents = Residents()
        self._stop = threading.Event()

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
        job = read_job(folder)
        with (folder / "events.jsonl").open("a", encoding="utf-8") as events:
            run = _JobRun(job, folder, self._residents, self._stop, lambda line: self._emit(line, events))
            result = Result(id=job.id, items=(), environment=_probe(job))
            for batch in run.batches():
                items = (*result.items, *run.run(batch))
                result = result.model_copy(update={"items": items, "peak_memory": _peak_memory()})
                _write_result(folder, result)
        if not result.items:
            _write_result(folder, result)
        return result

    def _emit(self, line: EventLine, events: TextIO) -> None:
        text = line.model_dump_json()
        events.write(text + "\n")
        events.flush()
        if self._output is not None:
            self._output.write(f"{EVENT_PREFIX}{text}\n")
            self._output.flush()


def read_job(folder: Path) -> Job:
    """Read and check ``job.json``.

    Raises:
        SystemUnavailable: it is of another protocol version, or not a job.
    """
    raw = json.loads((folder / "job.json").read_bytes())
    if raw.get("protocol") != PROTOCOL:
        raise SystemUnavailable(
            f"the job speaks protocol {raw.get('protocol')}, this worker (olive-engine {machine.__version__}) speaks "
            f"{PROTOCOL}: install the same version of olive-engine on both sides"
        )
    try:
        return Job.model_validate(raw)
    except ValidationError as error:
        raise SystemUnavailable(f"job.json is not a job: {error}") from None


def input_folder(job: Path, slot: str, index: int, part: str) -> Path:
    """Where a part of an input lies in a job folder; `slot` is ``models`` or an item's ``items/<i>/<option>``."""
    return job / "inputs" / slot / str(index) / part


class _JobRun:
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
        """Which items run together: all of a pack, else one by one."""
        indices = list(range(len(self._job.items)))
        if self._job.kind == "probe":
            return
        cls = find_pass(self._job.items[0].type) if self._job.kind == "pass" else None
        if cls is not None and len(indices) > 1 and cls.has_packs():
            yield indices
        else:
            yield from ([index] for index in indices)

    def run(self, indices: list[int]) -> list[ItemResult]:
        """Run items that go together; a failure is in its item's result."""
        started = time.perf_counter()
        items = [self._job.items[index] for index in indices]
        try:
            _reset(self._job, items[0])
            contexts = [self._context(index) for index in indices]
            outcomes: Sequence[object] = self._outcomes(items, contexts)
        except Stopped:
            return [ItemResult(key=item.key, status="stopped") for item in items]
        except Exception as error:  # noqa: BLE001 - whatever user code raises becomes the item's result
            outcomes = [error] * len(items)
        seconds = (time.perf_counter() - started) / len(items)
        return [
            self._result(index, outcome, seconds, packed=len(indices) > 1)
            for index, outcome in zip(indices, outcomes, strict=True)
        ]

    def _outcomes(self, items: list[Item], contexts: list[PassContext]) -> Sequence[object]:
        if self._job.kind == "data":
            return [self._prepare(items[0], contexts[0])]
        if self._job.kind == "evaluate":
            return [self._measure(items[0], contexts[0])]
        cls = find_pass(items[0].type)
        if cls is None:
            raise SystemUnavailable(f"there is no pass {items[0].type!r} in this environment; install its package here")
        runner = cls()
        models = self._models()
        model: Any = models if cls.takes_many else models[0]
        configs = [cls.config_type.model_validate(item.config) for item in items]
        if len(items) > 1:
            return runner.run_pack(model, [PackItem(*pair) for pair in zip(configs, contexts, strict=True)])
        if items[0].segment is not None:
            return [runner.run_segment(model, configs[0], contexts[0])]
        return [runner.run(model, configs[0], contexts[0])]

    def _prepare(self, item: Item, context: PassContext) -> Artifact:
        from olive_engine.data.prepare import prepare

        tokenizer = self._models()[0].model_path  # type: ignore[attr-defined]  # every model has one
        return prepare(DataConfig.model_validate(item.config), context.data.get("files"), tokenizer, context)

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
            self._given[folders[name]] = tree
        return Artifact.from_manifest(manifest, folders)

    def _context(self, index: int) -> PassContext:
        item, resources = self._job.items[index], self._job.resources
        folders = [self._folder / name / str(index) for name in ("outputs", "state", "scratch")]
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        here = machine.environment(())
        state = self._artifact(item.state, f"items/{index}/initial_state", 0) if item.state else None
        return PassContext(
            out=folders[0],
            state=folders[1],
            scratch=folders[2],
            seed=item.seed,
            device=Device(resources.device, here.bf16),
            threads=resources.threads,
            data=self._data(item, index),
            resident=self._residents.get,
            report=lambda event: self._report(index, event),
            should_stop=lambda: self._stop.is_set() or (self._folder / STOP_FILE).exists(),
            segment=item.segment,
            initial_state=state if isinstance(state, TrialState) else None,
        )

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
        try:
            if isinstance(outcome, Exception):
                raise outcome
            if isinstance(outcome, Artifact):
                output = outcome.to_manifest(lambda path: self._tree(path, index))
        except Exception as error:  # noqa: BLE001 - the item's own failure, or an output that cannot be described
            return ItemResult(key=item.key, status="failed", error=_error(error), seconds=seconds)
        return ItemResult(
            key=item.key,
            status="done",
            output=output,
            metrics=self._metrics[index],
            seconds=seconds,
            packed=packed,
        )

    def _tree(self, path: Path, index: int) -> Tree:
        """The tree of an output's part: an input's own tree where it is one, else the digests of what was written."""
        if path in self._given:
            return self._given[path]
        out = self._folder / "outputs" / str(index)
        if not path.is_relative_to(out):
            raise ValueError(f"the output {path} is neither an input nor under the folder given for outputs")
        files = {}
        for name in files_under(path):
            if (path / name).is_symlink():
                raise ValueError(f"the output {path / name} is a link; outputs must be files of their own")
            files[name] = FileEntry(sha256=file_digest(path / name), size=(path / name).stat().st_size)
        if not files:
            raise ValueError(f"the pass wrote nothing under {path.relative_to(self._folder)}")
        return Tree(files=files, location=f"job:{path.relative_to(self._folder).as_posix()}")


def _probe(job: Job) -> Environment | None:
    """The answer of a probe job: what is installed of the packages that its item lists."""
    if job.kind != "probe":
        return None
    packages = job.items[0].config.get("packages")
    return machine.environment([str(name) for name in packages] if isinstance(packages, list) else [])


def _reset(job: Job, item: Item) -> None:
    """Make a warm worker's job start as a fresh one would: random numbers, threads, default dtype, gradients on."""
    random.seed(item.seed)
    cls: type[AnyPass] | None = find_pass(item.type) if job.kind == "pass" else None
    metric = find_metric(item.type) if job.kind == "evaluate" else None
    requires: tuple[str, ...] = cls.requires if cls else metric.requires if metric else ()
    if "torch" in requires or "torch" in sys.modules:
        import torch

        torch.set_num_threads(job.resources.threads)
        torch.manual_seed(item.seed)
        torch.set_default_dtype(torch.float32)
        torch.set_grad_enabled(True)
    if "numpy" in sys.modules:
        import numpy as np

        np.random.seed(item.seed % 2**32)  # libraries draw from the global generator


def _error(error: Exception) -> ItemError:
    text = "".join(traceback.format_exception(error))
    return ItemError(type=type(error).__name__, message=str(error).strip(), traceback=text)


def _write_result(folder: Path, result: Result) -> None:
    temporary = folder / ".result.json.tmp"
    with temporary.open("w", encoding="utf-8") as stream:
        stream.write(result.model_dump_json())
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(folder / "result.json")


def _peak_memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


# --- the process --------------------------------------------------------------------------------------------------


@contextmanager
def _own_stdout() -> Iterator[TextIO]:
    """Keep standard output for our lines; what anything else prints goes to standard error."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as output:
        os.dup2(2, 1)
        yield output


def _serve(worker: Worker, output: TextIO) -> None:
    folders: queue.Queue[str] = queue.Queue()

    def listen() -> None:
        for line in sys.stdin:
            if line.strip() == STOP_LINE:
                worker.stop()
            elif line.strip():
                folders.put(line.strip())
        os._exit(0)  # the engine is gone: whatever runs is nobody's

    threading.Thread(target=listen, daemon=True).start()
    while True:
        folder = folders.get()
        worker.run(Path(folder))
        output.write(f"{DONE_PREFIX}{folder}\n")
        output.flush()


def main(arguments: Sequence[str]) -> int:
    """Run the worker's command line."""
    with _own_stdout() as output:
        worker = Worker(output)
        try:
            if list(arguments) == ["--serve"]:
                _serve(worker, output)
            signal.signal(signal.SIGTERM, lambda *_: worker.stop())
            worker.run(Path(arguments[0]))
        except (SystemUnavailable, OSError) as error:
            print(f"olive worker: {error}", file=sys.stderr)  # noqa: T201 - the last line that the engine shows
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
