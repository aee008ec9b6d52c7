"""A search, read from the written tree: its space by whole names, its strategy, and plain values for the passes."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import Field, field_validator, model_validator

from olive_engine import registry
from olive_engine.config.diagnostics import render
from olive_engine.config.findings import Findings
from olive_engine.config.legacy import Revision, revise, revise_whole
from olive_engine.config.loader import loads
from olive_engine.config.search.strategy import SearchStrategy
from olive_engine.config.search.taking import Search, take_search
from olive_engine.config.search.values import Case, Choice, Conditional, FloatRange, IntRange
from olive_engine.config.tree import from_python, merge, plain
from olive_engine.contracts import Pass, PassContext
from olive_engine.models import HfModel
from olive_engine.options import Options, SearchDefault

STRATEGY = "search_strategy: {sampler: random, max_samples: 20}\n"


class RoundingConfig(Options):
    bits: Annotated[int, SearchDefault(values=(4, 8))] = Field(gt=0)
    scale: Annotated[float, SearchDefault(low=0.1, high=10.0, log=True)] = Field(1.0, gt=0)
    groups: Annotated[int | None, SearchDefault(low=1, high=4)] = Field(None, ge=1)
    symmetric: bool = False
    method: Literal["nearest", "even"] = "nearest"
    note: str = ""

    @field_validator("note")
    @classmethod
    def _short(cls, value: str) -> str:
        if len(value) > 3:
            raise ValueError("a note has at most 3 letters")
        return value

    @model_validator(mode="after")
    def _agree(self) -> RoundingConfig:
        if self.method == "even" and self.bits == 8:
            raise ValueError("method even is for 4 bits")
        return self


class Rounding(Pass[RoundingConfig, HfModel, HfModel]):
    type = "Rounding"

    def run(self, model: HfModel, config: RoundingConfig, context: PassContext) -> HfModel:
        return model


@pytest.fixture(autouse=True)
def rounding(plugins: None, monkeypatch: pytest.MonkeyPatch) -> None:
    find, installed = registry.find_pass, {**registry._load("passes"), "Rounding": Rounding}
    monkeypatch.setattr(registry, "find_pass", lambda name: installed.get(name) or find(name))


def read(*texts: str) -> tuple[Search, str]:
    """What the merged files come to, and all that is said against it."""
    root = loads(texts[0].encode(), "1.yaml", "yaml").root
    for number, text in enumerate(texts[1:], start=2):
        root = merge(root, loads(text.encode(), f"{number}.yaml", "yaml").root)
    findings = Findings(root)
    raw = plain(root)
    assert isinstance(raw, dict)
    search = take_search(raw, findings)
    return search, render(findings.problems, source=False)


def sound(*texts: str) -> Search:
    search, problems = read(*texts)
    assert problems == ""
    return search


def passes(search: Search) -> Any:
    return search.raw["passes"]


# --- where a searched option is written ---------------------------------------------------------------------------


def test_in_place_and_by_name_come_to_the_same() -> None:
    in_place = sound(
        STRATEGY,
        "passes: {tune: {type: Tuner, r: {search: {type: int, low: 8, high: 64}}, "
        "training_args: {learning_rate: {search: {type: float, low: 1e-6, high: 1e-3, log: true}}}}}",
    )
    by_name = sound(
        STRATEGY,
        "passes: {tune: {type: Tuner, training_args: {}}}",
        "search_space: {r: {type: int, low: 8, high: 64}, lr: {type: float, low: 1e-6, high: 1e-3, log: true}}",
    )
    assert in_place == by_name
    assert in_place.strategy == SearchStrategy(sampler="random", max_samples=20)
    assert in_place.space == {
        "tune.r": IntRange(low=8, high=64),
        "tune.training_args.learning_rate": FloatRange(low=1e-6, high=1e-3, log=True),
    }
    assert passes(in_place) == {"tune": {"type": "Tuner", "training_args": {}}}
    assert in_place.raw.keys() == {"passes"}
    assert in_place.notices == ()


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("tune.training_args.learning_rate", "tune.training_args.learning_rate"),
        ("tune[0].training_args.learning_rate", "tune.training_args.learning_rate"),
        ("tune.learning_rate", "tune.training_args.learning_rate"),
        ("training_args.learning_rate", "tune.training_args.learning_rate"),
        ("learning_rate", "tune.training_args.learning_rate"),
        ("lr", "tune.training_args.learning_rate"),
        ("tune.lr", "tune.training_args.learning_rate"),
        ("scale", "round.scale"),
    ],
)
def test_a_name_fits_one_option(name: str, option: str) -> None:
    text = f"passes: {{tune: {{type: Tuner}}, round: {{type: Rounding, bits: 4}}}}\nsearch_space: {{'{name}': [1, 2]}}"
    assert sound(STRATEGY, text).space == {option: Choice(values=(1.0, 2.0))}


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("lora_r", "r"),
        ("lora_alpha", "alpha"),
        ("batch_size", "training_args.per_device_train_batch_size"),
        ("train_batch_size", "training_args.per_device_train_batch_size"),
        ("epochs", "training_args.num_train_epochs"),
        ("num_epochs", "training_args.num_train_epochs"),
        ("lr", "training_args.learning_rate"),
        ("weight_decay", "training_args.weight_decay"),
    ],
)
def test_short_forms(name: str, option: str) -> None:
    search = sound(STRATEGY, f"passes: {{tune: {{type: LoRA}}}}\nsearch_space: {{{name}: [1, 2]}}")
    assert list(search.space) == [f"tune.{option}"]


def test_an_option_of_that_very_name_comes_before_a_short_form() -> None:
    # ModelBuilder has no `bits`, which is its `precision` elsewhere; Rounding has.
    text = "passes: {a: {type: ModelBuilder}, b: {type: Rounding, bits: 4}}\nsearch_space: {bits: [2, 4]}"
    assert list(sound(STRATEGY, text).space) == ["b.bits"]


def test_alternatives_are_named_with_their_index() -> None:
    text = """
