"""Azure ML's benchmark: both schemes do the same work, and what they move is counted for what it is."""

import filecmp

import pytest

from benchmarks.azure_ml import AGAIN, MB, OURS, ROUND_TRIP, WARM, Measured, rows
from benchmarks.azure_ml_chains import build_base, run_chain, run_round_trip
from benchmarks.azure_ml_traffic import Chain, Traffic, tally
from olive_engine.testing.toys import ToyScaleConfig
from tests.emulators.azureml.recording import Exchange

SIZE = 300_000
ACCOUNT = "olive.blob.core.windows.net"


def exchange(host, path, up=0, down=0):
    return Exchange("", "client", "GET", host, path, "", (), b"", "", 200, up, down, 200)


def test_each_request_counts_for_what_it_is_for():
    exchanges = [
        exchange("login.microsoftonline.com", "/tenant/oauth2/v2.0/token", 10, 20),
        exchange("management.azure.com", "/subscriptions/s/jobs/one", 100, 200),
        exchange("eastus.api.azureml.ms", "/history/v1.0/subscriptions/s/runs/one/details", 0, 1_000),
        exchange("eastus.api.azureml.ms", "/history/v1.0/subscriptions/s/rundata", 3, 4),
        exchange(ACCOUNT, "/store/olive-engine/trees/abc/ballast", 5_000, 0),
        exchange(ACCOUNT, "/artifacts/ExperimentRun/dcid.one/user_logs/std_log.txt", 0, 7),
    ]
    found = tally(exchanges)
    assert found == Traffic(up=5_113, down=224, management=3, blobs=1, polls=2, polled=1_007)
    assert (found.bytes, found.requests) == (5_337, 4)


def test_a_step_is_the_mean_of_those_between_the_first_and_the_last():
    steps = (Traffic(up=900), Traffic(up=2, polls=1), Traffic(up=4, polls=2), Traffic(down=900))
    assert Chain(steps, Traffic(), 1.0).step == Traffic(up=3, polls=1.5)


def test_ratios_are_against_ours_in_the_same_state():
    def chain(size, wall):
        step = Traffic(up=size)
        return Chain((step,) * 4, Traffic(up=4 * size, management=6), wall)

    found = [
        Measured(1, OURS, "", chain(MB // 20, 4.0)),
        Measured(1, OURS, WARM, chain(MB // 5, 2.0)),
        Measured(1, OURS, AGAIN, Chain((Traffic(),) * 4, Traffic(), 0.1)),
        Measured(1, ROUND_TRIP, "", chain(MB, 6.0)),
        Measured(1, ROUND_TRIP, WARM, chain(MB, 3.0)),
    ]
    table = {row[0]: row[-3:] for row in rows(found)}
    assert table == {
        "1 MB, in the datastore": ("1.00", "1.00", "< 0.1 MB a step  ok"),
        "1 MB, in the datastore, workspace warm": ("1.00", "1.00", "< 0.1 MB a step  OVER"),
        "1 MB, in the datastore, again, all reused": ("0.00", "", "no request  ok"),
        "1 MB, round trip": ("20.00", "1.50", ""),
        "1 MB, round trip, workspace warm": ("5.00", "1.50", ""),
    }


@pytest.mark.slow
def test_both_schemes_make_the_same_model_and_only_one_of_them_carries_it(azureml, tmp_path, monkeypatch):
    monkeypatch.setattr("olive_systems.azure_ml.handle.INTERVAL", 0.1)
    build_base(tmp_path / "base", SIZE)
    passes = [ToyScaleConfig(factor=1.0 + index / 8, ballast=SIZE) for index in range(3)]
    ours, made = run_chain(azureml, tmp_path, passes, "ours")
    again, _ = run_chain(azureml, tmp_path, passes, "again")
    trip, theirs = run_round_trip(azureml, tmp_path, passes, "trip")
    names = sorted(path.name for path in made.iterdir())
    assert names == ["ballast", "config.json", "numbers.json", "tokenizer.json"]
    assert filecmp.cmpfiles(made, theirs, names, shallow=False) == (names, [], [])
    assert ours.step.bytes < 10_000
    assert ours.step.management == 1  # the job is put, and nothing else asked
    assert trip.step.requests > 5 * ours.step.requests
    assert SIZE < ours.whole.down < SIZE + 50_000
    assert SIZE < trip.step.up < SIZE + 10_000
    assert SIZE < trip.step.down < SIZE + 50_000
    assert trip.whole.bytes > 6 * SIZE
    assert (again.whole, again.steps) == (Traffic(), (Traffic(),) * 3)
    assert azureml.recorder.refused_hosts == []
