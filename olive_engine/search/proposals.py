# ruff: noqa: TID253 - heavy module, imported lazily by those who run a search
"""Which trials a search tries next: a function of its seed, its space and the trials that have ended.

The same trials come whatever the number of workers, and however often the search was stopped and started. They come in
waves: wave k holds the indices from k times the wave size on, and is proposed knowing the waves before it alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from optuna.distributions import BaseDistribution
from optuna.trial import Trial as OptunaTrial

from olive_engine.config.search.strategy import SearchStrategy
from olive_engine.config.search.values import Candidate, Scalar, endless
from olive_engine.search.distributions import encoded
from olive_engine.search.exhaustive import Alternatives, Space, grid
from olive_engine.search.samplers import Direction, check_sampler, wave_size
from olive_engine.search.shadow import Shadow
from olive_engine.search.trials import Assignment, Trial

ATTEMPTS = 4
"""How often a sampler is asked for something that has not been there. Then the first combination in order that has not
is taken; a random one, where there is no end of them."""

_WITH_NOTES = ("qmc", "cmaes", "nsga2", "nsga3")
"""Samplers that note with a trial what they go on from, when they are asked: they are asked again from the first on."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A trial to try."""

    index: int
    assignment: Assignment
    params: Mapping[str, Scalar]
    """The same in Optuna's names and values."""
    distributions: Mapping[str, BaseDistribution]


