"""The merged tree -> a `Workflow`, or every problem there is with it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import JsonValue, ValidationError

from olive_engine import registry
from olive_engine.config import elsewhere
from olive_engine.config.data import DataConfig
from olive_engine.config.findings import Findings, known, nearest, shown
from olive_engine.config.keys import Mapped, check_truth, checked_keys, field_types
from olive_engine.config.local_models import check_model
from olive_engine.config.references import check_references
from olive_engine.config.search.taking import take_search
from olive_engine.config.shared_cache import SharedCacheConfig
from olive_engine.config.tree import plain
from olive_engine.config.wording import report, validated
from olive_engine.config.workflow import (
    EvaluatorConfig,
    HfModelConfig,
    MetricEntry,
    OnnxModelConfig,
    PassEntry,
    SubMetric,
    SystemEntry,
    Workflow,
)
from olive_engine.contracts import AnyMetric
from olive_engine.errors import ConfigPath, Problem
from olive_engine.options import Options

MODELS: Mapping[str, type[HfModelConfig | OnnxModelConfig]] = {"HfModel": HfModelConfig, "OnnxModel": OnnxModelConfig}
"""The kinds of input model by the name that users write."""
PASS_KEYS = tuple(name for name in PassEntry.model_fields if name != "options")
"""What stands beside a pass's own options."""
SECTIONS = (
    "input_model",
    "data_configs",
    "systems",
    "evaluators",
    "passes",
    "search_strategy",
    "search_space",
    "shared_cache",
)
EDITOR_KEY = "$schema"
"""Editors find the schema of a JSON file by this key; it says nothing to us."""

