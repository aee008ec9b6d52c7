"""The page of a pass, made from its options."""

import io
from typing import Annotated, Literal

from pydantic import Field, JsonValue

from olive_engine.config.docstrings import document
from olive_engine.options import DataRef, Options, Packable
from olive_engine.reporting.reference import Group, Option, Reference, options_of, show_groups, show_reference


class Inner(Options):
    rate: Annotated[float, Packable()] = Field(2e-4, gt=0, le=1, description="How fast.")
    schedule: Literal["linear", "cosine"] = Field("linear", description="How it falls.")


class Device(Options):
    kind: Literal["cpu", "gpu"] = Field(description="Which.")


class Outer(Options):
    r: Annotated[int, Packable()] = Field(16, gt=0, description="Rank.")
    path: str = Field(description="Where.")
    modules: tuple[str, ...] | None = Field(None, description="Which.")
    flag: bool = Field(default=False, description="Whether.")
    extra: dict[str, JsonValue] = Field({}, description="More.")
    names: tuple[str, ...] = Field(("a", "b"), description="Names.")
    anything: JsonValue = Field(None, description="Any.")
    training_args: Inner = Field(Inner(), description="Training.")
    late: Inner | None = Field(None, description="Later.")
    devices: tuple[Device, ...] = Field((), description="Devices.")
    made: list[int] = Field(default_factory=lambda: [1, 2], description="Made.")


def test_options_of() -> None:
    assert list(options_of(Outer)) == [
        Option("r", "int > 0", "16", "Rank."),
        Option("path", "str", "", "Where."),
        Option("modules", "list of str", "null", "Which."),
        Option("flag", "true | false", "false", "Whether."),
        Option("extra", "mapping", "{}", "More."),
        Option("names", "list of str", "[a, b]", "Names."),
        Option("anything", "any", "null", "Any."),
        Option("training_args", "group", "as below", "Training."),
        Option("training_args.rate", "float > 0 and <= 1", "0.0002", "How fast."),
        Option("training_args.schedule", "linear | cosine", "linear", "How it falls."),
        Option("late", "group", "null", "Later."),
        Option("late.rate", "float > 0 and <= 1", "0.0002", "How fast."),
        Option("late.schedule", "linear | cosine", "linear", "How it falls."),
        Option("devices", "list of groups", "[]", "Devices."),
        Option("devices[].kind", "cpu | gpu", "", "Which."),
        Option("made", "list of int", "[1, 2]", "Made."),
    ]


def test_show_reference() -> None:
    class Thing:
        """Do a thing.

        A paragraph of
        two lines.

            kept as it is
        """

    stream = io.StringIO()
    options = [Option("r", "int > 0", "16", "Rank."), Option("path", "str", "", "Where.")]
    show_reference(Reference("Thing", document(Thing), ("Takes A, gives B.",), options), stream)
    assert stream.getvalue() == (
        "Thing\nDo a thing.\n\nA paragraph of two lines.\n\n    kept as it is\n\nTakes A, gives B.\n\nOptions:\n"
        "  r  int > 0, default 16\n      Rank.\n  path  str, must be given\n      Where.\n"
    )


def test_data_that_must_be_named_has_no_default() -> None:
    class Trained(Options):
        train_data_config: Annotated[str | None, DataRef(required=True)] = Field(None, description="Rows.")
        eval_data_config: Annotated[str | None, DataRef()] = Field(None, description="Others.")

    assert list(options_of(Trained)) == [
        Option("train_data_config", "name of a data config", "", "Rows."),
        Option("eval_data_config", "name of a data config", "null", "Others."),
    ]


def test_numbers_as_people_write_them() -> None:
    class Numbers(Options):
        seed: int = Field(65536, lt=2**32, description="…")
        steps: int = Field(1_000_000, ge=-(2**31), description="…")
        rate: float = Field(2e-4, lt=1e20, description="…")
        whole: float = Field(16.0, description="…")

    shown = [(option.type, option.default, option.value) for option in options_of(Numbers)]
    assert shown == [
        ("int < 2**32", "2**16", 65536),
        ("int >= -2147483648", "1000000", 1_000_000),
        ("float < 1e+20", "0.0002", 2e-4),
        ("float", "16", 16.0),
    ]


def test_an_example_stands_before_the_options() -> None:
    stream = io.StringIO()
    options = [Option("r", "int", "1", "Rank.")]
    show_reference(Reference("Thing", "Does it.", (), options, example="a:\n  b: 1\n"), stream)
    assert stream.getvalue() == (
        "Thing\nDoes it.\n\nIn a workflow:\n  a:\n    b: 1\n\nOptions:\n  r  int, default 1\n      Rank.\n"
    )


def test_groups_stand_below_each_other() -> None:
    stream = io.StringIO()
    show_groups([Group("A -> B", [("One", "First."), ("Longer", "Second.")]), Group("", [("x", "y")])], "foot", stream)
    assert stream.getvalue() == "A -> B\n  One     First.\n  Longer  Second.\n  x       y\nfoot\n"
