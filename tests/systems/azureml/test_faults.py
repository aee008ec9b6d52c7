"""What Azure does wrong, and where it leaves a job: done, or refused in one sentence with nothing half-stored."""

import hashlib
import json
import re
import time

import pytest

from olive_engine.errors import SystemUnavailable, Unreachable
from olive_engine.testing.harness import tree_of
from olive_engine.testing.system_conformance import wait
from olive_engine.testing.toys import build_toy_model
from tests.emulators.azureml.faults import ExpireToken, Refuse, Reset, Slow
from tests.systems.azureml.jobs import put, scale, stored

BLOBS = "olivetests.blob.core.windows.net/*/olive-engine"
PASSING = {
    "throttled": ("PUT", "*/workspaces/*/jobs/olive-*", Refuse(429, "TooManyRequests", retry_after_s=1)),
    "broken": ("PUT", "*/workspaces/*/jobs/olive-*", Refuse(500)),
    "cut before": ("PUT", "*/workspaces/*/jobs/olive-*", Reset()),
    "cut after": ("PUT", "*/workspaces/*/jobs/olive-*", Reset(done=True)),
    "expired": ("PUT", "*/workspaces/*/jobs/olive-*", ExpireToken()),
    "upload throttled": ("PUT", f"{BLOBS}/trees/*", Refuse(429, "TooManyRequests", retry_after_s=1)),
    "upload broken": ("PUT", f"{BLOBS}/trees/*", Refuse(500)),
    "upload cut before": ("PUT", f"{BLOBS}/trees/*", Reset()),
    "upload cut after": ("PUT", f"{BLOBS}/trees/*", Reset(done=True)),
    "upload slow": ("PUT", f"{BLOBS}/trees/*", Slow(bytes_per_s=30)),
}


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_what_passes_is_waited_out(fault, azureml, make, tmp_path):
    rule = azureml.faults.add(*fault)
    model = build_toy_model(tmp_path / "model")
    handle = put(make().submit(job := scale(tmp_path, model)))
    assert rule.hits == 1
    puts = azureml.recorder.exchanges("PUT", "*/workspaces/*/jobs/*")
    assert {each.path.rsplit("/", 1)[1] for each in puts} == {handle.name}
    assert azureml.recorder.submitted() == [handle.name]
    assert wait(handle).state == "done"
    handle.collect(fetch=True)
    assert (job / "outputs/0/model/numbers.json").read_text() == "[2.0, 4.0, 6.0]"
    assert len({each.sha256 for each in puts if each.up}) == 1
    assert len(azureml.jobs.all()) == 1
    tree = tree_of(model.model_path)
    assert stored(azureml, "trees/") == sorted(f"olive-engine/trees/{tree.digest}/{name}" for name in tree.files)
    container = azureml.datastores["workspaceblobstore"]
    for name, entry in tree.files.items():
        got = azureml.storage.read(container, f"olive-engine/trees/{tree.digest}/{name}")
        assert hashlib.sha256(got).hexdigest() == entry.sha256


# The storage client leaves the socket of a connection that was cut to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.slow
def test_questions_are_asked_again(azureml, make, tmp_path):
    faults = (Refuse(429, "TooManyRequests", retry_after_s=1), Refuse(500), Reset(), ExpireToken())
    rules = [azureml.faults.add("GET", "*/runs/olive-*/details", what) for what in faults]
    rules += [azureml.faults.add("GET", "*/user_logs/std_log.txt", what) for what in (Refuse(500), Reset())]
    handle = make().submit(scale(tmp_path, build_toy_model(tmp_path / "model"), seconds=1.0))
    update = wait(handle)
    assert (update.state, update.detail) == ("done", "")
    assert handle.collect(fetch=False).items[0].status == "done"
    assert [rule.hits for rule in rules] == [1] * len(rules)


LASTING = {
    "throttled": (
        ("PUT", "*/workspaces/*/jobs/olive-*", Refuse(429, "TooManyRequests", "Slow down.")),
        r"the job olive-\S+ was not taken, for Azure is throttling requests; try again later, or raise "
        "`max_operation_retries`",
    ),
    "broken": (
        ("PUT", "*/workspaces/*/jobs/olive-*", Refuse(503, "Busy", "The service is busy.")),
        r"the job olive-\S+ was not taken, for Azure answered 503 \(The service is busy\) however often it was asked",
    ),
    "cut": (
        ("PUT", "*/workspaces/*/jobs/olive-*", Reset()),
        r"the job olive-\S+ was not taken, for Azure cannot be reached \(.*\); try again later",
    ),
    "no quota": (
        ("PUT", "*/workspaces/*/jobs/olive-*", Refuse(400, "QuotaExceeded", "The quota of cores is used up.")),
        "The quota of cores is used up; ask for more quota, or use another compute",
    ),
    "no role": (
        ("PUT", "*/workspaces/*/jobs/olive-*", Refuse(403, "AuthorizationFailed", "You may not do jobs/write.")),
        "You may not do jobs/write; ask the workspace's owner for the role that this needs",
    ),
    "upload broken": (
        ("PUT", f"{BLOBS}/trees/*", Refuse(500)),
        r"\S+ cannot be uploaded to the datastore workspaceblobstore, for Azure answered 500",
    ),
    "upload forbidden": (
        ("PUT", f"{BLOBS}/trees/*", Refuse(403, "AuthorizationPermissionMismatch", "You may not write blobs.")),
        r"cannot be uploaded to the datastore workspaceblobstore: You may not write blobs; ask the workspace's owner",
    ),
}


