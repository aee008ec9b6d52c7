"""The workflow that trains a trial's model again."""

from __future__ import annotations

from olive_engine.config.draft import parse_tree
from olive_engine.search.retraining import left_out, retraining
from olive_engine.testing.toys import build_toy_model
from olive_engine.writing import tree


def test_values_of_environment_variables_are_left_out(tmp_path, monkeypatch):
    build_toy_model(tmp_path / "base")
    monkeypatch.setenv("A_TOKEN", "hush")
    workflow = parse_tree(
        {
            "input_model": {"type": "HfModel", "model_path": "base"},
            "systems": {
                "here": {"type": "LocalSystem", "workers": 1, "environment_variables": {"TOKEN": "${env:A_TOKEN}"}},
                "there": {"type": "LocalSystem"},
            },
            "host": "here",
            "passes": {"tune": {"type": "ToyTrain", "rank": [1, 2]}},
            "search_strategy": {"sampler": "sequential"},
        },
        tmp_path,
    ).raise_if_wrong()
    again = retraining(workflow, {"tune.rank": 2}, "output")
    assert left_out(workflow) == ("here",)
    written = tree(again)
    assert written["systems"] == {"here": {"type": "LocalSystem", "workers": 1}, "there": {"type": "LocalSystem"}}
    assert written["passes"] == {"tune": {"type": "ToyTrain", "rank": 2}}
    assert written["output_dir"] == "output/retrained"
    assert "hush" not in str(written)
