"""The page of a pass, made from its options."""

import io
from typing import Annotated, Literal

from pydantic import Field, JsonValue

from olive_engine.options import Options, Packable
from olive_engine.reporting.reference import Option, Reference, document, options_of, show_reference


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
