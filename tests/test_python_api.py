"""What programs get: workflows built in Python, judged as files are; runs in threads, event loops and notebooks."""

from __future__ import annotations

import ast
import asyncio
import importlib
import inspect
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

import olive_engine
from olive_engine import (
    Choice,
    DataConfig,
    EvaluatorConfig,
    FloatRange,
    HfModelConfig,
    InvalidWorkflow,
    LoadDatasetConfig,
    MetricEntry,
    PassEntry,
    PassFailed,
    PlanMade,
    PreProcessConfig,
    Reporter,
    RunEvent,
    SearchStrategy,
    StepFinished,
    StepProgress,
    StepStarted,
    SystemEntry,
    Warned,
    Workflow,
    check,
    load_workflow,
    plan,
    reading,
    registry,
    run,
    save_workflow,
    why,
)
from olive_engine.options import Options
from olive_engine.reading import read_workflow
from olive_engine.reporting.recorder import Recorder
from olive_engine.testing.toys import ToyScaleConfig, ToyTrainConfig, build_toy_model, read_numbers
from olive_passes.finetune import LoRAConfig, QLoRAConfig, TrainingArgs
from olive_passes.merge import MergeConfig
from olive_passes.model_builder import ModelBuilderConfig
from olive_systems.local import LocalSystemConfig
from tests.docs.phrase_tone import phrase_tone
from tests.headers import write_model

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "samples" / "phrase_tone"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a toy model of the numbers 1, 2, 3."""
    monkeypatch.chdir(tmp_path)
    build_toy_model(tmp_path / "base", (1.0, 2.0, 3.0))
    return tmp_path


def scale(factor: float = 2.0, seconds: float = 0.0, **place: str) -> PassEntry:
    return PassEntry(type="ToyScale", options=ToyScaleConfig(factor=factor, seconds=seconds), **place)


def toys(output_dir: str = "output", **passes: PassEntry) -> Workflow:
    return Workflow(
        input_model=HfModelConfig(model_path="base"), passes=passes or {"double": scale()}, output_dir=output_dir
    )


# --- building -----------------------------------------------------------------------------------------------------


def test_the_sample_built_in_python_is_the_sample_read_from_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(SAMPLE)
    built = phrase_tone()
    assert built == load_workflow("workflow.yaml")
    assert check(built) == ()
    assert {name: step.key for name, step in plan(built).steps.items()} == {
        name: step.key for name, step in plan(load_workflow("workflow.yaml")).steps.items()
    }


def test_a_type_alone_has_the_options_that_a_file_without_any_has() -> None:
    workflow = Workflow(
        input_model=HfModelConfig(model_path="base"),
        systems={"here": SystemEntry(type="localsystem")},
        evaluators={"size": EvaluatorConfig(metrics=(MetricEntry(name="size", type="SIZE_ON_DISK"),))},
        passes={"double": PassEntry(type="toyscale"), "again": [PassEntry(type="ToyScale", host="here")]},
        evaluator="size",
    )
    tree = {
        "input_model": {"type": "HfModel", "model_path": "base"},
        "systems": {"here": {"type": "LocalSystem"}},
        "evaluators": {"size": {"metrics": [{"name": "size", "type": "size_on_disk"}]}},
        "passes": {"double": {"type": "ToyScale"}, "again": {"type": "ToyScale", "host": "here"}},
        "evaluator": "size",
    }
    Path("workflow.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
    assert workflow == load_workflow("workflow.yaml")
    assert workflow.passes["double"][0].type == "ToyScale"
    assert workflow.passes["double"][0].options == ToyScaleConfig()
    assert workflow.systems["here"].options == LocalSystemConfig()


def test_a_search_built_in_python_is_the_one_of_a_file() -> None:
    tree = {
        "input_model": {"type": "HfModel", "model_path": "base"},
        "passes": {
            "scale": {"type": "ToyScale", "factor": {"search": {"type": "float", "low": 1, "high": 4}}},
            "tune": {"type": "ToyTrain", "rank": {"search": [1, 2, 3]}},
        },
        "search_strategy": {"sampler": "tpe", "max_samples": 10},
    }
    Path("workflow.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
    workflow = Workflow(
        input_model=HfModelConfig(model_path="base"),
        passes={"scale": PassEntry(type="ToyScale"), "tune": PassEntry(type="ToyTrain")},
        search_strategy=SearchStrategy(sampler="tpe", max_samples=10),
        search_space={"scale.factor": FloatRange(low=1, high=4), "tune.rank": Choice(values=(1, 2, 3))},
    )
    read = load_workflow("workflow.yaml")
    assert workflow == read.model_copy(update={"unavailable": ()})
    save_workflow(workflow, "again.yaml")
    assert load_workflow("again.yaml") == read
    assert plan(workflow).to_run == plan(read).to_run == ("scale", "tune")


def test_options_given_as_a_mapping_are_those_of_the_type() -> None:
    entry = PassEntry.model_validate({"type": "lora", "options": {"r": 8, "train_data_config": "train"}})
    assert entry.options == LoRAConfig(r=8, train_data_config="train")
    assert PassEntry.model_validate(entry.model_dump()) == entry


@pytest.mark.parametrize(
    ("make", "place", "message"),
    [
        (
            lambda: PassEntry(type="LoRA", options=MergeConfig()),
            ("options",),
            "LoRA takes LoRAConfig, found MergeConfig",
        ),
        (
            lambda: PassEntry(type="LoRA", options=QLoRAConfig()),
            ("options",),
            "LoRA takes LoRAConfig, found QLoRAConfig",
        ),
        (
            lambda: SystemEntry(type="LocalSystem", options=LoRAConfig()),
            ("options",),
            "LocalSystem takes LocalSystemConfig, found LoRAConfig",
        ),
        (
            lambda: MetricEntry(name="a", type="accuracy", metric_config=ToyScaleConfig()),
            ("metric_config",),
            "accuracy takes AccuracyConfig, found ToyScaleConfig",
        ),
        (lambda: LoRAConfig(r=0), ("r",), "Input should be greater than 0"),
        (lambda: PassEntry(type="LoRA", option=LoRAConfig()), ("option",), "Extra inputs are not permitted"),
    ],
)
def test_what_one_value_tells_to_be_wrong_is_refused_where_it_is_made(
    make: Callable[[], Options], place: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        make()
    (error,) = caught.value.errors()
    assert error["loc"] == place
    assert error["msg"].removeprefix("Value error, ") == message


def test_paths_are_relative_to_the_working_directory_or_where_it_is_said(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = toys()
    monkeypatch.chdir("/")
    assert before.base_dir == project
    elsewhere = Workflow(
        input_model=HfModelConfig(model_path="base"), passes={"double": scale()}, base_dir=project.relative_to("/")
    )
    assert elsewhere == before
    assert read_numbers(run(elsewhere).models["double"].model_path) == [2.0, 4.0, 6.0]
    assert (project / "output" / "model").is_dir()


def test_the_constructor_for_type_checkers_names_every_field() -> None:
    tree = ast.parse(inspect.getsource(Workflow))
    (declared,) = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == "__init__"]
    names = {argument.arg for argument in declared.args.kwonlyargs}
    assert names == Workflow.model_fields.keys() - {"unavailable"}
    for argument, default in zip(declared.args.kwonlyargs, declared.args.kw_defaults, strict=True):
        if isinstance(default, ast.Constant) and default.value is not Ellipsis:
            assert Workflow.model_fields[argument.arg].get_default() == default.value


def option_classes() -> Iterator[type[Options]]:
    """Every class that a user may write, with the groups inside."""
    plugins = [*registry.passes().values(), *registry.systems().values(), *registry.metrics().values()]
    todo: list[type[Options]] = [Workflow, *(plugin.config_type for plugin in plugins)]
    seen: set[type[Options]] = set()
    while todo:
        cls = todo.pop()
        if cls in seen:
            continue
        seen.add(cls)
        yield cls
        namespace = vars(sys.modules[cls.__module__])
        todo += [each for each in namespace.values() if isinstance(each, type) and issubclass(each, Options)]


def test_type_checkers_see_every_default() -> None:
    """They know `Field(default=64)`, and take `Field(64)` for an option that must be given."""
    positional = []
    for module in sorted({cls.__module__ for cls in option_classes()} - {"olive_engine.options"}):
        source = Path(str(sys.modules[module].__file__)).read_text()
        calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call) and node.args]
        fields = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "Field"]
        positional += [f"{module}:{call.lineno}" for call in fields]
    assert positional == []


# --- judging ------------------------------------------------------------------------------------------------------

WRONG = {
    "input_model": {"type": "HfModel", "model_path": "./missing"},
    "data_configs": [
        {
            "name": "train",
            "load_dataset_config": {"data_files": "rows.jsonl"},
            "pre_process_data_config": {"text_template": "{phrase} {ton}"},
        }
    ],
    "systems": {"cpu": {"type": "LocalSystem"}},
    "evaluators": {"tone": {"metrics": [{"name": "accuracy", "type": "accuracy"}]}},
    "passes": {
        "lora": {"type": "LoRA", "train_data_config": "trian"},
        "merge": {"type": "MergeAdapterWeight"},
        "input_model": {"type": "ModelBuilder", "host": "gpu", "input": "lora"},
    },
    "evaluator": "tones",
}


def wrong() -> Workflow:
    """WRONG, built in Python."""
    return Workflow(
        input_model=HfModelConfig(model_path="./missing"),
        data_configs=[
            DataConfig(
                name="train",
                load_dataset_config=LoadDatasetConfig(data_files="rows.jsonl"),
                pre_process_data_config=PreProcessConfig(text_template="{phrase} {ton}"),
            )
        ],
        systems={"cpu": SystemEntry(type="LocalSystem")},
        evaluators={"tone": EvaluatorConfig(metrics=(MetricEntry(name="accuracy", type="accuracy"),))},
        passes={
            "lora": PassEntry(type="LoRA", options=LoRAConfig(train_data_config="trian")),
            "merge": PassEntry(type="MergeAdapterWeight"),
            "input_model": PassEntry(type="ModelBuilder", host="gpu", input="lora"),
        },
        evaluator="tones",
    )


def test_every_problem_is_found_at_once_as_in_a_file() -> None:
    Path("rows.jsonl").write_text('{"phrase": "at last", "tone": "joy"}\n')
    Path("workflow.yaml").write_text(yaml.safe_dump(WRONG, sort_keys=False))
    written = {(problem.path, problem.what, problem.hint) for problem in read_workflow(["workflow.yaml"]).problems}
    problems = check(wrong())
    assert {(problem.path, problem.what, problem.hint) for problem in problems} == written
    assert {problem.path for problem in problems} == {
        ("input_model", "model_path"),
        ("data_configs", 0, "pre_process_data_config", "text_template"),
        ("evaluators", "tone", "metrics", 0, "data_config"),
        ("passes", "lora", "train_data_config"),
        ("passes", "merge", "type"),
        ("passes", "input_model"),
        ("passes", "input_model", "host"),
        ("evaluator",),
    }


@pytest.mark.parametrize("use", [plan, run, lambda workflow: why(workflow, "lora")], ids=["plan", "run", "why"])
def test_a_wrong_workflow_is_neither_planned_nor_run(use: Callable[[Workflow], object], project: Path) -> None:
    before = sorted(project.rglob("*"))
    with pytest.raises(InvalidWorkflow) as caught:
        use(wrong())
    assert len(caught.value.problems) == 8
    assert "passes.lora.train_data_config: no data config is called 'trian'" in str(caught.value)
    assert sorted(project.rglob("*")) == before


def test_kinds_on_edges_and_targets_are_judged() -> None:
    problems = check(toys(merge=PassEntry(type="MergeAdapterWeights")))
    assert [str(problem) for problem in problems] == [
        "passes.merge: MergeAdapterWeights takes an HfAdapterModel, but `input_model` gives an HfModel; "
        "put a pass that trains an adapter before it"
    ]


def long_rows() -> Workflow:
    """Rows that may be longer than the model takes: a doubt, no error."""
    write_model(Path("base"), n_positions=64)
    Path("rows.jsonl").write_text('{"text": "at last"}\n' * 4)
    return Workflow(
        input_model=HfModelConfig(model_path="base"),
        data_configs=[DataConfig(name="train", load_dataset_config=LoadDatasetConfig(data_files="rows.jsonl"))],
        evaluators={
            "e": EvaluatorConfig(metrics=(MetricEntry(name="perplexity", type="perplexity", data_config="train"),))
        },
        passes={"double": scale(evaluator="e"), "again": scale()},
        evaluate_input_model=False,
    )


def test_what_is_doubtful_is_told_by_check_and_by_the_reporter_of_a_run() -> None:
    workflow = long_rows()
    (doubt,) = check(workflow)
    assert doubt.severity == "warning"
    assert doubt.path == ("data_configs", 0, "pre_process_data_config", "max_seq_len")
    recorder = Recorder()
    with pytest.raises(PassFailed, match="data:train"):  # a toy has no tokenizer
        run(workflow, recorder)
    assert [event.message for event in recorder.events if isinstance(event, Warned)] == [str(doubt)]
    save_workflow(workflow, "workflow.yaml")
    recorder = Recorder()
    with pytest.raises(PassFailed):
        run(load_workflow("workflow.yaml"), recorder)
    assert [event.message for event in recorder.events if isinstance(event, Warned)] == [str(doubt)]


def test_what_the_command_line_has_read_is_not_judged_again(monkeypatch: pytest.MonkeyPatch) -> None:
    save_workflow(toys(), "workflow.yaml")
    judged: list[object] = []
    monkeypatch.setattr(reading, "judge", lambda workflow, rows: judged.append(workflow) or judge(workflow, rows))
    judge = importlib.import_module("olive_engine.judging").judge
    workflow = read_workflow(["workflow.yaml"]).raise_if_wrong()
    assert plan(workflow).to_run == ("double",)
    assert len(judged) == 1
    plan(workflow.model_copy(update={"seed": 1}))  # another one
    assert len(judged) == 2


# --- writing ------------------------------------------------------------------------------------------------------


def test_a_workflow_is_saved_as_people_write_it() -> None:
    workflow = Workflow(
        input_model=HfModelConfig(model_path="base"),
        data_configs=[
            DataConfig(name="train", load_dataset_config=LoadDatasetConfig(data_files=("a.jsonl", "b.jsonl")))
        ],
        passes={
            "lora": PassEntry(
                type="LoRA",
                options=LoRAConfig(r=16, train_data_config="train", training_args=TrainingArgs(learning_rate=1e-5)),
            ),
            "merge": PassEntry(type="MergeAdapterWeights"),
            "int4": PassEntry(type="ModelBuilder", options=ModelBuilderConfig(precision="int4"), input="merge"),
        },
        seed=3,
    )
    save_workflow(workflow, "made/workflow.yaml")
    assert Path("made/workflow.yaml").read_text() == textwrap.dedent("""\
        input_model:
          type: HfModel
          model_path: base
        data_configs:
          - name: train
            load_dataset_config:
              data_files: [a.jsonl, b.jsonl]
        passes:
          lora:
            type: LoRA
            r: 16
            train_data_config: train
            training_args:
              learning_rate: 1.0e-05
          merge:
            type: MergeAdapterWeights
          int4:
            type: ModelBuilder
            precision: int4
            input: merge
        seed: 3
        """)


@pytest.mark.parametrize("name", ["workflow.yaml", "workflow.json", "workflow"])
def test_a_saved_workflow_reads_to_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    workflow = Workflow(
        input_model=HfModelConfig(model_path="base", load_kwargs={"revision": "1e3", "dtype": None}),
        systems={"no": SystemEntry(type="LocalSystem", options=LocalSystemConfig(workers=1, threads=1))},
        evaluators={"on": EvaluatorConfig(metrics=(MetricEntry(name="size", type="size_on_disk"),))},
        passes={"y": scale(3.5, evaluator="on"), "tune": PassEntry(type="ToyTrain", options=ToyTrainConfig(steps=3))},
        host="no",
        output_dir="0x10",
    )
    save_workflow(workflow, name)
    assert load_workflow(name) == workflow
    assert Path(name).read_text().startswith("{" if name.endswith("json") else "input_model:")
    monkeypatch.chdir(SAMPLE)
    sample = load_workflow("workflow.yaml")
    save_workflow(sample, Path(workflow.base_dir) / name)
    assert load_workflow(workflow.base_dir / name) == sample


def test_what_is_not_in_a_workflow_is_not_left_out_of_a_file_in_silence() -> None:
    tree = {
        "input_model": {"type": "HfModel", "model_path": "base"},
        "evaluators": {"e": {"metrics": [{"name": "m", "type": "custom", "user_config": {"user_script": "m.py"}}]}},
        "passes": {"double": {"type": "ToyScale"}},
        "evaluator": "e",
    }
    Path("workflow.yaml").write_text(yaml.safe_dump(tree))
    workflow = load_workflow("workflow.yaml")
    with pytest.raises(InvalidWorkflow, match="not available yet"):
        save_workflow(workflow, "again.yaml")
    assert not Path("again.yaml").exists()


# --- running ------------------------------------------------------------------------------------------------------


def test_results_are_typed_values(project: Path) -> None:
    result = run(
        toys(tune=PassEntry(type="ToyTrain", options=ToyTrainConfig(steps=4)), merge=PassEntry(type="ToyMerge"))
    )
    assert isinstance(result, olive_engine.RunResult)
    assert isinstance(result.models["merge"], olive_engine.HfModel)
    assert result.models["merge"].model_path == project / "output" / "model"
    assert result.executed == ("tune", "merge")
    tune = result.steps["tune"]
    assert (tune.kind, tune.type, tune.reused, tune.reasons) == ("pass", "ToyTrain", False, ("no result yet",))
    assert 0 < tune.metrics["eval_loss"] < (1 + 4 + 9) / 3
    assert run(toys(tune=PassEntry(type="ToyTrain", options=ToyTrainConfig(steps=4)))).reused == ("tune",)


class Stop(Exception):
    """What a reporter raises here."""


class Stopper(Reporter):
    """Raises at the first event of a kind; keeps those before."""

    def __init__(self, kind: type[object], error: Exception) -> None:
        self.kind, self.error = kind, error
        self.heard: list[RunEvent] = []

    def on_event(self, event: RunEvent) -> None:
        self.heard.append(event)
        if isinstance(event, self.kind):
            raise self.error


@pytest.mark.parametrize("kind", [PlanMade, StepStarted, StepFinished])
@pytest.mark.parametrize("error", [Stop("enough"), OSError("the pipe is closed")], ids=["own", "OSError"])
def test_an_exception_of_a_reporter_stops_the_run_and_is_its_own(kind: type[object], error: Exception) -> None:
    workflow = toys(double=scale(), slow=scale(seconds=30, input="double"))
    stopper = Stopper(kind, error)
    started = time.monotonic()
    with pytest.raises(type(error)) as caught:
        run(workflow, stopper)
    assert caught.value is error
    assert time.monotonic() - started < 15
    assert isinstance(stopper.heard[-1], kind)
    assert not any(isinstance(event, StepFinished) for event in stopper.heard[:-1])
    kept = plan(workflow).to_run
    assert kept == (("slow",) if kind is StepFinished else ("double", "slow"))


class Clock(Reporter):
    """Notes in which thread it is called."""

    def __init__(self) -> None:
        self.threads: set[int] = set()

    def on_event(self, event: RunEvent) -> None:
        self.threads.add(threading.get_ident())


def test_a_run_inside_a_running_event_loop() -> None:
    async def main() -> list[float]:
        return read_numbers(run(toys()).models["double"].model_path)

    assert asyncio.run(main()) == [2.0, 4.0, 6.0]


def test_a_run_in_a_thread_leaves_the_event_loop_free() -> None:
    ticks: list[float] = []
    clock = Clock()

    async def tick() -> None:
        while True:
            ticks.append(time.monotonic())
            await asyncio.sleep(0.01)

    async def main() -> olive_engine.RunResult:
        ticking = asyncio.create_task(tick())
        result = await asyncio.to_thread(run, toys(slow=scale(seconds=0.5)), clock)
        ticking.cancel()
        return result

    result = asyncio.run(main())
    assert read_numbers(result.models["slow"].model_path) == [2.0, 4.0, 6.0]
    assert len(ticks) > 20
    assert threading.get_ident() not in clock.threads
    assert len(clock.threads) == 1


def test_a_cancelled_task_can_stop_its_run() -> None:
    class Cancelled(Reporter):
        def __init__(self) -> None:
            self.stopped = threading.Event()
            self.training = threading.Event()

        def on_event(self, event: RunEvent) -> None:
            if isinstance(event, StepProgress):
                self.training.set()
            if self.stopped.is_set():
                raise Stop

    reporter = Cancelled()
    workflow = toys(tune=PassEntry(type="ToyTrain", options=ToyTrainConfig(steps=1_000_000, save_steps=1000)))
    ended: list[BaseException] = []

    def in_thread() -> None:
        try:
            run(workflow, reporter)
        except Stop as error:
            ended.append(error)

    async def main() -> None:
        task = asyncio.create_task(asyncio.to_thread(in_thread))
        while not reporter.training.is_set():
            await asyncio.sleep(0.01)
        task.cancel()
        try:
            await task
        finally:
            reporter.stopped.set()

    started = time.monotonic()
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())  # which waits for the thread
    assert len(ended) == 1
    assert time.monotonic() - started < 30
    assert any(Path(".olive-cache/state").rglob("checkpoint.json"))  # the next run goes on from it


def test_two_runs_at_once_on_one_cache_compute_each_step_once() -> None:
    results: dict[str, olive_engine.RunResult] = {}
    together = threading.Barrier(2)

    def work(output: str, factor: float) -> None:
        together.wait()
        results[output] = run(toys(output, shared=scale(seconds=0.5), own=scale(factor, input="shared")))

    threads = [threading.Thread(target=work, args=each) for each in (("one", 3.0), ("two", 5.0))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(step for result in results.values() for step in result.executed) == ["own", "own", "shared"]
    assert read_numbers(results["one"].models["own"].model_path) == [6.0, 12.0, 18.0]
    assert read_numbers(results["two"].models["own"].model_path) == [10.0, 20.0, 30.0]


# --- good manners -------------------------------------------------------------------------------------------------


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=120)


SETTING = """
    from olive_engine import HfModelConfig, PassEntry, Workflow, plan, run
    from olive_engine.testing.toys import ToyScaleConfig, ToyTrainConfig

    workflow = Workflow(
        input_model=HfModelConfig(model_path="base"),
        passes={"double": PassEntry(type="ToyScale"), "tune": PassEntry(type="ToyTrain")},
    )
