"""What `olive init` has to know: given on the command line, asked for in a terminal, or taken by default."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from olive_engine.cli.prompts import choose, confirm, prompt, something
from olive_engine.cli.row_questions import ask_rows

if TYPE_CHECKING:
    from olive_engine.contracts import AnyPass
    from olive_engine.reporting.starter import Answers

GOALS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "adapter": ("a LoRA adapter for the model", ("LoRA",)),
    "tuned": ("a fine-tuned model", ("LoRA", "MergeAdapterWeights")),
    "tuned-onnx": ("a fine-tuned model as 4-bit ONNX", ("LoRA", "MergeAdapterWeights", "ModelBuilder")),
    "merged": ("the model with an adapter that there is already, merged", ("MergeAdapterWeights",)),
    "onnx": ("the model as it is, as 4-bit ONNX", ("ModelBuilder",)),
}
"""What may come out -> what that is, and the passes that lead to it."""


@dataclass(frozen=True, slots=True)
class Given:
    """What the command line says; None: nothing."""

    model: str | None = None
    goal: str | None = None
    passes: tuple[str, ...] = ()
    qlora: bool = False
    adapter: str | None = None
    data: str | None = None
    template: str | None = None
    evaluate: bool | None = None
    output_dir: str | None = None


def ask(given: Given, *, asks: bool) -> Answers:
    """All that a first workflow needs.

    Raises:
        click.UsageError: something that has no default is not given, and may not be asked for.
    """
    from olive_engine.reporting.starter import Answers, needs_rows

    model = _model(given, asks=asks)
    passes = _passes(given, asks=asks)
    adapter = _adapter(given, passes, asks=asks)
    rows = None
    if needs_rows(passes) or given.data is not None:
        rows = ask_rows(given.data, given.template, asks=asks)
    trains = needs_rows(passes)
    evaluate = rows is not None and not (rows.few and trains) if given.evaluate is None else given.evaluate
    if evaluate and rows is None:
        raise click.UsageError("--eval measures on held-out rows; name them with --data")
    if rows is not None and given.evaluate is False and not trains:
        raise click.UsageError("nothing would read the rows: no pass learns from them, and --no-eval measures nothing")
    if asks and rows is not None and given.evaluate is None and trains:
        evaluate = confirm("Hold a tenth of the rows out, and measure the result on them?", default=evaluate)
    output_dir = given.output_dir or "output"
    if asks and given.output_dir is None:
        output_dir = prompt("Folder for the result", something("a folder"), output_dir)
    return Answers(model, passes, adapter, rows, evaluate, output_dir, _positions(model))


def _model(given: Given, *, asks: bool) -> str:
    if given.model is not None:
        return given.model
    if not asks:
        raise click.UsageError("which model? Name a folder in Hugging Face layout, or a hub name, with --model")
    return prompt("Model (a folder, or a name on the hub)", _read_model)


def _read_model(answer: str) -> str:
    """A model that is here or may be on the hub."""
    from olive_engine.config.local_models import local_path, looks_local

    if not answer:
        raise ValueError("expected a folder in Hugging Face layout, or a name on the hub, such as org/name")
    # What a location with a scheme means, the file's own check tells.
    if ":" in answer or not looks_local(answer, Path()) or os.path.exists(local_path(answer, Path())):  # noqa: PTH110 - unlike Path.exists it takes any text
        return answer
    near = _nearest_path(local_path(answer, Path()))
    raise ValueError(
        f"there is no {answer}, and no name on the hub is like that{f'; did you mean {near}?' * bool(near)}"
    )


def _nearest_path(missing: Path) -> Path | None:
    """A path that exists: the first part that does not is replaced by the nearest name there."""
    from olive_engine.config.spelling import nearest

    first = next(each for each in reversed([missing, *missing.parents]) if not each.exists())
    try:
        near = nearest(first.name, sorted(each.name for each in first.parent.iterdir()))
    except OSError:  # not a folder, or not for us to read: then without a hint
        return None
    if near is None:
        return None
    whole = first.with_name(near) / missing.relative_to(first)
    return whole if whole.exists() else first.with_name(near)


def _passes(given: Given, *, asks: bool) -> Sequence[type[AnyPass]]:
    if given.passes and given.goal is not None:
        raise click.UsageError("either --goal or --passes, not both")
    names = given.passes
    if not names:
        goal = given.goal or (_asked_goal() if asks else _likely_goal(given))
        names = GOALS[goal][1]
        if _quantized(given, names, asks=asks):
            names = tuple("QLoRA" if name == "LoRA" else name for name in names)
    from olive_engine import registry
    from olive_engine.cli.catalogue import unknown

    found = []
    for name in names:
        if (cls := registry.find_pass(name)) is None:
            raise unknown("pass", name, registry.passes())
        found.append(cls)
    return found


def _asked_goal() -> str:
    click.echo("What shall come out?")
    for number, (what, names) in enumerate(GOALS.values(), 1):
        click.echo(f"  {number}  {what} ({' -> '.join(names)})")
    return list(GOALS)[choose("Number", len(GOALS), default=3) - 1]


def _likely_goal(given: Given) -> str:
    if given.data is not None:
        return "tuned-onnx"
    return "merged" if given.adapter is not None else "onnx"


def _quantized(given: Given, names: Sequence[str], *, asks: bool) -> bool:
    if given.qlora or "LoRA" not in names or not asks or given.goal is not None:
        return given.qlora
    return confirm("Keep the model in 4 bits while it is tuned, to save memory (QLoRA)?", default=False)


def _adapter(given: Given, passes: Sequence[type[AnyPass]], *, asks: bool) -> str | None:
    """The adapter that the first pass takes, where it takes one."""
    from olive_engine.models import HfAdapterModel

    if given.adapter is not None or not passes or passes[0].accepts != (HfAdapterModel,):
        return given.adapter
    if not asks:
        raise click.UsageError(f"which adapter shall {passes[0].type} take? Name its folder with --adapter")
    return prompt("Adapter (its folder)", something("the folder of an adapter, with its adapter_config.json"))


def _positions(model: str) -> int | None:
    """How long a text the model was made for, where its configuration is here."""
    from olive_engine.config.local_models import local_path
    from olive_engine.models import Checkpoint

    try:
        config = json.loads((local_path(model, Path()) / "config.json").read_bytes())
    except (OSError, ValueError):  # not here, or not a model: the reader says so
        return None
    return Checkpoint(config=config, tensors={}).positions if isinstance(config, dict) else None
