"""A search killed at any moment, and run again, ends as if nothing had happened."""

import json
import signal

import pytest

from olive_engine import load_workflow, run
from olive_engine.store import Store
from olive_engine.testing.toys import build_toy_model
from tests.search.conftest import TUNE, plain, tree_of, workers

SMALL = {"max_samples": 6, "wave_size": 3, "rungs": [0.25, 0.5], "pruner_config": {"min_finalists": 1}}
EVENTS = 67
"""Of the whole search, training progress aside."""
WRITES = 47
"""To the study."""


def written(folder, strategy=SMALL, **more):
    """A project of its own with a workflow file."""
    folder.mkdir()
    build_toy_model(folder / "base", (1.0, 2.0, 3.0, 0.5))
    (folder / "workflow.json").write_text(json.dumps(tree_of(strategy, **more)))
    return folder


def ended(folder, monkeypatch, *, debug=True):
    """Run what is in a folder to its end; its trials, the best, every file of its model, and the states left over."""
    monkeypatch.chdir(folder)
    result = run(load_workflow("workflow.json"), debug=debug)
    model = {path.name: path.read_bytes() for path in (folder / "output" / "model").iterdir()}
    store = Store(folder / ".olive-cache")
    assert store.verify() == []
    left = [record.step for _, record in store.records.each() if "until" in record.ingredients]
    return plain(result.sweep.trials), list(result.sweep.best), model, left


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        found = ended(written(tmp_path_factory.mktemp("undisturbed") / "all"), patch)
    trials, best, model, left = found
    assert [trial.state for trial in trials] == ["pruned", "complete", "pruned", "pruned", "complete", "pruned"]
    assert best == [1]
    assert json.loads(model["numbers.json"]) == [0.0, 0.0, 0.0, 0.0]
    assert left == []
    return found


@pytest.mark.parametrize("how", [{"moment": EVENTS}, {"write": WRITES}])
def test_the_counts_are_those_of_a_whole_search(engines, tmp_path, how):
    last, none = written(tmp_path / "last"), written(tmp_path / "none")
    more = {key: value + 1 for key, value in how.items()}
    told = engines.run({"folder": str(last), **how}, {"folder": str(none), **more})
    assert [each["signal"] for each in told] == [signal.SIGKILL, 0]


@pytest.mark.parametrize(
    "how", [{"moment": n} for n in range(1, EVENTS, 8)] + [{"write": n} for n in range(1, WRITES, 8)]
)
def test_killed_at_any_moment(engines, tmp_path, monkeypatch, undisturbed, how):
    folder = written(tmp_path / "all")
    (told,) = engines.run({"folder": str(folder), **how})
    assert told["signal"] == signal.SIGKILL
    assert ended(folder, monkeypatch) == undisturbed


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("moment", [9, 33, 58])
def test_killed_with_workers(engines, tmp_path, monkeypatch, undisturbed, count, moment):
    folder = written(tmp_path / "all", **workers(count))
    (told,) = engines.run({"folder": str(folder), "moment": moment, "debug": False})
    assert told["signal"] == signal.SIGKILL
    assert ended(folder, monkeypatch, debug=False) == undisturbed


@pytest.mark.parametrize("moments", [(9, 9), (40, 40)])
def test_killed_again_and_again(engines, tmp_path, monkeypatch, undisturbed, moments):
    folder = written(tmp_path / "all")
    for moment in moments:
        (told,) = engines.run({"folder": str(folder), "moment": moment})
        assert told["signal"] == signal.SIGKILL
    assert ended(folder, monkeypatch) == undisturbed


@pytest.mark.parametrize("moment", [12, 50])
def test_killed_where_the_work_is_elsewhere(engines, tmp_path, monkeypatch, undisturbed, moment):
    (tmp_path / "elsewhere").mkdir()
    away = {"systems": {"away": {"type": "DetachedSystem", "root": str(tmp_path / "elsewhere")}}, "host": "away"}
    folder = written(tmp_path / "all", **away)
    (told,) = engines.run({"folder": str(folder), "moment": moment, "debug": False})
    assert told["signal"] == signal.SIGKILL
    assert ended(folder, monkeypatch, debug=False) == undisturbed


SHARED = {
    "strategy": {
        "sampler": "sequential",
        "max_samples": 16,
        "wave_size": 16,
        "rungs": [0.25, 0.5],
        "pruner_config": {"min_finalists": 1},
    },
    "passes": {**TUNE, "tune": {**TUNE["tune"], "noise": 0.0, "steps": 8}, "scale": {"type": "ToyScale"}},
    "space": {
        "tune.learning_rate": {"type": "choice", "values": [0.1, 0.2, 0.3, 0.4]},
        "tune.whole": {"type": "choice", "values": [False, True]},
        "scale.factor": {"type": "choice", "values": [1.0, 2.0]},
    },
}
"""Some trials have a training in common; some are never pruned. The best training comes last."""


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        found = ended(written(tmp_path_factory.mktemp("shared") / "all", **SHARED), patch)
    curves = [tuple(trial.curve) for trial in found[0]]
    pruned = [(0.25,), (0.25,), (1.0,), (1.0,)]
    assert curves == [
        *pruned,
        *pruned,
        *[(0.25, 0.5), (0.25, 0.5), (1.0,), (1.0,)],
        *[(0.25, 0.5, 1.0)] * 2,
        (1.0,),
        (1.0,),
    ]
    return found


@pytest.mark.parametrize("count", [3, 9, 13])
def test_killed_while_trials_share_a_training(engines, tmp_path, monkeypatch, shared, count):
    folder = written(tmp_path / "all", **SHARED)
    (told,) = engines.run({"folder": str(folder), "moment": count, "after": "TrialEnded"})
    assert told["signal"] == signal.SIGKILL
    assert ended(folder, monkeypatch) == shared