"""


def test_a_run_leaves_the_process_as_it_was() -> None:
    done = python(f"""
    import logging, os, random, signal, subprocess, sys, threading, warnings
    {SETTING}
    def state():
        return {{
            "environment": dict(os.environ), "folder": os.getcwd(), "level": logging.root.level,
            "handlers": list(logging.root.handlers), "loggers": [name for name in logging.root.manager.loggerDict],
            "signals": [signal.getsignal(number) for number in signal.valid_signals()],
            "filters": list(warnings.filters), "threads": threading.active_count(), "random": random.getstate(),
            "streams": (sys.stdout, sys.stderr), "hooks": (sys.excepthook, threading.excepthook),
        }}

    plan(workflow)  # what is imported by then is imported
    before = state()
    result = run(workflow)
    after = state()
    changed = [name for name in before if name != "loggers" and before[name] != after[name]]
    children = subprocess.run(["ps", "--ppid", str(os.getpid()), "-o", "comm="], capture_output=True, text=True).stdout
    assert not changed, changed
    assert children.split() == ["ps"], children
    assert result.executed == ("double", "tune")
    assert "torch" not in sys.modules and "click" not in sys.modules
    """)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_ctrl_c_ends_a_run_that_a_coroutine_has_sent_to_a_thread() -> None:
    code = f"""
    import asyncio, threading
    from olive_engine import Interrupted, Reporter, StepProgress
    {SETTING}
    class Stoppable(Reporter):
        def __init__(self):
            self.stop = threading.Event()

        def on_event(self, event):
            if isinstance(event, StepProgress):
                print(event.step, flush=True)
            if self.stop.is_set():
                raise Interrupted("stopped")

    long = PassEntry(type="ToyTrain", options=ToyTrainConfig(steps=10_000_000))
    workflow = workflow.model_copy(update={{"passes": {{"tune": (long,)}}}})

    async def main():
        reporter = Stoppable()
        try:
            await asyncio.to_thread(run, workflow, reporter)
        finally:
            reporter.stop.set()

    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        print("ended")
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "tune\n"
    process.send_signal(signal.SIGINT)
    said, errors = process.communicate(timeout=60)
    assert said.splitlines()[-1] == "ended"
    assert (process.returncode, errors) == (0, "")


