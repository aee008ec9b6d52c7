"""A workflow's search, found by what the command line says of the workflow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from olive_engine.cli.plan import located
from olive_engine.cli.session import session
from olive_engine.cli.workflow import Choice, read_draft, words_of
from olive_engine.errors import InvalidWorkflow, Problem, WorkflowError

if TYPE_CHECKING:
    from pydantic import JsonValue

    from olive_engine.config.workflow import Workflow
    from olive_engine.search.finding import Found
    from olive_engine.search.trials import Assignment, Trial
    from olive_engine.store import Store


@dataclass(frozen=True, slots=True)
class Search:
    """A workflow's search, as far as it has begun."""

    workflow: Workflow
    slots: tuple[str, ...]
    studies: tuple[Found, ...]
    store: Store

    def of(self, slot: str | None) -> Found:
        """The study of one pass, or the last."""
        if slot is None:
            return self.studies[-1]
        if slot not in self.slots:
            known = f"it is one of {', '.join(self.slots)}" if any(self.slots) else "all passes are searched together"
            raise click.UsageError(f"there is no search of `{slot}` alone: {known}")
        found = next((each for each in self.studies if each.stage.slot == slot), None)
        if found is None:
            raise WorkflowError(
                f"the search of `{slot}` has not begun: that of `{self.studies[-1].stage.slot}` is first"
            )
        return found

    def assignment(self, found: Found, trial: Trial) -> Assignment:
        """All that was chosen for a trial, by the stages before too."""
        from olive_engine.search.searching import chosen

        before = self.studies[: self.studies.index(found) + 1]
        return chosen(tuple(each.stage for each in before), trial.assignment)

    def choices(self, found: Found, trial: Trial) -> Mapping[str, JsonValue]:
        """The same, as a user would write it."""
        from olive_engine.search.assignment import shown

        return shown(self.workflow, self.assignment(found, trial))


@contextmanager
def found_search(choice: Choice) -> Iterator[Search]:
    """What a workflow's search has recorded.

    Raises:
        InvalidWorkflow: the workflow is wrong, or searches nothing.
        WorkflowError: the search has not begun.
    """
    draft = read_draft(choice)
    workflow = draft.raise_if_wrong()
    from olive_engine.search.searched import check_installed, searches

    if not searches(workflow):
        hint = "give it a `search_strategy`, and options to search"
        raise InvalidWorkflow((Problem((), "the workflow searches nothing", hint),))
    check_installed()
    from olive_engine import hub
    from olive_engine.planning import opened
    from olive_engine.search.finding import find_studies, slots_of, storage_of

    pinned = hub.pin(workflow, online=False)
    with opened(pinned, debug=False) as (store, systems):
        try:
            studies = find_studies(pinned, store, systems)
        except InvalidWorkflow as error:  # there is nothing to judge trials by
            raise InvalidWorkflow(located(draft, error.problems)) from None
        if not studies:
            place = storage_of(pinned, store)
            begin = f"`{session().program} run {words_of(choice)}` begins it"
            raise WorkflowError(f"this search has not begun: there is no study of it in {place}; {begin}")
        yield Search(pinned, slots_of(pinned), studies, store)
