"""What a workflow's search has come to so far, found without going on with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from olive_engine.config.workflow import Workflow
from olive_engine.contracts import System
from olive_engine.ground import Ground
from olive_engine.reporting.reporter import Reporter
from olive_engine.search.assignment import settled
from olive_engine.search.carrying import targets_of, training_of
from olive_engine.search.objectives import objectives_of
from olive_engine.search.ranking import best_of
from olive_engine.search.rungs import rungs_of
from olive_engine.search.searching import STUDIES, Stage, name_of
from olive_engine.search.stages import parts, strategy_of
from olive_engine.search.storage import lock_folder, open_storage, shown_storage
from olive_engine.search.study import Study
from olive_engine.search.sweep import Swept
from olive_engine.store import Store


@dataclass(frozen=True, slots=True)
class Found:
    """One study of a search, as it is recorded."""

    stage: Stage
    study: Study


def slots_of(workflow: Workflow) -> tuple[str, ...]:
    """The passes that are searched one after another; one empty name: all are searched together."""
    return tuple(slot for _, slot in parts(workflow))


def storage_of(workflow: Workflow, store: Store) -> str:
    """Where a search is recorded, as it may be shown."""
    return shown_storage(strategy_of(workflow).storage, store.root / STUDIES)


def find_studies(workflow: Workflow, store: Store, systems: Mapping[str, System]) -> tuple[Found, ...]:
    """The studies of a search that were begun, in their order; nothing is begun, and nothing written to them.

    Args:
        workflow: a judged one that searches, whose hub names are pinned.
        store: of its cache.
        systems: by name.

    Raises:
        InvalidWorkflow: there is nothing to judge trials by.
        SystemUnavailable: the storage cannot be used.
    """
    return tuple(_begun(workflow, Ground(store, systems, Reporter())))


def _begun(workflow: Workflow, ground: Ground) -> Iterator[Found]:
    strategy, folder = strategy_of(workflow), ground.store.root / STUDIES
    done: list[Stage] = []
    for part, slot in parts(workflow):
        stage = part
        for before in done:
            stage = settled(stage, before.swept.best[0].assignment, [before.slot])
        objectives = objectives_of(stage)
        if not _is_there(strategy.storage, folder):
            return
        study = Study.find(
            open_storage(strategy.storage, folder),
            name_of(stage, objectives, ground),
            lock_folder(strategy.storage, folder),
            shown_storage(strategy.storage, folder),
        )
        if study is None or (done and not study.trials()):  # opened, and never used
            return
        done.append(Stage(stage, slot, _swept(stage, study)))
        yield Found(done[-1], study)
        if not done[-1].swept.best:
            return


def _is_there(spec: str | None, folder: Path) -> bool:
    """Whether there is anything to be opened: a file that is not there would be made by opening it."""
    if spec is None or "://" not in spec:
        return Path(shown_storage(spec, folder)).exists()
    file = urlsplit(spec).path[1:] if spec.startswith("sqlite") else ""
    return not file or Path(file).exists()


def _swept(stage: Workflow, study: Study) -> Swept:
    """What a study has come to, as the search itself would say it."""
    strategy, objectives = strategy_of(stage), objectives_of(stage)
    training = training_of(stage, targets_of(objectives))
    yardstick = training.yardstick if training else None
    trials = study.trials()
    meets = {trial.number: bool(trial.met) for trial in trials} if objectives.goals else None
    return Swept(
        study=study.name,
        storage=study.shown,
        trials=trials,
        best=tuple(best_of(trials, objectives, strategy.output_model_num, meets)),
        objectives=objectives,
        rungs=rungs_of(strategy, yardstick),
        yardstick=(yardstick.metric, yardstick.higher_is_better) if yardstick else None,
        seconds=sum(trial.seconds for trial in trials),
        why="",
    )
