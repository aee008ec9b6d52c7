"""One file in, a tuned, merged, int4 model out; and what a second run makes of it."""

import json
import subprocess
from pathlib import Path

import pytest

from olive_engine import load_workflow, plan
from tests.acceptance.conftest import (
    MAX_STEPS,
    MOODS,
    Project,
    Tree,
    events,
    main_job,
    tree_bytes,
    unmeasured,
    write_rows,
)

STEPS = [
    "data:train",
    "data:heldout",
    "lora",
    "merge",
    "int4",
    *(
        f"{model}:{metric}"
        for model in ("input_model", "lora", "merge", "int4")
        for metric in ("accuracy", "perplexity")
    ),
]
DOWNSTREAM = {step for step in STEPS if not step.startswith(("data:", "input_model:"))}
"""What depends on the training."""
PERPLEXITY_RATIO = 1.15
"""The most that rounding to int4 may cost."""


def planned(project: Project, tree: Tree) -> set[str]:
    """The steps that would run. Asked in this process: planning computes nothing."""
    name = project.write(tree, "changed.json")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project.folder)
        return set(plan(load_workflow(name)).to_run)


def reordered(value: object) -> object:
    """The same value with the keys of every object in another order; passes, whose order means something, stay."""
    if isinstance(value, dict):
        names = list(value) if "lora" in value else reversed(value)
        return {name: reordered(value[name]) for name in names}
    return [reordered(item) for item in value] if isinstance(value, list) else value


def test_every_step_ran_once_and_the_lines_end_with_the_result(
    first: "tuple[Project, subprocess.CompletedProcess[str]]",
) -> None:
    project, done = first
    told = events(done.stdout)
    over = [event["step"] for event in told if event["event"] == "step_finished"]
    assert sorted(over) == sorted(STEPS)
    assert told[0]["event"] == "plan_made"
    losses = [e["values"]["loss"] for e in told if e["event"] == "step_progress" and e["step"] == "lora"]
    assert losses[-1] < 0.25 * losses[0]
    result = told[-1]
    assert result["event"] == "result"
    assert result["models"]["int4"]["model_path"] == str(project.folder / "output" / "model")
    assert result["metrics"] == project.report()["metrics"]
    assert done.stderr.splitlines() == []


def test_every_stage_is_measured_and_the_goals_are_judged(finished: Project) -> None:
    report = finished.report()
    values = {
        model: (m["accuracy.accuracy_score"], m["perplexity.perplexity"]) for model, m in report["metrics"].items()
    }
    assert report["status"] == "done"
    assert values["lora"][0] >= values["input_model"][0] + 0.2
    assert values["merge"] == pytest.approx(values["lora"], rel=1e-4)
    assert values["lora"][1] < 0.1 * values["input_model"][1]
    assert values["int4"][1] < PERPLEXITY_RATIO * values["merge"][1]
    met = {(goal["model"], goal["value"]): goal["met"] for goal in report["goals"]}
    assert met == {
        (model, value): met
        for model in ("lora", "merge", "int4")
        for value, met in (("accuracy.accuracy_score", True), ("perplexity.perplexity", False))
    }


def test_the_int4_model_answers_the_question_it_was_tuned_for(finished: Project) -> None:
    import onnxruntime_genai as og

    model = og.Model(str(finished.folder / "output" / "model"))
    tokenizer = og.Tokenizer(model)
    answers = {}
    for tone, start in MOODS.items():
        prompt = tokenizer.encode(f"<s>{start} the sea\n")
        parameters = og.GeneratorParams(model)
        parameters.set_search_options(max_length=len(prompt) + 12, do_sample=False)
        generator = og.Generator(model, parameters)
        generator.append_tokens(prompt)
        while not generator.is_done():
            generator.generate_next_token()
        answers[tone] = tokenizer.decode(generator.get_sequence(0)[len(prompt) :])
    assert answers == {tone: tone for tone in MOODS}


def test_a_second_run_computes_nothing_and_shows_the_table(project: Project) -> None:
    before = tree_bytes(project.folder / "output" / "model")
    done = project.olive("run", "workflow.json")
    assert done.returncode == 0
    assert f"all {len(STEPS)} steps were reused" in done.stdout
    assert {step["status"] for step in project.report()["steps"]} == {"reused"}
    assert tree_bytes(project.folder / "output" / "model") == before
    row = next(line.split() for line in done.stdout.splitlines() if line.strip().startswith("int4 "))
    assert (row[1], row[4]) == ("✓", "✗"), row
    missed = [line for line in done.stderr.splitlines() if line.startswith("goal missed: ")]
    assert [line.split(": ")[1] for line in missed] == ["lora", "merge", "int4"]
    assert all("perplexity" in line for line in missed)


