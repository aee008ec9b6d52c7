"""What runs again, what is reused, and what the reporter hears of it."""

import json

import pytest

from olive_engine import plan, run, why
from olive_engine.errors import InvalidWorkflow
from olive_engine.evaluation.size import SizeOnDisk
from olive_engine.reporting.events import PlanMade, RunFinished, StepFinished, StepProgress, StepStarted
from olive_engine.reporting.recorder import Recorder
from olive_engine.testing.toys import NUMBERS, build_toy_model, read_numbers
from tests.engine.conftest import TUNE, tree_bytes


def told(workflow) -> list[tuple]:
    """Run, and give the events as (what, step, detail), without times."""
    recorder = Recorder()
    run(workflow, recorder)
    lines = []
    for event in recorder.events:
        match event:
            case PlanMade(steps=steps):
                lines.append(("plan", tuple((step.step, step.action, step.reasons) for step in steps)))
            case StepStarted(step=step, reasons=reasons):
                lines.append(("started", step, reasons))
            case StepFinished(step=step, reused=reused):
                lines.append(("finished", step, "reused" if reused else "computed"))
            case RunFinished(executed=executed, reused=reused, failed=failed):
                lines.append(("over", executed, reused, failed))
            case StepProgress():
                pass
            case _:
                lines.append(event)
    return lines


FRESH = ("no result yet",)


def test_a_fresh_run_computes_every_step_in_order(make):
    assert told(make()) == [
        ("plan", (("scale", "run", FRESH), ("tune", "run", FRESH), ("merge", "run", FRESH))),
        ("started", "scale", FRESH),
        ("finished", "scale", "computed"),
        ("started", "tune", FRESH),
        ("finished", "tune", "computed"),
        ("started", "merge", FRESH),
        ("finished", "merge", "computed"),
        ("over", 3, 0, 0),
    ]


@pytest.mark.parametrize("workers", [1, 2])
def test_two_equal_steps_are_computed_once_and_the_second_waits_in_silence(make, workers):
    twins = {name: {"type": "ToyScale", "factor": 2, "seconds": 0.3, "input": "input_model"} for name in ("one", "two")}
    workflow = make(twins, systems={"here": {"type": "LocalSystem", "workers": workers}}, host="here")
    assert told(workflow)[1:] == [
        ("started", "one", FRESH),
        ("finished", "one", "computed"),
        ("finished", "two", "reused"),
        ("over", 1, 1, 0),
    ]


def test_a_second_run_executes_nothing(make):
    run(make())
    assert told(make()) == [
        ("plan", (("scale", "reuse", ()), ("tune", "reuse", ()), ("merge", "reuse", ()))),
        ("finished", "scale", "reused"),
        ("finished", "tune", "reused"),
        ("finished", "merge", "reused"),
        ("over", 0, 3, 0),
    ]


def test_one_changed_option_reruns_its_step_and_those_after_it(make):
    run(make())
    changed = make({**TUNE, "tune": {"type": "ToyTrain", "learning_rate": 0.2}})
    assert told(changed) == [
        (
            "plan",
            (
                ("scale", "reuse", ()),
                ("tune", "run", ("learning_rate: 0.3 -> 0.2",)),
                ("merge", "run", ("tune changed",)),
            ),
        ),
        ("finished", "scale", "reused"),
        ("started", "tune", ("learning_rate: 0.3 -> 0.2",)),
        ("finished", "tune", "computed"),
        ("started", "merge", ("tune changed",)),
        ("finished", "merge", "computed"),
        ("over", 2, 1, 0),
    ]


def test_why_names_option_old_and_new_value(make):
    run(make())
    changed = make({**TUNE, "tune": {"type": "ToyTrain", "steps": 21}})
    assert why(changed, "tune") == ("steps: 20 -> 21",)
    assert why(changed, "merge") == ("tune changed",)
    assert why(changed, "scale") == ()
    with pytest.raises(InvalidWorkflow, match=r"there is no step `tun`; did you mean `tune`\?"):
        why(changed, "tun")


