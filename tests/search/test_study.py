"""Studies as they are recorded: whole after anything, and Optuna's own tools read them."""

import json
import math
import subprocess
import sys
import threading
import time
import warnings
from io import BytesIO
from itertools import product

import optuna
import pytest

from olive_engine.config.search.strategy import SearchStrategy
from olive_engine.config.search.values import Case, Choice, Conditional, FloatRange, IntRange
from olive_engine.errors import InvalidWorkflow, SystemUnavailable
from olive_engine.search.proposals import Proposer
from olive_engine.search.storage import JOURNAL, open_storage
from olive_engine.search.study import Study
from olive_engine.search.trials import Trial

SPACE = {
    "t.x": FloatRange(low=-5, high=5),
    "t.r": IntRange(low=4, high=64, step=4),
    "t.m": Choice(values=(("q", "v"), None, True, "all")),
    "t.alpha": Conditional(cases=(Case(when={"t.m": ("all",)}, search=FloatRange(low=0, high=1)),)),
}
SLOTS = {"tune": ("LoRA", "QLoRA")}


def spec_of(kind, folder):
    return None if kind == "journal" else f"sqlite:///{folder / 'study.db'}"


@pytest.fixture(params=["journal", "sqlite"])
def place(request, tmp_path):
    return spec_of(request.param, tmp_path), tmp_path


def opened(place, directions=("minimize",), **about):
    spec, folder = place
    return Study.open(open_storage(spec, folder), "sweep-1", directions, {"workflow": "w.yaml", **about}, folder)


def proposals(count, directions=("minimize",), sampler="random"):
    return Proposer(SearchStrategy(sampler=sampler), SPACE, SLOTS, directions, 0).propose([], range(count))