passes:
  round:
    - {type: Rounding, bits: {search: [2, 4]}}
    - {type: Tuner, r: {search: [8, 16]}}
search_space:
  scale: {type: float, low: 0.5, high: 2}
  round[0].groups: [1, 2]
  round.learning_rate: [1e-5, 1e-4]
"""
    search = sound(STRATEGY, text)
    assert list(search.space) == [
        "round[0].bits",
        "round[1].r",
        "round[0].scale",
        "round[0].groups",
        "round[1].training_args.learning_rate",
    ]
    assert passes(search) == {"round": [{"type": "Rounding", "bits": 2}, {"type": "Tuner"}]}


def test_a_list_of_one_pass_is_no_list_of_alternatives() -> None:
    search = sound(STRATEGY, "passes: {round: [{type: Rounding, bits: {search: [2, 4]}}]}")
    assert list(search.space) == ["round.bits"]
    assert passes(search) == {"round": [{"type": "Rounding", "bits": 2}]}


def test_a_pass_may_have_a_dot_in_its_name() -> None:
    text = "passes: {tune.1: {type: Tuner}, tune: {type: Tuner}}\nsearch_space: {tune.1.r: [1, 2]}"
    assert list(sound(STRATEGY, text).space) == ["tune.1.r"]


def test_a_bare_name_may_come_from_a_later_file() -> None:
    base = "passes: {tune: {type: Tuner, r: 16}}"
    search = sound(base, STRATEGY + "search_space: {r: {type: choice, values: [8, 16]}}")
    assert search.space == {"tune.r": Choice(values=(8, 16))}
    assert passes(search) == {"tune": {"type": "Tuner", "r": 16}}  # what is written stays


def test_the_tutorials_files() -> None:
    base = """
model: {type: PyTorchModel, config: {model_path: org/dialogs, task: text-generation}}
data_configs:
  - name: custom_dataset
    type: HuggingfaceContainer
    load_dataset_config: {data_files: rows.json, split: train}
    pre_process_data_config: {text_template: "User: {input}"}
