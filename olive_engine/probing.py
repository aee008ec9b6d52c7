"""What an environment that only a worker can see holds: asked by a probe job, remembered by its identity."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from olive_engine import __version__
from olive_engine.contracts import Environment, Item, Job, Probe, Result, System
from olive_engine.digests import digest
from olive_engine.errors import SystemUnavailable
from olive_engine.store import Store
from olive_engine.store.files import remove_tree, write_atomic

POLL_INTERVAL = 0.05


def known_environment(system: System, asked: Probe, store: Store) -> Environment | None:
    """What the system says of itself, else what a probe found there before; none: it has to be probed."""
    found = system.environment(asked.packages)
    if found is None and system.environment_id:
        memory = _memory(system, store)
        found = memory.environment if memory and memory.asked.covers(asked) else None
    if found is None:
        return None
    where = f"{found.machine}-{system.limits}" if system.limits else found.machine
    return found.model_copy(update={"variables": system.variables, "machine": where})


def probe(system: System, asked: Probe, store: Store, say: Callable[[str], None]) -> Environment:
    """Run a probe job on the system and remember its answer.

    Raises:
        SystemUnavailable: the worker there cannot be run, or is of another version of the engine.
    """
    system.prepare(say)
    if not system.environment_id:
        raise SystemUnavailable(f"{system.name}: it cannot be told which environment its jobs would run in")
    if memory := _memory(system, store):  # what was known stays known
        asked = asked.with_all_of(memory.asked)
    folder = store.new_job()
    item = Item(key="", step="probe", type="", config=asked.model_dump(mode="json"))
    job = Job(id=folder.name, kind="probe", items=(item,), resources=system.resources)
    write_atomic(folder / "job.json", job.model_dump_json())
    try:
        environment = answer(
            system, folder, lambda stage: say(f"a small job asks what is installed there: {stage}")
        ).environment
    finally:
        remove_tree(folder)
    if environment is None:
        raise SystemUnavailable(f"{system.name}: its worker did not answer the probe")
    if environment.engine != __version__:
        raise SystemUnavailable(
            f"{system.name}: olive-engine {environment.engine} is installed there, and {__version__} here; install "
            f"the same on both sides: {environment.executable or 'python'} -m pip install olive-engine=={__version__}"
        )
    answered = _Answered(asked=asked, environment=environment)
    write_atomic(store.probe_file(_identity(system)), answered.model_dump_json())
    return environment


def forget(system: System, store: Store) -> None:
    """What a probe found there is not true any more: the next run asks again."""
    if system.environment_id:
        store.probe_file(_identity(system)).unlink(missing_ok=True)


def answer(system: System, folder: Path, say: Callable[[str], None]) -> Result:
    """Run a job of the engine's own, and wait for its result.

    Args:
        system: where.
        folder: the job's.
        say: hears what the job is in before its worker speaks, at each change.

    Raises:
        SystemUnavailable: the worker there cannot be run.
    """
    handle = system.submit(folder)
    try:
        stage = ""
        while (update := handle.poll()).state == "running":
            if update.stage not in ("", stage):
                say(stage := update.stage)
            time.sleep(POLL_INTERVAL)
    except KeyboardInterrupt:
        handle.stop()
        raise
    if update.state == "lost":
        raise SystemUnavailable(f"{system.name}: {update.detail}")
    return handle.collect(fetch=False)


class _Answered(BaseModel):
    """What a probe was asked, and what it found."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    asked: Probe
    environment: Environment


def _memory(system: System, store: Store) -> _Answered | None:
    try:
        return _Answered.model_validate_json(store.probe_file(_identity(system)).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def _identity(system: System) -> str:
    return digest([system.type, system.environment_id, __version__])
