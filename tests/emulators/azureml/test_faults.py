"""Each fault, as the SDK behaves under it."""

import time

import pytest
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceNotFoundError,
    ServiceRequestError,
)

from tests.emulators.azureml.faults import (
    RUN,
    Corrupt,
    ExpireToken,
    Faults,
    JobFails,
    JobVanishes,
    Refuse,
    Reset,
    Slow,
)
from tests.emulators.azureml.sdk import Data
from tests.emulators.azureml.submitting import shell


def statuses(azureml, method, path):
    return [exchange.status for exchange in azureml.recorder.exchanges(method, path)]


def test_throttling_is_waited_out(azureml, client):
    client.compute.get("cpu-cluster")
    rule = azureml.faults.add("GET", "*/computes/cpu-cluster", Refuse(429, "TooManyRequests", retry_after_s=1), times=2)
    begun = time.monotonic()
    assert client.compute.get("cpu-cluster").name == "cpu-cluster"
    assert time.monotonic() - begun >= 2
    assert rule.hits == 2
    assert statuses(azureml, "GET", "*/computes/cpu-cluster") == [200, 429, 429, 200]


def test_a_failed_service_is_asked_again(azureml, client):
    azureml.faults.add("PUT", "*/jobs/again", Refuse(500))
    client.jobs.create_or_update(shell("again", "echo"))
    assert statuses(azureml, "PUT", "*/jobs/again") == [500, 201]


def test_a_connection_that_is_cut_before_a_job_is_taken(azureml, client):
    azureml.faults.add("PUT", "*/jobs/cut", Reset())
    client.jobs.create_or_update(shell("cut", "echo once"))
    assert statuses(azureml, "PUT", "*/jobs/cut") == [-1, 201]
    assert azureml.job("cut").status == "Completed"


def test_a_connection_that_is_cut_after_a_job_is_taken(azureml, client):
    """The client cannot know that the job was taken; asking again does not run it twice."""
    azureml.faults.add("PUT", "*/jobs/cut", Reset(done=True))
    client.jobs.create_or_update(shell("cut", "echo once"))
    assert statuses(azureml, "PUT", "*/jobs/cut") == [-1, 200]
    azureml.job("cut")
    assert azureml.log("cut") == "once\n"


def test_a_service_that_stays_away(azureml):
    client = azureml.client()
    azureml.faults.add("GET", "*/computes/*", Reset(), times=None)
    with pytest.raises(ServiceRequestError):
        client.compute._operation.get("olive-tests", "emulated", "cpu-cluster", retry_total=1, retry_backoff_factor=0)
    assert statuses(azureml, "GET", "*/computes/cpu-cluster") == [-1, -1]


def test_a_missing_role_is_not_tried_again(azureml, client):
    refusal = Refuse(403, "AuthorizationFailed", "The client does not have authorization to perform jobs/write.")
    azureml.faults.add("PUT", "*/jobs/*", refusal, times=None)
    with pytest.raises(HttpResponseError, match="does not have authorization") as raised:
        client.jobs.create_or_update(shell("forbidden", "echo"))
    assert (raised.value.status_code, raised.value.error.code) == (403, "AuthorizationFailed")
    assert statuses(azureml, "PUT", "*/jobs/forbidden") == [403]


def test_an_expired_token_is_replaced(azureml, client):
    client.compute.get("cpu-cluster")
    before = len(azureml.recorder.exchanges("POST", "login.microsoftonline.com/*/token"))
    azureml.faults.add("GET", "*/computes/cpu-cluster", ExpireToken())
    client.compute.get("cpu-cluster")
    assert statuses(azureml, "GET", "*/computes/cpu-cluster") == [200, 401, 200]
    assert len(azureml.recorder.exchanges("POST", "login.microsoftonline.com/*/token")) == before + 1


def test_a_token_of_somebody_else_is_refused(azureml, monkeypatch):
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "guessed")
    with pytest.raises(ClientAuthenticationError, match="AADSTS7000215"):
        azureml.client().compute.get("cpu-cluster")


def test_a_slow_upload_arrives_whole(azureml, client, tmp_path):
    (tmp_path / "rows").write_bytes(bytes(range(256)) * 400)
    blobs = f"{azureml.storage.host}/*/rows"
    rule = azureml.faults.add("PUT", blobs, Slow(bytes_per_s=102_400))
    begun = time.monotonic()
    client.data.create_or_update(Data(name="rows", version="1", path=str(tmp_path / "rows"), type="uri_file"))
    assert (rule.hits, time.monotonic() - begun >= 1) == (1, True)
    where = azureml.locations.find(client.data.get("rows", "1").path)
    assert azureml.storage.read(where.container, where.path) == bytes(range(256)) * 400


def test_a_corrupt_download_is_not_noticed_by_the_sdk(azureml, client, tmp_path):
    client.jobs.create_or_update(shell("makes", "mkdir outputs; echo right > outputs/f"))
    azureml.job("makes")
    rule = azureml.faults.add("GET", f"{azureml.storage.host}/*/outputs/f", Corrupt())
    client.jobs.download("makes", download_path=tmp_path)
    got = (tmp_path / "artifacts/outputs/f").read_bytes()
    assert rule.hits == 1
    assert (len(got), got) == (6, bytes(byte ^ 0x55 for byte in b"right\n"))


def test_a_job_that_the_service_fails(azureml, client):
    azureml.faults.add(RUN, "lost", JobFails("NodeFailure", "The node was lost."))
    client.jobs.create_or_update(shell("lost", "echo begun; sleep 60"))
    ran = azureml.job("lost", ended_s=20)
    assert (ran.status, ran.error) == ("Failed", ("NodeFailure", "The node was lost."))
    assert azureml.log("lost") == "begun\n"
    assert client.jobs.get("lost").status == "Failed"


def test_a_job_that_vanishes(azureml, client):
    azureml.faults.add(RUN, "gone", JobVanishes())
    client.jobs.create_or_update(shell("gone", "echo begun; sleep 1"))
    job = azureml.jobs["gone"]
    assert job.ended.wait(20)
    assert "Running" in job.statuses
    with pytest.raises(ResourceNotFoundError, match="Job gone not found"):
        client.jobs.get("gone")
    client.jobs.create_or_update(shell("gone", "echo begun; sleep 1"))
    assert azureml.job("gone").status == "Completed"


def test_rules_count_what_they_match():
    faults = Faults()
    rule = faults.add("GET", "host/*", Refuse(500), nth=2, times=2)
    found = [faults.find("GET", "host/a") is not None for _ in range(5)]
    assert found == [False, True, True, False, False]
    assert (rule.seen, rule.hits) == (5, 2)
    assert faults.find("PUT", "host/a") is None
    with pytest.raises(ValueError, match=r"JobFails is a fault of jobs \(RUN\), not PUT"):
        faults.add("PUT", "*/jobs/*", JobFails())
