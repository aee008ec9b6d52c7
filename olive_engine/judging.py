"""What is wrong, or doubtful, with a workflow's options for the model, the data and the files that it names.

Every pass is asked (`Pass.objections`) with what the files tell, every system (`System.objections`) about its own
files, and about URLs (`System.objects_to`); and examples must not be longer than the model takes.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from pydantic import JsonValue

from olive_engine import urls
from olive_engine.config.checkpoint import read_checkpoint
from olive_engine.config.data import AZUREML
from olive_engine.config.local_models import local_path, looks_local
from olive_engine.config.spelling import nearest
from olive_engine.config.workflow import INPUT_MODEL, HfModelConfig, PassEntry, Workflow
from olive_engine.contracts import AnyPass, Known, Objection
from olive_engine.errors import ConfigPath, Problem
from olive_engine.graph import sources
from olive_engine.models import Checkpoint, HfAdapterModel
from olive_engine.options import DataRef, marked
from olive_engine.registry import find_pass, find_system

_SCALED_ALREADY = ("default", "llama3", "longrope", "su")
"""Kinds of scaled positions whose `max_position_embeddings` is the length after scaling."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the files have against a workflow; paths are those of the workflow, not located yet."""

    problems: tuple[Problem, ...] = ()
    notices: tuple[Problem, ...] = ()


def judge(workflow: Workflow, rows: Mapping[str, int]) -> Judgement:
    """Ask every pass, and every alternative, what it has against its options.

    Args:
        workflow: a sound one, but for what its graph may say.
        rows: how many rows data sets have, by name, as far as it is known.
    """
    checkpoint = _input_checkpoint(workflow)
    same = _with_same_layers(workflow)
    inputs = sources(workflow)
    problems: list[Problem] = []
    notices: list[Problem] = []
    for name, entries in workflow.passes.items():
        known = checkpoint if all(source in same for source in inputs[name]) else None
        for index, entry in enumerate(entries):
            for objection in _objections(entry, known, rows):
                _sort_in(("passes", name, index), objection, problems, notices)
    for name, system in workflow.systems.items():
        cls = find_system(system.type)
        for objection in cls.objections(system.options) if cls is not None else ():
            _sort_in(("systems", name), objection, problems, notices)
    for place, objection in urls.objections(workflow):
        _sort_in(place, objection, problems, notices)
    problems += _perhaps_a_folder(workflow)
    if checkpoint is not None:
        problems += _too_long(workflow, checkpoint)
    return Judgement(tuple(problems), tuple(notices))


def stops_a_run(workflow: Workflow, systems: Container[str | None]) -> Iterator[Problem]:
    """What is a warning while the workflow is only planned (`Objection.stops_run`), as errors.

    Args:
        workflow: a judged one.
        systems: the names of those that would be asked for something.
    """
    for name, system in workflow.systems.items():
        cls = find_system(system.type) if name in systems else None
        for objection in cls.objections(system.options) if cls is not None else ():
            if objection.stops_run:
                yield Problem(("systems", name, *_option_path(objection)), objection.what, objection.hint)
    for place, objection in urls.objections(workflow):
        if objection.stops_run:
            yield Problem(place, objection.what, objection.hint)


def checkpoint_for(workflow: Workflow, name: str) -> Checkpoint | None:
    """The files of the model that a pass starts from, where they are here and no pass before it changes the layers."""
    same = _with_same_layers(workflow)
    return _input_checkpoint(workflow) if all(source in same for source in sources(workflow)[name]) else None


def keeps_layers(cls: type[AnyPass]) -> bool:
    """Whether what a pass gives has the layers of what it takes.

    An adapter refers to its base, and merging one changes no layer; what else a pass does to a model is its own.
    """
    return cls.produces == (HfAdapterModel,) or cls.accepts == (HfAdapterModel,)


# --- passes -------------------------------------------------------------------------------------------------------


def _input_checkpoint(workflow: Workflow) -> Checkpoint | None:
    model = workflow.input_model
    if not isinstance(model, HfModelConfig):
        return None
    return read_checkpoint(local_path(model.model_path, workflow.base_dir))


def _perhaps_a_folder(workflow: Workflow) -> Iterator[Problem]:
    """A name that can only be one on the hub, with a model's folder here that is called nearly so."""
    model = workflow.input_model
    if not isinstance(model, HfModelConfig) or model.model_path.startswith(AZUREML):
        return
    if looks_local(model.model_path, workflow.base_dir):
        return
    place = local_path(model.model_path, workflow.base_dir)
    if not place.parent.is_dir():
        return
    folders = [found.parent.name for found in place.parent.glob("*/config.json")]
    near = nearest(place.name, folders)
    if near is not None:
        what = f"no folder is called {model.model_path!r}, so it is taken for a name on the hub"
        hint = f"did you mean the folder `{(Path(model.model_path).parent / near).as_posix()}`?"
        yield Problem(("input_model", "model_path"), what, hint, severity="warning")


