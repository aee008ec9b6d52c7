"""``olive doctor``."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import click

from olive_engine.cli.cache import folder_option
from olive_engine.cli.output import json_option, write_json
from olive_engine.cli.session import session

if TYPE_CHECKING:
    from olive_engine.doctor import Devices, Examination, Finding
    from olive_engine.reporting.tables import Table

_WIDEST = 100
_MOST_OTHERS = 8
_STYLES = {"error": "red", "warning": "yellow", "note": "cyan"}
_STATES = {
    "tested": ("", ""),
    "older": ("older than tested", "yellow"),
    "newer": ("newer than tested", "yellow"),
    "untested": ("not in the tested set", "dim"),
    "missing": ("missing", "red"),
}


@click.command(
    "doctor",
    short_help="Examine what is installed here, and say what is wrong with it.",
    epilog="Exit codes: 0 nothing is wrong, 1 something would stop a run.",
)
@folder_option
@json_option
def command(folder: str) -> None:
    """Examine what is installed here, and say what is wrong with it.

    Libraries against the versions that are tested together, devices and execution providers, memory and disk, the
    cache, and whether you are logged in to the model hub and to Azure. No network is asked, and no token is read.
    """
    from pathlib import Path

    from olive_engine.doctor import diagnose
    from olive_engine.reporting.jsonl import fields_to_json

    found = diagnose(Path(folder))
    if session().json:
        write_json({"healthy": found.healthy, **fields_to_json(found)})
    else:
        _show(found)
    if not found.healthy:
        click.get_current_context().exit(1)


def _show(found: Examination) -> None:
    from olive_engine.reporting.tables import show

    click.secho("Place", bold=True)
    _facts(
        ("olive-engine", found.engine),
        ("Python", f"{found.python}, {found.executable}"),
        ("platform", found.platform),
    )
    click.secho("\nLibraries", bold=True)
    show(_libraries(found), sys.stdout)
    if others := list(_other_libraries(found)):
        click.echo()
        _facts(*others)
    click.secho("\nDevices", bold=True)
    _facts(*_devices(found.devices))
    click.secho("\nRoom", bold=True)
    _facts(*_room(found))
    click.secho("\nLog-ins", bold=True)
    _facts(("model hub", _hub(found)), ("Azure", _azure(found)))
    click.echo()
    _findings(found.findings)


def _facts(*facts: tuple[str, str]) -> None:
    """Names and values in two columns; a long value goes on below itself in a terminal."""
    width = max(len(name) for name, _ in facts)
    for name, value in facts:
        lines = _wrapped(value, width + 4)
        click.echo(f"  {click.style(name.ljust(width), dim=True)}  {lines[0]}")
        for line in lines[1:]:
            click.echo(" " * (width + 4) + line)


def _wrapped(text: str, indent: int) -> list[str]:
    """The text in lines for a terminal; anywhere else in one."""
    from olive_engine.reporting.tables import is_terminal

    if not is_terminal(sys.stdout):
        return [text]
    width = min(_WIDEST, shutil.get_terminal_size().columns) - indent
    return textwrap.wrap(text, max(20, width), break_on_hyphens=False) or [""]


def _libraries(found: Examination) -> Table:
    from olive_engine.reporting.tables import Cell, Column, Table

    rows = []
    for each in found.libraries:
        note, style = _STATES.get(each.state, (f"{each.bounds} is needed", "red"))
        rows.append((Cell(each.name), Cell(each.installed or "-"), Cell(each.tested or "-", "dim"), Cell(note, style)))
    columns = (Column("name"), Column("installed"), Column("tested"), Column("", flexible=True))
    return Table(columns, tuple(rows))


def _other_libraries(found: Examination) -> Iterator[tuple[str, str]]:
    from olive_engine.requirements import pip_line

    if found.others:
        told = [f"{each.name} {each.installed} (tested {each.tested})" for each in found.others]
        rest = f" and {len(told) - _MOST_OTHERS} more" if len(told) > _MOST_OTHERS else ""
        yield "other than tested", ", ".join(told[:_MOST_OTHERS]) + rest
    if found.optional:
        yield "not installed", "; ".join(f"{name} ({', '.join(absent)})" for name, absent in found.optional.items())
        yield "to add them", pip_line(found.optional)


def _devices(devices: Devices) -> Iterator[tuple[str, str]]:
    from olive_engine.reporting.phrases import count, size

    yield "used", "GPU" if devices.used == "gpu" else devices.used.upper()
    bf16 = "fast bfloat16" if devices.fast_bf16 else "no fast bfloat16"
    yield "CPU", ", ".join([devices.cpu, count(devices.cores, "core"), *devices.features, bf16])
    for gpu in devices.gpus:
        yield "GPU", f"{gpu.name}, {size(gpu.free)} of {size(gpu.memory)} free"
    yield "NVIDIA driver", devices.driver or "none"
    names = [name.removesuffix("ExecutionProvider") for name in devices.providers]
    yield "ONNX providers", ", ".join(names) or "none: ONNX Runtime is not installed"


def _room(found: Examination) -> Iterator[tuple[str, str]]:
    from olive_engine.reporting.phrases import count, size

    devices, cache = found.devices, found.cache
    yield "memory", f"{size(devices.memory_available)} of {size(devices.memory)} free"
    for disk in found.disks:
        yield "disk", f"{size(disk.free)} of {size(disk.total)} free, for {disk.folder}"
    if not cache.exists:
        yield "cache", f"none yet in {cache.folder}"
        return
    held = f"{count(cache.results, 'result')} in {count(cache.files, 'file')} of {size(cache.file_bytes)}"
    checkpoints = f", {size(cache.checkpoint_bytes)} of checkpoints" if cache.checkpoint_bytes else ""
    used = f", used by {count(cache.runs, 'run')} now" if cache.runs else ""
    yield "cache", f"{held}{checkpoints}{used}, in {cache.folder}"


def _hub(found: Examination) -> str:
    from olive_engine.requirements import package_version

    hub = found.hub
    if not package_version("huggingface-hub"):
        return 'huggingface-hub is not installed: pip install "olive-engine[hub]"'
    state = f"a token is in {hub.token}" if hub.token else "no token: `hf auth login` where a model asks for one"
    offline = f"; offline, as {' and '.join(hub.offline)} says" if hub.offline else ""
    return state + offline


def _azure(found: Examination) -> str:
    from olive_engine.reporting.phrases import count

    azure = found.azure
    ways = [f"the command az, {count(azure.subscriptions, 'subscription')}"] if azure.cli else []
    ways += [f"variables: {', '.join(azure.variables)}"] if azure.variables else []
    return "; ".join(ways) or "not logged in"


def _findings(findings: Iterable[Finding]) -> None:
    """What is wrong, the worst first, with what to do below it."""
    found = list(findings)
    if not found:
        click.secho("Nothing is wrong.", fg="green", bold=True)
    for finding in found:
        label = f"{finding.severity}: "
        first, *others = _wrapped(label + finding.what, 0)
        style = _STYLES[finding.severity]
        click.echo(click.style(first[: len(label)], fg=style, bold=True) + first[len(label) :])
        for line in others:
            click.echo(f"  {line}")
        if finding.hint:
            click.echo(f"  -> {finding.hint}")  # in one piece: it may be a command to copy
