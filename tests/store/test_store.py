"""Blobs, sources and records by themselves."""

import json
import os
import time

import pytest

from olive_engine.errors import StoreCorrupt
from olive_engine.models import FileEntry, Tree
from olive_engine.store import Store
from olive_engine.testing.harness import tree_of


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "cache")


def ingested(store, tmp_path, text="some bytes"):
    folder = tmp_path / "made"
    folder.mkdir()
    (folder / "a.txt").write_text(text)
    (folder / "deep").mkdir()
    (folder / "deep" / "b.txt").write_text("more")
    return store.ingest(folder, tree_of(folder))


def test_what_goes_in_comes_out(store, tmp_path):
    tree = ingested(store, tmp_path)
    store.export(tree, tmp_path / "out")
    assert (tmp_path / "out" / "a.txt").read_text() == "some bytes"
    assert (tmp_path / "out" / "deep" / "b.txt").read_text() == "more"


def test_job_inputs_are_links_and_exports_are_copies(store, tmp_path):
    tree = ingested(store, tmp_path)
    blob = store.blobs.path(tree.files["a.txt"].sha256)
    store.place(tree, tmp_path / "inputs")
    store.export(tree, tmp_path / "out")
    assert (tmp_path / "inputs" / "a.txt").samefile(blob)
    assert not os.access(tmp_path / "inputs" / "a.txt", os.W_OK) or os.geteuid() == 0
    assert (tmp_path / "inputs" / "a.txt").stat().st_mode & 0o222 == 0
    assert not (tmp_path / "out" / "a.txt").samefile(blob)
    (tmp_path / "out" / "a.txt").write_text("edited")
    assert blob.read_text() == "some bytes"


def test_equal_contents_are_kept_once(store, tmp_path):
    first = ingested(store, tmp_path)
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "c.txt").write_text("some bytes")
    store.ingest(tmp_path / "again", tree_of(tmp_path / "again"))
    assert store.usage().blobs == len(first.files)


def test_a_touched_blob_is_read_and_trusted_again(store, tmp_path):
    tree = ingested(store, tmp_path)
    os.utime(store.blobs.path(tree.files["a.txt"].sha256))
    assert store.missing(tree) == ""
    assert store.blobs.intact(tree.files["a.txt"])


def test_bytes_from_afar_are_verified(store, tmp_path):
    (tmp_path / "fetched").mkdir()
    (tmp_path / "fetched" / "a.txt").write_text("wrong")
    tree = Tree(files={"a.txt": FileEntry(sha256="0" * 64, size=5)}, location="far://away")
    with pytest.raises(StoreCorrupt, match="with other bytes"):
        store.ingest(tmp_path / "fetched", tree, verify=True)


def test_a_file_rewritten_within_the_clock_tick_is_noticed(store, tmp_path):
    """Same size, and perhaps the same time stamp: a young file's digest is not remembered."""
    file = tmp_path / "rows.jsonl"
    file.write_text("aaaa")
    before = store.sources.entry(file)
    stat = file.stat()
    file.write_text("bbbb")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert store.sources.entry(file) != before


def test_an_old_files_digest_is_remembered(store, tmp_path, monkeypatch):
    file = tmp_path / "rows.jsonl"
    file.write_text("aaaa")
    old = time.time_ns() - 10**11
    os.utime(file, ns=(old, old))
    entry = store.sources.entry(file)
    monkeypatch.setattr("olive_engine.store.sources.file_digest", lambda path: pytest.fail("it was read again"))
    assert store.sources.entry(file) == entry


def test_locks_exclude_and_are_given_back(store):
    first, second = store.lock("k"), Store(store.root).lock("k")
    assert first.try_acquire()
    assert not second.try_acquire()
    first.release()
    assert second.try_acquire()
    second.release()


def test_garbage_is_the_job_of_a_killed_run_however_new(store):
    jobs = {name: store.new_job() for name in ("killed", "elsewhere", "locked", "unwritten")}
    for name in ("killed", "elsewhere", "locked"):
        (jobs[name] / "job.json").write_text(json.dumps({"items": [{"key": name}, {"key": "other"}]}))
        (jobs[name] / "output.bin").write_bytes(b"x" * 1000)
    (jobs["elsewhere"] / "submitted").write_text("{}")
    lock = store.lock("locked")
    assert lock.try_acquire()
    size = 1000 + (jobs["killed"] / "job.json").stat().st_size
    assert store.collect_garbage(older_than=3600, dry_run=True) == size
    assert jobs["killed"].exists()
    assert store.collect_garbage(older_than=3600) == size
    lock.release()
    assert {name for name, path in jobs.items() if path.exists()} == {"elsewhere", "locked", "unwritten"}


def test_garbage_is_what_no_record_names(store, tmp_path):
    tree = ingested(store, tmp_path)
    assert store.collect_garbage(older_than=0, dry_run=True) == tree.size
    assert store.missing(tree) == ""
    assert store.collect_garbage(older_than=0) == tree.size
    assert store.missing(tree) != ""


def test_a_wrong_size_in_a_record_does_not_cost_a_good_blob(store, tmp_path):
    entry = ingested(store, tmp_path).files["a.txt"]
    wrong = entry.model_copy(update={"size": entry.size + 1})
    told = f"10 bytes, and a record says that it has {entry.size + 1}"
    for again in (True, False):  # not verified before, and verified
        with pytest.raises(StoreCorrupt, match=told):
            store.blobs.verify(wrong, again=again)
        assert store.blobs.verify(entry).read_text() == "some bytes"
    assert store.missing(Tree(files={"a.txt": wrong})) == "a.txt"
    assert store.missing(Tree(files={"a.txt": entry})) == ""
    assert not (store.root / "quarantine").exists()


@pytest.mark.parametrize("text", ["SOME BYTES", "some", "some bytes and more"])
def test_a_blob_of_other_bytes_goes_to_quarantine(store, tmp_path, text):
    entry = ingested(store, tmp_path).files["a.txt"]
    path = store.blobs.path(entry.sha256)
    path.chmod(0o644)
    path.write_text(text)
    with pytest.raises(StoreCorrupt, match="moved to quarantine"):
        store.blobs.verify(FileEntry(sha256=entry.sha256, size=len(text)))
    assert not path.exists()
    assert (store.root / "quarantine" / entry.sha256).read_text() == text
