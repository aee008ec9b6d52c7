"""A job reads what its digests say, or nothing: what lies in a datastore may be written by others at any time."""

import json

import pytest

from olive_engine import run
from olive_engine.config.draft import parse_tree
from olive_engine.contracts import Job
from olive_engine.errors import StoreCorrupt, SystemUnavailable
from olive_engine.models import Manifest, Tree
from olive_engine.reporting.events import StepLog
from olive_engine.reporting.recorder import Recorder
from olive_engine.testing.harness import tree_of
from olive_engine.testing.system_conformance import wait
from olive_engine.testing.toys import build_toy_model
from olive_systems.azure_ml import in_job, layout
from tests.systems.azureml.jobs import on, put, scale, stored

STORE = "workspaceblobstore"


@pytest.fixture
def work(options, project):
    """Run passes on Azure ML; which steps ran, what came of them, and what was said of it."""

    def work(model="base", **passes):
        described = {
            "input_model": {"type": "HfModel", "model_path": model},
            "systems": {"cloud": {"type": "AzureML", **options}},
            "host": "cloud",
            "passes": passes,
        }
        recorder = Recorder()
        result = run(parse_tree(described, project).raise_if_wrong(), recorder)
        said = [event.message for event in recorder.events if isinstance(event, StepLog) and event.level == "warning"]
        return result.executed, json.loads((project / "output/model/numbers.json").read_text()), said

    return work


def overwrite(azureml, prefix, name, text, *, noted=True):
    """Write other bytes, as many as there are, with the same noted digest: nothing but reading them tells."""
    container = azureml.datastores[STORE]
    (path,) = [each for each in azureml.storage.paths(container, prefix) if each.endswith(name)]
    assert len(azureml.storage.read(container, path)) == len(text)
    azureml.storage.write(container, path, text.encode(), azureml.storage.metadata(container, path) if noted else {})
    return path


def scaled(factor, **more):
    return {"type": "ToyScale", "factor": factor, **more}


def test_an_uploaded_tree_with_other_bytes_is_uploaded_again(azureml, work, project):
    assert work(scale=scaled(2.0))[:2] == (("scale",), [2.0, 4.0, 6.0])
    digest = tree_of(project / "base").digest
    path = overwrite(azureml, f"olive-engine/trees/{digest}", "numbers.json", "[9.0, 9.0, 9.0]")
    executed, numbers, said = work(scale=scaled(3.0))
    assert (executed, numbers) == (("scale",), [3.0, 6.0, 9.0])
    (warning,) = said
    assert "numbers.json of the input models/0/model_path has other bytes than when it was described" in warning
    assert warning.endswith("and is uploaded once more); the run plans again")
    assert azureml.storage.read(azureml.datastores[STORE], path) == b"[1.0, 2.0, 3.0]"


def test_a_result_with_other_bytes_is_made_again(azureml, work):
    assert work(scale=scaled(2.0), again=scaled(2.0))[:2] == (("scale", "again"), [4.0, 8.0, 12.0])
    container = azureml.datastores[STORE]
    left = [path for path in stored(azureml, "results/") if path.endswith("numbers.json")]
    (first,) = [path.split("/")[2] for path in left if azureml.storage.read(container, path) == b"[2.0, 4.0, 6.0]"]
    overwrite(azureml, f"olive-engine/results/{first}/", "numbers.json", "[7.0, 7.0, 7.0]")
    executed, numbers, said = work(scale=scaled(2.0), again=scaled(5.0))
    assert (executed, numbers) == (("scale", "again"), [10.0, 20.0, 30.0])
    assert len(said) == 1
    assert f"results/{first}/outputs/0/model has other bytes" in said[0]


def test_a_users_file_that_was_changed_meanwhile_is_named(azureml, make, tmp_path):
    """It was described, and then written anew in place."""
    base = build_toy_model(tmp_path / "base", (1.0, 2.0, 3.0)).model_path
    azureml.storage.upload(base, azureml.datastores[STORE], "models/base")
    system = make()
    found = system.listing(f"azureml://datastores/{STORE}/paths/models/base")
    tree = Tree(files=tree_of(base).files, location=found.location)
    given = Manifest(kind="HfModel", parts={"model_path": tree})
    overwrite(azureml, "models/base", "numbers.json", "[9.0, 9.0, 9.0]")
    handle = system.submit(on(tmp_path, given))
    with pytest.raises(SystemUnavailable) as raised:
        wait(handle)
    assert str(raised.value) == f"numbers.json of {found.location} was changed since the run began; run again"


