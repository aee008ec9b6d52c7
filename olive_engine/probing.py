"""What an environment that only a worker can see holds: asked by a probe job, remembered by its identity."""

from __future__ import annotations

import time
from collections.abc import Sequence

from pydantic import JsonValue, ValidationError

from olive_engine.contracts import Environment, Item, Job, System
from olive_engine.digests import digest
from olive_engine.errors import SystemUnavailable
from olive_engine.store import Store
from olive_engine.store.files import remove_tree, write_atomic

POLL_INTERVAL = 0.05


def known_environment(system: System, packages: Sequence[str], store: Store) -> Environment | None:
    """What the system says of itself, else what a probe found there before; none: it has to be probed."""
    told = system.environment(packages)
    if told is not None:
        return told
    try:
        return Environment.model_validate_json(store.probe_file(_identity(system, packages)).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def probe(system: System, packages: Sequence[str], store: Store) -> Environment:
    """Run a probe job on the system and remember its answer.

    Raises:
        SystemUnavailable: the worker there cannot be run.
    """
    folder = store.new_job()
    wanted: list[JsonValue] = [*packages]
    item = Item(key="", step="probe", type="", config={"packages": wanted})
    job = Job(id=folder.name, kind="probe", items=(item,), resources=system.resources)
    write_atomic(folder / "job.json", job.model_dump_json())
    handle = system.submit(folder)
    try:
        while (update := handle.poll()).state == "running":
            time.sleep(POLL_INTERVAL)
    except KeyboardInterrupt:
        handle.stop()
        raise
    if update.state == "lost":
        raise SystemUnavailable(f"{system.name}: {update.detail}")
    environment = handle.collect(fetch=False).environment
    if environment is None:
        raise SystemUnavailable(f"{system.name}: its worker did not answer the probe")
    write_atomic(store.probe_file(_identity(system, packages)), environment.model_dump_json())
    remove_tree(folder)
    return environment


def _identity(system: System, packages: Sequence[str]) -> str:
    return digest(f"{system.type} {system.environment_id} {' '.join(sorted(packages))}")
