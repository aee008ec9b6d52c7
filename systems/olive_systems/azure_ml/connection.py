"""The workspace of a system, opened when it is first needed."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from olive_engine.errors import SystemUnavailable
from olive_systems.azure_ml.locations import Place, WorkspaceName, workspace_name

if TYPE_CHECKING:
    from olive_engine.models import Tree
    from olive_systems.azure_ml.options import AzureMLClient
    from olive_systems.azure_ml.workspace import Workspace

SDK = ("azure.ai.ml", "azure.identity")


class Connection:
    """What a workspace is called, and the way to it."""

    def __init__(self, client: AzureMLClient | None) -> None:
        """Nothing is asked or imported yet; `client` is None where no workspace is described."""
        self._client = client
        self._workspace: Workspace | None = None

    @property
    def name(self) -> WorkspaceName:
        """The workspace's name.

        Raises:
            SystemUnavailable: none is described, or the file that should name it cannot be read.
        """
        return workspace_name(self._client)

    def workspace(self) -> Workspace:
        """The workspace, opened.

        Raises:
            SystemUnavailable: it is not described, or the SDK is not installed here.
        """
        if self._workspace is None:
            name = self.name
            if self._client is None:  # that has no name either
                raise SystemUnavailable("no workspace is described")
            need_sdk()
            from olive_systems.azure_ml.workspace import Workspace

            self._workspace = Workspace(name, self._client)
        return self._workspace

    def place(self, tree: Tree) -> Place | None:
        """Where a tree lies in a datastore of the workspace; none: it does not."""
        try:
            return self.name.place(tree.location) if tree.location.startswith("azureml:") else None
        except SystemUnavailable:  # `prepare` says why
            return None

    def close(self) -> None:
        """Let connections go."""
        if self._workspace is not None:
            self._workspace.close()
        self._workspace = None


def need_sdk() -> None:
    """Refuse to go on without the SDK.

    Raises:
        SystemUnavailable: it is not installed.
    """
    try:
        lacking = [name for name in SDK if find_spec(name) is None]
    except ModuleNotFoundError as error:
        lacking = [str(error.name)]
    if lacking:
        raise SystemUnavailable(
            f"{' and '.join(lacking)} is not installed here; run: python -m pip install 'olive-engine[azureml]'"
        )
