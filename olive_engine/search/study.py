# ruff: noqa: TID253 - heavy module, imported lazily by those who run or show a search
"""A study: the trials of one search, recorded so that any later run goes on with them.

It is a plain Optuna study: `optuna.load_study` and `optuna-dashboard` open it. What Optuna has no place for stands in
user attributes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from filelock import FileLock
from optuna.exceptions import DuplicatedStudyError, UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from pydantic import JsonValue

from olive_engine.config.search.values import Candidate
from olive_engine.digests import digest
from olive_engine.errors import InvalidWorkflow, Problem
from olive_engine.search.names import step_of
from olive_engine.search.proposals import Proposal
from olive_engine.search.samplers import Direction, quiet
from olive_engine.search.storage import reaching
from olive_engine.search.trials import State, Trial

INDEX, WAVE, RETRY_OF, ASSIGNMENT = "index", "wave", "retry of trial", "values"
RUNG = "rung "
"""And the exact fraction of the trial's budget: a rung's value."""
CAUSE, HOPELESS, TOKENS, SECONDS = "cause", "hopeless", "training tokens", "seconds"
OBJECTIVES, MET = "objectives", "goals met"
"""Every value that a trial is compared by, where Optuna knows the first ones only; and whether it reached all goals."""
STOP = "stop requested at"
"""Of a study, in seconds since 1970."""

_STATES: Mapping[State, TrialState] = {
    "running": TrialState.RUNNING,
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}
_OURS: Mapping[TrialState, State] = {value: key for key, value in _STATES.items()}


class Study:
    """The trials of one search in a storage; several processes may write at once."""

    def __init__(self, storage: BaseStorage, study_id: int, locks: Path, shown: str = "its storage") -> None:
        self._storage, self._id, self._shown = storage, study_id, shown
        self.name = storage.get_study_name_from_id(study_id)
        stem = digest(self.name)[:16]
        # Of one object each: a thread that has the lock may take it again.
        self._asking = FileLock(locks / f".{stem}.asking.lock")
        self._ending = FileLock(locks / f".{stem}.ending.lock")

    @classmethod
    def open(
        cls,
        storage: BaseStorage,
        name: str,
        directions: Sequence[Direction],
        about: Mapping[str, JsonValue],
        locks: Path,
        shown: str = "its storage",
    ) -> Study:
        """Open a study by its name, or begin it.

        Args:
            storage: where it is recorded.
            name: of the study.
            directions: of the objectives.
            about: what a person wants to know of it: workflow file, objectives, space.
            locks: the folder for its locks (`storage.lock_folder`).
            shown: the storage, as errors name it.

        Raises:
            InvalidWorkflow: there is a study of this name with other objectives.
            SystemUnavailable: the storage cannot be used.
        """
        wanted = [StudyDirection.MINIMIZE if each == "minimize" else StudyDirection.MAXIMIZE for each in directions]
        with reaching(shown), quiet():
            locks.mkdir(parents=True, exist_ok=True)
            found = _find(storage, name)
            if found is None:
                try:
                    found = storage.create_new_study(wanted, name)
                except DuplicatedStudyError:  # another process was faster
                    found = storage.get_study_id_from_name(name)
            there = storage.get_study_directions(found)
            if list(there) != wanted:
                old = ", ".join(each.name.lower() for each in there)
                what = (
                    f"the study {name} in {shown} was begun with other objectives ({old}, not {', '.join(directions)})"
                )
                raise InvalidWorkflow(
                    (Problem(("search_strategy", "storage"), what, "give the search another storage"),)
                )
            known = storage.get_study_user_attrs(found)
            for key, value in about.items():
                if key not in known or known[key] != value:
                    storage.set_study_user_attr(found, key, value)
            return cls(storage, found, locks, shown)

    @classmethod
    def find(cls, storage: BaseStorage, name: str, locks: Path, shown: str = "its storage") -> Study | None:
        """The study of this name; None if it was never begun."""
        with reaching(shown):
            found = _find(storage, name)
            return None if found is None else cls(storage, found, locks, shown)

    @property
    def shown(self) -> str:
        """The storage, without a password."""
        return self._shown

    # --- reading ----------------------------------------------------------------------------------------------

    @property
    def directions(self) -> tuple[Direction, ...]:
        """Of its objectives."""
        with reaching(self._shown):
            there = self._storage.get_study_directions(self._id)
        return tuple("minimize" if each == StudyDirection.MINIMIZE else "maximize" for each in there)

    @property
    def about(self) -> Mapping[str, JsonValue]:
        """What was said of it when it was opened last."""
        with reaching(self._shown):
            return {key: value for key, value in self._storage.get_study_user_attrs(self._id).items() if key != STOP}

    def trials(self) -> tuple[Trial, ...]:
        """All trials in the order of their numbers; those that others put into the study are left out."""
        with reaching(self._shown):
            found = self._storage.get_all_trials(self._id, deepcopy=False)
            return tuple(_trial(each) for each in sorted(found, key=lambda each: each.number) if _is_ours(each))

    # --- writing ----------------------------------------------------------------------------------------------

    def add(self, proposal: Proposal, retry_of: int | None = None, wave: int = 0) -> Trial:
        """Record a trial as running, whole, in one write.

        Args:
            proposal: what it tries.
            retry_of: the number of the failed trial that it tries again.
            wave: that it belongs to.
        """
        attrs: dict[str, object] = {INDEX: proposal.index, WAVE: wave}
        if retry_of is not None:
            attrs[RETRY_OF] = retry_of
        attrs[ASSIGNMENT] = dict(proposal.assignment)
        template = FrozenTrial(
            number=-1,  # the storage counts
            trial_id=-1,
            state=TrialState.RUNNING,
            value=None,
            values=None,
            datetime_start=datetime.now(),
            datetime_complete=None,
            params=dict(proposal.params),
            distributions=dict(proposal.distributions),
            user_attrs=attrs,
            system_attrs={},
            intermediate_values={},
        )
        with reaching(self._shown), quiet():
            trial_id = self._storage.create_new_trial(self._id, template)
            return _trial(self._storage.get_trial(trial_id))

    def report(self, number: int, fraction: float, value: float) -> None:
        """Record a rung's value; what is recorded for a rung, and of a trial that has ended, stays as it is.

        Args:
            number: of the trial.
            fraction: how much of its own budget the trial has spent.
            value: measured there.
        """
        with reaching(self._shown):
            trial = self._frozen(number)
            key = f"{RUNG}{fraction!r}"
            try:
                if key not in trial.user_attrs:
                    self._storage.set_trial_user_attr(trial._trial_id, key, value)  # noqa: SLF001 - Optuna has no other
                step, known = step_of(fraction), trial.user_attrs.get(key, value)
                if step not in trial.intermediate_values:
                    self._storage.set_trial_intermediate_value(trial._trial_id, step, known)  # noqa: SLF001 - as above
            except UpdateFinishedTrialError:
                return

    def finish(
        self,
        number: int,
        state: State,
        values: Sequence[float] = (),
        cause: str = "",
        *,
        hopeless: bool = False,
        met: bool | None = None,
        tokens: int = 0,
        seconds: float = 0.0,
    ) -> None:
        """Record how a trial ended; nothing happens if it has ended: who came first counts.

        Args:
            number: of the trial.
            state: any but running.
            values: of a complete trial, an entry for each objective; Optuna knows as many as there are directions.
            cause: why it failed, or who pruned it, in a sentence.
            hopeless: trying it again would not help.
            met: whether it reached all goals; none: there are none.
            tokens: training tokens spent on it.
            seconds: that its own steps took.

        Raises:
            ValueError: a complete trial lacks a value, or one is not a number; or the state is no end.
        """
        count = len(self.directions)
        if state == "running":
            raise ValueError(f"trial {number} cannot end as running")
        if state == "complete" and (len(values) < count or any(map(math.isnan, values))):
            raise ValueError(f"a complete trial has {count} values or more, all of them numbers; found {list(values)}")
        told: dict[str, JsonValue] = {CAUSE: cause, HOPELESS: hopeless, TOKENS: tokens, SECONDS: round(seconds, 3)}
        told |= {
            OBJECTIVES: list(values) if len(values) > count else None,
            MET: "" if met is None else "yes" if met else "no",
        }
        # One at a time, so that the attributes of one are not mixed with those of another.
        with reaching(self._shown), self._ending:
            trial = self._frozen(number)
            if trial.state.is_finished():
                return
            try:
                for key, value in told.items():
                    if value or key in trial.user_attrs:  # one that was killed here may have said something else
                        self._storage.set_trial_user_attr(trial._trial_id, key, value)  # noqa: SLF001 - as above
                end = list(values[:count]) if state == "complete" else None
                self._storage.set_trial_state_values(trial._trial_id, _STATES[state], end)  # noqa: SLF001 - as above
            except UpdateFinishedTrialError:
                return  # by a process that has its locks elsewhere

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Be the only one who proposes trials; waits for its turn. Several processes with one folder of locks obey."""
        with reaching(self._shown):
            self._asking.acquire(poll_interval=0.02)
        try:
            yield
        finally:
            self._asking.release()

    # --- stopping ---------------------------------------------------------------------------------------------

    def request_stop(self) -> None:
        """Ask all processes that work on the study to stop; a run that begins later is not meant."""
        with reaching(self._shown):
            self._storage.set_study_user_attr(self._id, STOP, time.time())

    def stop_requested_at(self) -> float | None:
        """When it was asked to stop last, in seconds since 1970; None: never."""
        with reaching(self._shown):
            found = self._storage.get_study_user_attrs(self._id).get(STOP)
        return found if isinstance(found, float) else None

    def _frozen(self, number: int) -> FrozenTrial:
        return self._storage.get_trial(self._storage.get_trial_id_from_study_id_trial_number(self._id, number))


