"""Running a workflow: reuse what the cache has, compute the rest, write the final models and the report."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from olive_engine import hub, outputs
from olive_engine.config.workflow import Workflow
from olive_engine.errors import Interrupted, InvalidWorkflow, LeftRunning
from olive_engine.ground import Detach, Ground
from olive_engine.plain_run import run_plain
from olive_engine.planning import opened
from olive_engine.preflight import not_yet
from olive_engine.reading import reread
from olive_engine.remote import refresh
from olive_engine.reporting import events
from olive_engine.reporting.reporter import Reporter
from olive_engine.results import RunResult
from olive_engine.search.searched import check_installed, searches
from olive_engine.store import Store


def run(
    workflow: Workflow, reporter: Reporter | None = None, *, debug: bool = False, detach: Detach | None = None
) -> RunResult:
    """Run a workflow: reuse what the cache has, compute the rest, write the final models to `output_dir`.

    It returns when all is done; steps run in worker processes meanwhile. It may be called in any thread, several times
    at once on one cache too (each step is then computed once), but each run at a time needs an `output_dir` of its own.

    Args:
        workflow: what to run.
        reporter: hears every event, in this thread. An exception that it raises stops the run and comes out of it.
        debug: run steps of a LocalSystem one at a time in this process, where a debugger reaches.
        detach: asked at Ctrl-C about the jobs that can go on without the engine, on a system such as Azure ML: true
            leaves them, and the next run of the workflow takes them over. None: they are stopped, as all others are.

    Raises:
        InvalidWorkflow: nothing was run; the workflow must be changed, or packages installed.
        PassFailed: steps failed; independent ones were finished and are in the cache.
        SystemUnavailable: a system cannot run its steps.
        Interrupted: Ctrl-C; finished steps are in the cache. Its `left` are the jobs that go on.
    """
    heard = _Heard(reporter or Reporter())
    draft = reread(workflow)
    workflow = draft.raise_if_wrong()
    outputs.check_output_dir(workflow)
    if unavailable := not_yet(workflow):  # before a hub or a system is asked
        raise InvalidWorkflow(tuple(replace(problem, severity="error") for problem in unavailable))
    try:
        pinned = hub.pin(workflow, online=True)
        with opened(pinned, debug=debug) as (store, systems), store.in_use(), _sharing(store, heard):
            refresh(pinned, systems, store, lambda name, message: heard.on_event(events.SystemSaid(name, message)))
            ground = Ground(store, systems, heard, detach)
            if searches(pinned):
                check_installed()
                from olive_engine.sweep_run import run_sweep  # Optuna is for those who search

                return run_sweep(pinned, ground, draft.problems)
            return run_plain(pinned, ground, draft.problems)
    except KeyboardInterrupt as pressed:
        raise Interrupted("stopped; finished steps are kept", _left_before(pressed)) from None
    except _ReporterRaised as raised:
        raise raised.error from None


def _left_before(pressed: KeyboardInterrupt) -> tuple[LeftRunning, ...]:
    """The jobs that were left when Ctrl-C was pressed again, while others were being stopped."""
    before = pressed.__context__
    while before is not None and not isinstance(before, Interrupted):
        before = before.__context__
    return before.left if before is not None else ()


@contextmanager
def _sharing(store: Store, listener: Reporter) -> Iterator[None]:
    """Tell at the end what was left out of the shared cache: a run that ends early does not wait for it."""
    try:
        yield
    finally:
        if left_out := store.leave_sharing():
            listener.on_event(events.Warned(left_out))


class _ReporterRaised(BaseException):
    """A reporter's own exception, on its way out: nobody may take it for a step's, or for a disk's."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


class _Heard(Reporter):
    """A reporter of whose exceptions it is known that they are its own."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter

    def on_event(self, event: events.RunEvent) -> None:
        try:
            self._reporter.on_event(event)
        except Exception as error:
            raise _ReporterRaised(error) from error
