"""The workflow that trains a trial's model again."""

from __future__ import annotations

from olive_engine.config.draft import parse_tree
from olive_engine.search.retraining import left_out, retraining
from olive_engine.testing.toys import build_toy_model
from olive_engine.writing import tree


def test_references_are_written_and_secrets_are_not(tmp_path, monkeypatch):
    build_toy_model(tmp_path / "base")
    monkeypatch.setenv("A_TOKEN", "hush")
    workflow = parse_tree(
        {
            "input_model": {"type": "HfModel", "model_path": "base"},
            "systems": {
                "here": {
                    "type": "LocalSystem",
                    "workers": 1,
                    "environment_variables": {"TOKEN": "${env:A_TOKEN}", "LEVEL": "1", "B_TOKEN": "hush"},
                },
                "there": {"type": "LocalSystem", "environment_variables": {"B_TOKEN": "hush"}},
            },
            "host": "here",
            "passes": {"tune": {"type": "ToyTrain", "rank": [1, 2]}},
            "search_strategy": {"sampler": "sequential"},
        },
        tmp_path,
    ).raise_if_wrong()
    again = retraining(workflow, {"tune.rank": 2}, "output")
    assert left_out(workflow) == (
        "systems.here.environment_variables.B_TOKEN",
        "systems.there.environment_variables.B_TOKEN",
    )
    written = tree(again)
    assert written["systems"] == {
        "here": {
            "type": "LocalSystem",
            "workers": 1,
            "environment_variables": {"TOKEN": "${env:A_TOKEN}", "LEVEL": "1"},
        },
        "there": {"type": "LocalSystem"},
    }
    assert written["passes"] == {"tune": {"type": "ToyTrain", "rank": 2}}
    assert written["output_dir"] == "output/retrained"
    assert "hush" not in str(written)