passes:
  lora:
    type: LoRA
    config: {r: 16, lora_alpha: 32, target_modules: [c_attn, c_proj]}
"""
    over = """
search_strategy: {sampler: random, max_samples: 20}
search_space:
  learning_rate: {type: "float", low: 1e-6, high: 1e-3, log: true}

  lora_r: {type: "int", low: 8, high: 64}

  batch_size: {type: "choice", values: [8, 16, 32]}
"""
    roots = []
    for text in (base, over):
        revision = Revision(loads(text.encode(), "w.yaml", "yaml").root)
        revise(revision)
        roots.append(revision.root)
    whole = Revision(merge(*roots))
    revise_whole(whole)
    findings = Findings(whole.root)
    raw = plain(whole.root)
    assert isinstance(raw, dict)
    search = take_search(raw, findings)
    assert findings.problems == ()
    assert search.space == {
        "lora.training_args.learning_rate": FloatRange(low=1e-6, high=1e-3, log=True),
        "lora.r": IntRange(low=8, high=64),
        "lora.training_args.per_device_train_batch_size": Choice(values=(8, 16, 32)),
    }
    assert passes(search)["lora"]["r"] == 16


# --- values -------------------------------------------------------------------------------------------------------


def test_default_is_what_the_option_offers() -> None:
    text = """
passes:
  round: {type: Rounding, bits: {search: default}, scale: {search: default}}
search_space: {groups: default}
"""
    assert sound(STRATEGY, text).space == {
        "round.bits": Choice(values=(4, 8)),
        "round.scale": FloatRange(low=0.1, high=10.0, log=True),
        "round.groups": IntRange(low=1, high=4),
    }


def test_an_option_without_default_values_shows_what_to_write() -> None:
    _, problems = read(STRATEGY, "passes: {round: {type: Rounding, bits: 4, method: {search: default}}}")
    assert problems == (
        "2.yaml:1:60: passes.round.method.search: `method` has no values of its own to search; "
        "write them, e.g. {type: choice, values: [nearest, even]}"
    )


def test_a_list_is_a_choice_where_the_option_takes_one_value() -> None:
    text = """
passes:
  tune: {type: Tuner, r: [8, 16], target_modules: [q, v], training_args: {scheduler: [linear, cosine]}}
"""
    search = sound(STRATEGY, text)
    assert search.space == {
        "tune.r": Choice(values=(8, 16)),
        "tune.training_args.scheduler": Choice(values=("linear", "cosine")),
    }
    assert passes(search)["tune"] == {"type": "Tuner", "target_modules": ["q", "v"], "training_args": {}}


def test_lists_can_be_searched_too() -> None:
    search = sound(STRATEGY, "passes: {t: {type: Tuner, target_modules: {search: [all, [q], [q, v]]}}}")
    assert search.space == {"t.target_modules": Choice(values=("all", ("q",), ("q", "v")))}


def test_candidates_are_held_as_the_option_holds_them() -> None:
    text = """
passes:
  tune: {type: Tuner, alpha: {search: [8, 16]}}
  round: {type: Rounding, bits: 4, symmetric: [false, true]}
"""
    found = sound(STRATEGY, text).space["tune.alpha"]
    assert isinstance(found, Choice)
    assert [type(value) for value in found.values] == [float, float]
    assert sound(STRATEGY, text).space["round.symmetric"] == Choice(values=(False, True))


def test_values_that_depend_on_another_option() -> None:
    text = """
passes:
  round:
    type: Rounding
    bits: {search: [2, 4, 8]}
    groups:
      search:
        type: conditional
        cases:
          - when: {bits: [2, 4]}
            search: {type: int, low: 1, high: 3}
          - when: {round.bits: [8]}
            search: [4, 8]
        otherwise: [5]
