"""A shared cache on Azure Blob Storage, as Azurite emulates it."""

import socket
import time
import uuid
from dataclasses import replace

import pytest

from olive_engine import run
from olive_engine.config.draft import parse_tree
from olive_engine.config.shared_cache import SharedCacheConfig
from olive_engine.errors import StoreCorrupt
from olive_engine.reporting.events import Warned
from olive_engine.reporting.recorder import Recorder
from olive_engine.store import Store
from olive_engine.store import shared_upkeep as upkeep
from olive_engine.store.shared import SharedCache
from olive_engine.store.shared_contents import Sent
from olive_engine.testing.toys import build_toy_model
from tests.store.test_shared import BYTES, FILES, made, texts

pytest.importorskip("adlfs", reason="adlfs is not installed")
pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")  # aiohttp's advice to azure-core


@pytest.fixture
def service(azurite):
    return azurite.connection_string


@pytest.fixture
def key(azurite):
    return azurite.key


def nobody(azurite, taken):
    """The connection string of a port where nobody listens."""
    return replace(azurite, port=taken.getsockname()[1]).connection_string


@pytest.fixture
def opened(service, tmp_path, monkeypatch):
    """Opens a cache in a new container, as another machine does each time."""
    from adlfs import AzureBlobFileSystem

    monkeypatch.setenv("SHARED_CONNECTION", service)
    container = f"c{uuid.uuid4().hex[:12]}"
    AzureBlobFileSystem(connection_string=service, skip_instance_cache=True).mkdir(container)

    def open_(container=container, write=True):
        options = {"connection_string": "${env:SHARED_CONNECTION}"}
        url = f"abfs://{container}/team/phi"
        return SharedCache(SharedCacheConfig(url=url, write=write, storage_options=options), tmp_path)

    return open_


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "cache")


def blob_of(record, name):
    sha256 = record.trees[0].files[name].sha256
    return sha256, f"blobs/{sha256[:2]}/{sha256}"


def test_there_and_back(opened, store, tmp_path):
    record = made(store, files=FILES | {"weights": "w" * 3_000_000})
    writer, reader = opened(), opened(write=False)
    assert reader.find(record.key) is None
    sent = writer.publish(record, store)
    assert (sent, writer.trouble) == (Sent(records=1, blobs=4, size=BYTES + 3_000_000), "")
    assert opened().publish(record, store) == Sent()
    found = reader.find(record.key)
    assert found.provenance.source == reader.url
    reader.fetch(found.trees[0], tmp_path / "into")
    assert texts(tmp_path / "into") == FILES | {"weights": "w" * 3_000_000}
    assert Store(tmp_path / "second").ingest(tmp_path / "into", found.trees[0], verify=True).location == ""
    assert writer.trouble == reader.trouble == ""
    assert not reader.site.is_local


@pytest.mark.parametrize("content", [b"SOME BYTES", b"some", b"", b"some bytes and more", None])
def test_a_blob_with_other_bytes_is_told_and_put_right(opened, store, tmp_path, content):
    record = made(store)
    opened().publish(record, store)
    sha256, name = blob_of(record, "a.txt")
    place = opened().site.place()
    place.remove(name) if content is None else place.write(name, content)
    reader = opened()
    found = reader.find(record.key)
    with pytest.raises(StoreCorrupt, match=sha256):
        reader.fetch(found.trees[0], tmp_path / "into")
    assert reader.trouble == ""
    assert reader.find(record.key) is None
    assert reader.publish(record, store) == Sent(1, 1, 10)
    third = opened()
    third.fetch(third.find(record.key).trees[0], tmp_path / "third")
    assert texts(tmp_path / "third") == FILES


@pytest.mark.parametrize("content", [b"", b'{"sha256": ', b"x" * 100])
def test_a_torn_record_is_none(opened, store, content):
    record = made(store)
    opened().publish(record, store)
    opened().site.place().write(f"records/{record.key[:2]}/{record.key}.json", content)
    reader = opened()
    assert reader.find(record.key) is None
    assert reader.trouble == ""
    assert reader.publish(record, store).records == 1


def test_a_missing_container_is_told_once(opened, store):
    cache = opened(container="not-there")
    record = made(store)
    assert cache.find(record.key) is None
    assert cache.trouble == (
        "the shared cache abfs://not-there/team/phi is left out: "
        "there is no such container or bucket (ContainerNotFound)"
    )
    assert cache.publish(record, store) == Sent()
    writer = opened(container="not-there")
    assert writer.publish(record, store) == Sent()
    assert "there is no such container or bucket" in writer.trouble


