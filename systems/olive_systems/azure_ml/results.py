"""The results of jobs, which stay in the datastore until somebody deletes them: what a run knows of them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from olive_engine.errors import StoreCorrupt, SystemUnavailable, WorkflowError
from olive_engine.models import Tree
from olive_systems.azure_ml.layout import Spoilt, is_here
from olive_systems.azure_ml.locations import Place, WorkspaceName, is_result

if TYPE_CHECKING:
    from olive_systems.azure_ml.workspace import Workspace


class Results:
    """What was made, seen, missed and fetched since the system was opened."""

    def __init__(self) -> None:
        self._whole: set[str] = set()
        self._gone: set[str] = set()
        self.there: dict[str, Place] = {}
        """Where the trees lie that came here or went there, by their digests: jobs that read them need no upload."""
        self.wrong: dict[str, set[str]] = {}
        """Names of files of uploaded trees that jobs have found to be others there, by the digests of the trees."""

    def made(self, location: str) -> None:
        """Take in what a job has just left there."""
        self._whole.add(location)

    def is_gone(self, tree: Tree) -> bool:
        """Whether it was missed: nobody may count on it any more."""
        return tree.location in self._gone

    def see(self, workspace: Workspace, trees: Iterable[Tree]) -> None:
        """See that what earlier runs have left is still there: one question for each result that is not known yet.

        Raises:
            StoreCorrupt: a file of one is not.
            SystemUnavailable: the datastore cannot be asked.
        """
        for tree in trees:
            place = workspace.name.place(tree.location)
            if place is not None and is_result(place) and tree.location not in self._whole:
                self._look(workspace, tree, place)

    def bring(self, workspace: Workspace, tree: Tree, place: Place, into: Path) -> None:
        """Fetch what lies at a place of the datastore, a result or something else.

        Raises:
            StoreCorrupt: a file of a result is not there, or one came with other bytes.
            SystemUnavailable: the datastore refuses, or a file that is no result is not there.
        """
        from olive_systems.azure_ml.blobs import download_tree

        if is_result(place):
            self._look(workspace, tree, place)
        try:
            download_tree(workspace, tree, place, into)
        except StoreCorrupt:
            if is_result(place):
                self._gone.add(tree.location)
            raise
        if not tree.places:
            self.there[tree.digest] = place

    def spoilt(self, workspace: WorkspaceName, tree: Tree, fault: Spoilt) -> WorkflowError | None:
        """Take in that a job has found a file that is not what it should be; gives what to raise for it.

        Where it can be had again it counts as damaged, so that the run plans again: a result is made once more, and
        what came from here is uploaded once more.
        """
        entry, place = tree.files.get(fault.name), workspace.place(tree.location)
        if entry is None:
            return None
        if place is not None and is_result(place):
            self._whole.discard(tree.location)
            self._gone.add(tree.location)
            return StoreCorrupt(entry.sha256, f"{fault.name} of {tree.location} {fault.found}")
        if place is None and is_here(tree):
            self.there.pop(tree.digest, None)
            self.wrong.setdefault(tree.digest, set()).add(fault.name)
            return StoreCorrupt(entry.sha256, f"{fault}, and is uploaded once more")
        return SystemUnavailable(f"{fault.name} of {tree.location} was changed since the run began; run again")

    def _look(self, workspace: Workspace, tree: Tree, place: Place) -> None:
        from olive_systems.azure_ml.blobs import lacking_of

        if lacking := lacking_of(workspace, tree, place):
            self._gone.add(tree.location)
            name, entry = next(iter(lacking.items()))
            raise StoreCorrupt(entry.sha256, f"{name} is no longer in {tree.location}")
        self._whole.add(tree.location)
