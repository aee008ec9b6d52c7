"""The results of jobs, which stay in the datastore until somebody deletes them: what a run knows of them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from olive_engine.errors import StoreCorrupt
from olive_engine.models import Tree
from olive_systems.azure_ml.locations import Place, is_result

if TYPE_CHECKING:
    from olive_systems.azure_ml.workspace import Workspace


class Results:
    """What was made, seen, missed and fetched since the system was opened."""

    def __init__(self) -> None:
        self._whole: set[str] = set()
        self._gone: set[str] = set()
        self.fetched: dict[str, Place] = {}
        """Where the trees lie that came here, by their digests: a job that reads one again needs no upload."""

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
            self.fetched[tree.digest] = place

    def _look(self, workspace: Workspace, tree: Tree, place: Place) -> None:
        from olive_systems.azure_ml.blobs import lacking_of

        if lacking := lacking_of(workspace, tree, place):
            self._gone.add(tree.location)
            name, entry = next(iter(lacking.items()))
            raise StoreCorrupt(entry.sha256, f"{name} is no longer in {tree.location}")
        self._whole.add(tree.location)