def test_trials_are_recorded_whole_and_read_back_to_the_value(place):
    study, made = opened(place), proposals(12)
    added = [study.add(each, wave=each.index // 8) for each in made]
    expected = tuple(Trial(each.index, each.index, dict(each.assignment), wave=each.index // 8) for each in made)
    assert tuple(added) == study.trials() == opened(place).trials() == expected
    kinds = {repr(each.assignment["t.m"]) for each in study.trials()}
    assert kinds == {"('q', 'v')", "None", "True", "'all'"}


def test_a_trial_from_its_first_rung_to_its_end(place):
    study = opened(place)
    for each in proposals(3):
        study.add(each)
    study.report(0, 1 / 8, 2.5)
    study.report(0, 1 / 3, 1.5)
    study.report(0, 1 / 8, 9.9)  # what is recorded stays
    study.finish(0, "complete", (1.25,), tokens=4096, seconds=1.23456, met=True)
    study.report(1, 1 / 8, 3.5)
    study.finish(1, "pruned", cause="worst of 3 at 1/8", tokens=512)
    study.finish(2, "failed", cause="the loss is not a number", hopeless=True)
    first, second, third = opened(place).trials()
    assert (first.state, first.values, first.curve) == ("complete", (1.25,), {1 / 8: 2.5, 1 / 3: 1.5})
    assert (first.tokens, first.seconds, first.met, first.cause) == (4096, 1.235, True, "")
    assert (second.state, second.values, second.curve) == ("pruned", (), {1 / 8: 3.5})
    assert (second.cause, second.tokens, second.met) == ("worst of 3 at 1/8", 512, None)
    assert (third.state, third.cause, third.hopeless) == ("failed", "the loss is not a number", True)


def test_who_came_first_counts(place):
    one, other = opened(place), opened(place)
    one.add(proposals(1)[0])
    one.finish(0, "failed", cause="out of memory", seconds=3)
    ended = one.trials()
    other.finish(0, "complete", (1.0,), tokens=7)
    other.report(0, 0.5, 1.0)
    assert other.trials() == one.trials() == ended


def test_a_trial_is_tried_again_under_a_new_number(place):
    study, (proposal,) = opened(place), proposals(1)
    study.add(proposal)
    study.finish(0, "failed", cause="out of memory")
    again = study.add(proposal, retry_of=0, wave=1)
    assert (again.number, again.index, again.assignment, again.wave) == (1, 0, dict(proposal.assignment), 1)
    assert [each.state for each in study.trials()] == ["failed", "running"]


def test_a_process_killed_while_it_records_an_end_leaves_a_running_trial(place, monkeypatch):
    study = opened(place)
    study.add(proposals(1)[0])

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(study._storage, "set_trial_state_values", killed)
    with pytest.raises(KeyboardInterrupt):
        study.finish(0, "failed", cause="out of memory", hopeless=True, seconds=5)
    monkeypatch.undo()
    (left,) = opened(place).trials()
    assert (left.state, left.cause, left.hopeless, left.seconds) == ("running", "", False, 0.0)
    opened(place).finish(0, "complete", (0.5,), tokens=3)
    (ended,) = opened(place).trials()
    assert (ended.state, ended.values, ended.cause, ended.hopeless) == ("complete", (0.5,), "", False)
    assert (ended.tokens, ended.seconds) == (3, 0.0)


def test_a_journal_cut_at_any_record_reads_as_the_study_stood_then(tmp_path):
    study = opened((None, tmp_path))
    stages = []
    for step in (
        lambda: study.add(proposals(2)[0]),
        lambda: study.add(proposals(2)[1]),
        lambda: study.report(0, 0.125, 2.0),
        lambda: study.finish(0, "complete", (1.0,), tokens=9),
        lambda: study.finish(1, "failed", cause="it fell over"),
    ):
        step()
        stages.append(study.trials())
    path = tmp_path / JOURNAL
    lines = path.read_bytes().splitlines(keepends=True)
    first = next(at for at, line in enumerate(lines) if json.loads(line)["op_code"] == 4)
    seen = []
    for count in range(first + 1, len(lines) + 1):
        path.write_bytes(b"".join(lines[:count]))
        found = opened((None, tmp_path)).trials()
        assert [each.number for each in found] == list(range(len(found)))
        seen.append(found)
    assert [stage for stage in stages if stage not in seen] == []
    assert all(stages.index(one) >= 0 for one in seen if one in stages)
    between = {tuple(each.state for each in found) for found in seen}
    assert between == {
        ("running",),
        ("running", "running"),
        ("complete", "running"),
        ("complete", "failed"),
    }


def test_bad_ends_are_refused(place):
    study = opened(place)
    study.add(proposals(1)[0])
    for state, values in [("running", ()), ("complete", ()), ("complete", (math.nan,))]:
        with pytest.raises(ValueError, match=r"cannot end as running|a complete trial has 1 values or more"):
            study.finish(0, state, values)
    assert study.trials()[0].state == "running"


def test_a_study_with_other_objectives_is_not_gone_on_with(place):
    opened(place)
    with pytest.raises(
        InvalidWorkflow, match=r"begun with other objectives \(minimize, not minimize, maximize\); give"
    ):
        opened(place, ("minimize", "maximize"))


def test_what_is_said_of_a_study_is_what_was_said_last(place):
    opened(place, space={"t.r": "4 to 64"})
    study = opened(place, space={"t.r": "4 to 32"}, file="sweep.yaml")
    assert study.about == {"workflow": "w.yaml", "space": {"t.r": "4 to 32"}, "file": "sweep.yaml"}
    spec, folder = place
    assert Study.find(open_storage(spec, folder), "sweep-1", folder).name == "sweep-1"
    assert Study.find(open_storage(spec, folder), "other", folder) is None


def test_a_stop_is_seen_by_others(place):
    study, other = opened(place), opened(place)
    assert other.stop_requested_at() is None
    before = time.time()
    study.request_stop()
    assert before <= other.stop_requested_at() <= time.time()
    assert "stop" not in str(other.about)


def test_trials_of_others_are_passed_over(place):
    study = opened(place)
    study.add(proposals(1)[0])
    spec, folder = place
    theirs = optuna.load_study(study_name="sweep-1", storage=open_storage(spec, folder))
    theirs.enqueue_trial({"t.x": 1.0})
    study.add(proposals(2)[1])
    assert [(each.number, each.index) for each in study.trials()] == [(0, 0), (2, 1)]


# --- several at once ----------------------------------------------------------------------------------------------


WRITER = """
import sys
from pathlib import Path
from olive_engine.config.search.strategy import SearchStrategy
from olive_engine.config.search.values import FloatRange
from olive_engine.search.proposals import Proposer
from olive_engine.search.storage import open_storage
from olive_engine.search.study import Study

spec, folder, wave, rounds = sys.argv[1] or None, Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
study = Study.open(open_storage(spec, folder), "sweep-1", ("minimize",), {"workflow": "w.yaml"}, folder)
space = {"t.x": FloatRange(low=0, high=1)}
proposals = Proposer(SearchStrategy(sampler="random"), space, {}, ("minimize",), 0).propose([], range(20))
print("ready", flush=True)
for each in proposals * rounds:
    trial = study.add(each, wave=wave)
    study.report(trial.number, 0.5, float(trial.number))
    study.finish(trial.number, "complete", (float(trial.number),))
"""


def _writer(place, wave, rounds):
    spec, folder = place
    line = [sys.executable, "-c", WRITER, spec or "", str(folder), str(wave), str(rounds)]
    return subprocess.Popen(line, stdout=subprocess.PIPE, text=True)


def test_two_processes_add_twenty_trials_each(place):
    opened(place)
    for process in [_writer(place, wave, 1) for wave in range(2)]:
        process.communicate(timeout=60)
        assert process.returncode == 0
    found = opened(place).trials()
    assert [each.number for each in found] == list(range(40))
    assert all(each.values == (float(each.number),) and each.curve == {0.5: float(each.number)} for each in found)
    assert sorted((each.wave, each.index) for each in found) == list(product(range(2), range(20)))


def test_processes_that_are_killed_at_work_leave_a_study_to_go_on_with(tmp_path):
    place = (None, tmp_path)
    opened(place)
    for wave in range(4):
        one, other = _writer(place, wave, 500), _writer(place, wave, 500)
        for process, delay in ((one, 0.03 * wave), (other, 0.01)):
            assert process.stdout.readline() == "ready\n"
            time.sleep(0.05 + delay)
            process.kill()
            process.communicate(timeout=60)
            assert process.returncode == -9
    found = opened(place).trials()
    assert [each.number for each in found] == list(range(len(found)))
    assert len(found) > 8
    assert sum(each.state == "running" for each in found) <= 8  # each died with at most one trial unfinished
    assert all(each.values == (float(each.number),) for each in found if each.state == "complete")
    assert opened(place).add(proposals(1)[0]).number == len(found)


def test_one_at_a_time_proposes(tmp_path):
    one, other = opened((None, tmp_path)), opened((None, tmp_path))
    order = []

    def wait():
        with other.lock():
            order.append("other")

    thread = threading.Thread(target=wait)
    with one.lock(), one.lock():  # who has it may take it again
        thread.start()
        time.sleep(0.1)
        order.append("one")
    thread.join()
    assert order == ["one", "other"]


def test_a_storage_that_goes_away_is_a_sentence(tmp_path):
    import sqlite3

    database = tmp_path / "study.db"
    spec = f"sqlite:///{database}"
    study = Study.open(open_storage(spec, tmp_path), "s", ("minimize",), {}, tmp_path, spec)
    with sqlite3.connect(database) as connection:
        connection.execute("DROP TABLE trials")
    connection.close()
    with pytest.raises(
        SystemUnavailable, match=r"the study cannot be recorded in sqlite:///.*study\.db: no such table"
    ):
        study.trials()


# --- Optuna's own tools -------------------------------------------------------------------------------------------


def swept(place, directions):
    """A study with trials of every state, in curves and without."""
    study = opened(place, directions)
    for each in proposals(12, directions):
        study.add(each)
        if each.index == 11:
            break
        study.report(each.index, 0.125, 3.0 + each.index)
        values = tuple(float(each.index + objective) for objective in range(len(directions)))
        match each.index % 4:
            case 0:
                study.finish(each.index, "pruned", cause="poor")
            case 1:
                study.finish(each.index, "failed", cause="out of memory")
            case _:
                study.report(each.index, 0.5, math.inf if each.index == 3 else 2.0)
                study.finish(each.index, "complete", values, tokens=10)
    return study


@pytest.mark.parametrize("directions", [("minimize",), ("minimize", "maximize")], ids=["one", "two"])
def test_optuna_loads_and_draws_it(place, directions):
    from optuna import visualization as draw

    swept(place, directions)
    spec, folder = place
    study = optuna.load_study(study_name="sweep-1", storage=open_storage(spec, folder))
    states = [each.state.name for each in study.trials]
    assert states == ["PRUNED", "FAIL", "COMPLETE", "COMPLETE"] * 2 + ["PRUNED", "FAIL", "COMPLETE", "RUNNING"]
    assert study.trials[2].intermediate_values == {13: 5.0, 50: 2.0}
    assert study.trials[2].user_attrs["rung 0.125"] == 5.0
    assert study.trials[1].user_attrs["cause"] == "out of memory"
    targets = {} if len(directions) == 1 else {"target": lambda trial: trial.values[0], "target_name": "loss"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna's drawings are experimental, and say so
        figures = [draw.plot_slice(study, **targets), draw.plot_parallel_coordinate(study, **targets)]
        figures += [draw.plot_timeline(study), draw.plot_optimization_history(study, **targets)]
        if len(directions) == 1:
            assert study.best_trial.number == 2
            figures.append(draw.plot_intermediate_values(study))
            # No trial without a curve; one that is infinite somewhere is drawn as far as it is not.
            assert len(figures[-1].data) >= 8
        else:
            assert {each.number for each in study.best_trials} == {2, 3, 6, 7, 10}
            figures.append(draw.plot_pareto_front(study))
    assert all(json.loads(figure.to_json())["data"] for figure in figures)


@pytest.mark.parametrize("directions", [("minimize",), ("minimize", "maximize")], ids=["one", "two"])
def test_the_dashboard_shows_it(place, directions):
    dashboard = pytest.importorskip("optuna_dashboard", reason="optuna-dashboard is not installed")
    swept(place, directions)
    app = dashboard.wsgi(open_storage(*place))
    (summary,) = _get(app, "/api/studies")["study_summaries"]
    assert summary["study_name"] == "sweep-1"
    detail = _get(app, f"/api/studies/{summary['study_id']}")
    assert [each["state"] for each in detail["trials"]][:4] == ["Pruned", "Fail", "Complete", "Complete"]
    assert detail["trials"][2]["intermediate_values"] == [{"step": 13, "value": 5.0}, {"step": 50, "value": 2.0}]
    shown = {each["key"]: each["value"] for each in detail["trials"][1]["user_attrs"]}
    assert shown["cause"] == "out of memory"
    assert json.loads(shown["values"])["t.r"] % 4 == 0
    assert {each["key"] for each in summary["user_attrs"]} == {"workflow"}


def _get(app, path):
    """The JSON that the dashboard answers with, as strictly read as by a browser."""
    answer = {}
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": "", "wsgi.input": BytesIO()}
    environ |= {"SERVER_NAME": "x", "SERVER_PORT": "1", "wsgi.url_scheme": "http", "wsgi.errors": BytesIO()}
    body = b"".join(app(environ, lambda status, headers, *_: answer.update(status=status)))
    assert answer["status"] == "200 OK"

    def refuse(word):
        raise ValueError(f"{word} is no JSON")

    return json.loads(body, parse_constant=refuse)