_PLACEHOLDER = HfModelConfig(model_path="-")
"""Stands for an input model that could not be read while everything else is."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """What could be read: the whole workflow if nothing is wrong, and in any case each sound data config by index."""

    workflow: Workflow | None = None
    data_configs: Mapping[int, DataConfig] = field(default_factory=dict)
    notices: tuple[Problem, ...] = ()
    """What there is to say of a search that is no error."""


def parse(findings: Findings, base_dir: Path, lacking: Collection[tuple[str, str]] = ()) -> Parsed:
    """Read the tree of `findings` as a workflow; there is none if any problem was found, now or before.

    Args:
        findings: the tree, and where problems go.
        base_dir: where relative paths start.
        lacking: the data configs and evaluators, as (section, name), of which something cannot be had yet: such a data
            config has a name alone, such an evaluator may have no metric.
    """
    raw = plain(findings.root)
    if not isinstance(raw, dict):
        found = "the file is empty" if raw is None else f"found {shown(raw)}"
        findings.add((), f"expected a mapping with `input_model`, `passes`, …; {found}")
        return Parsed()
    search = take_search(_top_level(raw, findings), findings)
    raw = search.raw
    model = _input_model(raw, findings, base_dir)
    data = {
        index: config
        for index, each in enumerate(_list(raw, "data_configs", findings))
        if (config := _data(each, ("data_configs", index), findings, lacking)) is not None
    }
    systems = _entries(raw, "systems", findings, _system)
    evaluators = _entries(raw, "evaluators", findings, partial(_evaluator, lacking=lacking))
    passes = _entries(raw, "passes", findings, _pass_slot)
    shared_cache = _shared_cache(raw, findings)
    check_references(plain(findings.root), findings)
    settings = {key: value for key, value in raw.items() if key in Workflow.model_fields and key not in SECTIONS}
    for name, value in settings.items():
        check_truth(Workflow.model_fields[name].annotation, value, (name,), findings)
    try:
        workflow = Workflow.model_validate({"input_model": model or _PLACEHOLDER, **settings, "base_dir": base_dir})
    except ValidationError as error:
        report(error, settings, (), findings)
        return Parsed(None, data)
    sound = {index: config for index, config in data.items() if ("data_configs", config.name) not in lacking}
    if findings.count:
        return Parsed(None, sound)
    sections: dict[str, object] = {
        "data_configs": tuple(data.values()),
        "systems": systems,
        "evaluators": evaluators,
        "passes": passes,
        "search_strategy": search.strategy,
        "search_space": dict(search.space),
        "shared_cache": shared_cache,
    }
    return Parsed(workflow.model_copy(update=sections), sound, search.notices)


def _data(
    raw: JsonValue, path: ConfigPath, findings: Findings, lacking: Collection[tuple[str, str]]
) -> DataConfig | None:
    """A data set; in the place of one that cannot be had yet, a name that stands for it in a plan."""
    if isinstance(raw, dict) and list(raw) == ["name"] and ("data_configs", str(raw["name"])) in lacking:
        name = raw["name"]
        source: JsonValue = {"data_name": f"unavailable/{name}"}
        return validated(DataConfig, {"name": name, "load_dataset_config": source}, path, findings)
    return validated(DataConfig, raw, path, findings)


def _top_level(raw: Mapped, findings: Findings) -> Mapped:
    valid = list(field_types(Workflow))
    result: Mapped = {}
    for key, value in raw.items():
        name = key if key in (*valid, EDITOR_KEY) else findings.unknown_key((key,), valid, "key")
        if name is not None:
            result[name] = value
    return result


def _input_model(raw: Mapped, findings: Findings, base_dir: Path) -> HfModelConfig | OnnxModelConfig | None:
    path: ConfigPath = ("input_model",)
    value = raw.get("input_model")
    if value is None:
        findings.add(path, "`input_model` is required", "e.g. {type: HfModel, model_path: models/my-model}")
        return None
    if not isinstance(value, dict):
        findings.add(path, f"expected a mapping with `type` and `model_path`, found {shown(value)}")
        return None
    value = _misspelt_type(value, path, {*field_types(HfModelConfig), *field_types(OnnxModelConfig)}, findings)
    cls = _typed(value, path, "kind of model", MODELS, lambda name: _any_case(MODELS, name), findings, elsewhere.MODELS)
    if cls is None:
        return None
    canonical = next(name for name, each in MODELS.items() if each is cls)
    config = validated(cls, {**value, "type": canonical}, path, findings)
    if config is not None:
        check_model(config, path, base_dir, findings)
    return config


def _shared_cache(raw: Mapped, findings: Findings) -> SharedCacheConfig | None:
    path: ConfigPath = ("shared_cache",)
    value = raw.get("shared_cache")
    if value is None:
        return None
    if not isinstance(value, str | dict):
        findings.add(path, f"expected a folder, a URL, or {{url: …, write: true}}, found {shown(value)}")
        return None
    given: JsonValue = {"url": value} if isinstance(value, str) else value
    return validated(SharedCacheConfig, given, path, findings)


def _entries(
    raw: Mapped, section: str, findings: Findings, read: Callable[[JsonValue, ConfigPath, Findings], Any]
) -> dict[str, Any]:
    """The members of a section that could be read."""
    value = raw.get(section)
    if value is None:
        return {}
    if not isinstance(value, dict):
        findings.add((section,), f"expected a mapping of names, found {shown(value)}")
        return {}
    read_all = {name: read(each, (section, name), findings) for name, each in value.items()}
    return {name: each for name, each in read_all.items() if each is not None}


def _list(raw: Mapped, section: str, findings: Findings) -> list[JsonValue]:
    value = raw.get(section)
    if value is None or isinstance(value, list):
        return value or []
    findings.add((section,), f"expected a list, found {shown(value)}", "each item begins with its `name`")
    return []


# --- systems and passes: {type, …options flat} --------------------------------------------------------------------


def _system(raw: JsonValue, path: ConfigPath, findings: Findings) -> SystemEntry | None:
    if not isinstance(raw, dict):
        findings.add(path, f"expected a mapping with `type`, found {shown(raw)}")
        return None
    raw = _misspelt_type(raw, path, (), findings)
    cls = _typed(raw, path, "system", registry.systems(), registry.find_system, findings, elsewhere.SYSTEMS)
    if cls is None:
        return None
    own = {key: value for key, value in raw.items() if key != "type"}
    options = validated(cls.config_type, own, path, findings)
    return SystemEntry(type=cls.type, options=options) if options is not None else None


def _pass_slot(raw: JsonValue, path: ConfigPath, findings: Findings) -> tuple[PassEntry, ...] | None:
    """One pass, or a list of alternatives."""
    if not isinstance(raw, list):
        entry = _pass(raw, path, findings)
        return (entry,) if entry is not None else None
    if not raw:
        findings.add(path, "an empty list of alternatives", "name one pass, or a list of them")
    entries = [_pass(each, (*path, index), findings) for index, each in enumerate(raw)]
    return tuple(entry for entry in entries if entry is not None)


def _pass(raw: JsonValue, path: ConfigPath, findings: Findings) -> PassEntry | None:
    if not isinstance(raw, dict):
        findings.add(path, f"expected a mapping with `type`, found {shown(raw)}")
        return None
    raw = _misspelt_type(raw, path, (), findings)
    cls = _typed(raw, path, "pass", registry.passes(), registry.find_pass, findings, elsewhere.PASSES)
    place = {key: value for key, value in raw.items() if key in PASS_KEYS}
    options: Options | None = Options()
    if cls is not None:
        raw = checked_keys(cls.config_type, raw, path, findings, also=PASS_KEYS)
        place = {key: value for key, value in raw.items() if key in PASS_KEYS}
        own = {key: value for key, value in raw.items() if key not in PASS_KEYS}
        options = validated(cls.config_type, own, path, findings)
    place["type"] = cls.type if cls is not None else "-"
    if place.get("input") is not None and place.get("inputs"):
        findings.add(
            (*path, "inputs"), "both `input` and `inputs`", "write `inputs` only, with all of them", at_key=True
        )
    try:
        entry = PassEntry.model_validate({**place, "options": options or Options()})
    except ValidationError as error:
        report(error, {key: value for key, value in place.items() if key != "type"}, path, findings)
        return None
    return entry if cls is not None and options is not None else None


# --- evaluators ---------------------------------------------------------------------------------------------------


_EVALUATOR_KEYS = tuple(EvaluatorConfig.model_fields)


def _evaluator(
    raw: JsonValue, path: ConfigPath, findings: Findings, *, lacking: Collection[tuple[str, str]]
) -> EvaluatorConfig | None:
    if not isinstance(raw, dict):
        findings.add(path, f"expected a mapping with `metrics`, found {shown(raw)}")
        return None
    known_raw: Mapped = {}
    for key, value in raw.items():
        name = key if key in EvaluatorConfig.model_fields else findings.unknown_key((*path, key), _EVALUATOR_KEYS)
        if name is not None:
            known_raw[name] = value
    metrics = known_raw.get("metrics")
    target = known_raw.get("target")
    if target is not None and not isinstance(target, str):
        findings.add((*path, "target"), f"expected the name of a system, found {shown(target)}")
        return None
    if metrics == [] and path in lacking:
        return EvaluatorConfig(metrics=(), target=target)
    if not isinstance(metrics, list) or not metrics:
        if "metrics" not in known_raw:
            findings.add((*path, "metrics"), "`metrics` is required", "a list of {name, type, …}")
        else:
            findings.add(
                (*path, "metrics"), f"expected a list of metrics, found {shown(metrics) if metrics else 'none'}"
            )
        return None
    entries = [_metric(each, (*path, "metrics", index), findings) for index, each in enumerate(metrics)]
    read = tuple(entry for entry in entries if entry is not None)
    return EvaluatorConfig(metrics=read, target=target) if len(read) == len(entries) else None


def _metric(raw: JsonValue, path: ConfigPath, findings: Findings) -> MetricEntry | None:
    if not isinstance(raw, dict):
        findings.add(path, f"expected a mapping with `name` and `type`, found {shown(raw)}")
        return None
    valid = list(MetricEntry.model_fields)
    own: Mapped = {}
    for key, value in raw.items():
        if key not in valid and key in SubMetric.model_fields and value is not None and "sub_type" not in raw:
            findings.add(
                (*path, key), f"`{key}` belongs to one of the metric's values", _of_value(key, raw), at_key=True
            )
            continue
        name = key if key in valid else findings.unknown_key((*path, key), valid)
        if name is not None:
            own[name] = value
    cls = _typed(own, path, "metric", registry.metrics(), registry.find_metric, findings, elsewhere.METRICS)
    before = findings.count
    config: Options | None = Options()
    if cls is not None:
        config = validated(cls.config_type, own.get("metric_config") or {}, (*path, "metric_config"), findings)
    own["type"] = cls.type if cls is not None else "-"
    sub_types = _sub_types(own.get("sub_types"), cls, (*path, "sub_types"), findings)
    rest = {key: value for key, value in own.items() if key not in ("metric_config", "sub_types")}
    try:
        entry = MetricEntry.model_validate({**rest, "metric_config": config or Options(), "sub_types": sub_types})
    except ValidationError as error:
        report(error, {key: value for key, value in rest.items() if key != "type"}, path, findings)
        return None
    return entry if cls is not None and findings.count == before else None


def _of_value(key: str, raw: Mapped) -> str:
    """The line to write for what is said of a metric, and belongs to one of its values."""
    cls, value = registry.find_metric(str(raw.get("type"))), raw[key]
    name = next(iter(cls.sub_types), "…") if cls is not None else "…"
    told = str(value).lower() if isinstance(value, bool | int) else "…"
    return f"write `sub_types: [{{name: {name}, {key}: {told}}}]`"


def _sub_types(
    raw: JsonValue, cls: type[AnyMetric] | None, path: ConfigPath, findings: Findings
) -> tuple[SubMetric, ...]:
    """Names, or mappings with name, priority and goal."""
    if raw is None:
        return ()
    if not isinstance(raw, list):
        findings.add(path, f"expected a list of names or mappings, found {shown(raw)}")
        return ()
    read: list[SubMetric] = []
    for index, each in enumerate(raw):
        place = (*path, index)
        sub = SubMetric(name=each) if isinstance(each, str) else validated(SubMetric, each, place, findings)
        if sub is None:
            continue
        if cls is not None and sub.name not in cls.sub_types:
            where = place if isinstance(each, str) else (*place, "name")
            findings.unknown_name(where, f"sub-type of {cls.type}", sub.name, cls.sub_types, listed="it has")
        if any(sub.name == other.name for other in read):
            findings.add(place, f"the sub-type {shown(sub.name)} is named twice")
        read.append(sub)
    return tuple(read)


# --- types --------------------------------------------------------------------------------------------------------


def _misspelt_type(raw: Mapped, path: ConfigPath, others: Collection[str], findings: Findings) -> Mapped:
    """Read a slip like `tpye` as `type`: without the type no other key can be judged."""
    if "type" in raw:
        return raw
    slip = next((key for key in raw if key not in others and nearest(key, ["type"])), None)
    if slip is None or findings.unknown_key((*path, slip), ["type"]) is None:
        return raw
    return {"type" if key == slip else key: value for key, value in raw.items()}


def _typed(
    raw: Mapped,
    path: ConfigPath,
    kind: str,
    listed: Mapping[str, Any],
    find: Callable[[str], Any],
    findings: Findings,
    elsewhere: Mapping[str, str],
) -> Any:
    """The class that ``raw["type"]`` names, in any case; None when it names none, or one that only Olive has."""
    name = raw.get("type")
    if name is None:
        findings.add((*path, "type"), "`type` is required", known(listed, "available"))
        return None
    if not isinstance(name, str):
        findings.add((*path, "type"), f"expected the name of a {kind}, found {shown(name)}")
        return None
    cls = find(name)
    if cls is None and name.lower() in elsewhere:
        findings.add((*path, "type"), f"the {kind} {name} is {elsewhere[name.lower()]}", known(listed, "available"))
    elif cls is None:
        findings.unknown_name((*path, "type"), kind, name, listed, listed="available")
    return cls


def _any_case(classes: Mapping[str, Any], name: str) -> Any:
    return {each.lower(): cls for each, cls in classes.items()}.get(name.lower())