class Proposer:
    """Proposes the trials of one search."""

    def __init__(
        self,
        strategy: SearchStrategy,
        space: Space,
        alternatives: Alternatives,
        directions: Sequence[Direction],
        seed: int,
        curve_direction: Direction = "minimize",
    ) -> None:
        """Make sure that the sampler can be asked.

        Args:
            strategy: names the sampler, its arguments and the size of a wave.
            space: the searched options.
            alternatives: each slot that has several passes -> their types.
            directions: of the objectives that the sampler is to know; a trial's first values belong to them.
            seed: of the study.
            curve_direction: of the values at rungs.

        Raises:
            SystemUnavailable: a library that the sampler needs is not installed.
            InvalidWorkflow: the sampler cannot be used like this.
        """
        check_sampler(strategy, len(directions))
        self._strategy, self._space, self._alternatives = strategy, space, alternatives
        self._wave = wave_size(strategy)
        self._finite = not any(endless(value) for value in space.values())
        self._directions, self._seed, self._curve_direction = tuple(directions), seed, curve_direction
        self._replay: _Replay | None = None
        self._grid: Iterator[dict[str, Candidate]] = iter(())
        self._grid_at = -1
        """The index of the combination that `_grid` gives next; -1: it is not begun."""

    def propose(self, history: Sequence[Trial], indices: Sequence[int]) -> list[Proposal]:
        """The trials of `indices`, in their order; fewer where every combination has been proposed.

        Args:
            history: the trials of the study, in any state. Of the wave of an index they count as running, whatever
                has become of them since; of several with one index the best-ended counts.
            indices: of the proposals that are wanted.
        """
        wanted = sorted(set(indices))
        recorded = _by_index(history)
        if self._strategy.sampler == "sequential":
            found = self._sequential(wanted)
        elif self._strategy.sampler in _WITH_NOTES:
            found = self._replayed(wanted, recorded)
        else:
            found = self._asked(wanted, recorded)
        return [self._proposal(index, found[index]) for index in wanted if index in found]

    def again(self, trial: Trial) -> Proposal:
        """The proposal that a trial carried out."""
        return self._proposal(trial.index, trial.assignment)

    # --- the ways to come by them -----------------------------------------------------------------------------

    def _sequential(self, wanted: Sequence[int]) -> dict[int, Assignment]:
        found: dict[int, Assignment] = {}
        for index in wanted:
            if not 0 <= self._grid_at <= index:
                self._grid, self._grid_at = grid(self._space, self._alternatives), 0
            combination = next(islice(self._grid, index - self._grid_at, None), None)
            self._grid_at = index + 1
            if combination is None:
                self._grid_at = -1
                break
            found[index] = combination
        return found

    def _asked(self, wanted: Sequence[int], recorded: Mapping[int, Trial]) -> dict[int, Assignment]:
        """Ask a sampler that knows nothing but the trials: those before the wave as they ended, those of it running."""
        made: dict[int, Assignment] = {}
        used = {_key(trial.assignment) for trial in recorded.values()}
        for start in sorted({index // self._wave * self._wave for index in wanted}):
            last = max(index for index in wanted if index < start + self._wave)
            shadow = self._new_shadow()
            for index in sorted({*recorded, *made}):
                if index < start and self._strategy.sampler != "random":  # which looks at nothing
                    self._put(shadow, recorded.get(index), made.get(index))
            for index in range(start, last + 1):
                if index not in recorded:
                    assignment = self._draw(shadow, index, used)
                    if assignment is None:
                        return made
                    made[index] = assignment
                    used.add(_key(assignment))
                shadow.add(made[index] if index in made else recorded[index].assignment)
        return made | {index: recorded[index].assignment for index in wanted if index in recorded}

    def _new_shadow(self) -> Shadow:
        return Shadow(
            self._strategy, self._space, self._alternatives, self._directions, self._seed, self._curve_direction
        )

    @staticmethod
    def _put(shadow: Shadow, recorded: Trial | None, made: Assignment | None) -> None:
        if recorded is not None:
            shadow.add(recorded.assignment, recorded)
        elif made is not None:
            shadow.add(made)

    def _draw(self, shadow: Shadow, index: int, used: set[str]) -> Assignment | None:
        """What the sampler says for an index, as long as it is new; None: everything has been there."""
        for attempt in range(ATTEMPTS):
            trial, assignment = shadow.ask(index, attempt)
            shadow.tell(trial, None)  # it is put in as a running one, as it will be when the search goes on
            if _key(assignment) not in used:
                return assignment
        return self._unused(index, used)

    def _replayed(self, wanted: Sequence[int], recorded: Mapping[int, Trial]) -> dict[int, Assignment]:
        """Ask a sampler that notes what it goes on from: all over again from the first index, unless that was done."""
        if self._replay is None or not self._replay.agrees(recorded):
            shadow = self._new_shadow()
            if self._strategy.sampler == "qmc":
                shadow.add_outline()
            self._replay = _Replay(shadow)
        replay = self._replay
        used = {_key(trial.assignment) for trial in recorded.values()}
        used |= {_key(assignment) for _, assignment in replay.asked.values()}
        for index in range(len(replay.asked), max(wanted, default=-1) + 1):
            if index % self._wave == 0:
                replay.tell(recorded)
            if not self._replay_one(replay, index, recorded.get(index), used):
                break
        return {index: replay.asked[index][1] for index in wanted if index in replay.asked}

    def _replay_one(self, replay: _Replay, index: int, recorded: Trial | None, used: set[str]) -> bool:
        """Ask for one index; what is recorded of it counts. False: everything has been there."""
        shadow = replay.shadow
        for attempt in range(ATTEMPTS):
            trial, assignment = shadow.ask(index, attempt)
            key = _key(assignment)
            if key == _key(recorded.assignment) if recorded is not None else key not in used:
                break
            shadow.tell(trial, None)
        else:
            fixed = self._unused(index, used) if recorded is None else recorded.assignment
            if fixed is None:
                return False
            trial, _ = shadow.ask(index, ATTEMPTS, fixed)
            assignment = dict(fixed)
        replay.asked[index] = (trial, assignment)
        used.add(_key(assignment))
        return True

    def _unused(self, index: int, used: set[str]) -> Assignment | None:
        """Something that has not been there, whatever the sampler says; None: everything has."""
        if self._finite:
            return next((each for each in grid(self._space, self._alternatives) if _key(each) not in used), None)
        chance = self._strategy.model_copy(update={"sampler": "random", "sampler_config": {}})
        shadow = Shadow(chance, self._space, self._alternatives, self._directions, self._seed, self._curve_direction)
        return shadow.ask(index, ATTEMPTS)[1]

    def _proposal(self, index: int, assignment: Assignment) -> Proposal:
        values = encoded(assignment, self._space, self._alternatives)
        params, distributions = values if values is not None else ({}, {})
        return Proposal(index, assignment, params, distributions)


class _Replay:
    """A shadow in which all indices were asked for in order."""

    def __init__(self, shadow: Shadow) -> None:
        self.shadow = shadow
        self.asked: dict[int, tuple[OptunaTrial, Assignment]] = {}
        self._told: dict[int, Trial] = {}

    def agrees(self, recorded: Mapping[int, Trial]) -> bool:
        """Whether what was asked and told is what is recorded."""
        if any(recorded.get(index) != trial for index, trial in self._told.items()):
            return False
        known = ((recorded.get(index), assignment) for index, (_, assignment) in self.asked.items())
        return all(trial is None or _key(trial.assignment) == _key(assignment) for trial, assignment in known)

    def tell(self, recorded: Mapping[int, Trial]) -> None:
        """Tell what has ended, and was not told."""
        for index, (trial, _) in self.asked.items():
            ended = recorded.get(index)
            if ended is not None and ended.state != "running" and index not in self._told:
                self.shadow.tell(trial, ended)
                self._told[index] = ended


def _by_index(history: Iterable[Trial]) -> dict[int, Trial]:
    """The trial that counts for each index: the one that came furthest, of equals the first."""
    rank = {"complete": 0, "pruned": 1, "failed": 2, "running": 3}
    found: dict[int, Trial] = {}
    for trial in sorted(history, key=lambda each: (rank[each.state], each.number)):
        found.setdefault(trial.index, trial)
    return found


def _key(assignment: Assignment) -> str:
    """Equal for equal assignments alone: 1 is not true, and the order does not count."""
    return repr(sorted(assignment.items()))