def test_a_file_that_is_gone_from_a_tree_is_uploaded_by_the_next_attempt(azureml, make, tmp_path):
    """Deleted while the job was queued."""
    model = build_toy_model(tmp_path / "base")
    digest = tree_of(model.model_path).digest
    system = make()
    assert wait(system.submit(scale(tmp_path, model))).state == "done"
    azureml.storage.delete(azureml.datastores[STORE], f"olive-engine/trees/{digest}/numbers.json")
    with pytest.raises(StoreCorrupt, match=r"numbers.json of the input models/0/model_path is missing"):
        wait(system.submit(scale(tmp_path, model, factor=3.0)))
    assert wait(system.submit(scale(tmp_path, model, factor=4.0))).state == "done"


def test_others_are_not_told_where_files_lie_here(azureml, make, tmp_path):
    """Neither by what a job reads nor by what it says."""
    model = build_toy_model(tmp_path / "base")
    system = make()
    job = scale(tmp_path, model, seconds=2.0)
    assert str(tmp_path) in (job / "job.json").read_text()
    handle = put(system.submit(job))
    (path,) = stored(azureml, f"submitted/{handle.name}/")
    text = azureml.storage.read(azureml.datastores[STORE], path).decode()
    assert str(tmp_path) not in text
    assert Job.model_validate_json(text).models[0].parts["model_path"].files == tree_of(model.model_path).files
    assert wait(handle).state == "done"
    assert not [body for _, body in azureml.recorder.bodies() if str(tmp_path).encode() in body]


def given(folder, tree):
    """A job that reads a tree, described as an engine sends it."""
    manifest = Manifest(kind="HfModel", parts={"model_path": tree})
    job = Job(id="j", kind="pass", models=(manifest,), items=())
    (folder / "sent.json").write_text(layout.as_sent(job).model_dump_json())
    (folder / "job").mkdir()
    return layout.lay_out(folder / "job", folder / "sent.json", {"models/0/model_path": folder / "mounted"})


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (None, "is missing"),
        ("other", "has 5 bytes, not 3"),
        ("two", "has other bytes than when it was described"),
    ],
)
def test_a_job_lays_out_nothing_but_what_it_was_told(tmp_path, found, why):
    (tmp_path / "mounted").mkdir()
    (tmp_path / "mounted/a.txt").write_text("one")
    tree = tree_of(tmp_path / "mounted")
    (tmp_path / "mounted/a.txt").unlink()
    if found:
        (tmp_path / "mounted/a.txt").write_text(found)
    with pytest.raises(layout.InputSpoilt) as raised:
        given(tmp_path, tree)
    assert str(raised.value) == f"a.txt of the input models/0/model_path {why}"
    assert not (tmp_path / "job/inputs").exists()


def test_a_job_works_on_the_disk_that_its_output_is_on(tmp_path):
    """So that what it has made is moved there, not copied."""
    folder = in_job._working_folder(tmp_path / "wd" / "result")
    assert (folder.parent, folder.stat().st_dev) == (tmp_path / "wd", (tmp_path / "wd/result").stat().st_dev)
    (folder / "outputs/0").mkdir(parents=True)
    (folder / "outputs/0/large").write_bytes(bytes(1000))
    (folder / "result.json").write_text("{}")
    number = (folder / "outputs/0/large").stat().st_ino
    in_job.keep(folder, tmp_path / "wd/result")
    assert (tmp_path / "wd/result/outputs/0/large").stat().st_ino == number


def test_a_failure_names_the_users_own_files(azureml, make, tmp_path):
    """Though the job has never heard of them."""
    model = build_toy_model(tmp_path / "my models" / "base")
    (model.model_path / "numbers.json").unlink()
    handle = make().submit(scale(tmp_path, model))
    assert wait(handle).state == "done"
    (item,) = handle.collect(fetch=False).items
    assert item.error is not None
    assert item.error.message == f"[Errno 2] No such file or directory: '{model.model_path}/numbers.json'"
