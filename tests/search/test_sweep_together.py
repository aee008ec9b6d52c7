"""Several runs of one search at once on one cache, and one that stops the others."""

import json
import signal
import threading

import pytest

from olive_engine import load_workflow, run
from olive_engine.errors import Interrupted
from olive_engine.reporting import events
from olive_engine.reporting.recorder import Recorder
from olive_engine.search.storage import open_storage
from olive_engine.search.study import Study
from olive_engine.store import Store
from olive_engine.testing.toys import build_toy_model
from tests.search.conftest import TUNE, plain, tree_of, workers

SMALL = {"max_samples": 6, "wave_size": 3, "rungs": [0.25, 0.5], "pruner_config": {"min_finalists": 1}}


def written(folder, strategy=SMALL, outputs=("output",), **more):
    """A project of its own with a workflow file for each of some output folders."""
    folder.mkdir()
    build_toy_model(folder / "base", (1.0, 2.0, 3.0, 0.5))
    for name in outputs:
        (folder / f"{name}.json").write_text(json.dumps(tree_of(strategy, output_dir=name, **more)))
    return folder


def ended(folder, monkeypatch, *, debug=True):
    monkeypatch.chdir(folder)
    recorder = Recorder()
    result = run(load_workflow("output.json"), recorder, debug=debug)
    started = [event.step for event in recorder.events if isinstance(event, events.StepStarted)]
    return plain(result.sweep.trials), list(result.sweep.best), started


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        return ended(written(tmp_path_factory.mktemp("undisturbed") / "all"), patch)


@pytest.mark.parametrize("debug", [True, False], ids=["in process", "in workers"])
@pytest.mark.parametrize("count", [2, 3])
def test_runs_at_once_share_the_work(engines, tmp_path, monkeypatch, undisturbed, count, debug):
    outputs = ["output", "second", "third"][:count]
    folder = written(tmp_path / "all", outputs=outputs, **({} if debug else workers(2)))
    told = engines.run(*({"folder": str(folder), "workflow": f"{name}.json", "debug": debug} for name in outputs))
    trials, best, started = undisturbed
    assert [each.get("best") for each in told] == [best] * count, told
    together = sorted(step for each in told for step in each["started"])
    assert together == sorted(started)
    models = {(folder / name / "model" / "numbers.json").read_bytes() for name in outputs}
    assert len(models) == 1
    assert ended(folder, monkeypatch, debug=debug) == (trials, best, [])


def test_what_is_left_of_one_that_is_killed_the_other_one_does(engines, tmp_path, monkeypatch, undisturbed):
    folder = written(tmp_path / "all", outputs=["output", "second"])
    one, other = engines.run(
        {"folder": str(folder), "workflow": "output.json"},
        {"folder": str(folder), "workflow": "second.json", "moment": 15},
    )
    trials, best, _ = undisturbed
    assert (one["best"], other["signal"]) == (best, signal.SIGKILL)
    assert ended(folder, monkeypatch) == (trials, best, [])


def test_runs_at_once_try_what_failed_again_once(engines, tmp_path, monkeypatch):
    tune = {**TUNE["tune"], "misbehave": "raise", "mended_by": str(tmp_path / "mended")}
    whole = {"passes": {**TUNE, "tune": tune}, "strategy": {"max_samples": 3, "wave_size": 3, "pruner": "none"}}
    folder = written(tmp_path / "all", outputs=["output", "second"], **whole)
    (told,) = engines.run({"folder": str(folder), "workflow": "output.json"})
    assert (told["error"], told["exit"]) == ("PassFailed", 1), told
    (tmp_path / "mended").touch()
    told = engines.run(*({"folder": str(folder), "workflow": f"{name}.json"} for name in ("output", "second")))
    assert told[0]["best"] == told[1]["best"]
    trials, best, started = ended(folder, monkeypatch)
    assert [(trial.number, trial.index, trial.state, trial.retry_of) for trial in trials] == [
        *((number, number, "failed", None) for number in range(3)),
        *((number + 3, number, "complete", number) for number in range(3)),
    ]
    assert best == told[0]["best"]
    assert started == []


# --- stopping -----------------------------------------------------------------------------------------------------


def study_of(cache, name):
    folder = cache / "studies"
    return Study.find(open_storage(None, folder), name, folder)


class Stopper(Recorder):
    """Somebody who asks the search to stop when a kind of event has been seen so often."""

    def __init__(self, cache, kind, count):
        super().__init__()
        self.cache, self.kind, self.left = cache, kind, count

    def on_event(self, event):
        super().on_event(event)
        if isinstance(event, self.kind):
            self.left -= 1
            if self.left == 0:
                study_of(self.cache, self.events[0].study).request_stop()


@pytest.mark.parametrize(("kind", "count"), [(events.RungBegan, 2), (events.TrialEnded, 3)])
def test_a_search_that_is_asked_to_stop_stops_and_goes_on_later(tmp_path, monkeypatch, undisturbed, kind, count):
    folder = written(tmp_path / "all")
    monkeypatch.chdir(folder)
    stopper = Stopper(folder / ".olive-cache", kind, count)
    with pytest.raises(Interrupted, match=r"^stopped as asked; finished steps are kept$"):
        run(load_workflow("output.json"), stopper, debug=True)
    done = [event.step for event in stopper.events if isinstance(event, events.StepFinished) and not event.reused]
    trials, best, started = ended(folder, monkeypatch)
    assert (trials, best) == undisturbed[:2]
    assert sorted(done + started) == sorted(undisturbed[2])


def test_a_search_is_stopped_in_the_middle_of_a_step(tmp_path, monkeypatch):
    passes = {"scale": {"type": "ToyScale", "seconds": 60.0}, **TUNE}
    folder = written(tmp_path / "all", passes=passes)
    monkeypatch.chdir(folder)
    recorder = Recorder()

    def stop():
        study_of(folder / ".olive-cache", recorder.events[0].study).request_stop()

    timer = threading.Timer(1.0, stop)
    timer.start()
    with pytest.raises(Interrupted) as stopped:
        run(load_workflow("output.json"), recorder)
    timer.join()
    assert stopped.value.exit_code == 130
    assert not [event for event in recorder.events if isinstance(event, events.StepFinished | events.TrialEnded)]
    study = study_of(folder / ".olive-cache", recorder.events[0].study)
    assert [trial.state for trial in study.trials()] == ["running"] * 3
    assert Store(folder / ".olive-cache").runs() == 0
