"""What speaks against running a plan, judged on each step's own host: libraries, providers, devices, room.

A problem of severity "error" would stop the run: `olive run` refuses, `olive plan` warns. Only steps that must run are
judged: a result that is reused needs nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial

from olive_engine import accelerators, facts, room, urls
from olive_engine.config.masking import VARIABLES
from olive_engine.config.variables import REFERENCE
from olive_engine.config.workflow import Workflow
from olive_engine.contracts import Device, Environment, Known, Objection, System
from olive_engine.errors import ConfigPath, Problem
from olive_engine.graph import Node, PassGraph
from olive_engine.implementations import step_name
from olive_engine.judging import stops_a_run
from olive_engine.planner import Plan, flavours, runs_onnx
from olive_engine.probing import known_environment, probe
from olive_engine.providers import distributions_for, full_name
from olive_engine.registry import find_metric, find_pass, find_system
from olive_engine.requirements import Requirement, bounds, canonical, extras, pip_arguments, pip_line, satisfies
from olive_engine.store import Store


def tell_notes(system: System, say: Callable[[str], None]) -> None:
    """Tell what a system has to say of itself, line by line, before it is made ready; the first time only.

    Raises:
        SystemUnavailable: what its options name cannot be read.
    """
    if not system.notes_told:
        system.notes_told = True
        for note in system.notes():
            for line in note.splitlines():
                say(line)


def probe_unknown(
    graph: PassGraph, systems: Mapping[str, System], store: Store, say: Callable[[str, str], None]
) -> None:
    """Ask every system of the graph what it holds, if only a probe job can tell and none has.

    Args:
        graph: whose steps are to be run.
        systems: by name.
        store: where answers are remembered.
        say: tells the user what a system does that takes long: its name, and what.

    Raises:
        SystemUnavailable: the worker there cannot be run.
    """
    for name, question in facts.questions_by_system(graph).items():
        if known_environment(systems[name], question, store) is None:
            tell_notes(systems[name], partial(say, name))
            probe(systems[name], question, store, partial(say, name))


def check(workflow: Workflow, plan: Plan) -> tuple[Problem, ...]:
    """Everything that speaks against running the plan now, the causes before what follows from them."""
    steps: dict[str, list[Node]] = {}
    for name in plan.to_run:
        node = plan.steps[name].node
        steps.setdefault(node.system, []).append(node)
    found: list[Problem] = []
    for system, nodes in steps.items():
        found += _variables(workflow, system)
        environment = plan.facts.environments.get(system)
        if environment is None:  # not probed yet: `run` asks it first
            continue
        providers, install = providers_of(workflow, system), _installing(workflow, system, environment)
        lacking = _libraries(system, nodes, environment, providers.values(), plan, install)
        found += lacking
        found += _other_code(system, nodes, environment, plan, install)
        found += accelerators.check(workflow, system, nodes, environment, plan)
        if environment.providers or not lacking:
            found += _providers(plan, nodes, environment, providers)
        found += (problem for node in nodes if node.kind == "pass" for problem in _objections(node, environment))
    return (*not_yet(workflow), *found, *room.check(workflow, plan))


def not_yet(workflow: Workflow) -> tuple[Problem, ...]:
    """What the workflow asks for and this version cannot do, and what it lacks, wherever it runs."""
    entries = [entry for slot in workflow.passes.values() for entry in slot]
    of_passes = {place for entry in entries for place in (entry.host, entry.target)}
    named = {workflow.host, workflow.target, *of_passes, *(each.target for each in workflow.evaluators.values())}
    readers = urls.readers(workflow)
    named |= readers if named.isdisjoint(readers) else set()
    systems = ((name, find_system(each.type)) for name, each in workflow.systems.items() if name in named)
    hint = "the workflow can be validated and planned"
    places = (Problem(("systems", name), cls.not_yet, hint) for name, cls in systems if cls and cls.not_yet)
    return (*workflow.unavailable, *places, *urls.unreachable(workflow), *stops_a_run(workflow, named))


def as_warnings(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """The same problems where nothing is going to be run."""
    return tuple(replace(problem, severity="warning") for problem in problems)


def _variables(workflow: Workflow, system: str) -> Iterator[Problem]:
    """Variables of this machine that those of a system refer to, and that are not set."""
    entry = workflow.systems.get(system)
    given: Mapping[str, str] = getattr(entry.options, VARIABLES, {}) if entry else {}
    for name, text in given.items():
        for match in REFERENCE.finditer(text):
            if match[1] not in os.environ and match[2] is None:
                what = f"the environment variable {match[1]} is not set"
                hint = f"set it, or give a default: ${{env:{match[1]}:-…}}"
                yield Problem(("systems", system, VARIABLES, name), what, hint)


# --- libraries ----------------------------------------------------------------------------------------------------


def _libraries(
    system: str,
    nodes: Iterable[Node],
    environment: Environment,
    providers: Iterable[str],
    plan: Plan,
    install: Callable[[str], str],
) -> list[Problem]:
    """One problem for all that is missing on a system or of a version that will not do."""
    known = extras()
    asked = bounds(known)
    missing: set[str] = set()
    unfit: set[str] = set()
    wanted: set[str] = set()
    others: set[Requirement] = set()
    for node in nodes:
        extra = fitting_extra(extra_of(node), environment.device, environment.packages, providers)
        brought = {canonical(requirement.name) for requirement in known.get(extra, ())}
        for requirement in plan.facts.requires[node.kind, node.type]:
            here = [name for name in flavours(requirement) if name in environment.packages]
            name = next((name for name in flavours(requirement) if canonical(name) in brought), "")
            if any(satisfies(environment.packages[each], asked.get(canonical(each), "")) for each in here):
                continue
            if here:
                rule = asked[canonical(here[0])]
                unfit.add(f"{here[0]} {environment.packages[here[0]]} is installed there, and {rule} is needed")
            else:
                missing.add(name or flavours(requirement)[0])
            if name or not known:
                wanted.add(extra)
            else:
                first = flavours(requirement)[0]
                others.add(Requirement(first, asked.get(canonical(first), "")))
    if not (missing or unfit):
        return []
    gone = [f"{', '.join(sorted(missing))} {'is' if len(missing) == 1 else 'are'} not installed there"]
    what = ", and ".join([*(gone if missing else ()), *sorted(unfit)])
    return [Problem(("systems", system), what, install(pip_arguments(wanted, sorted(others, key=str))))]


def _installing(workflow: Workflow, system: str, environment: Environment) -> Callable[[str], str]:
    """What to do on a system so that it has some distributions, from their names."""
    entry = workflow.systems.get(system)
    cls = find_system(entry.type) if entry else None
    if entry is None or cls is None:
        return lambda packages: f"pip install {packages}"
    return lambda packages: cls.to_install(packages, entry.options, environment)


def _other_code(
    system: str, nodes: Iterable[Node], environment: Environment, plan: Plan, install: Callable[[str], str]
) -> Iterator[Problem]:
    """Passes and metrics that a probe did not find there as they are here: their results would pass for ours."""
    if not environment.implementations:  # the engine's own interpreter
        return
    for kind, type_ in dict.fromkeys((node.kind, node.type) for node in nodes):
        there = environment.implementations.get(step_name(kind, type_))
        what = f"the {_KINDS[kind]} {type_}".rstrip()
        if there is None:
            yield Problem(("systems", system), f"{what} is not installed there", install("the package that brings it"))
        elif there != plan.facts.implementations[kind, type_]:
            doubt = f"{what} has other code there than here, and so other results"
            yield Problem(("systems", system), doubt, install("the same olive-engine and plugins as here"))


_KINDS = {"pass": "pass", "evaluate": "metric", "data": "data preparation"}


def extra_of(node: Node) -> str:
    """The extra of this distribution that brings what a step needs."""
    cls = None if node.kind == "data" else find_pass(node.type) if node.kind == "pass" else find_metric(node.type)
    return cls.extra if cls else "cpu"


def fitting_extra(extra: str, device: str, installed: Iterable[str], providers: Iterable[str]) -> str:
    """The extra that suits the place: ``cpu`` has counterparts for a GPU and for DirectML.

    Where the CPU's ONNX Runtime is installed already it stays: another would overwrite its files.
    """
    if extra != "cpu" or "onnxruntime" in installed:
        return extra
    if "DmlExecutionProvider" in map(full_name, providers):
        return "directml"
    return "gpu" if device == "gpu" else extra


# --- execution providers ------------------------------------------------------------------------------------------


def providers_of(workflow: Workflow, system: str) -> dict[ConfigPath, str]:
    """The execution providers that a system's accelerator names, by where they stand; none for most systems."""
    return {
        ("systems", system, "accelerators", 0, "execution_providers", place): provider
        for accelerator in accelerators.accelerators_of(workflow, system)[:1]
        for place, provider in enumerate(accelerator.execution_providers)
    }


