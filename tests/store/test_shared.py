"""A shared cache by itself: what is put there and comes back, what is not believed, and what no run fails of."""

import itertools
import json
import sys
import threading
import time

import fsspec
import pytest
from pydantic import ValidationError

from olive_engine.config.draft import parse_tree
from olive_engine.config.shared_cache import SharedCacheConfig
from olive_engine.config.workflow import HfModelConfig, Workflow
from olive_engine.contracts import Environment, Resources
from olive_engine.digests import digest
from olive_engine.errors import StoreCorrupt, SystemUnavailable
from olive_engine.models import FileEntry, Manifest, Tree
from olive_engine.store import Provenance, Record, Store, shared_libraries
from olive_engine.store import shared_upkeep as upkeep
from olive_engine.store.object_store import _patiently
from olive_engine.store.shared import ENOUGH, SharedCache
from olive_engine.store.shared_contents import Sent, SharedCorrupt
from olive_engine.store.shared_records import unsound_names
from olive_engine.store.shared_site import SharedSite, without_password
from olive_engine.testing.harness import tree_of

FILES = {"a.txt": "some bytes", "deep/b.txt": "more", "deep/twin.txt": "some bytes", "empty": ""}
BYTES = len("some bytes") + len("more")
BASE = Tree(files={"weights": FileEntry(sha256="b" * 64, size=7)})
"""A base model that is nobody's to share."""


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "cache")


@pytest.fixture(params=["folder", "memory"])
def cache(request, tmp_path):
    url = str(tmp_path / "shared") if request.param == "folder" else f"memory://{tmp_path.name}/shared"
    yield SharedCache(SharedCacheConfig(url=url, write=True), tmp_path)
    fsspec.filesystem("memory").store.clear()


@pytest.fixture
def folder(tmp_path):
    return SharedCache(SharedCacheConfig(url="shared", write=True), tmp_path)


def again(cache):
    """The same cache, in a run of another machine."""
    return SharedCache(cache.site._config, cache.site._folder.path.parent if cache.site.is_local else None)


def made(store, files=None, ingredients=None, base=BASE, **changed):
    """The record of a step that wrote these files beside a base that it only refers to."""
    work = store.new_job()
    for name, text in (files or FILES).items():
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_text(text)
    tree = store.ingest(work, tree_of(work))
    ingredients = ingredients or {"kind": "pass", "config": {"learning_rate": 1e-5}}
    parts = {"adapter_path": tree, "model_path": base}
    output = Manifest(kind="HfAdapterModel", attributes={"task": "text-generation", "load_kwargs": {}}, parts=parts)
    environment = Environment(engine="1", python="3.11", machine="m", executable="/home/me/bin/python")
    provenance = Provenance(started=1.0, seconds=2.0, system="local", resources=Resources(), environment=environment)
    fields = {"key": digest(ingredients), "step": "lora", "kind": "pass", "type": "LoRA", "ingredients": ingredients}
    fields |= {"inputs": {}, "output": output, "made": ("adapter_path",), "metrics": {"loss": float("nan")}}
    return Record(**{**fields, "provenance": provenance, **changed})


def put_as_it_is(cache, record, key=None):
    """A record that somebody has written by hand, with a digest that fits."""
    content = json.loads(record.model_dump_json())
    text = json.dumps({"sha256": digest(content), "record": content})
    key = key or record.key
    cache.site.place().write(f"records/{key[:2]}/{key}.json", text.encode())


def texts(folder):
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


# --- there and back ---------------------------------------------------------------------------------------------------


def test_a_result_that_is_put_there_comes_back_with_its_bytes_located_there(cache, store, tmp_path):
    record = made(store)
    assert cache.find(record.key) is None
    assert cache.publish(record, store) == Sent(records=1, blobs=3, size=BYTES)
    other = again(cache)
    found = other.find(record.key)
    (tree,) = found.trees
    assert tree.location == f"shared:{cache.url}"
    assert tree.files == record.trees[0].files
    assert found.provenance.source == cache.url
    assert other.holds(tree)
    assert not other.holds(tree.model_copy(update={"location": "shared:elsewhere"}))
    assert not other.holds(record.trees[0])
    other.fetch(tree, tmp_path / "into")
    assert texts(tmp_path / "into") == FILES
    here = Store(tmp_path / "second")
    assert here.ingest(tmp_path / "into", tree, verify=True) == Tree(files=tree.files)
    assert cache.trouble == other.trouble == ""