def _find(storage: BaseStorage, name: str) -> int | None:
    try:
        return storage.get_study_id_from_name(name)
    except KeyError:
        return None


def _is_ours(trial: FrozenTrial) -> bool:
    return trial.state in _OURS and INDEX in trial.user_attrs and ASSIGNMENT in trial.user_attrs


def _trial(found: FrozenTrial) -> Trial:
    attrs, state = found.user_attrs, _OURS[found.state]
    ended = state != "running"  # what was said of an end that was never recorded does not count
    curve = {float(key.removeprefix(RUNG)): float(value) for key, value in attrs.items() if key.startswith(RUNG)}
    return Trial(
        number=found.number,
        index=attrs[INDEX],
        assignment={option: _candidate(value) for option, value in attrs[ASSIGNMENT].items()},
        wave=attrs.get(WAVE, 0),
        retry_of=attrs.get(RETRY_OF),
        state=state,
        values=tuple(attrs.get(OBJECTIVES) or found.values) if state == "complete" else (),
        curve=dict(sorted(curve.items())),
        cause=attrs.get(CAUSE, "") if ended else "",
        hopeless=attrs.get(HOPELESS, False) if ended else False,
        met=attrs[MET] == "yes" if state == "complete" and attrs.get(MET) else None,
        tokens=attrs.get(TOKENS, 0) if ended else 0,
        seconds=attrs.get(SECONDS, 0.0) if ended else 0.0,
    )


def _candidate(value: Candidate | list[Candidate]) -> Candidate:
    """A value as it was before it was written as JSON."""
    return tuple(value) if isinstance(value, list) else value  # type: ignore[arg-type]  # a list holds plain values
