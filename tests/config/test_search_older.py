"""Older Olive's searched values, and what they are today."""

from __future__ import annotations

from typing import Any

import pytest

from olive_engine.config.search.older import Rewritten, categorical_types, older_values, rewritten

MARK = {"olive_parameter_type": "SearchParameter"}


def categorical(*values: Any) -> dict[str, Any]:
    return {**MARK, "type": "Categorical", "support": [*values]}


def value(old: Any) -> Any:
    found = rewritten(old)
    assert found is not None
    assert found.refusal == ""
    assert found.notice
    return None if found.absent else found.value


def test_words() -> None:
    assert value("SEARCHABLE_VALUES") == {"search": "default"}
    assert rewritten("DEFAULT_VALUE") == Rewritten(notice="an option that is left out has its default", absent=True)
    for today in ("x", 3, None, [1, 2], {"search": "default"}, {"type": "int"}):
        assert rewritten(today) is None


def test_categorical() -> None:
    assert value(categorical(8, 16)) == {"search": {"type": "choice", "values": [8, 16]}}


def test_conditional() -> None:
    old = {
        **MARK,
        "type": "Conditional",
        "parents": ["quant_mode", "weight_type"],
        "support": {"static": {"QInt8": categorical(True), "QUInt8": categorical(True, False)}},
        "default": categorical(False),
    }
    assert value(old) == {
        "search": {
            "type": "conditional",
            "cases": [
                {
                    "when": {"quant_mode": ["static"], "weight_type": ["QInt8"]},
                    "search": {"type": "choice", "values": [True]},
                },
                {
                    "when": {"quant_mode": ["static"], "weight_type": ["QUInt8"]},
                    "search": {"type": "choice", "values": [True, False]},
                },
            ],
            "otherwise": {"type": "choice", "values": [False]},
        }
    }


def test_an_option_that_is_ignored_otherwise_keeps_its_own_value() -> None:
    old = {
        **MARK,
        "type": "ConditionalDefault",
        "parents": ["quant_mode"],
        "support": {"static": categorical("QDQ")},
        "default": categorical("OLIVE_IGNORED_PARAM_VALUE"),
    }
    assert "otherwise" not in value(old)["search"]


@pytest.mark.parametrize(
    ("old", "refusal"),
    [
        ({"olive_parameter_type": "Function", "name": "f"}, "the form 'Function' of a searched value is not known"),
        ({**MARK, "type": "Float"}, "the form 'Float' of a searched value is not known"),
        ({**MARK, "type": "Conditional", "support": {}}, "a conditional value needs `parents`, a list of options"),
        (
            {**MARK, "type": "Conditional", "parents": ["a", "b"], "support": {"x": categorical(1)}},
            "a conditional value needs `support`, nested as deep as there are `parents`",
        ),
        (
            {
                **MARK,
                "type": "Conditional",
                "parents": ["a"],
                "support": {"x": categorical(1)},
                "default": categorical("OLIVE_INVALID_PARAM_VALUE"),
            },
            "a conditional value that is invalid in all other cases is not known today",
        ),
    ],
)
def test_what_cannot_be_said_today(old: Any, refusal: str) -> None:
    found = rewritten(old)
    assert found is not None
    assert found.refusal == refusal


def test_every_place_from_behind() -> None:
    passes = {
        "a": {"type": "A", "x": "DEFAULT_VALUE", "y": {"z": categorical(1)}},
        "b": [{"type": "B", "x": "SEARCHABLE_VALUES"}, {"type": "C", "x": "SEARCHABLE_VALUES", "y": [1]}],
    }
    assert [path for path, _ in older_values(passes)] == [
        ("passes", "a", "x"),
        ("passes", "a", "y", "z"),
        ("passes", "b", 1, "x"),
        ("passes", "b", 0, "x"),
    ]


def test_categorical_is_called_choice() -> None:
    space = {"r": {"type": "categorical", "values": [1]}, "x": {"type": "int"}, "y": {"type": "categorical"}}
    assert [*categorical_types(space, ("search_space",))] == [("search_space", "r", "type")]
