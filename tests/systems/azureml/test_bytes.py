"""Large files go in pieces, over slow lines, for longer than a signature lasts, from two engines at once."""

import os
import time
from datetime import timedelta
from threading import Thread

import pytest

from olive_engine.errors import StoreCorrupt, SystemUnavailable
from olive_engine.testing.harness import tree_of
from olive_systems.azure_ml.blobs import download_tree, upload_tree
from olive_systems.azure_ml.locations import Place
from olive_systems.azure_ml.uploads import Upload
from tests.emulators.azureml.faults import Refuse, Reset, Slow

PLACE = Place("workspaceblobstore", "olive-engine/trees/big")
BLOBS = "olivetests.blob.core.windows.net/*/olive-engine/trees/big/*"


@pytest.fixture
def blocks(monkeypatch):
    """Pieces of 64 KiB: a megabyte is many of them."""
    monkeypatch.setattr("olive_systems.azure_ml.datastore.BLOCK", 1 << 16)


@pytest.fixture
def opened(make):
    """The workspace of a new system, which is an engine of its own."""

    def opened(**client):
        system = make(**client)
        system.prepare(lambda _: None)
        return system._connection.workspace()

    return opened


@pytest.fixture
def big(tmp_path):
    """A folder with one file of a megabyte, and its tree."""
    (tmp_path / "big").mkdir()
    (tmp_path / "big/model.bin").write_bytes(os.urandom(1 << 20))
    return tmp_path / "big", tree_of(tmp_path / "big")


def up(workspace, big, place=PLACE, **more):
    folder, tree = big
    upload_tree(workspace, tree, folder, place, Upload(lambda _: None), **more)


def down(workspace, big, into, place=PLACE):
    download_tree(workspace, big[1], place, into)
    assert tree_of(into).files == big[1].files


def sent(azureml, label, method="PUT"):
    return [each for each in azureml.recorder.exchanges(label=label) if each.method == method and "/big/" in each.path]


def test_a_large_file_goes_in_blocks_both_ways(azureml, opened, blocks, big, tmp_path):
    workspace = opened()
    with azureml.recorder.label("way"):
        up(workspace, big)
        down(workspace, big, tmp_path / "back")
    puts = sent(azureml, "way")
    assert (len(puts), max(each.up for each in puts)) == (17, 1 << 16)  # sixteen blocks and what commits them
    assert len(sent(azureml, "way", "GET")) == 16


def test_a_slow_line_takes_as_long_as_it_takes(azureml, opened, big, tmp_path, monkeypatch):
    """A block of 8 MiB is under way for longer than a connection may stand still."""
    monkeypatch.setattr("olive_systems.azure_ml.datastore.CONNECTION_TIMEOUT", 1)
    monkeypatch.setattr("olive_systems.azure_ml.datastore.BLOCK", 8 << 20)
    (big[0] / "model.bin").write_bytes(os.urandom(20 << 20))
    big = big[0], tree_of(big[0])
    workspace = opened(azureml_client=_impatient(azureml))
    azureml.faults.add("PUT", BLOBS, Slow(3 << 20), times=None)
    begun = time.monotonic()
    up(workspace, big)
    assert time.monotonic() - begun > 2.0
    down(workspace, big, tmp_path / "back")


@pytest.mark.parametrize("known", [True, False])
def test_a_signature_that_ends_under_way_is_renewed(azureml, opened, blocks, big, tmp_path, monkeypatch, known):
    """In time where its end can be read, else when it is refused: no block goes twice but those that were refused."""
    azureml.storage.sas_life = timedelta(seconds=2)
    if not known:
        monkeypatch.setattr("olive_systems.azure_ml.signing._life", lambda _: 3600.0)
    workspace = opened(azureml_client=_impatient(azureml))
    azureml.faults.add("PUT", BLOBS, Slow(3 << 15), times=None)
    with azureml.recorder.label("way"):
        up(workspace, big)
        time.sleep(2.1)
        down(workspace, big, tmp_path / "back")
    refused = [each for each in azureml.recorder.exchanges(label="way") if each.status == 403]
    asked = azureml.recorder.exchanges("POST", "*/listSecrets", label="way")
    assert len(sent(azureml, "way")) - len([each for each in refused if each.method == "PUT"]) == 17
    assert len(asked) >= 2
    assert bool(refused) != known


