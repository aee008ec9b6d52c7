"""A workflow's whole search: one study for all passes together, or one for each pass in turn."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath

from pydantic import JsonValue

from olive_engine import facts, graph
from olive_engine.config.workflow import Workflow
from olive_engine.data.files import portable
from olive_engine.ground import Ground
from olive_engine.search.assignment import settled
from olive_engine.search.carrying import targets_of
from olive_engine.search.names import study_name
from olive_engine.search.objectives import Objectives, objectives_of
from olive_engine.search.stages import parts, strategy_of
from olive_engine.search.storage import lock_folder, open_storage, shown_storage
from olive_engine.search.study import Study
from olive_engine.search.sweep import Sweep, Swept, directions_of
from olive_engine.search.trials import Assignment
from olive_engine.search.waves import Spent

STUDIES = "studies"
"""The folder of a cache in which studies are recorded."""


@dataclass(frozen=True, slots=True)
class Searched:
    """What a workflow's search has come to."""

    stages: tuple[Stage, ...]
    """One, or of a search pass by pass one for each pass that is searched."""

    @property
    def last(self) -> Stage:
        """The stage that decides: of the whole workflow."""
        return self.stages[-1]


@dataclass(frozen=True, slots=True)
class Stage:
    """One study of a search."""

    workflow: Workflow
    """What was searched in it; earlier passes are as the stages before have chosen."""
    slot: str
    """The pass that it is about; empty: all."""
    swept: Swept


def search(workflow: Workflow, ground: Ground) -> Searched:
    """Carry a workflow's search out, or go on with it.

    Args:
        workflow: a judged one whose hub names are pinned.
        ground: store, systems, reporter.

    Raises:
        InvalidWorkflow: there is nothing to judge trials by, or the sampler or storage cannot be used like this.
        SystemUnavailable: a system or the storage cannot be used, or a library is not installed.
        PassFailed: every trial of a wave failed.
        Interrupted: Ctrl-C, or somebody asked the search to stop.
    """
    done: list[Stage] = []
    spent = Spent()
    for part, slot in parts(workflow):
        stage = part
        for before in done:
            stage = settled(stage, before.swept.best[0].assignment, [before.slot])
        study = open_study(stage, ground)
        swept = Sweep(stage, strategy_of(workflow), study, seed_of(workflow), ground, spent).run()
        if swept.trials or not done:  # else there was nothing left for this pass
            done.append(Stage(stage, slot, swept))
        if not swept.best or not swept.finished:
            break
    return Searched(tuple(done))


def seed_of(workflow: Workflow) -> int:
    """The seed of a workflow's search."""
    seed = strategy_of(workflow).seed
    return workflow.seed if seed is None else seed


def open_study(workflow: Workflow, ground: Ground) -> Study:
    """The study of one stage, begun if it is not there.

    Raises:
        SystemUnavailable: the storage cannot be used.
    """
    strategy, objectives = strategy_of(workflow), objectives_of(workflow)
    storage, folder = strategy.storage, ground.store.root / STUDIES
    about: dict[str, JsonValue] = {
        "objectives": [
            f"{part.name} ({'higher' if part.higher_is_better else 'lower'} is better)" for part in objectives.parts
        ],
        "sampler": strategy.sampler,
        "seed": seed_of(workflow),
        "output_dir": workflow.output_dir,
    }
    return Study.open(
        open_storage(storage, folder),
        name_of(workflow, objectives, ground),
        directions_of(objectives),
        about,
        lock_folder(storage, folder),
        shown_storage(storage, folder),
    )


def name_of(workflow: Workflow, objectives: Objectives, ground: Ground) -> str:
    """The study's name: a digest of all that makes it this search, and of nothing that only says how far it goes."""
    strategy = strategy_of(workflow)
    built = graph.build(workflow)
    known = facts.gather(workflow, built, ground.systems, ground.store, online=False)
    passes: dict[str, JsonValue] = {
        slot: [entry.model_dump(mode="json", exclude={"host", "target"}) for entry in entries]
        for slot, entries in workflow.passes.items()
    }
    data: dict[str, JsonValue] = {
        name: {
            "source": identity,
            "config": portable(workflow.data_config(name.removeprefix("data:"))).model_dump(mode="json"),
        }
        for name, identity in known.data_identity.items()
    }
    parts: dict[str, JsonValue] = {
        "input_model": known.input_identity,
        "data": data,
        "passes": passes,
        "space": {name: value.model_dump(mode="json") for name, value in workflow.search_space.items()},
        "objectives": [[part.step, part.metric, part.higher_is_better] for part in objectives.parts],
        "goals": [
            [goal.step, goal.metric, goal.higher_is_better, goal.goal.model_dump(mode="json")]
            for goal in objectives.goals
            if goal.goal
        ],
        "measured": {
            name: [node.type, node.config.model_dump(mode="json")]
            for name, node in built.nodes.items()
            if node.kind == "evaluate" and name in targets_of(objectives)
        },
        "mode": objectives.mode,
        "sampler": [strategy.sampler, strategy.sampler_config],
        "seed": [workflow.seed, seed_of(workflow)],
    }
    return study_name(parts, PurePath(workflow.input_model.model_path).name)


def chosen(stages: tuple[Stage, ...], last: Assignment) -> Assignment:
    """What the stages before the last have chosen, with a trial of the last one."""
    assignment: dict[str, object] = {}
    for stage in stages[:-1]:
        assignment |= stage.swept.best[0].assignment
    return {**assignment, **last}  # type: ignore[dict-item]  # the values of assignments
