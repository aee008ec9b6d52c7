"""What a job that is done has made: where it lies in the datastore, or brought into the job folder here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from olive_engine.contracts import Result
from olive_engine.errors import SystemUnavailable, Unreachable
from olive_engine.job_folder import read_job
from olive_engine.models import Tree
from olive_systems.azure_ml import blobs
from olive_systems.azure_ml.failures import is_passing
from olive_systems.azure_ml.layout import in_users_words
from olive_systems.azure_ml.locations import Place, own_path
from olive_systems.azure_ml.workspace import Workspace


def in_words(result: Result, folder: Path) -> Result:
    """A result whose failures name the inputs as the user does, who gave them in the job folder here."""
    job, items = read_job(folder), []
    for item in result.items:
        error = item.error
        if error is not None:
            error = error.model_copy(update={"message": in_users_words(error.message, job)})
        items.append(item.model_copy(update={"error": error}))
    return result.model_copy(update={"items": tuple(items)})


def located(workspace: Workspace, result: Result, kept: Place, made: Callable[[str], None]) -> Result:
    """A result whose outputs say where they lie.

    Args:
        workspace: where the job was.
        result: as the job wrote it.
        kept: where it left its output.
        made: hears each location.
    """

    def there(tree: Tree, own: str) -> Tree:
        location = workspace.name.location(kept / own)
        made(location)
        return Tree(files=tree.files, location=location)

    return _each_own(result, there)


def fetched(workspace: Workspace, result: Result, kept: Place, folder: Path) -> Result:
    """A result whose outputs are in the job folder here, as it says itself.

    Raises:
        Unreachable: a file cannot be fetched now.
        SystemUnavailable: one is not there, or may not be read.
        StoreCorrupt: one came with other bytes.
    """

    def here(tree: Tree, own: str) -> Tree:
        try:
            blobs.download_tree(workspace, tree, kept / own, folder / own)
        except SystemUnavailable as error:
            if is_passing(error):
                raise Unreachable(str(error)) from error
            raise
        return tree

    return _each_own(result, here)


def _each_own(result: Result, change: Callable[[Tree, str], Tree]) -> Result:
    """A result whose trees are changed that the job has made itself, given with their paths in its folder."""
    items = []
    for item in result.items:
        output = item.output
        if output is not None:
            parts = {
                name: tree if (own := own_path(tree.location)) is None else change(tree, own)
                for name, tree in output.parts.items()
            }
            output = output.model_copy(update={"parts": parts})
        items.append(item.model_copy(update={"output": output}))
    return result.model_copy(update={"items": tuple(items)})
