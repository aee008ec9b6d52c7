"""A second machine takes what the first one has computed; what is wrong there is computed again, whatever it is."""

import json
import shutil
import threading

import pytest

from olive_engine import plan, run
from olive_engine.digests import digest, file_digest
from olive_engine.errors import Interrupted
from olive_engine.reporting.events import PlanMade, StepFinished, Warned
from olive_engine.reporting.recorder import Recorder
from olive_engine.store import Store
from olive_engine.store.shared import ENOUGH, SharedCache
from olive_engine.testing.toys import NUMBERS
from tests.engine.conftest import TUNE, tree_bytes

STEPS = ("scale", "tune", "merge")


@pytest.fixture(params=["folder", "memory"])
def url(request, project):
    import fsspec

    yield str(project / "team") if request.param == "folder" else f"memory://{project.name}/team"
    fsspec.filesystem("memory").store.clear()


@pytest.fixture
def first(make, project, url):
    """A machine that puts there what it computes."""
    result = run(make(shared_cache={"url": url, "write": True}, cache_dir="first"))
    assert result.executed == STEPS
    return tree_bytes(project / "output" / "model")


def second(make, url, write=False, **more):
    """The workflow on another machine."""
    shared = {"url": url, "write": write}
    return make(**{"shared_cache": shared, "cache_dir": "second", "output_dir": "out2", **more})


def there(project, url):
    """The store of the first machine, to know what its results are."""
    return Store(project / "first").records


def test_a_second_machine_computes_nothing_and_gets_the_same_bytes(make, project, url, first):
    reporter = Recorder()
    result = run(second(make, url), reporter)
    assert (result.executed, result.reused) == ((), STEPS)
    assert tree_bytes(project / "out2" / "model") == first
    finished = [event for event in reporter.events if isinstance(event, StepFinished)]
    assert {event.source for event in finished} == {
        Store(project / "second").records.load(result.steps["merge"].key).provenance.source
    }
    assert not [event for event in reporter.events if isinstance(event, Warned)]
    again = run(second(make, url, output_dir="out3"))
    assert again.executed == ()


def test_only_the_bytes_of_the_final_model_are_fetched(make, project, url, first):
    result = run(second(make, url))
    merged = Store(project / "second").records.load(result.steps["merge"].key)
    fetched = {path.name for path in (project / "second" / "blobs").glob("*/*")}
    assert fetched == {entry.sha256 for tree in merged.trees for entry in tree.files.values()}


def test_a_changed_step_reads_only_what_it_needs_from_there(make, project, url, first):
    changed = {**TUNE, "merge": {"type": "ToyScale", "factor": 7.0, "input": "scale"}}
    result = run(second(make, url, passes=changed))
    assert result.executed == ("merge",)
    tune = there(project, url).load(result.steps["tune"].key)
    fetched = {path.name for path in (project / "second" / "blobs").glob("*/*")}
    scale = there(project, url).load(result.steps["scale"].key)
    assert {entry.sha256 for tree in scale.trees for entry in tree.files.values()} <= fetched
    if "tune" not in {entry.name for entry in (project / "out2").iterdir()}:  # nobody's final model
        assert not {entry.sha256 for tree in tune.trees for entry in tree.files.values()} & fetched


def test_the_plan_asks_a_folder_and_no_network(make, url, first):
    workflow = second(make, url)
    assert plan(workflow).to_run == (() if "://" not in url else STEPS)


@pytest.mark.parametrize("url", ["folder"], indirect=True)
@pytest.mark.parametrize("harm", ["poison", "truncate", "remove"])
def test_a_damaged_blob_is_computed_again(make, project, url, first, harm):
    record = there(project, url).load(run(make(cache_dir="first", output_dir="x")).steps["merge"].key)
    sha256 = record.output.parts["model_path"].files[NUMBERS].sha256
    blob = project / "team/olive-cache-1/blobs" / sha256[:2] / sha256
    good = blob.read_bytes()
    blob.chmod(0o644)
    if harm == "remove":
        blob.unlink()
    else:
        blob.write_bytes(good.replace(b"1", b"7")[: None if harm == "poison" else 3])
    result = run(second(make, url, write=True))
    assert "merge" in result.executed
    assert tree_bytes(project / "out2" / "model") == first
    assert blob.read_bytes() == good  # and it was put right there


