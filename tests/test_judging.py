"""What passes have against their options, and data against the model: found when a file is read, with its place."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import pytest

from olive_engine import registry
from olive_engine.config.diagnostics import render
from olive_engine.config.draft import Draft
from olive_engine.contracts import Known, Objection, Pass, PassContext
from olive_engine.errors import InvalidWorkflow
from olive_engine.models import HfAdapterModel, HfModel
from olive_engine.options import DataRef, Options
from olive_engine.reading import load_workflow, read_workflow
from tests.headers import write_model


class PickyArgs(Options):
    """A group of options."""

    bits: int = 8


class PickyConfig(Options):
    """What the pass is picky about."""

    target_modules: tuple[str, ...] = ("c_attn",)
    rows_wanted: int = 0
    args: PickyArgs = PickyArgs()
    remark: str = ""
    train_data_config: Annotated[str | None, DataRef()] = None
    eval_data_config: Annotated[str | None, DataRef()] = None


ASKED: list[Known] = []
"""What the passes were told, in order."""


def picky(config: PickyConfig, known: Known) -> Iterable[Objection]:
    """One objection of each kind."""
    ASKED.append(known)
    layers = (
        {name.removesuffix(".weight").rpartition(".")[2] for name in known.checkpoint.tensors}
        if known.checkpoint
        else ()
    )
    for index, name in enumerate(config.target_modules if layers else ()):
        if name not in layers:
            yield Objection(f"target_modules.{index}", f"no layer is called {name!r}", "take another")
    for option, rows in known.rows.items():
        if rows < config.rows_wanted:
            yield Objection(option, f"{rows} rows are few", severity="warning")
    if config.args.bits != 8:
        yield Objection("args.bits", f"{config.args.bits} bits")
    if config.remark:
        yield Objection("remark", config.remark, "it is so", severity="note")
    if config.remark == "whole":
        yield Objection("", "the pass as a whole")


class Tune(Pass[PickyConfig, HfModel, HfAdapterModel]):
    type = "Tune"

    def run(self, model: HfModel, config: PickyConfig, context: PassContext) -> HfAdapterModel:
        raise NotImplementedError

    @classmethod
    def objections(cls, config: PickyConfig, known: Known) -> Iterable[Objection]:
        return picky(config, known)


class Merge(Pass[PickyConfig, HfAdapterModel, HfModel]):
    type = "Merge"

    def run(self, model: HfAdapterModel, config: PickyConfig, context: PassContext) -> HfModel:
        raise NotImplementedError

    @classmethod
    def objections(cls, config: PickyConfig, known: Known) -> Iterable[Objection]:
        return picky(config, known)


class Prune(Pass[PickyConfig, HfModel, HfModel]):
    type = "Prune"

    def run(self, model: HfModel, config: PickyConfig, context: PassContext) -> HfModel:
        raise NotImplementedError

    @classmethod
    def objections(cls, config: PickyConfig, known: Known) -> Iterable[Objection]:
        return picky(config, known)


@pytest.fixture(autouse=True)
def passes(monkeypatch: pytest.MonkeyPatch) -> None:
    classes = {cls.type: cls for cls in (Tune, Merge, Prune)}
    for module in ("olive_engine.registry", "olive_engine.judging", "olive_engine.graph"):
        monkeypatch.setattr(f"{module}.find_pass", classes.get)
    monkeypatch.setattr(registry, "passes", lambda: classes)
    ASKED.clear()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_model(tmp_path / "base")
    (tmp_path / "rows.jsonl").write_text('{"text": "a"}\n' * 5)
    monkeypatch.chdir(tmp_path)
    return tmp_path


MODEL = "input_model: {type: HfModel, model_path: base}\n"


def judged(text: str) -> Draft:
    """A workflow file, read."""
    Path("workflow.yaml").write_text(text if text.startswith("input_model") else MODEL + text)
    return read_workflow(["workflow.yaml"])


def lines(draft: Draft) -> list[str]:
    return render(draft.problems, source=False).splitlines()


def test_an_objection_is_shown_at_the_option_with_a_caret():
    draft = judged("passes:\n  tune:\n    type: Tune\n    target_modules: [c_attn, q_proj]\n")
    assert render(draft.problems) == (
        "workflow.yaml:5:30: passes.tune.target_modules[1]: no layer is called 'q_proj'; take another\n"
        "    5 |     target_modules: [c_attn, q_proj]\n"
        "      |                              ^^^^^^"
    )
    assert draft.workflow is None
    with pytest.raises(InvalidWorkflow, match="no layer is called 'q_proj'"):
        load_workflow("workflow.yaml")


def test_every_pass_is_asked_and_every_objection_shown():
    draft = judged(
        "passes:\n"
        "  first: {type: Tune, args: {bits: 4}}\n"
        "  second: {type: Merge, target_modules: [c_fc, dense]}\n"
        "  third: {type: Tune, remark: whole}\n"
    )
    assert lines(draft) == [
        "workflow.yaml:3:36: passes.first.args.bits: 4 bits",
        "workflow.yaml:4:48: passes.second.target_modules[1]: no layer is called 'dense'; take another",
        "workflow.yaml:5:10: passes.third: the pass as a whole",
    ]
    assert [str(notice) for notice in draft.notices] == ["workflow.yaml:5:31: passes.third.remark: whole; it is so"]


def test_alternatives_are_asked_each():
    draft = judged("passes:\n  tune:\n    - {type: Tune}\n    - {type: Prune, target_modules: [wrong]}\n")
    assert "workflow.yaml:5:38: passes.tune[1].target_modules[0]: no layer is called 'wrong'; take another" in lines(
        draft
    )
    assert len(ASKED) == 2


def test_a_default_is_shown_at_its_pass(folder):
    write_model(folder / "base", {"model.layers.0.q_proj.weight": (2, 2)})
    assert lines(judged("passes:\n  tune: {type: Tune}\n")) == [
        "workflow.yaml:3:3: passes.tune.target_modules[0]: no layer is called 'c_attn'; take another"
    ]


def test_a_note_alone_leaves_the_workflow_sound():
    draft = judged("passes: {tune: {type: Tune, remark: aha}}\n")
    assert draft.problems == ()
    assert draft.workflow is not None
    assert [(notice.what, notice.hint) for notice in draft.notices] == [("aha", "it is so")]


@pytest.mark.parametrize(
    ("chain", "known"),
    [
        ({"a": "Tune", "b": "Merge", "c": "Tune"}, [True, True, True]),
        ({"a": "Prune", "b": "Tune"}, [True, False]),
        ({"a": "Tune", "b": "Merge", "c": "Prune", "d": "Tune", "e": "Merge"}, [True, True, True, False, False]),
        ({"a": "Prune", "b": "Tune, input: input_model"}, [True, True]),
        ({"a": "Tune, input: b", "b": "Merge, input: a"}, [False, False]),
    ],
)
def test_the_layers_are_known_as_long_as_no_pass_changes_them(chain, known):
    judged("passes:\n" + "".join(f"  {name}: {{type: {rest}}}\n" for name, rest in chain.items()))
    assert [asked.checkpoint is not None for asked in ASKED] == known


@pytest.mark.parametrize("path", ["org/name", "base/model.safetensors", "nowhere/at/all"])
def test_without_the_files_nothing_is_judged_by_them(path):
    judged(f"input_model: {{type: HfModel, model_path: {path}}}\npasses: {{tune: {{type: Tune}}}}\n")
    assert all(asked.checkpoint is None for asked in ASKED)


def data(name: str = "train", file: str = "rows.jsonl", load: str = "", **options: object) -> str:
    written = ", ".join(f"{option}: {value}" for option, value in options.items())
    return (
        f"  - name: {name}\n"
        f"    load_dataset_config: {{data_files: {file}{load}}}\n"
        f"    pre_process_data_config: {{{written}}}\n"
    )


def test_rows_are_told_by_the_option_that_names_the_data(folder):
    (folder / "large.jsonl").write_text('{"text": "' + "a" * 2**21 + '"}\n')
    draft = judged(
        "data_configs:\n"
        + data("train", max_seq_len=8)
        + data("few", load=', split: "train[:40%]"', max_seq_len=8)
        + data("large", "large.jsonl", max_seq_len=8)
        + "passes:\n"
        "  one: {type: Tune, rows_wanted: 3, train_data_config: train, eval_data_config: few}\n"
        "  two: {type: Merge, rows_wanted: 3, train_data_config: large}\n"
    )
    assert lines(draft) == ["warning: workflow.yaml:13:81: passes.one.eval_data_config: 2 rows are few"]
    assert draft.workflow is not None
    assert [asked.rows for asked in ASKED] == [{"train_data_config": 5, "eval_data_config": 2}, {}]


def test_max_samples_counts():
    judged("data_configs:\n" + data(load=", max_samples: 3") + "passes: {t: {type: Tune, train_data_config: train}}\n")
    assert [asked.rows for asked in ASKED] == [{"train_data_config": 3}]


# --- examples that are longer than the model takes ----------------------------------------------------------------

USED = "passes: {tune: {type: Tune, train_data_config: train}}\n"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            {"max_seq_len": 9},
            "workflow.yaml:5:44: data_configs[0].pre_process_data_config.max_seq_len: "
            "9 tokens are more than the model's 8 positions; write 8 or less",
        ),
        ({"max_seq_len": 8}, ""),
        (
            {"strategy": "join"},
            "workflow.yaml:5:5: data_configs[0].pre_process_data_config.max_seq_len: "
            "1024 tokens, the default, are more than the model's 8 positions; write `max_seq_len: 8`",
        ),
        (
            {},
            "warning: workflow.yaml:5:5: data_configs[0].pre_process_data_config.max_seq_len: "
            "rows of up to 1024 tokens, the default, and the model has 8 positions; write `max_seq_len: 8`",
        ),
        ({"strategy": "join", "max_seq_len": 8}, ""),
    ],
)
def test_examples_longer_than_the_model_takes(options, told):
    draft = judged("data_configs:\n" + data(**options) + USED)
    assert "\n".join(lines(draft)) == told
    assert (draft.workflow is None) == (told.startswith("workflow"))


def test_data_that_no_step_uses_is_not_judged():
    assert lines(judged("data_configs:\n" + data(max_seq_len=9) + "passes: {tune: {type: Tune}}\n")) == []


def test_data_that_only_a_metric_uses_is_judged():
    draft = judged(
        "data_configs:\n"
        + data(max_seq_len=9)
        + "evaluators: {e: {metrics: [{name: p, type: perplexity, data_config: train}]}}\nevaluator: e\n"
        "passes: {tune: {type: Tune}}\n"
    )
    assert [problem.path for problem in draft.problems] == [
        ("data_configs", 0, "pre_process_data_config", "max_seq_len")
    ]


@pytest.mark.parametrize(
    ("config", "longest"),
    [
        ({"rope_scaling": {"type": "linear", "factor": 4.0}}, 32),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 16}}, 32),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 4.0, "original_max_position_embeddings": 2}}, 8),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}}, 8),
        ({"rope_scaling": None}, 8),
        ({"rope_scaling": {"type": "longrope", "long_factor": [1.0]}}, 8),
    ],
)
def test_stretched_positions_count(folder, config, longest):
    write_model(folder / "base", **config)
    assert lines(judged("data_configs:\n" + data(max_seq_len=longest) + USED)) == []
    (problem,) = judged("data_configs:\n" + data(max_seq_len=longest + 1) + USED).problems
    assert problem.what == f"{longest + 1} tokens are more than the model's {longest} positions"


def test_a_model_that_does_not_say_how_long_is_not_asked(folder):
    write_model(folder / "base", n_positions=None)
    assert lines(judged("data_configs:\n" + data(max_seq_len=10**6) + USED)) == []


def test_a_hub_name_that_is_nearly_a_folder_is_doubted(folder):
    write_model(folder / "base_model")
    Path("w.yaml").write_text("input_model: {type: HfModel, model_path: base_modle}\npasses: {a: {type: Prune}}\n")
    (doubt,) = (each for each in read_workflow(["w.yaml"]).problems if each.path == ("input_model", "model_path"))
    assert (doubt.severity, doubt.hint) == ("warning", "did you mean the folder `base_model`?")
    Path("w.yaml").write_text("input_model: {type: HfModel, model_path: org/name}\npasses: {a: {type: Prune}}\n")
    assert read_workflow(["w.yaml"]).problems == ()
