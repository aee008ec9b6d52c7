"""The engine's own process: one job at a time, where a debugger reaches. What `--debug` runs on."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TextIO, cast

from olive_engine import machine
from olive_engine.contracts import Capabilities, Environment, Resources, Result, System, Update
from olive_engine.options import Options
from olive_engine.secrecy import MaskedStream, Secrets
from olive_engine.worker import Worker
from olive_systems.local import LocalSystemConfig
from olive_systems.places import places
from olive_systems.processes import NO_TELEMETRY, read_result
from olive_systems.variables import resolved


class InProcess(System):
    """Runs each job at once, in this process, before `submit` returns."""

    type = "InProcess"
    config_type = LocalSystemConfig
    engines_interpreter = True

    def __init__(self, name: str, config: Options) -> None:
        super().__init__(name, config)
        options = LocalSystemConfig.model_validate(config.model_dump())
        self._own = options.environment_variables
        self._resources = places(options, self._own).resources
        self._worker = Worker(None)

    @property
    def capabilities(self) -> Capabilities:
        """One job at a time, which cannot be stopped but by Ctrl-C."""
        return Capabilities(
            shared_filesystem=True,
            max_parallel=1,
            accelerators=(self._resources.device,),
            streams_events=False,
            can_stop=False,
        )

    @property
    def resources(self) -> Resources:
        """Threads and device of each job."""
        return self._resources

    def environment(self, packages: Sequence[str]) -> Environment:
        """This interpreter's packages and this machine's device, as configured."""
        return machine.environment(packages, self._resources.device)

    def prepare(self, say: Callable[[str], None]) -> None:  # noqa: ARG002 - nothing takes long
        """See that the variables are there that the options refer to."""
        resolved(self._own)

    def submit(self, job: Path) -> _Handle:
        """Run the job; what it prints goes to standard error, as a worker's does."""
        with _globals_kept(), _set({**NO_TELEMETRY, **resolved(self._own)}):
            printed = cast(TextIO, MaskedStream(sys.stderr, Secrets.among(os.environ)))
            with redirect_stdout(printed), redirect_stderr(printed):
                self._worker.run(job)
        return _Handle(job)


class _Handle:
    """A job that is already over."""

    def __init__(self, job: Path) -> None:
        self._job = job

    def poll(self) -> Update:
        return Update("done")

    def stop(self) -> None:
        """Nothing runs any more."""

    def collect(self, *, fetch: bool) -> Result:  # noqa: ARG002 - outputs are in the job folder anyway
        return read_result(self._job)


@contextmanager
def _set(variables: Mapping[str, str]) -> Iterator[None]:
    """Have these environment variables for a while."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _globals_kept() -> Iterator[None]:
    """Give the caller back the random states and torch settings that a job starts by resetting."""
    with ExitStack() as after:
        after.callback(random.setstate, random.getstate())
        if numpy := sys.modules.get("numpy"):
            after.callback(numpy.random.set_state, numpy.random.get_state())
        if torch := sys.modules.get("torch"):
            after.callback(torch.set_rng_state, torch.get_rng_state())
            after.callback(torch.set_num_threads, torch.get_num_threads())
            after.callback(torch.set_default_dtype, torch.get_default_dtype())
            after.callback(torch.set_grad_enabled, torch.is_grad_enabled())
        yield
