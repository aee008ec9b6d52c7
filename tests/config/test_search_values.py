"""What a search may say by itself: ranges, choices, conditions, and how it goes about it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from olive_engine.config.search.methods import PRUNERS, SAMPLERS
from olive_engine.config.search.pruners import _NUMBERS
from olive_engine.config.search.strategy import SearchStrategy
from olive_engine.config.search.values import (
    Case,
    Choice,
    Conditional,
    FloatRange,
    IntRange,
    SearchValue,
    endless,
    first,
    size,
)
from olive_engine.options import Secret, marked

VALUE: TypeAdapter[SearchValue] = TypeAdapter(SearchValue)


def fault(cls: Any, **fields: Any) -> tuple[str, str]:
    """The field that is complained of, and how."""
    with pytest.raises(ValidationError) as caught:
        cls(**fields)
    (error,) = caught.value.errors()
    return ".".join(map(str, error["loc"])), error["msg"].removeprefix("Value error, ")


@pytest.mark.parametrize(
    ("value", "count"),
    [
        (Choice(values=(1, 2, 3)), 3),
        (IntRange(low=8, high=64), 57),
        (IntRange(low=8, high=64, step=8), 8),
        (FloatRange(low=0.0, high=1.0, step=0.1), 11),
        (FloatRange(low=0.1, high=0.7, step=0.2), 4),
        (FloatRange(low=1e-6, high=1e-3, log=True), None),
    ],
)
def test_size(value: Choice | IntRange | FloatRange, count: int | None) -> None:
    assert size(value) == count
    assert endless(value) == (count is None)


def test_a_condition_is_as_endless_as_any_of_its_cases() -> None:
    few, any_ = Choice(values=(1, 2)), FloatRange(low=0, high=1)
    assert not endless(Conditional(cases=(Case(when={"a.b": (1,)}, search=few),), otherwise=few))
    assert endless(Conditional(cases=(Case(when={"a.b": (1,)}, search=any_),), otherwise=few))
    assert endless(Conditional(cases=(Case(when={"a.b": (1,)}, search=few),), otherwise=any_))


def test_first() -> None:
    assert first(IntRange(low=3, high=9)) == 3
    assert first(FloatRange(low=0.5, high=9)) == 0.5
    assert first(Choice(values=(("q",), ("q", "v")))) == ("q",)
    assert first(Conditional(cases=(Case(when={"a.b": (1,)}, search=Choice(values=(7, 8))),))) == 7


@pytest.mark.parametrize(
    ("cls", "fields", "place", "message"),
    [
        (FloatRange, {"low": 2, "high": 2}, "high", "must be greater than low, which is 2.0; found 2.0"),
        (IntRange, {"low": 5, "high": 4}, "high", "must be greater than low, which is 5; found 4"),
        (FloatRange, {"low": 0, "high": 1, "log": True}, "log", "a logarithmic range begins above 0, and low is 0.0"),
        (IntRange, {"low": -1, "high": 1, "log": True}, "log", "a logarithmic range begins above 0, and low is -1"),
        (
            FloatRange,
            {"low": 1, "high": 2, "log": True, "step": 0.5},
            "step",
            "a logarithmic range has no steps; remove step, or log",
        ),
        (FloatRange, {"low": 1, "high": 2, "step": 1.5}, "step", "no step fits between 1.0 and 2.0; found 1.5"),
        (
            IntRange,
            {"low": 8, "high": 64, "step": 16},
            "step",
            "in steps of 16 from 8 the last number is 56; write that for high",
        ),
        (
            FloatRange,
            {"low": 0, "high": 1, "step": 0.3},
            "step",
            "in steps of 0.3 from 0.0 the last number is 0.9; write that for high",
        ),
        (Choice, {"values": (1, 2, 1.0)}, "values", "the values must differ; 1.0 is there twice"),
        (Choice, {"values": ("a", True, True)}, "values", "the values must differ; true is there twice"),
    ],
)
def test_faults_stand_at_their_field(cls: Any, fields: dict[str, Any], place: str, message: str) -> None:
    assert fault(cls, **fields) == (place, message)


def test_true_is_not_one() -> None:
    assert Choice(values=(1, True, 0, False)).values == (1, True, 0, False)


def test_values_go_through_json_unchanged() -> None:
    values: list[SearchValue] = [
        FloatRange(low=1e-6, high=1e-3, log=True),
        IntRange(low=8, high=64, step=8),
        Choice(values=(1, 1.5, True, None, "a", ("q", "v"))),
        Conditional(cases=(Case(when={"tune.r": (8, 16)}, search=IntRange(low=1, high=2)),)),
    ]
    for value in values:
        assert VALUE.validate_json(VALUE.dump_json(value)) == value


# --- strategy -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "place", "message"),
    [
        (
            {"sampler": "random", "sampler_config": {"multivariate": True}},
            "sampler_config",
            "the sampler random has no argument 'multivariate'; its arguments: none",
        ),
        (
            {"pruner": "wilcoxon", "pruner_config": {"p": 0.1}},
            "pruner_config",
            "the pruner wilcoxon has no argument 'p'; its arguments: p_threshold, n_startup_steps",
        ),
        ({"pruner": "percentile"}, "", "the pruner percentile needs percentile; write pruner_config: {percentile: …}"),
        ({"pruner": "threshold"}, "", "the pruner threshold needs lower or upper; write pruner_config: {upper: …}"),
        (
            {"pruner": "threshold", "pruner_config": {"lower": None}},
            "",
            "the pruner threshold needs lower or upper; write pruner_config: {upper: …}",
        ),
        ({"pruner": "top_k"}, "", "the pruner top_k needs keep; write pruner_config: {keep: …}"),
        (
            {"pruner": "top_k", "pruner_config": {"keep": 2, "rung": 0.5}, "rungs": [0.5]},
            "",
            "the pruner top_k has its rung twice; remove rungs, or rung from pruner_config",
        ),
        (
            {"pruner": "top_k", "pruner_config": {"keep": 2}, "rungs": [0.25, 0.5]},
            "",
            "the pruner top_k judges once, and there are 2 rungs; write one of them",
        ),
        (
            {"pruner": "hyperband", "pruner_config": {"min_resource": 4}, "rungs": [0.25, 0.5]},
            "",
            "hyperband's resource is the number of a rung, and there are 3 with the end; found a min_resource of 4",
        ),
        (
            {"pruner": "patient", "pruner_config": {"patience": 1, "wrapped_pruner": {"name": "percentile"}}},
            "",
            "the pruner percentile needs percentile; write pruner_config: {percentile: …}",
        ),
        ({"rungs": [0.5, 0.25]}, "rungs", "rungs rise from above 0 to below 1; found 0.25 after 0.5"),
        ({"rungs": [0.5, 1]}, "rungs", "rungs rise from above 0 to below 1; found 1 after 0.5"),
        (
            {"storage": "postgresql://me:secret@host/trials"},
            "storage",
            "it holds a password; put the URL into a variable, and write ${env:NAME}",
        ),
    ],
)
def test_a_strategy_agrees_with_itself(fields: dict[str, Any], place: str, message: str) -> None:
    assert fault(SearchStrategy, **fields) == (place, message)


@pytest.mark.parametrize(
    ("pruner", "arguments", "message"),
    [
        ("successive_halving", {"reduction_factor": 1}, "reduction_factor is a whole number from 2; found 1"),
        ("successive_halving", {"reduction_factor": 2.5}, "reduction_factor is a whole number from 2; found 2.5"),
        ("successive_halving", {"min_finalists": 0}, "min_finalists is a whole number from 1; found 0"),
        ("successive_halving", {"min_finalists": True}, "min_finalists is a whole number from 1; found True"),
        ("top_k", {"keep": 0}, "keep is a whole number from 1; found 0"),
        ("top_k", {"keep": 1, "rung": 1}, "rung is a number above 0 and below 1; found 1"),
        ("top_k", {"keep": 1, "rung": "1/8"}, "rung is a number above 0 and below 1; found '1/8'"),
        ("percentile", {"percentile": 101}, "percentile is a number from 0 to 100; found 101"),
        ("median", {"interval_steps": 0}, "interval_steps is a whole number from 1; found 0"),
        ("wilcoxon", {"p_threshold": None}, "p_threshold is a number from 0 to 1; found None"),
        ("hyperband", {"max_resource": "all"}, "max_resource is a whole number from 1; found 'all'"),
        (
            "hyperband",
            {"min_resource": 5, "max_resource": 4},
            "min_resource is at most max_resource, which is 4; found 5",
        ),
        ("threshold", {"lower": 2, "upper": 1.0}, "lower is at most upper, which is 1.0; found 2"),
        ("threshold", {"upper": "high"}, "upper is a number; found 'high'"),
        ("patient", {"patience": -1}, "patience is a whole number from 0; found -1"),
        (
            "patient",
            {"patience": 1, "wrapped_pruner": "patient"},
            "wrapped_pruner is one of median, percentile, threshold, wilcoxon, hyperband, or {name: …, its arguments}; "
            "found 'patient'",
        ),
        (
            "patient",
            {"patience": 1, "wrapped_pruner": {"name": "percentile", "percentile": -1}},
            "percentile is a number from 0 to 100; found -1",
        ),
        (
            "patient",
            {"patience": 1, "wrapped_pruner": {"name": "median", "patience": 1}},
            "the pruner median has no argument 'patience'; its arguments: n_startup_trials, n_warmup_steps, "
            "interval_steps, n_min_trials",
        ),
    ],
)
def test_what_a_pruners_arguments_may_be(pruner: str, arguments: dict[str, Any], message: str) -> None:
    assert fault(SearchStrategy, pruner=pruner, pruner_config=arguments) == ("pruner_config", message)


@pytest.mark.parametrize(
    ("fields", "fractions"),
    [
        ({}, (0.125, 0.25, 0.5)),
        ({"pruner_config": {"reduction_factor": 4}}, (1 / 64, 1 / 16, 1 / 4)),
        ({"rungs": [0.1, 0.9]}, (0.1, 0.9)),
        ({"pruner": "top_k", "pruner_config": {"keep": 2}}, (0.125,)),
        ({"pruner": "top_k", "pruner_config": {"keep": 2, "rung": 0.3}}, (0.3,)),
        ({"pruner": "top_k", "pruner_config": {"keep": 2}, "rungs": [0.4]}, (0.4,)),
        ({"pruner": "median"}, (0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875)),
        ({"pruner": "hyperband", "pruner_config": {"max_resource": "auto"}, "rungs": [0.5]}, (0.5,)),
        ({"pruner": "none"}, ()),
        ({"pruner": "none", "rungs": [0.5]}, (0.5,)),
    ],
)
def test_where_trials_are_judged(fields: dict[str, Any], fractions: tuple[float, ...]) -> None:
    assert SearchStrategy(**fields).judged_at == fractions


def test_each_argument_of_a_pruner_has_its_values() -> None:
    named = {name for method in PRUNERS.values() for name in method.arguments}
    assert named == {*_NUMBERS, "wrapped_pruner"}


@pytest.mark.parametrize(
    "storage", ["trials.log", "sqlite:///trials.db", "postgresql://me@host/trials", "${env:TRIALS}", "C:\\[trials"]
)
def test_storages_that_hold_no_password(storage: str) -> None:
    assert SearchStrategy(storage=storage).storage == storage


def test_the_storage_stays_a_reference() -> None:
    assert [name for name, _ in marked(SearchStrategy, Secret)] == ["storage"]


def test_methods_name_what_they_need_among_their_arguments() -> None:
    for method in (*SAMPLERS.values(), *PRUNERS.values()):
        assert set(method.required) <= set(method.arguments)
        assert "seed" not in method.arguments


def test_arguments_are_optunas() -> None:
    """Where Optuna is installed: each of its classes has the arguments that the table gives it."""
    optuna = pytest.importorskip("optuna", reason="optuna is not installed")
    import inspect

    for module, methods in ((optuna.samplers, SAMPLERS), (optuna.pruners, PRUNERS)):
        for method in methods.values():
            if method.optuna:
                found = inspect.signature(getattr(module, method.optuna).__init__).parameters
                assert set(method.arguments) <= set(found), method


def test_every_field_tells_an_editor_what_it_is() -> None:
    for model in (SearchStrategy, FloatRange, IntRange, Choice, Case, Conditional):
        for name, field in model.model_json_schema()["properties"].items():
            assert field.get("description"), (model, name)
    assert SearchStrategy.model_json_schema()["properties"]["sampler"]["enum"] == list(SAMPLERS)
    assert SearchStrategy.model_json_schema()["properties"]["pruner"]["enum"] == list(PRUNERS)
