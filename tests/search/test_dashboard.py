"""A study of ours opens in optuna-dashboard as it is."""

import json
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from importlib.util import find_spec

import pytest

from olive_engine.config.search.strategy import SearchStrategy
from olive_engine.search.proposals import Proposer
from olive_engine.search.storage import lock_folder, open_storage, shown_storage
from olive_engine.search.study import Study

from .sweeps import RUNGS, SEARCHED, loss

pytestmark = pytest.mark.skipif(find_spec("optuna_dashboard") is None, reason="optuna-dashboard is not installed")

SERVE = "from optuna_dashboard._cli import main; main()"


@contextmanager
def serving(storage):
    """The command line of optuna-dashboard on this storage, at the address that is yielded."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", SERVE, storage, "--host", "127.0.0.1", "--port", str(port), "--server", "wsgiref"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
        try:
            address = f"http://127.0.0.1:{port}"
            deadline = time.monotonic() + 60
            while True:
                try:
                    asked(address, "/api/meta")
                    break
                except OSError:
                    assert server.poll() is None, server.stdout.read()
                    assert time.monotonic() < deadline, "optuna-dashboard does not answer"
                    time.sleep(0.1)
            yield address
        finally:
            server.terminate()


def asked(address, path):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # whatever proxy this machine has
    with opener.open(address + path, timeout=30) as answer:
        return json.loads(answer.read())


def recorded(spec, folder):
    """A sweep of ten trials, as the engine records it: pruned, complete and failed ones."""
    storage = open_storage(spec, folder)
    study = Study.open(storage, "phrase-tone", ["minimize"], {"workflow": "sweep.yaml"}, lock_folder(spec, folder))
    proposer = Proposer(SearchStrategy(sampler="random"), SEARCHED, {}, ["minimize"], 0)
    for proposal in proposer.propose([], range(10)):
        trial = study.add(proposal)
        if trial.number == 7:
            study.finish(trial.number, "failed", cause="CUDA out of memory")
            continue
        reached = RUNGS if trial.number % 3 == 0 else RUNGS[:2]
        for rung in reached:
            study.report(trial.number, rung, loss(proposal.assignment, rung))
        if reached[-1] == 1:
            study.finish(trial.number, "complete", [loss(proposal.assignment, 1.0)], tokens=4000)
        else:
            study.finish(trial.number, "pruned", cause="successive halving", tokens=1000)
    return study


@pytest.mark.parametrize("kind", ["journal", "sqlite"])
def test_the_dashboard_shows_the_study_and_its_trials(kind, tmp_path):
    spec = None if kind == "journal" else f"sqlite:///{tmp_path / 'study.db'}"
    ours = recorded(spec, tmp_path).trials()
    with serving(shown_storage(spec, tmp_path)) as address:
        (study,) = asked(address, "/api/studies")["study_summaries"]
        assert (study["study_name"], study["directions"]) == ("phrase-tone", ["minimize"])
        detail = asked(address, f"/api/studies/{study['study_id']}")
        importances = asked(address, f"/api/studies/{study['study_id']}/param_importances")
    states = {"complete": "Complete", "pruned": "Pruned", "failed": "Fail"}
    theirs = detail["trials"]
    assert [trial["number"] for trial in theirs] == list(range(10))
    assert [trial["state"] for trial in theirs] == [states[trial.state] for trial in ours]
    for mine, shown in zip(ours, theirs, strict=True):
        assert [float(value) for value in shown.get("values") or []] == pytest.approx(list(mine.values))
        assert [point["step"] for point in shown["intermediate_values"]] == [13, 25, 50, 100][: len(mine.curve)]
        assert [float(point["value"]) for point in shown["intermediate_values"]] == list(mine.curve.values())
        assert {param["name"] for param in shown["params"]} == set(SEARCHED)
    said = {attr["key"]: attr["value"] for attr in theirs[7]["user_attrs"]}
    assert said["cause"] == "CUDA out of memory"
    best = min((trial for trial in ours if trial.values), key=lambda trial: trial.values)
    assert [trial["number"] for trial in detail["best_trials"]] == [best.number]
    assert {each["name"] for each in importances["param_importances"][0]} == set(SEARCHED)