def test_secrets_are_asked_for_again_where_the_line_is_cut(azureml, opened):
    rule = azureml.faults.add("POST", "*/listSecrets", Reset())
    assert opened().datastores.container("workspaceblobstore").container_name
    assert rule.hits == 1


def test_a_datastore_that_throttles_is_left_alone_for_a_while(azureml, opened, big, tmp_path):
    """Also where it is only listed."""
    rules = [
        azureml.faults.add("GET", "olivetests.blob.core.windows.net/blobstore-*", Refuse(429, "Busy", retry_after_s=1)),
        azureml.faults.add("PUT", BLOBS, Refuse(429, "Busy", retry_after_s=1)),
        azureml.faults.add("GET", BLOBS, Refuse(429, "Busy", retry_after_s=1)),
    ]
    workspace = opened()
    up(workspace, big)
    down(workspace, big, tmp_path / "back")
    assert [rule.hits for rule in rules] == [1, 1, 1]


def test_two_engines_may_bring_the_same_file_at_once(azureml, opened, blocks, big, tmp_path):
    engines, ends = [opened(), opened()], []
    azureml.faults.add("PUT", BLOBS, Slow(1 << 16), times=8)

    def bring(workspace):
        try:
            up(workspace, big)
            ends.append("done")
        except SystemUnavailable as error:
            ends.append(str(error))

    threads = [Thread(target=bring, args=(each,)) for each in engines]
    for thread in threads:
        thread.start()
        time.sleep(0.3)
    for thread in threads:
        thread.join()
    assert ends == ["done", "done"]
    down(engines[0], big, tmp_path / "back")


def test_a_file_with_other_bytes_is_brought_again_and_one_with_its_digest_is_not(
    azureml, opened, blocks, big, tmp_path
):
    container, path = azureml.datastores["workspaceblobstore"], f"{PLACE.path}/model.bin"
    workspace = opened()
    up(workspace, big)
    assert azureml.storage.metadata(container, path) == {"sha256": big[1].files["model.bin"].sha256}
    with azureml.recorder.label("again"):
        up(workspace, big)
    assert sent(azureml, "again") == []
    azureml.storage.write(container, path, bytes(1 << 20))  # of the same size
    up(workspace, big)
    down(workspace, big, tmp_path / "back")


def test_other_bytes_are_never_kept(azureml, opened, big, tmp_path):
    workspace = opened()
    up(workspace, big)
    azureml.storage.write(azureml.datastores["workspaceblobstore"], f"{PLACE.path}/model.bin", bytes(1 << 20))
    with pytest.raises(StoreCorrupt, match=r"model.bin came from the datastore workspaceblobstore with other bytes"):
        down(workspace, big, tmp_path / "back")
    assert list((tmp_path / "back").iterdir()) == []


def test_a_file_that_changed_is_never_committed(azureml, opened, blocks, big):
    data = bytearray((big[0] / "model.bin").read_bytes())
    data[-1] ^= 1
    (big[0] / "model.bin").write_bytes(data)
    with pytest.raises(SystemUnavailable, match=r"model.bin was changed since the run began; run again"):
        up(opened(), big)
    assert azureml.storage.paths(azureml.datastores["workspaceblobstore"], PLACE.path) == []


def test_a_name_with_a_backslash_is_refused_before_anything_goes(azureml, opened, big):
    (big[0] / "a\\b.txt").write_text("x")
    with azureml.recorder.label("none"), pytest.raises(SystemUnavailable) as raised:
        up(opened(), (big[0], tree_of(big[0])))
    assert str(raised.value) == f"{big[0]}/a\\b.txt: Azure takes no name with a backslash; rename the file"
    assert sent(azureml, "none") == []


def test_odd_names_come_back_as_they_went(azureml, opened, tmp_path):
    names = ["a b.txt", "100%.txt", "x%20y.txt", "h#a?b.txt", "ü€.txt", "q'uote\".txt", "+amp&.txt", "sub dir/..hidden"]
    for name in names:
        (tmp_path / "odd" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "odd" / name).write_text(name)
    (tmp_path / "odd/empty.bin").touch()
    odd = tmp_path / "odd", tree_of(tmp_path / "odd")
    workspace = opened()
    up(workspace, odd)
    down(workspace, odd, tmp_path / "back")


def _impatient(azureml) -> dict[str, object]:
    """The workspace, asked once: what fails fails."""
    names = {name: getattr(azureml, name) for name in ("subscription_id", "resource_group", "workspace_name")}
    return {**names, "max_operation_retries": 0, "operation_retry_interval": 1}