def test_what_is_there_already_is_not_put_there_again(cache, store):
    record = made(store)
    assert cache.publish(record, store).blobs == 3
    assert again(cache).publish(record, store) == Sent()
    more = made(store, files=FILES | {"new": "xyz"}, ingredients={"other": 1})
    assert again(cache).publish(more, store) == Sent(records=1, blobs=1, size=3)


def test_nothing_is_put_there_without_write(tmp_path, store):
    cache = SharedCache(SharedCacheConfig(url="shared"), tmp_path)
    assert cache.publish(made(store), store) == Sent()
    assert not (tmp_path / "shared").exists()
    assert cache.trouble == ""
    assert not cache.writes


def test_a_record_there_says_nothing_of_places_here(folder, store, tmp_path):
    base = tmp_path / "private models"
    base.mkdir()
    (base / "w").write_text("weights")
    record = made(store, base=tree_of(base))
    folder.publish(record, store)
    (path,) = (tmp_path / "shared/olive-cache-1/records").rglob("*.json")
    assert path == tmp_path / f"shared/olive-cache-1/records/{record.key[:2]}/{record.key}.json"
    text = path.read_text()
    assert not [word for word in ("private", "file:", str(tmp_path), "/home/me") if word in text]
    blobs = {each.name for each in (tmp_path / "shared/olive-cache-1/blobs").rglob("*") if each.is_file()}
    assert blobs == {entry.sha256 for entry in record.trees[0].files.values()}  # the base is not among them
    parts = again(folder).find(record.key).output.parts
    assert parts["model_path"] == Tree(files=record.output.parts["model_path"].files)
    assert parts["adapter_path"].location == folder.location


def test_a_result_of_numbers_alone_is_shared_too(cache, store):
    record = made(store, output=None, made=())
    assert cache.publish(record, store) == Sent(records=1)
    assert again(cache).find(record.key).output is None


def test_results_that_another_system_keeps_are_left_alone(folder, store):
    tree = Tree(files={"a": FileEntry(sha256="0" * 64, size=3)}, location="detached:there")
    output = Manifest(kind="HfModel", parts={"model_path": tree})
    assert folder.publish(made(store, output=output, made=("model_path",)), store) == Sent()
    assert folder.trouble == ""


