"""Names that refer to other parts of the workflow, and the rules for names themselves."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from pydantic import JsonValue

from olive_engine import registry
from olive_engine.config.findings import Findings, shown
from olive_engine.config.workflow import INPUT_MODEL, NAME
from olive_engine.errors import ConfigPath
from olive_engine.options import DataRef, marked

_NAME = re.compile(NAME)
RESERVED = (
    *("model", "adapter", "evaluation", "model_config.json", "run.json", "workflow.lock.json"),
    *("retrain.yaml", "sweep.html", "trials.csv"),
)
"""What a run writes into its output folder under names of its own (`olive_engine.outputs`; a test compares them)."""
Refer = Callable[[ConfigPath, JsonValue, str, Mapping[str, object]], None]
"""Checks the reference at a path: its value, the section that it is into, the names that are there."""
_KINDS = {"systems": "system", "evaluators": "evaluator", "passes": "pass", "data_configs": "data config"}


def check_references(raw: JsonValue, findings: Findings) -> None:
    """Report every reference to something that is not there, names that cannot be used, and names used twice.

    Works on the written tree, so that one wrong value elsewhere hides nothing.
    """
    if not isinstance(raw, dict):
        return
    systems, evaluators, passes = (_mapping(raw.get(key)) for key in ("systems", "evaluators", "passes"))
    for section, members in (("systems", systems), ("evaluators", evaluators), ("passes", passes)):
        for name in members:
            _check_name((section, name), name, findings)
    data = _data_names(raw.get("data_configs"), findings)

    unread = {section for section in _KINDS if not _names_are_known(raw, section, findings)}

    def refer(path: ConfigPath, value: JsonValue, section: str, names: Mapping[str, object]) -> None:
        if isinstance(value, str) and value not in names and section not in unread:
            listed = f"{section} of this workflow"
            findings.unknown_name(path, _KINDS[section], value, names, listed=listed)

    for key, section, names in (
        ("host", "systems", systems),
        ("target", "systems", systems),
        ("evaluator", "evaluators", evaluators),
    ):
        refer((key,), raw.get(key), section, names)
    sources = {INPUT_MODEL: None, **passes}
    for path, entry in _passes(passes):
        refer((*path, "host"), entry.get("host"), "systems", systems)
        refer((*path, "target"), entry.get("target"), "systems", systems)
        refer((*path, "evaluator"), entry.get("evaluator"), "evaluators", evaluators)
        refer((*path, "input"), entry.get("input"), "passes", sources)
        for index, source in enumerate(_list(entry.get("inputs"))):
            refer((*path, "inputs", index), source, "passes", sources)
        for option, required in _data_options(entry.get("type")):
            refer((*path, option), entry.get(option), "data_configs", data)
            if required and entry.get(option) is None and "data_configs" not in unread:
                hint = f"e.g. `{option}: {next(iter(data))}`" if data else "there are no `data_configs` yet"
                findings.add(path, f"`{option}` is required: it names one of `data_configs`", hint, at_key=True)
    for called, evaluator in evaluators.items():
        refer(("evaluators", called, "target"), _mapping(evaluator).get("target"), "systems", systems)
        _check_metrics(("evaluators", called, "metrics"), _mapping(evaluator).get("metrics"), data, refer, findings)


def _names_are_known(raw: Mapping[str, JsonValue], section: str, findings: Findings) -> bool:
    """Whether all that a section defines could be read: else what seems to be missing may be in the rest."""
    value = raw.get(section)
    if section != "data_configs":
        return isinstance(value, dict) or (value is None and () not in findings.incomplete)
    if not isinstance(value, list):
        return value is None and () not in findings.incomplete
    return all(isinstance(_mapping(each).get("name"), str) for each in value)


def _check_metrics(
    path: ConfigPath, raw: JsonValue, data: Mapping[str, object], refer: Refer, findings: Findings
) -> None:
    seen: set[str] = set()
    for index, each in enumerate(_list(raw)):
        metric, place = _mapping(each), (*path, index)
        name, kind, source = metric.get("name"), metric.get("type"), metric.get("data_config")
        if isinstance(name, str):
            if name in seen:
                findings.add((*place, "name"), f"two metrics of this evaluator are called {shown(name)}")
            seen.add(name)
        refer((*place, "data_config"), source, "data_configs", data)
        cls = registry.find_metric(kind) if isinstance(kind, str) else None
        if cls is not None and cls.needs_data and source is None:
            hint = (
                f"e.g. `data_config: {next(iter(data))}`" if data else "name one of `data_configs`; there are none yet"
            )
            what = f"`data_config` is required: {cls.type} is measured on data"
            findings.add((*place, "data_config"), what, hint)


def _data_names(raw: JsonValue, findings: Findings) -> dict[str, int]:
    """The data configs by name, with the index of each."""
    names: dict[str, int] = {}
    for index, each in enumerate(_list(raw)):
        name = _mapping(each).get("name")
        if not isinstance(name, str):
            continue
        if name in names:
            other = f"the other is data_configs[{names[name]}]"
            findings.add(("data_configs", index, "name"), f"two data configs are called {shown(name)}", other)
        names.setdefault(name, index)
    return names


def _check_name(path: ConfigPath, name: str, findings: Findings) -> None:
    if name.lower() in RESERVED and path[0] == "passes":
        findings.add(
            path, f"the name `{name}` is taken: the output folder has files of that name", "choose another", at_key=True
        )
    elif name == INPUT_MODEL and path[0] == "passes":
        findings.add(
            path, f"the name `{INPUT_MODEL}` is taken: it means the model that the workflow starts from", at_key=True
        )
    elif not _NAME.fullmatch(name):
        what = (
            f"the name {shown(name)} holds more than letters, digits, `_`, `.` and `-`" if name else "the name is empty"
        )
        findings.add(path, what, at_key=True)


def _passes(passes: Mapping[str, JsonValue]) -> Iterator[tuple[ConfigPath, Mapping[str, JsonValue]]]:
    for name, slot in passes.items():
        if isinstance(slot, list):
            for index, each in enumerate(slot):
                yield ("passes", name, index), _mapping(each)
        else:
            yield ("passes", name), _mapping(slot)


def _data_options(kind: JsonValue) -> Iterator[tuple[str, bool]]:
    """The options of a pass type that name data configs, and whether a workflow must give them."""
    cls = registry.find_pass(kind) if isinstance(kind, str) else None
    if cls is not None:
        for name, mark in marked(cls.config_type, DataRef):
            yield name, mark.required


def _mapping(raw: JsonValue) -> Mapping[str, JsonValue]:
    return raw if isinstance(raw, dict) else {}


def _list(raw: JsonValue) -> list[JsonValue]:
    return raw if isinstance(raw, list) else []