def _with_same_layers(workflow: Workflow) -> set[str]:
    """The models with the layers of the input model. Passes that wait for each other in a circle are none of them."""
    inputs = sources(workflow)
    keeping = {name for name, entries in workflow.passes.items() if all(map(_keeps_layers, entries))}
    same = {INPUT_MODEL}
    sorter = TopologicalSorter(inputs)
    try:
        ordered = list(sorter.static_order())
    except CycleError:
        return same
    for name in ordered:
        if name in keeping and all(source in same for source in inputs[name]):
            same.add(name)
    return same


def _keeps_layers(entry: PassEntry) -> bool:
    cls = find_pass(entry.type)
    return cls is not None and keeps_layers(cls)


def _objections(entry: PassEntry, checkpoint: Checkpoint | None, rows: Mapping[str, int]) -> Iterator[Objection]:
    cls = find_pass(entry.type)
    if cls is None:
        return
    named = {option: getattr(entry.options, option) for option, _ in marked(cls.config_type, DataRef)}
    counted = {option: rows[name] for option, name in named.items() if name in rows}
    yield from cls.objections(entry.options, Known(checkpoint=checkpoint, rows=counted))


def _sort_in(place: ConfigPath, objection: Objection, problems: list[Problem], notices: list[Problem]) -> None:
    path = (*place, *_option_path(objection))
    if objection.severity == "note":
        notices.append(Problem(path, objection.what, objection.hint, severity="warning"))
    else:
        problems.append(Problem(path, objection.what, objection.hint, severity=objection.severity))


def _option_path(objection: Objection) -> ConfigPath:
    return tuple(int(part) if part.isdigit() else part for part in objection.option.split(".") if part)


# --- data ---------------------------------------------------------------------------------------------------------


def _too_long(workflow: Workflow, checkpoint: Checkpoint) -> Iterator[Problem]:
    """Examples that may be longer than the model takes. What nobody wrote is a doubt: the rows may all be shorter."""
    longest = _longest(checkpoint)
    used = _used_data(workflow)
    for index, config in enumerate(workflow.data_configs):
        options = config.pre_process_data_config
        if config.name not in used or longest is None or options.max_seq_len <= longest:
            continue
        path = ("data_configs", index, "pre_process_data_config", "max_seq_len")
        if "max_seq_len" in options.model_fields_set:
            what = f"{options.max_seq_len} tokens are more than the model's {longest} positions"
            yield Problem(path, what, f"write {longest} or less")
        elif options.strategy == "join":
            what = f"{options.max_seq_len} tokens, the default, are more than the model's {longest} positions"
            yield Problem(path, what, f"write `max_seq_len: {longest}`")
        else:
            what = f"rows of up to {options.max_seq_len} tokens, the default, and the model has {longest} positions"
            yield Problem(path, what, f"write `max_seq_len: {longest}`", severity="warning")


def _longest(checkpoint: Checkpoint) -> int | None:
    """The positions of a model, stretched where its configuration stretches them."""
    if checkpoint.positions is None or checkpoint.positions < 1:
        return None
    scaling = checkpoint.config.get("rope_scaling") or checkpoint.config.get("rope_parameters")
    # Some models have settings of their own for each type of attention.
    groups = [scaling, *scaling.values()] if isinstance(scaling, dict) else []
    return max([checkpoint.positions, *(_stretched(group, checkpoint.positions) for group in groups)])


def _stretched(scaling: JsonValue, positions: int) -> int:
    """What one group of rotary settings makes of a number of positions."""
    if not isinstance(scaling, dict):
        return positions
    kind, factor = scaling.get("rope_type", scaling.get("type", "default")), scaling.get("factor")
    is_number = isinstance(factor, int | float) and not isinstance(factor, bool) and 1 < factor < math.inf
    if kind in _SCALED_ALREADY or not is_number:
        return positions
    start = scaling.get("original_max_position_embeddings")
    return int((start if isinstance(start, int) else positions) * float(str(factor)))


def _used_data(workflow: Workflow) -> set[str]:
    """The data configs that a pass or a metric names."""
    entries = [entry for slot in workflow.passes.values() for entry in slot]
    used = {getattr(each.options, option) for each in entries for option, _ in marked(type(each.options), DataRef)}
    evaluators = {workflow.evaluator, *(entry.evaluator for entry in entries)}
    metrics = (metric for name in evaluators if name for metric in workflow.evaluators[name].metrics)
    return {name for name in (*used, *(metric.data_config for metric in metrics)) if name}