def test_several_may_put_the_same_there_at_once(folder, store):
    record = made(store, files={f"f{index}": "x" * 1000 * index for index in range(20)})
    caches = [again(folder) for _ in range(6)]
    threads = [threading.Thread(target=cache.publish, args=(record, store)) for cache in caches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [cache.trouble for cache in caches] == [""] * 6
    assert upkeep.verify(folder.contents) == upkeep.Findings(upkeep.Holdings(1, 20, 1000 * 190), (), ())
    assert not list(folder.site._folder.path.rglob("*.tmp"))


# --- what is not believed ---------------------------------------------------------------------------------------------


def test_a_torn_or_edited_record_is_none_and_is_mended(folder, store):
    record = made(store)
    folder.publish(record, store)
    (path,) = folder.site._folder.path.rglob("*.json")
    whole = path.read_text()
    for text in (whole[:100], whole.replace("LoRA", "Lora"), "", "[]", "null", "[" * 100_000, '{"sha256": 1}'):
        path.write_text(text)
        assert again(folder).find(record.key) is None
    writer = again(folder)
    assert writer.publish(record, store) == Sent(records=1)
    assert writer.trouble == ""
    assert path.read_text() == whole


def test_a_record_of_another_step_is_none(folder, store):
    record = made(store)
    other = digest({"something": "else"})
    put_as_it_is(folder, record, key=other)
    assert again(folder).find(other) is None
    put_as_it_is(folder, record.model_copy(update={"key": other}), key=other)
    assert again(folder).find(other) is None


@pytest.mark.parametrize(
    "name", ["../out", "/etc/out", "a/../../out", "a//b", "", ".", "c:/out", "a\\..\\out", "a/./b", "nul\0"]
)
def test_a_poisoned_record_writes_nothing_outside(folder, store, tmp_path, name):
    entry = made(store).trees[0].files["a.txt"]
    tree = Tree.model_construct(files={name: entry})  # not even read: a tree checks its names
    output = Manifest(kind="HfModel", parts={"model_path": tree})
    record = made(store, output=output, made=("model_path",))
    put_as_it_is(folder, record)
    assert again(folder).find(record.key) is None
    before = texts(tmp_path)
    with pytest.raises(StoreCorrupt, match="cannot be written"):
        folder.fetch(tree.model_copy(update={"location": folder.location}), tmp_path / "into")
    assert texts(tmp_path) == before
    assert folder.publish(record, store) == Sent()


def test_a_name_that_another_needs_as_a_folder_is_refused():
    entry = FileEntry(sha256="0" * 64, size=0)
    assert unsound_names(Tree(files={"a": entry, "a/b": entry})) == "a"
    assert unsound_names(Tree(files={"a": entry, "ab/c": entry, "d e/ü.txt": entry})) == ""


@pytest.mark.parametrize(
    "attributes",
    [
        {"load_kwargs": {"trust_remote_code": True}},
        {"onnx_file_name": "../../model.onnx"},
        {"onnx_file_name": "/etc/passwd"},
        {"model_path": "here"},
    ],
)
def test_a_record_that_reaches_out_of_its_folders_is_none(folder, store, attributes):
    parts = {"model_path": made(store).trees[0]}
    output = Manifest(kind="OnnxModel", attributes=attributes, parts=parts)
    record = made(store, output=output, made=("model_path",))
    put_as_it_is(folder, record)
    assert again(folder).find(record.key) is None
    assert folder.trouble == ""


def test_digests_and_made_parts_are_checked_too(folder, store):
    tree = Tree(files={"a": FileEntry(sha256="../../../secret", size=1)})
    for parts, names in (({"model_path": tree}, ("model_path",)), ({}, ("model_path",))):
        record = made(store, output=Manifest(kind="HfModel", parts=parts), made=names)
        put_as_it_is(folder, record)
        assert again(folder).find(record.key) is None


@pytest.mark.parametrize(
    ("kind", "names", "attributes"),
    [
        ("HfModel", ("model_path", "../../escaped"), {}),
        ("HfModel", ("model_path", "adapter_path"), {}),
        ("HfModel", ("adapter_path",), {}),
        ("HfAdapterModel", ("adapter_path",), {}),
        ("Nonsense", ("model_path",), {}),
        ("HfModel", ("model_path",), {"nobody": "knows"}),
        ("HfModel", ("model_path",), {"task": ["one", "two"]}),
    ],
)
def test_a_record_of_no_artifact_that_there_is_is_none(folder, store, kind, names, attributes):
    parts = dict.fromkeys(names, made(store).trees[0])
    record = made(store, output=Manifest(kind=kind, attributes=attributes, parts=parts), made=names)
    put_as_it_is(folder, record)
    assert again(folder).find(record.key) is None
    assert folder.publish(record, store) == Sent()


def test_where_a_record_says_that_bytes_are_counts_for_nothing(folder, store, tmp_path):
    (tmp_path / "id_rsa").write_text("private")
    private = Tree(
        files={"weights": FileEntry(sha256="0" * 64, size=7)},
        location=tmp_path.as_uri(),
        places={"weights": "id_rsa"},
    )
    record = made(store, base=private)
    forged = record.model_copy(
        update={"output": record.output.model_copy(update={"parts": dict.fromkeys(record.output.parts, private)})}
    )
    put_as_it_is(folder, forged)
    parts = again(folder).find(record.key).output.parts
    assert parts["model_path"] == Tree(files=private.files)
    assert parts["adapter_path"] == Tree(files=private.files, location=folder.location)


def test_a_wrong_size_is_damage_of_the_record(folder, store, tmp_path):
    record = made(store, files={"a": "some bytes"})
    folder.publish(record, store)
    entry = record.trees[0].files["a"]
    longer = Tree(files={"a": entry.model_copy(update={"size": entry.size + 1})})
    parts = {**record.output.parts, "adapter_path": longer}
    put_as_it_is(folder, record.model_copy(update={"output": record.output.model_copy(update={"parts": parts})}))
    reader = again(folder)
    with pytest.raises(SharedCorrupt, match="has other bytes"):
        reader.fetch(reader.find(record.key).trees[0], tmp_path / "into")
    both = Tree(files={"a": entry, "b": longer.files["a"]})
    parts = {**record.output.parts, "adapter_path": both}
    put_as_it_is(folder, record.model_copy(update={"output": record.output.model_copy(update={"parts": parts})}))
    assert again(folder).find(record.key) is None


@pytest.mark.parametrize("how", ["other", "shorter", "longer", "gone"])
def test_a_blob_that_is_not_what_it_should_be_is_told_and_then_put_right(cache, store, tmp_path, how):
    record = made(store)
    cache.publish(record, store)
    sha256 = record.trees[0].files["a.txt"].sha256
    name, there = f"blobs/{sha256[:2]}/{sha256}", cache.site.place()
    if how == "gone":
        there.remove(name)
    else:
        there.write(name, {"other": b"SOME BYTES", "shorter": b"some", "longer": b"some bytes" * 1000}[how])
    reader = again(cache)
    found = reader.find(record.key)
    with pytest.raises(StoreCorrupt) as raised:
        reader.fetch(found.trees[0], tmp_path / "into")
    assert cache.url in str(raised.value)
    assert sha256 in str(raised.value)
    if (tmp_path / "into/a.txt").exists():
        assert (tmp_path / "into/a.txt").stat().st_size <= len("some bytes")  # no more than it should be
    # It is not found again in this run, which therefore computes the step, and puts what it gets there.
    assert reader.find(record.key) is None
    assert not reader.holds(found.trees[0])
    assert reader.trouble == ""
    assert reader.publish(record, store) == Sent(records=1, blobs=1, size=10)
    third = again(cache)
    third.fetch(third.find(record.key).trees[0], tmp_path / "third")
    assert texts(tmp_path / "third") == FILES


def test_after_some_damaged_results_no_more_are_taken_but_results_are_put_there(folder, store, tmp_path):
    records = [made(store, files={"a": f"bytes {number}"}, ingredients={"n": number}) for number in range(ENOUGH + 1)]
    for record in records:
        folder.publish(record, store)
    *damaged, sound = records
    for record in damaged:
        sha256 = record.trees[0].files["a"].sha256
        folder.site.place().remove(f"blobs/{sha256[:2]}/{sha256}")
    reader = again(folder)
    for number, record in enumerate(damaged):
        assert reader.find(sound.key) is not None
        with pytest.raises(SharedCorrupt, match="does not have its bytes"):
            reader.fetch(reader.find(record.key).trees[0], tmp_path / f"{number}")
    assert reader.find(sound.key) is None
    assert not reader.holds(folder.find(sound.key).trees[0])
    assert reader.trouble == (
        f"the shared cache {folder.url} has damaged results: no more are taken from it in this run; "
        "`olive shared-cache verify` names them"
    )
    assert [reader.publish(record, store).blobs for record in records] == [1] * ENOUGH + [0]


@pytest.mark.parametrize("how", ["shorter", "gone"])
def test_a_result_there_without_its_bytes_is_put_right_by_whoever_has_it(cache, store, how):
    record = made(store)
    cache.publish(record, store)
    sha256 = record.trees[0].files["a.txt"].sha256
    name = f"blobs/{sha256[:2]}/{sha256}"
    if how == "gone":
        cache.site.place().remove(name)
    else:
        cache.site.place().write(name, b"some")
    assert again(cache).offer(record, store) == Sent()  # that looks at the record alone
    assert again(cache).publish(record, store) == Sent(records=1, blobs=1, size=10)
    assert again(cache).publish(record, store) == Sent()


def test_a_result_of_an_earlier_run_is_put_there_if_its_key_has_no_record(cache, store):
    record = made(store)
    assert cache.offer(record, store) == Sent(records=1, blobs=3, size=BYTES)
    assert again(cache).offer(record, store) == Sent()
    assert again(cache).find(record.key) is not None


def test_a_damaged_local_blob_is_not_put_there(folder, store):
    record = made(store)
    path = store.blobs.path(record.trees[0].files["a.txt"].sha256)
    path.chmod(0o644)
    path.write_text("SOME BYTES")
    assert folder.publish(record, store) == Sent()
    assert folder.find(record.key) is None


# --- what no run fails of ---------------------------------------------------------------------------------------------


def test_a_place_that_cannot_be_read_is_asked_once(tmp_path, store):
    (tmp_path / "shared").write_text("a file")
    cache = SharedCache(SharedCacheConfig(url="shared", write=True), tmp_path)
    record = made(store)
    assert cache.find(record.key) is None
    assert cache.trouble.startswith(f"the shared cache {cache.url} is left out: ")
    assert cache.trouble.endswith(f"{tmp_path / 'shared'} is a file, and no folder")
    assert cache.unsaid() == (cache.trouble,)
    assert cache.unsaid() == ()
    (tmp_path / "shared").unlink()
    assert cache.publish(record, store) == Sent()
    assert not (tmp_path / "shared").exists()


@pytest.mark.parametrize(
    ("url", "write", "fault"),
    [
        ("gone/deep", False, "there is no folder {}"),
        ("gone/deep", True, "there is no folder {}; create it first"),
        ("gone", False, "there is no folder {}"),
    ],
)
def test_a_folder_that_is_not_there_is_told_at_the_first_look(tmp_path, store, url, write, fault):
    cache = SharedCache(SharedCacheConfig(url=url, write=write), tmp_path)
    assert cache.site.doubt() == fault.format(tmp_path / url)
    cache.look()
    assert cache.unsaid() == (f"the shared cache {cache.url} is left out: {fault.format(tmp_path / url)}",)
    assert cache.find("0" * 64) is None
    assert cache.publish(made(store), store) == Sent()
    assert cache.unsaid() == ()
    assert not (tmp_path / "gone").exists()


def test_a_new_folder_is_told_of_and_made_for_the_first_result(folder, store, tmp_path):
    assert folder.site.doubt() == ""
    folder.look()
    folder.look()
    new = f"the shared cache {folder.url} is not there yet: its folder is made for the first result"
    assert folder.unsaid() == (new,)
    assert not (tmp_path / "shared").exists()
    assert folder.publish(made(store), store).records == 1
    assert again(folder).site.doubt() == again(folder).trouble == ""


@pytest.mark.parametrize("left", ["nothing", "mount point"])
def test_a_folder_that_went_with_what_was_taken_from_it_is_not_made_anew(folder, store, tmp_path, left):
    record = made(store)
    folder.publish(record, store)
    tree = again(folder).find(record.key).trees[0]
    (tmp_path / "shared").rename(tmp_path / "elsewhere")
    if left == "mount point":
        (tmp_path / "shared").mkdir()
    later = again(folder)
    assert not later.holds(tree)
    (told,) = later.unsaid()
    state = "not there" if left == "nothing" else "empty"
    assert f"the folder {tmp_path / 'shared'} is {state} now, and results were taken from it" in told
    assert later.publish(record, store) == Sent()
    assert not list((tmp_path / "shared").glob("*"))


def test_a_folder_that_goes_during_a_run_is_not_made_anew(folder, store, tmp_path):
    record = made(store)
    folder.publish(record, store)
    tree = folder.find(record.key).trees[0]
    (tmp_path / "shared").rename(tmp_path / "elsewhere")
    writer = again(folder)
    assert folder.publish(made(store, ingredients={"b": 1}), store) == Sent()
    assert f"the folder {tmp_path / 'shared'} is not there any more" in folder.trouble
    with pytest.raises(SharedCorrupt, match="a result cannot be taken from the shared cache: not fetched: ") as raised:
        writer.fetch(tree, tmp_path / "into")
    assert "damaged" not in str(raised.value)
    assert not (tmp_path / "shared").exists()


def test_what_a_url_lacks_is_told_without_opening_it(tmp_path, monkeypatch):
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    monkeypatch.setattr(SharedSite, "place", None)
    options = {"account_key": "${env:NO_SUCH_KEY}"}
    unset = SharedCache(SharedCacheConfig(url="memory://x", storage_options=options), tmp_path)
    assert unset.site.doubt() == "the environment variable NO_SUCH_KEY is not set, which `storage_options` names"
    unknown = SharedCache(SharedCacheConfig(url="foo://x"), tmp_path)
    assert unknown.site.doubt() == "the protocol foo:// is not known to fsspec; name a folder, or abfs://, s3://, …"
    monkeypatch.setattr(shared_libraries, "find_spec", lambda name: None if name == "s3fs" else name)
    missing = SharedCache(SharedCacheConfig(url="s3://bucket/x"), tmp_path)
    assert missing.site.doubt() == (
        "a library for s3:// is missing (s3fs is not installed): pip install 'olive-engine[s3]'"
    )
    assert SharedCache(SharedCacheConfig(url="memory://x"), tmp_path).site.doubt() == ""


def test_a_place_that_cannot_be_written_is_still_read(folder, store, monkeypatch):
    record, other = made(store), made(store, ingredients={"b": 1})
    folder.publish(record, store)
    reader = again(folder)

    def full(name, content):
        raise PermissionError(13, "Permission denied", name)

    monkeypatch.setattr(reader.site.place(), "write", full)
    assert reader.publish(other, store) == Sent()
    assert reader.trouble.startswith(f"results are not put into the shared cache {folder.url}: ")
    assert "Permission denied" in reader.trouble
    monkeypatch.undo()
    assert reader.publish(other, store) == Sent()
    assert reader.find(record.key) is not None


def test_a_full_disk_here_is_no_fault_of_the_cache(folder, store, tmp_path):
    record = made(store)
    folder.publish(record, store)
    tree = folder.find(record.key).trees[0]
    (tmp_path / "into").mkdir()
    (tmp_path / "into/empty").write_text("in the way")
    with pytest.raises(FileExistsError):
        folder.fetch(tree, tmp_path / "into")
    assert folder.trouble == ""
    assert folder.holds(tree)


def test_an_unknown_protocol_and_a_missing_library_are_told(tmp_path, store, monkeypatch):
    cache = SharedCache(SharedCacheConfig(url="nowhere://x/y"), tmp_path)
    assert cache.find("0" * 64) is None
    assert "nowhere" in cache.trouble
    monkeypatch.setitem(sys.modules, "s3fs", None)
    cache = SharedCache(SharedCacheConfig(url="s3://bucket/x"), tmp_path)
    assert cache.find("0" * 64) is None
    assert cache.trouble.startswith("the shared cache s3://bucket/x is left out: a library for s3:// is missing (")
    assert cache.trouble.endswith("): pip install 'olive-engine[s3]'")


def test_a_variable_that_is_not_set_is_told(tmp_path, monkeypatch):
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    config = SharedCacheConfig(url="memory://x", storage_options={"account_key": "${env:NO_SUCH_KEY}"})
    cache = SharedCache(config, tmp_path)
    assert cache.find("0" * 64) is None
    assert cache.trouble == (
        "the shared cache memory://x is left out: the environment variable NO_SUCH_KEY is not set, "
        "which `storage_options` names"
    )


def test_what_hangs_is_given_up():
    started = time.monotonic()
    with pytest.raises(TimeoutError, match=r"no answer within 0\.2 seconds"):
        _patiently(lambda _: time.sleep(30), 0.2)
    assert time.monotonic() - started < 5


def test_what_gets_on_may_take_its_time():
    def slow(tick):
        for _ in range(6):
            time.sleep(0.1)
            tick()
        return "done"

    assert _patiently(slow, 0.4) == "done"


def test_no_secret_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("CANARY", "AccountName=me;AccountKey=canary-0123456789==;")
    config = SharedCacheConfig(url="memory://x", storage_options={"connection_string": "${env:CANARY}"})
    cache = SharedCache(config, tmp_path)
    cache.site.place()
    told = cache.site.told(ValueError("refused AccountName=me;AccountKey=canary-0123456789==; and canary-0123456789"))
    assert "canary" not in told
    assert told.startswith("refused ****")
    assert "canary" not in repr(cache.site._config)


# --- where it is ------------------------------------------------------------------------------------------------------


def test_a_url_is_shown_without_password_and_query():
    assert without_password("https://me:word@host:8080/a/b?sig=x#y") == "https://me@host:8080/a/b"
    assert without_password("abfs://container@account.example/p") == "abfs://container@account.example/p"


def test_a_folder_may_be_named_in_three_ways(tmp_path):
    urls = {SharedCache(SharedCacheConfig(url=url), tmp_path).url for url in ("shared", str(tmp_path / "shared"))}
    urls |= {SharedCache(SharedCacheConfig(url=(tmp_path / "shared").as_uri()), tmp_path).url}
    assert urls == {(tmp_path / "shared").as_uri()}
    assert SharedCache(SharedCacheConfig(url="shared"), tmp_path).site.is_local
    assert not SharedCache(SharedCacheConfig(url="abfs://c/p"), tmp_path).site.is_local


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"url": "s3://me:pass@bucket/x"}, "it holds a secret"),
        ({"url": "https://a.blob.core.windows.net/c?sv=1&sig=abc"}, "it holds a secret"),
        ({"url": "abfs:/container"}, "come two slashes"),
        ({"url": "file://team/cache"}, "file:///"),
        ({"url": ""}, "at least 1 character"),
        ({"url": "s3://b", "storage_options": {"key": "AKIA"}}, "`key` is a secret"),
        ({"url": "s3://b", "storage_options": {"client_kwargs": {"aws_secret_access_key": "x"}}}, "is a secret"),
        ({"url": "abfs://b", "storage_options": {"account_key": "${env:A}x"}}, "`account_key` is a secret"),
        ({"url": "abfs://b", "storage_options": {"account_key": "${env:A:-x}"}}, r"write \$\{env:A\} alone"),
    ],
)
def test_options_that_are_wrong(config, message):
    with pytest.raises(ValidationError, match=message):
        SharedCacheConfig(**config)