def test_back_to_an_earlier_option_is_reused(make):
    run(make())
    run(make({**TUNE, "tune": {"type": "ToyTrain", "steps": 21}}))
    assert plan(make()).to_run == ()


@pytest.mark.parametrize(
    "change",
    [
        {"output_dir": "elsewhere"},
        {"log_severity_level": 3},
        {"systems": {"mine": {"type": "LocalSystem"}}, "host": "mine"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_no_result_depends_on_reruns_nothing(make, change):
    run(make())
    assert plan(make(**change)).to_run == ()


def test_order_of_keys_and_names_of_passes_rerun_nothing(make):
    run(make({"a": {"type": "ToyScale", "factor": 3, "seconds": 0}}))
    assert plan(make({"b": {"seconds": 0, "type": "ToyScale", "factor": 3.0}})).to_run == ()


def test_an_input_model_edited_in_place_reruns_everything(make, project):
    run(make())
    (project / "base" / NUMBERS).write_text("[1.0, 2.0, 4.0]")
    assert plan(make()).to_run == ("scale", "tune", "merge")


def test_a_copy_of_the_input_model_reruns_nothing(make, project):
    run(make())
    (project / "copy").symlink_to(project / "base")
    moved = make(input_model={"type": "HfModel", "model_path": "copy"})
    assert plan(moved).to_run == ()


def test_the_output_is_ready_to_load_and_described(make, project):
    result = run(make())
    merged = result.models["merge"]
    assert merged.model_path == project / "output" / "model"
    assert read_numbers(merged.model_path) == pytest.approx([0.0, 0.0, 0.0], abs=0.1)
    described = json.loads((project / "output" / "run.json").read_text())
    assert [(step["step"], step["status"], step["inputs"]) for step in described["steps"]] == [
        ("scale", "executed", ["input_model"]),
        ("tune", "executed", ["scale"]),
        ("merge", "executed", ["tune"]),
    ]
    assert described["steps"][1]["metrics"]["eval_loss"] == result.steps["tune"].metrics["eval_loss"]
    lock = json.loads((project / "output" / "workflow.lock.json").read_text())
    assert lock["steps"]["merge"] == result.steps["merge"].key
    assert set(lock["files"]) == {"model/config.json", "model/numbers.json", "model/tokenizer.json"}


def test_a_file_edited_in_the_output_harms_no_result(make, project):
    run(make())
    pristine = tree_bytes(project / "output" / "model")
    (project / "output" / "model" / NUMBERS).write_text("[9, 9, 9]")
    result = run(make())
    assert result.executed == ()
    assert tree_bytes(project / "output" / "model") == pristine


def test_files_of_an_earlier_final_model_are_taken_away(make, project):
    run(make({"scale": {"type": "ToyScale"}, "tune": {"type": "ToyTrain"}}))
    assert (project / "output" / "adapter" / NUMBERS).exists()
    run(make())
    assert not (project / "output" / "adapter" / NUMBERS).exists()
    assert (project / "output" / "model" / NUMBERS).exists()


def test_an_output_folder_with_foreign_files_is_refused_before_any_work(make, project):
    (project / "output").mkdir()
    build_toy_model(project / "output" / "model")
    with pytest.raises(InvalidWorkflow, match="no run of ours has written it"):
        run(make())
    assert not (project / ".olive-cache" / "records").exists()


def test_fan_out_and_fan_in(make):
    passes = {
        "double": {"type": "ToyScale", "factor": 2.0, "input": "input_model"},
        "triple": {"type": "ToyScale", "factor": 3.0, "input": "input_model"},
        "both": {"type": "ToySum", "inputs": ["double", "triple"]},
    }
    result = run(make(passes))
    assert read_numbers(result.models["both"].model_path) == [5.0, 10.0, 15.0]


def test_two_final_models_have_a_folder_each(make, project):
    passes = {
        "double": {"type": "ToyScale", "factor": 2.0},
        "triple": {"type": "ToyScale", "factor": 3.0, "input": "input_model"},
    }
    result = run(make(passes))
    assert read_numbers(project / "output" / "double" / "model") == [2.0, 4.0, 6.0]
    assert read_numbers(result.models["triple"].model_path) == [3.0, 6.0, 9.0]


def test_independent_branches_run_at_the_same_time(make):
    passes = {
        name: {"type": "ToyScale", "factor": factor, "seconds": 1.0, "input": "input_model"}
        for name, factor in (("double", 2.0), ("triple", 3.0))
    }
    recorder = Recorder()
    systems = {"here": {"type": "LocalSystem", "workers": 2, "threads": 1}}
    run(make(passes, systems=systems, host="here"), recorder)
    kinds = [type(event) for event in recorder.events]
    assert kinds == [PlanMade, StepStarted, StepStarted, StepFinished, StepFinished, RunFinished]


def test_debug_runs_in_this_process(make):
    assert run(make(), debug=True).executed == ("scale", "tune", "merge")
    assert plan(make()).to_run == ()


def test_an_adapter_beside_the_input_model_makes_it_an_adapter_model(make, project):
    run(make({"scale": {"type": "ToyScale"}, "tune": {"type": "ToyTrain"}}))
    described = json.loads((project / "output" / "model_config.json").read_text())
    result = run(make({"merge": {"type": "ToyMerge"}}, input_model=described, output_dir="merged"))
    assert read_numbers(result.models["merge"].model_path) == pytest.approx([0.0, 0.0, 0.0], abs=0.1)


def test_a_base_that_has_moved_is_found_where_it_is(make, project):
    """An adapter's record refers to its base; with the base elsewhere the record still holds."""
    tune = {"tune": {"type": "ToyTrain"}}
    run(make(tune))
    (project / "base").rename(project / "moved")
    moved = {"input_model": {"type": "HfModel", "model_path": "moved"}}
    result = run(make(tune, **moved))
    assert result.executed == ()
    assert result.models["tune"].model_path == project / "moved"
    assert json.loads((project / "output" / "model_config.json").read_text())["model_path"] == str(project / "moved")
    assert run(make({**tune, "merge": {"type": "ToyMerge"}}, **moved)).executed == ("merge",)


def test_variables_of_a_system_count_and_what_secret_references_lead_to_does_not(make, project, monkeypatch):
    def workflow(level="1", secret="hush"):
        variables = {"LEVEL": level, "A_SECRET": secret, "OTHER": "${env:OTHER_SECRET}"}
        systems = {"here": {"type": "LocalSystem", "environment_variables": variables}}
        return make({"scale": {"type": "ToyScale"}}, systems=systems, host="here")

    monkeypatch.setenv("OTHER_SECRET", "hushhush")
    run(workflow())
    monkeypatch.setenv("OTHER_SECRET", "changed!")
    assert plan(workflow()).to_run == ()
    for changed in (plan(workflow(level="2")), plan(workflow(secret="other"))):
        assert changed.to_run == ("scale",)
        assert changed.steps["scale"].reasons == ("the environment variables of its system changed",)
    written = b"".join(path.read_bytes() for path in project.rglob("*") if path.is_file())
    assert b"hush" not in written
    lock = json.loads((project / "output" / "workflow.lock.json").read_text())
    assert lock["workflow"]["systems"]["here"]["options"]["environment_variables"] == {
        "LEVEL": "1",
        "A_SECRET": "(not shown)",
        "OTHER": "${env:OTHER_SECRET}",
    }


def test_another_seed_measures_nothing_again_that_draws_nothing(make, monkeypatch):
    def workflow(seed):
        size = {"name": "size", "type": "size_on_disk"}
        return make({"scale": {"type": "ToyScale"}}, evaluators={"e": {"metrics": [size]}}, evaluator="e", seed=seed)

    assert run(workflow(0)).executed == ("input_model:size", "scale", "scale:size")
    steps = plan(workflow(1)).steps
    assert {name: step.reasons for name, step in steps.items()} == {
        "input_model:size": (),
        "scale": ("seed: 0 -> 1",),
        "scale:size": ("scale changed",),
    }
    monkeypatch.setattr(SizeOnDisk, "draws", True)
    run(workflow(0))
    assert plan(workflow(1)).steps["input_model:size"].reasons == ("seed: 0 -> 1",)
