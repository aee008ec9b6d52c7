"""The data plane of a region (REGION.api.azureml.ms): run history, addresses of outputs, and registries."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tests.emulators.azureml.assets import Assets
from tests.emulators.azureml.execution import LOG
from tests.emulators.azureml.jobs import Job, Jobs
from tests.emulators.azureml.login import Tokens
from tests.emulators.azureml.routing import Gaps, Handler, Router
from tests.emulators.azureml.storage import Storage
from tests.emulators.azureml.wire import Json, Refused, Request, Response, answer
from tests.emulators.azureml.workspace import (
    AUDIENCES,
    DATAPLANE,
    SUBSCRIPTION,
    WORKSPACE_GUID,
    WORKSPACE_ID,
    consumption,
    pending,
)

REGISTRY_GROUP = "registries-of-tests"
OUTPUT_ASSET = re.compile(r"/data/azureml_(?P<job>.+)_output_data_(?P<output>.+)/versions/1$")


class Dataplane:
    """Answers what the SDK asks of a region.

    Attributes:
        registries: Assets by the name of their registry.
    """

    def __init__(
        self, storage: Storage, artifacts: str, jobs: Jobs, registries: Mapping[str, Assets], tokens: Tokens
    ) -> None:
        self._storage, self._artifacts, self._jobs = storage, artifacts, jobs
        self._registries, self._tokens = registries, tokens
        self._router = Router()
        self._add_run_routes()
        self._add_registry_routes()

    def handle(self, request: Request) -> Response:
        """Answer; where the services of the region are is told to everybody."""
        if request.segments[:2] == ("discovery", "workspaces"):
            here = f"https://{DATAPLANE}"
            return answer(dict.fromkeys(("api", "history", "experimentation", "modelmanagement", "studio"), here))
        self._tokens.check(request.bearer, AUDIENCES)
        return self._router.handle(request, request.segments)

    def _add_run_routes(self) -> None:
        runs, add = f"history/v1.0{WORKSPACE_ID}", self._router.add
        add("GET", f"{runs}/runs/{{name}}/details", lambda _, gaps: answer(self._details(self._jobs[gaps["name"]])))
        add("GET", f"{runs}/runs/{{name}}", lambda _, gaps: answer(self._details(self._jobs[gaps["name"]])))
        add("POST", f"{runs}/rundata", self._run_data)
        add("PATCH", f"{runs}/experiments/{{experiment}}/runs/{{name}}", self._change)
        add("POST", f"data/v1.0{WORKSPACE_ID}/dataversion/batchGetResolvedUris", self._resolve)

    def _details(self, job: Job) -> Json:
        kinds = ("user_logs", "azureml-logs")
        paths = [path for kind in kinds for path in self._storage.paths(self._artifacts, f"{job.artifacts}/{kind}/")]
        logs = {path[len(job.artifacts) + 1 :]: self._storage.readable_url(self._artifacts, path) for path in paths}
        error = None
        if job.status == "Failed" and job.error:
            error = {"error": {"code": job.error[0], "message": job.error[1], "severity": None}}
        return {
            "runId": job.name,
            "status": job.status,
            "runType": "azureml.scriptrun",
            "logFiles": dict(sorted(logs.items(), key=lambda entry: entry[0] != LOG)),
            "properties": {},
            "tags": job.properties.get("tags") or {},
            "warnings": None,
            "error": error,
            "inputDatasets": [],
            "outputDatasets": [],
        }

    def _run_data(self, request: Request, _: Gaps) -> Response:
        job = self._jobs[request.json()["runId"]]
        outputs = job.properties.get("outputs") or {}
        made = {
            name: {"assetId": _asset_id(job.name, name), "type": stated["jobOutputType"]}
            for name, stated in (outputs.items() if job.status == "Completed" else ())
        }
        metadata = {"runId": job.name, "status": job.status, "outputs": made}
        return answer({"runMetadata": metadata, "runDefinition": {}, "jobSpecification": None})

    def _change(self, request: Request, gaps: Gaps) -> Response:
        """Name, description and tags of a run may change."""
        job, asked = self._jobs[gaps["name"]], request.json()
        job.properties |= {key: asked[key] for key in ("displayName", "description", "tags") if asked.get(key)}
        return answer(self._details(job))

    def _resolve(self, request: Request, _: Gaps) -> Response:
        values = {}
        for asset in request.json()["values"]:
            found = OUTPUT_ASSET.search(asset)
            if found is None:
                raise Refused(400, "UserError", f"{asset} is no output of a job.")
            uri = self._jobs.output_uri(found["job"], found["output"])
            stated = self._jobs[found["job"]].properties["outputs"][found["output"]]
            whole = uri.replace("azureml://datastores", f"azureml:/{_lower(WORKSPACE_ID)}/datastores")
            values[asset] = {"uri": whole, "type": stated["jobOutputType"]}
        return answer({"values": values})

    def _add_registry_routes(self) -> None:
        add = self._router.add
        at = f"mferp/managementfrontend/subscriptions/{SUBSCRIPTION}/resourceGroups/{REGISTRY_GROUP}"
        at += "/providers/Microsoft.MachineLearningServices/registries/{registry}"
        add("GET", "registrymanagement/v1.0/registries/{registry}/discovery", self._discover)
        add("PUT", at + "/tempdatarefs/{name}/versions/{version}", self._upload)
        add("POST", at + "/datarefs/{name}/versions/{version}", self._refer)
        for kind in ("models", "data"):
            put, get, versions = self._registry_handlers(kind)
            add("PUT", f"{at}/{kind}/{{name}}/versions/{{version}}", put)
            add("GET", f"{at}/{kind}/{{name}}/versions/{{version}}", get)
            add("GET", f"{at}/{kind}/{{name}}/versions", versions)

    def _registry_handlers(self, kind: str) -> tuple[Handler, Handler, Handler]:
        def put(request: Request, gaps: Gaps) -> Response:
            held = self._registry(gaps)
            made, new = held.put(kind, gaps["name"], gaps["version"], request.json()["properties"])
            return answer(made, 201 if new else 200)

        def get(_: Request, gaps: Gaps) -> Response:
            return answer(self._registry(gaps).get(kind, gaps["name"], gaps["version"]))

        def versions(_: Request, gaps: Gaps) -> Response:
            return answer({"value": self._registry(gaps).versions(kind, gaps["name"])})

        return put, get, versions

    def _discover(self, _: Request, gaps: Gaps) -> Response:
        self._registry(gaps)
        return answer(
            {
                "registryName": gaps["registry"],
                "primaryRegionResourceProviderUri": f"https://{DATAPLANE}/",
                "resourceGroup": REGISTRY_GROUP,
                "subscriptionId": SUBSCRIPTION,
            }
        )

    def _upload(self, _: Request, gaps: Gaps) -> Response:
        self._registry(gaps)
        return answer(pending(self._storage, "registry"))

    def _refer(self, request: Request, gaps: Gaps) -> Response:
        self._registry(gaps)
        url = str(request.json()["blobUri"])
        return answer({"blobReferenceForConsumption": consumption(self._storage, url, url.split("/")[3])})

    def _registry(self, gaps: Gaps) -> Assets:
        held = self._registries.get(gaps["registry"])
        if held is None:
            raise Refused(404, "UserError", f"There is no registry {gaps['registry']}.")
        return held


def _asset_id(job: str, output: str) -> str:
    return f"azureml://locations/eastus/workspaces/{WORKSPACE_GUID}/data/azureml_{job}_output_data_{output}/versions/1"


def _lower(workspace_id: str) -> str:
    """The long form of datastore URIs leaves the provider out and writes resourcegroups small."""
    return workspace_id.replace("/resourceGroups/", "/resourcegroups/").replace(
        "/providers/Microsoft.MachineLearningServices", ""
    )