def test_a_workflow_names_it_by_its_url_or_with_options(monkeypatch):
    monkeypatch.setenv("KEY", "canary-value")
    model = {"type": "HfModel", "model_path": "org/name"}
    base = {"input_model": model, "evaluators": {"e": {"metrics": [{"name": "s", "type": "size_on_disk"}]}}}
    base["evaluator"] = "e"

    def read(shared):
        return parse_tree({**base, "shared_cache": shared})

    assert read("team/cache").workflow.shared_cache == SharedCacheConfig(url="team/cache")
    assert read(None).workflow.shared_cache is None
    options = {"account_name": "me", "account_key": "${env:KEY}"}
    draft = read({"url": "abfs://c/${env:KEY}", "write": True, "storage_options": options})
    assert draft.workflow.shared_cache.url == "abfs://c/canary-value"
    assert draft.workflow.shared_cache.storage_options == options
    wrong = read({"url": "abfs://c", "wirte": True, "storage_options": {"account_key": "canary-value"}})
    told = "\n".join(map(str, wrong.problems))
    assert "unknown option `wirte`; did you mean `write`?" in told
    assert "`account_key` is a secret" in told
    assert "canary" not in told
    assert "expected a folder, a URL" in str(read(3).problems[0])
    assert "`url`" in str(read({"write": True}).problems[0])
    in_python = Workflow(input_model=HfModelConfig(model_path="org/name"), shared_cache="team/cache")
    assert in_python.shared_cache == SharedCacheConfig(url="team/cache")