def test_nobody_there_is_one_trouble_and_soon_over(opened, store, monkeypatch, azurite):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and nobody listens
        monkeypatch.setenv("SHARED_CONNECTION", nobody(azurite, taken))
        monkeypatch.setattr("olive_engine.store.object_store.ANSWER", 1.0)
        started = time.monotonic()
        cache, record = opened(), made(store)
        for _ in range(20):
            assert cache.find(record.key) is None
            assert cache.publish(record, store) == Sent()
        assert time.monotonic() - started < 10
    assert cache.trouble == f"the shared cache {cache.url} is left out: no answer within 1 seconds"


def test_a_wrong_key_is_told_and_no_key_is(opened, azurite, monkeypatch):
    cache = opened()
    monkeypatch.setenv("SHARED_CONNECTION", replace(azurite, key="Canary" + azurite.key[6:]).connection_string)
    assert cache.find("0" * 64) is None
    assert "failed to authenticate" in cache.trouble
    assert "Canary" not in cache.trouble
    assert "Canary" not in cache.url + cache.location + repr(cache.site._config)


def test_no_key_is_in_what_is_put_there(opened, store, service, key):
    cache = opened()
    cache.publish(made(store), store)
    written = b"".join(cache.site.place().read(each.name, 1 << 20) for each in cache.site.place().each("records"))
    assert len(written) > 100
    assert key[:12].encode() not in written
    assert service.encode() not in written


def test_housekeeping(opened, store):
    one, two = made(store), made(store, files={"a": "some bytes", "b": "own"}, ingredients={"b": 2})
    cache = opened()
    assert upkeep.push(cache.contents, [one, two], store) == Sent(2, 4, BYTES + 3)
    assert upkeep.verify(opened().contents) == upkeep.Findings(upkeep.Holdings(2, 4, BYTES + 3), (), ())
    sha256, name = blob_of(one, "deep/b.txt")
    cache.site.place().write(name, b"MORE")
    assert upkeep.verify(opened().contents) == upkeep.Findings(upkeep.Holdings(2, 4, BYTES + 3), (sha256,), (one.key,))
    now = time.time()
    assert upkeep.chosen(cache.contents, before=now - 3600) == []
    assert len(upkeep.chosen(cache.contents, before=now + 3600)) == 2
    assert upkeep.remove(cache.contents, upkeep.chosen(cache.contents, [one.key]), now) == upkeep.Holdings(1, 2, 4)
    assert upkeep.remove(cache.contents, upkeep.chosen(cache.contents), now) == upkeep.Holdings(1, 2, 13)
    assert upkeep.holdings(opened().contents) == upkeep.Holdings(0, 0, 0)


def run_on(machine, url, **more):
    """Run a toy workflow on a machine with a cache of its own; gives what was executed and what was warned of."""
    tree = {
        "input_model": {"type": "HfModel", "model_path": "base"},
        "passes": {"scale": {"type": "ToyScale"}, "again": {"type": "ToyScale", "factor": 3}},
        "cache_dir": f"{machine}/cache",
        "output_dir": f"{machine}/output",
    }
    options = {"connection_string": "${env:SHARED_CONNECTION}"}
    tree["shared_cache"] = {"url": url, "write": True, "storage_options": options, **more}
    recorder = Recorder()
    result = run(parse_tree(tree).raise_if_wrong(), recorder)
    return result.executed, [event.message for event in recorder.events if isinstance(event, Warned)]


def test_two_machines_share_a_run_and_the_key_is_nowhere(opened, tmp_path, monkeypatch, key):
    monkeypatch.chdir(tmp_path)
    build_toy_model(tmp_path / "base")
    cache = opened()
    assert run_on("one", cache.url) == (("scale", "again"), [])
    assert run_on("two", cache.url, write=False) == ((), [])
    model = texts(tmp_path / "two/output/model")
    assert len(model) > 1
    assert model == texts(tmp_path / "one/output/model")
    place = cache.site.place()
    kept = [place.read(each.name, 1 << 20) for folder in ("records", "blobs") for each in place.each(folder)]
    kept += [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert [content for content in kept if key[:20].encode() in content] == []


def test_a_run_goes_on_where_nobody_answers(opened, tmp_path, monkeypatch, azurite):
    monkeypatch.chdir(tmp_path)
    build_toy_model(tmp_path / "base")
    monkeypatch.setattr("olive_engine.store.object_store.ANSWER", 1.0)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("SHARED_CONNECTION", nobody(azurite, taken))
        executed, warnings = run_on("one", "abfs://team/x")
    assert executed == ("scale", "again")
    assert warnings == ["the shared cache abfs://team/x is left out: no answer within 1 seconds"]
