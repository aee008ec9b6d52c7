"""What cannot work is said in a sentence with the right exit code, and leaves nothing that looks like success."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from olive_engine.testing.toys import build_toy_model
from tests.acceptance.conftest import Project, Tree, unmeasured

INVALID, FAILED = 2, 1


def told(done: "subprocess.CompletedProcess[str]") -> list[str]:
    """The lines of stderr without those that only frame a message: the marked source, how to see more."""
    assert "Traceback" not in done.stdout + done.stderr
    return [line for line in done.stderr.splitlines() if line and not line.startswith((" ", "error: nothing was run"))]


def nothing_like_success(project: Project) -> None:
    """No model, and no report that says so."""
    output = project.folder / "output"
    assert not [path for path in output.rglob("*") if path.is_file() and path.name != "run.json"]
    if output.exists():
        assert project.report()["status"] == "failed"


def no_such_file(tree: Tree, base: Path) -> None:
    tree["data_configs"][0]["load_dataset_config"]["data_files"] = "trian.jsonl"


def no_such_column(tree: Tree, base: Path) -> None:
    prompt = tree["data_configs"][0]["pre_process_data_config"]
    tree["data_configs"][0]["pre_process_data_config"] = {**prompt, "text_template": "{phrases}\n{tone}"}


def out_of_range(tree: Tree, base: Path) -> None:
    tree["passes"]["lora"]["training_args"]["learning_rate"] = -1


def unknown_pass(tree: Tree, base: Path) -> None:
    tree["passes"]["lora"]["type"] = "LoRa2"


def no_such_model(tree: Tree, base: Path) -> None:
    tree["input_model"]["model_path"] = "./bse"


def config_cut_short(tree: Tree, base: Path) -> None:
    (base / "config.json").write_text((base / "config.json").read_text()[:50])


def weights_cut_short(tree: Tree, base: Path) -> None:
    weights = base / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])


def pickled_weights(tree: Tree, base: Path) -> None:
    (base / "model.safetensors").rename(base / "pytorch_model.bin")


def merge_without_adapter(tree: Tree, base: Path) -> None:
    tree["passes"]["merge"]["input"] = "input_model"


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (no_such_file, "there is no file or folder trian.jsonl (looked in {folder}); did you mean `train.jsonl`?"),
        (no_such_column, "no column is called 'phrases'; did you mean `phrase`? the rows have: phrase, tone"),
        (out_of_range, "passes.lora.training_args.learning_rate: must be greater than 0.0, found -1"),
        (unknown_pass, "passes.lora.type: no pass is called 'LoRa2'; did you mean `LoRA`?"),
        (no_such_model, "input_model.model_path: no such folder: './bse'; did you mean `base`?"),
        (pickled_weights, "base has only pickled weights, which can run code: pytorch_model.bin"),
        (merge_without_adapter, "MergeAdapterWeights"),
        (config_cut_short, "base/config.json"),
        (weights_cut_short, "base/model.safetensors"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_what_is_wrong_before_any_work_is_refused_before_any_work(
    fresh: Project, harm: Callable[[Tree, Path], None], sentence: str
) -> None:
    tree = unmeasured()
    harm(tree, fresh.folder / "base")
    done = fresh.olive("run", fresh.write(tree))
    (line,) = told(done)
    assert sentence.format(folder=fresh.folder) in line
    assert done.returncode == INVALID
    assert "error: nothing was run" in done.stderr
    assert not (fresh.folder / "output").exists()
    assert not list((fresh.folder / ".olive-cache" / "jobs").glob("*"))


def test_what_only_a_step_can_find_names_the_users_own_folder(fresh: Project) -> None:
    """Not the job's, where the user's files are links; without weights the tokenization is done, and is kept."""
    base = fresh.folder / "base"
    weights = base / "model.safetensors"
    weights.rename(fresh.folder / "away")
    done = fresh.olive("run", fresh.write(unmeasured("lora")))
    assert done.returncode == FAILED
    (line,) = told(done)
    assert line.startswith("error: lora: ")
    assert str(base) in line
    assert "jobs" not in line
    nothing_like_success(fresh)
    statuses = {step["step"]: step["status"] for step in fresh.report()["steps"]}
    assert statuses == {"data:train": "executed", "lora": "failed"}


def test_a_folder_without_a_tokenizer_is_said_to_be_one(fresh: Project) -> None:
    for file in (fresh.folder / "base").glob("tokenizer*"):
        file.unlink()
    done = fresh.olive("run", fresh.write(unmeasured("lora")))
    assert done.returncode == FAILED
    (line,) = told(done)
    assert line.startswith("error: data:train: the model's folder must hold a tokenizer that transformers can load: ")
    assert not line.endswith(":"), "the cause is told to its end"
    nothing_like_success(fresh)


def test_a_loss_that_is_no_number_is_a_failure(project: Project) -> None:
    tree = unmeasured()
    tree["passes"]["lora"]["training_args"] |= {"learning_rate": 1e30, "max_grad_norm": 0}
    done = project.olive("run", project.write(tree), "--output-dir", "nan")
    assert done.returncode == FAILED
    (line,) = told(done)
    assert line.startswith("error: lora: ")
    assert "the training loss became" in line
    assert project.report("nan")["status"] == "failed"
    assert not (project.folder / "nan" / "model").exists()


@pytest.mark.parametrize("how", ["raise", "exit", "kill", "write nothing"])
def test_every_way_in_which_a_pass_fails_is_a_failure(tmp_path: Path, how: str) -> None:
    build_toy_model(tmp_path / "base")
    project = Project(tmp_path)
    passes = {"good": {"type": "ToyScale"}, "bad": {"type": "ToyScale", "misbehave": how}, "last": {"type": "ToyScale"}}
    tree = {"input_model": {"type": "HfModel", "model_path": "base"}, "passes": passes}
    done = project.olive("run", project.write(tree))
    assert done.returncode == FAILED
    assert [line.split(": ")[:2] for line in told(done)] == [["error", "bad"]]
    assert "last: skipped, because bad failed" in done.stdout
    nothing_like_success(project)


def test_an_earlier_model_in_the_output_folder_is_not_passed_off_as_the_new_one(tmp_path: Path) -> None:
    build_toy_model(tmp_path / "base")
    project = Project(tmp_path)
    tree: Tree = {"input_model": {"type": "HfModel", "model_path": "base"}, "passes": {"scale": {"type": "ToyScale"}}}
    assert project.olive("run", project.write(tree)).returncode == 0
    tree["passes"]["scale"] |= {"factor": 3, "misbehave": "raise"}
    assert project.olive("run", project.write(tree)).returncode == FAILED
    assert project.report()["status"] == "failed"


def test_a_worker_that_cannot_start_says_why(tmp_path: Path) -> None:
    build_toy_model(tmp_path / "base")
    project = Project(tmp_path)
    variables = {"PYTHONHASHSEED": "nonsense"}
    tree: Tree = {
        "input_model": {"type": "HfModel", "model_path": "base"},
        "systems": {"here": {"type": "LocalSystem", "environment_variables": variables}},
        "host": "here",
        "passes": {"scale": {"type": "ToyScale"}},
    }
    done = project.olive("run", project.write(tree))
    assert done.returncode == FAILED
    (line,) = told(done)
    assert line.startswith(
        "error: scale: its worker ended with exit code 1 before the result was written: Fatal Python"
    )
    assert "PYTHONHASHSEED" in line