"""
    assert sound(STRATEGY, text).space["round.groups"] == Conditional(
        cases=(
            Case(when={"round.bits": (2, 4)}, search=IntRange(low=1, high=3)),
            Case(when={"round.bits": (8,)}, search=Choice(values=(4, 8))),
        ),
        otherwise=Choice(values=(5,)),
    )


# --- plain values -------------------------------------------------------------------------------------------------


def test_a_required_option_gets_its_first_value() -> None:
    ranged = "passes: {round: {type: Rounding, bits: {search: {type: int, low: 3, high: 5}}, scale: {search: default}}}"
    assert passes(sound(STRATEGY, ranged)) == {"round": {"type": "Rounding", "bits": 3}}


def test_first_values_stand_in_where_defaults_do_not_go_together() -> None:
    # fp32, the default, has no blocks.
    text = "passes: {build: {type: ModelBuilder, int4_block_size: 32, precision: {search: [int4, int8]}}}"
    assert passes(sound(STRATEGY, text))["build"]["precision"] == "int4"


def test_candidates_that_other_options_rule_out() -> None:
    _, problems = read(STRATEGY, "passes: {round: {type: Rounding, method: even, bits: {search: [4, 8]}}}")
    assert problems == (
        "2.yaml:1:67: passes.round.bits.search[1]: method even is for 4 bits; "
        "the pass's other options rule this value out"
    )


def test_candidates_that_a_validator_of_the_option_refuses() -> None:
    _, problems = read(STRATEGY, "passes: {round: {type: Rounding, bits: 4, note: [abc, abcd]}}")
    assert "note[1]: a note has at most 3 letters" in problems


def test_what_several_searched_options_rule_out_is_for_the_trials() -> None:
    text = "passes: {round: {type: Rounding, bits: {search: [4, 8]}, method: {search: [nearest, even]}}}"
    assert len(sound(STRATEGY, text).space) == 2


# --- without a search, and with nothing to search -----------------------------------------------------------------


@pytest.mark.parametrize("off", ["", "search_strategy: null\n", "search_strategy: false\n"])
def test_without_a_strategy_a_plain_workflow_stays_as_it_is(off: str) -> None:
    text = "passes: {tune: {type: Tuner, r: 8, patterns: {search: 1}}}"
    search = sound(off + text)
    assert (search.strategy, search.space) == (None, {})
    assert search.raw == {"passes": {"tune": {"type": "Tuner", "r": 8, "patterns": {"search": 1}}}}


def test_true_is_a_strategy_with_defaults() -> None:
    assert sound("search_strategy: true\n", "passes: {t: {type: Tuner, r: [1, 2]}}").strategy == SearchStrategy()


def test_nothing_to_search_is_said_and_no_error() -> None:
    search = sound(STRATEGY, "passes: {round: {type: Rounding, bits: 4}}")
    assert search.strategy is not None
    (notice,) = search.notices
    assert notice.severity == "warning"
    assert str(notice) == (
        "1.yaml:1:1: search_strategy: there is nothing to search: no alternatives, and no `{search: …}` for round.bits"
        "; options that have values of their own to search: round.bits, round.scale, round.groups"
    )


def test_alternatives_alone_are_a_search() -> None:
    search = sound("search_strategy: {}\n", "passes: {t: [{type: Tuner}, {type: Rounding, bits: 4}]}")
    assert (search.space, search.notices) == ({}, ())


def test_options_can_be_left_out_of_a_search() -> None:
    search = sound(
        "search_strategy: {include_pass_params: false}\n",
        "passes: {t: [{type: Tuner, alpha: {search: {type: float, low: 1, high: 2}}}, {type: Rounding, bits: [4, 8]}]}",
    )
    assert search.space == {}
    assert passes(search)["t"][1] == {"type": "Rounding", "bits": 4}
    assert [str(notice) for notice in search.notices] == [
        "1.yaml:1:19: search_strategy.include_pass_params: with `include_pass_params: false` the values of "
        "t[0].alpha, t[1].bits are not searched; each keeps the value that it has without a search"
    ]


# --- faults that hide each other ----------------------------------------------------------------------------------


def test_a_pass_of_unknown_type_may_have_any_option() -> None:
    _, problems = read(STRATEGY, "passes: {t: {type: Tunr}}\nsearch_space: {r: [1, 2]}")
    assert problems == ""  # the type is what is reported


def test_without_passes_there_is_nothing_to_name() -> None:
    _, problems = read(STRATEGY, "search_space: {r: [1, 2]}")
    assert problems == (
        "2.yaml:1:1: search_space: there is no pass whose options could be searched; add one to `passes`"
    )


def test_a_misspelt_group_loses_what_is_searched_in_it() -> None:
    search, problems = read(STRATEGY, "passes: {t: {type: Tuner, trainin_args: {learning_rate: {search: [1, 2]}}}}")
    assert problems == ""  # the group's name is reported when options are read
    assert passes(search) == {"t": {"type": "Tuner", "trainin_args": {}}}


def test_a_misspelt_search_is_read_as_one() -> None:
    search, problems = read(STRATEGY, "passes: {t: {type: Tuner, r: {serach: [1, 2]}}}")
    assert problems == "2.yaml:1:31: passes.t.r.serach: unknown key `serach`; did you mean `search`?"
    assert search.space == {"t.r": Choice(values=(1, 2))}


def test_nothing_stands_beside_search() -> None:
    _, problems = read(STRATEGY, "passes: {t: {type: Tuner, r: {search: [1, 2], value: 1}}}")
    assert problems == (
        "2.yaml:1:47: passes.t.r.value: unknown key `value`; "
        "the search chooses the value; nothing stands beside `search`"
    )


# --- the canonical form, and anything at all ----------------------------------------------------------------------


def test_what_was_read_reads_to_itself() -> None:
    text = """
