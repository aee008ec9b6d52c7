"""The management plane of one workspace (management.azure.com): assets, computes, datastores and jobs."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from tests.emulators.azureml.assets import KINDS, Assets, resource
from tests.emulators.azureml.computes import Compute
from tests.emulators.azureml.jobs import Jobs
from tests.emulators.azureml.login import Tokens
from tests.emulators.azureml.routing import Gaps, Handler, Router
from tests.emulators.azureml.storage import Storage
from tests.emulators.azureml.wire import Json, Refused, Request, Response, answer

HOST = "management.azure.com"
AUDIENCES = ("https://management.azure.com", "https://management.core.windows.net", "https://ml.azure.com")
SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"
RESOURCE_GROUP, WORKSPACE, LOCATION = "olive-tests", "emulated", "eastus"
WORKSPACE_GUID = "11111111-1111-1111-1111-111111111111"
WORKSPACE_ID = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{RESOURCE_GROUP}"
    f"/providers/Microsoft.MachineLearningServices/workspaces/{WORKSPACE}"
)
DATAPLANE = f"{LOCATION}.api.azureml.ms"
DISCOVERY = f"https://{DATAPLANE}/discovery/workspaces/{WORKSPACE_GUID}"
DEPTH = len(WORKSPACE_ID.strip("/").split("/"))


class Management:
    """Answers what the SDK asks of the management plane.

    Attributes:
        datastores: Container by datastore.
    """

    def __init__(
        self,
        storage: Storage,
        datastores: Mapping[str, str],
        assets: Assets,
        computes: Mapping[str, Compute],
        jobs: Jobs,
        tokens: Tokens,
    ) -> None:
        self._storage, self._datastores, self._assets = storage, datastores, assets
        self._computes, self._jobs, self._tokens = computes, jobs, tokens
        self._router = Router()
        self._add_asset_routes()
        self._add_job_routes()
        add = self._router.add
        add("GET", "datastores", lambda request, _: self._list_datastores(request))
        add("GET", "datastores/{name}", lambda _, gaps: answer(self._datastore(gaps["name"])))
        add("POST", "datastores/{name}/listSecrets", self._secrets)
        add("GET", "computes", lambda _, __: answer({"value": [_described(found) for found in computes.values()]}))
        add("GET", "computes/{name}", lambda _, gaps: answer(self._compute(gaps["name"])))

    def handle(self, request: Request) -> Response:
        """Answer for the one workspace; others do not exist."""
        self._tokens.check(request.bearer, AUDIENCES)
        wanted = tuple(part.lower() for part in WORKSPACE_ID.strip("/").split("/"))
        found = tuple(part.lower() for part in request.segments[:DEPTH])
        if found != wanted:
            told = f"The resource {'/'.join(request.segments[:DEPTH])} was not found."
            raise Refused(404, "ResourceNotFound", told)
        if len(request.segments) == DEPTH and request.method == "GET":
            return answer(_workspace(self._storage.account))
        return self._router.handle(request, request.segments[DEPTH:])

    def _add_asset_routes(self) -> None:
        add, assets = self._router.add, self._assets

        def put(request: Request, gaps: Gaps) -> Response:
            made, new = assets.put(gaps["kind"], gaps["name"], gaps["version"], request.json()["properties"])
            return answer(made, 201 if new else 200)

        def versions(request: Request, gaps: Gaps) -> Response:
            if gaps["kind"] == "codes" and "hash" in request.query:
                return answer({"value": list(assets.code_of_hash(request.query["hash"]))})
            found = assets.versions(gaps["kind"], gaps["name"])
            return answer({"value": found[: int(request.query.get("$top", len(found)))]})

        def pending_upload(_: Request, __: Gaps) -> Response:
            return answer(pending(self._storage, "snapshot"))

        for kind in KINDS:
            at = f"{kind}/{{name}}/versions"

            def add_kind(method: str, template: str, handler: Handler, kind: str = kind) -> None:
                add(method, template, lambda request, gaps: handler(request, Gaps(gaps, kind=kind)))

            add_kind("PUT", f"{at}/{{version}}", put)
            add_kind("GET", f"{at}/{{version}}", lambda _, g: answer(assets.get(g["kind"], g["name"], g["version"])))
            add_kind("GET", at, versions)
            add_kind("GET", f"{kind}/{{name}}", lambda _, g: answer(assets.container(g["kind"], g["name"])))
            add_kind("GET", kind, lambda _, g: answer({"value": assets.containers(g["kind"])}))
            add_kind("POST", f"{at}/{{version}}/startPendingUpload", pending_upload)

    def _add_job_routes(self) -> None:
        add, jobs = self._router.add, self._jobs

        def put(request: Request, gaps: Gaps) -> Response:
            made, new = jobs.put(gaps["name"], request.json()["properties"])
            return answer(made, 201 if new else 200)

        def cancel(_: Request, gaps: Gaps) -> Response:
            jobs.cancel(gaps["name"])
            return answer({})

        add("PUT", "jobs/{name}", put)
        add("GET", "jobs/{name}", lambda _, gaps: answer(jobs.resource(jobs[gaps["name"]])))
        add("GET", "jobs", lambda _, __: answer({"value": [jobs.resource(job) for job in jobs.all()]}))
        add("POST", "jobs/{name}/cancel", cancel)

    def _list_datastores(self, request: Request) -> Response:
        """All of them, or with ``isDefault`` the default one."""
        names = ["workspaceblobstore"] if request.query.get("isDefault", "").lower() == "true" else self._datastores
        return answer({"value": [self._datastore(name) for name in names]})

    def _datastore(self, name: str) -> Json:
        if name not in self._datastores:
            raise Refused(404, "UserError", f"Could not find datastore {name}.")
        content: Json = {
            "datastoreType": "AzureBlob",
            "accountName": self._storage.account,
            "containerName": self._datastores[name],
            "endpoint": "core.windows.net",
            "protocol": "https",
            "isDefault": name == "workspaceblobstore",
            "credentials": {"credentialsType": "AccountKey"},
            "description": None,
            "tags": {},
            "properties": {},
        }
        return resource(f"{WORKSPACE_ID}/datastores/{name}", content, "datastores")

    def _secrets(self, request: Request, gaps: Gaps) -> Response:
        self._datastore(gaps["name"])
        if request.json().get("expirableSecret"):
            container = self._datastores[gaps["name"]]
            return answer({"secretsType": "Sas", "sasToken": "?" + self._storage.sas(container)})
        return answer({"secretsType": "AccountKey", "key": self._storage.account_key})

    def _compute(self, name: str) -> Json:
        if name not in self._computes:
            raise Refused(404, "ResourceNotFound", f"The compute {name} was not found.")
        return _described(self._computes[name])


def pending(storage: Storage, prefix: str) -> Json:
    """A container of its own for an upload, with a token for it."""
    url = storage.url(container := storage.new_container(prefix))
    return {
        "pendingUploadId": str(uuid.uuid4()),
        "pendingUploadType": "TemporaryBlobReference",
        "blobReferenceForConsumption": consumption(storage, url, container),
    }


def consumption(storage: Storage, url: str, container: str) -> Json:
    """How a client gets at what lies at an address; the token is for the whole container."""
    signed = f"{storage.url(container)}?{storage.sas(container)}"
    account = f"{WORKSPACE_ID.partition('/providers')[0]}/providers/Microsoft.Storage/storageAccounts/{storage.account}"
    return {
        "blobUri": url,
        "storageAccountArmId": account,
        "credential": {"credentialType": "SAS", "sasUri": signed},
    }


def _described(compute: Compute) -> Json:
    return compute.resource(WORKSPACE_ID, LOCATION)


def _workspace(account: str) -> Json:
    group = WORKSPACE_ID.partition("/providers")[0]
    content = {
        "workspaceId": WORKSPACE_GUID,
        "friendlyName": WORKSPACE,
        "discoveryUrl": DISCOVERY,
        "provisioningState": "Succeeded",
        "mlFlowTrackingUri": f"azureml://{DATAPLANE}/mlflow/v1.0{WORKSPACE_ID}",
        "storageAccount": f"{group}/providers/Microsoft.Storage/storageAccounts/{account}",
    }
    described = resource(WORKSPACE_ID, content, "")
    return {**described, "location": LOCATION, "identity": {"type": "SystemAssigned"}, "sku": {"name": "Basic"}}