@pytest.mark.parametrize("harm", ["other", "gone"])
def test_any_number_of_damaged_results_is_computed_again(make, project, harm):
    passes = {
        f"p{factor}": {"type": "ToyScale", "input": "input_model", "factor": float(factor)} for factor in range(2, 8)
    }
    run(make(passes, shared_cache={"url": "team", "write": True}, cache_dir="first"))
    records = Store(project / "first").records
    for _, record in records.each():  # of each result what no other has
        sha256 = record.output.parts["model_path"].files[NUMBERS].sha256
        blob = project / "team/olive-cache-1/blobs" / sha256[:2] / sha256
        blob.chmod(0o644)
        if harm == "gone":
            blob.unlink()
        else:
            blob.write_bytes(b"x" * blob.stat().st_size)
    reporter = Recorder()
    run(second(make, "team", passes=passes), reporter)
    finished = [event for event in reporter.events if isinstance(event, StepFinished)]
    assert sorted(event.step for event in finished if not event.reused) == sorted(passes)
    assert tree_bytes(project / "out2" / "p7" / "model") == tree_bytes(project / "output" / "p7" / "model")
    assert sum(isinstance(event, PlanMade) for event in reporter.events) == ENOUGH + 1
    (warning,) = [str(event) for event in reporter.events if isinstance(event, Warned)]
    assert "has damaged results: no more are taken from it in this run" in warning


# --- what others may have written there -------------------------------------------------------------------------------

SCALE = {"scale": {"type": "ToyScale"}}


def forge(project, change):
    """Change what is said of the only result in the shared cache, with a digest that fits."""
    (path,) = (project / "team/olive-cache-1/records").glob("*/*.json")
    record = json.loads(path.read_text())["record"]
    change(record)
    path.write_text(json.dumps({"sha256": digest(record), "record": record}))


@pytest.fixture
def scaled(make, project):
    """A result in the shared cache, and the bytes of its model."""
    run(make(SCALE, shared_cache={"url": "team", "write": True}, cache_dir="first"))
    return tree_bytes(project / "output" / "model")


def _another_part(record):
    record["output"]["parts"]["../../escaped"] = record["output"]["parts"]["model_path"]
    record["made"].append("../../escaped")


def _another_kind(record):
    record["output"]["kind"] = "Nonsense"


def _predictions(record):
    record["output"] |= {"kind": "Predictions", "attributes": {}}
    record["output"]["parts"] = {"predictions_path": record["output"]["parts"]["model_path"]}
    record["made"] = ["predictions_path"]


def _other_parts(record):
    record["output"]["parts"] = {"adapter_path": record["output"]["parts"]["model_path"]}
    record["made"] = ["adapter_path"]


def _no_output(record):
    record |= {"output": None, "made": []}


def _of_another_type(record):
    record["type"] = "ToyTrain"


@pytest.mark.parametrize(
    "change", [_another_part, _another_kind, _predictions, _other_parts, _no_output, _of_another_type]
)
def test_a_result_that_the_step_cannot_have_given_is_none(make, project, scaled, change):
    forge(project, change)
    before = {path for path in project.rglob("*") if path.name == "escaped"}
    result = run(second(make, "team", passes=SCALE))
    assert result.executed == ("scale",)
    assert tree_bytes(project / "out2" / "model") == scaled
    assert {path for path in project.rglob("*") if path.name == "escaped"} == before == set()


def test_a_result_that_is_a_folder_of_this_machine_is_none(make, project, scaled):
    (project / "victim").mkdir()
    (project / "victim/id_rsa").write_text("private")

    def pointing(record):
        entry = {"sha256": file_digest(project / "victim/id_rsa"), "size": 7}
        tree = {"files": {"id_rsa": entry}, "location": (project / "victim").as_uri(), "places": {}}
        record["output"]["parts"]["model_path"] = tree
        record["made"] = []

    forge(project, pointing)
    result = run(second(make, "team", passes=SCALE))
    assert result.executed == ("scale",)
    assert result.models["scale"].model_path == project / "out2" / "model"
    assert tree_bytes(project / "out2" / "model") == scaled