search_strategy: {sampler: tpe, sampler_config: {multivariate: true}, max_samples: 9, storage: "${env:TRIALS}"}
passes:
  round:
    - {type: Rounding, bits: {search: [2, 4]}}
    - {type: Tuner, r: {search: {type: int, low: 8, high: 64, step: 8}}, target_modules: {search: [[q], [q, v]]}}
search_space:
  scale: default
  groups: {type: conditional, cases: [{when: {bits: [2]}, search: [1, 2]}]}
"""
    once = sound(text)
    assert once.strategy is not None
    dumped = {
        **once.raw,
        "search_strategy": once.strategy.model_dump(mode="json"),
        "search_space": {name: value.model_dump(mode="json") for name, value in once.space.items()},
    }
    findings = Findings(from_python(json.loads(json.dumps(dumped))))
    again = take_search(json.loads(json.dumps(dumped)), findings)
    assert findings.problems == ()
    assert (again.strategy, again.space) == (once.strategy, dict(once.space))


words = st.sampled_from(
    [
        *("type", "low", "high", "log", "step", "values", "cases", "when", "search", "otherwise", "default"),
        *(
            "int",
            "float",
            "choice",
            "conditional",
            "r",
            "tune.r",
            "alpha",
            "learning_rate",
            "training_args",
            "scheduler",
        ),
        *("patterns", "target_modules", "train_data", "sampler", "sampler_config", "pruner_config", "tpe", "linear"),
    ]
)
scalars = words | st.none() | st.booleans() | st.integers(-3, 40) | st.floats(allow_nan=False) | st.just(10**400)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=4), max_leaves=10
)
ranges = st.fixed_dictionaries(
    {"type": st.sampled_from(["int", "float", "choice", "conditional"])},
    optional=dict.fromkeys(("low", "high", "log", "step", "values", "cases", "otherwise"), values),
)


@settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=300,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    strategy=values | st.just({"max_samples": 3}),
    space=values | st.dictionaries(words, values | ranges, max_size=3),
    r=values | st.fixed_dictionaries({"search": values | ranges}),
    args=values | st.dictionaries(words, values | st.fixed_dictionaries({"search": ranges}), max_size=2),
)
def test_anything_at_all_is_read_or_refused(strategy: Any, space: Any, r: Any, args: Any) -> None:
    tree = {
        "search_strategy": strategy,
        "search_space": space,
        "passes": {"tune": {"type": "Tuner", "r": r, "training_args": args}},
    }
    findings = Findings(from_python(tree))
    search = take_search(tree, findings)
    assert "search_space" not in search.raw
    if not findings.problems:
        assert all(name.startswith("tune.") for name in search.space)
