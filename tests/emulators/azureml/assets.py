"""Versioned assets of a workspace or a registry: models, data, environments and code."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from tests.emulators.azureml.environment_documents import check_document
from tests.emulators.azureml.wire import Json, Refused

KINDS = ("models", "data", "environments", "codes")
FIXED = {
    "models": ("modelUri",),
    "data": ("dataUri", "dataType"),
    "codes": ("codeUri",),
    "environments": ("image", "condaFile", "build"),
}
"""What a version has for good once it is made."""


class Assets:
    """The assets of one scope.

    Args:
        scope: What their ids begin with.
    """

    def __init__(self, scope: str) -> None:
        self._scope = scope
        self._made: dict[tuple[str, str], dict[str, Json]] = {}

    def put(self, kind: str, name: str, version: str, properties: Json) -> tuple[Json, bool]:
        """Make a version, or change what may be changed of it. The resource, and whether it is new.

        Raises:
            Refused: The version exists and differs in what is fixed, or an environment's document is wrong.
        """
        if kind == "environments":
            check_document(properties)
        versions = self._made.setdefault((kind, name), {})
        before = versions.get(version)
        if before is not None:
            for key in FIXED[kind]:
                if before["properties"].get(key) != properties.get(key):
                    told = "Asset paths cannot be updated." if key.endswith("Uri") else f"{key} cannot be updated."
                    raise Refused(400, "UserError", told)
        flavors: Json = {"flavors": {}} if kind == "models" else {}
        content = {**flavors, **properties, "provisioningState": "Succeeded"}
        versions[version] = resource(f"{self._scope}/{kind}/{name}/versions/{version}", content, f"{kind}/versions")
        return versions[version], before is None

    def get(self, kind: str, name: str, version: str) -> Json:
        """A version.

        Raises:
            Refused: There is none; 404.
        """
        try:
            return self._made[kind, name][version]
        except KeyError:
            told = f"Could not find {kind}/{name} with version {version} in {self._scope}."
            raise Refused(404, "UserError", told) from None

    def container(self, kind: str, name: str) -> Json:
        """What is common to the versions.

        Raises:
            Refused: There is none; 404.
        """
        versions = self._made.get((kind, name))
        if not versions:
            raise Refused(404, "UserError", f"Could not find {kind}/{name} in {self._scope}.")
        numbers = [int(version) for version in versions if version.isdecimal()]
        following = str(max(numbers, default=0) + 1)
        content = {"latestVersion": list(versions)[-1], "nextVersion": following, "isArchived": False}
        return resource(f"{self._scope}/{kind}/{name}", content, kind)

    def versions(self, kind: str, name: str) -> list[Json]:
        """The versions of a name, the newest first; none for an unknown name."""
        return list(reversed(self._made.get((kind, name), {}).values()))

    def containers(self, kind: str) -> list[Json]:
        """What there is of a kind."""
        return [self.container(kind, name) for of, name in self._made if of == kind]

    def code_of_hash(self, digest: str) -> Iterable[Json]:
        """The snapshots of this content, under whatever name."""
        for (kind, _), versions in self._made.items():
            for version in versions.values() if kind == "codes" else ():
                if (version["properties"].get("properties") or {}).get("hash_sha256") == digest:
                    yield version


def resource(path: str, properties: Json, kind: str) -> Json:
    """A resource in the form that all have."""
    created = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {
        "id": path,
        "name": path.rsplit("/", 1)[-1],
        "type": f"Microsoft.MachineLearningServices/workspaces/{kind}",
        "properties": properties,
        "systemData": {"createdAt": created, "createdBy": "emulator", "createdByType": "Application"},
    }