def test_what_no_result_depends_on_reruns_nothing(project: Project) -> None:
    tree = main_job()
    assert planned(project, tree) == set()
    other = {**tree, "output_dir": "elsewhere", "log_severity_level": 3}
    assert planned(project, reordered(other)) == set()  # type: ignore[arg-type]  # an object stays an object
    renamed = json.loads(json.dumps(tree).replace('"train"', '"rows"'))
    assert planned(project, renamed) == set()


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        (("lora", "r"), 4, "r: 16 -> 4"),
        (("lora", "training_args", "learning_rate"), 0.02, "training_args.learning_rate: 0.01 -> 0.02"),
        (
            ("lora", "training_args", "max_steps"),
            MAX_STEPS + 1,
            f"training_args.max_steps: {MAX_STEPS} -> {MAX_STEPS + 1}",
        ),
    ],
    ids=lambda value: value[-1] if isinstance(value, tuple) else "",
)
def test_a_changed_option_reruns_the_training_and_what_follows(
    project: Project, path: tuple[str, ...], value: float, reason: str
) -> None:
    tree = main_job()
    entry = tree["passes"]
    for name in path[:-1]:
        entry = entry[name]
    entry[path[-1]] = value
    assert planned(project, tree) == DOWNSTREAM
    told = project.olive("why", "changed.json", "lora")
    assert told.stdout.splitlines() == ["lora would run:", f"  {reason}"]
    assert project.olive("why", "changed.json", "merge").stdout.splitlines() == ["merge would run:", "  lora changed"]


def test_an_option_in_the_middle_reruns_nothing_before_it(project: Project) -> None:
    tree = main_job()
    tree["passes"]["int4"]["int4_block_size"] = 16
    assert planned(project, tree) == {"int4", "int4:accuracy", "int4:perplexity"}


def test_a_training_file_edited_in_place_reruns_the_training(project: Project, finished: Project) -> None:
    file = project.folder / "train.jsonl"
    size = file.stat().st_size
    text = file.read_text()
    file.write_text(text.replace("what joy today", "what joy todya"))
    assert file.stat().st_size == size
    assert planned(project, main_job()) == {"data:train", *DOWNSTREAM}
    assert project.olive("why", "workflow.json", "data:train").stdout.splitlines()[1:] == ["  its source files changed"]
    done = project.olive("run", project.write(unmeasured(), "unmeasured.json"))
    assert done.returncode == 0, done.stderr
    assert {step["status"] for step in project.report()["steps"]} == {"executed"}
    for step in ("data:train", "lora", "merge", "int4"):
        assert project.step(step)["output"] != finished.step(step)["output"]
    file.write_text(text)
    assert planned(project, main_job()) == set()


def test_a_heldout_row_changed_reruns_the_measurements_only(project: Project) -> None:
    write_rows(project.folder / "heldout.jsonl", [{"phrase": "so sad today", "tone": "Sad"}])
    assert planned(project, main_job()) == {
        "data:heldout",
        *(step for step in STEPS if step.endswith(("accuracy", "perplexity"))),
    }


def test_another_base_model_of_the_same_size_reruns_all_but_tokenization(project: Project) -> None:
    """The tokens depend on the tokenizer, which is the same."""
    weights = project.folder / "base" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(bytes(data))
    assert planned(project, main_job()) == set(STEPS) - {"data:train", "data:heldout"}


def test_two_branches_are_built_at_once_and_lie_side_by_side(project: Project) -> None:
    tree = main_job()
    tree["passes"]["int4"]["int4_block_size"] = 16
    tree["passes"]["int8"] = {"type": "ModelBuilder", "precision": "int8", "input": "merge"}
    tree["systems"] = {"here": {"type": "LocalSystem", "workers": 2, "threads": 1}}
    tree["host"] = "here"
    done = project.olive("run", project.write(tree, "branches.json"), "--json")
    assert done.returncode == 0, done.stderr
    statuses = {step["step"]: step["status"] for step in project.report()["steps"] if step["kind"] == "pass"}
    assert statuses == {"lora": "reused", "merge": "reused", "int4": "executed", "int8": "executed"}
    moments = [(e["event"], e["step"]) for e in events(done.stdout) if e.get("step") in ("int4", "int8")]
    started = [moments.index(("step_started", name)) for name in ("int4", "int8")]
    over = [moments.index(("step_finished", name)) for name in ("int4", "int8")]
    assert max(started) < min(over)
    output = project.folder / "output"
    sizes = {name: (output / name / "model" / "model.onnx.data").stat().st_size for name in ("int4", "int8")}
    assert 1.15 * sizes["int4"] < sizes["int8"]
    for name in ("int4", "int8"):
        described = json.loads((output / name / "model_config.json").read_text())
        assert Path(described["model_path"]) == output / name / "model"
    assert not (output / "model" / "model.onnx").exists(), "the single model of the run before is taken away"
