"""A damaged cache: noticed when read, quarantined, recomputed; never believed."""

import os

import pytest

from olive_engine import plan, run
from olive_engine.store import Store
from olive_engine.testing.toys import NUMBERS
from tests.engine.conftest import TUNE, tree_bytes


def blob_of(project, result, step, part="model_path", name=NUMBERS):
    store = Store(project / ".olive-cache")
    record = store.records.load(result.steps[step].key)
    return store.blobs.path(record.output.parts[part].files[name].sha256)


def flip(path, *, keep_stamp):
    """Change one byte, with or without the traces that an ordinary edit leaves."""
    stat = path.stat()
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[1] ^= 1
    path.write_bytes(bytes(data))
    if keep_stamp:
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def truncate(path, *, keep_stamp):
    stat = path.stat()
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:3])
    if keep_stamp:
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.mark.parametrize("keep_stamp", [False, True], ids=["edited", "silently"])
@pytest.mark.parametrize("harm", [flip, truncate])
def test_a_damaged_intermediate_result_is_recomputed(make, project, harm, keep_stamp):
    first = run(make())
    pristine = tree_bytes(project / "output" / "model")
    harm(blob_of(project, first, "scale"), keep_stamp=keep_stamp)
    changed = {**TUNE, "tune": {"type": "ToyTrain", "steps": 21}}
    again = run(make(changed))
    assert again.executed == ("scale", "tune", "merge")
    back = run(make())
    assert back.executed == ()
    assert tree_bytes(project / "output" / "model") == pristine
    assert Store(project / ".olive-cache").verify() == []


@pytest.mark.parametrize("harm", [flip, truncate])
def test_a_silently_damaged_final_model_is_recomputed(make, project, harm):
    first = run(make())
    pristine = tree_bytes(project / "output" / "model")
    harm(blob_of(project, first, "merge"), keep_stamp=True)
    again = run(make(output_dir="second"))
    assert again.executed == ("merge",)
    assert tree_bytes(project / "second" / "model") == pristine
    assert len(list((project / ".olive-cache" / "quarantine").iterdir())) == 1


def test_a_damaged_record_is_no_record(make, project):
    first = run(make())
    path = project / ".olive-cache" / "records" / "by_key" / first.steps["merge"].key[:2]
    record = path / f"{first.steps['merge'].key}.json"
    record.write_text(record.read_text().replace('"ToyMerge"', '"ToyMarge"'))
    assert plan(make()).to_run == ("merge",)


def test_an_input_recomputed_to_other_bytes_is_a_reason_to_rerun(make, project):
    """The key of `merge` is the same, but what it was made from no longer exists in that form."""
    first = run(make())
    store = Store(project / ".olive-cache")
    record = store.records.load(first.steps["merge"].key)
    store.records.save(record.model_copy(update={"inputs": {"model 0": "0" * 64}}))
    again = run(make())
    assert again.executed == ("merge",)


def test_verify_finds_and_removes_damage(make, project):
    first = run(make())
    blob = blob_of(project, first, "scale")
    flip(blob, keep_stamp=True)
    store = Store(project / ".olive-cache")
    assert store.verify() == [blob.name]
    assert store.verify() == []
    assert plan(make()).to_run == ()  # nothing reads it any more
    changed = make({**TUNE, "tune": {"type": "ToyTrain", "steps": 9}})
    assert plan(changed).to_run == ("scale", "tune", "merge")


def test_gc_removes_everything_unused_and_a_run_starts_anew(make, project):
    run(make())
    store = Store(project / ".olive-cache")
    assert store.usage().records == 3
    assert store.collect_garbage(older_than=3600) == 0
    freed = store.collect_garbage(older_than=0)
    assert freed > 0
    assert (store.usage().records, store.usage().blobs) == (0, 0)
    assert run(make()).executed == ("scale", "tune", "merge")