# --- housekeeping -----------------------------------------------------------------------------------------------------


def test_housekeeping_counts_verifies_and_removes(cache, store):
    one, two = made(store), made(store, files={"a": "some bytes", "b": "own"}, ingredients={"b": 2})
    assert upkeep.push(cache.contents, [one, two], store) == Sent(2, 4, BYTES + 3)
    assert upkeep.push(cache.contents, [one, two], store) == Sent()
    assert upkeep.holdings(cache.contents) == upkeep.Holdings(2, 4, BYTES + 3)
    assert upkeep.verify(cache.contents) == upkeep.Findings(upkeep.Holdings(2, 4, BYTES + 3), (), ())
    going = upkeep.chosen(cache.contents, [two.key[:10]])
    assert upkeep.remove(cache.contents, going, time.time()) == upkeep.Holdings(1, 1, 3)  # what `one` has, too, stays
    assert again(cache).find(one.key) is not None
    assert again(cache).find(two.key) is None
    assert upkeep.remove(cache.contents, upkeep.chosen(cache.contents), time.time()) == upkeep.Holdings(1, 3, BYTES)
    assert upkeep.holdings(cache.contents) == upkeep.Holdings(0, 0, 0)


def test_a_result_that_is_put_there_during_a_removal_keeps_its_bytes(folder, store, monkeypatch):
    going, coming = made(store), made(store, ingredients={"b": 2})  # of the same bytes
    folder.publish(going, store)
    other, place = again(folder), folder.site.place()
    remove = place.remove

    def meanwhile(name):
        if name.startswith("records/"):
            assert other.publish(coming, store) == Sent(records=1)
        remove(name)

    monkeypatch.setattr(place, "remove", meanwhile)
    assert upkeep.remove(folder.contents, upkeep.chosen(folder.contents), time.time()) == upkeep.Holdings(1, 0, 0)
    monkeypatch.undo()
    assert upkeep.verify(folder.contents) == upkeep.Findings(upkeep.Holdings(1, 3, BYTES), (), ())


