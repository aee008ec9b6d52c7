"""What can be said against a URL of Azure ML from its text, and the workspace that a system names, alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote

from olive_engine.contracts import Objection
from olive_engine.errors import SystemUnavailable
from olive_systems.azure_ml.locations import WorkspaceName, workspace_name
from olive_systems.azure_ml.options import AzureMLClient
from olive_systems.azure_ml.placeholders import in_path, is_placeholder

FORMS = {
    "registries": "azureml://registries/R/models/NAME/versions/V",
    "models": "azureml://models/NAME/versions/V",
    "datastores": "azureml://datastores/D/paths/PATH",
    "jobs": "azureml://jobs/JOB/outputs/OUTPUT",
}
"""What URLs may look like, by the word that they begin with."""
_FULL = re.compile(
    r"subscriptions/(?P<subscription>[^/]+)/resourcegroups/(?P<group>[^/]+)/"
    r"(?:providers/Microsoft\.MachineLearningServices/)?workspaces/(?P<workspace>[^/]+)/(?P<rest>.*)",
    re.IGNORECASE,
)
_MODEL = re.compile(r"(?P<registry>registries/[^/]+/)?models/(?P<name>.+)/versions/(?P<version>[^/]+)/?")
_PATH = re.compile(r"datastores/(?P<names>[^/]+)/paths/(?P<path>.*)")
_OUTPUT = re.compile(r"jobs/(?P<names>[^/]+/outputs/[^/]+)(?:/paths/(?P<path>.*))?/?")
_LABEL = re.compile(r"(?P<before>(?:registries/[^/]+/)?models/.+)/labels/[^/]+/?")


def objection(url: str, client: AzureMLClient | None) -> Objection | None:
    """What speaks against it for a system of that workspace; none: nothing."""
    rest = url.removeprefix("azureml://")
    full = _FULL.fullmatch(rest)
    rest = full["rest"] if full else rest
    names = [full["subscription"], full["group"], full["workspace"]] if full else []
    if gaps := [*filter(is_placeholder, map(unquote, names)), *_gaps(rest)]:
        what = f"still to be filled in: {', '.join(dict.fromkeys(gaps))}"
        return Objection("", what, "write your own names", severity="warning", stops_run=True)
    other = _of_another(url, WorkspaceName(*names), client) if names else None
    return other or _misshapen(url, rest)


def _gaps(rest: str) -> Iterator[str]:
    """Placeholders in it. Names have no blanks; paths may."""
    if found := _MODEL.fullmatch(rest) or _PATH.fullmatch(rest) or _OUTPUT.fullmatch(rest):
        parts = found.groupdict()
        path = unquote(parts.pop("path", "") or "")
        names = [unquote(name) for part in parts.values() for name in (part or "").strip("/").split("/")]
        yield from (name for name in names if name and is_placeholder(name))
        yield from [path] if in_path(path) else []


def _misshapen(url: str, rest: str) -> Objection | None:
    before = url.removesuffix(rest)
    if model := _MODEL.fullmatch(rest):
        name, registry = unquote(model["name"]), model["registry"] or ""
        if "/" not in name:
            return None
        near = f"{before}{registry}models/{name.rpartition('/')[2]}/versions/{model['version']}"
        what = f"the name of a model has no `/`, and this one is {name}"
        return Objection("", what, f"did you mean {near}?", severity="warning", stops_run=True)
    if _PATH.fullmatch(rest) or _OUTPUT.fullmatch(rest):
        return None
    if label := _LABEL.fullmatch(rest):
        hint = f"name the version that is meant: {before}{label['before']}/versions/V"
        return Objection("", f"{url} ends in a label, which may lead to another version at any time", hint)
    kind = next((kind for kind in FORMS if rest.startswith(kind[:-1])), "")  # `model` and `datastore` are slips
    return Objection(
        "", f"{url} names no model and no data", f"expected {FORMS[kind] if kind else ', or '.join(FORMS.values())}"
    )


def _of_another(url: str, named: WorkspaceName, client: AzureMLClient | None) -> Objection | None:
    try:
        own = workspace_name(client)
    except SystemUnavailable:  # that is another objection
        return None
    parts = own.subscription, own.group, own.workspace
    if own.is_same(named) or any(map(is_placeholder, parts)):
        return None
    what = f"{url} is in the workspace {named.workspace} of the resource group {named.group}, and no system of this "
    hint = "describe that workspace as a system of type AzureML, or name what lies in this one"
    return Objection("", f"{what}workflow works there", hint)
