"""What belongs to the user stays as it is: inputs, folders beside the output, edited results."""

import json
import os

import pytest

from olive_engine import plan, run
from olive_engine.config.references import RESERVED
from olive_engine.contracts import Metrics, Pass, PassContext
from olive_engine.errors import InvalidWorkflow, PassFailed
from olive_engine.models import HfModel
from olive_engine.outputs import WRITTEN_NAMES
from olive_engine.reporting.events import StepStarted
from olive_engine.reporting.reporter import Reporter
from olive_engine.store import Store
from olive_engine.testing.toys import NUMBERS, ToyScaleConfig, build_toy_model, read_numbers
from tests.engine.conftest import tree_bytes

SAME = {"same": {"type": "ToyScale", "factor": 1.0}}
"""A pass whose output has the bytes of its input."""


def test_a_pass_that_changes_nothing_keeps_its_model_on_a_second_run(make, project):
    run(make(SAME))
    first = tree_bytes(project / "output" / "model")
    assert set(first) == {"config.json", "numbers.json", "tokenizer.json"}
    again = run(make(SAME))
    assert again.executed == ()
    assert again.models["same"].model_path == project / "output" / "model"
    assert tree_bytes(project / "output" / "model") == first


def test_an_input_inside_the_output_folder_is_refused(make, project):
    run(make({"scale": {"type": "ToyScale"}}))
    described = json.loads((project / "output" / "model_config.json").read_text())
    with pytest.raises(InvalidWorkflow, match="which its results would be mixed with"):
        run(make({"scale": {"type": "ToyScale"}}, input_model=described))
    assert read_numbers(project / "output" / "model") == [2.0, 4.0, 6.0]
    assert run(make({"scale": {"type": "ToyScale"}}, input_model=described, output_dir="second")).executed


@pytest.mark.parametrize("folder", [".", "base", "base/out"])
def test_an_output_folder_around_or_in_an_input_is_refused(make, folder):
    with pytest.raises(InvalidWorkflow, match="output_dir: "):
        run(make(output_dir=folder))


def test_a_result_that_the_user_edited_is_not_removed_with_the_stale_ones(make, project):
    run(make({"scale": {"type": "ToyScale"}, "tune": {"type": "ToyTrain"}}))
    (project / "output" / "adapter" / NUMBERS).write_text("[7]")
    run(make())
    assert (project / "output" / "adapter" / NUMBERS).read_text() == "[7]"
    assert not (project / "output" / "adapter" / "adapter_config.json").exists()


@pytest.mark.parametrize(
    "lock", ['{"olive_engine": "x", "files": {"../precious.txt": "0"}}', '{"files": 3}', "[]", "{"]
)
def test_a_forged_or_damaged_lock_file_removes_nothing(make, project, lock):
    run(make())
    (project / "precious.txt").write_text("mine")
    (project / "output" / "workflow.lock.json").write_text(lock)
    run(make())
    assert (project / "precious.txt").read_text() == "mine"


class Editor(Reporter):
    """Somebody who edits a file, keeping its size, when a step starts."""

    def __init__(self, step, path):
        self.step, self.path = step, path

    def on_event(self, event):
        if isinstance(event, StepStarted) and event.step == self.step:
            self.path.write_text(self.path.read_text().replace("3", "9"))


def test_an_input_edited_during_the_run_makes_no_record(make, project):
    numbers = project / "base" / NUMBERS
    slow = {
        "first": {"type": "ToyScale", "seconds": 0.3},
        "later": {"type": "ToyScale", "factor": 3.0, "seconds": 0.3, "input": "input_model"},
    }
    systems = {"here": {"type": "LocalSystem", "workers": 1, "threads": 1}}
    with pytest.raises(PassFailed, match="changed"):
        run(make(slow, systems=systems, host="here"), Editor("first", numbers))
    numbers.write_text("[1.0, 2.0, 3.0]")
    result = run(make(slow, systems=systems, host="here"))
    assert read_numbers(result.models["later"].model_path) == [3.0, 6.0, 9.0]


@pytest.mark.parametrize("name", ["..", ".hidden", "run.json", "model", "Evaluation"])
def test_names_of_passes_that_are_paths_or_taken_are_refused(make, name):
    with pytest.raises(InvalidWorkflow, match="the name"):
        make({name: {"type": "ToyScale"}})


def test_the_reserved_names_are_those_that_are_written():
    assert set(RESERVED) == set(WRITTEN_NAMES)


def test_files_behind_a_linked_folder_count(make, project):
    (project / "extra").mkdir()
    (project / "extra" / "more.json").write_text("1")
    (project / "base" / "linked").symlink_to(project / "extra")
    run(make())
    (project / "extra" / "more.json").write_text("2")
    assert plan(make()).to_run == ("scale", "tune", "merge")


def test_a_cache_that_is_a_file_is_refused(make, project):
    (project / "cache").write_text("")
    with pytest.raises(InvalidWorkflow, match=r"cache_dir: .* is a file"):
        plan(make(cache_dir="cache"))


def test_damaged_memories_of_the_cache_cost_a_read_and_nothing_else(make, project):
    for path in (project / "base").iterdir():  # what is young is not remembered
        os.utime(path, (1_700_000_000, 1_700_000_000))
    run(make())
    cache = project / ".olive-cache"
    for path in [*(cache / "sources").iterdir(), *(cache / "records" / "last").iterdir()]:
        path.write_bytes(b"\xff\xfe[1]")
    assert plan(make()).to_run == ()


class NotANumber(Pass[ToyScaleConfig, HfModel, HfModel]):
    """Gives its input back and reports what JSON cannot hold."""

    type = "ToyScale"

    def run(self, model: HfModel, config: ToyScaleConfig, context: PassContext) -> HfModel:
        context.report(Metrics(values={"loss": float("nan"), "worst": float("inf")}))
        return model


def test_a_metric_that_is_no_number_is_kept_as_such(make, project, monkeypatch):
    monkeypatch.setattr("olive_engine.job_run.find_pass", lambda name: NotANumber)
    result = run(make({"scale": {"type": "ToyScale"}}), debug=True)
    described = json.loads((project / "output" / "run.json").read_text())
    assert described["steps"][0]["metrics"] == {"loss": "nan", "worst": "inf"}
    record = Store(project / ".olive-cache").records.load(result.steps["scale"].key)
    assert str(record.metrics) == "{'loss': nan, 'worst': inf}"


def test_code_edited_between_two_runs_of_one_process_counts(make, project, monkeypatch, tmp_path):
    from olive_engine import implementations

    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "module.py").write_text("x = 1")
    monkeypatch.setattr(implementations, "_origin", lambda module: folder / "module.py")
    run(make({"scale": {"type": "ToyScale"}}))
    (folder / "module.py").write_text("x = 2")
    assert plan(make({"scale": {"type": "ToyScale"}})).steps["scale"].reasons == ("the engine's code for it changed",)


def test_a_model_of_the_user_beside_the_output_is_left_alone(make, project):
    build_toy_model(project / "output" / "mine")
    run(make())
    assert read_numbers(project / "output" / "mine") == [1.0, 2.0, 3.0]