@pytest.mark.parametrize(("fault", "said"), LASTING.values(), ids=LASTING)
def test_what_lasts_is_said_and_a_later_run_continues(fault, said, azureml, make, options, tmp_path):
    client = {**options["azureml_client"], "max_operation_retries": 1}
    rule = azureml.faults.add(*fault, times=None)
    system, job = make(azureml_client=client), scale(tmp_path, build_toy_model(tmp_path / "model"))
    begun = time.monotonic()
    with pytest.raises(SystemUnavailable) as raised:
        wait(system.submit(job))
    assert time.monotonic() - begun < 30
    assert re.search(said, str(raised.value))
    assert "\n" not in str(raised.value)
    assert azureml.recorder.submitted() == []
    rule.times = 0
    handle = put(system.submit(job))
    assert azureml.recorder.submitted() == [handle.name]


def test_a_service_that_stays_away_leaves_the_job_open_after_a_while(azureml, make, options, tmp_path, monkeypatch):
    monkeypatch.setattr("olive_systems.azure_ml.watch.OUTAGE", 1.0)
    azureml.faults.add("GET", "*/runs/olive-*/details", Refuse(503, "Busy", "The service is busy."), times=None)
    client = {**options["azureml_client"], "max_operation_retries": 0}
    handle = make(azureml_client=client).submit(scale(tmp_path, build_toy_model(tmp_path / "model")))
    with pytest.raises(Unreachable, match=f"the job {handle.name} cannot be followed, for Azure answered 503"):
        wait(handle)


# --- before anything is uploaded ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"aml_compute": "gpu"}, "the workspace emulated has no compute gpu; correct aml_compute, or create it"),
        ({"datastores": "none"}, "the workspace emulated has no datastore none; correct `datastores`"),
        ({"aml_environment_config": {"name": "none", "version": "3"}}, "the workspace has no environment none:3"),
        ({"hf_token": "${env:HF_TOKEN}"}, "hf_token: it refers to a variable of this machine, whose value is never"),
        ({"hf_token": True}, "hf_token: the job reads the token from a key vault, and none is named; name it as"),
        (
            {"environment_variables": {"A": "${env:HOME}"}},
            "environment_variables.A: it refers to a variable of this machine, whose value anybody in the workspace",
        ),
        ({"instance_count": 2}, "instance_count: 2 machines for each job, and a step's work cannot be divided among"),
        ({"azureml_client": None}, "azureml_client: it is not said which workspace it is"),
    ],
)
def test_what_is_missing_is_said_before_an_upload(changed, said, azureml, make, tmp_path):
    system = make(**changed)
    with pytest.raises(SystemUnavailable) as raised:
        system.submit(scale(tmp_path, build_toy_model(tmp_path / "model")))
    assert str(raised.value).startswith(f"cloud: {said}")
    assert not stored(azureml)


def test_a_workspace_that_is_not_there(azureml, make, options):
    system = make(azureml_client={**options["azureml_client"], "workspace_name": "other"})
    with pytest.raises(SystemUnavailable, match="there is no workspace other in the resource group olive-tests of the"):
        system.prepare(lambda _: None)


def test_nobody_is_logged_in(azureml, make, monkeypatch):
    monkeypatch.delenv("AZURE_CLIENT_SECRET")
    with pytest.raises(SystemUnavailable, match=r"^cloud: nobody is logged in to Azure here; run `az login`, or set"):
        make().prepare(lambda _: None)


def test_the_sdk_is_not_installed(make, monkeypatch):
    monkeypatch.setattr("olive_systems.azure_ml.connection.find_spec", lambda name: None)
    with pytest.raises(SystemUnavailable, match=r"run: python -m pip install 'olive-engine\[azureml\]'"):
        make().prepare(lambda _: None)


def test_a_workspace_by_the_portals_file(azureml, make, options, tmp_path):
    names = {key: options["azureml_client"][key] for key in ("subscription_id", "resource_group", "workspace_name")}
    (tmp_path / "config.json").write_text(json.dumps(names))
    system = make(azureml_client={"aml_config_path": str(tmp_path / "config.json")})
    said = []
    system.prepare(said.append)
    assert said == ["looking up the compute cpu-cluster in the workspace"]
    assert system.capabilities.max_parallel == 2
    assert system.environment_id == make().environment_id
    with pytest.raises(SystemUnavailable, match=r"there is no file no\.json, which `aml_config_path` names; download"):
        make(azureml_client={"aml_config_path": "no.json"}).prepare(said.append)


def test_another_cloud_is_asked_at_its_own_hosts(azureml, make, monkeypatch):
    """The emulator is the public cloud: it refuses all others, and says who was asked."""
    monkeypatch.setenv("AZUREML_CURRENT_CLOUD", "AzureChinaCloud")
    with pytest.raises(SystemUnavailable, match=r"^cloud: "):
        make().prepare(lambda _: None)
    assert set(azureml.recorder.refused_hosts) == {"login.chinacloudapi.cn"}
    assert azureml.recorder.exchanges("GET", "management.azure.com/*") == []


def test_a_cloud_that_is_not_known(azureml, make, monkeypatch):
    monkeypatch.setenv("AZUREML_CURRENT_CLOUD", "AzureCloudy")
    said = "the variable AZUREML_CURRENT_CLOUD names the cloud AzureCloudy; known are AzureCloud, AzureChinaCloud, "
    with pytest.raises(SystemUnavailable, match=said):
        make().prepare(lambda _: None)
    assert azureml.recorder.exchanges() == []