def test_bytes_that_are_removed_while_a_result_is_put_there_are_put_there_again(folder, store, monkeypatch):
    going, coming = made(store), made(store, ingredients={"b": 2})
    folder.publish(going, store)
    other, place = again(folder), folder.site.place()
    write = place.write

    def meanwhile(name, content):
        monkeypatch.undo()
        upkeep.remove(other.contents, upkeep.chosen(other.contents), time.time())
        write(name, content)

    monkeypatch.setattr(place, "write", meanwhile)
    assert folder.publish(coming, store) == Sent(records=1, blobs=3, size=BYTES)
    assert upkeep.verify(folder.contents) == upkeep.Findings(upkeep.Holdings(1, 3, BYTES), (), ())


def test_verify_names_what_is_damaged_and_whom_it_concerns(cache, store):
    one, two = made(store), made(store, files={"b": "own"}, ingredients={"b": 2})
    upkeep.push(cache.contents, [one, two], store)
    sha256 = one.trees[0].files["deep/b.txt"].sha256
    cache.site.place().write(f"blobs/{sha256[:2]}/{sha256}", b"MORE")
    cache.site.place().write(f"records/{two.key[:2]}/{two.key}.json", b"{")
    found = upkeep.verify(cache.contents)
    assert found.damaged == (sha256, two.key)
    assert found.affected == (one.key,)