def test_a_wrong_size_in_a_record_does_not_cost_the_bytes_that_are_here(make, project, scaled):
    run(make(SCALE, cache_dir="second"))
    store = Store(project / "second")
    store.records.forget(store.records.last("pass", "ToyScale", "scale").key)

    def longer(record):
        for entry in record["output"]["parts"]["model_path"]["files"].values():
            entry["size"] += 1

    forge(project, longer)
    assert run(second(make, "team", passes=SCALE)).executed == ("scale",)
    assert tree_bytes(project / "out2" / "model") == scaled
    assert not (project / "second/quarantine").exists()


def test_a_result_under_another_name_is_taken_and_remembered_under_ours(make, project, scaled):
    forge(project, lambda record: record.update(step="merge"))
    result = run(second(make, "team", passes=SCALE))
    assert result.executed == ()
    records = Store(project / "second").records
    assert records.last("pass", "ToyScale", "merge") is None
    assert records.last("pass", "ToyScale", "scale").step == "scale"


# --- what an earlier run could not put there ----------------------------------------------------------------------


def test_results_of_earlier_runs_are_put_there_once(make, project, monkeypatch):
    run(make())
    offered = []
    offer = SharedCache.offer
    monkeypatch.setattr(
        SharedCache, "offer", lambda cache, record, store: offered.append(record.step) or offer(cache, record, store)
    )
    writing = make(shared_cache={"url": "team", "write": True})
    assert run(writing).executed == ()
    assert len(list((project / "team").rglob("records/*/*.json"))) == len(STEPS)
    assert sorted(offered) == sorted(STEPS)
    offered.clear()
    assert run(second(make, "team", write=True)).executed == ()
    assert offered == []  # they came from there


def test_results_that_wait_at_an_interruption_are_told_and_put_there_by_the_next_run(make, project, monkeypatch):
    begun, go_on = threading.Event(), threading.Event()
    publish = SharedCache.publish

    def slow(cache, record, store):
        begun.set()
        assert go_on.wait(30)
        return publish(cache, record, store)

    class Impatient(Recorder):
        """Presses Ctrl-C when all but one are done."""

        def on_event(self, event):
            super().on_event(event)
            if isinstance(event, Warned):
                go_on.set()
            if sum(isinstance(each, StepFinished) for each in self.events) == 3 and not go_on.is_set():
                assert begun.wait(30)
                raise KeyboardInterrupt

    passes = {
        f"p{factor}": {"type": "ToyScale", "input": "input_model", "factor": float(factor)} for factor in (2, 3, 4)
    }
    passes["long"] = {"type": "ToyScale", "input": "input_model", "factor": 5.0, "seconds": 60.0}
    shared = {"url": "team", "write": True}
    monkeypatch.setattr(SharedCache, "publish", slow)
    (project / "team").mkdir()
    reporter = Impatient()
    with pytest.raises(Interrupted):
        run(make(passes, shared_cache=shared), reporter)
    monkeypatch.undo()
    (warning,) = [event.message for event in reporter.events if isinstance(event, Warned)]
    assert warning == (
        f"2 results were not put into the shared cache {(project / 'team').as_uri()}, as far as not there already: "
        "the next run does that, or `olive shared-cache push`"
    )
    assert len(list((project / "team").rglob("records/*/*.json"))) == 1
    passes["long"]["seconds"] = 0.0
    assert run(make(passes, shared_cache=shared)).executed == ("long",)
    assert len(list((project / "team").rglob("records/*/*.json"))) == 4


def test_run_json_names_where_results_came_from(make, project, url, first):
    run(second(make, url))
    text = (project / "out2" / "run.json").read_text()
    source = (project / "team").as_uri() if "://" not in url else url
    steps = json.loads(text)["steps"]
    told = json.dumps(steps)
    assert told.count(f'"{source}"') == len(STEPS)
    assert f'"{source}"' not in json.dumps(json.loads((project / "output" / "run.json").read_text())["steps"])


