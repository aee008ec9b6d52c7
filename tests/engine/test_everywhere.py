"""On every system failures end alike, with nothing half-made in the cache; a graph over all gives one result."""

import _thread
import threading

import pytest

from olive_engine import plan, run
from olive_engine.errors import Interrupted, PassFailed
from olive_engine.reporting.events import StepFinished, StepStarted
from olive_engine.reporting.recorder import Recorder
from olive_engine.store import Store
from tests.engine.conftest import TUNE, tree_bytes
from tests.systems.conftest import home, shared_home  # noqa: F401 - fixtures
from tests.systems.docker.conftest import IMAGE, fake  # noqa: F401 - fixtures
from tests.systems.test_python_environment import SAME

PLACES = ("LocalSystem", "PythonEnvironment", "Docker", "DetachedSystem")


@pytest.fixture
def systems(project, home, fake):  # noqa: F811 - the fixtures
    """A system of each type."""
    (project / "elsewhere").mkdir()
    return {
        "LocalSystem": {"type": "LocalSystem", "workers": 2, "threads": 1},
        "PythonEnvironment": {"type": "PythonEnvironment", "requirements": list(SAME), "workers": 2, "threads": 1},
        "Docker": {"type": "Docker", "image_name": IMAGE, "threads": 1},
        "DetachedSystem": {"type": "DetachedSystem", "root": str(project / "elsewhere")},
    }


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("misbehave", "cause"),
    [
        ("raise", "^middle: RuntimeError: asked to fail"),
        ("kill", "^middle: .*9"),
        ("fill the disk", "^middle: there is no space left on the disk of "),
        ("write nothing", "^middle: the pass wrote nothing under outputs/0/model"),
    ],
)
def test_a_failure_leaves_nothing_half_made(make, project, systems, place, misbehave, cause):
    middle = {"type": "ToyScale", "factor": 3.0, "host": place}
    passes = {"first": {"type": "ToyScale"}, "middle": {**middle, "misbehave": misbehave}, "last": {"type": "ToyScale"}}
    with pytest.raises(PassFailed, match=cause):
        run(make(passes, systems=systems))
    store = Store(project / ".olive-cache")
    assert store.verify() == []
    (record,) = [record for _, record in store.records.each()]
    assert record.step == "first"
    assert {sha256 for sha256, _ in store.blobs.each()} == {file.sha256 for file in record.trees[0].files.values()}
    assert list((project / ".olive-cache" / "jobs").glob("*/submitted")) == []
    assert not (project / "output" / "model").exists()
    mended = make({**passes, "middle": middle}, systems=systems)
    assert run(mended).executed == ("middle", "last")
    assert (project / "output" / "model" / "numbers.json").read_text() == "[12.0, 24.0, 36.0]"


class Impatient(Recorder):
    """Somebody who presses Ctrl-C a second after the slow step has begun."""

    def on_event(self, event):
        super().on_event(event)
        if isinstance(event, StepStarted) and event.step == "slow":
            threading.Timer(1.0, _thread.interrupt_main).start()


@pytest.mark.slow
@pytest.mark.parametrize("place", [place for place in PLACES if place != "DetachedSystem"])  # that one cannot stop
def test_a_cancelled_job_ends_and_leaves_nothing_half_made(make, project, systems, fake, place):  # noqa: F811 - the fixture
    passes = {"first": {"type": "ToyScale"}, "slow": {"type": "ToyScale", "seconds": 60.0, "host": place}}
    with pytest.raises(Interrupted):
        run(make(passes, systems=systems), Impatient())
    store = Store(project / ".olive-cache")
    assert [record.step for _, record in store.records.each()] == ["first"]
    assert store.verify() == []
    assert list((project / ".olive-cache" / "jobs").glob("*/submitted")) == []
    assert fake.containers() == []
    assert plan(make(passes, systems=systems)).to_run == ("slow",)


@pytest.mark.slow
def test_a_graph_over_all_systems_gives_the_bytes_of_the_local_run(make, project, systems):
    passes = {
        "scale": {"type": "ToyScale", "factor": 1.5, "host": "Docker"},
        "left": {"type": "ToyTrain", "steps": 7, "host": "PythonEnvironment"},
        "left_merge": {"type": "ToyMerge", "host": "DetachedSystem"},
        "right": {"type": "ToyTrain", "steps": 9, "input": "scale", "host": "DetachedSystem"},
        "right_merge": {"type": "ToyMerge", "host": "LocalSystem"},
        "sum": {"type": "ToySum", "inputs": ["left_merge", "right_merge"], "host": "Docker"},
    }
    more = {
        "evaluators": {"e": {"metrics": [{"name": "n", "type": "size_on_disk"}], "target": "PythonEnvironment"}},
        "evaluator": "e",
    }
    local = {name: {key: value for key, value in entry.items() if key != "host"} for name, entry in passes.items()}
    here = {**more, "evaluators": {"e": {"metrics": more["evaluators"]["e"]["metrics"]}}}
    all_local = run(make(local, **here, cache_dir="local-cache", output_dir="local"))
    spread = run(make(passes, **more, systems=systems))
    assert tree_bytes(project / "output" / "model") == tree_bytes(project / "local" / "model")
    assert spread.metrics == all_local.metrics
    assert {name: step.key for name, step in spread.steps.items()} == {
        name: step.key for name, step in all_local.steps.items()
    }
    assert plan(make(passes, **more, systems=systems)).to_run == ()


@pytest.mark.slow
@pytest.mark.parametrize("pair", [("LocalSystem", "Docker"), ("PythonEnvironment", "DetachedSystem")], ids="+".join)
def test_branches_on_two_systems_overlap_in_time(make, systems, pair):
    one, other = pair
    passes = {
        "left": {"type": "ToyScale", "seconds": 1.0, "host": one},
        "right": {"type": "ToyScale", "seconds": 1.0, "factor": 3.0, "input": "input_model", "host": other},
    }
    recorder = Recorder()
    run(make(passes, systems=systems), recorder)
    moments = [
        (type(event).__name__, event.step) for event in recorder.events if isinstance(event, StepStarted | StepFinished)
    ]
    assert {name for name, _ in moments[:2]} == {"StepStarted"}
    assert {step for _, step in moments[:2]} == {"left", "right"}


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
def test_a_poisoned_path_and_a_decoy_change_nothing(make, project, systems, monkeypatch, place):
    for folder in ("poison", "."):
        (project / folder / "olive_engine").mkdir(parents=True)
        (project / folder / "olive_engine" / "__init__.py").write_text("raise SystemExit('decoy')")
    monkeypatch.setenv("PYTHONPATH", str(project / "poison"))
    run(make(TUNE, systems=systems, host=place))
    assert len(tree_bytes(project / "output" / "model")) == 3