def test_age_decides_and_what_is_on_the_way_stays(folder, store):
    one, two = made(store), made(store, files={"b": "own"}, ingredients={"b": 2})
    upkeep.push(folder.contents, [one, two], store)
    folder.site.place().write(f"blobs/ab/{'ab' * 32}", b"its record comes soon")
    folder.site.place().write(f"blobs/cd/.{'cd' * 32}.0123.tmp", b"left by a crash")
    found = upkeep.verify(folder.contents)
    assert (found.holdings.blobs, found.damaged, found.affected) == (5, ("ab" * 32,), ())  # it is not what it is called
    now = time.time()
    assert upkeep.chosen(folder.contents, before=now - 3600) == []
    later = now + 30 * 86_400
    old = upkeep.chosen(folder.contents, before=later - 3600)
    assert [record.name for record in old] == sorted(f"records/{r.key[:2]}/{r.key}.json" for r in (one, two))
    first = [record for record in old if one.key in record.name]
    assert upkeep.remove(folder.contents, first, now) == upkeep.Holdings(1, 3, BYTES)
    assert upkeep.holdings(folder.contents).blobs == 2
    assert upkeep.remove(folder.contents, [], later) == upkeep.Holdings(
        0, 2, len("its record comes soon" + "left by a crash")
    )


def test_keys_that_fit_none_or_several_are_refused(folder, store):
    upkeep.push(folder.contents, [made(store, ingredients={"n": number}) for number in range(20)], store)
    keys = sorted(path.stem for path in folder.site._folder.path.rglob("*.json"))
    twice = next(a[0] for a, b in itertools.pairwise(keys) if a[0] == b[0])
    with pytest.raises(SystemUnavailable, match=f"several results have keys that begin with {twice}"):
        upkeep.chosen(folder.contents, [twice])
    with pytest.raises(SystemUnavailable, match="no result has a key that begins with nobody"):
        upkeep.chosen(folder.contents, ["nobody"])


def test_housekeeping_of_a_place_that_cannot_be_read_says_so(tmp_path):
    cache = SharedCache(SharedCacheConfig(url="nowhere://x"), tmp_path)
    with pytest.raises(SystemUnavailable, match="the shared cache nowhere://x: "):
        upkeep.holdings(cache.contents)


def test_an_empty_place_holds_nothing(cache):
    assert upkeep.holdings(cache.contents) == upkeep.Holdings(0, 0, 0)
