"""Trials as rows, CSV and JSON."""

import csv
import io
import json
from dataclasses import replace

from olive_engine.search.export import as_rows, columns, write_csv, write_json
from olive_engine.search.summary import retries
from olive_engine.search.trials import Trial

from .sweeps import halving, pareto

LR = "tune.training_args.learning_rate"
BATCH = "tune.training_args.per_device_train_batch_size"


def trials():
    options = {"tune.r": 8, LR: 1e-4, BATCH: 2, "tune.target_modules": ("q_proj", "v_proj")}
    return (
        Trial(
            0,
            0,
            options,
            state="complete",
            values=(0.5,),
            curve={0.125: 1.5, 1.0: 0.5},
            tokens=4000,
            seconds=2.5,
            met=False,
        ),
        Trial(1, 1, options | {"tune.target_modules": None}, state="failed", cause='no "memory",\nat all'),
        Trial(2, 2, options, state="pruned", curve={0.125: 1.25}, tokens=500, seconds=0.5),
        Trial(3, 1, options | {"tune.target_modules": None}, state="complete", values=(float("inf"),)),
        Trial(4, 3, {}, state="running"),
    )


def sweep():
    return halving(trials=trials(), best=(0,), retrain={}, correlations=())


def test_each_option_objective_and_rung_is_a_column():
    assert columns(sweep()) == [
        "number",
        "index",
        "retry_of",
        "state",
        "best",
        "params.tune.r",
        f"params.{LR}",
        f"params.{BATCH}",
        "params.tune.target_modules",
        "values.eval_loss",
        "rungs.0.125",
        "rungs.0.25",
        "rungs.0.5",
        "rungs.1",
        "goals_met",
        "spent",
        "tokens",
        "seconds",
        "cause",
    ]


def test_a_row_holds_what_its_trial_has_and_nothing_else():
    rows = as_rows(sweep())
    assert rows[0] == {
        "number": 0,
        "index": 0,
        "state": "complete",
        "best": 1,
        "params.tune.r": 8,
        f"params.{LR}": 1e-4,
        f"params.{BATCH}": 2,
        "params.tune.target_modules": ("q_proj", "v_proj"),
        "values.eval_loss": 0.5,
        "rungs.0.125": 1.5,
        "rungs.1": 0.5,
        "goals_met": False,
        "spent": 1.0,
        "tokens": 4000,
        "seconds": 2.5,
    }
    assert list(rows[0]) == [name for name in columns(sweep()) if name in rows[0]]
    assert rows[3]["retry_of"] == 1
    assert [("retry_of" in row) for row in rows] == [False, False, False, True, False]
    assert rows[4] == {"number": 4, "index": 3, "state": "running", "spent": 0.0, "seconds": 0.0}


def test_a_slot_is_told_by_the_type_that_was_taken():
    taken = [row["params.quantize"] for row in as_rows(pareto())]
    assert taken == [("OnnxBlockWise", "OnnxDynamic")[trial.assignment["quantize"]] for trial in pareto().trials]


def test_csv_reads_back_the_same(tmp_path):
    write_csv(tmp_path / "trials.csv", sweep())
    stream = io.StringIO(newline="")
    write_csv(stream, sweep())
    assert (tmp_path / "trials.csv").read_bytes() == stream.getvalue().encode()
    rows = list(csv.DictReader(io.StringIO(stream.getvalue(), newline="")))
    assert [row["number"] for row in rows] == ["0", "1", "2", "3", "4"]
    assert json.loads(rows[0]["params.tune.target_modules"]) == ["q_proj", "v_proj"]
    assert rows[1]["cause"] == 'no "memory",\nat all'
    assert [row["goals_met"] for row in rows] == ["false", "", "", "", ""]
    assert rows[1]["params.tune.target_modules"] == "null"  # none was chosen …
    assert rows[4]["params.tune.target_modules"] == ""  # … and this trial has no such option
    assert float(rows[0][f"params.{LR}"]) == 1e-4
    assert rows[2]["values.eval_loss"] == ""
    assert rows[3]["values.eval_loss"] == "inf"


def test_json_is_strict_and_names_the_objectives(tmp_path):
    write_json(tmp_path / "trials.json", sweep())
    stream = io.StringIO()
    write_json(stream, sweep())
    assert (tmp_path / "trials.json").read_text(encoding="utf-8") == stream.getvalue()

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    content = json.loads(stream.getvalue(), parse_constant=refuse)
    assert content["study"] == sweep().study
    assert content["objectives"] == [{"name": "eval_loss", "higher_is_better": False}]
    assert content["trials"][3]["values.eval_loss"] is None
    assert content["trials"][1]["params.tune.target_modules"] is None
    assert "params.tune.target_modules" not in content["trials"][4]


def test_a_sweep_without_trials_is_a_head_and_nothing_else():
    stream = io.StringIO(newline="")
    write_csv(stream, replace(sweep(), trials=()))
    assert stream.getvalue() == ",".join(columns(sweep())) + "\n"


def test_a_trial_tried_twice_names_the_one_before_it():
    again = [Trial(0, 0, {}), Trial(1, 1, {}), Trial(2, 0, {}), Trial(3, 0, {})]
    assert retries(again) == {2: 0, 3: 2}