def test_without_write_nothing_is_put_there(make, project):
    run(make(shared_cache="team"))
    assert not (project / "team").exists()


def test_private_steps_are_neither_put_there_nor_read(make, project):
    trusting = {"type": "HfModel", "model_path": "base", "load_kwargs": {"trust_remote_code": True}}
    shared = {"url": "team", "write": True}
    run(make(shared_cache=shared, input_model=trusting))
    assert not list((project / "team").rglob("*.json"))


def test_a_cache_that_cannot_be_reached_is_one_warning(make, project):
    reporter = Recorder()
    result = run(make(shared_cache={"url": "nowhere://x", "write": True}), reporter)
    assert result.executed == STEPS
    (warning,) = [str(event) for event in reporter.events if isinstance(event, Warned)]
    assert "the shared cache nowhere://x is left out: " in warning


@pytest.mark.parametrize(
    "shared", [{"url": "nowhere://x", "write": True}, {"url": "gone/team", "write": True}, "gone", "numbers.txt"]
)
def test_a_cache_that_is_left_out_is_told_before_the_first_step(make, project, shared):
    (project / "numbers.txt").write_text("a file")
    reporter = Recorder()
    assert run(make(shared_cache=shared), reporter).executed == STEPS
    told = [type(event) for event in reporter.events if isinstance(event, Warned | PlanMade)]
    assert told == [Warned, PlanMade]
    assert not (project / "gone").exists()


def test_a_folder_that_has_gone_is_computed_again_and_not_made(make, project, first, url):
    if "://" in url:
        return
    run(second(make, url))
    changed = {**TUNE, "merge": {"type": "ToyScale", "factor": 7.0, "input": "scale"}}
    (project / "team").rename(project / "unmounted")
    planned = plan(second(make, url, write=True, passes=changed))
    team = (project / "team").as_uri()
    assert planned.steps["scale"].reasons == (f"its files were in the shared cache {team}, which is left out",)
    reporter = Recorder()
    result = run(second(make, url, write=True, passes=changed, output_dir="out3"), reporter)
    assert "scale" in result.executed
    (warning,) = [event.message for event in reporter.events if isinstance(event, Warned)]
    assert f"the shared cache {team} is left out: the folder {project / 'team'} is not there now" in warning
    assert "damaged" not in str(reporter.events)
    assert not (project / "team").exists()


def test_a_result_comes_from_there_only_while_its_bytes_are_not_here(make, project, first, url):
    if "://" in url:
        return
    team = (project / "team").as_uri()
    assert {step.source for step in plan(second(make, url)).steps.values()} == {team}

    def sources(workflow):
        reporter = Recorder()
        run(workflow, reporter)
        return {event.step: event.source for event in reporter.events if isinstance(event, StepFinished)}

    assert set(sources(second(make, url)).values()) == {team}
    later = sources(second(make, url))
    assert later["merge"] == ""  # it was fetched
    assert later["scale"] == team  # nobody has needed its bytes here
    text = json.loads((project / "out2" / "run.json").read_text())
    assert {step["provenance"]["source"] for step in text["steps"]} == {team}


def test_no_secret_of_its_options_is_written_anywhere(make, project, monkeypatch):
    monkeypatch.setenv("SHARED_KEY", "canary-4d5e6f")
    options = {"some_key": "${env:SHARED_KEY}"}
    shared = {"url": f"memory://{project.name}/canaries", "write": True, "storage_options": options}
    run(make(shared_cache=shared))
    shutil.rmtree(project / ".olive-cache")
    assert run(make(shared_cache=shared)).executed == ()
    found = [path for path in project.rglob("*") if path.is_file() and b"canary-4d5e6f" in path.read_bytes()]
    assert found == []
    import fsspec

    there = fsspec.filesystem("memory")
    assert not [name for name in there.find("/") if b"canary-4d5e6f" in there.cat_file(name)]
    there.store.clear()
