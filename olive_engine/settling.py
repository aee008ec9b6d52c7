"""What came of a job: its result, and for each of its items a record, or why there is none."""

from __future__ import annotations

from collections.abc import Sequence

from olive_engine.contracts import EventLine, ItemResult, Job, Result, read_events
from olive_engine.errors import Failure, SystemUnavailable
from olive_engine.models import Manifest
from olive_engine.planner import Plan, Step
from olive_engine.probing import forget
from olive_engine.running_jobs import Running
from olive_engine.staging import Staging, key_of
from olive_engine.step_packages import changed
from olive_engine.store import Provenance, Record, Store

LOG_LINES = 20
"""Of a worker's last words, those that a failure shows."""


def collected(running: Running) -> Result:
    """The result of a job that is done.

    Raises:
        SystemUnavailable: it cannot be read, or is not of this job.
        OSError: its files cannot be written here.
    """
    result = running.handle.collect(fetch=not running.system.capabilities.keeps_outputs)
    if [item.key for item in result.items] != [item.key for item in running.job.items]:
        raise SystemUnavailable("the result that came back is not of the job that was sent")
    return result


def unheard(running: Running) -> Sequence[EventLine]:
    """The events of a job that is done and could not stream them: its worker wrote them down."""
    path = running.folder / "events.jsonl"
    if running.system.capabilities.streams_events or not path.is_file():
        return ()
    return read_events(path.read_bytes())[0]


def settled(
    step: Step, item: ItemResult, running: Running, result: Result, *, plan: Plan, staging: Staging, store: Store
) -> Record | Failure:
    """Keep what an item of a job has made, or say why there is nothing.

    Raises:
        OSError: it cannot be kept.
        StoreCorrupt: its files are not what they are said to be.
    """
    if item.status != "done":
        return failure(step, item, running)
    environment = plan.facts.environments[step.node.system]
    if environment is not None and (other := changed(environment, result.packages)):
        forget(running.system, store)  # its key would claim what was not there
        return Failure(step.node.name, f"{running.system.name}: {other}; run again")
    if touched := staging.changed(running.job, step.node):
        return Failure(step.node.name, f"{touched} was changed while the step read it; run again")
    record = Record(
        key=key_of(step),
        step=step.node.name,
        kind=step.node.kind,
        type=step.node.type,
        ingredients=dict(step.ingredients),
        inputs=staging.read(step.node),
        output=item.output and _kept(item.output, running, store),
        made=_made(item.output, running.job),
        metrics=item.metrics,
        provenance=Provenance(
            started=running.started,
            seconds=item.seconds,
            system=running.system.name,
            resources=running.job.resources,
            environment=environment,
            packed=item.packed,
            peak_memory=result.peak_memory,
            job=running.name,
        ),
    )
    store.records.save(record)
    store.drop_state(record.key)
    return record


def failure(step: Step, item: ItemResult, running: Running) -> Failure:
    """Why an item has no result."""
    error = item.error
    if error is None:
        return Failure(step.node.name, "it was stopped")
    # One sentence: what the exception says, with its type unless the message is meant for users.
    message = error.message.split("\n\n")[0].strip() or "no message"
    cause = message if error.type in ("ValueError", "SystemUnavailable") else f"{error.type}: {message}"
    return Failure(step.node.name, cause, error.traceback, tuple(running.log[-LOG_LINES:]), error.type)


def _kept(output: Manifest, running: Running, store: Store) -> Manifest:
    """Move an output's new files into the store; parts that are inputs or stay elsewhere are only referred to."""
    parts = {}
    for name, tree in output.parts.items():
        if tree.location.startswith("job:"):
            parts[name] = store.ingest(running.folder / tree.location.removeprefix("job:"), tree)
        else:
            parts[name] = tree
    return output.model_copy(update={"parts": parts})


def _made(output: Manifest | None, job: Job) -> tuple[str, ...]:
    """The parts of a result that are not one of the job's inputs, by where they are and not by what they hold."""
    given = [tree for model in job.models for tree in model.parts.values()]
    return tuple(name for name, tree in output.parts.items() if tree not in given) if output else ()