def _providers(
    plan: Plan, nodes: Iterable[Node], environment: Environment, named: Mapping[ConfigPath, str]
) -> Iterator[Problem]:
    """Providers that a system is to run ONNX models with, and that its ONNX Runtime was built without."""
    if environment.providers is None or not any(runs_onnx(node, plan.steps, plan.facts) for node in nodes):
        return
    for path, provider in named.items():
        if full_name(provider) not in environment.providers:
            has = ", ".join(environment.providers) or "none: it is not installed"
            what = f"the ONNX Runtime there has no {full_name(provider)} (it has {has})"
            yield Problem(path, what, _remedy(provider, environment))


def _remedy(provider: str, environment: Environment) -> str:
    """How to get a provider: its distribution in place of the one that is there, with all that must match it."""
    brought_by = distributions_for(provider)
    if not brought_by:
        return "no distribution is known to bring it; name another, or install an ONNX Runtime that was built with it"
    known = {name: asked for name, asked in extras().items() if name != "dev"}
    twins = next((asked for asked in known.values() if brought_by[0] in {each.name for each in asked}), ())
    wanted = [each for each in twins if each.name.startswith("onnxruntime")] or [Requirement(brought_by[0])]
    names = {each.name for each in wanted}
    in_the_way = [name for name in environment.packages if name.startswith("onnxruntime") and name not in names]
    first = f"pip uninstall {' '.join(in_the_way)} and then " if in_the_way else ""
    return f"{first}{pip_line((), wanted)}"


# --- devices ------------------------------------------------------------------------------------------------------


def _objections(node: Node, environment: Environment) -> Iterator[Problem]:
    """What a pass has against its options on the device it gets; the rest it has said when the file was read."""
    cls = find_pass(node.type)
    if cls is None:
        return
    device = Device(environment.device, environment.bf16)
    before = tuple(cls.objections(node.config, Known()))
    for objection in cls.objections(node.config, Known(device=device)):
        if objection not in before and objection.severity != "note":
            path = (*node.path, *_option_path(objection))
            yield Problem(path, objection.what, objection.hint, severity=objection.severity)


def _option_path(objection: Objection) -> ConfigPath:
    return tuple(int(part) if part.isdigit() else part for part in objection.option.split(".") if part)
