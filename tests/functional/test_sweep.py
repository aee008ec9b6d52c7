"""The command line of searches: `olive run`, `plan`, `validate`, `why` on one, and `olive sweep`."""

import csv
import io
import json
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from olive_engine.cli.group import olive
from olive_engine.reading import load_workflow

Olive = Callable[..., "subprocess.CompletedProcess[str]"]

SWEEP = """\
input_model: {type: HfModel, model_path: base}
passes:
  tune: {type: ToyTrain, steps: 40}
  merge: {type: ToyMerge}
search_strategy: {sampler: random, max_samples: 4, seed: 1}
search_space:
  tune.learning_rate: {type: float, low: 0.001, high: 1.0, log: true}
  tune.noise: {type: choice, values: [0.0, 0.01]}
"""
SLOW = SWEEP.replace("passes:\n", "passes:\n  slow: {type: ToyScale, seconds: 60}\n")
SIZES = """\
evaluators:
  sizes: {metrics: [{name: size, type: size_on_disk, sub_types: [{name: bytes, priority: 1}]}]}
evaluator: sizes
"""


def call(*arguments: str) -> Result:
    return CliRunner().invoke(olive, arguments, prog_name="olive", catch_exceptions=False)


def told(*arguments: str) -> dict:
    """What a command says with ``--json``; of `run` the last line."""
    lines = call(*arguments, "--json").stdout
    return dict(json.loads(lines.splitlines()[-1] if arguments[0] == "run" else lines))


def lines(result: Result) -> list[str]:
    assert result.exit_code == 0, result.output + result.stderr
    return result.stdout.splitlines()


