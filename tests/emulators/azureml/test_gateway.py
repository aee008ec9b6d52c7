"""The way in: who is let through, who is refused, and what is kept of it."""

import hashlib
import os
import ssl
import urllib.error
import urllib.request
from urllib.request import ProxyHandler, build_opener

import pytest
import requests

from tests.emulators.azureml.login import CLIENT
from tests.emulators.azureml.submitting import shell


def test_other_hosts_are_refused_and_remembered(azureml):
    for url in ("https://pypi.org/simple/", "http://169.254.169.254/metadata", "https://other.blob.core.windows.net/c"):
        with pytest.raises((requests.exceptions.ProxyError, requests.exceptions.HTTPError)):
            requests.get(url, timeout=10).raise_for_status()
    assert azureml.recorder.refused_hosts == ["pypi.org", "169.254.169.254", "other.blob.core.windows.net"]


def test_a_job_reaches_no_other_host_either(azureml, client):
    text = "python -c \"import requests; requests.get('https://huggingface.co')\""
    client.jobs.create_or_update(shell("reaches", text))
    assert azureml.job("reaches").exit_code == 1
    refused = [e for e in azureml.recorder.exchanges() if e.status == 0]
    assert [(e.caller, e.host) for e in refused] == [("job:reaches", "huggingface.co")]


def test_the_authority_is_private(azureml):
    """Without it the hosts are strangers; the standard library trusts them by SSL_CERT_FILE."""
    url = "https://eastus.api.azureml.ms/discovery/workspaces/1"
    proxies = ProxyHandler({"https": os.environ["HTTPS_PROXY"]})
    with build_opener(proxies).open(url, timeout=10) as response:
        assert b"https://eastus.api.azureml.ms" in response.read()
    strangers = urllib.request.HTTPSHandler(context=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        build_opener(proxies, strangers).open(url, timeout=10)


@pytest.mark.parametrize(
    ("token", "said"),
    [
        (lambda azureml: "", "AuthenticationFailed"),
        (lambda azureml: "none.of.ours", "InvalidAuthenticationToken"),
        (lambda azureml: azureml.tokens.issue("https://vault.azure.net", CLIENT), "InvalidAuthenticationToken"),
    ],
)
def test_requests_need_a_token_of_the_right_audience(azureml, token, said):
    url = f"https://management.azure.com/subscriptions/{azureml.subscription_id}"
    headers = {"Authorization": f"Bearer {token(azureml)}"} if token(azureml) else {}
    refusal = requests.get(url, headers=headers, timeout=10)
    assert (refusal.status_code, refusal.json()["error"]["code"]) == (401, said)
    assert refusal.headers["WWW-Authenticate"].startswith('Bearer realm="", error="insufficient_claims"')


def test_a_vault_is_not_for_clients(azureml):
    azureml.vaults["keys"] = {"hf-token": "x"}
    token = azureml.tokens.issue("https://vault.azure.net", CLIENT)
    url = "https://keys.vault.azure.net/secrets/hf-token?api-version=7.4"
    assert requests.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=10).status_code == 403


def test_blobs_go_through_to_azurite_and_are_counted(azureml):
    container = azureml.datastores["workspaceblobstore"]
    url = f"{azureml.storage.url(container, 'some path/ü.bin')}?{azureml.storage.sas(container)}"
    content = os.urandom(70_000)
    with azureml.recorder.label("blobs"):
        assert requests.put(url, content, headers={"x-ms-blob-type": "BlockBlob"}, timeout=10).status_code == 201
        assert requests.get(url, headers={"Range": "bytes=10-19"}, timeout=10).content == content[10:20]
        assert requests.head(url, timeout=10).headers["Content-Length"] == "70000"
        assert requests.get(url.split("?")[0], timeout=10).status_code in (401, 403, 404)
    assert azureml.storage.read(container, "some path/ü.bin") == content
    put, got, head, refused = azureml.recorder.exchanges(label="blobs")
    assert (put.up, put.sha256, got.down, head.down) == (70_000, hashlib.sha256(content).hexdigest(), 10, 0)
    assert "sig=…" in put.query
    assert "sig=" not in refused.query
    assert azureml.recorder.labels()["blobs"].requests == 4
    assert azureml.recorder.traffic(label="blobs").up == 70_000


def test_what_is_recorded_has_no_credentials(azureml, client):
    client.jobs.create_or_update(shell("quiet", "echo", environment_variables={"TOKEN": "hf_carried"}))
    kept = azureml.recorder.exchanges()
    assert [e.method for e in kept] == ["GET", "POST", "PUT", "PUT"]  # discovery, token, environment, job
    assert not [e for e in kept if "authorization" in {name.lower() for name, _ in e.headers}]
    assert [e.path.rsplit("/", 1)[1] for e, body in azureml.recorder.bodies() if b"hf_carried" in body] == ["quiet"]
    assert not [e for e, body in azureml.recorder.bodies() if azureml.login.client_secret.encode() in body]


def test_emulators_share_nothing_but_azurite(azureml, azurite, authority, sandbox, tmp_path):
    from tests.emulators.azureml.emulator import Emulator

    with Emulator(tmp_path / "other", azurite, authority, sandbox) as other:
        assert set(other.datastores.values()).isdisjoint(azureml.datastores.values())
        other.storage.write(other.datastores["workspaceblobstore"], "a", b"1")
        token = other.tokens.issue("https://management.azure.com", CLIENT)
        url = f"https://management.azure.com/subscriptions/{azureml.subscription_id}"
        assert requests.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=10).status_code == 401
    assert azureml.storage.paths(azureml.datastores["workspaceblobstore"]) == []