def test_under_asyncio_the_second_ctrl_c_ends_a_run_in_the_main_thread() -> None:
    code = f"""
    import asyncio
    from olive_engine import Interrupted, Reporter, StepProgress
    {SETTING}
    class Lines(Reporter):
        def on_event(self, event):
            if isinstance(event, StepProgress):
                print(event.step, flush=True)

    long = PassEntry(type="ToyTrain", options=ToyTrainConfig(steps=10_000_000))
    workflow = workflow.model_copy(update={{"passes": {{"tune": (long,)}}}})

    async def main():
        try:
            run(workflow, Lines())
        except Interrupted as stopped:
            print(stopped)

    asyncio.run(main())
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for _ in range(2):
        assert process.stdout.readline() == "tune\n"
        process.send_signal(signal.SIGINT)
    said, errors = process.communicate(timeout=60)
    assert said.splitlines()[-1] == "stopped; finished steps are kept"
    assert "Interrupted" not in errors


def test_cells_of_a_notebook() -> None:
    """As in a notebook's kernel, cells run one by one in one namespace, inside a running loop, and may await."""
    cells = [
        "from olive_engine import HfModelConfig, PassEntry, Reporter, StepFinished, Workflow, check, plan, run",
        "workflow = Workflow(\n    input_model=HfModelConfig(model_path='base'),\n"
        "    passes={'double': PassEntry(type='ToyScale')},\n)\nproblems = check(workflow)",
        "to_run = plan(workflow).to_run",
        "class Cell(Reporter):\n    def on_event(self, event):\n"
        "        if isinstance(event, StepFinished):\n            print(event.step, event.reused)",
        "result = run(workflow, Cell())",
        "import asyncio\nagain = await asyncio.to_thread(run, workflow, Cell())",
    ]
    done = python(f"""
    import ast, asyncio, inspect

    async def kernel(cells):
        names = {{"__name__": "__main__"}}
        for cell in cells:
            code = compile(cell, "<cell>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            value = eval(code, names)
            if inspect.isawaitable(value):
                await value
        return names

    names = asyncio.run(kernel({cells!r}))
    assert names["problems"] == () and names["to_run"] == ("double",)
    assert names["result"].executed == ("double",) and names["again"].reused == ("double",)
    """)
    assert (done.returncode, done.stdout, done.stderr) == (0, "double False\ndouble True\n", "")