@pytest.fixture
def sweep(folder: Path) -> Path:
    (folder / "sweep.yaml").write_text(SWEEP)
    return folder


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a search has been run; tests here only read in it."""
    from olive_engine.testing.toys import build_toy_model

    folder = tmp_path_factory.mktemp("done")
    build_toy_model(folder / "base")
    (folder / "sweep.yaml").write_text(SWEEP)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        ran = call("run", "sweep.yaml")
    assert ran.exit_code == 0, ran.output
    (folder / "ran.txt").write_text(ran.stdout)
    return folder


@pytest.fixture
def there(done: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(done)
    return done


# --- run ----------------------------------------------------------------------------------------------------------


def test_a_run_ends_with_the_best_trial_where_everything_is_and_how_to_go_on(there: Path) -> None:
    best = told("sweep", "best", "sweep.yaml")["best"][0]
    end = (there / "ran.txt").read_text().split("\n\n")[-1].splitlines()
    assert end[0].startswith(f"Best of 4 trials: trial {best['trial']}, eval_loss ")
    rate = best["options"]["tune.learning_rate"]
    assert re.search(r"\(learning_rate ([\d.e-]+), noise (0|0.01)\)$", end[0])
    assert float(end[0].split("learning_rate ")[1].split(",")[0]) == pytest.approx(rate, rel=0.05)
    assert end[1:] == [
        "  model        output",
        "  train again  olive run output/retrain.yaml --cache-dir .olive-retrained",
        "  trials       output/trials.csv, or `olive sweep status sweep.yaml`; charts in output/sweep.html",
        "  go on        `olive run sweep.yaml --set search_strategy.max_samples=8` adds trials",
    ]
    assert [path.name for path in sorted((there / "output").iterdir()) if path.is_file()] == [
        "model_config.json", "retrain.yaml", "run.json", "sweep.html", "trials.csv", "workflow.lock.json",
    ]  # fmt: skip


def test_the_command_that_trains_again_gives_the_same_model(sweep: Path) -> None:
    ran = lines(call("run", "sweep.yaml", "--debug"))
    command = next(line for line in ran if "train again" in line).split("train again")[1].split()
    assert command[0] == "olive"
    assert call(*command[1:], "--debug").exit_code == 0
    numbers = [json.loads((sweep / at / "model" / "numbers.json").read_text()) for at in ("output", "output/retrained")]
    assert numbers[1] == pytest.approx(numbers[0], abs=1e-9)


def test_json_ends_with_what_the_search_came_to(sweep: Path) -> None:
    result = told("run", "sweep.yaml", "--debug")
    found = result["sweep"]
    assert result["event"] == "result"
    assert found["study"].startswith("base-")
    assert found["storage"] == str(sweep / ".olive-cache/studies/studies.log")
    assert found["why"] == "max_samples: 4"
    assert sum(found["trials"].values()) == 4
    (best,) = found["best"]
    assert set(best["options"]) == {"tune.learning_rate", "tune.noise"}
    assert best["values"] == {"eval_loss": best["rungs"]["1"]}
    assert best["retrain"]["file"] == "output/retrain.yaml"
    assert best["models"] == result["models"]
    assert Path(found["report"]).read_text().startswith("<!doctype html>")


def test_the_same_command_goes_on_and_says_when_there_is_nothing_left(sweep: Path) -> None:
    few = ("--set", 'search_space={"tune.noise": [0.0, 0.01, 0.02]}', "--set", "search_strategy.sampler=sequential")
    first = lines(call("run", "sweep.yaml", *few, "--set", "search_strategy.max_iter=2", "--debug"))
    assert first[-1].startswith("  go on        `olive run sweep.yaml --set 'search_space=")
    assert first[-1].endswith("` goes on with it")
    second = lines(call("run", "sweep.yaml", *few, "--debug"))
    assert second[-1].startswith("  trials  ")
    assert any(line.startswith("Best of 3 trials: trial 0, eval_loss ") for line in second)


def test_several_best_models_each_with_its_own_folder_and_command(sweep: Path) -> None:
    (sweep / "sizes.yaml").write_text(
        SIZES.replace("priority: 1", "priority: 1, goal: {type: threshold, value: 1}")
        + "search_strategy: {output_model_num: 2}\n"
    )
    result = call("run", "--config", "sweep.yaml", "--config", "sizes.yaml", "--debug", "--log-level", "warning")
    numbers = [
        trial["trial"] for trial in told("sweep", "best", "--config", "sweep.yaml", "--config", "sizes.yaml")["best"]
    ]
    assert len(numbers) == 2
    table, end = (part.splitlines() for part in result.stdout.split("\n\n")[-2:])
    assert [line.split("  ")[1] for line in table[1:]] == ["input_model (baseline)"] + [
        f"merge (trial {number})" for number in numbers
    ]
    assert end[0].startswith(f"Best of 4 trials: trial {numbers[0]}, size ")
    assert end[1] == f"  model        output/trial-{numbers[0]}"
    assert end[3].startswith(f"Then: trial {numbers[1]}, size ")
    assert end[5] == f"  train again  olive run output/trial-{numbers[1]}/retrain.yaml --cache-dir .olive-retrained"
    missed = [line for line in result.stderr.splitlines() if line.startswith("goal missed: ")]
    assert [line.split(": ")[1] for line in missed] == [f"trial {number}" for number in numbers]


def test_a_search_of_which_every_trial_failed(sweep: Path) -> None:
    result = call("run", "sweep.yaml", "--set", "passes.tune.misbehave=raise", "--debug")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[0].startswith("error: trial ")
    assert result.stderr.splitlines()[0].endswith(": asked to fail")
    assert "Best of" not in result.stdout
    shown = call("sweep", "status", "sweep.yaml", "--set", "passes.tune.misbehave=raise")
    assert lines(shown)[0] == "4 of 4 trials: 4 failed"
    assert sum("failed: asked to fail" in line for line in lines(shown)) == 4
    assert lines(shown)[-2].endswith("` tries trials 0-3 again")
    again = call("sweep", "best", "sweep.yaml", "--set", "passes.tune.misbehave=raise")
    assert (again.exit_code, again.stderr) == (1, "error: no trial is complete yet, of 4\n")


def test_trials_that_failed_are_tried_again_and_counted_once(sweep: Path) -> None:
    broken = ("--set", "passes.tune.misbehave=raise", "--set", "passes.tune.mended_by=mended")
    assert call("run", "sweep.yaml", *broken, "--debug").exit_code == 1
    (sweep / "mended").touch()
    assert call("run", "sweep.yaml", *broken, "--debug").exit_code == 0
    shown = lines(call("sweep", "status", "sweep.yaml", *broken))
    assert shown[0] == "4 of 4 trials: 2 complete, 2 pruned, 4 failed, 4 tried again"
    assert sum(line.endswith("again") and "trial " in line for line in shown[2:10]) == 4
    assert shown[-2].endswith("max_samples=8` adds trials")


# --- plan, validate, why ------------------------------------------------------------------------------------------


def test_the_plan_says_what_is_searched_by_what_trials_are_judged_and_how_they_are_trained(sweep: Path) -> None:
    planned = lines(call("plan", "sweep.yaml"))
    assert planned[0] == "One trial: 2 steps, all to run"
    search = [
        "search: 4 trials by random, joint",
        "  compared by eval_loss of tune (lower is better)",
        "  tune is trained in stretches, several trials together in packs",
        "  pruned by eval_loss: successive_halving at 1/8, 1/4 and 1/2 of a trial's tokens; "
        "the best half of a wave goes on, 2 finalists at least",
        "  tune.learning_rate  0.001 to 1, by magnitude",
        "  tune.noise          0, 0.01",
    ]
    assert planned[4:] == search
    assert told("plan", "sweep.yaml")["search"] == search
    assert lines(call("run", "sweep.yaml", "--dry-run")) == planned
    assert not (sweep / "output").exists()


def search_lines(*arguments: str) -> list[str]:
    return [line.strip() for line in told("plan", "sweep.yaml", *arguments)["search"]]


def test_the_plan_says_why_trainings_run_whole_or_alone(sweep: Path) -> None:
    whole = search_lines("--set", "passes.tune.whole=true")
    assert "tune is trained in one piece (whole is set), several trials together in packs" in whole
    assert "not pruned: no searched pass is judged on the way" in whole
    alone = search_lines("--set", "passes.tune.alone=true")
    assert "tune is trained in stretches, each trial alone: alone is set" in alone
    both = search_lines("--set", "passes.tune.alone=true", "--set", "passes.tune.whole=true")
    assert "tune is trained in one piece, each trial alone: whole is set" in both


def test_the_plan_names_what_the_trials_of_a_pack_have_in_common_and_values_that_are_exceptions(sweep: Path) -> None:
    space = 'search_space={"tune.save_steps": [5, 7], "tune.whole": [false, true], "tune.learning_rate": [0.1, 0.2]}'
    planned = search_lines("--set", space)
    at = planned.index("tune is trained in stretches, trials with the same save_steps and whole together in packs")
    assert planned[at + 1] == "where whole is true, in one piece: whole is set"


def test_the_plan_of_a_search_pass_by_pass_and_of_trainings_that_are_shared(sweep: Path) -> None:
    (sweep / "more.yaml").write_text(
        SIZES
        + "passes: {last: {type: ToyScale}}\nsearch_strategy: {execution_order: pass-by-pass}\n"
        + "search_space: {last.factor: [2, 3]}\n"
    )
    planned = [line.strip() for line in told("plan", "--config", "sweep.yaml", "--config", "more.yaml")["search"]]
    assert planned[0] == "search: 4 trials for each pass by random, pass by pass"
    assert planned[1:6] == [
        "tune: compared by size of tune (lower is better)",
        "tune is trained in stretches, several trials together in packs",
        "only trials that eval_loss lets through are measured by size",
        "last: compared by size of last (lower is better)",
        "tune is trained once, for all trials",
    ]


def test_where_what_is_searched_has_no_effect_on_the_training_nobody_is_pruned(sweep: Path) -> None:
    (sweep / "after.yaml").write_text(
        SIZES + "input_model: {type: HfModel, model_path: base}\n"
        "passes: {tune: {type: ToyTrain, steps: 40}, merge: {type: ToyMerge}, last: {type: ToyScale}}\n"
        "search_strategy: {sampler: random, max_samples: 2}\nsearch_space: {last.factor: [2, 3]}\n"
    )
    planned = [line.strip() for line in told("plan", "after.yaml")["search"]]
    assert planned[1:] == [
        "compared by size of last (lower is better)",
        "tune is trained once, for all trials",
        "not pruned: no searched pass is judged on the way",
        "last.factor  2, 3",
    ]


def test_fewer_trials_asked_for_than_there_are(there: Path) -> None:
    shown = lines(call("sweep", "status", "sweep.yaml", "--set", "search_strategy.max_samples=3"))
    assert shown[0].startswith("4 trials (3 asked for): ")
    assert "max_samples=8` adds trials" in shown[-2]


@pytest.mark.parametrize("command", [("plan",), ("validate",), ("run",), ("sweep", "status")])
def test_a_search_with_nothing_to_judge_trials_by_is_told_with_its_line(folder: Path, command: tuple[str, ...]) -> None:
    (folder / "blind.yaml").write_text(
        "input_model: {type: HfModel, model_path: base}\npasses: {scale: {type: ToyScale}}\n"
        "search_strategy: {sampler: random, max_samples: 2}\nsearch_space: {scale.factor: [1, 2]}\n"
    )
    result = call(*command, "blind.yaml")
    assert result.exit_code == 2
    assert result.stderr.startswith("blind.yaml:3:18: search_strategy: there is nothing to judge trials by")


def test_validate_counts_what_is_searched_and_why_speaks_of_one_trial(sweep: Path) -> None:
    assert call("validate", "sweep.yaml").output == "sweep.yaml is valid: 2 passes, 2 searched options\n"
    why = call("why", "sweep.yaml", "tune")
    assert why.stdout == "tune would run:\n  no result yet\n"
    assert why.stderr.startswith("note: this is about one trial of the search")


def test_a_plan_and_the_help_import_no_optuna(sweep: Path) -> None:
    for arguments in (["plan", "sweep.yaml"], ["validate", "sweep.yaml"], ["sweep", "--help"]):
        timed = [sys.executable, "-P", "-X", "importtime", "-m", "olive_engine", *arguments]
        found = subprocess.run(timed, capture_output=True, text=True, check=True).stderr
        imported = {line.split("|")[-1].strip().split(".")[0] for line in found.splitlines() if "|" in line}
        assert {"olive_engine", "click"} <= imported
        assert not {"optuna", "torch", "numpy", "plotly", "sqlalchemy"} & imported


def test_a_search_brings_its_own_libraries(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from olive_engine import installation
    from olive_engine.requirements import Requirement

    known = {"search": (Requirement("optuna", ">=5"), Requirement("plotly", ">=6"))}
    monkeypatch.setattr(installation, "extras", lambda: known)
    assert lines(call("run", "sweep.yaml", "--list-required-packages")) == ["optuna>=5", "plotly>=6"]
    assert lines(call("run", "workflow.yaml", "--list-required-packages")) == []


# --- sweep status -------------------------------------------------------------------------------------------------


def test_status_shows_every_trial_the_best_first(there: Path) -> None:
    found = told("sweep", "status", "sweep.yaml")
    shown = lines(call("sweep", "status", "sweep.yaml"))
    states = [trial["state"] for trial in found["trials"]]
    assert shown[0] == f"4 of 4 trials: {states.count('complete')} complete, {states.count('pruned')} pruned"
    assert shown[1].split() == ["trial", "learning_rate", "noise", "trained", "eval_loss", "state"]
    (best,) = found["best"]
    assert shown[2].split()[0] == f"{best}*"
    assert {line.split()[0].rstrip("*") for line in shown[2:6]} == {"0", "1", "2", "3"}
    assert shown[6].startswith(f"best: trial {best} (eval_loss ")
    assert shown[7] == (
        "no run uses this cache now; `olive run sweep.yaml --set search_strategy.max_samples=8` adds trials"
    )
    assert shown[8] == f"study {found['study']}: `optuna-dashboard .olive-cache/studies/studies.log` shows it"
    assert len(shown) == 9


def test_status_as_json_has_all_that_was_measured(there: Path) -> None:
    found = told("sweep", "status", "sweep.yaml")
    assert [trial["trial"] for trial in found["trials"]] == [0, 1, 2, 3]
    assert (found["runs"], found["max_samples"]) == (0, 4)
    assert found["objectives"] == [{"name": "eval_loss", "higher_is_better": False}]
    complete = [trial for trial in found["trials"] if trial["state"] == "complete"]
    assert found["best"] == [min(complete, key=lambda trial: trial["values"]["eval_loss"])["trial"]]
    for trial in found["trials"]:
        reached = [0.125, 0.25, 0.5, 1.0] if trial in complete else [0.125]
        assert [float(rung) for rung in trial["rungs"]] == reached
        assert trial["spent"] == reached[-1]


@pytest.mark.parametrize("command", [("status",), ("stop",), ("export",), ("best",)])
def test_a_search_that_has_not_begun(sweep: Path, command: tuple[str, ...]) -> None:
    result = call("sweep", *command, "sweep.yaml", "--set", "seed=3")
    assert result.exit_code == 1
    assert result.stderr == (
        f"error: this search has not begun: there is no study of it in {sweep}/.olive-cache/studies/studies.log; "
        "`olive run sweep.yaml --set seed=3` begins it\n"
    )
    assert not (sweep / ".olive-cache/studies").exists()


def test_another_search_of_the_same_cache_is_not_taken_for_it(there: Path) -> None:
    result = call("sweep", "status", "sweep.yaml", "--set", "passes.tune.steps=41")
    assert result.exit_code == 1
    assert "this search has not begun" in result.stderr


def test_a_database_that_is_not_there_is_not_made(sweep: Path) -> None:
    place = ("--set", "search_strategy.storage=sqlite:///studies.db")
    assert "there is no study of it in sqlite:///studies.db" in call("sweep", "status", "sweep.yaml", *place).stderr
    assert not (sweep / "studies.db").exists()
    assert call("run", "sweep.yaml", *place, "--debug").exit_code == 0
    shown = lines(call("sweep", "status", "sweep.yaml", *place))
    assert shown[-1].endswith("`optuna-dashboard sqlite:///studies.db` shows it")
    assert told("sweep", "stop", "sweep.yaml", *place) == {
        "studies": [told("sweep", "status", "sweep.yaml", *place)["study"]], "runs": 0, "asked": True,
    }  # fmt: skip


@pytest.mark.parametrize("command", [("status",), ("stop",), ("export",), ("best",)])
def test_a_workflow_that_searches_nothing(folder: Path, command: tuple[str, ...]) -> None:
    result = call("sweep", *command, "workflow.yaml")
    assert result.exit_code == 2
    assert result.stderr.startswith("the workflow searches nothing; give it a `search_strategy`")


def test_no_workflow_named() -> None:
    result = call("sweep", "status")
    assert result.exit_code == 2
    assert "Write for instance `olive sweep status workflow.yaml`" in result.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="asks for a pseudo-terminal")
@pytest.mark.parametrize(("width", "left_out"), [(100, []), (44, ["learning_rate", "noise"])])
def test_a_narrow_terminal(there: Path, width: int, left_out: list[str]) -> None:
    import os
    import pty

    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "olive_engine", "sweep", "status", "sweep.yaml"],
        stdout=follower,
        env={**os.environ, "COLUMNS": str(width), "TERM": "xterm", "NO_COLOR": "1"},
    )
    os.close(follower)
    text = b""
    while chunk := _read(leader):
        text += chunk
    assert process.wait(timeout=30) == 0
    table = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", text.decode()).splitlines()[1:7]
    assert max(map(len, table)) <= width
    assert table[0].split()[0] == "trial"
    assert all((name in table[0]) != (name in left_out) for name in ("learning_rate", "noise"))
    assert ("no room for" in table[5]) == bool(left_out)


def _read(leader: int) -> bytes:
    import os

    try:
        return os.read(leader, 4096)
    except OSError:  # what Linux says once nobody writes any more
        return b""


# --- sweep export, best -------------------------------------------------------------------------------------------


def test_export_gives_what_the_run_wrote_and_what_status_says(there: Path) -> None:
    exported = call("sweep", "export", "sweep.yaml").stdout
    assert exported == (there / "output/trials.csv").read_text()
    rows = list(csv.DictReader(io.StringIO(exported)))
    trials = told("sweep", "status", "sweep.yaml")["trials"]
    for row, trial in zip(rows, trials, strict=True):
        assert int(row["number"]) == trial["trial"]
        assert float(row["params.tune.learning_rate"]) == trial["options"]["tune.learning_rate"]
        assert float(row["rungs.0.125"]) == trial["rungs"]["0.125"]
        assert row["values.eval_loss"] == str(trial["values"].get("eval_loss", ""))


def test_export_into_files_by_their_names(there: Path, tmp_path: Path) -> None:
    for name in ("t.csv", "t.json", "t.html", "t.txt"):
        assert lines(call("sweep", "export", "sweep.yaml", "--output", str(tmp_path / name))) == [
            f"{tmp_path / name}: 4 trials"
        ]
    as_csv = call("sweep", "export", "sweep.yaml", "--format", "csv").stdout
    assert (tmp_path / "t.csv").read_text() == (tmp_path / "t.txt").read_text() == as_csv
    as_json = json.loads((tmp_path / "t.json").read_text())
    assert as_json == json.loads(call("sweep", "export", "sweep.yaml", "--json").stdout)
    assert [trial["number"] for trial in as_json["trials"]] == [0, 1, 2, 3]
    assert (tmp_path / "t.html").read_text().startswith("<!doctype html>")
    where = told("sweep", "export", "sweep.yaml", "--output", str(tmp_path / "again.json"))
    assert (where["output"], where["format"], where["trials"]) == (str(tmp_path / "again.json"), "json", 4)


def test_a_page_goes_into_a_file_and_a_folder_that_is_not_there_is_told(there: Path) -> None:
    result = call("sweep", "export", "sweep.yaml", "--format", "html")
    assert result.exit_code == 2
    assert "--format html needs --output FILE" in result.stderr


def test_best_shows_the_exact_options_and_writes_what_trains_them(there: Path, tmp_path: Path) -> None:
    file = tmp_path / "again.yaml"
    found = told("sweep", "best", "sweep.yaml", "--write", str(file))
    (best,) = found["best"]
    rate = best["options"]["tune.learning_rate"]
    shown = lines(call("sweep", "best", "sweep.yaml"))
    assert shown[0].startswith(f"trial {best['trial']}: eval_loss ")
    assert shown[1] == f"  tune.learning_rate  {rate!r}"
    assert shown[3:] == [
        f"to train trial {best['trial']} again:",
        f"  olive sweep best sweep.yaml --trial {best['trial']} --write retrain.yaml",
        "  olive run retrain.yaml --cache-dir .olive-retrained",
    ]
    assert file.read_text() == (there / "output/retrain.yaml").read_text()
    assert found["written"] == str(file)
    assert found["retrain"] == [f"olive run {file} --cache-dir .olive-retrained"]
    planned = told("plan", str(file))
    assert planned["search"] == []
    assert [step["step"] for step in planned["steps"]] == ["tune", "merge"]


def test_any_trial_can_be_taken_and_one_that_is_not_there_is_told(there: Path, tmp_path: Path) -> None:
    trials = told("sweep", "status", "sweep.yaml")["trials"]
    poor = next(trial for trial in trials if trial["state"] == "pruned")
    file = tmp_path / "poor.yaml"
    shown = lines(call("sweep", "best", "sweep.yaml", "--trial", str(poor["trial"]), "--write", str(file)))
    assert shown[0] == f"trial {poor['trial']}: pruned"
    assert shown[-2] == f"{file} trains trial {poor['trial']} again:"
    assert f"learning_rate: {poor['options']['tune.learning_rate']!r}" in file.read_text()
    gone = call("sweep", "best", "sweep.yaml", "--trial", "9")
    assert (gone.exit_code, gone.stderr) == (1, "error: there is no trial 9; they go from 0 to 3\n")


# --- pass by pass -------------------------------------------------------------------------------------------------


@pytest.fixture
def by_pass(sweep: Path) -> Path:
    (sweep / "more.yaml").write_text(
        "passes: {last: {type: ToyScale}}\nsearch_strategy: {execution_order: pass-by-pass}\n"
        "search_space: {last.factor: [2, 3]}\n"
        "evaluators: {all: {metrics: [{name: size, type: size_on_disk}]}}\nevaluator: all\n"
    )
    return sweep


STAGED = ("--config", "sweep.yaml", "--config", "more.yaml")


def test_the_stages_of_a_search_pass_by_pass(by_pass: Path) -> None:
    begun = lines(call("run", *STAGED, "--set", "search_strategy.max_iter=2", "--debug"))
    assert begun[-1].endswith("` goes on with it")
    shown = lines(call("sweep", "status", *STAGED))
    assert shown[:2] == ["2 of 4 trials of tune: 2 complete", "  pass by pass: tune 2 trials, last not begun"]
    early = call("sweep", "status", *STAGED, "--stage", "last")
    assert (early.exit_code, early.stderr) == (
        1,
        "error: the search of `last` has not begun: that of `tune` is first\n",
    )

    assert call("run", *STAGED, "--debug").exit_code == 0
    found = told("sweep", "status", *STAGED)
    assert (found["stage"], len(found["trials"])) == ("last", 2)
    assert set(found["trials"][0]["options"]) == {"last.factor"}
    shown = lines(call("sweep", "status", *STAGED, "--stage", "tune"))
    assert shown[0].startswith("4 of 4 trials of tune: ")
    assert shown[1] == "  pass by pass: tune 4 trials, last 2 trials"
    (best,) = told("sweep", "best", *STAGED)["best"]
    assert set(best["options"]) == {"tune.learning_rate", "tune.noise", "last.factor"}
    for stage in ([], ["--stage", "tune"]):
        again = told("sweep", "best", *STAGED, *stage)
        command = shlex.split(again["retrain"][0])
        assert command[command.index("--stage") + 1] == (stage[1] if stage else "last")
        assert call(*command[1:]).exit_code == 0
        assert "last" in load_workflow("retrain.yaml").passes
        assert command[-2:] == ["--write", "retrain.yaml"]
    (of_tune,) = told("sweep", "best", *STAGED, "--stage", "tune")["best"]
    assert set(of_tune["options"]) == {"tune.learning_rate", "tune.noise"}
    assert of_tune["options"].items() <= best["options"].items()


def test_a_stage_that_is_not_one(there: Path) -> None:
    result = call("sweep", "status", "sweep.yaml", "--stage", "tune")
    assert result.exit_code == 2
    assert "there is no search of `tune` alone: all passes are searched together" in result.stderr


# --- while it runs ------------------------------------------------------------------------------------------------


@pytest.fixture
def running(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """A search whose first trials take a minute."""
    (folder / "slow.yaml").write_text(SLOW)
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "olive_engine", "run", "slow.yaml", "--json"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    while json.loads(process.stdout.readline())["event"] != "step_started":
        pass
    yield process
    process.kill()
    process.communicate()


@pytest.mark.skipif(sys.platform == "win32", reason="processes that are asked to stop")
def test_a_running_search_is_seen_and_stopped_from_elsewhere(folder: Path, running: "subprocess.Popen[str]") -> None:
    found = told("sweep", "status", "slow.yaml")
    assert (found["runs"], [trial["state"] for trial in found["trials"]]) == (1, ["running"] * 4)
    shown = lines(call("sweep", "status", "slow.yaml"))
    assert shown[0] == "4 of 4 trials: 4 running"
    assert shown[-2] == "1 run uses this cache now; `olive sweep stop slow.yaml` stops the search"
    assert lines(call("sweep", "stop", "slow.yaml")) == [
        "asked to stop, which takes a few seconds: 1 run uses this cache"
    ]
    stdout, stderr = running.communicate(timeout=30)
    assert running.returncode == 130
    assert json.loads(stdout.splitlines()[-1])["type"] == "Interrupted"
    assert stderr.splitlines()[-1] == "  python -P -m olive_engine run slow.yaml --json"
    after = lines(call("sweep", "status", "slow.yaml"))
    assert after[0] == "4 of 4 trials: 4 not ended"
    assert after[-2] == "no run uses this cache now; `olive run slow.yaml` goes on with it"
    assert lines(call("sweep", "stop", "slow.yaml")) == ["no run uses this cache, so there is nothing to stop"]


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_ctrl_c_and_the_same_command_goes_on_with_the_same_trials(
    folder: Path, running: "subprocess.Popen[str]"
) -> None:
    time.sleep(0.2)
    running.send_signal(signal.SIGINT)
    _, stderr = running.communicate(timeout=30)
    assert running.returncode == 130
    assert "error: interrupted; finished steps are kept, and this goes on from there:" in stderr
    before = told("sweep", "status", "slow.yaml")["trials"]
    assert [trial["state"] for trial in before] == ["running"] * 4
