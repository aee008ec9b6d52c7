"""Which steps a shared cache has nothing to do with."""

from dataclasses import replace
from importlib.metadata import EntryPoint, EntryPoints, distribution

from olive_engine import graph
from olive_engine.config.data import DataConfig, LoadDatasetConfig
from olive_engine.config.workflow import (
    EvaluatorConfig,
    HfModelConfig,
    MetricEntry,
    PassEntry,
    SystemEntry,
    Workflow,
)
from olive_engine.contracts import Pass, PassContext
from olive_engine.models import HfModel
from olive_engine.options import Options
from olive_engine.sharing import private_steps


class ScriptedOptions(Options):
    """Options that name a script, as those of a package's pass may."""

    user_script: str | None = None
    extra: dict[str, object] = {}


def workflow(**changed):
    metric = MetricEntry(name="size", type="size_on_disk")
    accuracy = MetricEntry(name="right", type="accuracy", data_config="rows")
    fields = {
        "input_model": HfModelConfig(model_path="base"),
        "data_configs": [DataConfig(name="rows", load_dataset_config=LoadDatasetConfig(data_files="rows.jsonl"))],
        "passes": {
            "double": PassEntry(type="ToyScale"),
            "triple": PassEntry(type="ToyScale"),
            "other": PassEntry(type="ToyScale", input="input_model"),
        },
        "evaluators": {"e": EvaluatorConfig(metrics=(metric, accuracy))},
        "systems": {"here": SystemEntry(type="LocalSystem")},
        "evaluator": "e",
    }
    return Workflow(**{**fields, **changed})


def private(given):
    return dict(private_steps(given, graph.build(given)))


def test_a_plain_workflow_is_shared_as_a_whole():
    assert private(workflow()) == {}


def test_code_of_the_input_model_makes_all_that_reads_it_private():
    model = HfModelConfig(model_path="base", load_kwargs={"trust_remote_code": True})
    given = workflow(input_model=model)
    found = private(given)
    assert found.keys() == graph.build(given).nodes.keys()
    assert found["double"] == found["data:rows"] == "`trust_remote_code` lets code of the input model's run"
    assert found["triple"] == "it reads the result of double, which is not shared"
    refused = HfModelConfig(model_path="base", load_kwargs={"trust_remote_code": False})
    assert private(workflow(input_model=refused)) == {}


def _with_options(options, monkeypatch):
    """The graph's steps as they are where `double` has these options."""
    given = workflow()
    built = graph.build(given)
    nodes = dict(built.nodes)
    nodes["double"] = replace(nodes["double"], config=options)
    return dict(private_steps(given, replace(built, nodes=nodes)))


def test_a_script_makes_its_step_and_those_after_it_private(monkeypatch):
    found = _with_options(ScriptedOptions(user_script="mine.py"), monkeypatch)
    assert found["double"] == "`user_script` lets code run that is not the engine's"
    assert found["triple"] == "it reads the result of double, which is not shared"
    assert "other" not in found
    assert "other:size" not in found
    assert "triple:size" in found
    assert _with_options(ScriptedOptions(), monkeypatch) == {}
    deep = ScriptedOptions(extra={"load": [{"trust_remote_code": True}]})
    assert "`trust_remote_code`" in _with_options(deep, monkeypatch)["double"]


class Mine(Pass[ScriptedOptions, HfModel, HfModel]):
    """A pass that somebody wrote beside the workflow."""

    type = "Mine"

    def run(self, model: HfModel, config: ScriptedOptions, context: PassContext) -> HfModel:
        return model


PASSES = (Mine,)


def test_a_class_of_no_installed_package_is_private(monkeypatch):
    monkeypatch.setattr("olive_engine.sharing.find_pass", lambda name: Mine)
    assert private(workflow())["double"] == "ToyScale is not of an installed package"
    brings = EntryPoint("mine", f"{__name__}:PASSES", "olive_engine.passes")
    monkeypatch.setattr("olive_engine.registry._entry_points", lambda: EntryPoints([brings]))
    assert "double" in private(workflow())  # an entry point of nobody's
    brings = brings._for(distribution("olive-engine"))
    monkeypatch.setattr("olive_engine.registry._entry_points", lambda: EntryPoints([brings]))
    assert "double" not in private(workflow(evaluator=None))
    monkeypatch.setattr("olive_engine.sharing.find_pass", lambda name: None)
    assert private(workflow())["double"] == "ToyScale is not of an installed package"