# --- the package --------------------------------------------------------------------------------------------------


def test_the_package_exports_what_it_says() -> None:
    homes = {name: home for home, names in olive_engine._HOMES.items() for name in names}
    assert sorted([*homes, "__version__"]) == olive_engine.__all__ == dir(olive_engine)
    for name, home in homes.items():
        assert getattr(olive_engine, name) is getattr(importlib.import_module(home), name)
    (block,) = [node for node in ast.parse(inspect.getsource(olive_engine)).body if isinstance(node, ast.If)]
    declared = {
        alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert declared.keys() == homes.keys()
    for name, module in declared.items():
        assert getattr(importlib.import_module(str(module)), name) is getattr(olive_engine, name)
    with pytest.raises(AttributeError, match="has no attribute 'runs'"):
        olive_engine.runs  # noqa: B018 - it is not there


def test_everything_can_be_imported_and_built_without_torch() -> None:
    done = python("""
    import sys
    from olive_engine import *
    from olive_passes.finetune import LoRAConfig, QLoRAConfig, TrainingArgs
    from olive_passes.model_builder import ModelBuilderConfig
    from olive_systems.local import LocalSystemConfig
    Workflow(input_model=HfModelConfig(model_path="base"), passes={"lora": PassEntry(type="LoRA")})
    heavy = {"torch", "transformers", "peft", "datasets", "numpy", "onnxruntime", "optuna", "ray", "rich", "click"}
    print(sorted(heavy & sys.modules.keys()))
    """)
    assert (done.stdout, done.stderr) == ("[]\n", "")
