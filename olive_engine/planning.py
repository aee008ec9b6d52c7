"""What a run would do, found out without running anything: the part of the API that `olive plan` and `why` need.

Apart from `olive_engine.running`, so that a command that only plans imports nothing that runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from olive_engine import facts as facts_module
from olive_engine import graph, hub, planner
from olive_engine.config.findings import known, nearest
from olive_engine.config.workflow import SystemEntry, Workflow
from olive_engine.contracts import System
from olive_engine.errors import InvalidWorkflow, Problem
from olive_engine.planner import Plan, Step
from olive_engine.preflight import check as check_hosts
from olive_engine.reading import reread
from olive_engine.registry import find_system
from olive_engine.reporting.planned import PlannedStep
from olive_engine.search.searched import searches
from olive_engine.staging import CachedResults
from olive_engine.store import Store
from olive_engine.store.shared import SharedCache
from olive_engine.store.shared_site import SharedSite

DEFAULT_SYSTEM = "LocalSystem"
DEBUG_SYSTEM = "InProcess"


def check(workflow: Workflow) -> tuple[Problem, ...]:
    """Say everything that is wrong or doubtful with a workflow, as ``olive validate`` does of a file. Runs nothing.

    An empty answer means that it can be planned. A problem's `severity` tells errors, for which `plan` and `run` would
    refuse the workflow, from warnings; its `path` says where in the workflow it is.
    """
    draft = reread(workflow)
    return (*draft.problems, *draft.notices)


def plan(workflow: Workflow) -> Plan:
    """Say which steps would run, and why, and whose results would be reused. Runs nothing, asks no network.

    Raises:
        InvalidWorkflow: with every problem of the workflow, or because the input model cannot be read.
    """
    workflow = reread(workflow).raise_if_wrong()
    with opened(workflow, debug=False) as (store, systems):
        return made_plan(hub.pin(workflow, online=False), store, systems, online=False)


def planned_steps(made: Plan) -> tuple[PlannedStep, ...]:
    """The plan as reporters are told it."""
    return tuple(
        PlannedStep(
            step=name,
            kind=step.node.kind,
            type=step.node.type,
            action=step.action,
            reasons=step.reasons,
            inputs=step.node.inputs,
            system=step.node.system,
            source=step.source,
        )
        for name, step in made.steps.items()
    )


def why(workflow: Workflow, step: str) -> tuple[str, ...]:
    """Why a step would run; empty if its result would be reused.

    Args:
        workflow: what would be run.
        step: its name, as in `Plan.steps`: ``lora``, ``data:train``, ``lora:accuracy``.

    Raises:
        InvalidWorkflow: there is no such step, or the workflow is wrong.
    """
    return step_of(workflow, step).reasons


def step_of(workflow: Workflow, step: str) -> Step:
    """A step of the plan, by its name.

    Raises:
        InvalidWorkflow: there is no such step, or the workflow is wrong.
    """
    steps = plan(workflow).steps
    if step not in steps:
        near = nearest(step, steps)
        hint = f"did you mean `{near}`?" if near else known(steps, listed="the steps are")
        raise InvalidWorkflow((Problem((), f"there is no step `{step}`", hint),))
    return steps[step]


def preflight(workflow: Workflow, made: Plan) -> tuple[Problem, ...]:
    """What speaks against running a plan: libraries, providers, devices and room on each step's own host.

    An error among it would stop `run`; a warning would not.
    """
    return (*check_hosts(workflow, made), *_sharing_doubts(workflow))


def _sharing_doubts(workflow: Workflow) -> Iterator[Problem]:
    """Why the shared cache would be left out, as far as that can be told without a network."""
    if workflow.shared_cache is not None:
        site = SharedSite(workflow.shared_cache, workflow.base_dir)
        if doubt := site.doubt():
            what = f"the shared cache {site.url} would be left out: {doubt}"
            yield Problem(("shared_cache",), what, severity="warning")


def notes(workflow: Workflow, made: Plan) -> dict[str, tuple[str, ...]]:
    """What the systems have to say that a plan's steps run on, by name, as far as they have anything.

    Raises:
        SystemUnavailable: what a system's options name cannot be read.
    """
    used = dict.fromkeys(step.node.system for step in made.steps.values())
    with opened(workflow, debug=False) as (_, systems):
        told = {name: systems[name].notes() for name in used}
    return {name: said for name, said in told.items() if said}


def made_plan(workflow: Workflow, store: Store, systems: Mapping[str, System], *, online: bool) -> Plan:
    """The plan of a judged workflow whose hub names are pinned."""
    built = graph.build(workflow)
    gathered = facts_module.gather(workflow, built, systems, store, online=online)
    past = CachedResults(store, systems, online=online)
    return planner.without_unread(planner.plan(built, gathered, past), past)


@contextmanager
def opened(workflow: Workflow, *, debug: bool) -> Iterator[tuple[Store, dict[str, System]]]:
    """The store and the systems of a workflow, closed at the end."""
    shared = SharedCache(workflow.shared_cache, workflow.base_dir) if workflow.shared_cache else None
    store = Store(workflow.base_dir / workflow.cache_dir, shared)
    if store.root.exists() and not store.root.is_dir():
        raise InvalidWorkflow((Problem(("cache_dir",), f"{store.root} is a file", "name a folder"),))
    entries = {graph.LOCAL: SystemEntry(type=DEFAULT_SYSTEM), **workflow.systems}
    systems: dict[str, System] = {}
    for name, entry in entries.items():
        type_ = DEBUG_SYSTEM if debug and entry.type == DEFAULT_SYSTEM else entry.type
        cls = find_system(type_)
        if cls is None:
            raise InvalidWorkflow((Problem(("systems", name, "type"), f"there is no system of type `{type_}`"),))
        options = entry.options if isinstance(entry.options, cls.config_type) else cls.config_type()
        system = cls(name, options)
        systems[name] = system.for_many() if searches(workflow) else system
    try:
        yield store, systems
    finally:
        for system in systems.values():
            system.close()
        store.close()
